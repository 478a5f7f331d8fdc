//! The state: SQLite below, memory above.
//!
//! A change goes through one writer connection: it is checked against memory, committed, and only
//! then published to memory, all while the writer is held. So memory is never ahead of the disk,
//! and what two changes leave behind does not depend on who was faster. The work runs in a task of
//! its own: a caller that goes away half-way (a closed connection) cannot leave a change committed
//! but not published.

mod access;
mod clusters;
mod codes;
mod database;
mod grants;
mod imports;
mod people;
mod sessions;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kubestile_core::{
    AccessId, AccessRequest, ClusterName, Grant, GrantId, Identity, PersonId, SessionId,
};
use sqlx::SqliteConnection;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::error::StoreError;
use crate::lock::DirectoryLock;
use sessions::SessionEntry;

pub use access::RequestHandle;
pub use clusters::ClusterRecord;
pub use grants::GrantChange;
pub use imports::{ImportRecord, Imports};
pub use sessions::SessionHandle;
pub use tokens::TokenRecord;

/// People, login codes, sessions, tokens, clusters, access requests and grants. Cheap to clone; all clones are the same store.
///
/// Secrets at rest: the clusters' tokens, in the clear, in `state.db`, which only its owner can read
/// (0600, as the write-ahead file beside it). Of login codes and bearer tokens only digests are kept.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    memory: RwLock<Memory>,
    /// INVARIANT: whoever publishes to `memory` holds this.
    writer: Mutex<SqliteConnection>,
    /// Held by whoever changes imports.
    importing: Arc<Mutex<()>>,
    /// Counts changes of what people may do.
    rights: watch::Sender<u64>,
    /// Counts changes of access requests.
    asked: watch::Sender<u64>,
    /// What a restart has withdrawn, until somebody asks.
    left: std::sync::Mutex<Vec<Arc<AccessRequest>>>,
    _lock: DirectoryLock,
}

/// What requests read.
#[derive(Default)]
struct Memory {
    people: HashMap<PersonId, Arc<Identity>>,
    /// By name in lower case.
    names: HashMap<String, PersonId>,
    sessions: HashMap<SessionId, SessionEntry>,
    tokens: HashMap<[u8; 32], TokenRecord>,
    clusters: BTreeMap<ClusterName, ClusterRecord>,
    requests: access::Requests,
    requests_of: HashMap<PersonId, Vec<AccessId>>,
    grants: HashMap<GrantId, Arc<Grant>>,
    grants_of: HashMap<PersonId, Vec<GrantId>>,
}

impl Store {
    /// Opens the state in `dir`, which is made (0700) if it is not there, and owns the directory
    /// until the last clone is dropped.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process owns it; the others if the database cannot be read.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(dir, "lock")?;
        let mut connection = database::open(&dir.join("state.db")).await?;
        let (memory, left) = Memory::load(&mut connection).await?;
        let inner = Inner {
            memory: RwLock::new(memory),
            writer: Mutex::new(connection),
            importing: Arc::default(),
            rights: watch::Sender::new(0),
            asked: watch::Sender::new(0),
            left: std::sync::Mutex::new(left),
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl Memory {
    /// The memory, and the access requests whose clients a restart has cut off.
    async fn load(
        connection: &mut SqliteConnection,
    ) -> Result<(Self, Vec<Arc<AccessRequest>>), StoreError> {
        let mut memory = Self::default();
        people::load(&mut memory, connection).await?;
        sessions::load(&mut memory, connection).await?;
        tokens::load(&mut memory, connection).await?;
        clusters::load(&mut memory, connection).await?;
        let left = access::load(&mut memory, connection).await?;
        grants::load(&mut memory, connection).await?;
        Ok((memory, left))
    }
}

impl Inner {
    /// Memory for reading. A poisoned lock is used as it is: nothing panics while holding it.
    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for publishing; the guard of the writer shows that the caller may.
    fn publish(&self, _writer: &Writer<'_>) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells open streams that what somebody may do has changed.
    fn rights_changed(&self) {
        self.rights.send_modify(|count| *count += 1);
    }

    async fn writer(&self) -> Writer<'_> {
        self.writer.lock().await
    }
}

type Writer<'a> = MutexGuard<'a, SqliteConnection>;

/// Runs a change to its end, even if the caller stops waiting for it.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(change)
        .await
        .unwrap_or(Err(StoreError::Stopped))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self.inner.read();
        f.debug_struct("Store")
            .field("people", &memory.people.len())
            .field("sessions", &memory.sessions.len())
            .field("tokens", &memory.tokens.len())
            .field("clusters", &memory.clusters.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
