//@ error: E0308
//! A denial is not a permit.
use std::sync::Arc;

use kubestile_gateway::body::ClientBody;
use kubestile_core::Denial;
use kubestile_gateway::Gate;
use kubestile_gateway::forward::{Judged, forward};
use kubestile_gateway::record::Recorded;

pub async fn denied(
    gate: &Arc<Gate>,
    denial: Denial,
    recorded: Recorded,
    judged: Judged,
    request: http::Request<ClientBody>,
) {
    let _ = forward(gate, denial, recorded, judged, request).await;
}
