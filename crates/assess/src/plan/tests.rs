use serde_json::json;

use super::*;
use crate::snapshot::{Binding, Gate, GateCluster, Namespace, PolicyEffect, Source};
use crate::traffic::event::{Event, Target, Who};
use crate::traffic::fold::Fold;

const STOCK: &str = include_str!("../../testdata/kubeadm-1.36.json");

/// A stock cluster with what people do to it.
fn lived_in() -> Snapshot {
    let mut snapshot = Snapshot::from_json(STOCK.as_bytes()).unwrap();
    let binding = |name: &str, role: &str, users: &[&str]| -> Binding {
        let subjects: Vec<_> = users
            .iter()
            .map(|u| json!({ "kind": "User", "name": u }))
            .collect();
        serde_json::from_value(json!({
            "metadata": { "name": name },
            "roleRef": { "kind": "ClusterRole", "name": role },
            "subjects": subjects,
        }))
        .unwrap()
    };
    let bindings = snapshot.rbac.cluster_role_bindings.known_mut().unwrap();
    bindings.push(binding("admins", "cluster-admin", &["ana", "bob", "eve"]));
    bindings.push(binding("anybody", "view", &["system:anonymous"]));
    bindings.push(binding("devs", "edit", &["dev"]));
    let shop: Namespace =
        serde_json::from_value(json!({ "metadata": { "name": "shop" } })).unwrap();
    snapshot.namespaces.known_mut().unwrap().push(shop);
    snapshot
}

fn none() -> Exceptions {
    Exceptions::default()
}

/// Whoever comes past a gate that is not there has no other way.
#[test]
fn nobody_is_told_to_come_through_a_gate_that_does_not_serve_the_cluster() {
    let mut snapshot = lived_in();
    let mut fold = Fold::default();
    let ana = Who {
        name: "ana",
        credential: "JTI=1",
        ..Who::default()
    };
    let target = Target::Path("/version");
    fold.add(&request(ana, target), &mut |_| true);
    snapshot.traffic = Source::Known(fold.finish(Vec::new()));
    let shuts = |snapshot: &Snapshot| {
        let plan = plan(snapshot, &none(), Stage::LAST, &Wishes::default());
        serde_json::to_string(&plan.steps)
            .unwrap()
            .contains("kubestile-gate-only")
    };
    let fails = |snapshot: &Snapshot| {
        let grade = assess(snapshot, &none());
        grade.finding("S3-09").unwrap().verdict.outcome == Outcome::Fail
    };
    assert!(fails(&snapshot) && !shuts(&snapshot));
    let mut gate = Gate {
        clusters: vec![GateCluster {
            server: "https://another.example.com".to_owned(),
            served: true,
            ..GateCluster::default()
        }],
        ..Gate::default()
    };
    snapshot.gate = Source::Known(gate.clone());
    assert!(!shuts(&snapshot), "the gate of another cluster");
    gate.clusters[0].server.clone_from(&snapshot.cluster.server);
    snapshot.gate = Source::Known(gate);
    assert!(fails(&snapshot) && shuts(&snapshot));
}

#[test]
fn what_somebody_does_at_the_gate_is_foreseen_and_named() {
    let mut snapshot = lived_in();
    let item = |snapshot: &Snapshot, control: &str| {
        let plan = plan(snapshot, &none(), Stage::LAST, &Wishes::default());
        let found = plan
            .by_hand
            .iter()
            .find(|b| b.controls.iter().any(|c| c == control));
        (found.cloned(), plan)
    };
    let (without, plan) = item(&snapshot, "S3-08");
    let without = without.unwrap();
    assert_eq!(without.commands, ["kubestile up"]);
    assert!(without.flips.contains(&"S3-08".to_owned()), "{without:?}");
    assert!(plan.why_open["S3-08"].contains("nothing decides"));
    let facts = json!({
        "clusters": [{ "server": snapshot.cluster.server, "trials": 15, "unheld": ["change a node (R4)"], "weakestLogin": "code" }],
        "scoresRisk": false,
    });
    snapshot.gate = Source::Known(Gate {
        clusters: vec![GateCluster {
            server: snapshot.cluster.server.clone(),
            served: true,
            ..GateCluster::default()
        }],
        facts: Some(serde_json::from_value(facts).unwrap()),
        ..Gate::default()
    });
    for control in ["S4-03", "S1-02"] {
        let (found, plan) = item(&snapshot, control);
        let found = found.unwrap();
        assert_eq!(found.flips, [control], "{found:?}");
        assert!(
            found
                .commands
                .iter()
                .any(|c| c.starts_with("printf ") && c.contains(" > POLICIES/")),
            "{found:?}"
        );
        assert!(
            plan.still_open.iter().any(|c| c == control),
            "it is not done yet"
        );
    }
    // What no configuration of this release gives is said, and nothing is promised.
    let (score, plan) = item(&snapshot, "S4-04");
    assert_eq!(score.unwrap().flips, [""; 0]);
    assert!(plan.why_open["S4-04"].contains("no score"));
}

