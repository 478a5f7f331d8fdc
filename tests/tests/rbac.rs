//! `kubestile rbac` against a real API server: what it says of rights is what the server judges, and the roles
//! that it writes from the server's own audit log are enough and not more.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use kubestile_authn::ClientKey;
use kubestile_cluster::{Upstream, break_glass};
use kubestile_core::Ttl;
use kubestile_tests::eventually;
use kubestile_tests::rights::{Place, account, user};
use serde_json::{Value, json};

/// Somebody with a real certificate of the cluster, as a kubeconfig.
fn person(place: &Place, name: &str, group: &str) -> PathBuf {
    let key = ClientKey::generate().unwrap();
    let csr = key.csr_pem_for(name, Some(group)).unwrap();
    let certified = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let admin = Upstream::from_kubeconfig(Some(&place.cluster.kubeconfig), None);
        let admin = admin.await.unwrap();
        break_glass::certify(&admin, &csr, Ttl::from_secs(3600)).await
    });
    let (certificate, private) = (place.file("crt"), place.file("key"));
    std::fs::write(&certificate, certified.unwrap().pem).unwrap();
    std::fs::write(&private, key.key_pem().expose()).unwrap();
    let user = json!({ "client-certificate": certificate, "client-key": private });
    place.kubeconfig(name, &user)
}

/// Everybody that is asked about: how `rbac` writes them, and how kubectl pretends to be them.
fn furnish(place: &Place) -> Vec<(&'static str, Vec<&'static str>)> {
    for namespace in ["shop", "bank"] {
        place.kubectl(&["create", "namespace", namespace]);
    }
    place.kubectl(&["create", "serviceaccount", "robot", "-n", "shop"]);
    for (name, role, who) in [
        ("devs", "edit", "--group=devs"),
        ("viewers", "view", "--user=cy"),
        ("owners", "admin", "--user=bo"),
        ("robots", "edit", "--serviceaccount=shop:robot"),
    ] {
        let role = format!("--clusterrole={role}");
        place.kubectl(&["create", "rolebinding", name, &role, who, "-n", "shop"]);
    }
    place.kubectl(&[
        "create",
        "rolebinding",
        "tellers",
        "--clusterrole=admin",
        "--user=eve",
        "-n",
        "bank",
    ]);
    place.kubectl(&[
        "create",
        "clusterrolebinding",
        "boss",
        "--clusterrole=cluster-admin",
        "--user=dee",
    ]);
    vec![
        ("group/devs", vec!["--as=nobody", "--as-group=devs"]),
        ("user/bo", vec!["--as=bo"]),
        ("user/cy", vec!["--as=cy"]),
        ("user/dee", vec!["--as=dee"]),
        ("user/eve", vec!["--as=eve"]),
        (
            "serviceaccount/shop/robot",
            vec!["--as=system:serviceaccount:shop:robot"],
        ),
    ]
}

#[test]
fn who_can_is_what_the_api_server_says_and_written_roles_are_enough_and_not_more() {
    let place = Place::up("rbac", false);
    let everybody = furnish(&place);
    for (words, server) in [
        (
            &["delete", "secrets", "-n", "shop"][..],
            &["delete", "secrets", "-n", "shop"][..],
        ),
        (
            &["get", "pods/log", "-n", "shop"],
            &["get", "pods/log", "-n", "shop"],
        ),
        (
            &["create", "pods/exec", "-n", "bank"],
            &["create", "pods/exec", "-n", "bank"],
        ),
        (
            &["create", "rolebindings", "-n", "shop"],
            &[
                "create",
                "rolebindings.rbac.authorization.k8s.io",
                "-n",
                "shop",
            ],
        ),
        (&["list", "nodes"], &["list", "nodes"]),
        (&["get", "/metrics"], &["get", "/metrics"]),
    ] {
        same(&place, &everybody, words, server);
    }
    asked_in_the_contexts_namespace(&place);
    walked(&place);
    rightsized(&place);
    unused(&place);
}

