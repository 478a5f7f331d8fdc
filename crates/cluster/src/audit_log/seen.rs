//! Which requests were counted already, for all workers together.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

/// Parts, so that workers seldom wait for each other.
const PARTS: usize = 16;
/// Requests that are remembered in each: eight million together, in some hundred megabytes.
const MOST: usize = 1 << 19;

/// Hashes of requests.
#[derive(Debug)]
pub(super) struct Seen {
    parts: Vec<Mutex<HashSet<u64, BuildHasherDefault<Same>>>>,
}

impl Default for Seen {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::default());
        Self {
            parts: parts.collect(),
        }
    }
}

impl Seen {
    /// Whether it is the first; none if no more can be remembered.
    pub(super) fn is_new(&self, hash: u64) -> Option<bool> {
        let part = self.parts.get(usize::from(hash.to_be_bytes()[0]) % PARTS)?;
        let mut part = part.lock().ok()?;
        if part.len() >= MOST {
            return (part.contains(&hash)).then_some(false);
        }
        Some(part.insert(hash))
    }
}

/// They are hashes already.
#[derive(Debug, Default)]
pub(super) struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
