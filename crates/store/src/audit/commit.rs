//! The two threads of the log: one makes records durable, many by one sync; the other seals them.
//! Neither waits for the other, so a slow seal does not delay a request.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::{AuditError, DiskError, Failure, OpenError};
use super::seal::Sealer;
use super::wal::{Entry, MAX_BATCH, MAX_BATCH_BYTES, Wal};
use crate::lock::DirectoryLock;

/// As many records may wait for the disk.
const MAX_BACKLOG: usize = 65_536;
/// As many bytes of records may wait for the disk.
const MAX_BACKLOG_BYTES: usize = 64 << 20;
/// As many bytes of records may be held in memory until they are sealed.
const MAX_HELD_BYTES: usize = 256 << 20;
/// With so many bytes to seal, the interval is not waited for.
const SEAL_AT_BYTES: usize = 16 << 20;

/// How far the log is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Entries that are on the disk.
    pub(super) durable: u64,
    /// Entries that a signed checkpoint covers.
    pub(super) sealed: u64,
    /// Why nothing more will be durable.
    pub(super) failure: Option<Failure>,
    /// Both threads are gone and the directory is free.
    pub(super) finished: bool,
}

/// What appenders and the two threads share.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Something was pushed, or the log is to end.
    pushed: Condvar,
    /// Something was committed, or the log is to end.
    committed: Condvar,
    progress: watch::Sender<Progress>,
    last_sync_micros: AtomicU64,
}

#[derive(Default)]
struct Queue {
    /// The next index.
    next: u64,
    /// INVARIANT: these have the last indices before `next`, in order.
    waiting: Vec<Entry>,
    /// Entries that are not durable: `waiting`, and those being written.
    backlog: usize,
    backlog_bytes: usize,
    /// Durable entries that are not sealed, in order.
    unsealed: Vec<Entry>,
    unsealed_bytes: usize,
    /// Bytes of all entries that are not sealed.
    held_bytes: usize,
    closed: bool,
    failed: bool,
    /// Threads that may still write.
    running: u8,
    /// Given free by the last thread.
    lock: Option<DirectoryLock>,
    /// Handed to the sealing thread when nothing more will be written.
    finished_wal: Option<Wal>,
}

/// Starts the threads that append behind `wal` and seal with `sealer`.
pub(super) fn start(
    sealer: Sealer,
    wal: Wal,
    lock: DirectoryLock,
    seal_interval: Duration,
) -> Result<Arc<Shared>, OpenError> {
    let size = sealer.size();
    let progress = Progress {
        durable: size,
        sealed: size,
        ..Progress::default()
    };
    let queue = Queue {
        next: size,
        running: 2,
        lock: Some(lock),
        ..Queue::default()
    };
    let shared = Arc::new(Shared {
        queue: Mutex::new(queue),
        pushed: Condvar::new(),
        committed: Condvar::new(),
        progress: watch::Sender::new(progress),
        last_sync_micros: AtomicU64::new(0),
    });
    let for_commit = Arc::clone(&shared);
    spawn("audit-commit", move || for_commit.commit_all(wal))?;
    let for_seal = Arc::clone(&shared);
    let sealing = spawn("audit-seal", move || {
        for_seal.seal_all(sealer, seal_interval);
    });
    match sealing {
        Ok(()) => Ok(shared),
        Err(error) => {
            shared.close();
            Err(error)
        }
    }
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(|source| io_error(name, source))
}

fn io_error(name: &'static str, source: io::Error) -> OpenError {
    OpenError::Disk(DiskError::io("start", name.as_ref())(source))
}

impl Shared {
    /// Gives an entry its index and queues it.
    pub(super) fn push(&self, entry: Entry) -> Result<u64, AuditError> {
        let mut queue = self.lock();
        if queue.failed {
            return Err(self.failure());
        }
        if queue.closed {
            return Err(AuditError::Closed);
        }
        let bytes = entry.bytes.len();
        if queue.backlog >= MAX_BACKLOG
            || queue.backlog_bytes + bytes > MAX_BACKLOG_BYTES
            || queue.held_bytes + bytes > MAX_HELD_BYTES
        {
            return Err(AuditError::Backlog);
        }
        let index = queue.next;
        queue.next += 1;
        queue.backlog += 1;
        queue.backlog_bytes += bytes;
        queue.held_bytes += bytes;
        let first = queue.waiting.is_empty();
        queue.waiting.push(entry);
        drop(queue);
        if first {
            self.pushed.notify_one();
        }
        Ok(index)
    }

    /// Takes no more entries.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.pushed.notify_one();
        self.committed.notify_one();
    }

    /// How far the log is, now and later.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// How many indices have been given out.
    pub(super) fn size(&self) -> u64 {
        self.lock().next
    }

    /// How long the last write and sync took.
    pub(super) fn last_sync_micros(&self) -> u64 {
        self.last_sync_micros.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> AuditError {
        match &self.progress.borrow().failure {
            Some(failure) => AuditError::Failed(failure.clone()),
            None => AuditError::Closed,
        }
    }

    /// Nothing more will be durable. The first reason stays.
    fn fail(&self, error: DiskError) {
        tracing::error!(%error, "the audit log failed: no request is answered from now on");
        let failure = Failure::from(error);
        let mut queue = self.lock();
        queue.failed = true;
        self.progress.send_modify(|progress| {
            progress.failure.get_or_insert(failure);
        });
        drop(queue);
        self.pushed.notify_one();
        self.committed.notify_one();
    }
}

