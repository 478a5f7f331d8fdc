//! Grants that hang on tickets.

use std::collections::HashSet;

use kubestile_core::GrantId;

use super::outside::{Place, ask, keep, pass_until, until};
use super::*;

/// A gate where ana may get a grant in an emergency, on a ticket that is open and hers.
async fn setting() -> (Place, Gate, Client) {
    let place = Place::new().await;
    place.ticket("open", "ana", &[]);
    let gate = place.gate().await;
    let ana = gate.client("ana", &["break-glass"]).await;
    (place, gate, ana)
}

fn emergency(client: &Client, ticket: &str) -> Builder {
    let body = json!({
        "role": "operator", "cluster": "prod", "namespaces": ["shop"], "seconds": 3600,
        "reason": "the shop is down", "ticket": ticket,
    });
    post("/v1/break-glass", &body).by(client)
}

async fn grant(gate: &Gate, client: &Client) -> GrantId {
    let answer = gate.public(emergency(client, "DESK-7")).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.body["ticket"], "desk:DESK-7");
    answer.body["id"].as_str().unwrap().parse().unwrap()
}

fn ended(gate: &Gate, id: GrantId) -> Option<String> {
    let grant = gate.store.grant(id).unwrap();
    grant.ended.as_ref().map(|end| end.why.to_string())
}

#[tokio::test]
async fn a_ticket_that_does_not_carry_the_grant_gives_none() {
    let (place, gate, ana) = setting().await;
    for (state, owner, labels, word) in [
        ("done", "ana", vec![], "not open"),
        ("open", "bob", vec![], "does not name ana"),
        ("open", "ana", vec!["namespace:cart"], "namespaces cart"),
    ] {
        place.ticket(state, owner, &labels);
        let answer = gate.public(emergency(&ana, "DESK-7")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{word}");
        assert!(answer.error().contains(word), "{}", answer.error());
    }
    place.breaks();
    let answer = gate.public(emergency(&ana, "DESK-7")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "unreachable is no");
    let answer = gate.public(emergency(&ana, "OTHER-7")).await;
    assert!(answer.error().contains("OTHER-7"), "{}", answer.error());
    assert!(gate.store.grants().is_empty());
    place.ticket("open", "ana", &["namespace:shop"]);
    grant(&gate, &ana).await;
}

#[tokio::test]
async fn a_grant_ends_with_its_ticket() {
    let (place, gate, ana) = setting().await;
    let _kept = keep(&gate);
    let id = grant(&gate, &ana).await;
    let other = {
        place.ticket("open", "ana", &[]);
        grant(&gate, &ana).await
    };
    place.ticket("done", "ana", &[]);
    pass_until(&gate, "the end of both", || {
        ended(&gate, id).is_some() && ended(&gate, other).is_some()
    })
    .await;
    let why = ended(&gate, id).unwrap();
    assert!(
        why.contains("desk:DESK-7") && why.contains("closed"),
        "{why}"
    );
    until("the record", || {
        gate.log().contains("of the grant was closed")
    })
    .await;
    until("the message", || !place.messages("grant-ended").is_empty()).await;
    assert_eq!(place.messages("break-glass").len(), 2);
}

#[tokio::test]
async fn a_ticket_of_somebody_else_carries_nothing_any_more() {
    let (place, gate, ana) = setting().await;
    let _kept = keep(&gate);
    let id = grant(&gate, &ana).await;
    place.ticket("open", "bob", &[]);
    pass_until(&gate, "the end", || ended(&gate, id).is_some()).await;
    assert!(ended(&gate, id).unwrap().contains("does not name ana"));
}

#[tokio::test]
async fn a_system_that_is_silent_for_long_ends_the_grant_and_a_short_silence_does_not() {
    let (place, gate, ana) = setting().await;
    let _kept = keep(&gate);
    let id = grant(&gate, &ana).await;
    place.breaks();
    let unclear = || gate.state.outside.status().tickets_unclear;
    pass_until(&gate, "a question", || unclear() > 0).await;
    assert_eq!(ended(&gate, id), None);
    gate.pass(600);
    until("the end", || ended(&gate, id).is_some()).await;
    assert!(
        ended(&gate, id)
            .unwrap()
            .contains("no clear answer for 10m")
    );
}

#[tokio::test]
async fn a_signed_webhook_is_a_reason_to_look_and_a_forged_one_is_nothing() {
    let (place, gate, ana) = setting().await;
    let _kept = keep(&gate);
    let id = grant(&gate, &ana).await;
    // Once when the grant was asked for, and once soon after it started.
    pass_until(&gate, "the first look", || place.asked() == 2).await;
    gate.pass(3);
    place.ticket("done", "ana", &[]);
    for forged in [
        place.webhook("DESK-7", "guess", gate.now()),
        place.webhook("DESK-7", "hunter2", Timestamp::from_secs(START - 1000)),
        post("/v1/webhooks/desk", &json!({ "ticket": "DESK-7" })),
        post("/v1/webhooks/other", &json!({ "ticket": "DESK-7" })),
    ] {
        let answer = gate.public(forged).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert_eq!(answer.error(), "the message is not taken", "and not why");
    }
    assert_eq!(gate.state.outside.status().webhooks_refused, 4);
    assert_eq!((place.asked(), ended(&gate, id)), (2, None));

    let at = gate.now();
    let honest = || place.webhook("DESK-7", "hunter2", at);
    assert_eq!(gate.public(honest()).await.status, StatusCode::ACCEPTED);
    // A ticket is not looked at twice within half a second; the next look of its own is far off.
    gate.pass(3);
    until("the end", || ended(&gate, id).is_some()).await;
    let again = gate.public(honest()).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN, "it came before");
}

