//! What end-to-end tests stand on: a real Kubernetes, the real `kubestile` in front of it, and the
//! real `kubectl`. Nothing here is imitated.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test harness fails by panicking"
)]

pub mod browser;
pub mod field;
pub mod gate;
pub mod python;
pub mod raw;
pub mod rights;
pub mod services;
pub mod wait;

use std::sync::OnceLock;

use kubestile_devcluster::{Cluster, Options};

pub use browser::Browser;
pub use field::Field;
pub use gate::{Gate, Person};
pub use services::Services;
pub use wait::{eventually, eventually_within};

/// The cluster that all test binaries share; whoever comes first starts it, `cargo xtask test` takes
/// it down.
pub const CLUSTER: &str = "e2e";

/// A program that a test has started; it ends with the test, whatever the outcome.
pub struct Running(pub std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The shared cluster, with the namespace `shop` and what is in it.
pub fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let options = Options::new(CLUSTER.parse().expect("a cluster's name"));
        let cluster = kubestile_devcluster::up(&options, &mut |_| {}).expect("a Kubernetes");
        furnish(&cluster);
        cluster
    })
}

/// The shop: a deployment of two pods, a config map and a secret. Applying it again changes nothing.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prices, namespace: shop}
data: {tea: "3"}
---
apiVersion: v1
kind: Secret
metadata: {name: till, namespace: shop}
stringData: {pin: "hunter2"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: docker.io/library/busybox:latest
        imagePullPolicy: IfNotPresent
        command: ["sh", "-c", "echo open; mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"]
"#;

fn furnish(cluster: &Cluster) {
    use std::io::Write;
    let mut apply = cluster
        .kubectl()
        .args(["apply", "-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("kubectl runs");
    apply
        .stdin
        .take()
        .expect("stdin")
        .write_all(SHOP.as_bytes())
        .expect("kubectl reads");
    assert!(
        apply.wait().expect("kubectl ends").success(),
        "the shop could not be set up"
    );
    let rollout = cluster
        .kubectl()
        .args([
            "rollout",
            "status",
            "deployment/web",
            "-n",
            "shop",
            "--timeout=120s",
        ])
        .stdout(std::process::Stdio::null())
        .status()
        .expect("kubectl runs");
    assert!(rollout.success(), "the shop did not open");
}
