//! Evidence for one entry that stands without the log: a C2SP `.tlog-proof` that carries the entry.

use std::path::Path;

use kubestile_core::RequestId;
use kubestile_core::event::{Event, Record};
use kubestile_tlog::TreeReader;
use kubestile_tlog::proof::Proof;

use super::{Entries, ReadError, signed_head, trust};
use crate::audit::layout;
use crate::audit::search::request_of;

/// Which entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The entry with this index.
    Index(u64),
    /// The record of this request's decision, or of its refusal.
    Request(RequestId),
}

/// The proof that an entry is in the log below `dir`, with the entry itself as its `extra` line
/// (<https://c2sp.org/tlog-proof>).
///
/// # Errors
/// If there is no such entry; if the log does not agree with its checkpoint.
pub fn prove(dir: &Path, vkey: &str, which: Which) -> Result<String, ReadError> {
    let trust = trust(vkey)?;
    let head = signed_head(dir, &trust)?;
    let size = head.checkpoint().size();
    let (index, entry) = match which {
        Which::Index(index) => (index, Entries::one(dir, index, size)?),
        Which::Request(request) => find(dir, size, request)?,
    };
    let mut tree = TreeReader::new(size, |tile| layout::read_tile(dir, tile));
    let hashes = tree
        .prove_inclusion(index)
        .map_err(|error| ReadError::Tree(error.to_string()))?;
    let proof = Proof::new(index, hashes, &head).with_extra(entry.clone());
    // What does not hold is not given out.
    proof.verify(&entry, &trust).map_err(ReadError::Proof)?;
    Ok(proof.to_string())
}

/// The first record of a request.
fn find(dir: &Path, size: u64, request: RequestId) -> Result<(u64, Vec<u8>), ReadError> {
    let text = request.to_string();
    for entry in Entries::between(dir, 0, size) {
        let (index, bytes) = entry?;
        // Parsing is dear, and nearly all records are of other requests.
        if !std::str::from_utf8(&bytes).is_ok_and(|entry| entry.contains(&text)) {
            continue;
        }
        if let Ok(record) = Record::from_bytes(&bytes)
            && request_of(&record.event) == Some(request)
            && !matches!(record.event, Event::Completion(_))
        {
            return Ok((index, bytes));
        }
    }
    Err(ReadError::NoRequest(request))
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The entry's index.
    pub index: u64,
    /// The entry.
    pub entry: Vec<u8>,
    /// The log's origin.
    pub origin: String,
    /// The size of the log that the signed checkpoint covers.
    pub size: u64,
    /// The signed root, base64.
    pub root: String,
}

/// Checks a proof offline: that the log with the key `vkey` holds the entry. The entry is the one
/// given, or else the one that the proof carries.
///
/// # Errors
/// If the proof does not hold.
pub fn check(proof: &[u8], entry: Option<&[u8]>, vkey: &str) -> Result<Checked, ReadError> {
    let trust = trust(vkey)?;
    let proof = Proof::parse(proof).map_err(ReadError::Proof)?;
    let entry = entry
        .or_else(|| proof.unauthenticated_extra())
        .ok_or(ReadError::NoProofEntry)?;
    let head = proof.verify(entry, &trust).map_err(ReadError::Proof)?;
    Ok(Checked {
        index: proof.index(),
        entry: entry.to_vec(),
        origin: head.checkpoint().origin().to_owned(),
        size: head.checkpoint().size(),
        root: head.checkpoint().root().to_string(),
    })
}
