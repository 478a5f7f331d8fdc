//! Where things are below a log's directory, and reading them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use kubestile_tlog::bundle::MAX_ENTRY;
use kubestile_tlog::{BundleId, Tile, TilePath};

/// The signed checkpoint.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// Files on their way.
pub(super) const TMP: &str = "tmp";
/// Hash tiles and entry bundles.
pub(super) const TILES: &str = "tile";
/// What is durable and not yet sealed.
pub(super) const WAL: &str = "wal";

/// No checkpoint with the signatures we accept is longer.
const MAX_CHECKPOINT: usize = 64 * 1024;

/// No bundle is longer.
const MAX_BUNDLE: usize = 256 * (2 + MAX_ENTRY);

/// The path of a tile or bundle below the log's directory.
pub(super) fn path(tile: TilePath) -> PathBuf {
    PathBuf::from(tile.to_string())
}

/// The directory of the partial files that precede a full tile or bundle.
pub(super) fn partials(tile: TilePath) -> PathBuf {
    PathBuf::from(format!("{tile}.p"))
}

/// The bytes of a hash tile; `None` if it is not there.
pub(super) fn read_tile(dir: &Path, tile: Tile) -> io::Result<Option<Vec<u8>>> {
    read(&dir.join(path(TilePath::Hashes(tile))), tile.byte_len())
}

/// The bytes of an entry bundle; `None` if it is not there.
pub(super) fn read_bundle(dir: &Path, bundle: BundleId) -> io::Result<Option<Vec<u8>>> {
    read(&dir.join(path(TilePath::Entries(bundle))), MAX_BUNDLE)
}

/// The bytes of the checkpoint; `None` if it is not there.
pub(super) fn read_checkpoint(dir: &Path) -> io::Result<Option<Vec<u8>>> {
    read(&dir.join(CHECKPOINT), MAX_CHECKPOINT)
}

/// A whole file of at most `limit` bytes. A longer one is given one byte too long, for the caller's
/// own check to refuse.
fn read(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
