//! How requests are held that need an approval.

use std::collections::BTreeMap;

use kubestile_core::Ttl;
use kubestile_gateway::{HoldMode, Holds};
use serde::{Deserialize, Serialize};

use super::span;

/// How requests are held that need an approval.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawHolds {
    /// `wait` (default): the command waits in its terminal and goes on by itself. `refuse`: it is refused
    /// with the id of its access request and passes when it is run again once approved. `retry-after`: the
    /// same with 429, for clients that come again by themselves.
    pub(crate) mode: Option<RawMode>,
    /// Clusters where it is another one.
    pub(crate) clusters: BTreeMap<String, RawMode>,
    /// How long a request waits for its answer. Default `10m`; `10s` to `1h`.
    pub(crate) patience: Option<String>,
    /// Requests that wait at once, per person. Default 50; at most 200.
    pub(crate) per_person: Option<usize>,
    /// Requests that wait at once, per cluster. Default 1000.
    pub(crate) per_cluster: Option<usize>,
    /// What the bodies of all that wait may take together, in KiB. Default 131072.
    pub(crate) memory_kib: Option<usize>,
}

/// What becomes of a request that needs an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RawMode {
    /// It waits in its terminal and goes on by itself once approved
    #[default]
    Wait,
    /// It is refused with an id, and passes when it is run again once approved
    Refuse,
    /// The same with 429 and Retry-After
    RetryAfter,
}

impl From<RawMode> for HoldMode {
    fn from(mode: RawMode) -> Self {
        match mode {
            RawMode::Wait => Self::Wait,
            RawMode::Refuse => Self::Refuse,
            RawMode::RetryAfter => Self::RetryAfter,
        }
    }
}

impl RawHolds {
    pub(super) fn resolve(&self) -> Result<Holds, String> {
        let default = Holds::default();
        let patience = span("holds.patience", self.patience.as_deref(), 600, 10, 3600)?;
        let within = |key: &str, set: Option<usize>, default: usize, most: usize| match set {
            Some(n) if (1..=most).contains(&n) => Ok(n),
            Some(n) => Err(format!("holds.{key}: `{n}` is not between 1 and {most}")),
            None => Ok(default),
        };
        let mut modes = std::collections::HashMap::new();
        for (name, mode) in &self.clusters {
            let name = name.parse().map_err(|e| format!("holds.clusters: {e}"))?;
            modes.insert(name, (*mode).into());
        }
        Ok(Holds {
            patience: Ttl::from_secs(u32::try_from(patience.as_secs()).unwrap_or(600)),
            per_person: within("perPerson", self.per_person, default.per_person, 200)?,
            per_cluster: within("perCluster", self.per_cluster, default.per_cluster, 10_000)?,
            memory_kib: within("memoryKib", self.memory_kib, default.memory_kib, 8 << 20)?,
            usual: self.mode.unwrap_or_default().into(),
            modes,
        })
    }
}
