//! Each channel against a server on this machine.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::signature;
use crate::testing::{Reply, Server, file, until};

const QUICK: Pace = Pace {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(5),
    attempts: 3,
};

fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        kind: Kind::Waiting,
        who: "ana".to_owned(),
        what: "delete deployments.apps/web -n shop".to_owned(),
        place: "prod".to_owned(),
        why: Some("OPS-12".to_owned()),
        risk: None,
        link: Some("https://gate.example.com/r/7K2P-1".to_owned()),
    }
}

/// Texts that try to be more than text.
fn hostile() -> Message {
    Message {
        who: "<!channel> <@U123> @here".to_owned(),
        what: "<https://evil.example|Approve> [Approve](https://evil.example) *b* `c`".to_owned(),
        place: "{{DATE(2026-01-01,SHORT)}} <at>ana</at> ${x}".to_owned(),
        why: Some("a\r\nBcc: eve@evil.example\r\n\r\n.\r\nQUIT\u{202e}".to_owned()),
        risk: Some("x".repeat(100_000)),
        ..message("1")
    }
}

fn notifier(config: Value) -> Notifier {
    let config = serde_json::from_value(config).unwrap();
    Notifier::with_pace(vec![config], QUICK).unwrap()
}

/// Runs until the counters are as expected.
async fn delivered(notifier: &Notifier, expected: impl Fn(Counters) -> bool) -> Counters {
    let counters = || notifier.counters()[0].1;
    tokio::select! {
        () = notifier.run() => unreachable!("it runs for ever"),
        () = until("delivery", || expected(counters())) => counters(),
    }
}

async fn posted(kind: &str, message: &Message) -> Value {
    let server = Server::start(|_| Reply::Whole(200, Vec::new(), "ok".into())).await;
    let url = file(&format!("{}/services/hunter2", server.url()));
    let notifier = notifier(json!({ "name": "here", "kind": kind, "urlFile": url.path() }));
    notifier.send(message);
    delivered(&notifier, |c| c.sent == 1).await;
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "/services/hunter2");
    assert_eq!(seen[0].header("content-type"), "application/json");
    seen[0].json()
}

