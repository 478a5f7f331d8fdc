//! The control plane on the gate's own listener, and what the process says of itself.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use kubestile_control::{ControlState, StatusHook};
use kubestile_gateway::Body;
use kubestile_gateway::accept::Control;
use kubestile_gateway::body::BodyError;
use serde::{Deserialize, Serialize};
use tower::Service as _;

use super::clusters::{ClusterStatus, Clusters};
use super::reload::Policies;

/// Answers what is not for a cluster.
pub(super) fn plane(state: ControlState) -> Control {
    let router = kubestile_control::router(state);
    Arc::new(move |request| {
        let mut router = router.clone();
        Box::pin(async move {
            let Ok(response) = router.call(request).await;
            response.map(|body| Body::new(body.map_err(|e| BodyError::Peer(e.to_string()))))
        })
    })
}

/// The process's own part of `GET /v1/status`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// For signals.
    pub(crate) pid: u32,
    /// The listener.
    pub(crate) listen: SocketAddr,
    /// The version of the policies in force.
    pub(crate) policy_version: String,
    /// Since when, in microseconds since the Unix epoch.
    pub(crate) policies_loaded: kubestile_core::Timestamp,
    /// Why newer policy files are not in force.
    pub(crate) policy_error: Option<String>,
    /// Whether the policies that come with it apply.
    #[serde(default)]
    pub(crate) base_policies: bool,
    /// Ids of those whose place another takes.
    #[serde(default)]
    pub(crate) replaced_policies: Vec<String>,
    /// Where it looks for further ones.
    #[serde(default)]
    pub(crate) policy_directories: Vec<PathBuf>,
    /// Each cluster.
    pub(crate) clusters: Vec<ClusterStatus>,
}

/// What is asked for it.
pub(super) fn status(
    clusters: Arc<Clusters>,
    policies: Arc<Policies>,
    listen: SocketAddr,
) -> StatusHook {
    Arc::new(move || {
        let state = policies.state();
        let process = Process {
            pid: std::process::id(),
            listen,
            policy_version: policies.version(),
            policies_loaded: state.loaded,
            policy_error: state.error,
            base_policies: policies.files().base,
            replaced_policies: policies.files().replace.clone(),
            policy_directories: policies.files().dirs.clone(),
            clusters: clusters.status(),
        };
        serde_json::to_value(process).unwrap_or_default()
    })
}
