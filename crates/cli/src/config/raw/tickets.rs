//! Tickets that grants hang on.

use kubestile_core::Ttl;
use kubestile_outbound::ticket::TicketConfig;
use serde::{Deserialize, Serialize};

use super::span;

/// Tickets that grants hang on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTickets {
    /// The systems that tickets live in (docs/integrations.md). Default: none, and a ticket is a note.
    pub(crate) systems: Vec<TicketConfig>,
    /// How long a system may give no clear answer before the grants that hang on its tickets end. Default
    /// `10m`; `1m` to `12h`.
    pub(crate) silence: Option<String>,
}

impl RawTickets {
    pub(super) fn silence(&self) -> Result<Ttl, String> {
        let silence = span("tickets.silence", self.silence.as_deref(), 600, 60, 43_200)?;
        Ok(Ttl::from_secs(
            u32::try_from(silence.as_secs()).unwrap_or(600),
        ))
    }
}
