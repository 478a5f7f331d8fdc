//! What people and programs really did: an API server's audit log, and a gate's own, counted while they are read.
//!
//! - [`line`]: one line of a log, in any of the forms that logs are kept in.
//! - [`event`]: what is taken from it.
//! - [`fold`]: many of them, counted in bounded memory.
//!
//! [`Traffic`] is what comes out. It is part of a [`Snapshot`](crate::Snapshot), so that an assessment without the
//! cluster has it too. It holds names, counts and times, and nothing that anybody sent.

pub mod event;
pub mod fold;
mod google;
pub mod line;
mod text;

use std::collections::BTreeMap;

use kubestile_core::Timestamp;
use kubestile_rbac::least::Operation;
use kubestile_rbac::{Attributes, Identity, User};
use serde::{Deserialize, Serialize};

pub use line::Form;

/// What was counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Traffic {
    /// What was read.
    pub sources: Vec<Read>,
    /// When the first request came in.
    pub from: Option<Timestamp>,
    /// When the last one came in.
    pub until: Option<Timestamp>,
    /// Hours of this time in which something was written.
    pub hours: u32,
    /// Requests with an answer.
    pub requests: u64,
    /// Requests without any credential that counts.
    pub unauthenticated: u64,
    /// Requests of nodes, which RBAC does not judge; they are not kept.
    pub of_nodes: u64,
    /// Whether a gate's log was read too, so that it is known what came through the gate.
    pub with_gate_log: bool,
    /// What was too much to be kept.
    pub overflow: Overflow,
    /// Attacks that a tool made for trial, and said so.
    #[serde(skip_serializing_if = "Trials::is_none")]
    pub trials: Trials,
    /// By the user name, ascending.
    pub subjects: Vec<Subject>,
}

/// Requests of tools that play attacks for trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trials {
    /// How many.
    pub requests: u64,
    /// The first.
    pub first: Option<Timestamp>,
    /// The last.
    pub last: Option<Timestamp>,
}

impl Trials {
    /// Whether there was none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.requests == 0
    }

    fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = [self.last, other.last].into_iter().flatten().max();
    }
}

/// One log that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    /// Its path, `-` for standard input.
    pub name: String,
    /// In which form it is; none if nothing in it was understood.
    pub form: Option<Form>,
    /// Its size as it was read, after decompression.
    pub bytes: u64,
    /// Lines or documents in it.
    pub lines: u64,
    /// Events in it, of whatever stage.
    pub events: u64,
    /// Lines that were about something else.
    pub other: u64,
    /// Lines that were not understood.
    pub malformed: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// A line that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Which, counted from 1.
    pub line: u64,
    /// Why, without what it says.
    pub why: String,
}

/// What was too much to be kept. Everything is counted, nothing is dropped in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overflow {
    /// Requests of subjects that came after the last that was kept.
    pub of_subjects: u64,
    /// Requests of a kind that came after the last that was kept.
    pub of_uses: u64,
    /// Requests with credentials or from places that came after the last that was kept.
    pub of_credentials: u64,
    /// Requests after which it was no longer looked whether they had been read before.
    pub unchecked: u64,
}

impl Overflow {
    /// Whether anything was too much.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.of_subjects == 0
            && self.of_uses == 0
            && self.of_credentials == 0
            && self.unchecked == 0
    }
}

/// Somebody, and what they did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// The user name.
    pub name: String,
    /// Every group that they came with.
    pub groups: Vec<String>,
    /// Their first request.
    pub first: Option<Timestamp>,
    /// Their last one.
    pub last: Option<Timestamp>,
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Of these, allowed, and failed for another reason.
    pub failed: u64,
    /// Of these, through a gate.
    pub by_gate: u64,
    /// Of these, with a client certificate.
    pub by_certificate: u64,
    /// Of these, with a token of a Secret, which never ends.
    pub by_legacy_token: u64,
    /// Of these, with a credential that the log does not name.
    pub unnamed: u64,
    /// Of these through a gate, those that its log does not know.
    pub unlogged: u64,
    /// What they did, and what was refused to them.
    pub uses: Vec<Use>,
    /// With what they came, unless somebody else impersonated them.
    pub credentials: Vec<CredentialUse>,
    /// From where they came so.
    pub places: Vec<Place>,
    /// Of a service account, from where it came without a pod.
    pub outside: Vec<Place>,
    /// Access policies of EKS that allowed something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

