//@ passes
//! The same call with both proofs compiles: what fails above fails for the reason given there.
use std::sync::Arc;

use kubestile_gateway::body::ClientBody;
use kubestile_core::Permit;
use kubestile_gateway::Gate;
use kubestile_gateway::forward::{Judged, forward};
use kubestile_gateway::record::Recorded;

pub async fn proven(
    gate: &Arc<Gate>,
    permit: Permit,
    recorded: Recorded,
    judged: Judged,
    request: http::Request<ClientBody>,
) {
    let _ = forward(gate, permit, recorded, judged, request).await;
}
