//! The whole-log check: every entry, every tile, the root, the signature.

use std::fmt;
use std::path::Path;

use kubestile_tlog::audit::audit;
use kubestile_tlog::{Edge, SignedCheckpoint};

use super::{ReadError, signed_head, trust};
use crate::audit::layout;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The log's origin.
    pub origin: String,
    /// How many entries the signed checkpoint covers.
    pub size: u64,
    /// The signed root, base64.
    pub root: String,
    /// The key that signed, `<name>+<key id>`.
    pub key: String,
    /// Known witnesses that cosigned, `<name>+<key id>`.
    pub witnesses: Vec<String>,
    /// What is wrong; `None`: the log is, entry for entry, what was signed.
    pub problem: Option<Problem>,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The first entry known to be affected, where it is about entries.
    pub first_bad: Option<u64>,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Recomputes the log below `dir` from its entries and compares it with every tile and with the
/// checkpoint that the key `vkey` signed. Memory does not grow with the log.
///
/// # Errors
/// If there is no log, or its checkpoint is not signed by that key. What is wrong below the
/// checkpoint is in the [`Report`].
pub fn verify(dir: &Path, vkey: &str) -> Result<Report, ReadError> {
    let trust = trust(vkey)?;
    let head = signed_head(dir, &trust)?;
    let (size, root) = (head.checkpoint().size(), head.checkpoint().root());
    let tiles = |tile| layout::read_tile(dir, tile);
    let bundles = |bundle| layout::read_bundle(dir, bundle);
    let problem = match audit(Edge::new(), size, root, tiles, bundles) {
        Ok(_) => None,
        Err(error) => Some(Problem {
            first_bad: error.first_bad_index(),
            what: chain(&error),
        }),
    };
    Ok(Report {
        origin: head.checkpoint().origin().to_owned(),
        size,
        root: root.to_string(),
        key: format!("{}+{}", trust.log().name(), trust.log().id()),
        witnesses: witnesses(&head),
        problem,
    })
}

fn witnesses(head: &SignedCheckpoint) -> Vec<String> {
    let signatures = head.cosignatures().iter();
    signatures
        .map(|verified| format!("{}+{}", verified.name(), verified.id()))
        .collect()
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
