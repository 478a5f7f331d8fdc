use kubestile_rbac::Attributes;

use super::super::event::{Target, Who};
use super::*;

fn event<'a>(user: &'a str, verb: &'a str, name: &'a str, at: i64) -> Event<'a> {
    Event {
        id: "",
        at: Some(at * 1_000_000),
        stage: "ResponseComplete",
        uri: "",
        verb,
        target: Target::Resource {
            group: "",
            resource: "pods",
            subresource: "",
            namespace: "shop",
            name,
        },
        user: Who {
            name: user,
            groups: vec!["dev", "system:authenticated"],
            credential: "JTI=1",
            ..Who::default()
        },
        impersonated: None,
        address: "10.0.0.7",
        agent: "kubectl/v1.36.0 (linux/amd64) kubernetes/abc",
        code: 200,
        authorized: Some(true),
        command: None,
    }
}

fn fold(events: &[Event<'_>]) -> Traffic {
    let mut fold = Fold::default();
    let mut seen = HashSet::new();
    for event in events {
        fold.add(event, &mut |hash| seen.insert(hash));
    }
    fold.finish(Vec::new())
}

fn uses(traffic: &Traffic, who: &str) -> Vec<String> {
    let subject = traffic.subject(who).unwrap();
    let say = |u: &Use| match &u.attributes.target {
        Judged::Resource(t) => format!(
            "{} {} {}/{} ×{}",
            if u.allowed { "did" } else { "may not" },
            u.attributes.verb,
            t.resource,
            t.name,
            u.count
        ),
        Judged::Path(path) => format!("{} {path} ×{}", u.attributes.verb, u.count),
    };
    subject.uses.iter().map(say).collect()
}

#[test]
fn uses_are_counted_and_generated_names_are_one() {
    let traffic = fold(&[
        event("alice", "get", "web-7d4b9c6f5d-x2x8k", 1),
        event("alice", "get", "web-7d4b9c6f5d-l9w4q", 2),
        event("alice", "get", "till", 3),
        event("alice", "get", "till", 3),
        Event {
            authorized: Some(false),
            code: 403,
            ..event("alice", "delete", "till", 4)
        },
        Event {
            code: 404,
            ..event("alice", "get", "gone", 5)
        },
        Event {
            code: 422,
            ..event("alice", "create", "", 6)
        },
        Event {
            authorized: None,
            code: 401,
            ..event("", "get", "", 7)
        },
        event("system:node:a", "get", "till", 8),
    ]);
    assert_eq!(
        uses(&traffic, "alice"),
        [
            "may not delete pods/till ×1",
            "did get pods/gone ×1",
            "did get pods/till ×1",
            "did get pods/web-7d4b9c6f5d-x2x8k ×2"
        ]
    );
    let alice = traffic.subject("alice").unwrap();
    assert_eq!((alice.requests, alice.refused, alice.failed), (6, 1, 1));
    assert_eq!(alice.groups, ["dev", "system:authenticated"]);
    assert_eq!(
        (traffic.requests, traffic.unauthenticated, traffic.of_nodes),
        (8, 1, 1)
    );
    assert_eq!((traffic.seconds(), traffic.hours), (7, 1));
    assert!(traffic.overflow.is_empty());
}

/// A client chooses its Audit-ID.
#[test]
fn no_request_hides_behind_anothers_id() {
    let one = Event {
        id: "chosen",
        ..event("alice", "get", "till", 1)
    };
    let other = Event {
        id: "chosen",
        ..event("alice", "delete", "till", 2)
    };
    assert_eq!(uses(&fold(&[one, other]), "alice").len(), 2);
}

#[test]
fn many_names_become_every_name() {
    let names: Vec<String> = (0..200).map(|n| format!("pod{}", "x".repeat(n))).collect();
    let events: Vec<Event<'_>> = (0..)
        .zip(&names)
        .map(|(n, name)| event("alice", "get", name, n))
        .collect();
    let traffic = fold(&events);
    let alice = traffic.subject("alice").unwrap();
    assert_eq!(alice.uses.len(), 65);
    let all = Attributes::resource("get", "", "pods", "shop");
    let rest = alice.uses.iter().find(|u| u.attributes == all).unwrap();
    assert_eq!(rest.count, 136);
}

#[test]
fn whoever_impersonates_used_the_right_to() {
    let as_bo = Event {
        impersonated: Some(Who {
            name: "bo",
            groups: vec!["ops", "system:authenticated"],
            ..Who::default()
        }),
        ..event("alice", "get", "till", 1)
    };
    let traffic = fold(&[as_bo]);
    assert_eq!(uses(&traffic, "bo"), ["did get pods/till ×1"]);
    assert_eq!(
        uses(&traffic, "alice"),
        [
            "did impersonate groups/ops ×1",
            "did impersonate users/bo ×1"
        ]
    );
    // The credential was alice's.
    assert!(traffic.subject("bo").unwrap().credentials.is_empty());
    assert_eq!(traffic.subject("bo").unwrap().by_gate, 0);
}

/// Whoever is in a log as somebody else might be them, also if what they asked for was refused.
#[test]
fn impersonation_is_used_whatever_comes_of_it_and_with_all_it_took() {
    let refused = Event {
        impersonated: Some(Who {
            name: "system:serviceaccount:shop:web",
            groups: vec!["system:serviceaccounts", "system:serviceaccounts:shop"],
            uid: "7",
            extras: vec![("team", "x")],
            ..Who::default()
        }),
        authorized: Some(false),
        code: 403,
        ..event("alice", "get", "till", 1)
    };
    let traffic = fold(&[refused]);
    assert_eq!(
        uses(&traffic, "system:serviceaccount:shop:web"),
        ["may not get pods/till ×1"]
    );
    assert_eq!(
        uses(&traffic, "alice"),
        [
            "did impersonate serviceaccounts/web ×1",
            "did impersonate uids/7 ×1",
            "did impersonate userextras/x ×1"
        ]
    );
    let constrained = Event {
        impersonated: Some(Who {
            name: "bo",
            constraint: "impersonate:user-info",
            ..Who::default()
        }),
        ..event("alice", "get", "till", 1)
    };
    let traffic = fold(&[constrained]);
    assert_eq!(
        uses(&traffic, "alice"),
        [
            "did impersonate-on:user-info:get pods/till ×1",
            "did impersonate:user-info users/bo ×1"
        ]
    );
}

#[test]
fn what_came_through_the_gate_is_known_by_its_account_and_its_log() {
    let through = |request: &'static str, at| Event {
        impersonated: Some(Who {
            name: "bo",
            request,
            ..Who::default()
        }),
        ..event(GATE, "get", "till", at)
    };
    let pretended = Event {
        impersonated: Some(Who {
            name: "bo",
            request: "r1",
            ..Who::default()
        }),
        ..event("mallory", "get", "till", 3)
    };
    let mut options = Options {
        since: Some(Timestamp::from_secs(1)),
        ..Options::default()
    };
    options.of_gate = Some(Arc::new(HashSet::from([options.request_hash("r1")])));
    let mut fold = Fold::new(options);
    for event in [
        through("r1", 1),
        through("r2", 2),
        through("r1", 0),
        pretended,
    ] {
        fold.add(&event, &mut |_| true);
    }
    let from_gate = Event {
        command: Some("get"),
        ..event("bo", "get", "till", 1)
    };
    fold.add_of_gate(&from_gate, false);
    let traffic = fold.finish(Vec::new());
    let bo = traffic.subject("bo").unwrap();
    assert_eq!(
        (bo.requests, bo.by_gate, bo.unlogged, bo.direct()),
        (3, 2, 1, 1)
    );
    // Known by the gate's log once, with its command; unknown to it twice.
    let counts: Vec<(u64, Option<&str>)> = bo
        .uses
        .iter()
        .map(|u| (u.count, u.command.as_deref()))
        .collect();
    assert_eq!(counts, [(2, None), (1, Some("get"))]);
}

