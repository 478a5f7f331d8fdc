//! Opening a log: what a crash left behind is checked, sealed by the code that always seals, and
//! refused where an acknowledged record could be lost, changed, or written twice.

use std::io;
use std::path::Path;
use std::sync::Arc;

use kubestile_tlog::{SignedCheckpoint, TreeReader};

use super::disk::Disk;
use super::error::{DiskError, OpenError};
use super::key::LogKey;
use super::layout;
use super::seal::Sealer;
use super::wal::{self, Entry, Wal};

/// A log whose every acknowledged record is sealed.
pub(super) struct Recovered {
    pub(super) sealer: Sealer,
    pub(super) wal: Wal,
}

/// Brings the log below `root` into order. The caller holds its lock.
pub(super) fn recover(
    disk: Arc<dyn Disk>,
    root: &Path,
    key: &LogKey,
) -> Result<Recovered, OpenError> {
    clear_tmp(disk.as_ref(), root)?;
    let vkey = key.vkey();
    let mut sealer = match load(&disk, root, key)? {
        Some(sealer) => sealer,
        None => begin(&disk, root, key)?,
    };
    let base = sealer.sealed();
    // First all is read and checked, then all is read and sealed: of a log that is refused,
    // nothing has been written.
    let mut tree = TreeReader::new(base, |tile| layout::read_tile(root, tile));
    let size = replay(root, &vkey, base, |path, index, entry| {
        if index >= base {
            return Ok(());
        }
        let signed = tree.leaf(index);
        let signed = signed.map_err(|error| OpenError::Tiles(error.into()))?;
        if signed != entry.leaf {
            let path = path.to_owned();
            return Err(OpenError::Conflict { path, index });
        }
        Ok(())
    })?;
    if size > base {
        let mut sealing = sealer.begin();
        replay(root, &vkey, base, |_, index, entry| {
            if index >= base {
                sealing.add(&entry)?;
            }
            Ok(())
        })?;
        sealing.finish()?;
    }
    let wal = Wal::start(disk, root, &vkey, size)?;
    wal.remove_sealed(size)?;
    Ok(Recovered { sealer, wal })
}

/// Files on their way when the process died: nobody has seen them.
fn clear_tmp(disk: &dyn Disk, root: &Path) -> Result<(), DiskError> {
    let tmp = root.join(layout::TMP);
    match disk.remove_all(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DiskError::io("remove", &tmp)(error));
        }
        Ok(()) | Err(_) => {}
    }
    disk.make_dir(&tmp).map_err(DiskError::io("make", &tmp))
}

/// The tree that the checkpoint signs; `None` if there is no log yet.
fn load(disk: &Arc<dyn Disk>, root: &Path, key: &LogKey) -> Result<Option<Sealer>, OpenError> {
    let path = root.join(layout::CHECKPOINT);
    let bytes = layout::read_checkpoint(root).map_err(DiskError::io("read", &path))?;
    let Some(bytes) = bytes else {
        if root.join(layout::TILES).exists() {
            return Err(OpenError::CheckpointMissing { path });
        }
        return Ok(None);
    };
    let signed =
        SignedCheckpoint::open(&bytes, key.trust()).map_err(|source| OpenError::Checkpoint {
            path,
            vkey: key.vkey(),
            source: source.into(),
        })?;
    let dir = root.join(layout::WAL);
    let segments = wal::segments(&dir).map_err(DiskError::io("list", &dir))?;
    if segments.is_empty() {
        return Err(OpenError::WalMissing { path: dir });
    }
    Sealer::load(Arc::clone(disk), root, key.clone(), signed.checkpoint()).map(Some)
}

/// A new log: its first write-ahead file, then the checkpoint of the empty tree.
fn begin(disk: &Arc<dyn Disk>, root: &Path, key: &LogKey) -> Result<Sealer, OpenError> {
    Wal::start(Arc::clone(disk), root, &key.vkey(), 0)?;
    let mut sealer = Sealer::new(Arc::clone(disk), root, key.clone());
    sealer.begin().finish()?;
    Ok(sealer)
}

/// Reads the write-ahead files in order; they must reach over `base` without a gap. Returns the
/// index after the last entry that may have been acknowledged.
fn replay(
    root: &Path,
    vkey: &str,
    base: u64,
    mut each: impl FnMut(&Path, u64, Entry) -> Result<(), OpenError>,
) -> Result<u64, OpenError> {
    let dir = root.join(layout::WAL);
    let gap = |from, end: u64| OpenError::Gap {
        path: dir.clone(),
        from,
        to: end.saturating_sub(1),
    };
    let segments = wal::segments(&dir).map_err(DiskError::io("list", &dir))?;
    let mut end = None;
    for (first, path) in segments {
        let expected = end.unwrap_or_else(|| first.min(base));
        if first > expected {
            return Err(gap(expected, first));
        }
        if first < expected {
            return Err(OpenError::WalDamaged {
                path,
                offset: 0,
                why: "its first entries are in the file before it, too",
            });
        }
        let last = wal::read_segment(&path, first, vkey, |index, entry| each(&path, index, entry))?;
        end = Some(last);
    }
    match end {
        Some(end) if end >= base => Ok(end),
        end => Err(gap(end.unwrap_or(0), base)),
    }
}

#[cfg(test)]
mod tests;
