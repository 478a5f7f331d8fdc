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
    /// How many clusters there are beyond those that are listed.
    pub clusters_more: u64,
    /// The policies in force.
    pub policies: PolicyFacts,
    /// Sessions that hold, and how long what proves them lives.
    pub sessions: SessionFacts,
    /// People with standing job functions.
    pub standing: StandingFacts,
    /// Grants: job functions for a while.
    pub grants: GrantFacts,
    /// Whether there are systems of tickets that grants can hang on.
    pub ticket_systems: bool,
    /// How many channels there are over which people are told.
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
    /// The API server's URL; empty for a cluster that only the configuration names.
    pub server: String,
    /// How the gate impersonates there: `legacy` or `constrained`; empty where `server` is.
    pub mode: String,
    /// Whether the gate serves it now; not known where the process does not say.
    pub served: Option<bool>,
    /// What becomes of a request that needs an approval: `wait`, `refuse` or `retry-after`.
    pub hold: String,
    /// How many dangerous requests (R4, R5) the policies in force were tried with.
    pub trials: usize,
    /// Those of them that somebody may make without the approval of a second person, in words.
    pub unheld: Vec<String>,
    /// The weakest login with which somebody may do anything there; none if nobody may.
    pub weakest_login: Option<Assurance>,
    /// Changes that somebody may make there at any time, without a grant and without an approval, in words.
    pub standing: Vec<String>,
    /// Grants that somebody may have although a ticket, a second person or an early end is missing, in words.
    pub loose: Vec<String>,
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
    /// How many of those there are beyond the ones that are listed.
    pub holds_more: u64,
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
    /// How many pairs there are beyond those that are listed.
    pub more: u64,
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
    /// When the latest of those began, in microseconds since the Unix epoch.
    pub last_break_glass: Option<Timestamp>,
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
    /// Whether it can be written to; if not, the gate forwards nothing.
    pub writable: bool,
    /// Its public key, by which anybody can verify it.
    pub vkey: String,
}
