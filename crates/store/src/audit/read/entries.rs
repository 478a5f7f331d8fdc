//! Entries in order, a bundle at a time.

use std::path::{Path, PathBuf};

use kubestile_tlog::bundle::parse_bundle;
use kubestile_tlog::tile::bundle_of;

use super::{ReadError, head};
use crate::audit::layout;

/// The entries of a log, as bytes, from an index to the end that the checkpoint has when it begins.
///
/// After an error the iterator ends.
#[derive(Debug)]
pub struct Entries {
    dir: PathBuf,
    next: u64,
    size: u64,
    /// What is left of the bundle that was read last, in reverse.
    ready: Vec<Vec<u8>>,
}

impl Entries {
    /// From entry `from` on.
    ///
    /// # Errors
    /// If there is no log below `dir`.
    pub fn open(dir: &Path, from: u64) -> Result<Self, ReadError> {
        let size = head(dir)?.size();
        Ok(Self::between(dir, from, size))
    }

    /// Up to a size that a checkpoint has had.
    pub(super) fn between(dir: &Path, from: u64, size: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            next: from,
            size,
            ready: Vec::new(),
        }
    }

    /// Where it ends: the size of the log when it began.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// One entry.
    pub(super) fn one(dir: &Path, index: u64, size: u64) -> Result<Vec<u8>, ReadError> {
        match Self::between(dir, index, size).next() {
            Some(entry) => entry.map(|(_, bytes)| bytes),
            None => Err(ReadError::NoEntry { index, size }),
        }
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        let broken = |why: String| ReadError::Entry {
            index: self.next,
            why,
        };
        let bundle = bundle_of(self.size, self.next)
            .ok_or_else(|| broken("no bundle can hold it".to_owned()))?;
        // The partial bundle goes once the full one is there.
        let read = layout::read_bundle(&self.dir, bundle)
            .and_then(|found| match found {
                None => layout::read_bundle(&self.dir, bundle.to_full()),
                found => Ok(found),
            })
            .map_err(|error| broken(error.to_string()))?;
        let bytes = read.ok_or_else(|| broken(format!("`{bundle}` is missing")))?;
        let entries = parse_bundle(&bytes).map_err(|error| broken(error.to_string()))?;
        let skip = usize::try_from(self.next - bundle.entries().start).unwrap_or(usize::MAX);
        let wanted = entries.get(skip..usize::from(bundle.width()));
        let wanted = wanted.ok_or_else(|| broken(format!("`{bundle}` is too short")))?;
        self.ready = wanted.iter().rev().map(|entry| entry.to_vec()).collect();
        Ok(())
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.size {
            return None;
        }
        if self.ready.is_empty()
            && let Err(error) = self.fill()
        {
            self.size = 0;
            return Some(Err(error));
        }
        let entry = self.ready.pop()?;
        let index = self.next;
        self.next += 1;
        Some(Ok((index, entry)))
    }
}
