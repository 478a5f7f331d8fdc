//! The whole-log check: every entry, every tile, and the signed root.
//!
//! Source: <https://c2sp.org/tlog-tiles>: a bundle's entries hash to the level 0 tile, tiles hash
//! upward, and the right edge to the root.

use thiserror::Error;

use crate::bundle::{BundleError, parse_bundle, prefix_len};
use crate::edge::Edge;
use crate::merkle::{Hash, leaf_hash};
use crate::reader::{ReadError, fetch_tile};
use crate::tile::{BundleId, HEIGHT, Tile, new_bundles};

/// Checks the entries from `verified` up to `size`, and the tiles over them, against `root`.
///
/// Start from [`Edge::new`] to check all, or from an [`Edge::load`]ed good state to go on from
/// there. Gives back the edge at `size`, from which the next check can go on.
pub fn audit<E>(
    verified: Edge,
    size: u64,
    root: Hash,
    mut tiles: impl FnMut(Tile) -> Result<Option<Vec<u8>>, E>,
    mut bundles: impl FnMut(BundleId) -> Result<Option<Vec<u8>>, E>,
) -> Result<Edge, AuditError<E>> {
    let mut edge = verified;
    if size > crate::MAX_SIZE || size < edge.size() {
        return Err(AuditError::Size {
            verified: edge.size(),
            size,
        });
    }
    for id in new_bundles(edge.size(), size) {
        let bytes = fetch_bundle(&mut bundles, id)?;
        append_bundle(&mut edge, id, &bytes)?;
        for (tile, expected) in edge.take_full() {
            compare(&mut tiles, tile, &expected)?;
        }
    }
    for (tile, expected) in edge.seal() {
        compare(&mut tiles, tile, &expected)?;
    }
    if edge.root() == root {
        Ok(edge)
    } else {
        Err(AuditError::RootMismatch(size))
    }
}

/// Appends the entries of a bundle that the edge does not have yet.
fn append_bundle<E>(edge: &mut Edge, id: BundleId, bytes: &[u8]) -> Result<(), AuditError<E>> {
    let malformed = |error| AuditError::Malformed { bundle: id, error };
    let entries = parse_bundle(bytes).map_err(malformed)?;
    if entries.len() != usize::from(id.width()) {
        return Err(AuditError::Count {
            bundle: id,
            found: entries.len(),
        });
    }
    let known = edge.size() - id.entries().start;
    for entry in entries.iter().skip(known as usize) {
        edge.append(leaf_hash(entry));
    }
    Ok(())
}

fn fetch_bundle<E>(
    mut fetch: impl FnMut(BundleId) -> Result<Option<Vec<u8>>, E>,
    id: BundleId,
) -> Result<Vec<u8>, AuditError<E>> {
    for candidate in [id, id.to_full()] {
        let Some(mut bytes) = fetch(candidate).map_err(AuditError::Fetch)? else {
            continue;
        };
        if candidate != id {
            let cut = prefix_len(&bytes, id.width()).unwrap_or(bytes.len());
            bytes.truncate(cut);
        }
        return Ok(bytes);
    }
    Err(AuditError::MissingBundle(id))
}

/// Compares a stored tile with the one the entries lead to, and names the first entry at odds.
fn compare<E>(
    tiles: impl FnMut(Tile) -> Result<Option<Vec<u8>>, E>,
    tile: Tile,
    expected: &[u8],
) -> Result<(), AuditError<E>> {
    let stored = fetch_tile(tiles, tile)?;
    if stored == expected {
        return Ok(());
    }
    let pairs = stored.chunks(Hash::LEN).zip(expected.chunks(Hash::LEN));
    let offset = pairs.take_while(|(a, b)| a == b).count() as u64;
    let hash = (tile.index() << HEIGHT) + offset;
    let index = hash
        .checked_shl(HEIGHT * u32::from(tile.level()))
        .unwrap_or(hash);
    Err(AuditError::Mismatch { tile, index })
}

