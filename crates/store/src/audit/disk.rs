//! The few operations by which the log writes, and files that appear whole or not at all.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::DiskError;
use super::layout;

#[cfg(test)]
pub(super) mod faulty;

/// What the log does to a disk. There are two: the real one, and one that fails when a test says so.
pub(super) trait Disk: Send + Sync {
    /// Makes a file that must not be there yet.
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
    }

    /// Writes all bytes at the file's end.
    fn write(&self, _path: &Path, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Waits until the file's bytes, and its length, are on the disk.
    fn sync(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Gives a file its name, in place of any other that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    /// Takes a directory away with all that is in it.
    fn remove_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    /// Makes a directory whose parent is there.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(0o700).create(path)
    }

    /// Waits until the names in a directory are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The disk.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {}

/// Files on their way into a directory tree: written under `tmp/`, synced, renamed, and the
/// directories synced. After [`Publication::finish`] all of them are there after any crash.
pub(super) struct Publication {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    staged: Vec<(PathBuf, File, PathBuf)>,
    dirs: BTreeSet<PathBuf>,
}

/// Names under `tmp/`: both threads of the log put files there.
static NEXT_TEMP: AtomicU64 = AtomicU64::new(0);

/// Files held open before they are synced and renamed together.
const MAX_STAGED: usize = 64;

impl Publication {
    /// Into the tree below `root`, which has a `tmp/`.
    pub(super) fn new(disk: &Arc<dyn Disk>, root: &Path) -> Self {
        Self {
            disk: Arc::clone(disk),
            root: root.to_owned(),
            staged: Vec::new(),
            dirs: BTreeSet::new(),
        }
    }

    /// A file that never changes. If it is there already (from before a crash), it must hold
    /// exactly these bytes.
    pub(super) fn add_immutable(&mut self, name: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        let path = self.root.join(name);
        match std::fs::read(&path) {
            Ok(there) if there == bytes => {
                // Its name may not be on the disk yet.
                self.dirs.extend(path.parent().map(Path::to_owned));
                Ok(())
            }
            Ok(_) => Err(DiskError::Conflict { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.stage(path, bytes, 0o444),
            Err(error) => Err(DiskError::io("read", &path)(error)),
        }
    }

    /// A file that replaces the one of its name.
    pub(super) fn add(&mut self, name: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        self.stage(self.root.join(name), bytes, mode)
    }

    /// Waits until everything added is on the disk under its name.
    pub(super) fn finish(mut self) -> Result<(), DiskError> {
        self.release()?;
        for dir in &self.dirs {
            self.disk
                .sync_dir(dir)
                .map_err(DiskError::io("sync", dir))?;
        }
        Ok(())
    }

    fn stage(&mut self, path: PathBuf, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
        if let Some(parent) = path.parent() {
            self.make_dirs(parent)?;
            self.dirs.insert(parent.to_owned());
        }
        let number = NEXT_TEMP.fetch_add(1, Ordering::Relaxed);
        let temp = self.root.join(layout::TMP).join(number.to_string());
        let mut file = self
            .disk
            .create(&temp, mode)
            .map_err(DiskError::io("create", &temp))?;
        self.disk
            .write(&temp, &mut file, bytes)
            .map_err(DiskError::io("write", &temp))?;
        self.staged.push((temp, file, path));
        if self.staged.len() >= MAX_STAGED {
            self.release()?;
        }
        Ok(())
    }

    /// Syncs what is staged, then gives it its names.
    fn release(&mut self) -> Result<(), DiskError> {
        for (temp, file, _) in &self.staged {
            self.disk
                .sync(temp, file)
                .map_err(DiskError::io("sync", temp))?;
        }
        for (temp, _, path) in self.staged.drain(..) {
            self.disk
                .rename(&temp, &path)
                .map_err(DiskError::io("rename to", &path))?;
        }
        Ok(())
    }

    /// Makes the directories up to `dir` that are not there.
    fn make_dirs(&mut self, dir: &Path) -> Result<(), DiskError> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent() {
            self.make_dirs(parent)?;
            self.dirs.insert(parent.to_owned());
        }
        self.disk.make_dir(dir).map_err(DiskError::io("make", dir))
    }
}
