//! What was decided, and the two proofs without which nothing is forwarded.

use crate::identity::JobFunction;
use crate::ids::{PolicyId, RequestId};

/// A policy that took part in a decision, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRef {
    /// Its `@id`.
    pub id: PolicyId,
    /// Its `@reason`: one sentence for people, without a full stop.
    pub reason: String,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Decision {
    /// It may go on.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
    /// It may go on once its obligations are met.
    Hold(Hold),
}

impl Decision {
    /// `allow`, `deny` or `hold`, as the log and the metrics write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
            Self::Hold(_) => "hold",
        }
    }

    /// The policies that decided.
    pub fn policies(&self) -> &[PolicyRef] {
        match self {
            Self::Allow(permit) => &permit.policies,
            Self::Deny(denial) => &denial.policies,
            Self::Hold(hold) => &hold.policies,
        }
    }
}

/// Why a request may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The forbids that applied; empty when no policy permits it.
    pub policies: Vec<PolicyRef>,
    /// What the person can do about it, one sentence; `None` when nothing can be done.
    pub remedy: Option<String>,
}

/// What must be there before a request may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The forbids that would be satisfied.
    pub policies: Vec<PolicyRef>,
    /// What would satisfy them, without duplicates.
    pub obligations: Vec<Obligation>,
    /// How many different people must approve, where an approval is among the obligations.
    pub approvals: u8,
    /// The job function that an approval gives to this one request, where the person holds none that
    /// would permit it.
    pub function: Option<JobFunction>,
}

/// What would satisfy a policy that holds a request (its `@satisfy` annotation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Obligation {
    /// The approval of a second person, for exactly this request.
    Approval,
    /// A stronger or fresher login.
    Mfa,
    /// An open ticket.
    Ticket,
    /// A reason in words.
    Reason,
    /// A grant of a job function.
    Grant,
}

impl Obligation {
    /// As it stands in `@satisfy` and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Mfa => "mfa",
            Self::Ticket => "ticket",
            Self::Reason => "reason",
            Self::Grant => "grant",
        }
    }

    /// From the text of a `@satisfy` annotation.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Approval,
            Self::Mfa,
            Self::Ticket,
            Self::Reason,
            Self::Grant,
        ]
        .into_iter()
        .find(|o| o.as_str() == text)
    }
}

/// Proof that a decision allows one request.
///
/// INVARIANT: made only by [`Permit::assertion`], whose call sites `cargo xtask tidy` lists: the
/// policy decision, and the approval of a held request. It cannot be cloned: one request, one permit.
#[derive(Debug)]
pub struct Permit {
    request: RequestId,
    policies: Vec<PolicyRef>,
}

impl Permit {
    /// Asserts that the policies allow the request.
    pub fn assertion(request: RequestId, policies: Vec<PolicyRef>) -> Self {
        Self { request, policies }
    }

    /// Which request.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// The policies that allow it.
    pub fn policies(&self) -> &[PolicyRef] {
        &self.policies
    }
}

/// Proof that the record of a decision is in the log.
///
/// INVARIANT: made only by [`Receipt::assertion`], whose one call site is the log's append path.
#[derive(Debug)]
pub struct Receipt {
    request: RequestId,
    index: u64,
}

impl Receipt {
    /// Asserts that the record of `request` has been given `index` in the log.
    pub fn assertion(request: RequestId, index: u64) -> Self {
        Self { request, index }
    }

    /// Which request it records.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// The record's index in the log, counted from 0.
    pub fn index(&self) -> u64 {
        self.index
    }
}
