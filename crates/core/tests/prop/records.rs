//! The bytes of a record are canonical: one form for each record, and no form for two.

use kubestile_core::action::Action;
use kubestile_core::decision::{Decision, Denial};
use kubestile_core::event::{Actor, Completion, Decided, Event, Invoked, Kube, Record, Upstream};
use kubestile_core::identity::{Assurance, Credential, IdentityKind};
use kubestile_core::ids::{PersonId, PolicyId, RequestId, SessionId};
use kubestile_core::request_info::RequestInfo;
use kubestile_core::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

fn text() -> BoxedStrategy<String> {
    // Also what needs an escape, and texts that differ only in one.
    prop_oneof![
        Just(String::new()),
        "[a-b\"\\\\\u{0}-\u{1f}\u{7f}é\u{2028}]{0,4}",
        any::<String>()
    ]
    .boxed()
}

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn actor() -> BoxedStrategy<Actor> {
    let kind = prop::sample::select(vec![
        IdentityKind::Person,
        IdentityKind::Pipeline,
        IdentityKind::ServiceAccount,
    ]);
    let assurance = prop::sample::select(vec![Assurance::Code, Assurance::PhishingResistant]);
    let credential = prop::sample::select(vec![Credential::Certificate, Credential::BearerToken]);
    (
        text(),
        id(),
        kind,
        id(),
        assurance,
        credential,
        text(),
        text(),
    )
        .prop_map(
            |(name, person, kind, session, assurance, credential, source, user_agent)| Actor {
                name,
                id: PersonId::from_uuid(person),
                kind,
                session: SessionId::from_uuid(session),
                assurance,
                credential,
                source,
                user_agent,
            },
        )
        .boxed()
}

fn kube() -> BoxedStrategy<Kube> {
    let texts = prop::array::uniform14(text());
    (texts, vec(text(), 0..3), any::<bool>())
        .prop_map(|(texts, command, dry_run)| {
            let [
                action,
                method,
                verb,
                group,
                version,
                resource,
                subresource,
                namespace,
                name,
                path,
                field_selector,
                label_selector,
                container,
                impersonates,
            ] = texts;
            Kube {
                cluster: "prod".parse().unwrap(),
                action,
                method,
                verb,
                group,
                version,
                resource,
                subresource,
                namespace,
                name,
                path,
                field_selector,
                label_selector,
                container,
                command,
                dry_run,
                impersonates,
            }
        })
        .boxed()
}

fn decided() -> BoxedStrategy<Event> {
    let invocation = prop::option::of((text(), text()))
        .prop_map(|found| found.map(|(session, command)| Invoked { session, command }));
    let upstream = prop::option::of((text(), vec(text(), 0..3)))
        .prop_map(|found| found.map(|(user, groups)| Upstream { user, groups }));
    let lists = (vec(text(), 0..3), vec(text(), 0..3));
    let texts = prop::array::uniform4(text());
    (id(), actor(), kube(), invocation, texts, lists, upstream)
        .prop_map(
            |(request, actor, kube, invocation, texts, (policies, obligations), upstream)| {
                let [kubectl, digest, decision, policy_version] = texts;
                Event::Decision(Box::new(Decided {
                    request: RequestId::from_uuid(request),
                    actor,
                    kube,
                    kubectl,
                    invocation,
                    digest,
                    decision,
                    policies: policies.iter().map(|id| PolicyId::new(id)).collect(),
                    policy_version,
                    obligations,
                    risk: "R3".to_owned(),
                    approval: Some(kubestile_core::AccessId::from_random(7)),
                    grants: vec![kubestile_core::GrantId::from_random(8)],
                    looked_up_for: None,
                    upstream,
                }))
            },
        )
        .boxed()
}

