//! The conditions under which a request is judged: all that a policy may see beside who and what.

use std::net::IpAddr;
use std::sync::Arc;

use crate::grant::Grant;
use crate::identity::JobFunction;
use crate::short_id::AccessId;
use crate::time::Timestamp;

/// A fact, or the reason why it is not there. Policy can tell `NotConfigured` from `Failed`; neither
/// is ever read as "fine".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    /// The fact.
    Present(T),
    /// Why there is none.
    Absent(Absence),
}

impl<T> Known<T> {
    /// The fact, if there is one.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(fact) => Some(fact),
            Self::Absent(_) => None,
        }
    }
}

/// Why a fact is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// No source for it is set up.
    NotConfigured,
    /// No policy that applies asks for it, so it was not fetched.
    NotNeeded,
    /// The client did not send it.
    NotSent,
    /// The source failed; the text is for the log.
    Failed(String),
}

/// What `kubectl` says of the command that a request belongs to (KEP-859). A hint from the client:
/// good for grouping and search, never for a decision to allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// `Kubectl-Session`: one per run of kubectl.
    pub session: String,
    /// `Kubectl-Command`: the command's words without arguments.
    pub command: String,
}

/// The conditions, gathered per request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// When the request is judged.
    pub now: Timestamp,
    /// Where it comes from: the address of the connection, never of a header.
    pub source: IpAddr,
    /// The client's word on the command it belongs to.
    pub invocation: Known<Invocation>,
    /// The approval that covers exactly this request.
    pub approval: Known<Approved>,
    /// The live grants that cover this request.
    pub grants: Vec<Arc<Grant>>,
}

/// An approval, as far as a decision depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// The access request that was approved.
    pub access: AccessId,
    /// How many people approved it.
    pub count: u8,
    /// The job function that it gives to this one request.
    pub function: Option<JobFunction>,
}
