//! Signed messages from ticket systems. One means only "look again": what the ticket says is then asked
//! of its system, so a forged message costs one question and changes nothing.
//!
//! | system | header | signature |
//! |---|---|---|
//! | GitHub | `X-Hub-Signature-256: sha256=HEX` | over the body |
//! | Jira | `X-Hub-Signature: sha256=HEX` | over the body |
//! | GitLab | `webhook-signature: v1,BASE64` | over `webhook-id.webhook-timestamp.body` |
//! | GitLab, older | `X-Gitlab-Token` | none: the secret itself |
//! | PagerDuty | `X-PagerDuty-Signature: v1=HEX,…` | over the body |
//! | ServiceNow, generic | `X-Kubestile-Signature: v1=HEX` | over `X-Kubestile-Timestamp.body` |
//!
//! All are HMAC-SHA256.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use kubestile_core::{Secret, Timestamp};
use serde_json::Value;

use super::TicketId;
use super::config::{Kind, System};
use super::id;
use super::reading::at;
use crate::{file, signature};

/// The largest message, in bytes. The caller bounds it too, before it reads one.
pub const BODY_LIMIT: usize = 1 << 20;
/// How far the time of a message may be from now, in seconds.
pub const WINDOW_SECS: i64 = 300;

/// The header with the time of a message of our own kind, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "x-kubestile-timestamp";
/// The header with the signature of a message of our own kind.
pub const SIGNATURE_HEADER: &str = "x-kubestile-signature";

/// A ticket may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which one to look at again.
    pub ticket: TicketId,
}

/// Why a message is not taken. To its sender all are the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No message is expected from this system.
    #[error("no webhook is configured for this system")]
    NotConfigured,
    /// The secret cannot be read.
    #[error("the secret of the webhook cannot be read")]
    Secret,
    /// It is not signed with the secret.
    #[error("the message is not signed as configured")]
    Signature,
    /// It is from another time, or came before.
    #[error("the message is too old, from the future, or has come before")]
    Replay,
    /// It is too large.
    #[error("the message is too large")]
    TooLarge,
    /// It is signed, but about no ticket that counts.
    #[error("the message is about no ticket that counts here")]
    NoTicket,
}

pub(super) fn event(
    system: &System,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Event, WebhookError> {
    let config = system.config.webhook.as_ref();
    let config = config.ok_or(WebhookError::NotConfigured)?;
    if body.len() > BODY_LIMIT {
        return Err(WebhookError::TooLarge);
    }
    let secrets = file::secrets(&config.secret_file).map_err(|_| WebhookError::Secret)?;
    let time = verify(system.config.kind, &secrets, headers, body, now)?;
    // Only what is signed is parsed, and only what is signed is remembered.
    if !system.replays.is_new(time, body) {
        return Err(WebhookError::Replay);
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| WebhookError::NoTicket)?;
    let pointer = config.pointer.as_deref().unwrap_or("/ticket");
    let key = key(system.config.kind, &body, pointer).ok_or(WebhookError::NoTicket)?;
    let ticket = id::of(system, &key).ok_or(WebhookError::NoTicket)?;
    Ok(Event { ticket })
}

/// Checks the signature, and gives the time that was signed with the body, if any: a ticket that changes
/// twice may send the same body twice.
pub(super) fn verify<'h>(
    kind: Kind,
    secrets: &[Secret<String>],
    headers: &'h HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<&'h str, WebhookError> {
    match kind {
        Kind::Github => over_body(
            secrets,
            one(headers, "x-hub-signature-256")?,
            "sha256=",
            body,
        )?,
        Kind::JiraCloud | Kind::JiraDataCenter => {
            over_body(secrets, one(headers, "x-hub-signature")?, "sha256=", body)?;
        }
        Kind::PagerDuty => over_body(secrets, one(headers, "x-pagerduty-signature")?, "v1=", body)?,
        Kind::Gitlab if headers.contains_key("webhook-signature") => {
            return standard(secrets, headers, body, now);
        }
        Kind::Gitlab => {
            let token = one(headers, "x-gitlab-token")?.as_bytes();
            let same = |found, secret| found | signature::same(secret, token);
            if !signature::keys(secrets).fold(false, same) {
                return Err(WebhookError::Signature);
            }
        }
        Kind::ServiceNow | Kind::Generic => {
            let time = one(headers, TIMESTAMP_HEADER)?;
            let given = one(headers, SIGNATURE_HEADER)?;
            signed(secrets, given, "v1=", &[time.as_bytes(), b".", body])?;
            return in_time(time, now);
        }
    }
    Ok("")
}

fn over_body(
    secrets: &[Secret<String>],
    given: &str,
    prefix: &str,
    body: &[u8],
) -> Result<(), WebhookError> {
    signed(secrets, given, prefix, &[body])
}

/// One of a few signatures, separated by commas, must hold: systems send several while a secret is
/// rotated.
fn signed(
    secrets: &[Secret<String>],
    given: &str,
    prefix: &str,
    parts: &[&[u8]],
) -> Result<(), WebhookError> {
    let signatures = given.split(',').take(8);
    let mut signatures =
        signatures.filter_map(|s| signature::unhex(s.trim().strip_prefix(prefix)?));
    match signatures.any(|given| signature::holds(signature::keys(secrets), parts, &given)) {
        true => Ok(()),
        false => Err(WebhookError::Signature),
    }
}

/// <https://www.standardwebhooks.com>: a secret is `whsec_` and BASE64 of the key.
fn standard<'h>(
    secrets: &[Secret<String>],
    headers: &'h HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<&'h str, WebhookError> {
    let message = one(headers, "webhook-id")?;
    let time = one(headers, "webhook-timestamp")?;
    let given = one(headers, "webhook-signature")?;
    let keys: Vec<Secret<Vec<u8>>> = secrets.iter().map(standard_key).collect();
    let parts = [message.as_bytes(), b".", time.as_bytes(), b".", body];
    let signatures = given.split(' ').take(8);
    let mut signatures = signatures.filter_map(|s| STANDARD.decode(s.strip_prefix("v1,")?).ok());
    let keys = || keys.iter().map(|key| key.expose().as_slice());
    if !signatures.any(|given| signature::holds(keys(), &parts, &given)) {
        return Err(WebhookError::Signature);
    }
    in_time(time, now)
}

fn standard_key(secret: &Secret<String>) -> Secret<Vec<u8>> {
    let text = secret.expose();
    let decoded = text
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD.decode(text).ok());
    Secret::new(decoded.unwrap_or_else(|| text.as_bytes().to_vec()))
}

