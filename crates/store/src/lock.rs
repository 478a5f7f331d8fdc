//! One process for one directory: two that append to the same log would fork it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A directory that this process owns until the value is dropped.
///
/// The lock is the kernel's (`flock`): a process that dies, however it dies, leaves none behind.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory (0700) if it is not there, and takes the lock file `name` in it.
    pub(crate) fn take(dir: &Path, name: &str) -> Result<Self, LockError> {
        let path = dir.join(name);
        let unusable = |source| LockError::Unusable {
            path: path.clone(),
            source,
        };
        make_private_dir(dir).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    holder: holder_of(&mut file),
                    path,
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        write_holder(&mut file).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

/// Makes a directory that only its owner can enter, with its parents.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// What the holder wrote of itself: for people only, the lock itself is the kernel's.
fn holder_of(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(16).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        Ok(_) | Err(_) => "another process".to_owned(),
    }
}

/// A directory that cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns it.
    #[error(
        "`{}` is held by {holder}: stop that one first, or use another directory",
        path.display()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// `process 4711`, as the holder wrote it.
        holder: String,
    },
    /// The lock file cannot be made or locked.
    #[error("the lock file `{}` cannot be used", path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(dir.path(), "lock").unwrap();
        let error = DirectoryLock::take(dir.path(), "lock").unwrap_err();
        let pid = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
        drop(first);
        DirectoryLock::take(dir.path(), "lock").unwrap();
    }
}
