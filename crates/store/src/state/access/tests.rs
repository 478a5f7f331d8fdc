use kubestile_core::approval::{
    Answerer, Approval, Choice, HeldRequest, Refused, Requester, Sort, Subject,
};
use kubestile_core::grant::{GrantEndReason, Origin, Terms};
use kubestile_core::identity::IdentityKind;
use kubestile_core::request_info::RequestInfo;
use kubestile_core::{
    Action, Grant, GrantId, Identity, PersonId, PolicyId, RequestId, RiskClass, SessionId,
};
use uuid::Uuid;

use super::*;
use crate::GrantChange;

fn ana() -> Identity {
    Identity {
        name: "ana".into(),
        id: PersonId::from_uuid(Uuid::from_u128(1)),
        kind: IdentityKind::Person,
        groups: Vec::new(),
        functions: Vec::new(),
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn request(id: u64, waits: bool) -> AccessRequest {
    AccessRequest {
        id: AccessId::from_random(id),
        requester: Requester {
            id: ana().id,
            name: "ana".into(),
            session: SessionId::from_uuid(Uuid::from_u128(1)),
            key_digest: "k1".into(),
            behind: None,
            source: "127.0.0.1:1".into(),
        },
        subject: Subject::Request(Box::new(HeldRequest {
            request: RequestId::from_uuid(Uuid::from_u128(9)),
            digest: format!("d{id}"),
            kubectl: "kubectl delete pods/a -n shop".into(),
            sort: sort(),
            name: "a".into(),
            invocation: None,
            client: None,
            uid: None,
            function: None,
            impact: None,
            waits,
        })),
        risk: RiskClass::R3,
        ticket: None,
        reason: None,
        policies: vec![PolicyId::new("p")],
        quorum: 1,
        approvers: Vec::new(),
        created: at(0),
        expires: at(600),
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

fn approve() -> Event {
    Event::Approve {
        approval: Approval {
            by: Answerer {
                id: PersonId::from_uuid(Uuid::from_u128(2)),
                name: "bob".into(),
                session: SessionId::from_uuid(Uuid::from_u128(2)),
                key_digest: "k2".into(),
            },
            at: at(1),
            choice: Choice::Request,
        },
        remembered: Ttl::from_secs(120),
    }
}

fn attempt<'a>(digest: &'a str, sort: &'a Sort) -> Attempt<'a> {
    Attempt {
        person: ana().id,
        session: SessionId::from_uuid(Uuid::from_u128(1)),
        digest,
        invocation: None,
        sort,
    }
}

#[tokio::test]
async fn whoever_waits_learns_of_the_answer_and_it_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(ana()).await.unwrap();
    let mut handle = store.open_request(request(1, false)).await.unwrap();
    let sort = sort();
    assert!(store.waiting_for(&attempt("d1", &sort), at(1)).is_some());
    assert!(store.approval_for(&attempt("d1", &sort), at(1)).is_none());
    let id = AccessId::from_random(1);
    store.change_request(id, approve(), at(1)).await.unwrap();
    let told = handle.changed().await.unwrap();
    assert!(matches!(told.state, State::Approved { .. }));
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert!(store.approval_for(&attempt("d1", &sort), at(2)).is_some());
    assert!(store.approval_for(&attempt("d2", &sort), at(2)).is_none());
    assert!(store.approval_for(&attempt("d1", &sort), at(121)).is_none());
    let late = store.change_request(id, approve(), at(2)).await;
    assert!(matches!(
        late,
        Err(StoreError::Refused(Refused::Over("approved")))
    ));
}

#[tokio::test]
async fn a_restart_withdraws_those_whose_clients_waited_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(ana()).await.unwrap();
    store.open_request(request(1, true)).await.unwrap();
    store.open_request(request(2, false)).await.unwrap();
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    let left: Vec<_> = store.take_left().iter().map(|r| r.id).collect();
    assert_eq!(left, [AccessId::from_random(1)]);
    assert!(store.take_left().is_empty(), "told once");
    let state = |id| {
        store
            .request(AccessId::from_random(id))
            .unwrap()
            .current()
            .state
            .clone()
    };
    assert!(matches!(state(1), State::Withdrawn { .. }));
    assert!(matches!(state(2), State::Waiting));
    let gone = store
        .change_request(AccessId::from_random(1), approve(), at(1))
        .await;
    assert!(matches!(
        gone,
        Err(StoreError::Refused(Refused::Over("withdrawn")))
    ));
}

#[tokio::test]
async fn one_person_fills_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(ana()).await.unwrap();
    for id in 0..MAX_WAITING as u64 {
        store.open_request(request(id, false)).await.unwrap();
    }
    let more = store.open_request(request(9_999, false)).await;
    assert!(matches!(more, Err(StoreError::Full { .. })));
    let stranger = AccessRequest {
        requester: Requester {
            id: PersonId::from_uuid(Uuid::from_u128(7)),
            ..request(1, false).requester
        },
        ..request(10_000, false)
    };
    let unknown = store.open_request(stranger).await;
    assert!(matches!(unknown, Err(StoreError::UnknownPersonId(_))));
    assert_eq!(
        store.purge_access(at(600)).await.unwrap().len(),
        MAX_WAITING
    );
    assert!(store.requests().iter().all(|r| r.state == State::Expired));
    store.purge_access(at(600).plus(KEPT)).await.unwrap();
    assert!(store.requests().is_empty());
}

#[tokio::test]
async fn a_grant_counts_from_its_start_to_its_end_and_everybody_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(ana()).await.unwrap();
    let info = RequestInfo::parse("DELETE", "/api/v1/namespaces/shop/pods/a", None).unwrap();
    let action = Action::new("prod".parse().unwrap(), info, None);
    let mut rights = store.rights();
    let (mine, other) = [1, 2]
        .map(|n| SessionId::from_uuid(Uuid::from_u128(n)))
        .into();
    let grant = Grant {
        id: GrantId::from_random(1),
        holder: ana().id,
        holder_name: "ana".into(),
        session: None,
        terms: Terms {
            role: "operator".into(),
            cluster: Some("prod".parse().unwrap()),
            namespaces: vec!["shop".parse().unwrap()],
            objects: Vec::new(),
            duration: Ttl::from_secs(600),
        },
        origin: Origin::Request,
        reason: "r".into(),
        ticket: None,
        approvers: Vec::new(),
        access: None,
        starts: at(0),
        expires: at(600),
        ended: None,
        reviewed: None,
    };
    store.start_grant(grant.clone(), at(0)).await.unwrap();
    let of_run = Grant {
        id: GrantId::from_random(2),
        session: Some(other),
        ..grant.clone()
    };
    store.start_grant(of_run, at(0)).await.unwrap();
    assert_eq!(store.grants_for(ana().id, other, &action, at(1)).len(), 2);
    assert!(rights.has_changed().unwrap());
    rights.mark_unchanged();
    assert_eq!(store.grants_for(ana().id, mine, &action, at(1)).len(), 1);
    assert!(
        store
            .grants_for(ana().id, mine, &action, at(600))
            .is_empty()
    );
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    let mut rights = store.rights();
    assert_eq!(
        store.live_grants_of(ana().id, mine, at(1)).len(),
        1,
        "it survives a restart"
    );
    let end = GrantChange::End(GrantEndReason::RevokedBy("bob".into()));
    store
        .change_grant(grant.id, end.clone(), at(2))
        .await
        .unwrap();
    assert!(rights.has_changed().unwrap());
    rights.mark_unchanged();
    assert!(store.grants_for(ana().id, mine, &action, at(3)).is_empty());
    let again = store.change_grant(grant.id, end, at(3)).await;
    assert!(matches!(again, Err(StoreError::GrantOver { .. })));
    let longer = store
        .change_grant(grant.id, GrantChange::Extend(at(900)), at(3))
        .await;
    assert!(
        matches!(longer, Err(StoreError::GrantOver { .. })),
        "what is over stays over"
    );
}

#[tokio::test]
async fn whoever_asks_and_gives_up_all_day_fills_nobody_elses_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(ana()).await.unwrap();
    store.open_request(request(0, true)).await.unwrap();
    let withdraw = Event::Withdraw { why: "gone".into() };
    for id in 1..MAX_KEPT as u64 + 20 {
        store.open_request(request(id, true)).await.unwrap();
        let id = AccessId::from_random(id);
        store
            .change_request(id, withdraw.clone(), at(1))
            .await
            .unwrap();
    }
    let kept = store.requests();
    assert_eq!(kept.len(), MAX_KEPT);
    let first = store.request(AccessId::from_random(0)).unwrap();
    assert_eq!(first.current().state, State::Waiting, "what waits stays");
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.requests().len(), MAX_KEPT);
}
