//! What can go wrong with the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubestile_core::event::TooLong;

use crate::lock::LockError;

/// A record that is not in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// More records wait to become durable than may: the disk does not keep up.
    #[error("the audit log does not keep up: too many records wait for the disk")]
    Backlog,
    /// The record does not fit into an entry.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The disk failed. What it says after that cannot be trusted, so nothing is tried again.
    #[error("the audit log has failed and takes no more records: see to the disk, then restart")]
    Failed(#[source] Failure),
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
}

/// Why the log failed; shared by all who wait for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct Failure(Arc<DiskError>);

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self(Arc::new(error))
    }
}

/// A step on the disk that failed.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The operating system refused.
    #[error("cannot {what} `{}`: {source}", path.display())]
    Io {
        /// `write`, `sync`, …
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why. Part of the text, since it is all that people need to know.
        source: io::Error,
    },
    /// A file that never changes is there already, with other bytes.
    #[error("`{}` is there with other bytes than the log's: keep a copy and look into it", path.display())]
    Conflict {
        /// Which.
        path: PathBuf,
    },
    /// The format cannot hold the tree, or the checkpoint not be signed.
    #[error("the tree cannot be sealed: {0}")]
    Tree(String),
    /// A thread of the log is gone.
    #[error("a thread of the log stopped: this is a defect, please report it")]
    Stopped,
}

impl DiskError {
    /// For `map_err`.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// A log that is not opened, because appending to it could lose or contradict what it holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory belongs to another process, or cannot be locked.
    #[error(transparent)]
    Locked(#[from] LockError),
    /// The disk failed.
    #[error("the audit log cannot be opened")]
    Disk(#[from] DiskError),
    /// There are tiles, but no checkpoint.
    #[error(
        "`{}` is missing though the log has entries: restore it from a copy (it is also what your \
         witnesses and auditors hold)",
        path.display()
    )]
    CheckpointMissing {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The checkpoint is not this key's.
    #[error(
        "`{}` was not signed by this log's key `{vkey}`: put back the `log.key` it was signed with, \
         or use another directory for a new log",
        path.display()
    )]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// The key at hand.
        vkey: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Tiles or bundles do not lead to the signed root.
    #[error(
        "the tiles of the log do not lead to its checkpoint: restore `tile/` from a copy; \
         `kubestile audit verify` names the first entry that is wrong"
    )]
    Tiles(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no write-ahead file.
    #[error(
        "`{}` holds no write-ahead file, so that records after the checkpoint may be lost: restore \
         it together with the rest, or move the log away and start a new one with a new key (the \
         old one stays verifiable)",
        path.display()
    )]
    WalMissing {
        /// The directory.
        path: PathBuf,
    },
    /// Records are missing between two that are there.
    #[error(
        "entries {from} to {to} are missing from the write-ahead files in `{}`: restore them from a \
         copy, or move the log away and start a new one with a new key",
        path.display()
    )]
    Gap {
        /// The directory.
        path: PathBuf,
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// A write-ahead file is damaged where records had been acknowledged.
    #[error(
        "the write-ahead file `{}` is damaged at byte {offset}, before records that were \
         acknowledged ({why}): restore it from a copy, or move the log away and start a new one \
         with a new key",
        path.display()
    )]
    WalDamaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        why: &'static str,
    },
    /// The write-ahead file says otherwise than the sealed tree.
    #[error(
        "entry {index} in the write-ahead file `{}` is not the entry that was signed: this log was \
         tampered with, or mixed with another; keep a copy and look into it",
        path.display()
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The entry.
        index: u64,
    },
}
