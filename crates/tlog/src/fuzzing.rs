//! One entry point per untrusted parser, for fuzzers and property tests.
//!
//! Each takes any bytes, must not panic, and says whether they were accepted. What is accepted
//! must be canonical: written out again it gives the same bytes, which is asserted here.

use crate::bundle::{encode_bundle, parse_bundle};
use crate::checkpoint::Checkpoint;
use crate::key::Verifier;
use crate::note::Note;
use crate::proof::Proof;
use crate::tile::TilePath;

/// Feeds [`Note::parse`].
pub fn note(data: &[u8]) -> bool {
    let parsed = Note::parse(data).ok().map(|note| note.to_string());
    canonical(data, parsed)
}

/// Feeds [`Checkpoint::parse`].
pub fn checkpoint(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).ok();
    canonical(
        data,
        text.and_then(|t| Checkpoint::parse(t).ok())
            .map(|c| c.to_string()),
    )
}

/// Feeds [`TilePath::parse`].
pub fn tile_path(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).ok();
    canonical(
        data,
        text.and_then(|t| TilePath::parse(t).ok())
            .map(|path| path.to_string()),
    )
}

/// Feeds [`parse_bundle`].
pub fn bundle(data: &[u8]) -> bool {
    let entries = parse_bundle(data).ok();
    canonical(
        data,
        entries.and_then(|entries| encode_bundle(entries).ok()),
    )
}

/// Feeds [`Proof::parse`].
pub fn proof(data: &[u8]) -> bool {
    let parsed = Proof::parse(data).ok().map(|proof| proof.to_string());
    canonical(data, parsed)
}

/// Feeds [`Verifier::parse`].
pub fn vkey(data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).ok();
    canonical(
        data,
        text.and_then(|t| Verifier::parse(t).ok())
            .map(|key| key.to_string()),
    )
}

fn canonical(data: &[u8], rewritten: Option<impl AsRef<[u8]>>) -> bool {
    let Some(rewritten) = rewritten else {
        return false;
    };
    assert_eq!(rewritten.as_ref(), data, "accepted bytes are not canonical");
    true
}
