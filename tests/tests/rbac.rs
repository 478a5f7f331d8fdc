//! `kubestile rbac` against a real API server: what it says of rights is what the server judges, and the roles
//! that it writes from the server's own audit log are enough and not more.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kubestile_authn::ClientKey;
use kubestile_cluster::{Upstream, break_glass};
use kubestile_core::Ttl;
use kubestile_devcluster::{DownOnDrop, Kubernetes, Options};
use kubestile_tests::eventually;
use kubestile_tests::gate::binary;
use serde_json::{Value, json};

struct Place {
    cluster: DownOnDrop,
    dir: tempfile::TempDir,
}

impl Place {
    fn up() -> Self {
        let mut options = Options::new("rbac".parse().unwrap());
        options.kubernetes = Kubernetes::V1_36;
        options.node = false;
        Self {
            cluster: kubestile_devcluster::up(&options, &mut |_| {})
                .unwrap()
                .down_on_drop(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// As the administrator.
    fn kubectl(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn as_person(&self, kubeconfig: &Path, args: &[&str]) -> bool {
        let mut kubectl = self.cluster.kubectl();
        let kubectl = kubectl.env("KUBECONFIG", kubeconfig).args(args);
        kubectl.output().unwrap().status.success()
    }

    fn rbac(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .arg("rbac")
            .args(args)
            .current_dir(self.dir.path())
            .env("KUBECONFIG", &self.cluster.kubeconfig)
            .env("HOME", self.dir.path())
            .output()
            .unwrap()
    }

    /// Somebody with a real certificate of the cluster, as a kubeconfig.
    fn person(&self, name: &str, group: &str) -> PathBuf {
        let key = ClientKey::generate().unwrap();
        let csr = key.csr_pem_for(name, Some(group)).unwrap();
        let certified = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let admin = Upstream::from_kubeconfig(Some(&self.cluster.kubeconfig), None);
            let admin = admin.await.unwrap();
            break_glass::certify(&admin, &csr, Ttl::from_secs(3600)).await
        });
        let (certificate, private) = (self.file("crt"), self.file("key"));
        std::fs::write(&certificate, certified.unwrap().pem).unwrap();
        std::fs::write(&private, key.key_pem().expose()).unwrap();
        let path = self.file(name);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": {
                "server": self.cluster.server, "certificate-authority": self.cluster.ca } }],
            "users": [{ "name": "c", "user": {
                "client-certificate": certificate, "client-key": private } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c", "namespace": "shop" } }],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Everybody that is asked about: how `rbac` writes them, and how kubectl pretends to be them.
    fn furnish(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        for namespace in ["shop", "bank"] {
            self.kubectl(&["create", "namespace", namespace]);
        }
        self.kubectl(&["create", "serviceaccount", "robot", "-n", "shop"]);
        for (name, role, who) in [
            ("devs", "edit", "--group=devs"),
            ("viewers", "view", "--user=cy"),
            ("owners", "admin", "--user=bo"),
            ("robots", "edit", "--serviceaccount=shop:robot"),
        ] {
            let role = format!("--clusterrole={role}");
            self.kubectl(&["create", "rolebinding", name, &role, who, "-n", "shop"]);
        }
        self.kubectl(&[
            "create",
            "rolebinding",
            "tellers",
            "--clusterrole=admin",
            "--user=eve",
            "-n",
            "bank",
        ]);
        self.kubectl(&[
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
}

#[test]
fn who_can_is_what_the_api_server_says_and_written_roles_are_enough_and_not_more() {
    let place = Place::up();
    let everybody = place.furnish();
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
    rightsized(&place);
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
    let ana = place.person("ana", "devs");
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
