use std::fs;
use std::future::Future as _;
use std::os::unix::fs::PermissionsExt as _;
use std::task::{Context, Waker};

use kubestile_core::identity::{Assurance, IdentityKind};
use kubestile_core::session::{EndReason, Session};
use kubestile_core::{Secret, Timestamp};

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

/// A store with one person who is logged in.
async fn with_session() -> (tempfile::TempDir, Store, Session) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    store.add_person(person(1)).await.unwrap();
    let login = session(1, person(1));
    store.create_session(login.clone()).await.unwrap();
    (dir, store, login)
}

#[tokio::test]
async fn the_end_of_a_session_reaches_who_waits_for_it_and_lasts() {
    let (dir, store, login) = with_session().await;
    let mut handle = store.session(login.id).unwrap();
    let waiting = tokio::spawn(async move { handle.ended().await });
    let reason = EndReason::EndedBy("ben: lost laptop".to_owned());
    let end = store.end_session(login.id, reason.clone(), at(5)).await;
    assert!(end.unwrap());
    assert_eq!(waiting.await.unwrap(), reason);
    // The first reason stays.
    let again = store
        .end_session(login.id, EndReason::LoggedOut, at(6))
        .await;
    assert!(!again.unwrap());
    let none = SessionId::from_uuid(uuid::Uuid::from_u128(1));
    let none = store.end_session(none, EndReason::LoggedOut, at(6)).await;
    assert!(!none.unwrap());
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    let mut handle = store.session(login.id).unwrap();
    assert_eq!(handle.session().check(at(7)), Err(reason.clone()));
    assert_eq!(
        (handle.end(), handle.ended().await),
        (Some(reason.clone()), reason)
    );
}

#[tokio::test]
async fn a_removed_person_is_out_everywhere() {
    let (dir, store, login) = with_session().await;
    store
        .add_code([8; 32], person(1).id, at(100))
        .await
        .unwrap();
    let mut handle = store.session(login.id).unwrap();
    store.remove_person("person1", at(5)).await.unwrap();
    assert_eq!(handle.ended().await, EndReason::PersonRemoved);
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.people().len(), 0);
    assert!(store.person(person(1).id).is_none());
    assert!(store.person_by_name("person1").is_none());
    let handle = store.session(login.id).unwrap();
    assert_eq!(handle.end(), Some(EndReason::PersonRemoved));
    let code = store.redeem_code([8; 32], at(6)).await;
    assert!(matches!(code, Err(StoreError::InvalidCode)));
    let login = store.create_session(session(2, person(1))).await;
    assert!(matches!(login, Err(StoreError::UnknownPersonId(_))));
    let twice = store.remove_person("person1", at(7)).await;
    assert!(matches!(twice, Err(StoreError::UnknownPerson { .. })));
}

#[tokio::test]
async fn an_end_holds_even_if_the_disk_does_not() {
    let (dir, store, login) = with_session().await;
    let mut writer = store.inner.writer().await;
    sqlx::query("PRAGMA query_only = ON")
        .execute(&mut *writer)
        .await
        .unwrap();
    drop(writer);
    let end = store
        .end_session(login.id, EndReason::LoggedOut, at(5))
        .await;
    assert!(matches!(end, Err(StoreError::EndedInMemoryOnly(_))));
    let handle = store.session(login.id).unwrap();
    assert_eq!(handle.end(), Some(EndReason::LoggedOut));
    let removed = store.remove_person("person1", at(6)).await;
    assert!(matches!(removed, Err(StoreError::EndedInMemoryOnly(_))));
    assert!(store.person_by_name("person1").is_none());
    // Nothing else becomes visible that is not durable.
    assert!(store.add_person(person(2)).await.is_err());
    assert!(store.person_by_name("person2").is_none());
    drop((store, dir));
}

