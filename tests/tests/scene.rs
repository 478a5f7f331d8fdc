//! The scene of the README, with the real kubectl against a real Kubernetes: what is allowed works,
//! what is refused says who decided, why and what to do, and all of it stands in a log that programs
//! we did not write verify.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::process::Command;

use kubestile_tests::{Gate, cluster, eventually};

#[test]
fn allowed_refused_and_recorded() {
    let gate = Gate::start(cluster());
    let ana = gate.person("ana", &["viewer", "operator:shop"]);

    let pods = ana.ok(&["get", "pods", "-n", "shop"]);
    assert!(pods.contains("web-") && pods.contains("Running"), "{pods}");

    let refusal = ana.refused(&["delete", "deployment", "web", "-n", "shop"]);
    assert!(
        refusal.starts_with("Error from server (ApprovalRequired): approval required"),
        "{refusal}"
    );
    assert!(refusal.contains("(policy "), "who decided: {refusal}");
    assert!(refusal.contains("Next: "), "what to do: {refusal}");
    let kept = ana.ok(&["get", "deployment", "web", "-n", "shop", "-o", "name"]);
    assert_eq!(kept.trim(), "deployment.apps/web");

    let said = ana.ok(&[
        "exec",
        "-n",
        "shop",
        "deploy/web",
        "--",
        "echo",
        "from inside",
    ]);
    assert_eq!(said, "from inside\n");

    let secret = ana.refused(&["get", "secret", "till", "-n", "shop"]);
    assert!(secret.starts_with("Error from server"), "{secret}");

    let found = eventually("the exec's end in the log", || {
        let text = gate.admin_ok(&["audit", "search", "--person", "ana", "-o", "json"]);
        let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let text = found.to_string();
        (text.contains("\"exec\"") && text.contains("\"hold\"")).then_some(text)
    });
    assert!(
        found.contains("from inside"),
        "the exec's command is in the log: {found}"
    );
    assert!(!found.contains("hunter2"));
    verified_by_others(&gate);
}

/// Our own verifier, and Go's `golang.org/x/mod/sumdb`, on the same directory.
fn verified_by_others(gate: &Gate) {
    let verified = gate.admin_ok(&["audit", "verify"]);
    assert!(
        verified.contains("verified") || verified.contains("ok"),
        "{verified}"
    );
    let log = gate.dir().join("audit");
    let vkey = std::fs::read_to_string(log.join("log.vkey")).expect("the log's public key");
    let golog = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golog");
    let go = || {
        Command::new("go")
            .args(["run", "."])
            .arg(&log)
            .arg(vkey.trim())
            .current_dir(&golog)
            .output()
            .expect("Go runs")
    };
    let output = go();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("OK size="),
        "{output:?}"
    );
}