fn event() -> BoxedStrategy<Event> {
    let completion = (id(), any::<(u16, u64, u64, u64)>(), text(), text()).prop_map(
        |(request, (status, bytes_in, bytes_out, duration_micros), end, detail)| {
            Event::Completion(Completion {
                request: RequestId::from_uuid(request),
                status,
                bytes_in,
                bytes_out,
                duration_micros,
                end,
                detail,
            })
        },
    );
    let refusal = (
        id(),
        text(),
        prop::option::of(actor()),
        any::<u16>(),
        text(),
    )
        .prop_map(|(request, source, actor, status, reason)| Event::Refusal {
            request: RequestId::from_uuid(request),
            source,
            actor: actor.map(Box::new),
            status,
            reason,
        });
    let session = (text(), id(), text(), id(), text()).prop_map(
        |(change, session, person, person_id, detail)| Event::Session {
            change,
            session: SessionId::from_uuid(session),
            person,
            person_id: PersonId::from_uuid(person_id),
            detail,
        },
    );
    let change =
        (text(), text(), text(), text()).prop_map(|(by, what, name, detail)| Event::Change {
            by,
            what,
            name,
            detail,
        });
    prop_oneof![decided(), completion, refusal, session, change].boxed()
}

fn record() -> BoxedStrategy<Record> {
    (any::<i32>(), event())
        .prop_map(|(secs, event)| Record::new(Timestamp::from_secs(secs.into()), event))
        .boxed()
}

/// RFC 8785 by way of a tree of values, as the first records were written: the bytes must stay.
fn by_tree(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            let field =
                |key: &String| format!("{}:{}", Value::from(key.as_str()), by_tree(&map[key]));
            let fields: Vec<_> = keys.into_iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(by_tree).collect();
            format!("[{}]", items.join(","))
        }
        scalar => scalar.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// To read back what was written is to know that no two records share their bytes.
    #[test]
    fn a_record_reads_back_and_is_written_the_same_way(record in record()) {
        let bytes = record.canonical_bytes().unwrap();
        prop_assert_eq!(&bytes, &record.clone().canonical_bytes().unwrap());
        let back = Record::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&back, &record);
        prop_assert_eq!(bytes, back.canonical_bytes().unwrap());
    }

    #[test]
    fn the_bytes_are_those_of_rfc_8785(record in record()) {
        let tree = by_tree(&serde_json::to_value(&record).unwrap());
        prop_assert_eq!(String::from_utf8(record.canonical_bytes().unwrap()).unwrap(), tree);
    }

    #[test]
    fn records_share_their_bytes_only_if_they_are_the_same(a in record(), b in record()) {
        let same = a.canonical_bytes().unwrap() == b.canonical_bytes().unwrap();
        prop_assert_eq!(same, a == b);
    }

    /// Whatever is run, its record can be made, fits into the log, and shows no control characters in
    /// the line for people.
    #[test]
    fn every_command_can_be_recorded(
        actor in actor(),
        words in vec(prop_oneof![text(), "[ -~\n\t\u{1}]{0,12}", "\n{0,3000}"], 1..80),
        container in text(),
    ) {
        let escape = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02x}")).collect() };
        let mut query = format!("container={}", escape(&container));
        for word in &words {
            query.push_str(&format!("&command={}", escape(word)));
        }
        let path = "/api/v1/namespaces/shop/pods/web/exec";
        let Ok(info) = RequestInfo::parse("POST", path, Some(&query)) else { return Ok(()) };
        let action = Action::new("prod".parse().unwrap(), info, None);
        prop_assert_eq!(&action.command, &words);
        let decision = Decision::Deny(Denial { policies: Vec::new(), remedy: None });
        let request = RequestId::from_uuid(Uuid::from_u128(1));
        let decided = Decided::new(request, actor, &action, String::new(), &decision, "1");
        prop_assert!(!decided.kubectl.chars().any(char::is_control));
        let event = Event::Decision(Box::new(decided));
        let record = Record::new(Timestamp::from_secs(0), event);
        let bytes = record.canonical_bytes().unwrap();
        prop_assert_eq!(Record::from_bytes(&bytes).unwrap(), record);
    }
}