#[tokio::test]
async fn a_change_goes_on_when_its_caller_goes_away() {
    let (_dir, store, login) = with_session().await;
    let mut handle = store.session(login.id).unwrap();
    let mut end = Box::pin(store.end_session(login.id, EndReason::LoggedOut, at(5)));
    let polled = end.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    drop(end);
    assert_eq!(handle.ended().await, EndReason::LoggedOut);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once_however_many_try_at_the_same_time() {
    let (_dir, store, _) = with_session().await;
    for code in 0..20 {
        store
            .add_code([code; 32], person(1).id, at(100))
            .await
            .unwrap();
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.redeem_code([code; 32], at(99)).await })
            })
            .collect();
        let mut redeemed = 0;
        for attempt in tries {
            match attempt.await.unwrap() {
                Ok(id) => redeemed += usize::from(id == person(1).id),
                Err(error) => assert!(matches!(error, StoreError::InvalidCode), "{error}"),
            }
        }
        assert_eq!(redeemed, 1);
    }
}

#[tokio::test]
async fn codes_expire_and_belong_to_somebody() {
    let (_dir, store, _) = with_session().await;
    store
        .add_code([1; 32], person(1).id, at(100))
        .await
        .unwrap();
    let twice = store.add_code([1; 32], person(1).id, at(200)).await;
    assert!(matches!(twice, Err(StoreError::IdTaken { .. })));
    let late = store.redeem_code([1; 32], at(100)).await;
    assert!(matches!(late, Err(StoreError::InvalidCode)));
    // An earlier clock does not bring it back: it was deleted.
    assert!(store.redeem_code([1; 32], at(99)).await.is_err());
    let nobody = store.add_code([2; 32], person(2).id, at(100)).await;
    assert!(matches!(nobody, Err(StoreError::UnknownPersonId(_))));
    assert!(store.redeem_code([3; 32], at(1)).await.is_err());
}

#[tokio::test]
async fn names_that_look_alike_are_the_same_name() {
    let (_dir, store, _) = with_session().await;
    let alike = Identity {
        name: "Person1".to_owned(),
        ..person(2)
    };
    let added = store.add_person(alike).await;
    assert!(matches!(added, Err(StoreError::NameTaken { .. })));
    assert!(store.person_by_name("Person1").is_none());
    let system = Identity {
        name: "system:admin".to_owned(),
        ..person(2)
    };
    let added = store.add_person(system).await;
    assert!(matches!(added, Err(StoreError::InvalidName(_))));
    let same_id = Identity {
        name: "other".to_owned(),
        ..person(1)
    };
    let added = store.add_person(same_id).await;
    assert!(matches!(added, Err(StoreError::IdTaken { .. })));
    // A name given anew is someone else.
    store.remove_person("person1", at(1)).await.unwrap();
    let anew = Identity {
        name: "person1".to_owned(),
        ..person(2)
    };
    store.add_person(anew).await.unwrap();
    assert_eq!(store.person_by_name("person1").unwrap().id, person(2).id);
}

#[tokio::test]
async fn tokens_belong_to_live_sessions() {
    let (_dir, store, login) = with_session().await;
    store.add_token([1; 32], login.id, at(50)).await.unwrap();
    let twice = store.add_token([1; 32], login.id, at(60)).await;
    assert!(matches!(twice, Err(StoreError::IdTaken { .. })));
    let record = store.token(&[1; 32]).unwrap();
    assert_eq!((record.session, record.expires), (login.id, at(50)));
    assert_eq!(store.token(&[2; 32]), None);
    let end = store
        .end_session(login.id, EndReason::LoggedOut, at(5))
        .await;
    assert!(end.unwrap());
    let late = store.add_token([3; 32], login.id, at(60)).await;
    assert!(matches!(late, Err(StoreError::UnknownSession(_))));
}

