use uuid::Uuid;

use super::*;
use crate::event::{Event, Record};

fn import() -> ImportId {
    ImportId::from_uuid(Uuid::from_u128(7))
}

fn prod() -> ClusterName {
    "prod".parse().unwrap()
}

const EXEC: &str =
    "/api/v1/namespaces/shop/pods/web/exec?command=sh&command=-c&command=DB_PASSWORD%3Dx+id";

fn seen() -> Seen<'static> {
    Seen {
        id: "9b2f",
        at: Timestamp::from_micros(1_795_500_000_000_001),
        stage: "ResponseComplete",
        verb: "create",
        uri: EXEC,
        object: Some(Object {
            resource: "pods",
            subresource: "exec",
            namespace: "shop",
            name: "web",
            ..Object::default()
        }),
        user: "kubestile-break-glass:person:ana",
        groups: &["kubestile-break-glass:opened:0f"],
        impersonated: None,
        source: "192.0.2.1",
        user_agent: "kubectl/v1.34",
        status: 101,
    }
}

fn read(seen: &Seen<'_>) -> Imported {
    Imported::new(import(), &prod(), [0xab; 32], seen)
}

fn check(imported: &Imported) -> Result<(), Unfit> {
    imported.check(import(), &prod())
}

#[test]
fn an_exec_is_read_as_the_gate_would_and_its_secrets_stay_out() {
    let imported = read(&seen());
    assert_eq!(imported.kube.action, "exec");
    assert!(imported.is_of("ana") && imported.is_of("kubestile-break-glass:person:ana"));
    assert!(!imported.is_of("an") && !imported.is_of(""));
    assert_eq!(imported.status, 101);
    let record = Record::new(
        Timestamp::from_secs(0),
        Event::Imported(Box::new(imported.clone())),
    );
    let bytes = record.canonical_bytes().unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(!text.contains("PASSWORD=x"), "{text}");
    assert!(text.contains("\"kind\":\"imported\"") && !text.contains("\"decision\""));
    assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
    assert!(check(&imported).is_ok());
}

#[test]
fn where_address_and_object_disagree_the_api_server_is_believed() {
    let mut event = seen();
    event.object = event.object.map(|o| Object { name: "other", ..o });
    let imported = read(&event);
    assert_eq!(imported.kube.name, "other");
    assert_eq!(imported.kube.action, "exec");
    assert!(imported.kube.command.is_empty());
}

#[test]
fn a_request_is_the_same_at_every_stage_and_no_other_is() {
    let first = seen();
    let stage = Seen {
        stage: "RequestReceived",
        status: 0,
        object: first.object.map(|o| Object { name: "", ..o }),
        ..first
    };
    assert_eq!(first.identity(), stage.identity());
    assert!(first.rank() > stage.rank() && stage.rank().is_some());
    let nowhere = Seen { uri: "", ..first };
    for other in [
        Seen {
            id: "9b2",
            user: "fkubestile",
            ..first
        },
        Seen {
            user: "bo",
            ..first
        },
        Seen {
            at: Timestamp::from_secs(1),
            ..first
        },
        Seen {
            verb: "get",
            ..first
        },
        Seen {
            uri: "/api",
            ..first
        },
        nowhere,
    ] {
        assert_ne!(first.identity(), other.identity(), "{other:?}");
    }
    let object = nowhere.object.map(|o| Object { name: "other", ..o });
    assert_ne!(nowhere.identity(), Seen { object, ..nowhere }.identity());
}

#[test]
fn however_long_its_texts_are_a_record_fits_a_call_and_passes_the_check() {
    let long = "\u{1}\"\u{202e}é".repeat(20_000);
    let groups = vec![long.as_str(); 40];
    let object = Object {
        group: &long,
        resource: &long,
        subresource: &long,
        namespace: &long,
        name: &long,
    };
    let event = Seen {
        id: &long,
        verb: &long,
        uri: &long,
        object: Some(object),
        user: &long,
        groups: &groups,
        impersonated: Some((&long, &groups)),
        source: &long,
        user_agent: &long,
        ..seen()
    };
    for event in [
        event,
        Seen {
            object: None,
            ..event
        },
    ] {
        let imported = read(&event);
        assert!(check(&imported).is_ok());
        assert_eq!(imported.groups.len(), MANY);
        assert_eq!(imported.groups[MANY - 1], "…[25 more]");
        let length = serde_json::to_string(&imported).unwrap().len();
        assert!(length < 46 * 1024, "{length}");
    }
}

#[test]
fn a_record_of_elsewhere_is_unfit() {
    let good = read(&seen());
    let other = ImportId::from_uuid(Uuid::from_u128(8));
    for bad in [
        Imported {
            import: other,
            ..good.clone()
        },
        Imported {
            stage: "Later".into(),
            ..good.clone()
        },
        Imported {
            at: "2026-11-24T08:00:00Z".into(),
            ..good.clone()
        },
        Imported {
            user: "a\u{1b}[2J".into(),
            ..good.clone()
        },
        Imported {
            kubectl: "x".repeat(10_000),
            ..good.clone()
        },
        Imported {
            key: "0".repeat(63),
            ..good.clone()
        },
        Imported {
            groups: vec![String::new(); 17],
            ..good.clone()
        },
    ] {
        assert!(check(&bad).is_err(), "{bad:?}");
    }
    let dev = "dev".parse().unwrap();
    assert!(good.check(import(), &dev).is_err());
}
