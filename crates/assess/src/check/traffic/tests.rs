use std::collections::HashSet;

use kubestile_core::Timestamp;

use super::*;
use crate::facts::Facts;
use crate::snapshot::{Snapshot, Source};
use crate::traffic::event::{Event, Target, Who};
use crate::traffic::fold::Fold;
use crate::verdict::Outcome;

const DAY: i64 = 86_400;

fn event<'a>(user: &'a str, credential: &'a str, address: &'a str, at: i64) -> Event<'a> {
    Event {
        id: "",
        at: Some(at * 1_000_000),
        stage: "ResponseComplete",
        uri: "",
        verb: "list",
        target: Target::Resource {
            group: "",
            resource: "pods",
            subresource: "",
            namespace: "shop",
            name: "",
        },
        user: Who {
            name: user,
            credential,
            ..Who::default()
        },
        impersonated: None,
        address,
        agent: "kubectl/v1.36.0 (linux/amd64) kubernetes/abc",
        code: 200,
        authorized: Some(true),
        command: None,
    }
}

fn snapshot(events: &[Event<'_>]) -> Snapshot {
    let mut fold = Fold::default();
    let mut seen = HashSet::new();
    for event in events {
        fold.add(event, &mut |hash| seen.insert(hash));
    }
    let mut snapshot = Snapshot::empty(Timestamp::from_secs(0), "test", "https://test");
    snapshot.traffic = Source::Known(fold.finish(Vec::new()));
    snapshot
}

/// What the log says of S0-01, S1-08 and S1-09; nothing is known from files.
fn verdicts(events: &[Event<'_>]) -> [Outcome; 3] {
    let snapshot = snapshot(events);
    let facts = Facts::new(&snapshot);
    let of = |check: fn(&Facts<'_>, &mut Vec<Evidence>) -> Option<Judged>| {
        let mut evidence = Vec::new();
        match check(&facts, &mut evidence) {
            Some(Ok(verdict)) => verdict.outcome,
            _ if !evidence.is_empty() => Outcome::Fail,
            _ => Outcome::Unknown,
        }
    };
    [of(shared), of(by_certificate), of(accounts_outside)]
}

#[test]
fn a_short_log_shows_what_happens_and_never_what_does_not() {
    let robot = "system:serviceaccount:shop:robot";
    let quiet = |until: i64| {
        let mut of_pod = event(robot, "JTI=9", "10.1.0.5", 5);
        of_pod.user.of_pod = true;
        vec![
            event("ana", "JTI=1", "10.0.0.7", 0),
            of_pod,
            event("ana", "JTI=2", "10.0.0.7", until),
        ]
    };
    assert_eq!(verdicts(&quiet(DAY - 60)), [Outcome::Unknown; 3]);
    assert_eq!(verdicts(&quiet(DAY)), [Outcome::Pass; 3]);
    assert_eq!(verdicts(&[]), [Outcome::Unknown; 3]);

    let mut bad: Vec<Event<'_>> = (0..3)
        .flat_map(|n| [("10.0.0.7", n * 600), ("10.0.0.8", n * 600 + 1)])
        .map(|(from, at)| event("ana", "X509SHA256=1", from, at))
        .collect();
    bad.push(event(robot, "JTI=9", "203.0.113.9", 5));
    assert_eq!(verdicts(&bad), [Outcome::Fail; 3]);
}

#[test]
fn what_was_left_out_may_be_what_is_looked_for() {
    let long = "x".repeat(2_000);
    let events = [
        event("ana", "JTI=1", "10.0.0.7", 0),
        event(&long, "JTI=2", "10.0.0.7", 1),
        event("ana", "JTI=1", "10.0.0.7", DAY),
    ];
    assert_eq!(verdicts(&events)[..2], [Outcome::Unknown; 2]);
}

#[test]
fn people_past_the_gate_are_seen_in_any_log() {
    let here = snapshot(&[event("ana", "JTI=1", "10.0.0.7", 0)]);
    let judged = past_the_gate(&Facts::new(&here)).unwrap();
    assert_eq!(judged.outcome, Outcome::Fail);
}
