//! The two threads of the log: one makes records durable, many by one sync; the other seals them.
//! Neither waits for the other, so a slow seal does not delay a request.

use std::collections::VecDeque;
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

/// What became of a batch. Who waits for a record waits for its batch, and is woken once.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It is not on the disk.
    Waiting,
    /// It is on the disk.
    Durable,
    /// It will never be known to be on the disk.
    Failed(Failure),
}

/// So long a record that nobody waits for may wait for one that somebody waits for, and share its sync.
const LINGER: Duration = Duration::from_millis(5);

/// Entries that become durable by one sync.
struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
    /// Somebody waits for one of them.
    awaited: bool,
    /// When the first of them came.
    since: Instant,
    fate: watch::Sender<Fate>,
}

impl Batch {
    fn new() -> Self {
        Self {
            entries: Vec::new(),
            bytes: 0,
            awaited: false,
            since: Instant::now(),
            fate: watch::Sender::new(Fate::Waiting),
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_BATCH || self.bytes >= MAX_BATCH_BYTES
    }
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
    /// INVARIANT: their entries have the last indices before `next`, in order; none is empty.
    waiting: VecDeque<Batch>,
    /// Entries that are not durable: `waiting`, and those being written.
    backlog: usize,
    backlog_bytes: usize,
    /// Durable entries that are not sealed, in order, by batch.
    unsealed: Vec<Vec<Entry>>,
    unsealed_bytes: usize,
    /// Bytes of all entries that are not sealed.
    held_bytes: usize,
    closed: bool,
    failed: bool,
    /// What the committing thread does.
    committing: Committing,
    /// Threads that may still write.
    running: u8,
    /// Given free by the last thread.
    lock: Option<DirectoryLock>,
    /// Handed to the sealing thread when nothing more will be written.
    finished_wal: Option<Wal>,
}

/// What the committing thread does: to wake it costs more than all else that is done for a record.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Committing {
    /// It will look at the queue before it sleeps.
    #[default]
    Awake,
    /// It wakes by itself when [`LINGER`] is over.
    Dozing,
    /// It sleeps until it is woken.
    Asleep,
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
    /// Gives an entry its index and queues it; with the index comes word of its batch.
    /// An entry that is not `awaited` may linger a little.
    pub(super) fn push(
        &self,
        entry: Entry,
        awaited: bool,
    ) -> Result<(u64, watch::Receiver<Fate>), AuditError> {
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
        let fate = queue.enqueue(entry, awaited);
        let wake = queue.wakes_for(awaited);
        drop(queue);
        if wake {
            self.pushed.notify_one();
        }
        Ok((index, fate))
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

    /// Nothing more will be durable. The first reason stays, and is returned.
    fn fail(&self, error: DiskError) -> Failure {
        tracing::error!(%error, "the audit log failed: no request is answered from now on");
        let mut failure = Failure::from(error);
        let mut queue = self.lock();
        queue.failed = true;
        let waiting = std::mem::take(&mut queue.waiting);
        self.progress.send_modify(|progress| {
            failure = progress.failure.get_or_insert(failure.clone()).clone();
        });
        drop(queue);
        for batch in waiting {
            batch.fate.send_replace(Fate::Failed(failure.clone()));
        }
        self.pushed.notify_one();
        self.committed.notify_one();
        failure
    }
}

impl Queue {
    /// How long the first batch may wait still, having nobody who waits for it; zero if it may not.
    fn lingers(&self) -> Duration {
        match self.waiting.front() {
            Some(batch) if self.waiting.len() > 1 || batch.awaited || batch.is_full() => {
                Duration::ZERO
            }
            Some(batch) => LINGER.saturating_sub(batch.since.elapsed()),
            None => LINGER,
        }
    }

    /// Whether the committing thread must be woken for an entry just queued. Once is enough.
    fn wakes_for(&mut self, awaited: bool) -> bool {
        let wake = match self.committing {
            Committing::Awake => false,
            Committing::Dozing => awaited || self.waiting.len() > 1,
            Committing::Asleep => true,
        };
        if wake {
            self.committing = Committing::Awake;
        }
        wake
    }

    fn enqueue(&mut self, entry: Entry, awaited: bool) -> watch::Receiver<Fate> {
        if self.waiting.back().is_none_or(Batch::is_full) {
            self.waiting.push_back(Batch::new());
        }
        match self.waiting.back_mut() {
            Some(batch) => {
                batch.bytes += entry.bytes.len();
                batch.entries.push(entry);
                batch.awaited |= awaited;
                batch.fate.subscribe()
            }
            // There is one by now; without it the entry would be lost, and whoever waits hears so.
            None => watch::Sender::new(Fate::Waiting).subscribe(),
        }
    }
}

/// The committing thread.
impl Shared {
    fn commit_all(&self, mut wal: Wal) {
        let _running = Running(self);
        while let Some(batch) = self.next_batch() {
            let fate = batch.fate.clone();
            if let Err(error) = self.commit(&mut wal, batch) {
                let failure = self.fail(error);
                fate.send_if_modified(|fate| {
                    let unknown = matches!(fate, Fate::Waiting);
                    if unknown {
                        *fate = Fate::Failed(failure);
                    }
                    unknown
                });
                return;
            }
        }
        self.lock().finished_wal = Some(wal);
        self.committed.notify_one();
    }

    /// The next entries to be written; `None` when there will be none.
    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.lock();
        let mut dozed = false;
        while !queue.closed && !queue.failed {
            let left = queue.lingers();
            if left.is_zero() {
                break;
            }
            // After a request's decision comes its completion, for which this thread is then not woken.
            if queue.waiting.is_empty() && dozed {
                queue.committing = Committing::Asleep;
                queue = wait(&self.pushed, queue);
            } else {
                queue.committing = Committing::Dozing;
                queue = wait_for(&self.pushed, queue, left);
                dozed = true;
            }
        }
        queue.committing = Committing::Awake;
        queue.waiting.pop_front()
    }

    fn commit(&self, wal: &mut Wal, batch: Batch) -> Result<(), DiskError> {
        let started = Instant::now();
        wal.append(&batch.entries)?;
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_sync_micros.store(micros, Ordering::Relaxed);
        self.progress.send_modify(|p| p.durable = wal.next());
        batch.fate.send_replace(Fate::Durable);
        self.hand_on(batch);
        let sealed = self.progress.borrow().sealed;
        wal.trim(sealed)
    }

    fn hand_on(&self, batch: Batch) {
        let mut queue = self.lock();
        queue.backlog = queue.backlog.saturating_sub(batch.entries.len());
        queue.backlog_bytes = queue.backlog_bytes.saturating_sub(batch.bytes);
        let sealed_so_far = queue.unsealed.is_empty();
        let enough = queue.unsealed_bytes >= SEAL_AT_BYTES;
        queue.unsealed_bytes += batch.bytes;
        let news = !enough && queue.unsealed_bytes >= SEAL_AT_BYTES;
        queue.unsealed.push(batch.entries);
        drop(queue);
        // Else the other thread sleeps until a time that is known already.
        if sealed_so_far || news {
            self.committed.notify_one();
        }
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
    fn next_unsealed(&self, due: Instant) -> (Vec<Vec<Entry>>, Option<Wal>) {
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

    fn seal(&self, sealer: &mut Sealer, batches: &[Vec<Entry>]) -> Result<(), DiskError> {
        let mut sealing = sealer.begin();
        let mut bytes = 0;
        for entry in batches.iter().flatten() {
            sealing.add(entry)?;
            bytes += entry.bytes.len();
        }
        sealing.finish()?;
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
