//! One login's lifetime, as a value: what it is, and until when it holds.

use serde::{Deserialize, Serialize};

use crate::identity::{Assurance, Identity};
use crate::ids::SessionId;
use crate::time::Timestamp;

/// A session as the store keeps it. The certificate proves a key; this is what is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id; also the extra key `kubestile.dev/session` upstream.
    pub id: SessionId,
    /// Who logged in, as of the login. Job functions are looked up afresh on every request.
    pub identity: Identity,
    /// How strongly the person proved who they are.
    pub assurance: Assurance,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that the client made; lower-case hex.
    pub key_digest: String,
    /// What the client said of itself (`kubestile 0.1 on laptop`): a hint, never trusted.
    pub client: String,
    /// When the login took place.
    pub created: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
    /// Set when it was ended before that.
    pub ended: Option<Ended>,
}

/// When and why a session was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Why, in words that the person is shown.
    pub reason: EndReason,
}

/// Why a session no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The person logged out.
    LoggedOut,
    /// Its time was up.
    Expired,
    /// Somebody with the right to do so ended it; the text says who and why.
    EndedBy(String),
    /// The person was removed or disabled.
    PersonRemoved,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoggedOut => f.write_str("the person logged out"),
            Self::Expired => f.write_str("the session expired"),
            Self::EndedBy(who) => write!(f, "the session was ended by {who}"),
            Self::PersonRemoved => f.write_str("the person was removed"),
        }
    }
}

impl Session {
    /// Whether the session holds at `now`, and if not, why not.
    ///
    /// # Errors
    /// The reason why it no longer holds.
    pub fn check(&self, now: Timestamp) -> Result<(), EndReason> {
        match &self.ended {
            Some(ended) => Err(ended.reason.clone()),
            None if now >= self.expires => Err(EndReason::Expired),
            None => Ok(()),
        }
    }

    /// Ends the session; the first reason stays.
    #[must_use]
    pub fn end(mut self, reason: EndReason, now: Timestamp) -> Self {
        if self.ended.is_none() {
            self.ended = Some(Ended { at: now, reason });
        }
        self
    }
}
