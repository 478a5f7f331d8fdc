//! Access requests: a held request, or a grant that somebody asks for, from the question to the answer.
//! A state machine as a value: `(request, event, now)` gives the next request or says why not.
//!
//! What was approved is bound to a digest of what was asked. Nobody approves for themselves, nothing is
//! approved after its time, and the first end stays.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::grant::Terms;
use crate::identity::JobFunction;
use crate::ids::{ClusterName, Namespace, PersonId, PolicyId, RequestId, SessionId};
use crate::risk::RiskClass;
use crate::short_id::AccessId;
use crate::time::{Timestamp, Ttl};

/// The longest that an approval may be widened to the rest of a command.
pub const LONGEST_COMMAND: Ttl = Ttl::from_secs(15 * 60);

/// Something that waits for somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessRequest {
    /// Its id, as people read it to each other.
    pub id: AccessId,
    /// Who asks.
    pub requester: Requester,
    /// What for.
    pub subject: Subject,
    /// How dangerous that is.
    pub risk: RiskClass,
    /// The ticket that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that ask for an approval.
    pub policies: Vec<PolicyId>,
    /// How many different people must approve.
    pub quorum: u8,
    /// Who may approve, in words (`sre`, `approver`).
    pub approvers: Vec<String>,
    /// When it was asked.
    pub created: Timestamp,
    /// Until when it can be answered.
    pub expires: Timestamp,
    /// Those who approved so far.
    pub approvals: Vec<Approval>,
    /// How it stands.
    pub state: State,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// The identity.
    pub id: PersonId,
    /// Its name.
    pub name: String,
    /// The session that asks.
    pub session: SessionId,
    /// SHA-256 of the session's key, hex: two sessions of one key are one machine.
    pub key_digest: String,
    /// For a pipeline: the person who set the run off, who may not approve it either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// The address and port that it comes from.
    pub source: String,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// One request, which waits.
    Request(Box<HeldRequest>),
    /// A grant.
    Grant(Terms),
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldRequest {
    /// The request, as the log knows it.
    pub request: RequestId,
    /// SHA-256 over cluster, method, path, query, body and exec command; lower-case hex. An approval
    /// is for this and nothing else.
    pub digest: String,
    /// The same in words, as a kubectl command.
    pub kubectl: String,
    /// What kind of request, where.
    pub sort: Sort,
    /// The name of the object; empty for a collection.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The run of kubectl that it says it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// The program that it says it is (`User-Agent`), where it names no run. What is shown together rests on it, and
    /// never what an approval is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The UID of the object as it was when the request was held: another object of the same name is
    /// another request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The job function that an approval gives to this one request, where the person holds none that
    /// would permit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<JobFunction>,
    /// What it would do, as far as that could be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// Whether the client waits for the answer; if not, it comes again once approved.
    pub waits: bool,
}

/// What a held request would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// In one line.
    pub summary: String,
    /// What is deleted with it, or which fields change, one a line.
    pub lines: Vec<String>,
    /// How many more lines there would be.
    pub more: usize,
}

/// What requests of one command have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sort {
    /// Cluster.
    pub cluster: ClusterName,
    /// Namespace; empty for cluster-scoped requests.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Policy action (`delete`).
    pub action: String,
    /// API group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Resource, with its subresource (`deployments`, `pods/exec`).
    pub resource: String,
    /// Whom the client asks to be (`--as`, `--as-group`); empty when nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub impersonates: String,
}

impl Sort {
    /// Of an action.
    pub fn of(action: &Action) -> Self {
        let (group, resource) = action.resource().map_or_else(Default::default, |r| {
            let resource = if r.subresource.is_empty() {
                r.resource.clone()
            } else {
                format!("{}/{}", r.resource, r.subresource)
            };
            (r.group.clone(), resource)
        });
        Self {
            cluster: action.cluster.clone(),
            namespace: action.namespace().to_owned(),
            action: action.kind.as_str().to_owned(),
            group,
            resource,
            impersonates: action
                .impersonates
                .as_ref()
                .map_or_else(String::new, |asked| {
                    format!("{} {}", asked.user, asked.groups.join(" "))
                }),
        }
    }

    /// `delete deployments.apps in shop`, for people.
    pub fn words(&self) -> String {
        let mut text = format!("{} {}", self.action, self.resource);
        if !self.group.is_empty() {
            text.push_str(&format!(".{}", self.group));
        }
        if !self.namespace.is_empty() {
            text.push_str(&format!(" in {}", self.namespace));
        }
        if !self.impersonates.is_empty() {
            text.push_str(&format!(" as {}", self.impersonates.trim_end()));
        }
        text
    }
}

