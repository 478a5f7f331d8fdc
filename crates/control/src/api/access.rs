//! The wire types of access requests and grants.

use kubestile_core::approval::Impact;
use kubestile_core::grant::{ObjectPattern, Origin};
use kubestile_core::{
    AccessId, ClusterName, GrantId, JobFunction, Namespace, PolicyId, RequestId, Timestamp, Ttl,
};
use serde::{Deserialize, Serialize};

use super::rfc3339;

/// An access request, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessEntry {
    /// Its id.
    pub id: AccessId,
    /// `waiting`, `approved`, `denied`, `expired`, `withdrawn`.
    pub state: String,
    /// Who asks.
    pub requester: String,
    /// From where: address and port.
    pub source: String,
    /// `request` or `grant`.
    pub kind: String,
    /// What for: a kubectl command, or the terms of a grant in words.
    pub what: String,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// `R0` to `R5`.
    pub risk: String,
    /// What that class means, in words.
    pub risk_meaning: String,
    /// The ticket it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that ask for an approval.
    pub policies: Vec<PolicyId>,
    /// Who may approve, in words.
    pub approvers: Vec<String>,
    /// How many people must approve.
    pub quorum: u8,
    /// The names of those who have.
    pub approved_by: Vec<String>,
    /// What it would do, as far as that could be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// What requests of the same command have in common, in words; absent for a grant, and where the
    /// client names no command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The run of kubectl that it says it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// Where the client names no command: the same for all requests of one session, client and sort. What is shown
    /// together rests on it, and never what an approval is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The held request, as the log knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// SHA-256 of what was asked, hex; what an approval is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The job function that an approval gives to this one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<JobFunction>,
    /// When it was asked.
    #[serde(with = "rfc3339")]
    pub created: Timestamp,
    /// Until when it can be answered.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
    /// Why it was denied or withdrawn, or by whom.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// Whether the caller asked it.
    pub own: bool,
    /// Whether the caller may answer it.
    pub may_answer: bool,
    /// Where people look at it.
    pub url: String,
}

impl AccessEntry {
    /// Whether both came so close that they are shown as one question: of one run of kubectl, or, where the client
    /// names none, of one session and client, one sort, within [`TOGETHER`]. Each is approved by itself.
    pub fn is_asked_with(&self, other: &Self) -> bool {
        if self.requester != other.requester || self.state != other.state {
            return false;
        }
        if self.invocation.is_some() {
            return (&self.invocation, &self.cluster, &self.command)
                == (&other.invocation, &other.cluster, &other.command);
        }
        let apart = self.created.since(other.created);
        let apart = apart.max(other.created.since(self.created));
        self.group.is_some() && self.group == other.group && apart <= TOGETHER
    }
}

/// Requests of a client that names no command are shown together if they come within this of each other.
const TOGETHER: Ttl = Ttl::from_secs(10);

/// The answer to `GET /v1/access`: with `?waiting` only those that wait, with `?mine` only those of the
/// caller's own session. `?after=N&wait=SECONDS` waits until something has changed since `seen` was N.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccessList {
    /// The access requests that the caller may see, the latest first.
    pub requests: Vec<AccessEntry>,
    /// To be given as `after` in the next call.
    pub seen: u64,
    /// Whether there are more than are shown.
    pub truncated: bool,
}

/// `POST /v1/access/{id}/approve`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApproveRequest {
    /// The digest that the approver was shown: an approval is for exactly this.
    #[serde(default)]
    pub digest: String,
    /// The rest of the same command too, for so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_seconds: Option<u32>,
}

/// `POST /v1/access/{id}/deny`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenyRequest {
    /// Why; the requester is shown it.
    pub reason: String,
}

/// `POST /v1/access`: asks for a grant; `POST /v1/break-glass`: takes one in an emergency.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AskRequest {
    /// The job function's role.
    pub role: String,
    /// The cluster; may be left out where there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The namespaces; none for the whole cluster.
    #[serde(default)]
    pub namespaces: Vec<Namespace>,
    /// The objects; none for all.
    #[serde(default)]
    pub objects: Vec<ObjectPattern>,
    /// For how long, in seconds.
    pub seconds: u32,
    /// The ticket it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// The answer to asking: a grant where nobody is needed, else the access request that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskAnswer {
    /// The grant, which lives from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantEntry>,
    /// The access request that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<AccessEntry>,
}

/// A grant, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantEntry {
    /// Its id.
    pub id: GrantId,
    /// Who holds it.
    pub holder: String,
    /// The job function's role.
    pub role: String,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The namespaces; none for the whole cluster.
    pub namespaces: Vec<Namespace>,
    /// The objects; none for all.
    pub objects: Vec<ObjectPattern>,
    /// What it gives, in words.
    pub what: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Why.
    pub reason: String,
    /// The ticket it is tied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Who approved it.
    pub approvers: Vec<String>,
    /// When it started.
    #[serde(with = "rfc3339")]
    pub starts: Timestamp,
    /// Until when it lives.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
    /// Why it lives no longer; absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Whether somebody must look at it afterwards, and nobody has.
    pub needs_review: bool,
    /// Whether the caller holds it.
    pub own: bool,
}

/// The answer to `GET /v1/grants`: the caller's own; with `?all` everybody's, for those who may see them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantList {
    /// The grants, the latest first.
    pub grants: Vec<GrantEntry>,
    /// Whether there are more than are shown.
    pub truncated: bool,
}

/// `POST /v1/grants/{id}/extend`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// For so many seconds from now; it is asked for like a new grant.
    pub seconds: u32,
}

/// `POST /v1/grants/{id}/review`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRequest {
    /// What was found.
    pub note: String,
}

/// The answer to `GET /v1/rights`: what the caller has and may ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rights {
    /// Who.
    pub person: String,
    /// Standing job functions.
    pub functions: Vec<JobFunction>,
    /// Grants that live.
    pub grants: Vec<GrantEntry>,
    /// What they may ask for.
    pub may_ask: Vec<Askable>,
    /// Grants of anybody that wait for a review, for those who may review.
    pub to_review: Vec<GrantEntry>,
}

/// Something that may be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Askable {
    /// The role.
    pub role: String,
    /// On which cluster.
    pub cluster: ClusterName,
    /// `a namespace` or `the whole cluster`.
    pub scope: String,
    /// What it needs: `nothing`, `approval of sre`, `ticket`, …
    pub needs: String,
    /// `grant` or `break-glass`.
    pub kind: String,
}

/// The answer to `GET /v1/access/stats`, over what is kept (a week).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessStats {
    /// How many were asked.
    pub asked: usize,
    /// How many were approved.
    pub approved: usize,
    /// How many were denied.
    pub denied: usize,
    /// How many expired.
    pub expired: usize,
    /// How many were withdrawn.
    pub withdrawn: usize,
    /// How many wait.
    pub waiting: usize,
    /// Half of those answered waited no longer, in seconds.
    pub wait_p50_seconds: i64,
    /// Nine in ten of those answered waited no longer, in seconds.
    pub wait_p90_seconds: i64,
}
