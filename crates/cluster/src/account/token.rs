//! Short-lived tokens of the gate's account (`TokenRequest`), which the account makes for itself.

use kubestile_core::secret::Secret;
use kubestile_core::time::Ttl;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::error::{CallError, chain};
use crate::exec::parse_time;
use crate::upstream::{Inner, Live, RenewedToken, Upstream};

/// The API server refuses less (`TokenRequestSpec.expirationSeconds`).
const SHORTEST: i64 = 600;

#[derive(Deserialize)]
struct Answered {
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Zeroizing<String>,
    expiration_timestamp: String,
}

/// A new token, asked for with the current one.
///
/// # Errors
/// Why not, for a message.
pub(crate) async fn request_with(
    inner: &Inner,
    live: &Live,
    lifetime: Ttl,
) -> Result<RenewedToken, String> {
    let call = call(lifetime);
    let answer = inner
        .send(live, live.header.clone(), &call)
        .await
        .map_err(|e| chain(&e))?;
    let answered: Answered = inner.object(&call, &answer).map_err(|e| chain(&e))?;
    understood(answered)
}

fn call(lifetime: Ttl) -> Call {
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{}/token",
        super::NAMESPACE,
        super::NAME
    );
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "expirationSeconds": lifetime.as_secs().max(SHORTEST) },
    });
    Call::post(path, &request)
}

fn understood(answered: Answered) -> Result<RenewedToken, String> {
    let expires = parse_time(&answered.status.expiration_timestamp)
        .ok_or("the API server gave a token without a time of expiry")?;
    Ok(RenewedToken {
        token: Secret::new(answered.status.token.as_str().to_owned()),
        expires,
    })
}

/// A first token, asked for by an administrator.
///
/// # Errors
/// [`CallError`] if the API server does not give one.
pub(crate) async fn request(admin: &Upstream, lifetime: Ttl) -> Result<RenewedToken, CallError> {
    let call = call(lifetime);
    let answered: Answered = admin.request(&call).await?;
    understood(answered).map_err(|reason| admin.inner.unusable(&call, reason))
}
