//! A disk that fails when told to, and then forgets what was not synced, as a power cut would.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{Disk, RealDisk};

/// Fails at one operation and at every one after it.
pub(in crate::audit) struct FaultyDisk {
    state: Mutex<State>,
}

struct State {
    /// Operations that still succeed.
    left: u64,
    /// Operations so far.
    done: u64,
    random: u64,
    /// How much of each file is on the disk for certain.
    synced: HashMap<PathBuf, u64>,
    /// Changes of names that are not on the disk for certain, in order.
    names: Vec<Name>,
}

/// A change of a name, with what there was before.
enum Name {
    Made(PathBuf),
    Placed(PathBuf, Option<Vec<u8>>),
    Removed(PathBuf, Vec<u8>),
}

impl Name {
    fn path(&self) -> &Path {
        match self {
            Self::Made(path) | Self::Placed(path, _) | Self::Removed(path, _) => path,
        }
    }
}

impl FaultyDisk {
    /// Lets `left` operations succeed; `seed` decides what a crash forgets.
    pub(in crate::audit) fn new(left: u64, seed: u64) -> Self {
        let state = State {
            left,
            done: 0,
            random: seed,
            synced: HashMap::new(),
            names: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Operations asked for so far.
    pub(in crate::audit) fn operations(&self) -> u64 {
        self.lock().done
    }

    /// Forgets, at random, what was not synced. To be called when nothing writes any more.
    pub(in crate::audit) fn crash(&self) {
        let mut state = self.lock();
        // Names are lost from the last one back, as a journal loses them.
        let count = state.names.len() as u64;
        let kept = state.below(count + 1) as usize;
        for name in state.names.split_off(kept).into_iter().rev() {
            match name {
                Name::Made(path) => drop(std::fs::remove_dir_all(path)),
                Name::Placed(path, None) => drop(std::fs::remove_file(path)),
                Name::Placed(path, Some(bytes)) | Name::Removed(path, bytes) => {
                    drop(std::fs::remove_file(&path));
                    std::fs::write(path, bytes).unwrap();
                }
            }
        }
        let files: Vec<_> = state.synced.iter().map(|(p, n)| (p.clone(), *n)).collect();
        for (path, synced) in files {
            let Ok(metadata) = std::fs::metadata(&path) else {
                continue;
            };
            if metadata.len() > synced {
                let kept = synced + state.below(metadata.len() - synced + 1);
                let file = OpenOptions::new().write(true).open(&path);
                // A file without write permission was renamed, hence synced before.
                if let Ok(file) = file {
                    file.set_len(kept).unwrap();
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        if self.left == 0 {
            return Err(io::Error::other("injected"));
        }
        self.left -= 1;
        Ok(())
    }

    /// A number below `bound` (splitmix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path, mode: u32) -> io::Result<File> {
        let mut state = self.lock();
        state.step()?;
        state.synced.insert(path.to_owned(), 0);
        RealDisk.create(path, mode)
    }

    fn write(&self, path: &Path, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if let Err(error) = state.step() {
            // The last write of all may leave a part behind.
            if state.left == 0 && state.below(2) == 0 {
                let part = state.below(bytes.len() as u64 + 1) as usize;
                file.write_all(&bytes[..part])?;
            }
            return Err(error);
        }
        RealDisk.write(path, file, bytes)
    }

    fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        // The files are small and the page cache is not what is being tested.
        state.synced.insert(path.to_owned(), file.metadata()?.len());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        let before = std::fs::read(to).ok();
        RealDisk.rename(from, to)?;
        if let Some(synced) = state.synced.remove(from) {
            state.synced.insert(to.to_owned(), synced);
        }
        state.names.push(Name::Placed(to.to_owned(), before));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        let before = std::fs::read(path)?;
        RealDisk.remove(path)?;
        state.synced.remove(path);
        state.names.push(Name::Removed(path.to_owned(), before));
        Ok(())
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.lock().step()?;
        RealDisk.remove_all(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        RealDisk.make_dir(path)?;
        state.names.push(Name::Made(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        state
            .names
            .retain(|name| name.path().parent() != Some(path));
        Ok(())
    }
}
