//! A cluster of one's own where rights are handed out and tried: `kubestile rbac` beside it, and people in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kubestile_devcluster::{DownOnDrop, Kubernetes, Options};
use serde_json::{Value, json};

use crate::gate::binary;

const GROUP: &str = "rbac.authorization.k8s.io";

/// A cluster that goes with the test, and a directory.
pub struct Place {
    /// The cluster.
    pub cluster: DownOnDrop,
    dir: tempfile::TempDir,
}

impl Place {
    /// Starts it.
    pub fn up(name: &str, node: bool) -> Self {
        let mut options = Options::new(name.parse().unwrap());
        options.kubernetes = Kubernetes::V1_36;
        options.node = node;
        Self {
            cluster: kubestile_devcluster::up(&options, &mut |_| {})
                .unwrap()
                .down_on_drop(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// As the administrator.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command prints for whoever a kubeconfig is of; none if it fails.
    pub fn says(&self, kubeconfig: &Path, args: &[&str]) -> Option<String> {
        let mut kubectl = self.cluster.kubectl();
        let kubectl = kubectl.env("KUBECONFIG", kubeconfig).args(args);
        let output = kubectl.output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(printed)
    }

    /// Whether they may.
    pub fn as_person(&self, kubeconfig: &Path, args: &[&str]) -> bool {
        self.says(kubeconfig, args).is_some()
    }

    /// `kubestile rbac`, as the administrator.
    pub fn rbac(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .arg("rbac")
            .args(args)
            .current_dir(self.dir.path())
            .env("KUBECONFIG", &self.cluster.kubeconfig)
            .env("HOME", self.dir.path())
            .output()
            .unwrap()
    }

    /// The same, as it is for programs.
    pub fn rbac_json(&self, args: &[&str]) -> Value {
        let mut words = args.to_vec();
        words.extend(["-o", "json"]);
        let output = self.rbac(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A role of this name, bound to somebody in a namespace, or in the whole cluster if it is empty.
    pub fn may(&self, namespace: &str, role: &str, subject: &Value, rules: &Value) {
        let version = format!("{GROUP}/v1");
        let (kind, metadata) = match namespace {
            "" => ("ClusterRoleBinding", json!({ "name": role })),
            _ => (
                "RoleBinding",
                json!({ "name": role, "namespace": namespace }),
            ),
        };
        self.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": role }, "rules": rules },
            { "apiVersion": version, "kind": kind, "metadata": metadata,
                "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role }, "subjects": [subject] },
        ]}));
    }

    /// As the administrator.
    pub fn apply(&self, manifest: &Value) {
        let path = self.manifest(manifest);
        self.kubectl(&["apply", "-f", path.to_str().unwrap()]);
    }

    /// In a file.
    pub fn manifest(&self, manifest: &Value) -> PathBuf {
        let path = self.file("manifest.json");
        std::fs::write(&path, manifest.to_string()).unwrap();
        path
    }

    /// For somebody with these credentials.
    pub fn kubeconfig(&self, name: &str, user: &Value) -> PathBuf {
        let path = self.file(name);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": {
                "server": self.cluster.server, "certificate-authority": self.cluster.ca } }],
            "users": [{ "name": "c", "user": user }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c", "namespace": "shop" } }],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    /// A path in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A subject of a binding.
pub fn user(name: &str) -> Value {
    json!({ "kind": "User", "apiGroup": GROUP, "name": name })
}

/// A service account as a subject.
pub fn account(namespace: &str, name: &str) -> Value {
    json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
}
