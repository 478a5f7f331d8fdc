//! Signed messages from ticket systems. One means only "look again": what the ticket says is then asked
//! of its system, so a forged message costs one question and changes nothing.

use http::HeaderMap;
use kubestile_core::Timestamp;

use super::TicketId;
use super::config::System;

/// A ticket may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which one to look at again.
    pub ticket: TicketId,
}

/// Why a message is not taken. To its sender all are the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No message is expected from this system.
    #[error("no webhook is configured for this system")]
    NotConfigured,
    /// The secret cannot be read.
    #[error("the secret of the webhook cannot be read")]
    Secret,
    /// It is not signed with the secret.
    #[error("the message is not signed as configured")]
    Signature,
    /// It is from another time, or came before.
    #[error("the message is too old, from the future, or has come before")]
    Replay,
    /// It is too large.
    #[error("the message is too large")]
    TooLarge,
    /// It is signed, but about no ticket that counts.
    #[error("the message is about no ticket that counts here")]
    NoTicket,
}

#[derive(Default)]
pub(crate) struct Replays;

pub(super) fn event(
    _system: &System,
    _headers: &HeaderMap,
    _body: &[u8],
    _now: Timestamp,
) -> Result<Event, WebhookError> {
    Err(WebhookError::NotConfigured)
}
