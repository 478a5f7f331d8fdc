//! The wire types of the facts by which a cluster's assessment judges the gate.

use kubestile_core::identity::Assurance;
use kubestile_core::{ClusterName, JobFunction, PolicyId, Timestamp};
use serde::{Deserialize, Serialize};

use super::rfc3339;

/// The answer to `GET /v1/facts`. It holds no secret, and every list in it is bounded; the counts beside
/// the lists are whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateFacts {
    /// The gate's version.
    pub version: String,
    /// The gate's time.
    #[serde(with = "rfc3339")]
    pub now: Timestamp,
    /// The clusters behind the gate.
    pub clusters: Vec<ClusterFacts>,
    /// The policies in force.
    pub policies: PolicyFacts,
    /// Sessions that hold, and how long what proves them lives.
    pub sessions: SessionFacts,
    /// People with standing job functions.
    pub standing: StandingFacts,
    /// Grants: job functions for a while.
    pub grants: GrantFacts,
    /// Systems of tickets that grants can hang on.
    pub ticket_systems: bool,
    /// Channels over which people are told, and how many messages were delivered since the start.
    pub channels: usize,
    /// Messages delivered since the start.
    pub messages_sent: u64,
    /// Whether pipelines log in with tokens of their runs, by rules on those tokens' claims.
    pub pipelines: bool,
    /// How often an open stream is judged again at least, in seconds.
    pub streams_judged_every: i64,
    /// Whether what passes in a stream is recorded.
    pub records_streams: bool,
    /// Whether decisions carry a score of the session's risk; the class of the request does not count.
    pub scores_risk: bool,
    /// The log.
    pub log: LogFacts,
}

/// A cluster behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    /// Its name.
    pub name: ClusterName,
    /// The URL for a kubeconfig: the gate's.
    pub url: String,
    /// The API server's URL.
    pub server: String,
    /// How the gate impersonates there: `legacy` or `constrained`.
    pub mode: String,
}

/// The policies in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyFacts {
    /// Their version.
    pub version: String,
    /// How many there are.
    pub count: usize,
    /// How many of them did not come with the program.
    pub own: usize,
    /// What of a request's circumstances they look at: `assurance`, `hourUtc`, `risk`.
    pub context: Vec<String>,
    /// Those that an approval satisfies: they hold requests, or ask for a second person.
    pub holds: Vec<PolicyId>,
}

/// Sessions that hold, and lifetimes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionFacts {
    /// How many hold.
    pub live: u64,
    /// How many of those are people's, by how strongly the login proved them.
    pub people: Vec<(Assurance, u64)>,
    /// How long a login lasts, in seconds.
    pub session_seconds: i64,
    /// How long a client certificate lasts, in seconds.
    pub certificate_seconds: i64,
    /// How long a bearer token lasts, in seconds.
    pub token_seconds: i64,
}

/// Standing job functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandingFacts {
    /// People at the gate.
    pub people: u64,
    /// Who has which, a pair each.
    pub functions: Vec<(String, JobFunction)>,
    /// Whether there are more pairs than are listed.
    pub truncated: bool,
}

/// Grants that are kept, live ones and those that are over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantFacts {
    /// How many are kept.
    pub total: u64,
    /// How many live.
    pub live: u64,
    /// How many are of pipelines.
    pub pipelines: u64,
    /// How many were taken in an emergency.
    pub break_glass: u64,
    /// How many have expired.
    pub expired: u64,
    /// Grants, other than those of emergencies, that lack something: what, for each.
    pub lacking: Vec<GrantFault>,
    /// Grants of pipelines that are not bound to one run.
    pub unbound: Vec<GrantFault>,
    /// Grants of emergencies that were not reviewed within a day.
    pub unreviewed: Vec<GrantFault>,
    /// Grants of emergencies that wait for a review, and may for some hours yet.
    pub to_review: u64,
    /// How many are at fault beyond those that are listed.
    pub more: u64,
}

/// What a grant lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantFault {
    /// Its id.
    pub grant: String,
    /// Who holds or held it.
    pub holder: String,
    /// What is wrong, in words.
    pub fault: String,
}

/// The log, as the gate writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFacts {
    /// Records in it.
    pub size: u64,
    /// Records below its latest signed checkpoint.
    pub sealed: u64,
    /// Why nothing can be written to it, if so: the gate then forwards nothing.
    pub failed: Option<String>,
    /// Its public key, by which anybody can verify it.
    pub vkey: String,
}
