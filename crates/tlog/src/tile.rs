//! Tile and entry bundle names: coordinates, paths, and what changes as the tree grows.
//!
//! Source: <https://c2sp.org/tlog-tiles>, "Merkle Tree", "Partial Tiles" and "Log entries".

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::text::parse_decimal;

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: u16 = 256;

/// The binary height of a tile: 2^8 is [`WIDTH`].
pub(crate) const HEIGHT: u32 = 8;

/// No tree within [`crate::MAX_SIZE`] has a tile of a higher index.
const MAX_INDEX: u64 = crate::MAX_SIZE >> HEIGHT;

/// A hash tile: `tile/<L>/<N>[.p/<W>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// The highest level the path format can name.
    pub const MAX_LEVEL: u8 = 63;

    /// Names a tile; the width is 1 to 256, where 256 is a full tile.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        if level > Self::MAX_LEVEL || index > MAX_INDEX || !(1..=WIDTH).contains(&width) {
            return Err(TileError::OutOfRange {
                level,
                index,
                width,
            });
        }
        Ok(Self {
            level,
            index,
            width,
        })
    }

    /// The level: 0 holds leaf hashes, each level above the roots of full tiles below.
    pub fn level(self) -> u8 {
        self.level
    }

    /// The position among the tiles of its level.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many hashes the tile holds, 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether more hashes will still be added at this position.
    pub fn is_partial(self) -> bool {
        self.width < WIDTH
    }

    /// The full tile at the same position, which may stand in for a deleted partial one.
    pub fn to_full(self) -> Self {
        Self {
            width: WIDTH,
            ..self
        }
    }

    /// The exact length of the tile's file.
    pub fn byte_len(self) -> usize {
        usize::from(self.width) * crate::Hash::LEN
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_position(f, self.index, self.width)
    }
}

/// An entry bundle: `tile/entries/<N>[.p/<W>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    index: u64,
    width: u16,
}

impl BundleId {
    /// Names a bundle; the width is 1 to 256, where 256 is a full bundle.
    pub fn new(index: u64, width: u16) -> Result<Self, TileError> {
        Tile::new(0, index, width).map(|_| Self { index, width })
    }

    /// The position among the bundles.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many entries the bundle holds, 1 to 256.
    pub fn width(self) -> u16 {
        self.width
    }

    /// Whether more entries will still be added at this position.
    pub fn is_partial(self) -> bool {
        self.width < WIDTH
    }

    /// The full bundle at the same position, which may stand in for a deleted partial one.
    pub fn to_full(self) -> Self {
        Self {
            width: WIDTH,
            ..self
        }
    }

    /// The log indices of the entries it holds.
    pub fn entries(self) -> Range<u64> {
        let start = self.index << HEIGHT;
        start..start + u64::from(self.width)
    }

    /// The level 0 tile that holds the hashes of these entries.
    pub fn tile(self) -> Tile {
        Tile {
            level: 0,
            index: self.index,
            width: self.width,
        }
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_position(f, self.index, self.width)
    }
}

/// A path below `tile/`, as a reader of the log asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// A hash tile.
    Hashes(Tile),
    /// An entry bundle.
    Entries(BundleId),
}

impl TilePath {
    /// Reads a path such as `tile/0/x001/234.p/5`; only the canonical spelling is accepted.
    pub fn parse(path: &str) -> Result<Self, TileError> {
        Self::read(path)
            .filter(|parsed| parsed.to_string() == path)
            .ok_or_else(|| TileError::Path(path.chars().take(80).collect()))
    }

    /// Reads the fields; `parse` checks their spelling by writing them out again.
    fn read(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (position, width) = match rest.split_once(".p/") {
            Some((position, width)) => (position, u16::try_from(parse_decimal(width)?).ok()?),
            None => (rest, WIDTH),
        };
        let index = read_index(position)?;
        if kind == "entries" {
            return BundleId::new(index, width).ok().map(Self::Entries);
        }
        let level = u8::try_from(parse_decimal(kind)?).ok()?;
        Tile::new(level, index, width).ok().map(Self::Hashes)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

/// A coordinate or path that names no tile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TileError {
    /// The coordinates lie outside every tree.
    #[error("no tile has level `{level}`, index `{index}` and width `{width}`")]
    OutOfRange {
        /// The level asked for.
        level: u8,
        /// The index asked for.
        index: u64,
        /// The width asked for.
        width: u16,
    },
    /// The path is not the canonical spelling of a tile's name.
    #[error("`{0}` is not a tile path")]
    Path(String),
}

/// The hash tiles a log writes when it grows from `old` to `new` leaves, lowest level first.
///
/// These are the new full tiles and, per level, the partial tile at the end if it changed.
pub fn new_tiles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    (0..8_u8).flat_map(move |level| {
        let (old, new) = (hashes_at(level, old), hashes_at(level, new));
        positions(old, new).map(move |(index, width)| Tile {
            level,
            index,
            width,
        })
    })
}

/// The entry bundles a log writes when it grows from `old` to `new` entries.
pub fn new_bundles(old: u64, new: u64) -> impl Iterator<Item = BundleId> {
    positions(old, new).map(|(index, width)| BundleId { index, width })
}

