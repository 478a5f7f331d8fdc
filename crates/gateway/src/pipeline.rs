//! The request path: eight plain calls, top to bottom. No step calls another; each returns here.

use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use kubestile_core::ids::RequestId;

use crate::accept::Connection;
use crate::authenticate::authenticate;
use crate::body::Body;
use crate::decide::decide;
use crate::forward::{Judged, forward};
use crate::gate::Gate;
use crate::gather::gather;
use crate::hold::hold;
use crate::parse::{parse, route};
use crate::record;
use crate::refusal::Refusal;

/// Answers one request to `/clusters/<name>/…`, which [`crate::accept`] has taken from a connection.
pub async fn handle(
    gate: &Arc<Gate>,
    connection: &Connection,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = gate.new_request_id();
    match steps(gate, connection, request, id).await {
        Ok(answer) => answer,
        Err(refusal) => {
            gate.metrics.refused(refusal.status().as_u16());
            refusal.of_request(id).into_response()
        }
    }
}

async fn steps(
    gate: &Arc<Gate>,
    connection: &Connection,
    request: Request<Incoming>,
    id: RequestId,
) -> Result<Response<Body>, Refusal> {
    let started = Instant::now();
    let (cluster, target) = route(gate, request.uri())?;

    let (who, session) = match authenticate(gate, connection, request.headers()) {
        Ok(proven) => proven,
        Err(refusal) => return Err(record::refused(gate, connection, None, id, refusal)),
    };
    let (action, upgrade) = match parse(cluster.name(), &request, &target) {
        Ok(parsed) => parsed,
        Err(refusal) => return Err(record::refused(gate, connection, Some(&who), id, refusal)),
    };
    // Before anything is written for it: who floods the gate must not fill the log.
    let long = action.is_long_running();
    let place = gate
        .limits
        .enter(who.identity().id, cluster.name(), long, upgrade.is_some())?;
    let context = gather(gate, connection, request.headers(), &who, &action)?;
    // One set for decision and record, whatever is loaded meanwhile.
    let policies = gate.policies.load_full();
    let decision = decide(gate, &policies, id, &who, &action, &context);
    let judged = Judged {
        id,
        started,
        source: connection.peer(),
        cluster,
        target,
        who,
        session,
        action,
        upgrade,
        context,
        policies,
        place: Some(place),
        looked_up_for: None,
    };
    let recorded = record::record(gate, &judged, request.headers(), &decision).await?;
    let passed = hold(gate, judged, decision, recorded, request).await?;
    forward(
        gate,
        passed.permit,
        passed.recorded,
        passed.judged,
        passed.request,
    )
    .await
}
