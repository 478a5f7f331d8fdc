//! The marker of a time in which the gate was away, and of where what was done then comes from.

use serde::{Deserialize, Serialize};

use super::imported::{NAME, Unfit, fit, fits, is_sha256};
use crate::ids::{ClusterName, ImportId};

/// The gate was away: where that time begins in the log, and where what was imported for it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// [`Gap::BEGAN`] before the first imported record, [`Gap::ENDED`] after the last; [`Gap::CUT_SHORT`]
    /// if not all came that had been announced.
    pub change: String,
    /// The import; its records carry the same.
    pub import: ImportId,
    /// The cluster.
    pub cluster: ClusterName,
    /// From when the gate was away, RFC 3339, as whoever imports says.
    pub from: String,
    /// Until when.
    pub until: String,
    /// Why, in their words.
    pub reason: String,
    /// Who imports: `local administrator`.
    pub by: String,
    /// Who that is, by their own word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub named: String,
    /// The files, in the order in which they were read.
    pub sources: Vec<Source>,
    /// Imported records: announced at `began`, written at the end. `cut short` by a gate that died, it
    /// may be one call's worth more.
    pub records: u64,
    /// Time of the earliest of them, RFC 3339; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first: String,
    /// Time of the latest of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last: String,
    /// What the files have and the import leaves out.
    pub left_out: LeftOut,
    /// The latest import of an overlapping time on this cluster, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ImportId>,
    /// Why it was cut short.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A file of the API server's audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, without its directory.
    pub name: String,
    /// SHA-256 of all of it as it lies there, lower-case hex.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// What was left out, by why.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeftOut {
    /// Lines that are no audit event, are cut, or longer than a line may be; events without a time.
    pub malformed: u64,
    /// Events of another time.
    pub outside: u64,
    /// Events of requests that came through the gate: it has their records.
    pub through_gate: u64,
    /// Reads of the cluster's own components, if that was asked for.
    pub components: u64,
    /// Events that were there already, in these files or from an earlier import.
    pub duplicates: u64,
    /// Events that are not the last word on their request.
    pub other_stages: u64,
}

impl Gap {
    /// The import begins.
    pub const BEGAN: &str = "began";
    /// All that was announced is there.
    pub const ENDED: &str = "ended";
    /// It is not.
    pub const CUT_SHORT: &str = "cut short";

    /// Whether its records are still coming.
    pub fn is_open(&self) -> bool {
        self.change == Self::BEGAN
    }

    /// Whether its time and another's have a moment in common. Times all have one form, in which text
    /// order is time order.
    pub fn overlaps(&self, from: &str, until: &str) -> bool {
        self.from.as_str() <= until && from <= self.until.as_str()
    }
}

impl Source {
    /// Whether a marker may name it.
    ///
    /// # Errors
    /// [`Unfit`] if its name is too long, or its hash is none.
    pub fn check(&self) -> Result<(), Unfit> {
        if !is_sha256(&self.sha256) {
            return Err(Unfit("a file's SHA-256 is none"));
        }
        if self.name.is_empty() || !fits(&self.name, NAME) {
            return Err(Unfit("a file's name is empty or too long"));
        }
        Ok(())
    }

    /// A file's name as a marker may have it.
    pub fn named(name: &str) -> String {
        fit(name, NAME)
    }
}
