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
use crate::error::chain;
use crate::upstream::Upstream;

/// Roles and accounts reach the API server's caches within moments; a busy one may take longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A server without constrained impersonation says so every time.
const CONVINCED: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
/// Nobody's name: no policy and no binding knows it.
const NOBODY: &str = "kubestile-probe";
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

/// Tries until it works or there is no hope.
pub(crate) async fn wait(account: &Upstream, mode: Mode, people: &People) -> Outcome {
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
        let outcome = once(account, mode, name).await;
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

/// One try.
pub(crate) async fn once(account: &Upstream, mode: Mode, name: &str) -> Outcome {
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
        Err(reason) => return Outcome::Refused(reason),
    };
    match account.request::<Value>(&call).await {
        Ok(review) => match seen_as(&review, &who) {
            true => Outcome::Works,
            false => Outcome::Refused("the API server took us for somebody else".to_owned()),
        },
        Err(error) => {
            let reason = chain(&error);
            // With constrained impersonation the verb in the refusal is `impersonate-on:…` or
            // `impersonate:…`; this is the refusal of a server that only knows the plain one.
            let plain = reason.contains("cannot impersonate resource");
            match mode == Mode::Constrained && plain {
                true => Outcome::Unsupported(reason),
                false => Outcome::Refused(reason),
            }
        }
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