#[tokio::test]
async fn webhooks_are_bounded_in_size_and_number() {
    let (place, gate, _ana) = setting().await;
    let long = json!({ "ticket": "D".repeat(70_000) });
    let answer = gate.public(post("/v1/webhooks/desk", &long)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut last = StatusCode::OK;
    for _ in 0..70 {
        last = gate
            .public(place.webhook("DESK-7", "guess", gate.now()))
            .await
            .status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let honest = place.webhook("DESK-7", "hunter2", gate.now());
    let elsewhere = gate.public(honest.from("192.0.2.9:1")).await;
    assert_eq!(elsewhere.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_request_is_told_of_once_for_each_state() {
    let (place, gate, _ana) = setting().await;
    let _kept = keep(&gate);
    let bob = gate.client("bob", &["viewer"]).await;
    let cleo = gate.client("cleo", &["approver"]).await;
    place.ticket("open", "bob", &[]);
    let opened = gate.public(ask(&bob, "operator", Some("DESK-9"))).await;
    let request = &opened.body["request"];
    until("a message", || !place.messages("waiting").is_empty()).await;
    let message = place.messages("waiting").remove(0);
    let link = format!(
        "https://gate.example:8443/r/{}",
        request["id"].as_str().unwrap()
    );
    assert_eq!(
        (&message["who"], &message["link"]),
        (&"bob".into(), &link.into())
    );
    assert_eq!(message["where"], "prod, shop");
    assert!(message["why"].as_str().unwrap().contains("desk:DESK-9"));

    let path = format!("/v1/access/{}/deny", request["id"].as_str().unwrap());
    let denied = post(&path, &json!({ "reason": "not today" })).by(&cleo);
    assert_eq!(gate.public(denied).await.status, StatusCode::OK);
    until("a message", || !place.messages("denied").is_empty()).await;
    let message = place.messages("denied").remove(0);
    assert_eq!(
        message["why"]
            .as_str()
            .unwrap()
            .matches("denied by cleo: not today")
            .count(),
        1
    );
    assert_eq!(place.messages("waiting").len(), 1);
}

#[tokio::test]
async fn a_ticket_that_closes_while_the_request_waits_gives_no_grant() {
    let (place, gate, _ana) = setting().await;
    let bob = gate.client("bob", &["viewer"]).await;
    let cleo = gate.client("cleo", &["approver"]).await;
    place.ticket("open", "bob", &[]);
    let opened = gate.public(ask(&bob, "operator", Some("DESK-9"))).await;
    let request = &opened.body["request"];
    place.ticket("done", "bob", &[]);
    let path = format!("/v1/access/{}/approve", request["id"].as_str().unwrap());
    let approve = post(&path, &json!({ "digest": request["digest"] })).by(&cleo);
    let answer = gate.public(approve).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{:?}", answer.body);
    assert!(answer.body["hint"].as_str().unwrap().contains("not open"));
    assert!(gate.store.grants().is_empty());
}

/// A grant that ends by itself is told like one that is taken away, and the look back at it is asked for:
/// once when it ends, once more when a day has passed.
#[tokio::test]
async fn the_end_of_a_grant_and_its_open_review_are_told() {
    let (place, gate, ana) = setting().await;
    let _kept = keep(&gate);
    let id = grant(&gate, &ana).await;
    let of = |kind: &str| place.messages(kind).len();
    gate.pass(3600);
    until("its end is told", || of("grant-ended") == 1).await;
    let why = place.messages("grant-ended").remove(0)["why"].to_string();
    assert!(why.contains("expired"), "{why}");
    until("its review is asked for", || of("review-due") == 1).await;
    gate.pass(23 * 3600);
    until("a reminder", || of("review-due") == 2).await;
    let ids: HashSet<String> = place
        .messages("review-due")
        .iter()
        .map(|m| m["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.iter().all(|one| one.contains(&id.to_string())));
}
