use super::*;
use crate::client::CallError;

const KIND: &str = "jiraCloud";

/// Whether an error is the one.
type Expected = fn(&TicketError) -> bool;

fn issue(scope: Value) -> Reply {
    Reply::json(&json!({
        "key": "OPS-12",
        "fields": {
            "summary": "x",
            "status": { "name": "To Do", "statusCategory": { "key": "new" } },
            "assignee": { "emailAddress": "ana@example.com" },
            "customfield_1": scope,
        },
    }))
}

#[tokio::test]
async fn whatever_is_no_clear_answer_is_an_error() {
    let place = Place::new(Reply::html()).await;
    let patient = place.tickets(KIND, json!({ "timeoutSeconds": 60 }));
    let hasty = place.tickets(KIND, json!({ "timeoutSeconds": 1 }));
    let empty = json!({});
    let cases: Vec<(&str, Reply, Expected)> = vec![
        ("html", Reply::html(), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("no type", Reply::Whole(200, Vec::new(), "{}".into()), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("empty", Reply::json(&empty), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("array", Reply::json(&json!([])), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("no content", Reply::status(204, &empty), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("accepted", Reply::status(202, &empty), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("400", Reply::status(400, &empty), |e| {
            matches!(e, TicketError::Unexpected { .. })
        }),
        ("401", Reply::status(401, &empty), |e| {
            matches!(e, TicketError::Unauthorized { .. })
        }),
        ("403", Reply::status(403, &empty), |e| {
            matches!(e, TicketError::Forbidden { .. })
        }),
        ("404", Reply::status(404, &empty), |e| {
            matches!(e, TicketError::NotFound { .. })
        }),
        ("410", Reply::status(410, &empty), |e| {
            matches!(e, TicketError::NotFound { .. })
        }),
        (
            "429",
            Reply::status(429, &empty).with("retry-after", "7"),
            |e| {
                matches!(e, TicketError::RateLimited { .. })
                    && e.retry_after().is_some_and(|ttl| ttl.as_secs() == 7)
                    && e.is_temporary()
            },
        ),
        ("500", Reply::status(500, &empty), |e| {
            matches!(e, TicketError::Server { status: 500, .. }) && e.is_temporary()
        }),
        (
            "503",
            Reply::status(503, &empty).with("retry-after", "9"),
            |e| e.retry_after().is_some_and(|ttl| ttl.as_secs() == 9),
        ),
        (
            "302",
            Reply::status(302, &empty).with("location", "/login"),
            |e| {
                let redirect = |source: &CallError| matches!(source, CallError::Redirect { .. });
                matches!(e, TicketError::Unreachable { source, .. } if redirect(source))
            },
        ),
        ("endless", Reply::Endless, |e| {
            let large = |source: &CallError| matches!(source, CallError::TooLarge { .. });
            matches!(e, TicketError::Unreachable { source, .. } if large(source))
        }),
        ("silence", Reply::Silence, is_late),
        ("stalls", Reply::Stalls, is_late),
    ];
    for (what, reply, expected) in cases {
        let tickets = match &reply {
            Reply::Silence | Reply::Stalls => &hasty,
            _ => &patient,
        };
        place.answers(reply);
        let error = ask(tickets, "OPS-12", "ana").await.unwrap_err();
        assert!(expected(&error), "{what}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{what}");
    }
}

fn is_late(error: &TicketError) -> bool {
    let late = |source: &CallError| matches!(source, CallError::Timeout { .. });
    matches!(error, TicketError::Unreachable { source, .. } if late(source)) && error.is_temporary()
}

#[tokio::test]
async fn an_answer_as_deep_as_a_well_is_an_error() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let kind = ("content-type", "application/json".to_owned());
    let place = Place::new(Reply::Whole(200, vec![kind], deep.into())).await;
    let tickets = place.tickets(KIND, json!({}));
    let error = ask(&tickets, "OPS-12", "ana").await.unwrap_err();
    assert!(matches!(error, TicketError::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn without_a_credential_nobody_is_asked() {
    let place = Place::new(issue(json!(null))).await;
    let tickets = place.tickets(KIND, json!({}));
    for content in ["", "a\nb"] {
        std::fs::write(place.credential.path(), content).unwrap();
        let error = ask(&tickets, "OPS-12", "ana").await.unwrap_err();
        assert!(matches!(error, TicketError::Credential { .. }), "{error:?}");
    }
    assert_eq!(place.server.seen().len(), 0);
}

#[tokio::test]
async fn a_system_that_is_gone_is_unreachable() {
    let place = Place::new(issue(json!(null))).await;
    let config = place.config(KIND, json!({}));
    let tickets = Tickets::new(vec![config]).unwrap();
    let ticket = tickets.parse("OPS-12").unwrap();
    drop(place.server);
    let error = tickets.check(&ticket, "ana").await.unwrap_err();
    assert!(
        matches!(
            error,
            TicketError::Unreachable { .. } | TicketError::Credential { .. }
        ),
        "{error:?}"
    );
    let none = Tickets::new(Vec::new()).unwrap();
    let error = none.check(&ticket, "ana").await.unwrap_err();
    assert!(matches!(error, TicketError::Unknown { .. }), "{error:?}");
}

#[tokio::test]
async fn a_scope_is_read_or_refused() {
    let place = Place::new(Reply::Silence).await;
    let over = json!({ "namespaces": { "pointer": "/fields/customfield_1" } });
    let tickets = place.tickets(KIND, over);
    for (scope, wanted) in [
        (json!("shop"), vec!["shop"]),
        (json!("shop, cart\n shop"), vec!["shop", "cart"]),
        (json!(["shop", "cart"]), vec!["shop", "cart"]),
        (json!({ "value": "shop" }), vec!["shop"]),
        (json!([{ "name": "shop" }]), vec!["shop"]),
    ] {
        place.answers(issue(scope));
        let ticket = ask(&tickets, "OPS-12", "ana").await.unwrap();
        let namespaces = ticket.namespaces.unwrap();
        let namespaces: Vec<&str> = namespaces.iter().map(|n| n.as_str()).collect();
        assert_eq!(namespaces, wanted);
    }
    let many: Vec<String> = (0..65).map(|n| format!("n{n}")).collect();
    for scope in [
        json!(null),
        json!(""),
        json!([]),
        json!(5),
        json!(true),
        json!({ "id": "shop" }),
        json!([["shop"]]),
        json!("*"),
        json!("Shop"),
        json!("shop/../kube-system"),
        json!(["shop", "kube-system\u{0}"]),
        json!(many),
    ] {
        place.answers(issue(scope.clone()));
        let error = ask(&tickets, "OPS-12", "ana").await.unwrap_err();
        assert!(
            matches!(error, TicketError::Scope { .. }),
            "{scope}: {error:?}"
        );
    }
}

#[tokio::test]
async fn an_optional_scope_may_be_missing_and_not_wrong() {
    let place = Place::new(issue(json!(null))).await;
    let pointer = json!({ "pointer": "/fields/customfield_1", "optional": true });
    let over = json!({ "namespaces": pointer.clone(), "cluster": pointer });
    let tickets = place.tickets(KIND, over);
    let ticket = ask(&tickets, "OPS-12", "ana").await.unwrap();
    assert_eq!((ticket.namespaces, ticket.cluster), (None, None));
    for scope in [json!("UPPER"), json!("prod stage"), json!(7)] {
        place.answers(issue(scope));
        assert!(ask(&tickets, "OPS-12", "ana").await.is_err());
    }
}

#[tokio::test]
async fn without_a_mapping_a_ticket_names_nobody() {
    let place = Place::new(issue(json!(null))).await;
    let tickets = place.tickets(
        KIND,
        json!({ "login": null, "logins": { "bo": "ana@example.com" } }),
    );
    assert!(!ask(&tickets, "OPS-12", "ana").await.unwrap().names_person);
    assert!(ask(&tickets, "OPS-12", "bo").await.unwrap().names_person);
    let anybody = place.tickets(KIND, json!({ "login": null, "require": "nobody" }));
    assert!(ask(&anybody, "OPS-12", "ana").await.unwrap().names_person);
}
