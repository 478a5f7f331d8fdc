//! Hashes, roots and proofs out of stored tiles.
//!
//! Source: <https://c2sp.org/tlog-tiles>. A [`TreeReader`] trusts no tile: it only computes.
//! Compare its root, or verify its proofs, against a signed root.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::merkle::{
    Hash, Node, ProofRangeError, consistency_path, inclusion_ranges, range_hash, root,
};
use crate::tile::{HEIGHT, Tile, tile_at};

/// Tiles held between calls; a proof needs at most two a level.
const MAX_CACHED: usize = 64;

/// A tree of a fixed size whose tiles are fetched through a closure.
///
/// The closure gives a tile's bytes, or `None` if there is no such tile. Where a partial tile is
/// gone, the full tile at the same position is asked for next.
#[derive(Debug)]
pub struct TreeReader<F> {
    size: u64,
    fetch: F,
    cache: BTreeMap<(u8, u64), Vec<u8>>,
}

impl<F, E> TreeReader<F>
where
    F: FnMut(Tile) -> Result<Option<Vec<u8>>, E>,
{
    /// A reader of the tree of this size.
    pub fn new(size: u64, fetch: F) -> Self {
        Self {
            size,
            fetch,
            cache: BTreeMap::new(),
        }
    }

    /// The root of the tree.
    pub fn root(&mut self) -> Result<Hash, ReadError<E>> {
        range_hash(&(0..self.size), |node| self.node(node))
    }

    /// The root the tree had when it had `size` leaves.
    pub fn root_at(&mut self, size: u64) -> Result<Hash, ReadError<E>> {
        if size > self.size {
            return Err(ProofRangeError::Prefix {
                old: size,
                new: self.size,
            }
            .into());
        }
        range_hash(&(0..size), |node| self.node(node))
    }

    /// The hash of one leaf.
    pub fn leaf(&mut self, index: u64) -> Result<Hash, ReadError<E>> {
        self.node(Node { level: 0, index })
    }

    /// The hash of one complete subtree.
    pub fn node(&mut self, node: Node) -> Result<Hash, ReadError<E>> {
        let missing = ReadError::Node(node);
        let level = node.level / HEIGHT as u8;
        // A subtree between two tile levels is the root over some hashes of the lower one.
        let height = u32::from(node.level) % HEIGHT;
        let Some(first) = node.index.checked_mul(1 << height) else {
            return Err(missing);
        };
        let Some(tile) = tile_at(self.size, level, first >> HEIGHT) else {
            return Err(missing);
        };
        let (hashes, _) = self.tile(tile)?.as_chunks();
        let offset = (first & 0xff) as usize;
        let Some(hashes) = hashes.get(offset..offset + (1 << height)) else {
            return Err(missing);
        };
        Ok(root(
            &hashes
                .iter()
                .map(|hash| Hash::from_bytes(*hash))
                .collect::<Vec<_>>(),
        ))
    }

    /// The inclusion proof of a leaf (RFC 6962 section 2.1.1).
    pub fn prove_inclusion(&mut self, index: u64) -> Result<Vec<Hash>, ReadError<E>> {
        let ranges = inclusion_ranges(index, self.size)?;
        ranges
            .iter()
            .map(|range| range_hash(range, |node| self.node(node)))
            .collect()
    }

    /// The proof that the tree of `old_size` leaves is a prefix (RFC 6962 section 2.1.2).
    pub fn prove_consistency(&mut self, old_size: u64) -> Result<Vec<Hash>, ReadError<E>> {
        let path = consistency_path(old_size, self.size)?;
        path.ranges()
            .map(|range| range_hash(range, |node| self.node(node)))
            .collect()
    }

    fn tile(&mut self, tile: Tile) -> Result<&[u8], ReadError<E>> {
        let key = (tile.level(), tile.index());
        if !self.cache.contains_key(&key) {
            if self.cache.len() >= MAX_CACHED {
                self.cache.clear();
            }
            self.cache.insert(key, fetch_tile(&mut self.fetch, tile)?);
        }
        self.cache
            .get(&key)
            .map(Vec::as_slice)
            .ok_or(ReadError::Missing(tile))
    }
}

