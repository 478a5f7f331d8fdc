use kubestile_core::event::Actor;
use kubestile_core::{ImportId, SessionId, Timestamp};
use uuid::Uuid;

use super::*;
use crate::audit::disk::RealDisk;
use crate::audit::testing::{Dir, completion, decision, numbered, request};
use crate::audit::wal::{Entry, Wal};

async fn log(records: impl IntoIterator<Item = Record>) -> Dir {
    let dir = Dir::new();
    dir.append_all(records).await;
    dir
}

fn found(dir: &Dir, filter: &Filter) -> Vec<Found> {
    let search = search(&dir.log(), filter).unwrap();
    search.map(Result::unwrap).collect()
}

fn indices(dir: &Dir, filter: &Filter) -> Vec<u64> {
    found(dir, filter).iter().map(|f| f.index).collect()
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[tokio::test]
async fn a_decision_is_joined_with_what_became_of_it() {
    let dir = log([
        decision(1, "ana", "exec", "shop", "allow"),
        decision(2, "ben", "get", "shop", "deny"),
        decision(3, "ana", "get", "shop", "allow"),
        completion(3, 200),
        completion(1, 101),
        decision(4, "ana", "watch", "shop", "allow"),
    ])
    .await;
    let all = found(&dir, &Filter::default());
    let order: Vec<u64> = all.iter().map(|f| f.index).collect();
    assert_eq!(order, [0, 1, 2, 5]);
    let ended = |f: &Found| match &f.outcome {
        Outcome::Completed { index, completion } => Some((*index, completion.status)),
        _ => None,
    };
    assert_eq!(ended(&all[0]), Some((4, 101)));
    assert_eq!(all[1].outcome, Outcome::NotForwarded);
    assert_eq!(ended(&all[2]), Some((3, 200)));
    assert_eq!(all[3].outcome, Outcome::Open);
}

#[tokio::test]
async fn each_field_narrows_the_search() {
    let mut invoked = decision(5, "ana", "delete", "bank", "hold");
    if let Event::Decision(decided) = &mut invoked.event {
        decided.invocation = Some(kubestile_core::event::Invoked {
            session: "run-1".to_owned(),
            command: "kubectl delete".to_owned(),
        });
        decided.actor.session = SessionId::from_uuid(Uuid::from_u128(99));
        decided.kube.cluster = "dev".parse().unwrap();
        decided.kube.resource = "deployments".to_owned();
        decided.kube.group = "apps".to_owned();
        decided.kube.subresource = "scale".to_owned();
        decided.kube.name = "na\"me".to_owned();
    }
    let dir = log([
        decision(1, "ana", "exec", "shop", "allow"),
        decision(2, "ben", "get", "shop", "deny"),
        invoked,
        completion(1, 200),
        numbered(7),
    ])
    .await;
    let all = Filter::default;
    for (filter, expected) in [
        (all(), vec![0, 1, 2, 4]),
        (
            Filter {
                person: text("ana"),
                ..all()
            },
            vec![0, 2],
        ),
        (
            Filter {
                person: text("an"),
                ..all()
            },
            vec![],
        ),
        (
            Filter {
                person: text("test"),
                ..all()
            },
            vec![4],
        ),
        (
            Filter {
                action: text("exec"),
                ..all()
            },
            vec![0],
        ),
        (
            Filter {
                verb: text("get"),
                ..all()
            },
            vec![1],
        ),
        (
            Filter {
                namespace: text("shop"),
                ..all()
            },
            vec![0, 1],
        ),
        (
            Filter {
                name: text("na\"me"),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                resource: text("pods"),
                ..all()
            },
            vec![0, 1],
        ),
        (
            Filter {
                resource: text("deployments"),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                resource: text("deployments.apps"),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                resource: text("deployments.apps/scale"),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                resource: text("deployments/status"),
                ..all()
            },
            vec![],
        ),
        (
            Filter {
                cluster: "dev".parse().ok(),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                decision: text("deny"),
                ..all()
            },
            vec![1],
        ),
        (
            Filter {
                invocation: text("run-1"),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                invocation: text("run"),
                ..all()
            },
            vec![],
        ),
        (
            Filter {
                request: Some(request(2)),
                ..all()
            },
            vec![1],
        ),
        (
            Filter {
                session: Some(SessionId::from_uuid(Uuid::from_u128(99))),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                since: Some(Timestamp::from_secs(2)),
                ..all()
            },
            vec![1, 2],
        ),
        (
            Filter {
                until: Some(Timestamp::from_secs(2)),
                ..all()
            },
            vec![0, 4],
        ),
        (
            Filter {
                person: text("ana"),
                namespace: text("shop"),
                ..all()
            },
            vec![0],
        ),
    ] {
        assert_eq!(indices(&dir, &filter), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn refusals_and_sessions_are_found_by_person_and_time() {
    let Event::Decision(decided) = decision(1, "ana", "get", "shop", "allow").event else {
        panic!("a decision");
    };
    let actor: Actor = decided.actor.clone();
    let (session, person_id) = (actor.session, actor.id);
    let refusal = |actor| Event::Refusal {
        request: request(1),
        source: "192.0.2.1".to_owned(),
        actor,
        status: 400,
        reason: "unreadable".to_owned(),
    };
    let change = Event::Session {
        change: "ended".to_owned(),
        session,
        person: "ana".to_owned(),
        person_id,
        detail: String::new(),
    };
    let at = |secs, event| Record::new(Timestamp::from_secs(secs), event);
    let dir = log([
        at(1, refusal(None)),
        at(2, refusal(Some(Box::new(actor)))),
        at(3, change),
    ])
    .await;
    let all = Filter::default;
    for (filter, expected) in [
        (all(), vec![0, 1, 2]),
        (
            Filter {
                person: text("ana"),
                ..all()
            },
            vec![1, 2],
        ),
        (
            Filter {
                session: Some(session),
                ..all()
            },
            vec![1, 2],
        ),
        (
            Filter {
                decision: text("refusal"),
                ..all()
            },
            vec![0, 1],
        ),
        (
            Filter {
                namespace: text("shop"),
                ..all()
            },
            vec![],
        ),
        (
            Filter {
                request: Some(request(1)),
                ..all()
            },
            vec![0, 1],
        ),
    ] {
        assert_eq!(indices(&dir, &filter), expected, "{filter:?}");
    }
}

#[tokio::test]
async fn memory_is_bounded_when_completions_are_far_away() {
    let open = WINDOW as u64 + 10;
    let decisions = (0..open).map(|n| decision(n, "ana", "watch", "shop", "allow"));
    let dir = log(decisions.chain((0..open).map(|n| completion(n, 200)))).await;
    let all = found(&dir, &Filter::default());
    assert_eq!(all.len() as u64, open);
    let far = all.iter().filter(|f| f.outcome == Outcome::FarAway);
    assert_eq!(far.count(), 11);
    let completed = |f: &&Found| {
        matches!((&f.outcome, &f.record.event),
            (Outcome::Completed { completion, .. }, Event::Decision(decided))
            if completion.request == decided.request)
    };
    assert_eq!(all.iter().filter(completed).count(), WINDOW - 1);
    // The request's own id always finds it.
    let filter = Filter {
        request: Some(request(0)),
        ..Filter::default()
    };
    let one = found(&dir, &filter);
    assert!(one.len() == 1 && completed(&&one[0]));
}

#[tokio::test]
async fn an_entry_that_is_no_record_is_an_error_and_not_the_end() {
    let dir = log([numbered(0)]).await;
    let disk = std::sync::Arc::new(RealDisk);
    let mut wal = Wal::start(disk, &dir.log(), &dir.key().vkey(), 1).unwrap();
    let strange = [b"\xffno text".to_vec(), b"{}".to_vec()].map(Entry::new);
    wal.append(&strange).unwrap();
    dir.append_all([numbered(3)]).await;
    let found: Vec<_> = search(&dir.log(), &Filter::default()).unwrap().collect();
    let [Ok(first), Err(one), Err(two), Ok(last)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((first.index, last.index), (0, 3));
    for (index, error) in [(1, one), (2, two)] {
        assert!(matches!(error, ReadError::Record { index: i, .. } if *i == index));
    }
}

/// The log's time is that of the import; what was imported is of 1970.
fn of_import(number: u128) -> Vec<Record> {
    use kubestile_core::event::{Gap, Imported, LeftOut, Object, Seen};
    let import = ImportId::from_uuid(Uuid::from_u128(number));
    let cluster: kubestile_core::ClusterName = "prod".parse().unwrap();
    let seen = |user, second| Seen {
        id: "x",
        at: Timestamp::from_secs(second),
        stage: "ResponseComplete",
        verb: "delete",
        uri: "/api/v1/namespaces/shop/pods/web",
        object: Some(Object {
            resource: "pods",
            namespace: "shop",
            name: "web",
            ..Object::default()
        }),
        user,
        groups: &[],
        impersonated: None,
        source: "192.0.2.1",
        user_agent: "",
        status: 200,
    };
    let gap = |change: &str| Gap {
        change: change.to_owned(),
        import,
        cluster: cluster.clone(),
        from: Timestamp::from_secs(100).rfc3339(),
        until: Timestamp::from_secs(200).rfc3339(),
        reason: "dead".to_owned(),
        by: "local administrator".to_owned(),
        named: "bo".to_owned(),
        sources: Vec::new(),
        records: 2,
        first: String::new(),
        last: String::new(),
        left_out: LeftOut::default(),
        after: None,
        detail: String::new(),
    };
    let imported = |user, second| {
        Event::Imported(Box::new(Imported::new(
            import,
            &cluster,
            [0; 32],
            &seen(user, second),
        )))
    };
    let events = [
        Event::Gap(Box::new(gap(Gap::BEGAN))),
        imported("kubestile-break-glass:person:ana", 120),
        imported("kubernetes-admin", 180),
        Event::Gap(Box::new(gap(Gap::ENDED))),
    ];
    let now = Timestamp::from_secs(9_000);
    events.map(|event| Record::new(now, event)).to_vec()
}

#[tokio::test]
async fn what_was_imported_is_found_where_it_happened_and_with_its_markers() {
    let mut records = vec![decision(1, "ana", "get", "shop", "allow")];
    records.extend(of_import(7));
    records.extend(of_import(8));
    let dir = log(records).await;
    let all = Filter::default;
    let import = Some(ImportId::from_uuid(Uuid::from_u128(7)));
    let at = |secs| Some(Timestamp::from_secs(secs));
    for (filter, expected) in [
        (Filter { import, ..all() }, vec![1, 2, 3, 4]),
        (
            Filter {
                import,
                person: text("ana"),
                ..all()
            },
            vec![2],
        ),
        (
            Filter {
                person: text("kubernetes-admin"),
                ..all()
            },
            vec![3, 7],
        ),
        (
            Filter {
                import,
                person: text("bo"),
                ..all()
            },
            vec![1, 4],
        ),
        (
            Filter {
                import,
                since: at(130),
                until: at(190),
                ..all()
            },
            vec![1, 3, 4],
        ),
        (
            Filter {
                import,
                since: at(201),
                until: at(300),
                ..all()
            },
            vec![],
        ),
        (
            Filter {
                import,
                verb: text("delete"),
                ..all()
            },
            vec![2, 3],
        ),
        (
            Filter {
                decision: text("imported"),
                ..all()
            },
            vec![2, 3, 6, 7],
        ),
        (
            Filter {
                decision: text("allow"),
                ..all()
            },
            vec![0],
        ),
        (
            Filter {
                cluster: "dev".parse().ok(),
                import,
                ..all()
            },
            vec![],
        ),
    ] {
        assert_eq!(indices(&dir, &filter), expected, "{filter:?}");
    }
}