#[tokio::test]
async fn what_is_over_is_forgotten_after_a_day() {
    const DAY: i64 = 25 * 3600;
    let (dir, store, login) = with_session().await;
    store.create_session(session(2, person(1))).await.unwrap();
    store.add_token([1; 32], login.id, at(DAY)).await.unwrap();
    store
        .add_token([2; 32], login.id, at(9 * DAY))
        .await
        .unwrap();
    store.add_code([1; 32], person(1).id, at(10)).await.unwrap();
    let end = store
        .end_session(login.id, EndReason::LoggedOut, at(5))
        .await;
    assert!(end.unwrap());
    let mut expired = store.session(session(2, person(1)).id).unwrap();

    // All over, but for less than a day since their end.
    assert_eq!(store.purge_sessions(at(8 * 3600)).await.unwrap(), 0);
    assert_eq!(expired.ended().await, EndReason::Expired);
    assert_eq!(store.sessions().len(), 2);
    assert!(store.token(&[1; 32]).is_some());

    assert_eq!(store.purge_sessions(at(DAY + 5)).await.unwrap(), 1);
    assert!(store.session(login.id).is_none());
    assert_eq!((store.token(&[1; 32]), store.token(&[2; 32])), (None, None));
    assert_eq!(store.purge_sessions(at(DAY + 8 * 3600)).await.unwrap(), 1);
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_eq!(store.sessions().len(), 0);
    assert!(store.token(&[2; 32]).is_none());
}

#[tokio::test]
async fn clusters_keep_their_credential_and_do_not_show_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let cluster = ClusterRecord {
        name: "prod".parse().unwrap(),
        server: "https://192.0.2.1:6443".to_owned(),
        ca_pem: Some("pem".to_owned()),
        tls_server_name: None,
        token: Some(Secret::new("hunter2".to_owned())),
        token_expires: Some(at(100)),
        kubeconfig: None,
        context: Some("admin".to_owned()),
        mode: "constrained".to_owned(),
        added: at(1),
    };
    store.put_cluster(cluster.clone()).await.unwrap();
    let renewed = ClusterRecord {
        token: Some(Secret::new("hunter3".to_owned())),
        ..cluster
    };
    store.put_cluster(renewed).await.unwrap();
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    let [found] = &store.clusters()[..] else {
        panic!("one cluster");
    };
    assert_eq!(found.token.as_ref().unwrap().expose(), "hunter3");
    assert_eq!(found.token_expires, Some(at(100)));
    assert_eq!((found.mode.as_str(), found.added), ("constrained", at(1)));
    assert_eq!(found.context.as_deref(), Some("admin"));
    let shown = format!("{found:?} {store:?}");
    assert!(!shown.contains("hunter"), "{shown}");
    store.remove_cluster(&found.name).await.unwrap();
    assert!(store.cluster(&found.name).is_none());
    let twice = store.remove_cluster(&found.name).await;
    assert!(matches!(twice, Err(StoreError::UnknownCluster(_))));
}

#[tokio::test]
async fn nobody_else_can_read_the_state() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("state");
    let store = Store::open(&dir).await.unwrap();
    store.add_person(person(1)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut files = 0;
    for file in fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    // The database, its write-ahead file and index, and the lock.
    assert_eq!(files, 4);
}

#[tokio::test]
async fn an_open_store_belongs_to_one() {
    let (dir, store, _) = with_session().await;
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)));
    let pid = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&pid), "{error}");
    drop(store);
    Store::open(dir.path()).await.unwrap();
}

#[tokio::test]
async fn the_database_of_a_newer_release_is_refused() {
    let (dir, store, _) = with_session().await;
    let mut writer = store.inner.writer().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', TRUE, x'00', 0)",
    )
    .execute(&mut *writer)
    .await
    .unwrap();
    drop(writer);
    drop(store);
    let error = Store::open(dir.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Schema(_)), "{error}");
}

#[tokio::test]
async fn many_sessions_are_forgotten_a_few_at_a_time() {
    let (_dir, store, _) = with_session().await;
    for number in 0..49 {
        let id = SessionId::from_uuid(uuid::Uuid::from_u128(number + 5000));
        let many = Session {
            id,
            ..session(1, person(1))
        };
        store.create_session(many).await.unwrap();
    }
    let forgotten = store.purge_sessions(at(33 * 3600)).await.unwrap();
    assert_eq!((forgotten, store.sessions().len()), (50, 0));
}