/// All texts in a value, with the object that each stands in.
fn texts<'v>(value: &'v Value, inside: &'v Value, found: &mut Vec<(&'v str, &'v Value)>) {
    match value {
        Value::String(text) => found.push((text, inside)),
        Value::Array(values) => values.iter().for_each(|v| texts(v, inside, found)),
        Value::Object(object) => object.values().for_each(|v| texts(v, value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn slack_shows_it() {
    let body = posted("slack", &message("1")).await;
    assert_eq!(body["blocks"][0]["text"]["text"], "Approval wanted");
    let fields = body["blocks"][1]["fields"].as_array().unwrap();
    assert_eq!(fields[0]["text"], "Who: ana");
    assert_eq!(fields.len(), 4);
    assert_eq!(
        body["blocks"][2]["text"]["text"],
        "<https://gate.example.com/r/7K2P-1|Open in Kubestile>"
    );
}

#[tokio::test]
async fn no_text_of_a_person_is_markup_in_slack() {
    let body = posted("slack", &hostile()).await;
    let mut found = Vec::new();
    texts(&body, &body, &mut found);
    for (text, inside) in found {
        let of_a_person = text.contains("evil.example") || text.contains("channel");
        assert!(
            !of_a_person || inside["type"] == "plain_text" || inside["parse"] == "none",
            "{text}"
        );
        let ours = text.starts_with("<https://gate.example.com/");
        assert!(ours || !text.contains(['<', '>']), "{text}");
        assert!(text.chars().count() <= 2000, "{}", text.len());
        assert!(!text.contains(['\n', '\r', '\u{202e}']), "{text}");
    }
    assert!(body["text"].as_str().unwrap().contains("&lt;!channel&gt;"));
    assert_eq!(body["link_names"], false);
    assert!(!body.to_string().contains("\"button\""));
}

#[tokio::test]
async fn no_text_of_a_person_is_markup_in_teams() {
    let body = posted("teams", &hostile()).await;
    let attachment = &body["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    let mut found = Vec::new();
    texts(card, card, &mut found);
    for (text, inside) in found {
        let of_a_person = ["evil", "channel", "DATE", "at"]
            .iter()
            .any(|t| text.contains(t));
        let ours = inside["type"] == "Action.OpenUrl"
            || inside["type"] == "TextBlock"
            || inside["type"] == "AdaptiveCard";
        assert!(
            !of_a_person || ours || inside["type"] == "TextRun",
            "{text}"
        );
        assert!(
            !text.contains("{{") && !text.contains("<at>") && !text.contains("${"),
            "{text}"
        );
    }
    let actions = card["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 1, "a link, and no way to approve");
    assert_eq!(actions[0]["type"], "Action.OpenUrl");
    assert_eq!(actions[0]["url"], "https://gate.example.com/r/7K2P-1");
}

#[tokio::test]
async fn a_link_that_is_not_ours_by_its_form_is_left_out() {
    for link in [
        "javascript:alert(1)",
        "http://gate.example.com/r/1",
        "https://gate.example.com/r/1|evil>",
        "https://gate.example.com/ <x>",
        "https://gate.example.com/\"onclick",
        "https://u:p@gate.example.com/",
        "",
    ] {
        let message = Message {
            link: Some(link.to_owned()),
            ..message("1")
        };
        assert_eq!(message.safe_link(), None, "{link}");
    }
    let message = Message {
        link: None,
        ..message("1")
    };
    let body = posted("teams", &message).await;
    assert_eq!(body["attachments"][0]["content"]["actions"], json!([]));
}

#[tokio::test]
async fn a_signed_webhook_is_tried_again_with_the_same_id() {
    let failures = std::sync::atomic::AtomicU32::new(0);
    let server =
        Server::start(
            move |_| match failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Reply::status(500, &json!({})),
                1 => Reply::status(429, &json!({})).with("retry-after", "100000"),
                _ => Reply::status(202, &json!({})),
            },
        )
        .await;
    let secrets = file("old\nnew\n");
    let notifier = notifier(json!({
        "name": "here", "kind": "webhook", "url": format!("{}/x", server.url()),
        "secretFile": secrets.path(),
    }));
    notifier.send(&hostile());
    let counters = delivered(&notifier, |c| c.sent == 1).await;
    assert_eq!((counters.retried, counters.failed), (2, 0));
    let seen = server.seen();
    assert_eq!(seen.len(), 3);
    for request in &seen {
        assert_eq!(request.header("idempotency-key"), "1");
        assert_eq!(request.body, seen[0].body);
        let time = request.header("x-kubestile-timestamp");
        assert!(time.parse::<i64>().unwrap() > 1_700_000_000);
        let wanted: Vec<String> = ["old", "new"]
            .iter()
            .map(|key| {
                let parts = [time.as_bytes(), b".", &request.body];
                format!(
                    "v1={}",
                    signature::hex(&signature::sign(key.as_bytes(), &parts))
                )
            })
            .collect();
        assert_eq!(request.header("x-kubestile-signature"), wanted.join(","));
    }
    let body = seen[0].json();
    assert_eq!(body["version"], "kubestile.dev/notification/v1");
    assert_eq!(body["kind"], "waiting");
    assert_eq!(body["who"], hostile().who, "as it is");
}

#[tokio::test]
async fn what_will_never_go_well_is_not_tried_again() {
    let server = Server::start(|_| Reply::status(404, &json!({ "error": "no_service" }))).await;
    let url = file(&format!("{}/services/x", server.url()));
    let notifier = notifier(json!({ "name": "here", "kind": "slack", "urlFile": url.path() }));
    notifier.send(&message("1"));
    let counters = delivered(&notifier, |c| c.failed == 1).await;
    assert_eq!((counters.sent, counters.retried), (0, 0));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn after_some_attempts_it_is_given_up_and_the_next_is_sent() {
    let server = Server::start(|request| match request.json()["text"].as_str() {
        Some(text) if text.contains("ben") => Reply::status(200, &json!({})),
        _ => Reply::status(503, &json!({})),
    })
    .await;
    let url = file(&server.url());
    let notifier = notifier(json!({ "name": "here", "kind": "slack", "urlFile": url.path() }));
    notifier.send(&message("1"));
    notifier.send(&Message {
        who: "ben".to_owned(),
        ..message("2")
    });
    let counters = delivered(&notifier, |c| c.sent == 1).await;
    assert_eq!((counters.failed, counters.retried), (1, 2));
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_missing_or_wrong_url_is_a_failure_that_repeats_nothing() {
    let url = file("http://hooks.example/hunter2");
    let notifier = notifier(json!({ "name": "here", "kind": "teams", "urlFile": url.path() }));
    notifier.send(&message("1"));
    delivered(&notifier, |c| c.failed == 1).await;
}

#[test]
fn a_full_queue_drops_the_oldest_and_nobody_waits() {
    let notifier = notifier(json!({ "name": "here", "kind": "slack", "urlFile": "/nonexistent" }));
    for n in 0..queue::WAITING + 10 {
        notifier.send(&message(&n.to_string()));
    }
    assert_eq!(notifier.counters()[0].1.dropped, 10);
    assert_eq!(notifier.counters()[0].0, "here");
}

#[tokio::test]
async fn a_channel_gets_only_what_it_wants_and_a_slow_one_holds_up_nobody() {
    let slow = Server::start(|_| Reply::Silence).await;
    let quick = Server::start(|_| Reply::status(200, &json!({}))).await;
    let (slow_url, quick_url) = (file(&slow.url()), file(&quick.url()));
    let configs = json!([
        { "name": "slow", "kind": "slack", "urlFile": slow_url.path() },
        { "name": "quick", "kind": "slack", "urlFile": quick_url.path(), "only": ["break-glass"] },
    ]);
    let notifier = Notifier::with_pace(serde_json::from_value(configs).unwrap(), QUICK).unwrap();
    notifier.send(&message("1"));
    notifier.send(&Message {
        kind: Kind::BreakGlass,
        ..message("2")
    });
    tokio::select! {
        () = notifier.run() => unreachable!("it runs for ever"),
        () = until("the quick one", || notifier.counters()[1].1.sent == 1) => {}
    }
    assert_eq!(notifier.counters()[0].1.sent, 0);
    assert_eq!(quick.seen().len(), 1);
}

#[test]
fn configurations_that_are_refused() {
    let mail = |name: &str, value: Value| {
        let mut mail = json!({ "server": "smtp.example.com", "from": "g@example.com", "to": ["a@example.com"] });
        mail[name] = value;
        json!({ "name": "here", "kind": "mail", "mail": mail })
    };
    for config in [
        json!({ "name": "here", "kind": "slack" }),
        json!({ "name": "here", "kind": "teams", "url": "https://a.example" }),
        json!({ "name": "here", "kind": "webhook", "url": "https://a.example" }),
        json!({ "name": "here", "kind": "webhook", "secretFile": "/x" }),
        json!({ "name": "Not A Label", "kind": "slack", "urlFile": "/x" }),
        json!({ "name": "here", "kind": "slack", "urlFile": "/x", "caFile": "/nonexistent" }),
        json!({ "name": "here", "kind": "mail" }),
        mail("to", json!([])),
        mail("to", json!(vec!["a@example.com"; 17])),
        mail("to", json!(["a@example.com>\r\nBcc: b@example.com"])),
        mail("to", json!(["a@example.com, b@example.com"])),
        mail("to", json!(["no address"])),
        mail("from", json!("Gate <g@example.com>")),
        mail("from", json!("\"a b\"@example.com")),
        mail("from", json!("ü@example.com")),
        mail("user", json!("gate")),
        mail("server", json!("a b")),
        mail("server", json!("")),
    ] {
        let parsed = serde_json::from_value(config.clone()).unwrap();
        assert!(Notifier::new(vec![parsed]).is_err(), "{config}");
    }
    let good = || serde_json::from_value(mail("port", json!(25))).unwrap();
    assert!(Notifier::new(vec![good()]).is_ok());
    assert!(
        Notifier::new(vec![good(), good()]).is_err(),
        "one name twice"
    );
    let typo = json!({ "name": "here", "kind": "slack", "urlFile": "/x", "channel": "#a" });
    assert!(serde_json::from_value::<ChannelConfig>(typo).is_err());
}
