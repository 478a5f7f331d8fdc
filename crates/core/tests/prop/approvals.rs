//! Whatever happens in whatever order: nobody approves for themselves, an approval is for one thing and
//! one time, and the first end stays.

use kubestile_core::approval::{
    AccessRequest, Answerer, Approval, Attempt, Choice, Event, HeldRequest, Requester, Sort, State,
    Subject,
};
use kubestile_core::grant::{Grant, GrantEndReason, LONGEST, Origin, Terms};
use kubestile_core::{
    AccessId, GrantId, PersonId, PolicyId, RequestId, RiskClass, SessionId, Timestamp, Ttl,
};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

const EXPIRES: i64 = 600;

/// A request of person 0 in session 0, with key 0.
fn request(quorum: u8) -> AccessRequest {
    AccessRequest {
        id: AccessId::from_random(1),
        requester: Requester {
            id: PersonId::from_uuid(Uuid::from_u128(0)),
            name: "p0".into(),
            session: SessionId::from_uuid(Uuid::from_u128(0)),
            key_digest: "k0".into(),
            behind: None,
            source: "127.0.0.1:1".into(),
        },
        subject: Subject::Request(Box::new(HeldRequest {
            request: RequestId::from_uuid(Uuid::from_u128(9)),
            digest: "d0".into(),
            kubectl: String::new(),
            sort: sort(),
            name: "web".into(),
            invocation: Some("run0".into()),
            client: None,
            uid: None,
            function: None,
            impact: None,
            waits: true,
        })),
        risk: RiskClass::R3,
        ticket: None,
        reason: None,
        policies: vec![PolicyId::new("p")],
        quorum,
        approvers: Vec::new(),
        created: Timestamp::from_secs(0),
        expires: Timestamp::from_secs(EXPIRES),
        approvals: Vec::new(),
        state: State::Waiting,
    }
}

fn sort() -> Sort {
    Sort {
        cluster: "prod".parse().unwrap(),
        namespace: "shop".into(),
        action: "delete".into(),
        group: String::new(),
        resource: "pods".into(),
        impersonates: String::new(),
    }
}

/// Somebody of a few people, in one of a few sessions, with one of a few keys.
fn answerer() -> impl Strategy<Value = Answerer> {
    (0_u128..4, 0_u128..4, 0..4).prop_map(|(person, session, key)| Answerer {
        id: PersonId::from_uuid(Uuid::from_u128(person)),
        name: format!("p{person}"),
        session: SessionId::from_uuid(Uuid::from_u128(session)),
        key_digest: format!("k{key}"),
    })
}

fn event() -> impl Strategy<Value = (Event, i64)> {
    let choice = prop_oneof![
        Just(Choice::Request),
        (1_u32..1200).prop_map(|s| Choice::Command(Ttl::from_secs(s))),
    ];
    let event = prop_oneof![
        4 => (answerer(), choice).prop_map(|(by, choice)| Event::Approve {
            approval: Approval { by, at: Timestamp::from_secs(0), choice },
            remembered: Ttl::from_secs(120),
        }),
        1 => answerer().prop_map(|by| Event::Deny { by, reason: "no".into() }),
        1 => Just(Event::Withdraw { why: "gone".into() }),
        1 => Just(Event::Tick),
    ];
    (event, 0..2 * EXPIRES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn an_access_request_keeps_its_rules(quorum in 1_u8..4, events in vec(event(), 0..12)) {
        let mut now = 0;
        let mut request = request(quorum);
        for (event, at) in events {
            now = now.max(at);
            let before = request.clone();
            let moment = Timestamp::from_secs(now);
            match request.apply(event, moment) {
                Ok(next) => request = next,
                Err(_) => prop_assert_eq!(&request, &before),
            }
            // The first end stays.
            if !matches!(before.state, State::Waiting) {
                prop_assert_eq!(&request.state, &before.state);
            }
            for (i, one) in request.approvals.iter().enumerate() {
                let by = &one.by;
                prop_assert!(by.id != request.requester.id, "the requester approved");
                prop_assert!(by.session != request.requester.session);
                prop_assert!(by.key_digest != request.requester.key_digest);
                for other in &request.approvals[i + 1..] {
                    prop_assert!(by.id != other.by.id && by.key_digest != other.by.key_digest);
                }
            }
            if let State::Approved { at, until } = request.state {
                prop_assert!(request.approvals.len() == usize::from(quorum));
                prop_assert!(at.as_secs() < EXPIRES, "approved after its time");
                prop_assert!(until.since(at) <= Ttl::from_secs(900));
            }
        }
    }

    #[test]
    fn nothing_passes_but_what_was_approved(
        quorum in 1_u8..3,
        events in vec(event(), 0..8),
        person in 0_u128..2, session in 0_u128..2,
        digest in 0..2, run in prop::option::of(0..2), namespace in prop::bool::ANY,
        when in 0..2 * EXPIRES,
    ) {
        let mut request = request(quorum);
        let mut now = 0;
        for (event, at) in events {
            now = now.max(at);
            if let Ok(next) = request.apply(event, Timestamp::from_secs(now)) {
                request = next;
            }
        }
        let digest = format!("d{digest}");
        let run = run.map(|r| format!("run{r}"));
        let other = Sort { namespace: "bank".into(), ..sort() };
        let sort = if namespace { sort() } else { other };
        let attempt = Attempt {
            person: PersonId::from_uuid(Uuid::from_u128(person)),
            session: SessionId::from_uuid(Uuid::from_u128(session)),
            digest: &digest,
            invocation: run.as_deref(),
            sort: &sort,
        };
        if request.releases(&attempt, Timestamp::from_secs(when)) {
            prop_assert!(person == 0 && session == 0, "somebody else's");
            let State::Approved { at, until } = request.state else {
                return Err(TestCaseError::fail("nobody approved it"));
            };
            prop_assert!(at.as_secs() <= when && when < until.as_secs());
            let widened = matches!(request.choice(), Some(Choice::Command(_)));
            let same_command = run.as_deref() == Some("run0") && namespace;
            prop_assert!(digest == "d0" || (widened && same_command));
        }
    }

    #[test]
    fn a_grant_is_over_when_it_is_over(steps in vec((0..4_u8, 0_i64..100_000), 0..10)) {
        let mut grant = Grant {
            id: GrantId::from_random(1),
            holder: PersonId::from_uuid(Uuid::from_u128(1)),
            holder_name: "ana".into(),
            session: None,
            terms: Terms {
                role: "operator".into(),
                cluster: Some("prod".parse().unwrap()),
                namespaces: Vec::new(),
                objects: Vec::new(),
                duration: Ttl::from_secs(600),
            },
            origin: Origin::Request,
            reason: String::new(),
            ticket: None,
            approvers: Vec::new(),
            access: None,
            starts: Timestamp::from_secs(0),
            expires: Timestamp::from_secs(600),
            ended: None,
            reviewed: None,
        };
        let mut now = 0;
        for (step, at) in steps {
            now = now.max(at);
            let moment = Timestamp::from_secs(now);
            let was_over = grant.check(moment).is_err();
            match step {
                0 => grant = grant.end(GrantEndReason::RevokedBy("bob".into()), moment),
                1 => {
                    let far = Timestamp::from_secs(now + 100_000);
                    if let Ok(longer) = grant.clone().extend(far, moment) {
                        prop_assert!(!was_over, "an ended grant came back");
                        grant = longer;
                    }
                }
                _ => {}
            }
            prop_assert!(!was_over || grant.check(moment).is_err());
            prop_assert!(grant.expires <= grant.starts.plus(LONGEST));
        }
    }
}
