//! Step 7: what is held waits here until somebody else approves exactly it, is judged again, and becomes a
//! permit. Nothing has been forwarded until then; whoever hangs up withdraws their request.

mod digest;
mod wait;
mod waiters;
mod waiting_body;

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use kubestile_core::decision::{Decision, Hold, Obligation, Permit};
use kubestile_core::kubectl_line;

use crate::body::ClientBody;
use crate::forward::Judged;
use crate::gate::Gate;
use crate::record::Recorded;
use crate::refusal::Refusal;

pub use waiters::Waiters;

/// A request that may be forwarded, with its proofs.
pub struct Passed {
    /// That a decision allows it.
    pub permit: Permit,
    /// That the decision is in the log.
    pub recorded: Recorded,
    /// The request as it was judged last.
    pub judged: Judged,
    /// What is sent.
    pub request: Request<ClientBody>,
}

/// The permit of a recorded decision: at once, or once somebody has approved what is held.
///
/// # Errors
/// 403 for a denial, for a hold that waiting cannot satisfy, and for one that was not approved.
pub async fn hold(
    gate: &Arc<Gate>,
    judged: Judged,
    decision: Decision,
    recorded: Recorded,
    request: Request<Incoming>,
) -> Result<Passed, Refusal> {
    match decision {
        Decision::Allow(permit) => Ok(Passed {
            permit,
            recorded,
            judged,
            request: request.map(ClientBody::Streaming),
        }),
        Decision::Deny(denial) => Err(Refusal::denied(&kubectl_line::of(&judged.action), &denial)),
        Decision::Hold(hold) if !can_wait(&judged, &hold) => {
            Err(Refusal::held(&kubectl_line::of(&judged.action), &hold))
        }
        Decision::Hold(hold) => wait::for_approval(gate, judged, hold, request).await,
    }
}

/// Only an approval comes to somebody who waits. Discovery is asked by every client before anything else
/// and is never held.
fn can_wait(judged: &Judged, hold: &Hold) -> bool {
    hold.obligations == [Obligation::Approval] && !judged.action.kind.is_discovery()
}
