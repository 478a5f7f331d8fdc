//@ error: E0061
//! Nothing is forwarded without the receipt that records it.
use std::sync::Arc;

use kubestile_gateway::body::ClientBody;
use kubestile_core::Permit;
use kubestile_gateway::Gate;
use kubestile_gateway::forward::{Judged, forward};

pub async fn unrecorded(
    gate: &Arc<Gate>,
    permit: Permit,
    judged: Judged,
    request: http::Request<ClientBody>,
) {
    let _ = forward(gate, permit, judged, request).await;
}