/// Something that was done, or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// What. Of names that a controller made, one stands for all that look the same; where there were too many
    /// names, it has none.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Whether it was allowed.
    pub allowed: bool,
    /// How often.
    pub count: u64,
    /// The `kubectl` command, where a gate heard it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// One credential, and where it was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialUse {
    /// `X509SHA256=…` or `JTI=…`: it proves nothing.
    pub id: String,
    /// Its first use.
    pub first: Option<Timestamp>,
    /// Its last one.
    pub last: Option<Timestamp>,
    /// Requests.
    pub count: u64,
    /// From where.
    pub places: Vec<Place>,
    /// Ten minutes, of which there were several, in which it was used from more than one place.
    pub overlaps: u32,
}

/// An address and the kind of machine behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The address that connected.
    pub address: String,
    /// `linux/amd64`, or what the client calls itself.
    pub machine: String,
    /// Requests.
    pub count: u64,
    /// Ten minutes, of which there were several, in which there were also requests from another place.
    #[serde(default)]
    pub overlaps: u32,
}

/// Whose requests they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person, or a pipeline with a name of its own.
    Person,
    /// A service account.
    Account,
    /// Part of Kubernetes, or nobody.
    Component,
}

impl Subject {
    /// Whose requests they are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.identity() {
            Identity::ServiceAccount { .. } => Kind::Account,
            _ if self.name.starts_with("system:") => Kind::Component,
            _ => Kind::Person,
        }
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::from_user_name(&self.name)
    }

    /// As the authorizer sees them, in every group that they ever came with.
    #[must_use]
    pub fn user(&self) -> User {
        let mut user = User::of(&self.identity());
        for group in &self.groups {
            if !user.groups.contains(group) {
                user.groups.push(group.clone());
            }
        }
        user
    }

    /// Requests that came to the API server without a gate between.
    #[must_use]
    pub const fn direct(&self) -> u64 {
        self.requests.saturating_sub(self.by_gate)
    }

    /// What they did, for the generator of least rights.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        let operation = |u: &Use| Operation {
            attributes: u.attributes.clone(),
            allowed: u.allowed,
            count: u.count,
            command: u.command.clone(),
        };
        self.uses.iter().map(operation).collect()
    }
}

impl Traffic {
    /// People and pipelines with names of their own.
    pub fn people(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter().filter(|s| s.kind() == Kind::Person)
    }

    /// By the user name.
    #[must_use]
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        let at = self
            .subjects
            .binary_search_by(|s| s.name.as_str().cmp(name));
        at.ok().and_then(|at| self.subjects.get(at))
    }

    /// From the first request to the last, in seconds.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        match (self.from, self.until) {
            (Some(from), Some(until)) => until.as_secs() - from.as_secs(),
            _ => 0,
        }
    }

    /// The same in days, at least one if there is anything.
    #[must_use]
    pub fn days(&self) -> u32 {
        u32::try_from(self.seconds() / 86_400)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// Lines that were not understood.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.sources.iter().map(|s| s.malformed).sum()
    }

    /// The time that was looked at, and how whole that look is, in words.
    #[must_use]
    pub fn span(&self) -> String {
        let (Some(from), Some(until)) = (self.from, self.until) else {
            return "a log without a request".to_owned();
        };
        let minute = |t: Timestamp| t.rfc3339().chars().take(16).collect::<String>();
        let whole = (self.seconds() / 3_600).max(0) + 1;
        let hours = i64::from(self.hours).min(whole);
        let mut text = format!(
            "{} of log ({} to {}), {} requests, {} of {} hours with any",
            duration(self.seconds()),
            minute(from),
            minute(until),
            self.requests,
            hours,
            whole,
        );
        if self.malformed() > 0 {
            text.push_str(&format!(", {} lines not understood", self.malformed()));
        }
        if !self.overflow.is_empty() {
            text.push_str(", not all of it kept");
        }
        text
    }

    /// Uses by namespace, empty for the cluster.
    #[must_use]
    pub fn namespaces(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for used in self.subjects.iter().flat_map(|s| &s.uses) {
            if let kubestile_rbac::Target::Resource(target) = &used.attributes.target {
                *found.entry(target.namespace.clone()).or_default() += used.count;
            }
        }
        found
    }
}

/// `3 d 4 h`, `12 min`.
fn duration(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}