/// The one value of a header. Two are refused: which one counts would be a guess.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, WebhookError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| WebhookError::Signature),
        _ => Err(WebhookError::Signature),
    }
}

fn in_time(time: &str, now: Timestamp) -> Result<&str, WebhookError> {
    let digits = time.bytes().all(|b| b.is_ascii_digit());
    let secs: i64 = match digits {
        true => time.parse().map_err(|_| WebhookError::Replay)?,
        false => return Err(WebhookError::Replay),
    };
    let apart = now.as_secs().saturating_sub(secs).saturating_abs();
    match apart <= WINDOW_SECS {
        true => Ok(time),
        false => Err(WebhookError::Replay),
    }
}

/// The key of the ticket that a message is about.
pub(super) fn key(kind: Kind, body: &Value, pointer: &str) -> Option<String> {
    let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
    match kind {
        Kind::JiraCloud | Kind::JiraDataCenter => at(body, "/issue/key").map(str::to_owned),
        Kind::Github => {
            let project = at(body, "/repository/full_name")?;
            Some(format!("{project}#{}", number("/issue/number")?))
        }
        Kind::Gitlab => {
            let project = at(body, "/project/path_with_namespace")?;
            let issue = matches!(at(body, "/object_kind"), Some("issue" | "work_item"));
            let number = number("/object_attributes/iid")?;
            issue.then(|| format!("{project}#{number}"))
        }
        Kind::PagerDuty => {
            // Of notes and responders, the incident stands one level deeper.
            let incident = at(body, "/event/data/incident/id");
            incident.or(at(body, "/event/data/id")).map(str::to_owned)
        }
        Kind::ServiceNow | Kind::Generic => at(body, pointer).map(str::to_owned),
    }
}

/// Messages that came before, the last of them.
#[derive(Default)]
pub(crate) struct Replays(Mutex<VecDeque<Vec<u8>>>);

/// As many are remembered.
const REMEMBERED: usize = 1024;

impl Replays {
    fn is_new(&self, time: &str, body: &[u8]) -> bool {
        let mut digest = digest::Context::new(&digest::SHA256);
        // A time is digits and nothing else: what follows cannot be taken for a part of it.
        digest.update(time.as_bytes());
        digest.update(b".");
        digest.update(body);
        let digest = digest.finish().as_ref().to_vec();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&digest) {
            return false;
        }
        if seen.len() >= REMEMBERED {
            seen.pop_front();
        }
        seen.push_back(digest);
        true
    }
}

#[cfg(test)]
mod tests;
