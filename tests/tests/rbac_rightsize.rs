//! The roles that `kubestile rbac rightsize` writes from a real audit log, tried: with them alone, the very same
//! `kubectl` commands pass, and others do not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use kubestile_tests::rights::{Place, user};
use kubestile_tests::{Running, eventually};
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What she does, in this order, a command a line; `!` is before what only reads on until it is stopped. `DIR` is
/// the test's directory, `NODE` the node.
const DONE: &str = "
get pods
get pods -o wide --show-labels
describe pod tool
logs tool
logs deploy/web
exec tool -- true
cp tool:/etc/hostname DIR/hostname
! port-forward pod/tool 0:8080
! get pods -w
apply -f DIR/prices.yaml
apply -f DIR/prices-2.yaml
diff -f DIR/prices-2.yaml
apply --server-side -f DIR/stock.yaml
apply --server-side -f DIR/stock-2.yaml
apply --dry-run=server -f DIR/prices.yaml
edit cm prices
scale deploy/web --replicas=2
rollout restart deploy/web
rollout status deploy/web --timeout=60s
rollout history deploy/web
rollout undo deploy/web
rollout status deploy/web --timeout=60s
label pod tool tier=x --overwrite
annotate pod tool tier=x --overwrite
auth can-i get pods
auth can-i --list
auth whoami
wait --for=condition=Ready pod/tool --timeout=30s
top pod
top node
debug tool --image=busybox:1 --target=c -- true
create configmap junk --from-literal=a=b
label cm junk kind=junk
delete cm -l kind=junk
create job once --image=busybox:1 -- true
wait --for=condition=Complete job/once --timeout=60s
delete job once
run tmp --image=busybox:1 --restart=Never -- true
delete pod tmp --now
expose deploy web --port=80 --target-port=8080
set image deploy/web c=busybox:1
patch svc web -p {\"metadata\":{\"labels\":{\"a\":\"b\"}}}
replace -f DIR/prices.yaml
delete svc web
get events
explain pods
api-resources
get nodes
label node NODE zone=x --overwrite
taint node NODE a=b:PreferNoSchedule --overwrite
cordon NODE
uncordon NODE
drain NODE --force --pod-selector=app=web --timeout=60s
uncordon NODE
delete cm prices stock
";

/// What she never did: other verbs, objects and namespaces, and what is next to what she did.
const NEVER: &str = "
get secrets
get roles
get cm kube-root-ca.crt
get cm -A
get deploy -n bank
logs web -n bank
delete deploy web
scale deploy/other --replicas=0
exec other -- true
port-forward pod/other 0:8080
debug other --image=busybox:1 -- true
create deployment x --image=x
create secret generic x
create token default
create rolebinding x --clusterrole=view --user=ana
apply -f DIR/other.yaml
delete pvc --all
delete node NODE
label node other zone=x
";

struct Ana {
    place: Place,
    kubeconfig: PathBuf,
    node: String,
}

#[test]
fn the_same_commands_pass_with_the_written_roles_alone_and_others_do_not() {
    let ana = Ana::hired();
    ana.furnish();
    for command in DONE.trim().lines() {
        assert_eq!(ana.does(command), Ok(()), "{command}");
    }
    // She holds more than she uses; to ask is no use.
    let may = ["auth", "can-i", "-q", "get", "secrets"];
    assert!(ana.place.as_person(&ana.kubeconfig, &may));
    ana.rightsized();
    ana.furnish();
    for command in DONE.trim().lines() {
        let outcome = ana.does(command);
        assert_eq!(outcome, Ok(()), "{command} was done, and is refused now");
    }
    for command in NEVER.trim().lines() {
        let outcome = ana.does(command);
        let refused = outcome.is_err_and(|said| said.contains("orbidden"));
        assert!(refused, "{command} was never done, and passes");
    }
}

impl Ana {
    /// An administrator is her: she is judged, and not whoever is her.
    fn hired() -> Self {
        let place = Place::up("rbac-rightsize", true);
        for namespace in ["shop", "bank"] {
            place.kubectl(&["create", "namespace", namespace]);
        }
        let all = [
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "-o",
            "json",
        ];
        let config: Value = serde_json::from_str(&place.kubectl(&all)).unwrap();
        let mut credentials = config["users"][0]["user"].clone();
        credentials["as"] = json!("ana");
        credentials["as-groups"] = json!(["devs"]);
        let kubeconfig = place.kubeconfig("ana", &credentials);
        let devs = json!({ "kind": "Group", "apiGroup": GROUP, "name": "devs" });
        place.kubectl(&[
            "create",
            "rolebinding",
            "devs",
            "--clusterrole=admin",
            "--group=devs",
            "-n",
            "shop",
        ]);
        let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
        place.may(
            "shop",
            "debuggers",
            &devs,
            &json!([rule("", &["pods/ephemeralcontainers"], &["patch"])]),
        );
        place.may(
            "",
            "operators",
            &user("ana"),
            &json!([
                rule("", &["nodes"], &["*"]),
                rule("", &["pods"], &["get", "list", "watch", "delete"]),
                rule("", &["pods/eviction"], &["create"]),
                rule("apps", &["daemonsets"], &["get", "list"]),
                rule("metrics.k8s.io", &["*"], &["*"]),
            ]),
        );
        let node = place.cluster.node.clone().unwrap();
        Self {
            place,
            kubeconfig,
            node,
        }
    }

    /// Everything as it was before she came.
    fn furnish(&self) {
        let place = &self.place;
        let all = "deployments,pods,configmaps,jobs,services";
        place.kubectl(&["delete", all, "--all", "-n", "shop", "--now"]);
        place.kubectl(&["label", "node", &self.node, "zone-"]);
        let serves = "while true; do echo ready; nc -l -p 8080 -e echo ok; done";
        let container =
            json!([{ "name": "c", "image": "busybox:1", "command": ["sh", "-c", serves] }]);
        let spec = json!({ "terminationGracePeriodSeconds": 0, "containers": container });
        let pod = |name: &str| {
            json!({ "apiVersion": "v1", "kind": "Pod", "spec": spec,
                "metadata": { "name": name, "namespace": "shop" } })
        };
        let labels = json!({ "app": "web" });
        place.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
            pod("tool"), pod("other"), defined("pods", "PodMetrics", "Namespaced"),
            defined("nodes", "NodeMetrics", "Cluster"),
            { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" },
                "spec": { "replicas": 1, "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": spec } } },
        ]}));
        for (file, name, tea) in [
            ("prices.yaml", "prices", "3"),
            ("prices-2.yaml", "prices", "4"),
            ("stock.yaml", "stock", "3"),
            ("stock-2.yaml", "stock", "4"),
            ("other.yaml", "other", "5"),
        ] {
            let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name },
                "data": { "tea": tea } });
            std::fs::write(place.file(file), map.to_string()).unwrap();
        }
        let ready = [
            "wait",
            "-n",
            "shop",
            "--for=condition=Ready",
            "pod/tool",
            "pod/other",
            "--timeout=60s",
        ];
        place.kubectl(&ready);
        place.kubectl(&[
            "rollout",
            "status",
            "-n",
            "shop",
            "deploy/web",
            "--timeout=60s",
        ]);
        self.measured();
    }

    /// There is nobody who measures: what `top` shows is written by hand.
    fn measured(&self) {
        let usage = json!({ "cpu": "1m", "memory": "1Mi" });
        let measured = |kind: &str, name: &str, namespace: &str| {
            json!({ "apiVersion": "metrics.k8s.io/v1beta1", "kind": kind, "usage": usage,
                "metadata": { "name": name, "namespace": namespace }, "timestamp": "2026-01-01T00:00:00Z",
                "window": "10s", "containers": [{ "name": "c", "usage": usage }] })
        };
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
            measured("PodMetrics", "tool", "shop"), measured("NodeMetrics", &self.node, "") ]});
        let path = self.place.manifest(&list);
        let apply = ["apply", "-f", path.to_str().unwrap()];
        let admin = &self.place.cluster.kubeconfig;
        eventually("the metrics to be served", || {
            self.place.says(admin, &apply)
        });
    }

    /// One command; what it says if it fails.
    fn does(&self, command: &str) -> Result<(), String> {
        let dir = self.place.file("");
        let dir = dir.to_str().unwrap().trim_end_matches('/');
        let command = command.replace("DIR", dir).replace("NODE", &self.node);
        let (command, reads_on) = match command.strip_prefix("! ") {
            Some(command) => (command, true),
            None => (command.as_str(), false),
        };
        let mut kubectl = self.place.cluster.kubectl();
        kubectl
            .args(command.split(' '))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBE_EDITOR", "sed -i s/tea/coffee/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if reads_on {
            let mut child = Running(kubectl.spawn().unwrap());
            let stdout = child.0.stdout.take().unwrap();
            let line = BufReader::new(stdout).lines().next();
            return line
                .map(|_| ())
                .ok_or_else(|| "nothing was read".to_owned());
        }
        let output = kubectl.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    }

    /// Gives her what her log says that she needs, in place of all that she held.
    fn rightsized(&self) {
        let place = &self.place;
        let (log, roles) = (
            place.cluster.audit_log.to_str().unwrap(),
            place.file("roles"),
        );
        let into = roles.to_str().unwrap();
        let text = eventually("the whole of it in the log", || {
            let words = [
                "rightsize",
                "--from",
                log,
                "--subject",
                "user/ana",
                "--write",
                into,
            ];
            let output = place.rbac(&words);
            let table = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && !table.contains("NO"), "{table}");
            let text = std::fs::read_to_string(roles.join("least-user-ana.yaml")).unwrap();
            let whole = ["portforward", "eviction", "stock"]
                .iter()
                .all(|word| text.contains(word));
            whole.then_some(text)
        });
        for binding in [
            "RoleBinding shop/devs",
            "RoleBinding shop/debuggers",
            "ClusterRoleBinding operators",
        ] {
            assert!(text.contains(&format!("# replaces: {binding}\n")), "{text}");
        }
        place.kubectl(&["delete", "rolebinding", "devs", "debuggers", "-n", "shop"]);
        place.kubectl(&["delete", "clusterrolebinding", "operators"]);
        let may = |ask: &[&str]| place.as_person(&self.kubeconfig, ask);
        eventually("her rights to be gone", || {
            (!may(&["get", "pods"])).then_some(())
        });
        place.kubectl(&["apply", "-f", into]);
        eventually("her rights", || {
            (may(&["get", "pods"]) && may(&["get", "nodes"])).then_some(())
        });
    }
}

/// A resource of the group that serves metrics.
fn defined(plural: &str, kind: &str, scope: &str) -> Value {
    let group = "metrics.k8s.io";
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" } },
        "spec": { "group": group, "scope": scope,
            "names": { "plural": plural, "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{ "name": "v1beta1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema } }] } })
}
