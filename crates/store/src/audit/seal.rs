//! Sealing: bundles and tiles first, the signed checkpoint last.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubestile_tlog::bundle::{parse_bundle, push_entry};
use kubestile_tlog::tile::{bundle_of, new_bundles, new_tiles};
use kubestile_tlog::{Checkpoint, Edge, TilePath, TreeReader, leaf_hash};

use super::disk::{Disk, Publication};
use super::error::{DiskError, OpenError};
use super::key::LogKey;
use super::layout;
use super::wal::Entry;

/// The tree as far as it is sealed, and the means to seal more.
pub(super) struct Sealer {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    key: LogKey,
    edge: Edge,
    /// The bytes of the entry bundle in growth.
    bundle: Vec<u8>,
    /// The size that the last checkpoint signs.
    sealed: u64,
}

impl Sealer {
    /// For a log that has nothing yet.
    pub(super) fn new(disk: Arc<dyn Disk>, root: &Path, key: LogKey) -> Self {
        Self {
            disk,
            root: root.to_owned(),
            key,
            edge: Edge::new(),
            bundle: Vec::new(),
            sealed: 0,
        }
    }

    /// For a log that its checkpoint describes: the edge of its tree must lead to the signed root,
    /// and the entries of the bundle in growth to the edge.
    pub(super) fn load(
        disk: Arc<dyn Disk>,
        root: &Path,
        key: LogKey,
        checkpoint: &Checkpoint,
    ) -> Result<Self, OpenError> {
        let size = checkpoint.size();
        let fetch = |tile| layout::read_tile(root, tile);
        let edge = Edge::load(size, checkpoint.root(), fetch)
            .map_err(|error| OpenError::Tiles(error.into()))?;
        Ok(Self {
            bundle: load_bundle(root, size)?,
            disk,
            root: root.to_owned(),
            key,
            edge,
            sealed: size,
        })
    }

    /// How many entries the last checkpoint covers.
    pub(super) fn sealed(&self) -> u64 {
        self.sealed
    }

    /// How many entries the tree has, sealed or not.
    pub(super) fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Begins to write what more entries add to the log.
    ///
    /// After an error nothing more may be sealed: what the disk holds is unknown.
    pub(super) fn begin(&mut self) -> Sealing<'_> {
        Sealing {
            files: Publication::new(&self.disk, &self.root),
            sealer: self,
        }
    }

    /// Signs and publishes the tree's head. Everything that it covers is on the disk by now.
    fn publish(&mut self) -> Result<(), DiskError> {
        let checkpoint = Checkpoint::new(self.key.origin(), self.size(), self.edge.root())
            .map_err(tree_error)?
            .sign(self.key.signer())
            .map_err(tree_error)?;
        let mut publication = Publication::new(&self.disk, &self.root);
        let name = Path::new(layout::CHECKPOINT);
        publication.add(name, checkpoint.to_string().as_bytes(), 0o644)?;
        publication.finish()
    }

    /// Takes away the partial files of what is full by now: readers of an older checkpoint find the
    /// full ones instead, as the specification tells them to.
    fn remove_partials(&mut self) -> Result<(), DiskError> {
        let (old, new) = (self.sealed, self.size());
        let tiles = new_tiles(old, new).filter(|tile| !tile.is_partial());
        let bundles = new_bundles(old, new).filter(|bundle| !bundle.is_partial());
        let full = tiles
            .map(TilePath::Hashes)
            .chain(bundles.map(TilePath::Entries));
        for tile in full {
            let dir = self.root.join(layout::partials(tile));
            if dir.is_dir() {
                self.disk
                    .remove_all(&dir)
                    .map_err(DiskError::io("remove", &dir))?;
            }
        }
        self.sealed = new;
        Ok(())
    }
}

/// Files being written for entries that no checkpoint covers yet.
pub(super) struct Sealing<'a> {
    sealer: &'a mut Sealer,
    files: Publication,
}

impl Sealing<'_> {
    /// Adds one entry; what becomes full by it never changes again and is written.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<(), DiskError> {
        let sealer = &mut *self.sealer;
        push_entry(&mut sealer.bundle, &entry.bytes).map_err(tree_error)?;
        sealer.edge.append(entry.leaf);
        let size = sealer.size();
        if let Some(bundle) = bundle_of(size, size - 1).filter(|bundle| !bundle.is_partial()) {
            let path = layout::path(TilePath::Entries(bundle));
            self.files.add_immutable(&path, &sealer.bundle)?;
            sealer.bundle.clear();
        }
        for (tile, bytes) in sealer.edge.take_full() {
            let path = layout::path(TilePath::Hashes(tile));
            self.files.add_immutable(&path, &bytes)?;
        }
        Ok(())
    }

    /// Writes what is still in growth, and then the checkpoint that covers all.
    pub(super) fn finish(mut self) -> Result<(), DiskError> {
        for (tile, bytes) in self.sealer.edge.seal() {
            let path = layout::path(TilePath::Hashes(tile));
            self.files.add_immutable(&path, &bytes)?;
        }
        let size = self.sealer.size();
        let bundle = size.checked_sub(1).and_then(|last| bundle_of(size, last));
        if let Some(bundle) = bundle.filter(|bundle| bundle.is_partial()) {
            let path = layout::path(TilePath::Entries(bundle));
            self.files.add_immutable(&path, &self.sealer.bundle)?;
        }
        self.files.finish()?;
        self.sealer.publish()?;
        self.sealer.remove_partials()
    }
}

/// The bytes of the bundle in growth at `size`, whose entries must be the tree's.
fn load_bundle(root: &Path, size: u64) -> Result<Vec<u8>, OpenError> {
    let wrong = |why: String| OpenError::Tiles(why.into());
    let last = size.checked_sub(1);
    let Some(bundle) = last.and_then(|last| bundle_of(size, last)) else {
        return Ok(Vec::new());
    };
    let bytes = layout::read_bundle(root, bundle)
        .map_err(|error| OpenError::Tiles(error.into()))?
        .ok_or_else(|| wrong(format!("bundle `{bundle}` is missing")))?;
    let entries = parse_bundle(&bytes).map_err(|error| OpenError::Tiles(error.into()))?;
    if entries.len() != usize::from(bundle.width()) {
        return Err(wrong(format!(
            "bundle `{bundle}` has `{}` entries",
            entries.len()
        )));
    }
    let mut tree = TreeReader::new(size, |tile| layout::read_tile(root, tile));
    for (index, entry) in (bundle.entries().start..).zip(entries) {
        let leaf = tree
            .leaf(index)
            .map_err(|error| OpenError::Tiles(error.into()))?;
        if leaf != leaf_hash(entry) {
            return Err(wrong(format!(
                "entry `{index}` is not the one that was signed"
            )));
        }
    }
    let growing = bundle.is_partial();
    Ok(if growing { bytes } else { Vec::new() })
}

fn tree_error(error: impl std::error::Error) -> DiskError {
    DiskError::Tree(error.to_string())
}
