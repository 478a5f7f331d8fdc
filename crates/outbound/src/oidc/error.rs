//! Why a token is refused.

use crate::client::CallError;

/// Why a token is refused. Nothing in it repeats the token.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// It is not a signed token in the one form that is read.
    #[error("the token cannot be read: {0}")]
    Malformed(&'static str),
    /// It is signed in a way that is not accepted.
    #[error("the token's algorithm is not accepted: use RS256, PS256, ES256, or EdDSA")]
    Algorithm,
    /// Nobody configured its issuer.
    #[error("the token's issuer is not configured")]
    UnknownIssuer,
    /// The issuer's keys cannot be had.
    #[error("the keys of the issuer `{issuer}` cannot be fetched")]
    Unreachable {
        /// Its configured name.
        issuer: String,
        /// Why.
        source: CallError,
    },
    /// What the issuer publishes cannot be used.
    #[error("what the issuer `{issuer}` publishes cannot be used: {reason}")]
    Published {
        /// Its configured name.
        issuer: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The issuer has no such key.
    #[error("the token is signed with a key that its issuer does not publish")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the token's signature does not hold")]
    Signature,
    /// It is made out to somebody else, or to others too.
    #[error("the token is not made out to this gate alone: check its audience")]
    Audience,
    /// It is over.
    #[error("the token has expired")]
    Expired,
    /// It does not hold yet, or is from the future.
    #[error("the token does not hold yet")]
    NotYet,
    /// It lives too long.
    #[error("the token is made to live longer than the gate accepts")]
    TooLong,
}

impl OidcError {
    /// Whether asking again later can help with the same token.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Published { .. })
    }
}