/// Fetches exactly one tile's bytes, out of the full tile if the partial one is gone.
pub(crate) fn fetch_tile<E>(
    mut fetch: impl FnMut(Tile) -> Result<Option<Vec<u8>>, E>,
    tile: Tile,
) -> Result<Vec<u8>, ReadError<E>> {
    for candidate in [tile, tile.to_full()] {
        let Some(mut bytes) = fetch(candidate).map_err(ReadError::Fetch)? else {
            continue;
        };
        if bytes.len() != candidate.byte_len() {
            return Err(ReadError::Length {
                tile: candidate,
                found: bytes.len(),
            });
        }
        bytes.truncate(tile.byte_len());
        return Ok(bytes);
    }
    Err(ReadError::Missing(tile))
}

/// A hash cannot be read out of the tiles.
#[derive(Debug, Error)]
pub enum ReadError<E> {
    /// The caller's closure failed.
    #[error("tile cannot be fetched")]
    Fetch(#[source] E),
    /// There is no such tile.
    #[error("tile `{0}` is missing")]
    Missing(Tile),
    /// The tile has not the length its name says.
    #[error("tile `{tile}` has `{found}` bytes")]
    Length {
        /// The tile that was fetched.
        tile: Tile,
        /// The length it came with.
        found: usize,
    },
    /// The tree has no such complete subtree.
    #[error("tree has no subtree `{}` at level `{}`", .0.index, .0.level)]
    Node(Node),
    /// The proof asked for is about leaves the tree does not have.
    #[error(transparent)]
    Range(#[from] ProofRangeError),
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::*;
    use crate::edge::Edge;
    use crate::merkle::{self, leaf_hash};

    const SIZE: u64 = 70_000;

    fn tree() -> (Vec<Hash>, HashMap<Tile, Vec<u8>>) {
        let leaves: Vec<_> = (0..SIZE).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let mut edge = Edge::new();
        leaves.iter().for_each(|leaf| edge.append(*leaf));
        (leaves, edge.seal().into_iter().collect())
    }

    #[test]
    fn tiles_give_the_same_answers_as_the_leaves() {
        let (leaves, tiles) = tree();
        let mut reader = TreeReader::new(SIZE, |t| Ok::<_, Infallible>(tiles.get(&t).cloned()));
        assert_eq!(reader.root().unwrap(), root(&leaves));
        for i in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
            assert_eq!(reader.leaf(i).unwrap(), leaves[i as usize]);
            let proof = merkle::prove_inclusion(&leaves, i).unwrap();
            assert_eq!(reader.prove_inclusion(i).unwrap(), proof, "{i}");
            let proof = merkle::prove_consistency(&leaves, i).unwrap();
            assert_eq!(reader.prove_consistency(i).unwrap(), proof, "{i}");
            assert_eq!(reader.root_at(i).unwrap(), root(&leaves[..i as usize]));
        }
        assert!(matches!(reader.leaf(SIZE), Err(ReadError::Node(_))));
        assert!(matches!(
            reader.prove_inclusion(SIZE),
            Err(ReadError::Range(_))
        ));
        let far = Node {
            level: 255,
            index: u64::MAX,
        };
        assert!(matches!(reader.node(far), Err(ReadError::Node(_))));
    }

    #[test]
    fn a_full_tile_stands_in_for_a_partial_one() {
        let (leaves, tiles) = tree();
        let mut reader = TreeReader::new(300, |t| Ok::<_, Infallible>(tiles.get(&t).cloned()));
        assert_eq!(reader.root().unwrap(), root(&leaves[..300]));
    }

    #[test]
    fn missing_and_short_tiles_are_errors() {
        let mut reader = TreeReader::new(300, |_| Ok::<_, Infallible>(None));
        assert!(matches!(reader.root(), Err(ReadError::Missing(_))));
        let mut reader = TreeReader::new(300, |_| Ok::<_, Infallible>(Some(vec![0; 31])));
        assert!(matches!(
            reader.root(),
            Err(ReadError::Length { found: 31, .. })
        ));
    }
}
