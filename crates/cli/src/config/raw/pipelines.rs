//! Pipelines that log in with the identity token of their job.

use std::collections::BTreeMap;

use kubestile_outbound::oidc::{IssuerConfig, PipelineRule};
use serde::{Deserialize, Serialize};

/// Pipelines that log in with the identity token of their job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawPipelines {
    /// Whose tokens are accepted (docs/integrations.md). Default: nobody's.
    pub(crate) issuers: Vec<IssuerConfig>,
    /// Which pipelines may do what; the first rule that a token satisfies counts. Default: none.
    pub(crate) rules: Vec<PipelineRule>,
    /// What the people who set pipelines off are called by the gate, by the name that their issuer gives
    /// them (`actor`, `user_login`): they may not approve their own. Default: the same.
    pub(crate) people: BTreeMap<String, String>,
}
