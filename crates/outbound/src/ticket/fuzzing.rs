//! Entry points for fuzzers: what people and ticket systems write.
//!
//! Each takes any bytes, must not panic, and says whether they were accepted.

use http::{HeaderMap, HeaderName, HeaderValue};
use kubestile_core::{Secret, Timestamp};
use serde_json::{Value, json};

use super::config::TicketConfig;
use super::{id, reading, webhook};

const KINDS: [&str; 7] = [
    "jiraCloud",
    "jiraDataCenter",
    "serviceNow",
    "github",
    "gitlab",
    "pagerDuty",
    "generic",
];

/// The id of a ticket as a person types it, for every kind of system. What is accepted has one form, and
/// leads to a path of that system and nowhere else.
pub fn ticket(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let configs = KINDS.iter().filter_map(|kind| config(kind));
    configs.fold(false, |taken, config| taken | is_id(&config, text))
}

fn is_id(config: &TicketConfig, text: &str) -> bool {
    let Some(key) = id::canonical(config, text) else {
        return false;
    };
    assert_eq!(id::canonical(config, &key).as_ref(), Some(&key));
    let path = reading::path(config, &key);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%?=&,".contains(&b);
    assert!(path.starts_with('/') && path.bytes().all(plain), "{path}");
    assert!(path.matches('?').count() <= 1, "{path}");
    assert!(!path.split('/').any(|part| part == ".."), "{path}");
    true
}

/// A message of a ticket system: its kind in the first line, then what is taken for its headers and for its
/// body both. Nothing that somebody chose is signed; what the body says is a ticket or nothing.
pub fn message(data: &[u8]) -> bool {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (Some(kind), Some(body)) = (lines.next(), lines.next()) else {
        return false;
    };
    let Some(config) = std::str::from_utf8(kind).ok().and_then(config) else {
        return false;
    };
    let secrets = [Secret::new(SECRET.to_owned())];
    let headers = headers(body);
    let signed = webhook::verify(config.kind, &secrets, &headers, body, NOW);
    assert!(signed.is_err(), "a made-up signature was accepted");
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    webhook::key(config.kind, &body, "/ticket").is_some_and(|key| is_id(&config, &key))
}

/// A secret that stands in no seed.
const SECRET: &str = "b7b0c1f64a3f1d0e9f8e2f5a6c7d";
const NOW: Timestamp = Timestamp::from_secs(1_795_600_000);

fn headers(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').take(16) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|n| HeaderName::from_bytes(n).ok());
        let value = parts.next().and_then(|v| HeaderValue::from_bytes(v).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn config(kind: &str) -> Option<TicketConfig> {
    let config = json!({
        "name": "any", "kind": kind, "url": "https://tickets.example.com", "credentialFile": "/none",
        "project": "acme/ops",
        "fields": {"path": "/tickets/{id}", "id": "/id", "state": "/state"},
    });
    serde_json::from_value(config).ok()
}
