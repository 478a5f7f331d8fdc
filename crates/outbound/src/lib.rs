//! Calls that the gate makes to other people's services, all of them through one small, bounded HTTPS
//! [`client`]:
//!
//! - [`ticket`]: does the ticket that a grant hangs on exist, is it open, does it name the person?
//! - [`notify`]: messages to people about requests that wait, and what became of them.
//! - [`oidc`]: keys of the issuers whose pipeline tokens are accepted, and the verification of those
//!   tokens.
//!
//! What is absent on purpose: no redirect is ever followed, no proxy is used, no credential, path or
//! query of a foreign service appears in an error, and no answer of a foreign service that is late,
//! large, missing or odd means "yes".

pub mod client;
mod clock;
pub mod file;
mod glob;
mod line;
pub mod notify;
pub mod oidc;
mod signature;
#[cfg(test)]
mod testing;
pub mod ticket;

pub use file::FileError;
