//@ error: E0061
//! Nothing is forwarded without the receipt that records it.
use std::sync::Arc;

use hyper::body::Incoming;
use kubestile_core::Permit;
use kubestile_gateway::Gate;
use kubestile_gateway::forward::{Judged, forward};

pub async fn unrecorded(
    gate: &Arc<Gate>,
    permit: Permit,
    judged: Judged,
    request: http::Request<Incoming>,
) {
    let _ = forward(gate, permit, judged, request).await;
}