/// One person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who.
    pub by: Answerer,
    /// When.
    pub at: Timestamp,
    /// For how much.
    pub choice: Choice,
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answerer {
    /// The person.
    pub id: PersonId,
    /// Their name.
    pub name: String,
    /// The session in which they answer.
    pub session: SessionId,
    /// SHA-256 of that session's key, hex.
    pub key_digest: String,
}

/// For how much an approval is given. Of several approvals the narrowest counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Exactly what was asked.
    Request,
    /// The rest of the same command too: same session and invocation, verb, kind and namespace, for
    /// this long.
    Command(Ttl),
}

/// How an access request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum State {
    /// Nobody, or not enough people, have answered yet.
    Waiting,
    /// Enough people approved it.
    Approved {
        /// When.
        at: Timestamp,
        /// Until when the same request passes.
        until: Timestamp,
    },
    /// Somebody denied it.
    Denied {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
        /// Why, in their words.
        reason: String,
    },
    /// Nobody answered in time.
    Expired,
    /// The requester, or what they asked from, went away.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// Why.
        why: String,
    },
}

impl State {
    /// `waiting`, `approved`, `denied`, `expired`, `withdrawn`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved { .. } => "approved",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

/// What happens to an access request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody approves; once enough have, the same request passes for `remembered`.
    Approve {
        /// Who and how much.
        approval: Approval,
        /// How long the approval is remembered.
        remembered: Ttl,
    },
    /// Somebody denies.
    Deny {
        /// Who.
        by: Answerer,
        /// Why.
        reason: String,
    },
    /// The requester went away, or what they asked from did.
    Withdraw {
        /// Why.
        why: String,
    },
    /// Time has passed.
    Tick,
}

/// Why an event does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has its answer, or its time is up.
    #[error("the request is {0} already")]
    Over(&'static str),
    /// The requester may not answer.
    #[error("nobody answers what they ask for themselves")]
    Own,
    /// One person counts once.
    #[error("you have approved it already; it needs {missing} more")]
    Twice {
        /// How many others it needs.
        missing: usize,
    },
    /// Too much was given away at once.
    #[error("an approval of the whole command lasts {LONGEST_COMMAND} at most")]
    TooLong,
    /// A grant has no command to widen to.
    #[error("a grant is approved as it was asked for")]
    NotACommand,
}

impl AccessRequest {
    /// How it stands at `now`: what waited longer than it may has expired.
    pub fn state_at(&self, now: Timestamp) -> State {
        match &self.state {
            State::Waiting if now >= self.expires => State::Expired,
            state => state.clone(),
        }
    }

