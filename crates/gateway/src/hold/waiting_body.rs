//! The body of a held request, kept in memory until it is approved: bounded by itself, and together with
//! those of all others that wait.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use kubestile_core::PersonId;

use crate::gate::Gate;
use crate::limits::HeldBytes;
use crate::refusal::Refusal;

/// How long a client may take to send a body that is held.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// A body in memory, and its place among those that are held.
pub(super) struct WaitingBody {
    pub(super) bytes: Bytes,
    _place: HeldBytes,
}

/// Reads a whole body.
///
/// # Errors
/// 413 over the limit, 408 when it does not come, 429 when too much is held already.
pub(super) async fn read(
    gate: &Gate,
    person: PersonId,
    body: Incoming,
) -> Result<WaitingBody, Refusal> {
    use http_body::Body as _;
    let limit = gate.settings.body_limit;
    // What it says it has, or else as much as it may have.
    let most = body.size_hint().upper().unwrap_or(limit).min(limit);
    let mut place = gate.limits.hold_bytes(person, most)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let read = tokio::time::timeout(BODY_TIME, Limited::new(body, most).collect()).await;
    match read {
        Ok(Ok(collected)) => {
            let bytes = collected.to_bytes();
            place.shrink(bytes.len() as u64);
            Ok(WaitingBody {
                bytes,
                _place: place,
            })
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refusal::too_large(limit))
        }
        Ok(Err(_)) => Err(Refusal::bad_request("its body broke off")),
        Err(_) => Err(Refusal::bad_request("its body did not come in time")),
    }
}
