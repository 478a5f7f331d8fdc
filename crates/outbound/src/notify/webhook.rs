//! A signed POST to an address of the operator's own.
//!
//! ```text
//! POST /their/path
//! Content-Type: application/json
//! Idempotency-Key: the message's id, the same when it is sent again
//! X-Kubestile-Timestamp: seconds since 1970
//! X-Kubestile-Signature: v1=HEX[,v1=HEX]
//!
//! {"version":"kubestile.dev/notification/v1","id":…,"kind":…,"who":…,"what":…,"where":…,…}
//! ```
//!
//! The signature is HMAC-SHA256 over the timestamp, a full stop and the body's bytes. A receiver
//! compares it in constant time, refuses what is older than five minutes, and takes each id once.
//! While the key is rotated there is a signature for each.

use http::HeaderName;
use kubestile_core::{Secret, Timestamp};
use serde_json::{Value, json};

use super::message::Message;
use crate::client::{Call, CallError, ServiceUrl};
use crate::signature;
use crate::ticket::webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER};

pub(super) fn call<'u>(
    url: &'u ServiceUrl,
    message: &Message,
    secrets: &[Secret<String>],
    now: Timestamp,
) -> Result<Call<'u>, CallError> {
    let body = body(message).to_string();
    let time = now.as_secs().to_string();
    let signatures: Vec<String> = signature::keys(secrets)
        .map(|key| {
            let parts = [time.as_bytes(), b".", body.as_bytes()];
            format!("v1={}", signature::hex(&signature::sign(key, &parts)))
        })
        .collect();
    Call::post(url, body)
        .with(HeaderName::from_static("idempotency-key"), &message.id)?
        .with(HeaderName::from_static(TIMESTAMP_HEADER), &time)?
        .with(
            HeaderName::from_static(SIGNATURE_HEADER),
            &signatures.join(","),
        )
}

/// The texts as they are: it is the receiver's program that reads them, and escapes them for what it
/// does with them.
fn body(message: &Message) -> Value {
    json!({
        "version": "kubestile.dev/notification/v1",
        "id": message.id,
        "kind": message.kind.word(),
        "who": message.who,
        "what": message.what,
        "where": message.place,
        "why": message.why,
        "risk": message.risk,
        "link": message.safe_link(),
    })
}
