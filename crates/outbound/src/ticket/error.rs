//! Why there is no clear answer about a ticket.

use kubestile_core::Ttl;

use crate::client::CallError;
use crate::file::FileError;

/// Why nothing can be said about a ticket. In every case there is no grant.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// No system of this name is configured (any more).
    #[error("no ticket system named `{system}` is configured")]
    Unknown {
        /// The name.
        system: String,
    },
    /// The system does not answer, or what it says is no HTTP.
    #[error("the ticket system `{system}` cannot be asked")]
    Unreachable {
        /// Which.
        system: String,
        /// Why.
        source: CallError,
    },
    /// Our credential for the system cannot be read.
    #[error("the gate's credential for the ticket system `{system}` cannot be read")]
    Credential {
        /// Which.
        system: String,
        /// Why.
        source: FileError,
    },
    /// 401: our credential is not accepted.
    #[error("the ticket system `{system}` does not accept the gate's credential (401)")]
    Unauthorized {
        /// Which.
        system: String,
    },
    /// 403: our credential may not read the ticket.
    #[error("the gate may not read this ticket in `{system}` (403)")]
    Forbidden {
        /// Which.
        system: String,
    },
    /// There is no such ticket, or our credential may not see it.
    #[error("`{system}` knows no such ticket, or the gate may not see it")]
    NotFound {
        /// Which.
        system: String,
    },
    /// Too many calls.
    #[error("the ticket system `{system}` asks to wait (too many calls)")]
    RateLimited {
        /// Which.
        system: String,
        /// How long, if it said so.
        retry_after: Option<Ttl>,
    },
    /// 5xx.
    #[error("the ticket system `{system}` fails ({status})")]
    Server {
        /// Which.
        system: String,
        /// HTTP status.
        status: u16,
        /// How long to wait, if it said so.
        retry_after: Option<Ttl>,
    },
    /// The answer is not what the API's documentation says.
    #[error("the answer of the ticket system `{system}` cannot be used: {reason}")]
    Unexpected {
        /// Which.
        system: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The ticket does not say what it is about, or says it in a way that cannot be read.
    #[error("the ticket does not say which {what} it is for: {reason}")]
    Scope {
        /// `namespaces` or `cluster`.
        what: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

impl TicketError {
    /// How long the system asks to wait before it is asked again.
    pub fn retry_after(&self) -> Option<Ttl> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Whether asking again later can help without anybody changing the ticket or a configuration.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::RateLimited { .. } | Self::Server { .. }
        )
    }
}
