//! `kubestile assess --gate`: what a running gate shows of itself decides controls, on its machine and from
//! elsewhere, and a policy that is put in or taken away turns them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use kubestile_tests::{Gate, Person, cluster, eventually};
use serde_json::Value;

#[test]
fn a_gate_decides_and_its_policies_turn_it() {
    let policies = tempfile::tempdir().unwrap();
    let flags = ["--policies", policies.path().to_str().unwrap()];
    let gate = Gate::start_with(cluster(), &flags);
    let sam = gate.person("sam", &["viewer", "security"]);
    let ana = gate.person("ana", &["viewer"]);
    sam.ok(&["get", "pods", "-n", "shop"]);
    let saved = policies.path().join("before.json");

    // What sam asked for is in the log within a moment.
    let here = eventually("kubectl's request is read in the gate's log", || {
        let here = assess(
            &sam,
            gate.dir().to_str().unwrap(),
            &["--save", saved.to_str().unwrap()],
        );
        (finding(&here, "S3-16")["outcome"] != "unknown").then_some(here)
    });
    for (control, outcome) in [
        // A login code is one factor.
        ("S1-02", "fail"),
        ("S3-05", "pass"),
        ("S3-08", "pass"),
        ("S3-14", "pass"),
        ("S3-16", "pass"),
        ("S3-17", "fail"),
        ("S3-19", "pass"),
        ("S4-02", "fail"),
        ("S4-03", "fail"),
        ("S4-04", "fail"),
        ("S4-07", "pass"),
        ("S4-10", "pass"),
        ("S4-13", "unknown"),
    ] {
        assert_eq!(finding(&here, control)["outcome"], outcome, "{control}");
    }
    let held = finding(&here, "S4-03");
    assert!(
        held["evidence"]
            .to_string()
            .contains("enter a pod in kube-system (R4)"),
        "{held}"
    );

    from_elsewhere(&gate, &sam, &ana);
    a_policy_turns_it(&gate, &sam, policies.path(), &saved, held);
}

/// A gate behind a URL is believed no further than its word, and shows itself to the job function security only.
fn from_elsewhere(gate: &Gate, sam: &Person, ana: &Person) {
    let there = assess(sam, &gate.url, &[]);
    let decides = finding(&there, "S3-08");
    assert_eq!(decides["outcome"], "pass");
    assert!(decides["confidence"].as_u64().unwrap() <= 60, "{decides}");
    let word = format!("the gate at {}, by its own word", gate.url);
    assert!(decides["evidence"].to_string().contains(&word), "{decides}");
    assert_eq!(finding(&there, "S4-03")["outcome"], "fail");
    assert_eq!(
        finding(&there, "S3-14")["outcome"],
        "unknown",
        "its log was not read"
    );

    let refused = assess(ana, &gate.url, &[]);
    for control in ["S3-19", "S4-02", "S4-03", "S4-07"] {
        let finding = finding(&refused, control);
        assert_eq!(finding["outcome"], "unknown", "{finding}");
        assert!(
            finding["summary"].as_str().unwrap().contains("security"),
            "{finding}"
        );
    }
}

