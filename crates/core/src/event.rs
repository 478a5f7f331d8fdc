//! What is written down: one record when a decision is made, one when its effect has ended, and one
//! for every change of who may do what. A record's canonical bytes are a leaf of the log.

mod canonical;
mod gap;
mod imported;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::approval::{AccessRequest, Subject};
use crate::decision::Decision;
use crate::grant::{Grant, Origin};
use crate::identity::{Assurance, Credential, IdentityKind, VerifiedIdentity};
use crate::ids::{ClusterName, PersonId, PolicyId, RequestId, SessionId};
use crate::kubectl_line;
use crate::request_info::Target;
use crate::risk::RiskClass;
use crate::secret;
use crate::short_id::{AccessId, GrantId};
use crate::time::Timestamp;

pub use gap::{Gap, LeftOut, Source};
pub use imported::{Imported, OPENED_BY, Object, Seen, Unfit};

/// The version of the records' schema, in every record.
pub const SCHEMA: &str = "kubestile.dev/audit/v1";

/// The longest text kept of anything that a client chose, in bytes.
const TEXT_LIMIT: usize = 2048;

/// One record of the log. Fields are never removed or given another meaning within a schema version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// When, RFC 3339 with microseconds.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// A request was judged; nothing has been forwarded yet.
    Decision(Box<Decided>),
    /// A forwarded request ended: answer complete, stream closed, or cut.
    Completion(Completion),
    /// A request was refused before it could be judged (no credential, unreadable request).
    Refusal {
        /// The request.
        request: RequestId,
        /// Where it came from.
        source: String,
        /// Who, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        actor: Option<Box<Actor>>,
        /// HTTP status of the refusal.
        status: u16,
        /// Why, without what the client sent.
        reason: String,
    },
    /// A session began or ended.
    Session {
        /// `started`, `renewed`, `token-issued`, `browser-started`, `browser-ended`, `ended`; with `-failed` behind it, the one that was
        /// recorded before was not made.
        change: String,
        /// The session.
        session: SessionId,
        /// The person's name.
        person: String,
        /// The person's id.
        person_id: PersonId,
        /// Where from, or why.
        detail: String,
    },
    /// An access request was asked, answered, or came to its end.
    Access(Box<Accessed>),
    /// A grant started, changed or ended.
    Grant(Box<Granted>),
    /// The gate was away, and what the API server says of that time is imported behind this.
    Gap(Box<Gap>),
    /// A request that the API server answered while the gate was away: none of the gate's decisions.
    Imported(Box<Imported>),
    /// The gate's own state was changed (people, clusters, policies).
    Change {
        /// Who changed it: a person's name, or `local administrator`.
        by: String,
        /// What: `person added`, `cluster removed`, `policies loaded`; with `: failed` behind it, the one
        /// that was recorded before was not made.
        what: String,
        /// Of what: the name of the person, cluster, …
        name: String,
        /// Further words.
        detail: String,
    },
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// Stable name.
    pub name: String,
    /// Our id.
    pub id: PersonId,
    /// Person, pipeline or service account.
    pub kind: IdentityKind,
    /// The session.
    pub session: SessionId,
    /// How strongly the login proved the person.
    pub assurance: Assurance,
    /// How the request proved the session.
    pub credential: Credential,
    /// Address of the connection.
    pub source: String,
    /// The client's own words on itself; not trusted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
}

/// A judged request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    /// The request; also the `Audit-ID` at the API server.
    pub request: RequestId,
    /// Who.
    pub actor: Actor,
    /// What.
    pub kube: Kube,
    /// The same as a kubectl command, for people.
    pub kubectl: String,
    /// The run of kubectl it says it belongs to: a hint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<Invoked>,
    /// SHA-256 over cluster, method, path and query as received; lower-case hex.
    pub digest: String,
    /// `allow`, `deny`, `hold`.
    pub decision: String,
    /// Ids of the policies that decided.
    pub policies: Vec<PolicyId>,
    /// Version of the policy set.
    pub policy_version: String,
    /// What would satisfy the policies that hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
    /// How dangerous it is: `R0` to `R5`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub risk: String,
    /// The approval that let it pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<AccessId>,
    /// The grants that covered it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantId>,
    /// The access request for whose approver the gate looked this up; nobody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_up_for: Option<AccessId>,
    /// As whom it goes upstream, when it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
}

