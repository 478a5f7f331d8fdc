use super::*;

fn person(n: u128) -> PersonId {
    PersonId::from_uuid(uuid::Uuid::from_u128(n))
}

fn session(n: u128) -> SessionId {
    SessionId::from_uuid(uuid::Uuid::from_u128(n))
}

fn sort() -> Sort {
    Sort {
        cluster: "prod".parse().unwrap(),
        namespace: "shop".into(),
        action: "delete".into(),
        group: "apps".into(),
        resource: "deployments".into(),
        impersonates: String::new(),
    }
}

fn request(quorum: u8) -> AccessRequest {
    AccessRequest {
        id: AccessId::from_random(1),
        requester: Requester {
            id: person(1),
            name: "ana".into(),
            session: session(1),
            key_digest: "k1".into(),
            behind: None,
            source: "127.0.0.1:1".into(),
        },
        subject: Subject::Request(Box::new(HeldRequest {
            request: RequestId::from_uuid(uuid::Uuid::from_u128(9)),
            digest: "d1".into(),
            kubectl: "kubectl delete deployments.apps/web -n shop".into(),
            sort: sort(),
            name: "web".into(),
            invocation: Some("run1".into()),
            client: None,
            uid: None,
            function: None,
            impact: None,
            waits: true,
        })),
        risk: RiskClass::R3,
        ticket: None,
        reason: None,
        policies: vec![PolicyId::new("delete-needs-approval")],
        quorum,
        approvers: vec!["sre".into()],
        created: at(0),
        expires: at(600),
        approvals: Vec::new(),
        state: State::Waiting,
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn answerer(n: u128) -> Answerer {
    Answerer {
        id: person(n),
        name: format!("p{n}"),
        session: session(n),
        key_digest: format!("k{n}"),
    }
}

fn approve(n: u128, choice: Choice) -> Event {
    Event::Approve {
        approval: Approval {
            by: answerer(n),
            at: at(10),
            choice,
        },
        remembered: Ttl::from_secs(120),
    }
}

fn attempt<'a>(digest: &'a str, invocation: Option<&'a str>, sort: &'a Sort) -> Attempt<'a> {
    Attempt {
        person: person(1),
        session: session(1),
        digest,
        invocation,
        sort,
    }
}

#[test]
fn an_approval_is_for_one_digest_session_and_time() {
    let approved = request(1)
        .apply(approve(2, Choice::Request), at(10))
        .unwrap();
    let sort = sort();
    let same = attempt("d1", None, &sort);
    assert!(approved.releases(&same, at(10)) && approved.releases(&same, at(129)));
    assert!(!approved.releases(&same, at(130)), "remembered for 120 s");
    assert!(!approved.releases(&same, at(9)), "a clock that went back");
    assert!(!approved.releases(&attempt("d2", Some("run1"), &sort), at(11)));
    let other_login = Attempt {
        session: session(7),
        ..same
    };
    assert!(!approved.releases(&other_login, at(11)));
    let other_person = Attempt {
        person: person(7),
        ..same
    };
    assert!(!approved.releases(&other_person, at(11)));
    assert!(!request(1).releases(&same, at(11)), "nobody approved");
}

#[test]
fn the_rest_of_a_command_is_the_same_run_verb_kind_and_namespace() {
    let choice = Choice::Command(Ttl::from_secs(300));
    let approved = request(1).apply(approve(2, choice), at(10)).unwrap();
    let sort = sort();
    assert!(approved.releases(&attempt("d2", Some("run1"), &sort), at(11)));
    assert!(!approved.releases(&attempt("d2", Some("run2"), &sort), at(11)));
    assert!(!approved.releases(&attempt("d2", None, &sort), at(11)));
    assert!(!approved.releases(&attempt("d2", Some("run1"), &sort), at(310)));
    for other in [
        Sort {
            namespace: "cart".into(),
            ..sort.clone()
        },
        Sort {
            action: "deletecollection".into(),
            ..sort.clone()
        },
        Sort {
            resource: "statefulsets".into(),
            ..sort.clone()
        },
        Sort {
            group: String::new(),
            ..sort.clone()
        },
        Sort {
            cluster: "dev".parse().unwrap(),
            ..sort.clone()
        },
        Sort {
            impersonates: "bob ".into(),
            ..sort.clone()
        },
    ] {
        assert!(!approved.releases(&attempt("d2", Some("run1"), &other), at(11)));
    }
    let too_long = Choice::Command(Ttl::from_secs(3600));
    assert_eq!(
        request(1).apply(approve(2, too_long), at(10)),
        Err(Refused::TooLong)
    );
}

#[test]
fn a_run_without_a_name_is_no_run() {
    let mut anonymous = request(1);
    if let Subject::Request(held) = &mut anonymous.subject {
        held.invocation = None;
    }
    let choice = Choice::Command(Ttl::from_secs(300));
    let approved = anonymous.apply(approve(2, choice), at(10)).unwrap();
    assert!(!approved.releases(&attempt("d2", None, &sort()), at(11)));
}

#[test]
fn nobody_answers_for_themselves() {
    let own = |change: fn(&mut Answerer)| {
        let mut by = answerer(2);
        change(&mut by);
        let approval = Approval {
            by: by.clone(),
            at: at(1),
            choice: Choice::Request,
        };
        let remembered = Ttl::from_secs(1);
        let approved = request(1).apply(
            Event::Approve {
                approval,
                remembered,
            },
            at(1),
        );
        let denied = request(1).apply(
            Event::Deny {
                by,
                reason: "no".into(),
            },
            at(1),
        );
        assert_eq!(approved, Err(Refused::Own));
        assert_eq!(denied, Err(Refused::Own));
    };
    own(|by| by.id = person(1));
    own(|by| by.name = "ANA".into());
    own(|by| by.session = session(1));
    own(|by| by.key_digest = "k1".into());
    let mut run = request(1);
    run.requester.behind = Some("P2".into());
    assert_eq!(
        run.apply(approve(2, Choice::Request), at(1)),
        Err(Refused::Own)
    );
}

#[test]
fn a_quorum_is_of_different_people_and_the_narrowest_choice_counts() {
    let wide = Choice::Command(Ttl::from_secs(60));
    let one = request(2).apply(approve(2, wide.clone()), at(1)).unwrap();
    assert_eq!(one.state, State::Waiting);
    let twice = one.apply(approve(2, Choice::Request), at(2));
    assert_eq!(twice, Err(Refused::Twice { missing: 1 }));
    let two = one.apply(approve(3, Choice::Request), at(2)).unwrap();
    assert!(matches!(two.state, State::Approved { .. }));
    assert_eq!(two.choice(), Some(&Choice::Request));
    assert!(!two.releases(&attempt("d2", Some("run1"), &sort()), at(3)));
}

#[test]
fn the_first_end_stays() {
    let ends = [
        approve(2, Choice::Request),
        Event::Deny {
            by: answerer(3),
            reason: "no".into(),
        },
        Event::Withdraw { why: "gone".into() },
    ];
    for first in &ends {
        let over = request(1).apply(first.clone(), at(1)).unwrap();
        for second in &ends {
            assert_eq!(
                over.apply(second.clone(), at(2)),
                Err(Refused::Over(over.state.name()))
            );
        }
    }
    let late = request(1).apply(approve(2, Choice::Request), at(600));
    assert_eq!(late, Err(Refused::Over("expired")));
    assert_eq!(
        request(1).apply(Event::Tick, at(600)).unwrap().state,
        State::Expired
    );
}