fn request<'a>(user: Who<'a>, target: Target<'a>) -> Event<'a> {
    Event {
        id: "",
        at: Some(1),
        stage: "ResponseComplete",
        uri: "",
        verb: "get",
        target,
        user,
        impersonated: None,
        address: "10.0.0.7",
        agent: "",
        code: 200,
        authorized: Some(true),
        command: None,
    }
}

/// Makes every step, then takes every step back.
#[test]
fn steps_flip_what_they_say_and_rolling_back_leaves_no_trace() {
    let start = lived_in();
    let plan = plan(&start, &none(), Stage::LAST, &Wishes::default());
    let mut now = start.clone();
    for step in &plan.steps {
        let before = assess(&now, &none());
        for change in &step.changes {
            now.edit(change).unwrap();
        }
        let after = assess(&now, &none());
        for flipped in &step.flips {
            assert_ne!(
                before.finding(flipped).unwrap().verdict.outcome,
                Outcome::Pass,
                "{flipped}"
            );
            assert_eq!(
                after.finding(flipped).unwrap().verdict.outcome,
                Outcome::Pass,
                "{flipped}"
            );
        }
    }
    assert_eq!(assess(&now, &none()).stage, plan.predicted);
    let mut back = now;
    for change in plan.steps.iter().rev().flat_map(|s| &s.rollback) {
        back.edit(change).unwrap();
    }
    let outcomes = |s: &Snapshot| -> Vec<_> {
        assess(s, &none())
            .findings
            .into_iter()
            .map(|f| (f.control, f.verdict.outcome, f.verdict.summary))
            .collect()
    };
    assert_eq!(outcomes(&back), outcomes(&start));
    let flipped: Vec<&str> = plan
        .steps
        .iter()
        .flat_map(|s| &s.flips)
        .map(String::as_str)
        .collect();
    for control in ["S0-09", "S0-11", "S2-17", "S3-02"] {
        assert!(flipped.contains(&control), "{control} of {flipped:?}");
    }
}

#[test]
fn the_way_in_is_never_planned_away() {
    let start = lived_in();
    let keep = BreakGlass {
        user: "ana".to_owned(),
        groups: vec!["system:authenticated".to_owned()],
    };
    let plan = plan(
        &start,
        &none(),
        Stage::LAST,
        &Wishes {
            keep: Some(&keep),
            ..Wishes::default()
        },
    );
    let mut now = start;
    for change in plan.steps.iter().flat_map(|s| &s.changes) {
        now.edit(change).unwrap();
        assert!(may_everything(&now, &keep), "{change:?}");
    }
    assert!(
        plan.by_hand.iter().any(|b| b.why.contains("lock out")),
        "{:?}",
        plan.by_hand
    );
}

#[test]
fn what_a_program_cannot_do_is_named() {
    let plan = plan(&lived_in(), &none(), Stage::ALL[1], &Wishes::default());
    let flag = plan
        .by_hand
        .iter()
        .find(|b| b.controls == ["S0-13"])
        .unwrap();
    assert!(
        flag.commands
            .iter()
            .any(|c| c.contains("--audit-policy-file")),
        "{flag:?}"
    );
    assert!(plan.still_open.contains(&"S0-01".to_owned()));
    assert!(
        plan.steps
            .iter()
            .all(|s| !s.rollback.is_empty() && !s.blast.is_empty())
    );
}

