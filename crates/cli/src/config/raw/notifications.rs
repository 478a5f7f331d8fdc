//! Messages to people.

use kubestile_outbound::notify::ChannelConfig;
use serde::{Deserialize, Serialize};

/// Messages to people: who waits for an approval, what became of it, which grants start and end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawNotifications {
    /// Where they go (docs/integrations.md). Default: nowhere.
    pub(crate) channels: Vec<ChannelConfig>,
}
