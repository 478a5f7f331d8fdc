//! The log of what was decided and done: every entry in a tree that is signed each second, so that
//! nobody, the gate included, can change or drop one unnoticed.
//!
//! In the order an entry travels:
//!
//! 1. [`append`]: it gets its index and is queued. A [`Receipt`](kubestile_core::Receipt) exists
//!    once it is durable (for reads: from the index on).
//! 2. `commit`: what is queued is written ahead and synced at once, many by one sync: durable.
//! 3. `seal`: bundles and tiles are written, then the signed checkpoint that covers them.
//! 4. [`read`], [`search`]: anybody who can read the directory reads and verifies, beside the
//!    running gate, without it or long after it.
//!
//! `recover` brings a log back after a crash through the same code that seals it. [`key`] is the
//! log's name and signing key.
//!
//! On disk, below the log's directory: `checkpoint`, `tile/…` and `tile/entries/…` as
//! <https://c2sp.org/tlog-tiles> has them; `wal/` with what is durable and not yet sealed; `tmp/`
//! for files on their way; `log.lock`. Whoever owns the machine can cut the log's end off, but not
//! unnoticed once a checkpoint has left the machine.

pub mod append;
mod commit;
mod disk;
mod error;
pub mod key;
mod layout;
pub mod read;
mod recover;
mod seal;
pub mod search;
mod wal;

pub use append::{AuditLog, Durability, Pending};
pub use error::{AuditError, DiskError, Failure, OpenError};
pub use key::{LogKey, LogKeyError};

#[cfg(test)]
mod testing;
