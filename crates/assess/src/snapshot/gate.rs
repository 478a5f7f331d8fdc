//! What a gate before the cluster proves of itself.

use serde::{Deserialize, Serialize};

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// Its version.
    pub version: String,
    /// Its clusters.
    pub clusters: Vec<GateCluster>,
    /// What it proves of itself; none if it does not show that to whoever asked.
    pub facts: Option<GateFacts>,
    /// Its log.
    pub log: Option<GateLog>,
}

/// A cluster of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateCluster {
    /// Its name at the gate.
    pub name: String,
    /// Its address at the gate, as people's kubeconfigs have it.
    pub url: String,
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
    /// How old its latest signed checkpoint was, in seconds.
    pub checkpoint_age: Option<u64>,
    /// Its latest requests, counted.
    pub requests: Option<GateRequests>,
}

/// Requests in a gate's log, counted from the latest back to a bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateRequests {
    /// Decisions that were looked at.
    pub decisions: u64,
    /// How many of them were kubectl's, by its own words.
    pub kubectl: u64,
    /// How many of those say to which run of kubectl they belong.
    pub kubectl_named: u64,
    /// How many were allowed although they can change who controls what, or give the cluster away.
    pub dangerous: u64,
    /// How many of those somebody else had approved.
    pub dangerous_approved: u64,
}

/// What a gate proves of itself: the answer of its `/v1/facts`, as far as controls look at it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateFacts {
    /// Its version.
    pub version: String,
    /// Its clusters.
    pub clusters: Vec<ClusterFacts>,
    /// Its policies.
    pub policies: PolicyFacts,
    /// Its sessions.
    pub sessions: SessionFacts,
    /// Standing job functions.
    pub standing: StandingFacts,
    /// Its grants.
    pub grants: GrantFacts,
    /// Channels over which people are told.
    pub channels: u64,
    /// Whether pipelines log in with tokens of their runs.
    pub pipelines: bool,
    /// How often an open stream is judged again at least, in seconds; 0 if that is not said.
    pub streams_judged_every: i64,
    /// Whether what passes in a stream is recorded.
    pub records_streams: Option<bool>,
    /// Whether decisions carry a score of the session's risk.
    pub scores_risk: Option<bool>,
}

/// A cluster behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFacts {
    /// Its name.
    pub name: String,
    /// Its address at the gate.
    pub url: String,
    /// The API server's.
    pub server: String,
    /// `legacy` or `constrained`.
    pub mode: String,
}

/// The policies in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyFacts {
    /// Their version.
    pub version: String,
    /// How many there are.
    pub count: u64,
    /// How many of them did not come with the program.
    pub own: u64,
    /// What of a request's circumstances they look at.
    pub context: Vec<String>,
    /// Those that an approval satisfies.
    pub holds: Vec<String>,
}

/// Sessions that hold, and lifetimes in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionFacts {
    /// How many hold.
    pub live: u64,
    /// How many of those are people's, by how strongly the login proved them.
    pub people: Vec<(String, u64)>,
    /// A login's.
    pub session_seconds: i64,
    /// A client certificate's.
    pub certificate_seconds: i64,
}

/// Standing job functions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StandingFacts {
    /// People at the gate.
    pub people: u64,
    /// Who has which.
    pub functions: Vec<(String, String)>,
    /// Whether there are more.
    pub truncated: bool,
}

/// Grants that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFacts {
    /// How many are kept.
    pub total: u64,
    /// How many are of pipelines.
    pub pipelines: u64,
    /// How many were taken in an emergency.
    pub break_glass: u64,
    /// How many have expired.
    pub expired: u64,
    /// Those that lack a ticket, an approver or an early end.
    pub lacking: Vec<GrantFault>,
    /// Those of pipelines that are not bound to one run.
    pub unbound: Vec<GrantFault>,
    /// Those of emergencies that were not reviewed within a day.
    pub unreviewed: Vec<GrantFault>,
    /// Those of emergencies that wait for a review.
    pub to_review: u64,
}

/// What a grant lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFault {
    /// Its id.
    pub grant: String,
    /// Who holds or held it.
    pub holder: String,
    /// What is wrong.
    pub fault: String,
}