#[test]
fn a_change_that_does_not_fit_any_more_changes_nothing() {
    let mut snapshot = lived_in();
    let bindings = snapshot.rbac.cluster_role_bindings.known().unwrap();
    let object = crate::snapshot::ObjectRef::new("clusterrolebinding", "", "admins");
    assert!(bindings.iter().any(|b| b.metadata.name == "admins"));
    let before = snapshot.clone();
    let stale = Change::Patch {
        object: object.clone(),
        patch: json!([
            { "op": "test", "path": "/subjects/0", "value": { "kind": "User", "name": "bob" } },
            { "op": "remove", "path": "/subjects/0" },
        ]),
    };
    assert!(snapshot.edit(&stale).is_err());
    assert_eq!(snapshot, before);
    snapshot.rbac.cluster_role_bindings = Source::absent(crate::snapshot::Why::Forbidden, "no");
    assert!(snapshot.edit(&Change::Delete(object)).is_err());
}

/// What is written for one control is not written again for another that something else decides.
#[test]
fn no_step_changes_nothing() {
    let mut snapshot = lived_in();
    snapshot.control_plane.directory = Some("/etc/kubernetes".to_owned());
    snapshot.gate = Source::Known(Gate {
        clusters: vec![GateCluster {
            server: snapshot.cluster.server.clone(),
            served: true,
            ..GateCluster::default()
        }],
        facts: Some(
            serde_json::from_value(json!({
                "clusters": [{ "server": snapshot.cluster.server, "trials": 15, "weakestLogin": "code" }],
            }))
            .unwrap(),
        ),
        ..Gate::default()
    });
    let issuer = Issuer {
        url: "https://login.example.com".to_owned(),
        audience: "prod".to_owned(),
    };
    let wishes = Wishes {
        issuer: Some(&issuer),
        ..Wishes::default()
    };
    let plan = plan(&snapshot, &none(), Stage::LAST, &wishes);
    let mut seen = Vec::new();
    for change in plan.steps.iter().flat_map(|s| &s.changes) {
        assert!(!seen.contains(&change), "{change:?}");
        seen.push(change);
    }
    let mut by_hand = plan.by_hand.iter();
    assert!(
        by_hand.any(|b| b.controls == ["S1-02"]),
        "{:?}",
        plan.by_hand
    );
}

/// A gate on this machine, as far as a plan borrows it.
#[derive(Debug)]
struct OfGate {
    refuses: &'static str,
    has: &'static str,
}

impl Engine for OfGate {
    fn with(&self, files: &[(String, String)]) -> Result<PolicyEffect, String> {
        let is_there = |id: &str| files.iter().any(|(name, _)| name == &format!("{id}.cedar"));
        if is_there(self.refuses) {
            return Err("another policy has this id".to_owned());
        }
        let standing = match is_there("changes-need-a-grant") {
            true => Vec::new(),
            false => vec!["enter a pod".to_owned()],
        };
        let unheld = match is_there("dangerous-needs-approval") {
            true => Vec::new(),
            false => vec!["change a node (R4)".to_owned()],
        };
        Ok(PolicyEffect {
            trials: 15,
            unheld,
            standing: Some(standing),
            loose: Some(vec!["a grant of `admin` that names no ticket".to_owned()]),
            ..PolicyEffect::default()
        })
    }

    fn has(&self, name: &str, _text: &str) -> bool {
        name == self.has
    }

    fn replay(&self, _name: &str, _text: &str) -> Option<Replay> {
        Some(Replay {
            requests: 9,
            held: 1,
            denied: 0,
            lines: vec!["held 1 times: ana: kubectl <exec> p".to_owned()],
        })
    }
}

