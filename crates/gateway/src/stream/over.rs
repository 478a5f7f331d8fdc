//! Why a stream may not go on.

use std::fmt;

use kubestile_core::session::EndReason;

use crate::refusal::Refusal;

/// What the end of a stream's trust came from, and why in words for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// The session was ended, or expired.
    Session(String),
    /// It would not be allowed any more: a grant, a job function or a policy.
    Access(String),
    /// The gate shuts down.
    Shutdown,
}

impl Over {
    /// The word for it in a completion's `end`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Session(_) => "session-ended",
            Self::Access(_) => "access-ended",
            Self::Shutdown => "shutdown",
        }
    }

    /// The `reason` of the `Status` that tells the client.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Session(_) => "SessionEnded",
            Self::Access(_) => "AccessEnded",
            Self::Shutdown => "GateShutdown",
        }
    }

    /// The refusal of a stream whose trust ended before it was open.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Session(why) => {
                Refusal::unauthenticated(&format!("{why}: run `kubestile login`"))
            }
            Self::Access(why) => Refusal::access_ended(why),
            Self::Shutdown => Refusal::unavailable(&self.to_string()),
        }
    }
}

impl From<EndReason> for Over {
    fn from(reason: EndReason) -> Self {
        Self::Session(reason.to_string())
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(why) | Self::Access(why) => f.write_str(why),
            Self::Shutdown => f.write_str("the gate is shutting down"),
        }
    }
}
