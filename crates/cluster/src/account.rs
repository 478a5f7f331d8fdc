//! The gate's own account in a cluster, and the starter job functions that only the gate can give.
//!
//! | what | for |
//! |---|---|
//! | ServiceAccount `kubestile-gate` in `kubestile-system` | the gate |
//! | ClusterRole `kubestile:gate` | impersonate people, the groups of job functions, and our extra keys |
//! | Role `kubestile:gate-token` | make tokens for itself, and for nobody else |
//! | ClusterRoles `kubestile:viewer`, `:operator`, `:admin` | the job functions |
//! | ClusterRoleBinding `kubestile:viewer` | reading, cluster-wide, for the group `kubestile:viewer` |
//! | RoleBindings `kubestile:operator`, `:admin` in each namespace | for the groups `kubestile:<role>:<namespace>` |
//!
//! [`plan`] says what would change, [`install`] does it with an administrator's [`Upstream`](crate::Upstream), [`sync`]
//! follows new namespaces, [`remove`] takes all of it away, [`render`] writes it down for GitOps.
//!
//! The account itself can do none of this. That is the point of it: following new namespaces needs an
//! administrator's context again (or GitOps), because whoever may bind groups to roles may do anything.
//!
//! After an API server was upgraded to 1.36, [`sync`] moves the account to constrained impersonation.
//!
//! # What the account can still do
//!
//! Kubernetes cannot say "any user name but those that begin with `system:`". Unless the people are
//! named ([`People::Named`]), whoever steals the account's token can act under the *user name* of, say,
//! `system:kube-controller-manager`, and gets what is bound to that name. Groups are always listed, so
//! `system:masters` and every other group are out of reach; with constrained impersonation so are
//! service accounts and nodes. The gate itself refuses such names before it asks for them.

use std::fmt;

use kubestile_core::ids::{ClusterName, Namespace};

use crate::error::CallError;
use crate::upstream::AccountCredential;

mod functions;
mod install;
mod object;
mod plan;
pub(crate) mod probe;
mod remove;
mod render;
pub(crate) mod token;

pub use install::{Progress, install, sync};
pub(crate) use plan::qualified;
pub use plan::{Change, Plan, Step, plan};
pub use remove::{Removed, remove};
pub use render::render;
pub(crate) use render::sorted;

/// The namespace that holds the account.
pub const NAMESPACE: &str = "kubestile-system";
/// The service account.
pub const NAME: &str = "kubestile-gate";
/// Namespaces in which no job function is given: whoever may write there holds the cluster.
pub const RESERVED_NAMESPACES: [&str; 4] =
    [NAMESPACE, "kube-system", "kube-public", "kube-node-lease"];

/// How the account may act as somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The verb `impersonate`: every API server has it.
    Legacy,
    /// Constrained impersonation (KEP-5284): never `system:masters`, service accounts or nodes. On by
    /// default from Kubernetes 1.36.
    Constrained,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Constrained => "constrained",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "legacy" => Ok(Self::Legacy),
            "constrained" => Ok(Self::Constrained),
            _ => Err(UnknownMode),
        }
    }
}

/// A text that is no [`Mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an impersonation mode is `legacy` or `constrained`")]
pub struct UnknownMode;

/// As which people the account may act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum People {
    /// As anybody who logs in at the gate. See the module's last section.
    #[default]
    Any,
    /// As these only, by the names that go upstream. Somebody new can do nothing until [`sync`].
    Named(Vec<String>),
}

/// What an administrator can choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// As which people the account may act.
    pub people: People,
    /// The mode; `None` for constrained impersonation where the server has it, else legacy.
    pub mode: Option<Mode>,
    /// Namespaces in which job functions are given although they are reserved.
    pub also: Vec<Namespace>,
    /// How long a token of the account lives; `None` for [`DEFAULT_TOKEN_LIFETIME`].
    pub token_lifetime: Option<kubestile_core::time::Ttl>,
}

/// A day: the gate renews its token when a third of its life has passed, so that it lives through 16
/// hours of a closed laptop or a dead network. After more than that an administrator's context is
/// needed again. API servers may give less (`--service-account-max-token-expiration`).
pub const DEFAULT_TOKEN_LIFETIME: kubestile_core::time::Ttl =
    kubestile_core::time::Ttl::from_secs(24 * 3600);

/// The account, ready to be used.
#[derive(Debug, Clone)]
pub struct Installed {
    /// What to store.
    pub credential: AccountCredential,
    /// How it impersonates, as tried on the server.
    pub mode: Mode,
}

/// Why the account cannot be planned, installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A call did not succeed.
    #[error("cannot {doing}")]
    Call {
        /// What was being done, in words that follow "cannot".
        doing: String,
        /// Why not.
        source: CallError,
    },
    /// An object of that name is there and is not ours.
    #[error(
        "`{object}` exists and is not Kubestile's (it has no label app.kubernetes.io/managed-by: kubestile): rename or delete it first"
    )]
    Foreign {
        /// Kind and name.
        object: String,
    },
    /// A binding of ours refers to another role, which cannot be changed.
    #[error("`{object}` refers to another role than ours: delete it first")]
    OtherRole {
        /// Kind and name.
        object: String,
    },
    /// The server's certificate is not verified, so nothing that is sent to it is safe.
    #[error(
        "the context says insecure-skip-tls-verify: the gate's token would go to whoever answers; use a context that names the certificate authority"
    )]
    NotVerified,
    /// The account was made but cannot act as somebody else.
    #[error(
        "the account was installed but cannot act as a person ({reason}): another authorizer of this API server may refuse it"
    )]
    CannotImpersonate {
        /// What the API server said.
        reason: String,
    },
    /// An answer without what it must have.
    #[error("the API server's answer has no usable {0}")]
    Answer(&'static str),
    /// Nothing is installed, so there is nothing to follow.
    #[error("the gate's account is not installed in `{0}`: run `kubestile cluster add` first")]
    NotInstalled(ClusterName),
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// What was changed, as `+ RoleBinding shop/kubestile:operator`.
    pub changes: Vec<String>,
    /// How the account impersonates now. It differs from what was stored after the API server was
    /// upgraded or its flags were changed: store it.
    pub mode: Mode,
}

/// Adds what was being done to a failed call.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, AccountError>;
}

impl<T> Doing<T> for Result<T, CallError> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, AccountError> {
        self.map_err(|source| AccountError::Call {
            doing: what(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
