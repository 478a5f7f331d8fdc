use kubestile_core::Timestamp;
use kubestile_core::identity::{Assurance, IdentityKind};
use kubestile_core::session::{EndReason, Session};

use super::*;

fn person(number: u8) -> Identity {
    Identity {
        name: format!("person{number}"),
        id: PersonId::from_uuid(uuid::Uuid::from_u128(u128::from(number) + 1)),
        kind: IdentityKind::Person,
        groups: vec!["dev".to_owned()],
        functions: vec!["viewer".parse().unwrap()],
    }
}

fn session(number: u8, identity: Identity) -> Session {
    Session {
        id: SessionId::from_uuid(uuid::Uuid::from_u128(u128::from(number) + 1000)),
        identity,
        assurance: Assurance::Code,
        key_digest: "00".repeat(32),
        client: "test".to_owned(),
        created: at(0),
        expires: at(8 * 3600),
        ended: None,
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

#[tokio::test]
async fn all_of_it_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(person(1)).await.unwrap();
    store
        .set_functions("person1", vec!["operator:shop".parse().unwrap()])
        .await
        .unwrap();
    let login = session(1, person(1));
    store.create_session(login.clone()).await.unwrap();
    store.add_token([9; 32], login.id, at(100)).await.unwrap();
    store
        .add_code([8; 32], person(1).id, at(100))
        .await
        .unwrap();
    drop(store);

    let store = Store::open(dir.path()).await.unwrap();
    let found = store.person_by_name("person1").unwrap();
    assert_eq!(found.functions, ["operator:shop".parse().unwrap()]);
    assert_eq!(store.session(login.id).unwrap().session().as_ref(), &login);
    assert_eq!(store.token(&[9; 32]).unwrap().session, login.id);
    assert_eq!(
        store.redeem_code([8; 32], at(99)).await.unwrap(),
        person(1).id
    );
    assert!(store.redeem_code([8; 32], at(99)).await.is_err());
}

#[tokio::test]
async fn the_end_of_a_session_reaches_who_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(person(1)).await.unwrap();
    let login = session(1, person(1));
    store.create_session(login.clone()).await.unwrap();
    let mut handle = store.session(login.id).unwrap();
    let waiting = tokio::spawn(async move { handle.ended().await });
    store.remove_person("person1", at(5)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), EndReason::PersonRemoved);
    assert!(store.create_session(session(2, person(1))).await.is_err());
}