fn gated(tickets: bool) -> Snapshot {
    let mut snapshot = lived_in();
    // A standing job function that may write, by the gate's group.
    let operators: Binding = serde_json::from_value(json!({
        "metadata": { "name": "kubestile-operator" },
        "roleRef": { "kind": "ClusterRole", "name": "edit" },
        "subjects": [{ "kind": "Group", "name": "kubestile:operator" }],
    }))
    .unwrap();
    let bindings = snapshot.rbac.cluster_role_bindings.known_mut().unwrap();
    bindings.push(operators);
    let cluster = json!({
        "server": snapshot.cluster.server, "trials": 15, "unheld": ["change a node (R4)"],
        "standing": ["enter a pod"], "loose": ["a grant of `admin` that names no ticket"], "weakestLogin": "code",
    });
    snapshot.gate = Source::Known(Gate {
        policies: Some("/var/lib/gate/policies".to_owned()),
        clusters: vec![GateCluster {
            server: snapshot.cluster.server.clone(),
            served: true,
            ..GateCluster::default()
        }],
        facts: Some(
            serde_json::from_value(json!({ "clusters": [cluster], "ticketSystems": tickets, "standing": { "people": 1, "functions": [["ana", "operator"]] } }))
                .unwrap(),
        ),
        ..Gate::default()
    });
    snapshot
}

fn planned(snapshot: &Snapshot, engine: &OfGate) -> Plan {
    let wishes = Wishes {
        engine: Some(engine),
        ..Wishes::default()
    };
    plan(snapshot, &none(), Stage::LAST, &wishes)
}

#[test]
fn policies_of_the_gate_are_written_as_its_engine_judges_them_and_taken_back() {
    let start = gated(true);
    let engine = OfGate {
        refuses: "",
        has: "",
    };
    let plan = planned(&start, &engine);
    let step = |control: &str| plan.steps.iter().find(|s| s.control == control).unwrap();
    assert_eq!(step("S4-03").flips, ["S4-03"]);
    let files = |control: &str| {
        step(control)
            .changes
            .iter()
            .map(Change::command)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        files("S4-02"),
        [
            "the gate: write /var/lib/gate/policies/grants-are-short.cedar",
            "the gate: write /var/lib/gate/policies/grants-name-a-ticket.cedar"
        ]
    );
    assert!(
        files("S4-01")
            .iter()
            .any(|c| c.ends_with("changes-need-a-grant.cedar"))
    );
    assert_eq!(step("S4-03").replay.as_ref().unwrap().held, 1);
    let mut now = start.clone();
    for change in plan.steps.iter().flat_map(|s| &s.changes) {
        now.edit(change).unwrap();
    }
    assert_eq!(assess(&now, &none()).stage, plan.predicted);
    for change in plan.steps.iter().rev().flat_map(|s| &s.rollback) {
        now.edit(change).unwrap();
    }
    assert_eq!(now.gate, start.gate);

    // The request says what flips, what the log says, why the rest is open, and shows the text.
    let body = pull_request::body(&plan);
    for part in [
        "## Controls that flip",
        "| S4-03 (gate) |",
        "of the last 9 requests that the gate allowed it would have held 1 and refused 0",
        "held 1 times: ana: kubectl \\<exec\\> p",
        "```cedar\n// S4-03",
        "- S4-02 Each grant has a reason",
        "Open because",
    ] {
        assert!(body.contains(part), "{part}\n{body}");
    }
}

#[test]
fn what_the_gate_s_engine_does_not_load_or_nobody_could_satisfy_is_for_a_person() {
    let engine = OfGate {
        refuses: "dangerous-needs-approval",
        has: "grants-are-short.cedar",
    };
    let plan = planned(&gated(false), &engine);
    let all = serde_json::to_string(&plan.steps).unwrap();
    for file in [
        "dangerous-needs-approval",
        "grants-name-a-ticket",
        "grants-are-short",
    ] {
        assert!(!all.contains(file), "{file}");
    }
    let why = |control: &str| {
        let mut by_hand = plan.by_hand.iter();
        let of = by_hand.find(|b| b.controls.iter().any(|c| c == control));
        of.map(|b| b.why.clone()).unwrap_or_default()
    };
    assert!(
        why("S4-03").contains("another policy has this id"),
        "{}",
        why("S4-03")
    );
    assert!(
        why("S4-02").contains("without it no grant"),
        "{}",
        why("S4-02")
    );
}
