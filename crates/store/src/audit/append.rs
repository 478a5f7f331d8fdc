//! Appending: an index at once, durability for many records by one sync, and the [`Receipt`] that
//! says so.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kubestile_core::event::Record;
use kubestile_core::{Receipt, RequestId};
use tokio::sync::watch;

use super::commit::{self, Fate, Shared};
use super::disk::{Disk, RealDisk};
use super::error::{AuditError, DiskError, Failure, OpenError};
use super::key::LogKey;
use super::recover::{Recovered, recover};
use super::wal::Entry;
use crate::lock::DirectoryLock;

/// The log, open for appending. Cheap to clone; all clones are the same log.
///
/// Without [`AuditLog::close`], the last clone's end closes it, too, but nobody waits for that.
#[derive(Clone)]
pub struct AuditLog {
    handle: Arc<Handle>,
}

/// Closes the log when the last clone of it is gone.
struct Handle {
    shared: Arc<Shared>,
    key: LogKey,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl AuditLog {
    /// Opens the log below `dir`, which is made if it is not there, and owns it until it is closed.
    ///
    /// What a crash left behind is sealed first. It blocks while it reads and writes.
    ///
    /// # Errors
    /// [`OpenError`], if the log belongs to another process, or if appending to it could lose,
    /// repeat or contradict a record that was acknowledged.
    pub fn open(dir: &Path, key: LogKey) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk), dir, key, SEAL_INTERVAL)
    }

    /// The same on any disk, sealing as often as asked.
    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        key: LogKey,
        seal_interval: Duration,
    ) -> Result<Self, OpenError> {
        let lock = DirectoryLock::take(dir, "log.lock")?;
        let Recovered { sealer, wal } = recover(disk, dir, &key)?;
        let shared = commit::start(sealer, wal, lock, seal_interval)?;
        Ok(Self {
            handle: Arc::new(Handle { shared, key }),
        })
    }

    /// Gives the record the next index and leaves it to be written. It never waits for the disk.
    ///
    /// The record stays in the log whether or not anybody waits for the [`Pending`].
    ///
    /// # Errors
    /// [`AuditError::Backlog`] if too much is waiting already: nothing may be forwarded then.
    pub fn append(&self, request: RequestId, record: &Record) -> Result<Pending, AuditError> {
        let (index, durability) = self.push(record, true)?;
        Ok(Pending {
            request,
            index,
            durability,
        })
    }

    /// The same for a record of no request: a change of sessions or of the gate's own state.
    ///
    /// # Errors
    /// As [`AuditLog::append`]: then nothing may be changed.
    pub fn append_change(&self, record: &Record) -> Result<Durability, AuditError> {
        self.push(record, true).map(|(_, durability)| durability)
    }

    /// The same for a record that nobody waits for, as that of a request's end. It shares the sync of
    /// the next record that somebody waits for, or has its own some milliseconds later.
    ///
    /// # Errors
    /// As [`AuditLog::append`].
    pub fn append_later(&self, record: &Record) -> Result<(), AuditError> {
        self.push(record, false).map(drop)
    }

    fn push(&self, record: &Record, awaited: bool) -> Result<(u64, Durability), AuditError> {
        // Most of the work, done before the lock.
        let entry = Entry::new(record.canonical_bytes()?);
        let (index, fate) = self.shared().push(entry, awaited)?;
        Ok((index, Durability { fate }))
    }

    /// Pends until a signed checkpoint covers the first `size` entries, which takes about a second.
    ///
    /// # Errors
    /// If the log fails or is closed before that.
    pub async fn sealed_to(&self, size: u64) -> Result<(), AuditError> {
        let mut progress = self.shared().progress();
        let reached = progress
            .wait_for(|p| p.sealed >= size || p.failure.is_some() || p.finished)
            .await
            .map_err(|_| AuditError::Closed)?;
        match (&reached.failure, reached.sealed >= size) {
            (_, true) => Ok(()),
            (Some(failure), _) => Err(AuditError::Failed(failure.clone())),
            (None, _) => Err(AuditError::Closed),
        }
    }

    /// Takes no more records, waits until all are durable and sealed, and gives the directory free.
    ///
    /// # Errors
    /// If the log has failed, now or before.
    pub async fn close(self) -> Result<(), AuditError> {
        self.shared().close();
        let mut progress = self.shared().progress();
        let finished = progress
            .wait_for(|p| p.finished)
            .await
            .map_err(|_| AuditError::Closed)?;
        match &finished.failure {
            Some(failure) => Err(AuditError::Failed(failure.clone())),
            None => Ok(()),
        }
    }

    /// Why the log takes no more records, if it has failed: the gate is not ready then.
    pub fn failed(&self) -> Option<Failure> {
        self.shared().progress().borrow().failure.clone()
    }

    /// How many indices have been given out.
    pub fn size(&self) -> u64 {
        self.shared().size()
    }

    /// How many entries are durable.
    pub fn durable(&self) -> u64 {
        self.shared().progress().borrow().durable
    }

    /// How many entries the latest signed checkpoint covers.
    pub fn sealed(&self) -> u64 {
        self.shared().progress().borrow().sealed
    }

    /// How many records wait to become durable.
    pub fn backlog(&self) -> u64 {
        self.size().saturating_sub(self.durable())
    }

    /// How long the last write and sync took, in microseconds.
    pub fn last_sync_micros(&self) -> u64 {
        self.shared().last_sync_micros()
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        self.handle.key.origin()
    }

    /// The public key as auditors are given it.
    pub fn vkey(&self) -> String {
        self.handle.key.vkey()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.shared().progress();
        let progress = progress.borrow();
        write!(f, "AuditLog({}, {progress:?})", self.handle.key.origin())
    }
}

/// A record that has its index and may not be durable yet.
#[derive(Debug)]
#[must_use = "nothing may be forwarded before the record is durable"]
pub struct Pending {
    request: RequestId,
    index: u64,
    durability: Durability,
}

impl Pending {
    /// Waits until the record is durable, and proves it. For all that has an effect. It waits as long
    /// as the disk takes: a time limit is the caller's.
    ///
    /// # Errors
    /// If the log failed: then nothing may be forwarded.
    pub async fn durable(self) -> Result<Receipt, AuditError> {
        let receipt = Receipt::assertion(self.request, self.index);
        self.durability.wait().await?;
        Ok(receipt)
    }

    /// The receipt now, and durability to be waited for before the last byte of the answer goes out.
    /// For reads only.
    pub fn early(self) -> (Receipt, Durability) {
        let receipt = Receipt::assertion(self.request, self.index);
        (receipt, self.durability)
    }
}

/// Word that a record is durable.
#[derive(Debug)]
#[must_use = "an answer may not end before its record is durable"]
pub struct Durability {
    fate: watch::Receiver<Fate>,
}

impl Durability {
    /// Waits until the record is durable.
    ///
    /// # Errors
    /// If the log failed: then the answer is cut.
    pub async fn wait(mut self) -> Result<(), AuditError> {
        let known = self.fate.wait_for(|fate| !matches!(fate, Fate::Waiting));
        match known.await.as_deref() {
            Ok(Fate::Durable) => Ok(()),
            Ok(Fate::Failed(failure)) => Err(AuditError::Failed(failure.clone())),
            // Nobody is left to say so.
            Ok(Fate::Waiting) | Err(_) => Err(AuditError::Failed(DiskError::Stopped.into())),
        }
    }
}

/// The longest time between an entry's durability and the checkpoint that covers it.
const SEAL_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
