//! The control plane (in NIST SP 800-207's words the policy administrator): login, renewal and end of
//! sessions for people, on the gate's own listener, and the administration of people, codes, sessions
//! and clusters for whoever holds the gate's Unix socket.
//!
//! It knows nothing of the gateway: the two meet in the store. Its wire types are in [`api`], for the
//! command line to share.
//!
//! Every change is in the log before it takes effect, and is not made if it cannot be written there,
//! with one exception: taking trust away (logout, the end of a session, the removal of a person) goes
//! on when the log fails, and the answer says so. Whoever can fill a disk must not be able to keep a
//! stolen session alive.

mod access;
pub mod api;
mod caller;
mod clusters;
mod error;
mod facts;
mod grants;
mod imports;
mod journal;
mod json;
mod keeper;
mod limiter;
mod login;
mod news;
mod outside;
mod people;
mod pipelines;
mod renew;
mod router;
mod sessions;
mod socket;
mod state;
mod status;
mod tickets;
mod token;
mod web;

pub use error::ApiError;
pub use keeper::keep;
pub use outside::{Outside, OutsideConfig, OutsideError};
pub use router::{admin_router, router};
pub use socket::{AdminSocket, serve_admin};
pub use state::{
    Clock, ClusterChange, ClusterHook, ControlState, HoldWords, PolicyHook, Settings, StatusHook,
};

#[cfg(test)]
mod tests;
