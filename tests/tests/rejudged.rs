//! Open streams are judged again as everything stands: when the policies change, and when their person loses a
//! job function. What would be refused now ends, and says why; everything else goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kubestile_tests::gate::Waiting;
use kubestile_tests::{Field, Gate, Person, cluster, eventually, eventually_within};

/// Far above the promise, so that a busy machine does not fail the test, and below the half minute after
/// which every stream is judged again in any case.
const SOON: Duration = Duration::from_secs(20);

fn exec(person: &Person) -> Waiting {
    let exec = ["exec", "-i", "-n", "shop", "deploy/web", "--", "sh", "-c"];
    let mut open = person.start(&[&exec[..], &["echo up; cat"]].concat());
    open.has_begun();
    open
}

fn watch(person: &Person) -> Waiting {
    let mut open = person.start(&["get", "--raw", "/api/v1/namespaces/shop/pods?watch=1"]);
    open.has_begun();
    open
}

/// Ends soon, while its input is open, and says this.
fn ends(mut open: Waiting, why: &[&str]) {
    eventually_within(SOON, "it ends", || (!open.runs()).then_some(()));
    let (_, said) = open.ended();
    for part in why {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// Still carries what is typed, both ways.
fn goes_on(mut exec: Waiting) {
    exec.says("still here\n");
    let (code, said) = exec.ended();
    assert_eq!((code, said.contains("still here")), (0, true), "{said}");
}

/// A gate with a directory of policies.
fn gate(policies: &Path) -> Gate {
    let lines = format!("policies: {{directories: [{}]}}", policies.display());
    Gate::start(cluster()).restart_with_config(&lines)
}

/// Makes the gate read its policies now.
fn reload(gate: &Gate) {
    let hup = ["-HUP", &gate.pid().to_string()];
    assert!(Command::new("kill").args(hup).status().unwrap().success());
}

#[test]
fn a_policy_that_forbids_an_open_stream_ends_it_and_no_other() {
    let policies = tempfile::tempdir().unwrap();
    let gate = gate(policies.path());
    let ana = gate.person("ana", &["viewer", "operator:shop"]);
    let bob = gate.person("bob", &["viewer", "operator:shop"]);
    let (hers, his, mut watch) = (exec(&ana), exec(&bob), watch(&ana));

    // What cannot be read changes nothing.
    let file = policies.path().join("no-exec.cedar");
    std::fs::write(&file, "forbid (").unwrap();
    reload(&gate);
    eventually("the gate says so", || {
        gate.log().contains("policies NOT reloaded").then_some(())
    });

    let forbid = "@id(\"ana-enters-nothing\") @reason(\"ana enters no pods today\")\n\
                  forbid (principal == User::\"ana\", action == Action::\"exec\", resource);\n";
    std::fs::write(&file, forbid).unwrap();
    reload(&gate);
    ends(hers, &["ana enters no pods today", "ana-enters-nothing"]);
    assert!(watch.runs());
    goes_on(his);

    let forbid = "@id(\"nobody-watches\") @reason(\"nobody watches today\")\n\
                  forbid (principal, action == Action::\"watch\", resource);\n";
    std::fs::write(&file, forbid).unwrap();
    reload(&gate);
    ends(
        watch,
        &["AccessEnded", "nobody watches today", "nobody-watches"],
    );
    let log = gate.admin_ok(&["audit", "search", "-o", "json"]);
    assert!(log.contains("access-ended"), "{log}");
}

#[test]
fn whoever_loses_a_job_function_loses_the_streams_that_stood_on_it() {
    let gate = Gate::start(cluster());
    let ana = gate.person("ana", &["viewer", "operator:shop"]);
    let bob = gate.person("bob", &["viewer", "operator:shop"]);
    let (hers, his, mut watching) = (exec(&ana), exec(&bob), watch(&ana));
    gate.admin_ok(&["people", "functions", "ana", "viewer"]);
    ends(hers, &["operator"]);
    assert!(watching.runs(), "a viewer watches");
    goes_on(his);
    gate.admin_ok(&["people", "functions", "ana", "--none"]);
    ends(watching, &["AccessEnded", "no policy permits it any more"]);
}

/// An approval gives a job function to one request, for as long as its person may ask for it.
#[test]
fn an_approved_stream_ends_with_the_right_to_ask_for_it() {
    let field = Field::new();
    let exec = ["exec", "-n", "shop", "deploy/web", "--", "sh", "-c"];
    let command = ["echo up; exec sleep 120"];
    let mut open = field.ana.start(&[&exec[..], &command].concat());
    assert_eq!(field.approve(&field.bob, &field.waiting()).0, 200);
    open.has_begun();
    let functions = |all: &[&str]| {
        let change = [&["people", "functions", "ana"][..], all].concat();
        field.gate.admin_ok(&change);
    };
    functions(&["viewer", "security"]);
    assert!(open.runs(), "a viewer may ask");
    functions(&["--none"]);
    ends(open, &["no policy permits it any more"]);
}
