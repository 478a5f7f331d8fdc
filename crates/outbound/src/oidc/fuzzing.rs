//! Entry points for fuzzers: what a job and its issuer send.
//!
//! Each takes any bytes, must not panic, and says whether they were accepted.

use kubestile_core::Timestamp;

use super::config::IssuerConfig;
use super::json;
use super::keys::Keys;
use super::token::Token;

/// An identity token, as if its signature held. What is accepted is for us, now, and names whom it is of.
pub fn token(data: &[u8]) -> bool {
    let Some(token) = std::str::from_utf8(data)
        .ok()
        .and_then(|t| Token::parse(t).ok())
    else {
        return false;
    };
    assert!(!token.kid().is_empty() && !token.issuer().is_empty());
    let Ok(claims) = token.unverified().claims(&config(), NOW) else {
        return false;
    };
    assert!(!claims.subject().is_empty());
    let printable = |text: &str| !text.chars().any(char::is_control);
    assert!(printable(claims.subject()) && claims.token_id().is_none_or(printable));
    true
}

/// A set of keys.
pub fn key_set(data: &[u8]) -> bool {
    Keys::parse(data).is_ok()
}

/// A discovery document or any other JSON that counts: an object without a name twice.
pub fn object(data: &[u8]) -> bool {
    let Some(object) = json::object(data) else {
        return false;
    };
    let again = serde_json::Value::Object(object.clone()).to_string();
    assert_eq!(json::object(again.as_bytes()), Some(object));
    true
}

const NOW: Timestamp = Timestamp::from_secs(1_795_600_000);

fn config() -> IssuerConfig {
    IssuerConfig {
        name: "ci".to_owned(),
        issuer: "https://ci.example.com".to_owned(),
        audiences: vec!["gate.example.com".to_owned()],
        ca_file: None,
        refresh_seconds: None,
        keep_seconds: None,
        max_life_seconds: None,
    }
}
