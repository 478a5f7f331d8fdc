//! `/healthz`, `/readyz` and `/metrics`, on a listener of their own that is on loopback unless a
//! setting says otherwise: they need no credential, so they tell nothing about people.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::clusters::ClusterState;
use crate::gate::Gate;

/// Serves until the gate closes.
pub async fn serve(gate: Arc<Gate>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = gate.closing.cancelled() => return,
        };
        let Ok((tcp, _)) = accepted else { continue };
        let gate = gate.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let answer = answer(&gate, request.uri().path());
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(error = %error, "a probe broke off");
            }
        });
    }
}

fn answer(gate: &Gate, path: &str) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/healthz" | "/livez" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(gate),
        "/metrics" => (StatusCode::OK, metrics(gate)),
        _ => (
            StatusCode::NOT_FOUND,
            "this listener has /healthz, /readyz and /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = if path == "/metrics" {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    };
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

/// The counters, with how access requests and grants stand at this moment.
fn metrics(gate: &Gate) -> String {
    let now = gate.now();
    let (mut requests, mut grants) = (BTreeMap::new(), BTreeMap::new());
    for request in gate.store.requests() {
        *requests.entry(request.state_at(now).name()).or_default() += 1;
    }
    let live = gate.store.grants().into_iter();
    for grant in live.filter(|grant| grant.check(now).is_ok()) {
        *grants.entry(grant.origin.as_str()).or_default() += 1;
    }
    gate.metrics.stand(&requests, &grants);
    gate.metrics.text()
}

/// Ready while the log can be written and no shutdown has begun. A cluster that is refused does not
/// make the gate unready: the others are served.
fn ready(gate: &Gate) -> (StatusCode, String) {
    let mut text = String::new();
    let mut fine = true;
    if gate.draining.is_cancelled() {
        fine = false;
        text.push_str("[-] shutting down\n");
    }
    match gate.audit.failed() {
        Some(why) => {
            fine = false;
            text.push_str(&format!("[-] log: {why}\n"));
        }
        None => text.push_str("[+] log\n"),
    }
    for cluster in gate.clusters.all() {
        let line = match &*cluster.state() {
            ClusterState::Serving => "[+]",
            ClusterState::ServingDespite(_) => "[!]",
            ClusterState::Unchecked => "[?]",
            ClusterState::Refused(_) => "[-]",
        };
        text.push_str(&format!("{line} cluster {}\n", cluster.name()));
    }
    let status = if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, text)
}
