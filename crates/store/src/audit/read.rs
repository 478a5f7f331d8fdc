//! Reading and verifying a log: beside the gate that writes it, without the gate, or long after it.
//!
//! Nothing here takes a lock or writes. What a reader sees is the log as its latest signed
//! checkpoint has it; records that are durable and not yet sealed follow within a second.

mod entries;
mod prove;
mod tail;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use kubestile_core::RequestId;
use kubestile_tlog::checkpoint::{OpenCheckpointError, TrustError};
use kubestile_tlog::key::KeyError;
use kubestile_tlog::note::Note;
use kubestile_tlog::proof::ProofError;
use kubestile_tlog::{Checkpoint, SignedCheckpoint, Trust, Verifier};

use super::layout;

pub use entries::Entries;
pub use prove::{Checked, Which, check, prove};
pub use tail::Tail;
pub use verify::{Problem, Report, verify};

/// The latest checkpoint of the log below `dir`, whose signature is not checked.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn head(dir: &Path) -> Result<Checkpoint, ReadError> {
    let bytes = checkpoint_bytes(dir)?;
    let note = Note::parse(&bytes).map_err(|error| unsigned(dir, error.into()))?;
    Checkpoint::parse(note.unverified_text()).map_err(|error| unsigned(dir, error.into()))
}

/// The latest checkpoint of the log below `dir`, signed by the trusted key.
fn signed_head(dir: &Path, trust: &Trust) -> Result<SignedCheckpoint, ReadError> {
    let bytes = checkpoint_bytes(dir)?;
    SignedCheckpoint::open(&bytes, trust).map_err(|error| unsigned(dir, error))
}

fn checkpoint_bytes(dir: &Path) -> Result<Vec<u8>, ReadError> {
    let path = dir.join(layout::CHECKPOINT);
    match layout::read_checkpoint(dir) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(ReadError::NoLog { path }),
        Err(source) => Err(ReadError::Io { path, source }),
    }
}

fn unsigned(dir: &Path, source: OpenCheckpointError) -> ReadError {
    ReadError::Checkpoint {
        path: dir.join(layout::CHECKPOINT),
        source,
    }
}

/// Trust in the log that a `vkey` names.
fn trust(vkey: &str) -> Result<Trust, ReadError> {
    let verifier = Verifier::parse(vkey.trim()).map_err(ReadError::Vkey)?;
    Trust::new(verifier).map_err(ReadError::VkeyType)
}

/// A log that cannot be read, or not be vouched for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no log.
    #[error("there is no log here: `{}` is missing", path.display())]
    NoLog {
        /// The checkpoint that should be there.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The checkpoint is malformed, or not signed by the key that was given.
    #[error("`{}` is not a checkpoint that this key vouches for", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        source: OpenCheckpointError,
    },
    /// The public key is malformed.
    #[error("the log's public key is malformed: it is the one line of `log.vkey`")]
    Vkey(#[source] KeyError),
    /// The public key is of another type.
    #[error("the log's public key cannot sign checkpoints")]
    VkeyType(#[source] TrustError),
    /// An entry cannot be found where the checkpoint says it is.
    #[error("entry {index} cannot be read: {why}; `kubestile audit verify` checks the whole log")]
    Entry {
        /// The entry.
        index: u64,
        /// Why.
        why: String,
    },
    /// An entry is no record that this release knows.
    #[error("entry {index} is not a record of this release")]
    Record {
        /// The entry.
        index: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// There is no such entry.
    #[error("the log has {size} entries: there is no entry {index}")]
    NoEntry {
        /// The entry asked for.
        index: u64,
        /// The size of the log.
        size: u64,
    },
    /// There is no such request.
    #[error("the log has no record of request `{0}`; a new one is sealed within a second")]
    NoRequest(RequestId),
    /// The log is smaller than it was.
    #[error("the log was cut: it had {had} entries and now has {has}")]
    Cut {
        /// Entries before.
        had: u64,
        /// Entries now.
        has: u64,
    },
    /// The tree does not agree with the checkpoint.
    #[error("the log does not agree with its checkpoint: {0}")]
    Tree(String),
    /// The proof does not show what it should.
    #[error("the proof does not hold")]
    Proof(#[source] ProofError),
    /// The entry is neither given nor in the proof.
    #[error("the proof does not carry its entry: give the entry's bytes, too")]
    NoProofEntry,
}

#[cfg(test)]
mod tests;