/// What is said to be held and not used is what the API server lets somebody do.
fn unused(place: &Place) {
    let log = place.cluster.audit_log.to_str().unwrap();
    let output = place.rbac(&["privilege", "--from", log, "-o", "json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut rows = rows.as_array().unwrap().iter();
    let row = rows.find(|row| row["subject"] == "user/bo").unwrap();
    let unused = row["unused"].as_array().unwrap();
    assert!(!unused.is_empty(), "{row}");
    for right in unused.iter().take(8) {
        let text = |name: &str| right[name].as_str().unwrap_or_default();
        let (kind, sub) = text("resource")
            .split_once('/')
            .unwrap_or((text("resource"), ""));
        let resource = match text("group") {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let sub = format!("--subresource={sub}");
        let ask = [
            "auth",
            "can-i",
            "-q",
            text("verb"),
            &resource,
            &sub,
            "-n",
            "shop",
            "--as=bo",
        ];
        assert!(place.as_person(&place.cluster.kubeconfig, &ask), "{right}");
    }
}

/// As with kubectl, a namespace that is not named is the context's.
fn asked_in_the_contexts_namespace(place: &Place) {
    let copy = place.file("in-bank");
    std::fs::copy(&place.cluster.kubeconfig, &copy).unwrap();
    let set = ["config", "set-context", "--current", "--namespace=bank"];
    assert!(place.as_person(&copy, &set));
    let path = copy.to_str().unwrap();
    let listed = |words: &[&str], who: &str| {
        let mut args = words.to_vec();
        args.extend(["--kubeconfig", path, "-o", "json"]);
        let rows: Value = serde_json::from_slice(&place.rbac(&args).stdout).unwrap();
        let mut rows = rows.as_array().unwrap().iter();
        // What everybody holds, they hold everywhere.
        rows.any(|row| row["subject"] == who && row["namespace"] != "*")
    };
    for (who, user) in [("user/eve", "--as=eve"), ("user/bo", "--as=bo")] {
        for there in [&[][..], &["-n", "shop"], &["-n", "bank"]] {
            let mut ask = vec!["auth", "can-i", "-q", "create", "pods", user];
            ask.extend(there);
            let may = place.as_person(&copy, &ask);
            let mut words = vec!["who-can", "create", "pods"];
            words.extend(there);
            assert_eq!(listed(&words, who), may, "{who} {there:?}");
            let mut words = vec!["can", who];
            words.extend(there);
            assert_eq!(listed(&words, who), may, "{who} {there:?}");
        }
        assert!(listed(&["can", who, "-A"], who));
    }
}

/// Ways that are listed can be gone on the real cluster; without what the cut names they cannot.
fn walked(place: &Place) {
    place.kubectl(&["create", "serviceaccount", "deployer", "-n", "shop"]);
    let everything = json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]);
    place.may("", "deployer", &account("shop", "deployer"), &everything);
    let tokens =
        json!([{ "verbs": ["create"], "apiGroups": [""], "resources": ["serviceaccounts/token"] }]);
    place.may("", "mint", &user("mia"), &tokens);
    let rbac = "rbac.authorization.k8s.io";
    place.may(
        "",
        "bind",
        &user("ben"),
        &json!([
            { "verbs": ["create"], "apiGroups": [rbac], "resources": ["clusterrolebindings"] },
            { "verbs": ["bind"], "apiGroups": [rbac], "resources": ["clusterroles"] },
        ]),
    );
    let group = "certificates.k8s.io";
    place.may("", "sign", &user("cal"), &json!([
        { "verbs": ["create", "get"], "apiGroups": [group], "resources": ["certificatesigningrequests"] },
        { "verbs": ["update"], "apiGroups": [group], "resources": ["certificatesigningrequests/approval"] },
        { "verbs": ["approve"], "apiGroups": [group], "resources": ["signers"] },
    ]));
    closes(place, "user/mia", "asks for a token", &|| by_token(place));
    closes(place, "user/ben", "binds a role that it may bind", &|| {
        by_binding(place)
    });
    let technique = "has a client certificate signed for any name";
    closes(place, "user/cal", technique, &|| by_certificate(place));
}

/// The way is listed and leads there; without the bindings of the cut it is neither.
fn closes(place: &Place, who: &str, technique: &str, walk: &dyn Fn() -> bool) {
    let listed = || -> Value {
        let output = place.rbac(&["paths", who, "-o", "json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let rows = listed();
    assert_eq!(rows[0]["reaches"], "cluster-admin", "{rows}");
    assert_eq!(rows[0]["steps"][0]["does"], technique, "{rows}");
    eventually("the authorizer to know the roles", || walk().then_some(()));
    for binding in rows[0]["cut"].as_array().unwrap() {
        let name = binding
            .as_str()
            .unwrap()
            .strip_prefix("ClusterRoleBinding ");
        place.kubectl(&["delete", "clusterrolebinding", name.unwrap()]);
    }
    eventually("the way to be closed", || (!walk()).then_some(()));
    assert_eq!(listed(), json!([]), "{who} has another way");
}

/// Whether mia becomes an account that may do everything.
fn by_token(place: &Place) -> bool {
    let mut mint = place.cluster.kubectl();
    let mint = mint.args(["create", "token", "deployer", "-n", "shop", "--as=mia"]);
    let output = mint.output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let stronger = place.kubeconfig("minted", &json!({ "token": token.trim() }));
    output.status.success() && place.as_person(&stronger, &["get", "secrets", "-n", "kube-system"])
}

fn by_binding(place: &Place) -> bool {
    let admin = &place.cluster.kubeconfig;
    let all = "--clusterrole=cluster-admin";
    let bind = [
        "create",
        "clusterrolebinding",
        "ben-up",
        all,
        "--user=ben",
        "--as=ben",
    ];
    let bound = place.as_person(admin, &bind);
    let reads = ["get", "secrets", "-n", "kube-system", "--as=ben"];
    let reads = bound
        && eventually("ben to be let", || {
            place.as_person(admin, &reads).then_some(true)
        });
    place.kubectl(&[
        "delete",
        "clusterrolebinding",
        "ben-up",
        "--ignore-not-found",
    ]);
    reads
}

/// Whether cal gets a certificate as dee, who may do everything.
fn by_certificate(place: &Place) -> bool {
    use base64::Engine as _;
    let key = ClientKey::generate().unwrap();
    let csr = key.csr_pem_for("dee", None).unwrap();
    let manifest = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": { "name": "cal-up" },
        "spec": { "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
            "request": base64::engine::general_purpose::STANDARD.encode(csr) },
    });
    let path = place.manifest(&manifest);
    place.kubectl(&["delete", "csr", "cal-up", "--ignore-not-found"]);
    let admin = &place.cluster.kubeconfig;
    let asked = place.as_person(admin, &["create", "--as=cal", "-f", path.to_str().unwrap()])
        && place.as_person(admin, &["certificate", "approve", "cal-up", "--as=cal"]);
    if !asked {
        return false;
    }
    let certificate = eventually("the certificate", || {
        let got = place.kubectl(&[
            "get",
            "csr",
            "cal-up",
            "-o",
            "jsonpath={.status.certificate}",
        ]);
        (!got.is_empty()).then_some(got)
    });
    let key = base64::engine::general_purpose::STANDARD.encode(key.key_pem().expose());
    let user = json!({ "client-certificate-data": certificate, "client-key-data": key });
    let stronger = place.kubeconfig("certified", &user);
    place.as_person(&stronger, &["get", "secrets", "-n", "kube-system"])
}

/// Of everybody, those and only those are listed whom the API server lets.
fn same(place: &Place, everybody: &[(&str, Vec<&str>)], words: &[&str], server: &[&str]) {
    let mut args = vec!["who-can"];
    args.extend(words);
    args.extend(["-o", "json"]);
    let output = place.rbac(&args);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    for (who, pretend) in everybody {
        let mut ask = vec!["auth", "can-i", "-q"];
        ask.extend(server);
        ask.extend(pretend);
        let admin = &place.cluster.kubeconfig;
        let listed = rows.iter().any(|row| row["subject"] == *who);
        assert_eq!(
            listed,
            place.as_person(admin, &ask),
            "{who} {words:?}: {rows:?}"
        );
    }
    let provenance = rows.iter().find(|row| row["subject"] == "user/dee");
    assert!(
        provenance.is_some_and(|row| row["binding"].as_str().unwrap().contains("boss")),
        "{rows:?}"
    );
}

fn rightsized(place: &Place) {
    let ana = person(place, "ana", "devs");
    let done: [&[&str]; 4] = [
        &["get", "pods"],
        &["create", "configmap", "prices", "--from-literal=tea=3"],
        &["get", "configmap", "prices"],
        &["delete", "configmap", "prices"],
    ];
    for args in done {
        assert!(place.as_person(&ana, args), "{args:?}");
    }
    assert!(!place.as_person(&ana, &["get", "secrets", "-n", "bank"]));

    let log = place.cluster.audit_log.to_str().unwrap();
    let roles = place.file("roles");
    let (subject, into) = ("user/ana", roles.to_str().unwrap());
    // An event may be written shortly after its answer.
    let table = eventually("the whole of it in the log", || {
        let output = place.rbac(&[
            "rightsize",
            "--from",
            log,
            "--subject",
            subject,
            "--write",
            into,
        ]);
        let text = std::fs::read_to_string(roles.join("least-user-ana.yaml")).unwrap_or_default();
        let whole = text.contains("delete")
            && text.contains("was refused, and is not given: list secrets in bank");
        (output.status.success() && whole).then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert!(
        table.contains("user/ana") && !table.contains("NO"),
        "{table}"
    );
    let text = std::fs::read_to_string(roles.join("least-user-ana.yaml")).unwrap();
    assert!(
        text.contains("# replaces: ") && text.contains("devs"),
        "{text}"
    );

    place.kubectl(&["delete", "rolebinding", "devs", "-n", "shop"]);
    assert!(!place.as_person(&ana, &["get", "pods"]), "she held more");
    place.kubectl(&["apply", "--dry-run=server", "-f", into]);
    place.kubectl(&["apply", "-f", into]);
    eventually("her rights", || {
        place.as_person(&ana, &["get", "pods"]).then_some(())
    });
    for args in done {
        assert!(
            place.as_person(&ana, args),
            "{args:?} was done, and is refused now"
        );
    }
    for more in [
        &["get", "secrets"][..],
        &["create", "deployment", "x", "--image=x"],
        &["get", "pods", "-n", "bank"],
        &["auth", "can-i", "-q", "delete", "pods"],
    ] {
        assert!(!place.as_person(&ana, more), "{more:?} was never done");
    }
}
