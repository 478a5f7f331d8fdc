//@ error: E0382
//! One permit forwards one request: it is moved into `forward` and cannot be cloned.
use std::sync::Arc;

use kubestile_gateway::body::ClientBody;
use kubestile_core::Permit;
use kubestile_gateway::Gate;
use kubestile_gateway::forward::{Judged, forward};
use kubestile_gateway::record::Recorded;

pub async fn twice(
    gate: &Arc<Gate>,
    permit: Permit,
    recorded: [Recorded; 2],
    judged: [Judged; 2],
    requests: [http::Request<ClientBody>; 2],
) {
    let [first, second] = recorded;
    let [one, two] = judged;
    let [a, b] = requests;
    let _ = forward(gate, permit, first, one, a).await;
    let _ = forward(gate, permit, second, two, b).await;
}
