use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use serde_json::json;

use super::*;
use crate::testing::file;
use crate::ticket::Tickets;

const NOW: i64 = 1_795_600_000;

struct Case {
    tickets: Tickets,
    secret: tempfile::NamedTempFile,
}

impl Case {
    fn new(kind: &str) -> Self {
        let secret = file("hunter2");
        let config = json!({
            "name": "here",
            "kind": kind,
            "url": "https://a.example",
            "credentialFile": "/nonexistent",
            "accept": match kind {
                "github" | "gitlab" => json!(["acme/**"]),
                _ => json!([]),
            },
            "openStates": ["open"],
            "fields": (kind == "generic").then(|| json!({
                "path": "/{id}", "id": "/id", "state": "/s", "assignees": ["/a"],
            })),
            "webhook": { "secretFile": secret.path() },
        });
        let config = serde_json::from_value(config).unwrap();
        Self {
            tickets: Tickets::new(vec![config]).unwrap(),
            secret,
        }
    }

    fn event(
        &self,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Result<String, WebhookError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let event = self.tickets.event("here", &map, body.as_bytes(), at(NOW))?;
        Ok(event.ticket.to_string())
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn mac(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts.iter().map(|p| p.as_bytes()).collect();
    signature::sign(key, &parts)
}

fn hex(key: &str, text: &str) -> String {
    signature::hex(&mac(key.as_bytes(), &[text]))
}

/// Kind, header, prefix, message, ticket.
fn signed_bodies() -> Vec<(
    &'static str,
    &'static str,
    &'static str,
    String,
    &'static str,
)> {
    let github = json!({
        "action": "closed",
        "issue": { "number": 7, "state": "closed" },
        "repository": { "full_name": "Acme/Shop" },
    });
    let jira =
        json!({ "webhookEvent": "jira:issue_updated", "issue": { "id": "1", "key": "OPS-12" } });
    let pagerduty = json!({ "event": {
        "id": "01", "event_type": "incident.resolved", "resource_type": "incident",
        "data": { "id": "PT4KHLK", "type": "incident", "status": "resolved" },
    }});
    let note = json!({ "event": {
        "id": "02", "event_type": "incident.annotated",
        "data": { "id": "P000NOTE", "incident": { "id": "PT4KHLK" } },
    }});
    vec![
        (
            "github",
            "x-hub-signature-256",
            "sha256=",
            github.to_string(),
            "here:acme/shop#7",
        ),
        (
            "jiraCloud",
            "x-hub-signature",
            "sha256=",
            jira.to_string(),
            "here:OPS-12",
        ),
        (
            "jiraDataCenter",
            "x-hub-signature",
            "sha256=",
            jira.to_string(),
            "here:OPS-12",
        ),
        (
            "pagerDuty",
            "x-pagerduty-signature",
            "v1=",
            pagerduty.to_string(),
            "here:PT4KHLK",
        ),
        (
            "pagerDuty",
            "x-pagerduty-signature",
            "v1=",
            note.to_string(),
            "here:PT4KHLK",
        ),
    ]
}

#[test]
fn a_signature_over_the_body() {
    for (kind, header, prefix, body, ticket) in signed_bodies() {
        let case = Case::new(kind);
        let good = format!("{prefix}{}", hex("hunter2", &body));
        let forged = format!("{prefix}{}", hex("hunter3", &body));
        let cut = good.strip_suffix(|_: char| true).unwrap();
        for bad in [
            forged.as_str(),
            cut,
            "",
            prefix,
            good.trim_start_matches(prefix),
            &good.replace('=', ":"),
        ] {
            let refused = case.event(&[(header, bad.to_owned())], &body);
            assert_eq!(refused, Err(WebhookError::Signature), "{kind} {bad}");
        }
        let twice = [(header, good.clone()), (header, good.clone())];
        assert_eq!(
            case.event(&twice, &body),
            Err(WebhookError::Signature),
            "{kind}"
        );
        assert_eq!(
            case.event(&[], &body),
            Err(WebhookError::Signature),
            "{kind}"
        );
        let changed = format!("{body} ");
        assert_eq!(
            case.event(&[(header, good.clone())], &changed),
            Err(WebhookError::Signature)
        );

        assert_eq!(
            case.event(&[(header, good.clone())], &body).as_deref(),
            Ok(ticket),
            "{kind}"
        );
        let again = case.event(&[(header, good)], &body);
        assert_eq!(again, Err(WebhookError::Replay), "{kind}");
    }
}

#[test]
fn old_and_new_secret_hold_while_one_is_rotated() {
    let case = Case::new("pagerDuty");
    std::fs::write(case.secret.path(), "old\nnew\n").unwrap();
    for (secret, id) in [("old", "PAAAAAA"), ("new", "PBBBBBB")] {
        let body = json!({ "event": { "data": { "id": id } } }).to_string();
        let signatures = format!("v1={},v1={}", hex("other", &body), hex(secret, &body));
        let event = case.event(&[("x-pagerduty-signature", signatures)], &body);
        assert_eq!(event, Ok(format!("here:{id}")));
    }
    std::fs::write(case.secret.path(), "").unwrap();
    let refused = case.event(
        &[("x-pagerduty-signature", format!("v1={}", hex("", "{}")))],
        "{}",
    );
    assert_eq!(refused, Err(WebhookError::Secret));
}

fn gitlab() -> String {
    let body = json!({
        "object_kind": "issue",
        "project": { "path_with_namespace": "acme/web/shop" },
        "object_attributes": { "iid": 7, "state": "closed", "action": "close" },
    });
    body.to_string()
}

#[test]
fn the_token_of_gitlab() {
    let case = Case::new("gitlab");
    let body = gitlab();
    for bad in ["", "hunter", "hunter22", "Hunter2"] {
        let refused = case.event(&[("x-gitlab-token", bad.to_owned())], &body);
        assert_eq!(refused, Err(WebhookError::Signature), "{bad}");
    }
    let event = case.event(&[("x-gitlab-token", "hunter2".to_owned())], &body);
    assert_eq!(event.as_deref(), Ok("here:acme/web/shop#7"));
}

#[test]
fn the_signature_of_gitlab() {
    let case = Case::new("gitlab");
    let key = [7_u8; 32];
    let secret = format!("whsec_{}", BASE64.encode(key));
    std::fs::write(case.secret.path(), &secret).unwrap();
    let body = gitlab();
    let headers = |time: i64, signed: i64| {
        let time = time.to_string();
        let signature = mac(&key, &["msg_1", ".", &signed.to_string(), ".", &body]);
        vec![
            ("webhook-id", "msg_1".to_owned()),
            ("webhook-timestamp", time),
            (
                "webhook-signature",
                format!("v1a,x v1,{}", BASE64.encode(signature)),
            ),
        ]
    };
    let mut downgraded = headers(NOW, NOW - 1);
    downgraded.push(("x-gitlab-token", secret));
    assert_eq!(case.event(&downgraded, &body), Err(WebhookError::Signature));
    assert_eq!(
        case.event(&headers(NOW, NOW - 1), &body),
        Err(WebhookError::Signature)
    );
    for time in [NOW - 301, NOW + 301, 0] {
        assert_eq!(
            case.event(&headers(time, time), &body),
            Err(WebhookError::Replay),
            "{time}"
        );
    }
    assert_eq!(
        case.event(&headers(NOW - 300, NOW - 300), &body).as_deref(),
        Ok("here:acme/web/shop#7")
    );
}

#[test]
fn a_signature_with_a_time() {
    for (kind, id) in [("serviceNow", "INC0010001"), ("generic", "a-1")] {
        let case = Case::new(kind);
        let body = json!({ "ticket": id }).to_string();
        let headers = |time: &str, signed: &str| {
            let signature = signature::hex(&mac(b"hunter2", &[signed, ".", &body]));
            vec![
                (TIMESTAMP_HEADER, time.to_owned()),
                (SIGNATURE_HEADER, format!("v1={signature}")),
            ]
        };
        let now = NOW.to_string();
        for odd in ["-5", "", "1e9", " 1795600000", "99999999999999999999"] {
            assert!(case.event(&headers(odd, odd), &body).is_err(), "{odd}");
        }
        let old = (NOW - 301).to_string();
        assert_eq!(
            case.event(&headers(&old, &old), &body),
            Err(WebhookError::Replay)
        );
        assert_eq!(
            case.event(&headers(&now, &old), &body),
            Err(WebhookError::Signature)
        );
        assert_eq!(
            case.event(&headers(&now, &now), &body),
            Ok(format!("here:{id}"))
        );
        // The same message again, then a new one that says the same.
        assert_eq!(
            case.event(&headers(&now, &now), &body),
            Err(WebhookError::Replay)
        );
        let later = (NOW + 1).to_string();
        assert_eq!(
            case.event(&headers(&later, &later), &body),
            Ok(format!("here:{id}"))
        );
    }
}

#[test]
fn signed_but_about_no_ticket() {
    let case = Case::new("jiraCloud");
    for body in [
        "{}",
        "[]",
        "not json",
        r#"{"issue":{"key":"OPS-12/../x"}}"#,
        r#"{"issue":{"key":7}}"#,
        r#"{"issue":{"key":""}}"#,
    ] {
        let header = (
            "x-hub-signature",
            format!("sha256={}", hex("hunter2", body)),
        );
        assert_eq!(
            case.event(&[header], body),
            Err(WebhookError::NoTicket),
            "{body}"
        );
    }
    let gitlab = Case::new("gitlab");
    let merge = self::gitlab().replace("\"issue\"", "\"merge_request\"");
    let header = ("x-gitlab-token", "hunter2".to_owned());
    assert_eq!(gitlab.event(&[header], &merge), Err(WebhookError::NoTicket));
    let huge = " ".repeat(BODY_LIMIT + 1);
    assert_eq!(case.event(&[], &huge), Err(WebhookError::TooLarge));
    let nobody = case
        .tickets
        .event("other", &HeaderMap::new(), b"{}", at(NOW));
    assert_eq!(nobody, Err(WebhookError::NotConfigured));
}

#[test]
fn what_is_remembered_is_bounded() {
    let replays = Replays::default();
    for n in 0..REMEMBERED + 10 {
        assert!(replays.is_new("", n.to_string().as_bytes()));
    }
    assert_eq!(replays.0.lock().unwrap().len(), REMEMBERED);
    assert!(!replays.is_new("", b"1000"));
}
