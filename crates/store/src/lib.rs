//! What outlives a request: people, login codes, sessions, tokens and clusters in SQLite
//! ([`Store`]), and the tamper-evident log of what they did ([`audit`]).
//!
//! Both follow the same rule: a change is durable first and visible second. What every request
//! reads is in memory; SQL is on no request's path.
//!
//! One process owns a directory at a time: see [`StoreError::Locked`].

pub mod audit;
mod error;
mod lock;
mod state;

pub use error::StoreError;
pub use lock::LockError;
pub use state::{
    ClusterRecord, GrantChange, ImportRecord, Imports, RequestHandle, SessionHandle, Store,
    TokenRecord,
};
