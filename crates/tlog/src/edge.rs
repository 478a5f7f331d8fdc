//! The right edge of a tiled tree: append leaves, take the tiles to write, know the root.
//!
//! Source: <https://c2sp.org/tlog-tiles>, "Merkle Tree". A log holds one [`Edge`] in memory,
//! at most 256 hashes a level, and loads it again from its partial tiles after a restart.

use thiserror::Error;

use crate::merkle::{Frontier, Hash};
use crate::reader::{ReadError, fetch_tile};
use crate::tile::{HEIGHT, Tile, WIDTH, hashes_at, new_tiles, tile_at};

/// The growing end of a tree whose hashes live in tiles.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    frontier: Frontier,
    /// The size at the last [`Edge::seal`].
    sealed: u64,
    /// INVARIANT: `levels[l]` holds the bytes of the level's tile still in growth.
    levels: Vec<Vec<u8>>,
    /// Tiles filled and not yet handed out.
    full: Vec<(Tile, Vec<u8>)>,
}

impl Edge {
    /// The edge of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the edge of the tree of `size` leaves out of its last tiles and checks it.
    ///
    /// `fetch` is asked for at most one tile a level, and for the full tile at the same
    /// position where a partial one is gone.
    pub fn load<E>(
        size: u64,
        root: Hash,
        mut fetch: impl FnMut(Tile) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Self, LoadError<E>> {
        let mut levels = Vec::new();
        for level in 0..=Tile::MAX_LEVEL {
            let hashes = hashes_at(level, size);
            if hashes == 0 {
                break;
            }
            let partial = tile_at(size, level, hashes >> HEIGHT);
            levels.push(match partial {
                Some(tile) => fetch_tile(&mut fetch, tile)?,
                None => Vec::new(),
            });
        }
        let frontier = frontier_of(size, &levels).ok_or(LoadError::Size(size))?;
        if frontier.root() != root {
            return Err(LoadError::RootMismatch(size));
        }
        Ok(Self {
            frontier,
            sealed: size,
            levels,
            full: Vec::new(),
        })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root of the tree so far.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Adds one leaf hash.
    pub fn append(&mut self, leaf: Hash) {
        let Self {
            frontier,
            levels,
            full,
            ..
        } = self;
        let new_size = frontier.size() + 1;
        frontier.append_with(leaf, |height, hash| {
            if u32::from(height) % HEIGHT == 0 {
                push(levels, full, height / HEIGHT as u8, hash, new_size);
            }
        });
    }

    /// Takes the tiles that became full since the last call of this or of [`Edge::seal`].
    ///
    /// They never change again, so a long append can write them early and keep memory flat.
    pub fn take_full(&mut self) -> Vec<(Tile, Vec<u8>)> {
        std::mem::take(&mut self.full)
    }

    /// Takes every tile to be written before the tree at this size is published, by level.
    ///
    /// Without [`Edge::take_full`] in between, these are exactly the tiles of
    /// [`new_tiles`] from the size at the last seal to this one.
    pub fn seal(&mut self) -> Vec<(Tile, Vec<u8>)> {
        let mut tiles = self.take_full();
        let partials = new_tiles(self.sealed, self.size()).filter(|tile| tile.is_partial());
        tiles.extend(partials.filter_map(|tile| {
            let bytes = self.levels.get(usize::from(tile.level()))?;
            Some((tile, bytes.clone()))
        }));
        tiles.sort_by_key(|(tile, _)| *tile);
        self.sealed = self.size();
        tiles
    }
}

/// Adds a hash to the tile in growth at a level, and hands the tile on once it is full.
fn push(
    levels: &mut Vec<Vec<u8>>,
    full: &mut Vec<(Tile, Vec<u8>)>,
    level: u8,
    hash: Hash,
    size: u64,
) {
    let at = usize::from(level);
    if levels.len() <= at {
        levels.resize_with(at + 1, Vec::new);
    }
    let Some(bytes) = levels.get_mut(at) else {
        return;
    };
    bytes.extend_from_slice(hash.as_bytes());
    if bytes.len() == usize::from(WIDTH) * Hash::LEN {
        let index = (hashes_at(level, size) >> HEIGHT) - 1;
        if let Some(tile) = tile_at(size, level, index) {
            full.push((tile, std::mem::take(bytes)));
        }
    }
}

/// The frontier of a tree from its tiles in growth: their own frontiers, highest level first.
fn frontier_of(size: u64, levels: &[Vec<u8>]) -> Option<Frontier> {
    let mut nodes = Vec::new();
    for bytes in levels.iter().rev() {
        let mut frontier = Frontier::new();
        let (hashes, _) = bytes.as_chunks();
        hashes
            .iter()
            .for_each(|hash| frontier.append(Hash::from_bytes(*hash)));
        nodes.extend_from_slice(frontier.nodes());
    }
    Frontier::from_parts(size, nodes)
}

/// The edge of a stored tree cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError<E> {
    /// A tile cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError<E>),
    /// The size is over [`crate::MAX_SIZE`].
    #[error("tree size `{0}` is over the limit")]
    Size(u64),
    /// The tiles do not lead to the root.
    #[error("tiles of the tree of size `{0}` do not lead to its root")]
    RootMismatch(u64),
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::*;
    use crate::merkle::leaf_hash;

    fn append(edge: &mut Edge, count: u64) {
        for _ in 0..count {
            let leaf = leaf_hash(&edge.size().to_be_bytes());
            edge.append(leaf);
        }
    }

    #[test]
    fn seal_writes_the_new_tiles_and_load_reads_them() {
        let mut edge = Edge::new();
        let mut store = HashMap::new();
        for step in [1, 254, 1, 1, 255, 3, 69_485, 0, 300] {
            let old = edge.size();
            append(&mut edge, step);
            let sealed = edge.seal();
            let expected: Vec<_> = new_tiles(old, edge.size()).collect();
            assert_eq!(
                sealed.iter().map(|(tile, _)| *tile).collect::<Vec<_>>(),
                expected
            );
            assert!(
                sealed
                    .iter()
                    .all(|(tile, bytes)| bytes.len() == tile.byte_len())
            );
            store.extend(sealed);

            let fetch = |tile| Ok::<_, Infallible>(store.get(&tile).cloned());
            let loaded = Edge::load(edge.size(), edge.root(), fetch).unwrap();
            assert_eq!(loaded.frontier, edge.frontier);
            assert_eq!(loaded.levels, edge.levels);
        }
        assert_eq!(edge.size(), 70_300);
    }

    #[test]
    fn load_refuses_other_tiles() {
        let mut edge = Edge::new();
        append(&mut edge, 300);
        let store: HashMap<_, _> = edge.seal().into_iter().collect();
        let fetch = |tile| Ok::<_, Infallible>(store.get(&tile).cloned());
        assert!(matches!(
            Edge::load(300, leaf_hash(b""), fetch),
            Err(LoadError::RootMismatch(300))
        ));
        assert!(matches!(
            Edge::load(299, edge.root(), fetch),
            Err(LoadError::Read(ReadError::Missing(_)))
        ));
        assert!(Edge::load(u64::MAX, edge.root(), fetch).is_err());
    }
}
