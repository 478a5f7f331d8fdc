//! A gate whose account can do more than it should refuses to serve that cluster, says why, and
//! serves it again once the account is as it should be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use kubestile_tests::{Gate, cluster, eventually_within};

const BINDING: &str = "kubestile-test-excess";

/// More than one check of the account, at the shortest interval that the configuration allows.
const CHECKS: Duration = Duration::from_secs(60);

/// Takes the binding away, whatever the outcome.
struct Excess;

impl Excess {
    fn give() -> Self {
        let account = "--serviceaccount=kubestile-system:kubestile-gate";
        let create = [
            "create",
            "clusterrolebinding",
            BINDING,
            "--clusterrole=view",
            account,
        ];
        let created = cluster()
            .kubectl()
            .args(create)
            .output()
            .expect("kubectl runs");
        assert!(created.status.success(), "{created:?}");
        Self
    }
}

impl Drop for Excess {
    fn drop(&mut self) {
        let delete = [
            "delete",
            "clusterrolebinding",
            BINDING,
            "--ignore-not-found",
        ];
        let _ = cluster().kubectl().args(delete).output();
    }
}

#[test]
fn a_cluster_is_not_served_with_an_account_that_can_do_too_much() {
    let gate = Gate::start(cluster()).restart_with_config("accounts: {check: 10s}");
    let ana = gate.person("ana", &["viewer"]);
    ana.ok(&["get", "pods", "-n", "shop"]);

    let excess = Excess::give();
    let refusal = eventually_within(CHECKS, "the cluster is refused", || {
        let (code, _, err) = ana.run(&["get", "configmaps", "-n", "shop"]);
        (code != 0).then_some(err)
    });
    assert!(
        refusal.contains("ServiceUnavailable") && refusal.contains("kubestile"),
        "{refusal}"
    );

    drop(excess);
    eventually_within(CHECKS, "the cluster is served again", || {
        let (code, _, _) = ana.run(&["get", "configmaps", "-n", "shop"]);
        (code == 0).then_some(())
    });
}