/// A step in the life of an access request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accessed {
    /// `requested`, `approved`, `approved in part`, `denied`, `expired`, `withdrawn`.
    pub change: String,
    /// The access request.
    pub access: AccessId,
    /// Who took the step: a person's name, or `the gate`.
    pub by: String,
    /// The session of whoever took it, where a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// Who asked.
    pub requester: String,
    /// Their id.
    pub requester_id: PersonId,
    /// What for: a kubectl command, or the terms of a grant.
    pub what: String,
    /// The cluster, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The held request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// SHA-256 of what was asked, body included; lower-case hex.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// How dangerous: `R0` to `R5`.
    pub risk: String,
    /// The ticket it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The grant that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Why, or for how much.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A step in the life of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Granted {
    /// `started`, `extended`, `ended`, `reviewed`.
    pub change: String,
    /// The grant.
    pub grant: GrantId,
    /// Who took the step: a person's name, or `the gate`.
    pub by: String,
    /// Who holds it.
    pub holder: String,
    /// Their id.
    pub holder_id: PersonId,
    /// What it gives, in words.
    pub what: String,
    /// The cluster, where it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// Where it comes from: `request`, `pipeline`, `break-glass`.
    pub origin: String,
    /// Until when it lives, RFC 3339.
    pub expires: String,
    /// The ticket it is tied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The access request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessId>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Why it was asked for, or why it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Accessed {
    /// A step of `request`, taken by `by`.
    pub fn new(change: &str, by: &str, request: &AccessRequest) -> Self {
        let held = request.held();
        let what = match &request.subject {
            Subject::Request(held) => held.kubectl.clone(),
            Subject::Grant(terms) => format!("{} for {}", terms.words(), terms.duration),
        };
        let cluster = match &request.subject {
            Subject::Request(held) => Some(held.sort.cluster.clone()),
            Subject::Grant(terms) => terms.cluster.clone(),
        };
        Self {
            change: change.to_owned(),
            access: request.id,
            by: clip(by),
            session: None,
            requester: request.requester.name.clone(),
            requester_id: request.requester.id,
            what: clip(&what),
            cluster,
            request: held.map(|h| h.request),
            digest: held.map_or_else(String::new, |h| h.digest.clone()),
            risk: request.risk.as_str().to_owned(),
            ticket: request.ticket.as_deref().map(clip),
            grant: None,
            detail: request.reason.as_deref().map_or_else(String::new, clip),
        }
    }
}

impl Granted {
    /// A step of `grant`, taken by `by`.
    pub fn new(change: &str, by: &str, grant: &Grant) -> Self {
        Self {
            change: change.to_owned(),
            grant: grant.id,
            by: clip(by),
            holder: grant.holder_name.clone(),
            holder_id: grant.holder,
            what: clip(&grant.terms.words()),
            cluster: grant.terms.cluster.clone(),
            origin: match grant.origin {
                Origin::Request => "request",
                Origin::Pipeline => "pipeline",
                Origin::BreakGlass => "break-glass",
            }
            .to_owned(),
            expires: grant.expires.rfc3339(),
            ticket: grant.ticket.as_deref().map(clip),
            access: grant.access,
            approvers: grant.approvers.iter().take(16).map(|a| clip(a)).collect(),
            detail: clip(&grant.reason),
        }
    }
}

/// As whom a request goes upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// User.
    pub user: String,
    /// Groups that the gate adds.
    pub groups: Vec<String>,
}

/// What `kubectl` said of the run that the request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoked {
    /// `Kubectl-Session`.
    pub session: String,
    /// `Kubectl-Command`.
    pub command: String,
}

/// The Kubernetes side of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kube {
    /// Cluster.
    pub cluster: ClusterName,
    /// Policy action (`exec`).
    pub action: String,
    /// HTTP method.
    pub method: String,
    /// RBAC verb (`get`).
    pub verb: String,
    /// API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// API version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Resource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Subresource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// Namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Path of a non-resource request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Field selector.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field_selector: String,
    /// Label selector.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label_selector: String,
    /// Container of an exec, attach or log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// Command of an exec, redacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Whether it is a dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whom the client asked to be (`--as`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub impersonates: String,
}

/// How a forwarded request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// The request.
    pub request: RequestId,
    /// HTTP status of the upstream's answer; 0 when there was none.
    pub status: u16,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// From the decision to the end, in microseconds.
    pub duration_micros: u64,
    /// How it ended: `complete`, `client-closed`, `refused`, `upstream-failed`, `protocol-error`, `unrecorded`,
    /// or because what it stood on was over: `session-ended`, `access-ended` (a grant, job function or
    /// policy), `shutdown` (of the gate).
    pub end: String,
    /// Further words (why the session or access ended, how the upstream failed).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Record {
    /// A record of `event` at `now`.
    pub fn new(now: Timestamp, event: Event) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            time: now.rfc3339(),
            event,
        }
    }

    /// The canonical bytes (RFC 8785): the same record always gives the same bytes, and no two
    /// records give the same. At most 65,535 bytes, the limit of an entry of a C2SP tile log.
    ///
    /// # Errors
    /// [`TooLong`] if a record does not fit, which the limits on its texts rule out.
    pub fn canonical_bytes(&self) -> Result<Vec<u8>, TooLong> {
        let mut out = Vec::with_capacity(2048);
        canonical::write(self, &mut out).map_err(|_| TooLong(()))?;
        if out.len() > 65_535 {
            Err(TooLong(()))
        } else {
            Ok(out)
        }
    }

    /// Reads a record back from an entry of the log.
    ///
    /// # Errors
    /// If the bytes are not a record of this schema.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// A record that does not fit into an entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record is longer than an entry of the log may be (65535 bytes)")]
