//! A tamper-evident log: the mathematics and file formats of C2SP transparency logs.
//!
//! The crate is pure. It does no IO, reads no clock, draws no randomness and knows nothing of
//! what the entries mean: bytes come in as arguments or through a closure the caller gives.
//!
//! In the order an entry travels:
//!
//! 1. [`bundle`]: entries, framed into files of up to 256.
//! 2. [`merkle`]: leaf and node hashes, roots, inclusion and consistency proofs.
//! 3. [`edge`]: the right edge of the tree, which grows one leaf at a time and yields the tiles.
//! 4. [`tile`]: the names of those files, and which of them change when the tree grows.
//! 5. [`key`], [`note`], [`checkpoint`], [`cosignature`]: who vouches for a tree head.
//! 6. [`reader`]: hashes and proofs out of stored tiles.
//! 7. [`proof`]: the file that shows one entry is in the log, to someone offline.
//! 8. [`audit`]: the check that every stored byte agrees with the signed root.
//!
//! Formats: <https://c2sp.org/tlog-tiles>, <https://c2sp.org/tlog-checkpoint>,
//! <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-cosignature>,
//! <https://c2sp.org/tlog-proof>. Every parser accepts exactly one spelling of a value: what it
//! accepts encodes back to the same bytes.

pub mod audit;
pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
pub mod edge;
pub mod fuzzing;
pub mod key;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod reader;
mod text;
pub mod tile;

pub use checkpoint::{Checkpoint, SignedCheckpoint, Trust};
pub use edge::Edge;
pub use key::{KeyName, Signer, Verifier};
pub use merkle::{Frontier, Hash, leaf_hash};
pub use proof::Proof;
pub use reader::TreeReader;
pub use tile::{BundleId, Tile, TilePath};

/// The largest tree this crate handles, 2^63 - 1 leaves: the bound other C2SP tools share.
pub const MAX_SIZE: u64 = i64::MAX as u64;
