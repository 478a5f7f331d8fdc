//! What the gate on this machine says of itself.

use serde::{Deserialize, Serialize};

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// Its version.
    pub version: String,
    /// Its clusters.
    pub clusters: Vec<GateCluster>,
    /// Open sessions.
    pub sessions: u64,
    /// How long its client certificates live, in seconds.
    pub certificate_lifetime: Option<u64>,
    /// Whether every login needs more than one factor.
    pub multi_factor: Option<bool>,
    /// Whether it ends streams with their session.
    pub ends_streams: Option<bool>,
    /// Its log.
    pub log: Option<GateLog>,
}

/// A cluster of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateCluster {
    /// Its name at the gate.
    pub name: String,
    /// The API server that it leads to.
    pub server: String,
    /// Whether the gate serves it now.
    pub served: bool,
    /// Whether the gate's account there holds constrained impersonation only.
    pub constrained: Option<bool>,
}

/// A gate's log, as it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateLog {
    /// Records in it.
    pub size: u64,
    /// Whether every leaf, tile and checkpoint was found to hold.
    pub verified: bool,
    /// Why not, if it was not.
    pub problem: Option<String>,
}