pub struct TooLong(());

/// A client's text, cut to what a record may hold, with the cut marked.
pub fn clip(text: &str) -> String {
    clip_to(text, TEXT_LIMIT)
}

/// The same with another limit, in bytes.
fn clip_to(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0);
    let (kept, cut) = text.split_at(end);
    format!("{kept}…[{} bytes cut]", cut.len())
}

impl Actor {
    /// From a verified identity and what the request said of its client.
    pub fn new(who: &VerifiedIdentity, source: std::net::IpAddr, user_agent: &str) -> Self {
        Self {
            name: who.identity().name.clone(),
            id: who.identity().id,
            kind: who.identity().kind,
            session: who.session(),
            assurance: who.assurance(),
            credential: who.credential(),
            source: source.to_string(),
            user_agent: clip(user_agent),
        }
    }
}

impl Kube {
    /// From an action, redacted and bounded.
    pub fn new(action: &Action) -> Self {
        let resource = action.resource().cloned().unwrap_or_default();
        let path = match &action.info.target {
            Target::NonResource { path } => clip(path),
            Target::Resource(_) => String::new(),
        };
        let command = secret::redact_command(&action.command);
        let total: usize = command.iter().map(String::len).sum();
        let command = if command.len() > 64 || total > 2 * TEXT_LIMIT {
            vec![clip(&command.join(" "))]
        } else {
            command
        };
        Self {
            cluster: action.cluster.clone(),
            action: action.kind.as_str().to_owned(),
            method: action.info.method.clone(),
            verb: action.info.verb.as_str().to_owned(),
            group: clip(&resource.group),
            version: clip(&resource.version),
            resource: clip(&resource.resource),
            subresource: clip(&resource.subresource),
            namespace: clip(&resource.namespace),
            name: clip(&resource.name),
            path,
            field_selector: clip(&resource.field_selector),
            label_selector: clip(&resource.label_selector),
            container: clip(action.container.as_deref().unwrap_or_default()),
            command,
            dry_run: action.dry_run,
            impersonates: action
                .impersonates
                .as_ref()
                .map_or_else(String::new, |i| clip(&i.user)),
        }
    }
}

impl Decided {
    /// The record of one decision.
    pub fn new(
        request: RequestId,
        actor: Actor,
        action: &Action,
        digest: String,
        decision: &Decision,
        policy_version: &str,
    ) -> Self {
        let obligations = match decision {
            Decision::Hold(hold) => hold
                .obligations
                .iter()
                .map(|o| o.as_str().to_owned())
                .collect(),
            Decision::Allow(_) | Decision::Deny(_) => Vec::new(),
        };
        Self {
            request,
            actor,
            kube: Kube::new(action),
            kubectl: clip(&kubectl_line::of(action)),
            invocation: None,
            digest,
            decision: decision.name().to_owned(),
            policies: decision
                .policies()
                .iter()
                .map(|p| p.id.clone())
                .take(64)
                .collect(),
            policy_version: policy_version.to_owned(),
            obligations,
            risk: RiskClass::of(action).as_str().to_owned(),
            approval: None,
            grants: Vec::new(),
            looked_up_for: None,
            upstream: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion() -> Record {
        Record::new(
            Timestamp::from_micros(1),
            Event::Completion(Completion {
                request: "018f3f5e-7c1a-7000-8000-000000000001".parse().unwrap(),
                status: 200,
                bytes_in: 0,
                bytes_out: 12,
                duration_micros: 5,
                end: "complete".into(),
                detail: "\u{1}\"é".into(),
            }),
        )
    }

    #[test]
    fn canonical_bytes_are_sorted_and_minimal() {
        let text = String::from_utf8(completion().canonical_bytes().unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"bytesIn\":0,\"bytesOut\":12,\"detail\":\"\\u0001\\\"é\",\"durationMicros\":5,\
             \"end\":\"complete\",\"kind\":\"completion\",\
             \"request\":\"018f3f5e-7c1a-7000-8000-000000000001\",\
             \"schema\":\"kubestile.dev/audit/v1\",\"status\":200,\
             \"time\":\"1970-01-01T00:00:00.000001Z\"}"
        );
    }

    #[test]
    fn records_read_back() {
        let record = completion();
        assert_eq!(
            Record::from_bytes(&record.canonical_bytes().unwrap()).unwrap(),
            record
        );
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let cut = clip(&"é".repeat(5000));
        assert!(
            cut.len() < 2100 && cut.ends_with("bytes cut]"),
            "{}",
            cut.len()
        );
    }
}
