//! Wire types of the import of an API server's audit log, for the local administrator only.

use kubestile_core::event::{Gap, Imported, LeftOut, Source};
use kubestile_core::{ImportId, Timestamp};
use serde::{Deserialize, Serialize};

use super::rfc3339;

/// Records that one call brings at most.
pub const BATCH_RECORDS: usize = 100;
/// How long a call is at most, in bytes, if whoever sends it can choose: below what the gate reads.
pub const BATCH_BYTES: usize = 48 * 1024;
/// Files of one import at most.
pub const SOURCES: usize = 50;

/// Admin: `POST /v1/clusters/{name}/imports`: the gap, and what is to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginImport {
    /// From when the gate was away.
    #[serde(with = "rfc3339")]
    pub from: Timestamp,
    /// Until when.
    #[serde(with = "rfc3339")]
    pub until: Timestamp,
    /// Why.
    pub reason: String,
    /// Who imports, by their own word.
    #[serde(default)]
    pub named: String,
    /// The files.
    pub sources: Vec<Source>,
    /// Records that will come.
    pub records: u64,
    /// What is left out.
    pub left_out: LeftOut,
    /// Whether a file may be one that was imported for an overlapping time before.
    #[serde(default)]
    pub again: bool,
}

/// The answer to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportBegun {
    /// The import's id, which its records carry.
    pub import: ImportId,
    /// The latest earlier import of an overlapping time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ImportId>,
    /// An import that never ended, and is marked as cut short now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut_short: Option<ImportId>,
    /// Files of these names had other contents when they were imported for an overlapping time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

/// Admin: `POST /v1/imports/{id}/records`. Without records it says that more will come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRecords {
    /// How many came before: what was sent twice is not written twice.
    pub offset: u64,
    /// The records.
    pub records: Vec<Imported>,
}

/// The answer to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportWritten {
    /// How many are written now.
    pub written: u64,
}

/// Admin: `POST /v1/imports/{id}/end`. The answer is an [`ImportEnded`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndImport {
    /// Why not all came that was announced; empty if all did.
    #[serde(default)]
    pub failed: String,
}

/// How an import ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportEnded {
    /// The marker, as it stands in the log.
    pub gap: Gap,
}