    /// The request after `event`.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn apply(&self, event: Event, now: Timestamp) -> Result<Self, Refused> {
        let mut next = self.clone();
        next.state = self.state_at(now);
        if let Event::Tick = event {
            return Ok(next);
        }
        if !matches!(next.state, State::Waiting) {
            return Err(Refused::Over(next.state.name()));
        }
        match event {
            Event::Approve {
                approval,
                remembered,
            } => next.approve(approval, remembered, now)?,
            Event::Deny { by, reason } => {
                self.may_answer(&by)?;
                next.state = State::Denied {
                    by: by.name,
                    at: now,
                    reason,
                };
            }
            Event::Withdraw { why } => next.state = State::Withdrawn { at: now, why },
            Event::Tick => {}
        }
        Ok(next)
    }

    fn approve(
        &mut self,
        approval: Approval,
        remembered: Ttl,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.may_answer(&approval.by)?;
        match (&approval.choice, &self.subject) {
            (Choice::Request, _) => {}
            (Choice::Command(_), Subject::Grant(_)) => return Err(Refused::NotACommand),
            (Choice::Command(ttl), Subject::Request(_)) if *ttl > LONGEST_COMMAND => {
                return Err(Refused::TooLong);
            }
            (Choice::Command(_), Subject::Request(_)) => {}
        }
        self.approvals.push(approval);
        if self.missing() == 0 {
            let until = match self.choice() {
                Some(Choice::Command(ttl)) => now.plus((*ttl).max(remembered)),
                _ => now.plus(remembered),
            };
            self.state = State::Approved { at: now, until };
        }
        Ok(())
    }

    /// Neither the requester, nor another identity or login of theirs, nor the same key.
    fn may_answer(&self, by: &Answerer) -> Result<(), Refused> {
        let asks = &self.requester;
        let behind = asks
            .behind
            .as_ref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&by.name));
        if by.id == asks.id
            || by.name.eq_ignore_ascii_case(&asks.name)
            || by.session == asks.session
            || (!by.key_digest.is_empty() && by.key_digest == asks.key_digest)
            || behind
        {
            return Err(Refused::Own);
        }
        if self.approvals.iter().any(|a| {
            a.by.id == by.id
                || a.by.name.eq_ignore_ascii_case(&by.name)
                || (!by.key_digest.is_empty() && a.by.key_digest == by.key_digest)
        }) {
            return Err(Refused::Twice {
                missing: self.missing(),
            });
        }
        Ok(())
    }

    /// How many more people must approve.
    pub fn missing(&self) -> usize {
        usize::from(self.quorum.max(1)).saturating_sub(self.approvals.len())
    }

    /// For how much it was approved: the narrowest of the approvals.
    pub fn choice(&self) -> Option<&Choice> {
        self.approvals.iter().map(|a| &a.choice).min()
    }

    /// The held request, if it is one.
    pub fn held(&self) -> Option<&HeldRequest> {
        match &self.subject {
            Subject::Request(held) => Some(held),
            Subject::Grant(_) => None,
        }
    }

    /// Whether its approval lets `attempt` pass at `now`.
    pub fn releases(&self, attempt: &Attempt<'_>, now: Timestamp) -> bool {
        let State::Approved { at, until } = self.state else {
            return false;
        };
        let Some(held) = self.held() else {
            return false;
        };
        let same_asker =
            attempt.person == self.requester.id && attempt.session == self.requester.session;
        if now < at || now >= until || !same_asker {
            return false;
        }
        if attempt.digest == held.digest {
            return true;
        }
        let Some(Choice::Command(ttl)) = self.choice() else {
            return false;
        };
        let same_run =
            held.invocation.is_some() && attempt.invocation == held.invocation.as_deref();
        same_run && *attempt.sort == held.sort && now < at.plus(*ttl)
    }
}

/// A request that may have been approved before.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Whose.
    pub person: PersonId,
    /// In which session.
    pub session: SessionId,
    /// Its digest.
    pub digest: &'a str,
    /// The run of kubectl that it says it belongs to.
    pub invocation: Option<&'a str>,
    /// Its sort.
    pub sort: &'a Sort,
}

/// What policies are asked about an access request: may it be asked for, may this person answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// `request` or `grant`.
    pub kind: &'static str,
    /// The cluster.
    pub cluster: ClusterName,
    /// The namespace; `None` for a whole cluster.
    pub namespace: Option<Namespace>,
    /// The role asked for; empty where a request needs none.
    pub role: String,
    /// The action of a held request; empty for a grant.
    pub action: String,
    /// Its API group.
    pub group: String,
    /// Its resource.
    pub resource: String,
    /// How dangerous.
    pub risk: RiskClass,
    /// For how long; zero for a request.
    pub duration: Ttl,
    /// Whether an open ticket is named.
    pub ticket: bool,
    /// Whether a reason is given.
    pub reason: bool,
    /// The policies that hold it.
    pub policies: Vec<PolicyId>,
    /// The name of whoever asks.
    pub requester: String,
}

impl About {
    /// About one request that would need `role`.
    pub fn of_action(action: &Action, role: &str, requester: &str) -> Self {
        let sort = Sort::of(action);
        Self {
            kind: "request",
            cluster: sort.cluster,
            namespace: sort.namespace.parse().ok(),
            role: role.to_owned(),
            action: sort.action,
            group: sort.group,
            resource: sort.resource,
            risk: RiskClass::of(action),
            duration: Ttl::from_secs(0),
            ticket: false,
            reason: false,
            policies: Vec::new(),
            requester: requester.to_owned(),
        }
    }

    /// The job function asked for, where it is asked for.
    pub fn function(&self) -> Option<JobFunction> {
        let namespace = match &self.namespace {
            Some(namespace) => format!(":{namespace}"),
            None => String::new(),
        };
        format!("{}{namespace}@{}", self.role, self.cluster)
            .parse()
            .ok()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => f.write_str("this request"),
            Self::Command(ttl) => write!(f, "the rest of this command for {ttl}"),
        }
    }
}

#[cfg(test)]
mod tests;