/// The stored log is not the log that was signed, or cannot be read.
#[derive(Debug, Error)]
pub enum AuditError<E> {
    /// The caller's closure failed.
    #[error("bundle cannot be fetched")]
    Fetch(#[source] E),
    /// A tile cannot be read.
    #[error(transparent)]
    Tile(#[from] ReadError<E>),
    /// There is no such bundle.
    #[error("bundle `{0}` is missing")]
    MissingBundle(BundleId),
    /// The bytes are no bundle.
    #[error("bundle `{bundle}` is malformed")]
    Malformed {
        /// The bundle.
        bundle: BundleId,
        /// What is wrong with it.
        #[source]
        error: BundleError,
    },
    /// The bundle has not the count of entries its name says.
    #[error("bundle `{bundle}` has `{found}` entries")]
    Count {
        /// The bundle.
        bundle: BundleId,
        /// The entries it holds.
        found: usize,
    },
    /// An entry and a tile disagree.
    #[error("entry `{index}` does not match tile `{tile}`")]
    Mismatch {
        /// The tile.
        tile: Tile,
        /// The first entry under the first hash that differs.
        index: u64,
    },
    /// Entries and tiles agree with one another, but not with the root.
    #[error("tree of size `{0}` does not lead to the signed root")]
    RootMismatch(u64),
    /// The log is smaller than what was verified before, or too large.
    #[error("cannot check up to size `{size}` from verified size `{verified}`")]
    Size {
        /// The size verified before.
        verified: u64,
        /// The size to verify.
        size: u64,
    },
}

impl<E> AuditError<E> {
    /// The first entry known to be affected, if the error is about one.
    pub fn first_bad_index(&self) -> Option<u64> {
        match self {
            Self::Mismatch { index, .. } => Some(*index),
            Self::MissingBundle(bundle)
            | Self::Malformed { bundle, .. }
            | Self::Count { bundle, .. } => Some(bundle.entries().start),
            Self::Fetch(_) | Self::Tile(_) | Self::RootMismatch(_) | Self::Size { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::*;
    use crate::bundle::encode_bundle;
    use crate::tile::TilePath;

    struct Files(HashMap<TilePath, Vec<u8>>);

    impl Files {
        fn write(size: u64) -> (Self, Hash) {
            let entries: Vec<_> = (0..size).map(|i| i.to_string()).collect();
            let mut edge = Edge::new();
            entries
                .iter()
                .for_each(|entry| edge.append(leaf_hash(entry.as_bytes())));
            let mut files: HashMap<_, _> = edge
                .seal()
                .into_iter()
                .map(|(t, b)| (TilePath::Hashes(t), b))
                .collect();
            for id in new_bundles(0, size) {
                let range = id.entries();
                let bytes = encode_bundle(&entries[range.start as usize..range.end as usize]);
                files.insert(TilePath::Entries(id), bytes.unwrap());
            }
            (Self(files), edge.root())
        }

        fn audit(&self, from: Edge, size: u64, root: Hash) -> Result<Edge, AuditError<Infallible>> {
            let tiles = |tile| Ok(self.0.get(&TilePath::Hashes(tile)).cloned());
            let bundles = |bundle| Ok(self.0.get(&TilePath::Entries(bundle)).cloned());
            audit(from, size, root, tiles, bundles)
        }
    }

    #[test]
    fn a_true_log_passes_and_can_be_gone_on_with() {
        let (mut files, root) = Files::write(1000);
        assert_eq!(files.audit(Edge::new(), 1000, root).unwrap().root(), root);
        // Of size 300 only the partial tile is left that no full one has replaced.
        let (mut files_300, root_300) = Files::write(300);
        let level_1 = TilePath::parse("tile/1/000.p/1").unwrap();
        files.0.extend(files_300.0.remove_entry(&level_1));
        let at_300 = files.audit(Edge::new(), 300, root_300).unwrap();
        assert_eq!(files.audit(at_300, 1000, root).unwrap().size(), 1000);
    }

    #[test]
    fn the_first_bad_entry_is_named() {
        let (mut files, root) = Files::write(1000);
        let path = TilePath::parse("tile/entries/002").unwrap();
        // Entry 512 + 3 starts after three entries of 2 + 3 bytes and its own length.
        files.0.get_mut(&path).unwrap()[3 * 5 + 2] ^= 1;
        let error = files.audit(Edge::new(), 1000, root).unwrap_err();
        assert_eq!(error.first_bad_index(), Some(515));
        files.0.remove(&path);
        let error = files.audit(Edge::new(), 1000, root).unwrap_err();
        assert_eq!(error.first_bad_index(), Some(512));
    }

    #[test]
    fn another_root_fails() {
        let (files, _) = Files::write(10);
        let error = files.audit(Edge::new(), 10, leaf_hash(b"")).unwrap_err();
        assert!(matches!(error, AuditError::RootMismatch(10)));
    }
}
