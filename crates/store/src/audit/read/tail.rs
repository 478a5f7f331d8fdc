//! Following a log while it grows.

use std::path::{Path, PathBuf};

use kubestile_tlog::audit::audit;
use kubestile_tlog::{Edge, Trust};

use super::verify::chain;
use super::{Entries, ReadError, head, signed_head, trust};
use crate::audit::layout;

/// New entries of a log, as its checkpoint grows. Whoever follows a log asks again about once a
/// second, which is how often there is a new checkpoint.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    next: u64,
    verifier: Option<Verifying>,
}

/// The tree as far as it was verified.
#[derive(Debug)]
struct Verifying {
    trust: Trust,
    edge: Edge,
}

impl Tail {
    /// From entry `from` on.
    pub fn new(dir: &Path, from: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            next: from,
            verifier: None,
        }
    }

    /// From the end of the log as it is now, verifying that what follows is signed by the key
    /// `vkey` and continues what is there. (What is there already is [`verify`](super::verify)'s to check.)
    ///
    /// # Errors
    /// If the log as it is does not agree with its checkpoint.
    pub fn verifying(dir: &Path, vkey: &str) -> Result<Self, ReadError> {
        let trust = trust(vkey)?;
        let head = signed_head(dir, &trust)?;
        let (size, root) = (head.checkpoint().size(), head.checkpoint().root());
        let edge = Edge::load(size, root, |tile| layout::read_tile(dir, tile))
            .map_err(|error| ReadError::Tree(chain(&error)))?;
        Ok(Self {
            dir: dir.to_owned(),
            next: size,
            verifier: Some(Verifying { trust, edge }),
        })
    }

    /// The entries that are new since the last call; there may be none.
    ///
    /// # Errors
    /// [`ReadError::Cut`] if the log is smaller than it was; [`ReadError::Tree`] if it does not
    /// continue what it was.
    pub fn poll(&mut self) -> Result<Entries, ReadError> {
        let size = match &mut self.verifier {
            Some(verifying) => verifying.advance(&self.dir)?,
            None => head(&self.dir)?.size(),
        };
        if size < self.next {
            let had = self.next;
            return Err(ReadError::Cut { had, has: size });
        }
        let entries = Entries::between(&self.dir, self.next, size);
        self.next = size;
        Ok(entries)
    }
}

impl Verifying {
    fn advance(&mut self, dir: &Path) -> Result<u64, ReadError> {
        let head = signed_head(dir, &self.trust)?;
        let (size, root) = (head.checkpoint().size(), head.checkpoint().root());
        let had = self.edge.size();
        if size < had {
            return Err(ReadError::Cut { had, has: size });
        }
        let tiles = |tile| layout::read_tile(dir, tile);
        let bundles = |bundle| layout::read_bundle(dir, bundle);
        self.edge = audit(self.edge.clone(), size, root, tiles, bundles)
            .map_err(|error| ReadError::Tree(chain(&error)))?;
        Ok(size)
    }
}
