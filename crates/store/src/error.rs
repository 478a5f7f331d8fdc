//! What can go wrong with the state.

use std::path::PathBuf;

use kubestile_core::grant::GrantEndReason;
use kubestile_core::ids::ClusterName;
use kubestile_core::{AccessId, GrantId, PersonId, SessionId};

use crate::lock::LockError;

/// A change that was not made, or a store that was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory belongs to another process, or cannot be locked.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The database cannot be opened, or its directory not be made.
    #[error("the database `{}` cannot be opened", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database was written by a newer release, or altered.
    #[error(
        "the database does not fit this release: run the release that wrote it, or restore a backup"
    )]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// SQLite failed; nothing was changed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row cannot be understood.
    #[error("the database holds an unreadable {what}: restore a backup")]
    Row {
        /// `person`, `session`, `cluster`.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An end was published, but could not be made durable.
    #[error("ended, but the database failed: they would come back with a restart")]
    EndedInMemoryOnly(#[source] Box<StoreError>),
    /// The name is taken, or differs from a taken one only in case.
    #[error("there is already a person named `{name}`: choose another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name cannot be a person's.
    #[error(transparent)]
    InvalidName(#[from] kubestile_core::identity::InvalidName),
    /// The id is taken.
    #[error("there is already an entry with the id `{id}`")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// There is no such person.
    #[error("there is no person named `{name}`: `kubestile people list` shows who there is")]
    UnknownPerson {
        /// The name.
        name: String,
    },
    /// There is no person with this id.
    #[error("there is no person with the id `{0}`")]
    UnknownPersonId(PersonId),
    /// There is no such session.
    #[error("there is no session `{0}`")]
    UnknownSession(SessionId),
    /// There is no such cluster.
    #[error("there is no cluster `{0}`: `kubestile cluster list` shows which there are")]
    UnknownCluster(ClusterName),
    /// There is no such access request.
    #[error("there is no request `{0}`: `kubestile approvals` shows which wait")]
    UnknownRequest(AccessId),
    /// What happened does not apply to the access request.
    #[error(transparent)]
    Refused(#[from] kubestile_core::approval::Refused),
    /// There is no such grant.
    #[error("there is no grant `{0}`: `kubestile grants list` shows which there are")]
    UnknownGrant(GrantId),
    /// The grant gives nothing any more.
    #[error("the grant `{id}` is over: {why}")]
    GrantOver {
        /// The grant.
        id: GrantId,
        /// Why.
        why: GrantEndReason,
    },
    /// The login code was never given out, was used, or has expired. One error for all three: who
    /// guesses must not learn which.
    #[error("the login code is not valid: it works once and for a short time; ask for a new one")]
    InvalidCode,
    /// As many entries of a kind as there may be.
    #[error("there are already {limit} {what}, as many as there may be")]
    Full {
        /// `people`, `login codes`, …
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The runtime is going down.
    #[error("the store is shutting down")]
    Stopped,
}

impl StoreError {
    /// What failed, for an end of sessions that was published all the same.
    pub(crate) fn in_memory_only(self) -> Self {
        Self::EndedInMemoryOnly(Box::new(self))
    }

    /// An unreadable row.
    pub(crate) fn row(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Row {
            what,
            source: source.into(),
        }
    }
}