/// The committing thread.
impl Shared {
    fn commit_all(&self, mut wal: Wal) {
        let _running = Running(self);
        while let Some(batch) = self.next_batch() {
            if let Err(error) = self.commit(&mut wal, batch) {
                self.fail(error);
                return;
            }
        }
        self.lock().finished_wal = Some(wal);
        self.committed.notify_one();
    }

    /// The next entries to be written; `None` when there will be none.
    fn next_batch(&self) -> Option<Vec<Entry>> {
        let mut queue = self.lock();
        while queue.waiting.is_empty() && !queue.closed && !queue.failed {
            queue = wait(&self.pushed, queue);
        }
        if queue.failed || queue.waiting.is_empty() {
            return None;
        }
        let count = batch_len(&queue.waiting);
        if count == queue.waiting.len() {
            return Some(std::mem::take(&mut queue.waiting));
        }
        let rest = queue.waiting.split_off(count);
        Some(std::mem::replace(&mut queue.waiting, rest))
    }

    fn commit(&self, wal: &mut Wal, batch: Vec<Entry>) -> Result<(), DiskError> {
        let started = Instant::now();
        wal.append(&batch)?;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_sync_micros.store(micros, Ordering::Relaxed);
        self.progress.send_modify(|p| p.durable = wal.next());
        self.hand_on(batch);
        let sealed = self.progress.borrow().sealed;
        wal.trim(sealed)
    }

    fn hand_on(&self, batch: Vec<Entry>) {
        let bytes: usize = batch.iter().map(|entry| entry.bytes.len()).sum();
        let mut queue = self.lock();
        queue.backlog = queue.backlog.saturating_sub(batch.len());
        queue.backlog_bytes = queue.backlog_bytes.saturating_sub(bytes);
        queue.unsealed_bytes += bytes;
        queue.unsealed.extend(batch);
        drop(queue);
        self.committed.notify_one();
    }
}

/// The sealing thread.
impl Shared {
    fn seal_all(&self, mut sealer: Sealer, interval: Duration) {
        let _running = Running(self);
        if let Err(error) = self.seal_until_closed(&mut sealer, interval) {
            self.fail(error);
        }
    }

    fn seal_until_closed(&self, sealer: &mut Sealer, interval: Duration) -> Result<(), DiskError> {
        let mut last = Instant::now();
        loop {
            let (entries, wal) = self.next_unsealed(last + interval);
            last = Instant::now();
            if !entries.is_empty() {
                self.seal(sealer, &entries)?;
            }
            if let Some(wal) = wal {
                return wal.finish(sealer.sealed());
            }
            if self.lock().failed {
                return Ok(());
            }
        }
    }

    /// What is to be sealed next, not before `due` unless it is much or the last. With the last
    /// comes the write-ahead file.
    fn next_unsealed(&self, due: Instant) -> (Vec<Entry>, Option<Wal>) {
        let mut queue = self.lock();
        while !queue.failed && queue.finished_wal.is_none() {
            let left = due.saturating_duration_since(Instant::now());
            if queue.unsealed.is_empty() {
                queue = wait(&self.committed, queue);
            } else if left.is_zero() || queue.unsealed_bytes >= SEAL_AT_BYTES {
                break;
            } else {
                queue = wait_for(&self.committed, queue, left);
            }
        }
        queue.unsealed_bytes = 0;
        let entries = std::mem::take(&mut queue.unsealed);
        (entries, queue.finished_wal.take())
    }

    fn seal(&self, sealer: &mut Sealer, entries: &[Entry]) -> Result<(), DiskError> {
        let mut sealing = sealer.begin();
        for entry in entries {
            sealing.add(entry)?;
        }
        sealing.finish()?;
        let bytes: usize = entries.iter().map(|entry| entry.bytes.len()).sum();
        {
            let mut queue = self.lock();
            queue.held_bytes = queue.held_bytes.saturating_sub(bytes);
        }
        self.progress.send_modify(|p| p.sealed = sealer.sealed());
        Ok(())
    }
}

/// A thread that may write. When it dies the log fails, so that nobody waits for ever; when the last
/// one ends, the directory is free.
struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(DiskError::Stopped);
        }
        let mut queue = self.0.lock();
        queue.running = queue.running.saturating_sub(1);
        if queue.running == 0 {
            queue.finished_wal = None;
            queue.lock = None;
            drop(queue);
            self.0.progress.send_modify(|p| p.finished = true);
        }
    }
}

/// How many of the first entries go into one batch: at least one.
fn batch_len(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        let fits = bytes < MAX_BATCH_BYTES;
        bytes += entry.bytes.len();
        fits
    };
    entries.iter().take(MAX_BATCH).take_while(fits).count()
}

fn wait<'a>(condvar: &Condvar, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
    condvar.wait(queue).unwrap_or_else(PoisonError::into_inner)
}

fn wait_for<'a>(
    condvar: &Condvar,
    queue: MutexGuard<'a, Queue>,
    time: Duration,
) -> MutexGuard<'a, Queue> {
    let waited = condvar.wait_timeout(queue, time);
    waited.unwrap_or_else(PoisonError::into_inner).0
}