/// The tile at this position in a tree of `size` leaves, if the tree reaches it.
pub fn tile_at(size: u64, level: u8, index: u64) -> Option<Tile> {
    if level > Tile::MAX_LEVEL || index > MAX_INDEX {
        return None;
    }
    let width = hashes_at(level, size)
        .checked_sub(index << HEIGHT)?
        .min(u64::from(WIDTH));
    (width > 0).then_some(Tile {
        level,
        index,
        width: width as u16,
    })
}

/// The bundle that holds this entry in a log of `size` entries, if the log has it.
pub fn bundle_of(size: u64, entry: u64) -> Option<BundleId> {
    let tile = tile_at(size, 0, entry >> HEIGHT)?;
    (entry < size).then_some(BundleId {
        index: tile.index,
        width: tile.width,
    })
}

/// How many hashes the tiles of a level hold in all: floor(size / 256^level).
pub(crate) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0)
}

/// The positions written when a row of items grows from `old` to `new`.
fn positions(old: u64, new: u64) -> impl Iterator<Item = (u64, u16)> {
    let full = new >> HEIGHT;
    let width = (new & 0xff) as u16;
    let partial = (new > old && width > 0).then_some((full, width));
    ((old >> HEIGHT)..full)
        .map(|index| (index, WIDTH))
        .chain(partial)
}

/// Writes `x001/x234/067.p/5`: three digits an element, all but the last with an `x`.
fn write_position(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut elements = vec![format!("{:03}", index % 1000)];
    let mut rest = index / 1000;
    while rest > 0 {
        elements.push(format!("x{:03}", rest % 1000));
        rest /= 1000;
    }
    elements.reverse();
    f.write_str(&elements.join("/"))?;
    if width < WIDTH {
        write!(f, ".p/{width}")
    } else {
        Ok(())
    }
}

/// Reads the elements of an index; seven of them hold every index there is.
fn read_index(position: &str) -> Option<u64> {
    if position.len() > 7 * 5 {
        return None;
    }
    position.split('/').try_fold(0_u64, |index, element| {
        let digits = element.strip_prefix('x').unwrap_or(element);
        if digits.len() != 3 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        index.checked_mul(1000)?.checked_add(digits.parse().ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(level: u8, index: u64, width: u16) -> Tile {
        Tile::new(level, index, width).unwrap()
    }

    #[test]
    fn paths_of_the_specification() {
        assert_eq!(tile(0, 1_234_067, 256).to_string(), "tile/0/x001/x234/067");
        assert_eq!(tile(63, 0, 1).to_string(), "tile/63/000.p/1");
        assert_eq!(
            BundleId::new(1000, 255).unwrap().to_string(),
            "tile/entries/x001/000.p/255"
        );
        let parsed = TilePath::parse("tile/entries/x001/x234/067.p/8").unwrap();
        assert_eq!(
            parsed,
            TilePath::Entries(BundleId::new(1_234_067, 8).unwrap())
        );
    }

    #[test]
    fn only_the_canonical_path_is_read() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/x000/000",
            "tile/0/x001",
            "tile/0/001/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000/",
            "tile/0/xx01",
            "/tile/0/000",
            "tile/0/000.p/1.p/1",
            "tile/0/..",
            "tile/entries/0",
            "tile/data/000",
            "tile/0/+01",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert!(TilePath::parse(bad).is_err(), "{bad}");
        }
    }

    /// The check vectors the specification gives for sizes 70,000 and 256.
    #[test]
    fn tiles_of_the_specification() {
        let tiles: Vec<_> = new_tiles(0, 70_000).collect();
        assert_eq!(tiles.len(), 273 + 1 + 1 + 1 + 1);
        assert!(
            tiles[..273]
                .iter()
                .all(|t| t.level() == 0 && !t.is_partial())
        );
        assert_eq!(
            tiles[273..],
            [
                tile(0, 273, 112),
                tile(1, 0, 256),
                tile(1, 1, 17),
                tile(2, 0, 1)
            ]
        );
        let tiles: Vec<_> = new_tiles(0, 256).collect();
        assert_eq!(tiles, [tile(0, 0, 256), tile(1, 0, 1)]);
    }

    #[test]
    fn growth_writes_only_what_changed() {
        assert_eq!(new_tiles(5, 5).count(), 0);
        assert_eq!(new_tiles(256, 257).collect::<Vec<_>>(), [tile(0, 1, 1)]);
        let grown: Vec<_> = new_tiles(255, 513).collect();
        assert_eq!(
            grown,
            [
                tile(0, 0, 256),
                tile(0, 1, 256),
                tile(0, 2, 1),
                tile(1, 0, 2)
            ]
        );
        let bundles: Vec<_> = new_bundles(255, 257).map(|b| b.to_string()).collect();
        assert_eq!(bundles, ["tile/entries/000", "tile/entries/001.p/1"]);
    }

    #[test]
    fn a_position_is_found_in_a_tree() {
        assert_eq!(tile_at(70_000, 0, 273), Some(tile(0, 273, 112)));
        assert_eq!(tile_at(70_000, 0, 274), None);
        assert_eq!(tile_at(256, 0, 1), None);
        assert_eq!(tile_at(256, 8, 0), None);
        assert_eq!(
            bundle_of(70_000, 69_999),
            Some(BundleId::new(273, 112).unwrap())
        );
        assert_eq!(bundle_of(70_000, 70_000), None);
    }
}