/// The plan's policy is judged by the engine first, written where the gate reads it, and taken back.
fn a_policy_turns_it(gate: &Gate, sam: &Person, policies: &Path, saved: &Path, held: &Value) {
    let line = held["fix"]["changes"][0]["command"].as_str().unwrap();
    let (_, file) = line.split_once(" > POLICIES/").unwrap();
    let place = gate.dir();
    let place = place.to_str().unwrap();
    let plan = json(run(
        sam,
        &[
            "advance", "plan", "--to", "4", "-o", "json", "--gate", place,
        ],
    ));
    let steps = plan["steps"].as_array().unwrap();
    let step = |control: &str| {
        let found = steps.iter().find(|s| s["control"] == control);
        found.unwrap_or_else(|| panic!("no step for {control}: {plan}"))
    };
    assert_eq!(step("S4-03")["flips"].to_string(), r#"["S4-03"]"#);
    let change = &step("S4-03")["changes"][0]["policy"];
    assert_eq!(change["path"], policies.join(file).to_str().unwrap());
    assert!(
        change["content"]
            .as_str()
            .unwrap()
            .contains("context.risk >= 4")
    );
    // Reading pods is no change, and no policy of the plan would have stood in its way.
    let replay = &step("S4-01")["replay"];
    assert!(replay["requests"].as_u64().unwrap() > 0, "{replay}");
    assert_eq!((&replay["held"], &replay["denied"]), (&0.into(), &0.into()));
    // Nobody could name a ticket: only the half of it is written.
    assert!(!step("S4-02").to_string().contains("grants-name-a-ticket"));
    let tickets = plan["byHand"].as_array().unwrap().iter();
    assert!(
        tickets
            .map(ToString::to_string)
            .any(|b| b.contains("`tickets`"))
    );
    let open = plan["whyOpen"]["S4-04"].as_str().unwrap();
    assert!(open.contains("no score"), "{open}");

    let journal = saved.with_file_name("gate-journal.json");
    let journal = journal.to_str().unwrap();
    let view = run_kubectl(&["config", "current-context"]);
    let only = ["--only", "S4-03", "--only", "S3-11", "--only", "S4-02"];
    let mut apply = vec!["advance", "apply", "--to", "4", "--yes", "--gate", place];
    apply.extend(["--journal", journal, "--break-glass", view.trim()]);
    apply.extend(only);
    let made = run(sam, &apply);
    assert!(made.status.success(), "{made:?}");
    // It has waited until the gate had taken them up.
    let after = policies.join("after.json");
    let now = assess(sam, place, &["--save", after.to_str().unwrap()]);
    for (control, outcome) in [("S4-03", "pass"), ("S3-11", "pass"), ("S4-02", "fail")] {
        assert_eq!(finding(&now, control)["outcome"], outcome, "{control}");
    }
    assert_eq!(
        finding(&now, "S4-13")["outcome"],
        "fail",
        "a file that is not signed"
    );
    let check = run(
        sam,
        &["policy", "check", "--policies", policies.to_str().unwrap()],
    );
    assert!(check.status.success(), "{check:?}");
    assert!(
        !String::from_utf8_lossy(&check.stderr).contains("warning"),
        "{check:?}"
    );

    // What the gate showed was saved, and is judged the same without it.
    let again = json(run(
        sam,
        &["assess", "-o", "json", "--from", after.to_str().unwrap()],
    ));
    assert_eq!(finding(&again, "S4-03"), finding(&now, "S4-03"));
    let files = [saved.to_str().unwrap(), after.to_str().unwrap()];
    let diff = run(sam, &["assess", "diff", files[0], files[1]]);
    assert!(
        String::from_utf8_lossy(&diff.stdout).contains("S4-03"),
        "{diff:?}"
    );

    let back = run(sam, &["advance", "rollback", journal, "--yes"]);
    assert!(back.status.success(), "{back:?}");
    assert!(!policies.join(file).exists());
    let back = assess(sam, place, &[]);
    assert_eq!(finding(&back, "S4-03")["outcome"], "fail");
    assert_eq!(finding(&back, "S3-11")["outcome"], "fail");
}

fn run_kubectl(args: &[&str]) -> String {
    let output = cluster().kubectl().args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn assess(person: &Person, gate: &str, more: &[&str]) -> Value {
    let mut args = vec!["assess", "-o", "json", "--gate", gate];
    args.extend(more);
    json(run(person, &args))
}

/// With the cluster's own administrator's kubeconfig, as whoever audits has it, and this person's login.
fn run(person: &Person, args: &[&str]) -> Output {
    let mut command: Command = person.kubestile();
    command
        .args(args)
        .env("KUBECONFIG", &cluster().kubeconfig)
        .stdin(Stdio::null());
    command.output().unwrap()
}

fn json(output: Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

fn finding<'a>(assessment: &'a Value, control: &str) -> &'a Value {
    let findings = assessment["findings"].as_array().unwrap();
    findings.iter().find(|f| f["control"] == control).unwrap()
}
