//! Whether the account can really act as a person: a SelfSubjectReview through impersonation.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::HeaderMap;
use kubestile_core::impersonate::{self, EXTRA_REQUEST, EXTRA_SESSION, Impersonation};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::object::VIEWER;
use super::{Mode, People};
use crate::call::Call;
use crate::error::{CallError, chain};
use crate::review;
use crate::upstream::Upstream;

/// Roles and accounts reach the API server's caches within moments; a busy one may take longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A server without constrained impersonation says so every time.
const CONVINCED: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
/// Nobody's name: no policy and no binding knows it.
pub(crate) const NOBODY: &str = "kubestile-probe";
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// What a probe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The API server took the identity for what we said.
    Works,
    /// The API server judged by the verb `impersonate` alone.
    Unsupported(String),
    /// It did not let us, or took it for somebody else.
    Refused(String),
}

/// Tries until it works or there is no hope. A role that was there before may still be in force and
/// would make a new one look as if it worked, so the API server must first know the new one.
pub(crate) async fn wait(account: &Upstream, mode: Mode, people: &People) -> Outcome {
    in_force(account, mode).await;
    let name = match people {
        People::Any => NOBODY,
        People::Named(names) => match names.first() {
            Some(name) => name,
            // As nobody at all: there is nothing to try.
            None => return Outcome::Works,
        },
    };
    let start = Instant::now();
    loop {
        let outcome = once(account, mode, name)
            .await
            .unwrap_or_else(|error| Outcome::Refused(chain(&error)));
        let patience = match outcome {
            Outcome::Works => return outcome,
            Outcome::Unsupported(_) => CONVINCED,
            Outcome::Refused(_) => PATIENCE,
        };
        if start.elapsed() >= patience {
            return outcome;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the API server knows this mode's rights and no other's; not for ever, because another
/// authorizer may give more than the role.
async fn in_force(account: &Upstream, mode: Mode) {
    let other = match mode {
        Mode::Legacy => Mode::Constrained,
        Mode::Constrained => Mode::Legacy,
    };
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let new = review::has_mode(account, mode).await;
        let old = review::has_mode(account, other).await;
        if matches!((new, old), (Ok(true), Ok(false))) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One try.
///
/// # Errors
/// [`CallError`] if the API server gave no answer at all.
pub(crate) async fn once(account: &Upstream, mode: Mode, name: &str) -> Result<Outcome, CallError> {
    let who = Impersonation {
        user: name.to_owned(),
        uid: Some(NIL.to_owned()),
        groups: vec![VIEWER.to_owned()],
        extra: vec![
            (EXTRA_SESSION.to_owned(), NIL.to_owned()),
            (EXTRA_REQUEST.to_owned(), NIL.to_owned()),
        ],
    };
    let call = match call(&who) {
        Ok(call) => call,
        Err(reason) => return Ok(Outcome::Refused(reason)),
    };
    match account.request::<Value>(&call).await {
        Ok(review) if seen_as(&review, &who) => Ok(Outcome::Works),
        Ok(_) => Ok(Outcome::Refused(
            "the API server took it for somebody else".to_owned(),
        )),
        Err(CallError::Refused { message, .. }) => {
            // With constrained impersonation the verb in the refusal is `impersonate-on:…` or
            // `impersonate:…`; this is the refusal of a server that only knows the plain one.
            let plain = message.contains("cannot impersonate resource");
            Ok(match mode == Mode::Constrained && plain {
                true => Outcome::Unsupported(message),
                false => Outcome::Refused(message),
            })
        }
        Err(error) => Err(error),
    }
}

fn call(who: &Impersonation) -> Result<Call, String> {
    let mut headers = HeaderMap::new();
    let request = NIL.parse().map_err(|_| "no request id".to_owned())?;
    impersonate::set(&mut headers, who, request, IpAddr::V4(Ipv4Addr::LOCALHOST))
        .map_err(|e| e.to_string())?;
    // The headers that carry an identity, exactly as the gate sends them; an audit id of its own and
    // the true source for this call.
    headers.remove("audit-id");
    headers.remove("x-forwarded-for");
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "SelfSubjectReview",
    });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    Ok(Call::post(path, &review).with_headers(headers))
}

fn seen_as(review: &Value, who: &Impersonation) -> bool {
    let Some(seen) = review.pointer("/status/userInfo") else {
        return false;
    };
    let groups: Vec<&str> = seen
        .get("groups")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let extra = |(key, value): &(String, String)| {
        seen.get("extra").and_then(|e| e.get(key)) == Some(&json!([value]))
    };
    seen.get("username") == Some(&json!(who.user))
        && seen.get("uid") == Some(&json!(who.uid))
        && groups == [VIEWER, "system:authenticated"]
        && who.extra.iter().all(extra)
}