#[test]
fn a_credential_in_two_places_at_once_is_seen() {
    let elsewhere = |at| Event {
        address: "192.0.2.9",
        agent: "kubectl/v1.36.0 (darwin/arm64) kubernetes/abc",
        ..event("alice", "get", "till", at)
    };
    let script = |at| Event {
        agent: "curl/8",
        ..event("alice", "list", "", at)
    };
    let here = |at| event("alice", "get", "till", at);
    let moved = fold(&[here(0), here(700), elsewhere(1_300), elsewhere(2_000)]);
    assert_eq!(moved.subject("alice").unwrap().credentials[0].overlaps, 0);
    let beside = fold(&[here(0), script(1), here(700), script(701)]);
    assert_eq!(beside.subject("alice").unwrap().credentials[0].overlaps, 0);
    let shared = fold(&[
        here(0),
        elsewhere(1),
        here(700),
        elsewhere(701),
        here(1_400),
    ]);
    let credential = &shared.subject("alice").unwrap().credentials[0];
    assert_eq!(
        (
            credential.overlaps,
            credential.places.len(),
            credential.count
        ),
        (2, 2, 5)
    );
}

#[test]
fn halves_that_are_joined_are_the_whole() {
    let names: Vec<String> = (0..300)
        .map(|n| format!("p{}", "y".repeat(n % 90)))
        .collect();
    let users = ["alice", "bo", "system:serviceaccount:shop:web"];
    let verbs = ["get", "delete", "list"];
    let events: Vec<Event<'_>> = (0..300_usize)
        .map(|n| {
            let (user, verb) = (users[n % 3], verbs[n % 7 % 3]);
            event(user, verb, &names[n], i64::try_from(n * 37).unwrap())
        })
        .collect();
    let whole = fold(&events);
    for parts in [2, 3, 7] {
        let mut folds: Vec<Fold> = (0..parts).map(|_| Fold::default()).collect();
        for (n, event) in events.iter().enumerate() {
            folds[n % parts].add(event, &mut |_| true);
        }
        let mut joined = folds.remove(0);
        folds.into_iter().for_each(|fold| joined.join(fold));
        let joined = joined.finish(Vec::new());
        let total = |t: &Traffic| {
            t.subjects
                .iter()
                .flat_map(|s| &s.uses)
                .map(|u| u.count)
                .sum::<u64>()
        };
        assert_eq!(total(&joined), total(&whole), "in {parts}");
        assert_eq!(joined.requests, whole.requests);
        let credentials = |t: &Traffic| {
            t.subjects
                .iter()
                .map(|s| s.credentials.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(credentials(&joined), credentials(&whole));
    }
}

#[test]
fn too_much_is_counted() {
    let names: Vec<String> = (0..SUBJECTS + 5).map(|n| format!("user{n}")).collect();
    let events: Vec<Event<'_>> = names
        .iter()
        .map(|name| event(name, "list", "", 1))
        .collect();
    let traffic = fold(&events);
    assert_eq!(
        (traffic.subjects.len(), traffic.overflow.of_subjects),
        (SUBJECTS, 5)
    );
    let long = "x".repeat(LONGEST + 1);
    let traffic = fold(&[
        event("alice", "get", &long, 1),
        event("alice", "get", "a\0b", 2),
    ]);
    assert_eq!(traffic.overflow.of_uses, 2);
    assert!(
        traffic.span().contains("not all of it kept"),
        "{}",
        traffic.span()
    );
}

#[test]
fn what_clients_invent_is_bounded_for_all_of_them_together() {
    let ids: Vec<String> = (0..40).map(|n| format!("JTI={n}")).collect();
    let users = ["alice", "bo", "mallory"];
    let mut whole = Fold::default();
    for half in ids.chunks(20) {
        let mut fold = Fold {
            room: Room {
                entries: 30,
                moments: 25,
            },
            ..Fold::default()
        };
        for (n, id) in half.iter().enumerate() {
            let mut event = event(users[n % 3], "list", "", i64::try_from(n * 700).unwrap());
            (event.user.credential, event.address) = (id, id);
            fold.add(&event, &mut |_| true);
        }
        assert_eq!((fold.room.entries, fold.room.moments), (0, 5));
        whole.room = Room {
            entries: 40,
            moments: 1_000,
        };
        whole.join(fold);
    }
    assert_eq!(whole.room.entries, 10);
    let traffic = whole.finish(Vec::new());
    let kept: usize = traffic
        .subjects
        .iter()
        .map(|s| {
            s.places.len()
                + s.credentials
                    .iter()
                    .map(|c| 1 + c.places.len())
                    .sum::<usize>()
        })
        .sum();
    assert_eq!((kept, traffic.requests), (60, 40));
    assert_eq!(traffic.overflow.of_credentials, 20);
}

#[test]
fn a_saved_one_reads_back() {
    let traffic = fold(&[event("alice", "get", "till", 1)]);
    let text = serde_json::to_string(&traffic).unwrap();
    assert_eq!(serde_json::from_str::<Traffic>(&text).unwrap(), traffic);
}
