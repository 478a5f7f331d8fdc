//! The RFC 6962 Merkle tree: hashes, roots and proofs (RFC 6962 section 2.1, RFC 9162 2.1).
//!
//! A proof is described once, as the list of leaf ranges whose subtree hashes it holds. Provers
//! look those hashes up, verifiers fold over the same list, so a proof's length is bounded by
//! the height of the tree, at most 63.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256, digest};
use thiserror::Error;

use crate::text::{decode_base64, encode_base64};

/// A SHA-256 hash of a leaf, a subtree or a whole tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Self::LEN]);

impl Hash {
    /// Bytes in a hash.
    pub const LEN: usize = 32;

    /// The hash with exactly these bytes.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, as a tile holds them.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Reads the base64 spelling that checkpoints and proofs use.
    pub fn from_base64(text: &str) -> Option<Self> {
        decode_base64(text)?.try_into().ok().map(Self)
    }

    fn of(data: &[u8]) -> Self {
        Self::copied(digest(&SHA256, data).as_ref())
    }

    fn copied(digest: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(digest);
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_base64(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// The address of a complete subtree: it covers leaves `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Height above the leaves.
    pub level: u8,
    /// Position among the complete subtrees of this height.
    pub index: u64,
}

/// The hash of an entry as a leaf: `SHA-256(0x00 || entry)` (RFC 6962 section 2.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    // One-shot hashing is faster than a context; a stack buffer takes all but the largest entries.
    let mut buffer = [0_u8; 1024];
    let Some(message) = buffer.get_mut(..=entry.len()) else {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(entry);
        return Hash::copied(context.finish().as_ref());
    };
    if let Some(body) = message.get_mut(1..) {
        body.copy_from_slice(entry);
    }
    Hash::of(message)
}

/// The hash of two subtrees side by side: `SHA-256(0x01 || left || right)` (RFC 6962 2.1).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut message = [1_u8; 1 + 2 * Hash::LEN];
    let (head, tail) = message.split_at_mut(1 + Hash::LEN);
    if let Some(slot) = head.get_mut(1..) {
        slot.copy_from_slice(&left.0);
    }
    tail.copy_from_slice(&right.0);
    Hash::of(&message)
}

/// The root of a tree with no leaves: `SHA-256("")` (RFC 6962 section 2.1).
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The root over these leaf hashes (RFC 6962 section 2.1, `MTH`).
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf));
    frontier.root()
}

/// The complete subtrees along a tree's right edge, enough to append to it and know its root.
///
/// Holds at most 63 hashes. An append costs one node hash on average.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// INVARIANT: one hash per set bit of `size`, the largest subtree first.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds a frontier from [`Frontier::size`] and [`Frontier::nodes`].
    ///
    /// Nothing if the count of hashes does not fit the size. The hashes are taken on trust:
    /// compare [`Frontier::root`] with a root you know.
    pub fn from_parts(size: u64, nodes: Vec<Hash>) -> Option<Self> {
        let fits = size <= crate::MAX_SIZE && nodes.len() == size.count_ones() as usize;
        fits.then_some(Self { size, nodes })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The complete subtrees, the largest (leftmost) first.
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }

    /// Adds one leaf hash at the right.
    pub fn append(&mut self, leaf: Hash) {
        self.append_with(leaf, |_, _| {});
    }

    /// Adds one leaf hash and reports every subtree it completes, with its level, leaf first.
    pub fn append_with(&mut self, leaf: Hash, mut completed: impl FnMut(u8, Hash)) {
        let mut hash = leaf;
        let mut level = 0;
        completed(level, hash);
        // Each trailing one of the size is a complete subtree as large as the one in hand.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.nodes.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            completed(level, hash);
        }
        self.nodes.push(hash);
        self.size += 1;
    }

    /// The root of the tree so far.
    pub fn root(&self) -> Hash {
        fold_right(&self.nodes).unwrap_or_else(empty_root)
    }
}

/// The inclusion proof of leaf `index` in the tree over `leaves` (RFC 6962 section 2.1.1).
pub fn prove_inclusion(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, ProofRangeError> {
    let ranges = inclusion_ranges(index, leaves.len() as u64)?;
    Ok(ranges
        .iter()
        .filter_map(|range| slice(leaves, range))
        .map(root)
        .collect())
}

/// The proof that the first `old_size` of `leaves` are a prefix of them all (RFC 6962 2.1.2).
pub fn prove_consistency(leaves: &[Hash], old_size: u64) -> Result<Vec<Hash>, ProofRangeError> {
    let path = consistency_path(old_size, leaves.len() as u64)?;
    Ok(path
        .ranges()
        .filter_map(|range| slice(leaves, range))
        .map(root)
        .collect())
}

/// Checks that `leaf` is entry `index` of the tree of `size` leaves with this `root`
/// (RFC 9162 section 2.1.3.2).
pub fn verify_inclusion(
    leaf: Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: Hash,
) -> Result<(), VerifyError> {
    let ranges = inclusion_ranges(index, size)?;
    check_length(ranges.len(), proof.len())?;
    let computed = ranges
        .iter()
        .zip(proof)
        .fold(leaf, |hash, (range, sibling)| {
            if range.start > index {
                node_hash(&hash, sibling)
            } else {
                node_hash(sibling, &hash)
            }
        });
    if computed == root {
        Ok(())
    } else {
        Err(VerifyError::RootMismatch)
    }
}

/// Checks that the tree of `new_size` leaves extends the tree of `old_size` leaves
/// (RFC 9162 section 2.1.4.2). The empty tree is a prefix of every tree, by an empty proof.
pub fn verify_consistency(
    old_size: u64,
    old_root: Hash,
    new_size: u64,
    new_root: Hash,
    proof: &[Hash],
) -> Result<(), VerifyError> {
    let path = consistency_path(old_size, new_size)?;
    check_length(path.ranges().count(), proof.len())?;
    if old_size == 0 {
        return if old_root == empty_root() {
            Ok(())
        } else {
            Err(VerifyError::OldRootMismatch)
        };
    }
    let (seed, siblings) = match (&path.seed, proof.split_first()) {
        (Some(_), Some((first, rest))) => (*first, rest),
        _ => (old_root, proof),
    };
    let (mut old, mut new) = (seed, seed);
    for (range, sibling) in path.siblings.iter().zip(siblings) {
        if range.start >= old_size {
            new = node_hash(&new, sibling);
        } else {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
        }
    }
    if old != old_root {
        return Err(VerifyError::OldRootMismatch);
    }
    if new == new_root {
        Ok(())
    } else {
        Err(VerifyError::RootMismatch)
    }
}

/// A proof was asked for, or offered, about leaves the tree does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProofRangeError {
    /// The entry is past the end of the tree.
    #[error("entry `{index}` is not in a tree of size `{size}`")]
    Index {
        /// The entry asked for.
        index: u64,
        /// The tree's size.
        size: u64,
    },
    /// The tree said to be older is the larger one.
    #[error("a tree of size `{old}` is no prefix of a tree of size `{new}`")]
    Prefix {
        /// The size said to be older.
        old: u64,
        /// The size said to be newer.
        new: u64,
    },
    /// The tree is larger than [`crate::MAX_SIZE`].
    #[error("tree size `{0}` is over the limit")]
    TooLarge(u64),
}

/// A proof does not show what it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The claim is about leaves the tree does not have.
    #[error(transparent)]
    Range(#[from] ProofRangeError),
    /// The proof has the wrong number of hashes for the claim.
    #[error("proof has `{found}` hashes, the claim needs `{expected}`")]
    Length {
        /// Hashes the claim needs.
        expected: usize,
        /// Hashes the proof has.
        found: usize,
    },
    /// The proof leads to another root.
    #[error("proof does not lead to the root")]
    RootMismatch,
    /// The consistency proof leads to another old root.
    #[error("proof does not lead to the old root")]
    OldRootMismatch,
}

/// The ranges whose hashes make an inclusion proof, from the leaf's sibling up.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofRangeError> {
    check_size(size)?;
    if index >= size {
        return Err(ProofRangeError::Index { index, size });
    }
    let mut siblings = Vec::new();
    let mut tree = 0..size;
    while tree.end - tree.start > 1 {
        let middle = split(&tree);
        let (keep, sibling) = halves(tree, middle, index < middle);
        siblings.push(sibling);
        tree = keep;
    }
    siblings.reverse();
    Ok(siblings)
}

/// The ranges whose hashes make a consistency proof.
pub(crate) struct ConsistencyPath {
    /// The old tree's last subtree, unless it is the whole old tree, whose root is known.
    seed: Option<Range<u64>>,
    /// The siblings on the way from there to the new root.
    siblings: Vec<Range<u64>>,
}

impl ConsistencyPath {
    /// Every range of the proof, in the proof's order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Range<u64>> {
        self.seed.iter().chain(&self.siblings)
    }
}

/// Splits the new tree down to where the old tree ends (RFC 6962 section 2.1.2, `SUBPROOF`).
pub(crate) fn consistency_path(old: u64, new: u64) -> Result<ConsistencyPath, ProofRangeError> {
    check_size(new)?;
    if old > new {
        return Err(ProofRangeError::Prefix { old, new });
    }
    let mut siblings = Vec::new();
    let mut tree = 0..new;
    while old != 0 && old != tree.end {
        let middle = split(&tree);
        let (keep, sibling) = halves(tree, middle, old <= middle);
        siblings.push(sibling);
        tree = keep;
    }
    siblings.reverse();
    let seed = (old != 0 && tree.start != 0).then_some(tree);
    Ok(ConsistencyPath { seed, siblings })
}

/// The hash of a range met in a proof, from the complete subtrees that make it up.
pub(crate) fn range_hash<E>(
    range: &Range<u64>,
    mut node: impl FnMut(Node) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let hashes = subtrees(range)
        .map(&mut node)
        .collect::<Result<Vec<_>, E>>()?;
    Ok(fold_right(&hashes).unwrap_or_else(empty_root))
}

/// The complete subtrees that cover a range, left to right.
fn subtrees(range: &Range<u64>) -> impl Iterator<Item = Node> {
    let Range { mut start, end } = *range;
    std::iter::from_fn(move || {
        let level = (end - start).checked_ilog2()?.min(start.trailing_zeros());
        let node = Node {
            level: level as u8,
            index: start >> level,
        };
        start += 1 << level;
        Some(node)
    })
}

/// Joins complete subtrees, largest first, into the hash of the tree they make.
fn fold_right(nodes: &[Hash]) -> Option<Hash> {
    nodes
        .iter()
        .copied()
        .rev()
        .reduce(|right, left| node_hash(&left, &right))
}

/// Where RFC 6962 splits a tree of two or more leaves: the largest power of two below its size.
fn split(tree: &Range<u64>) -> u64 {
    let size = tree.end - tree.start;
    tree.start + (1 << (size - 1).checked_ilog2().unwrap_or(0))
}

/// The half to go on with and its sibling.
fn halves(tree: Range<u64>, middle: u64, left: bool) -> (Range<u64>, Range<u64>) {
    let (low, high) = (tree.start..middle, middle..tree.end);
    if left { (low, high) } else { (high, low) }
}

fn slice<'a>(leaves: &'a [Hash], range: &Range<u64>) -> Option<&'a [Hash]> {
    leaves.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

fn check_size(size: u64) -> Result<(), ProofRangeError> {
    if size > crate::MAX_SIZE {
        Err(ProofRangeError::TooLarge(size))
    } else {
        Ok(())
    }
}

fn check_length(expected: usize, found: usize) -> Result<(), VerifyError> {
    if expected == found {
        Ok(())
    } else {
        Err(VerifyError::Length { expected, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// The recursive definition of RFC 6962 section 2.1, word for word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                node_hash(&mth(&many[..k]), &mth(&many[k..]))
            }
        }
    }

    #[test]
    fn known_hashes() {
        // SHA-256 of nothing and of one zero byte.
        assert_eq!(
            empty_root().to_string(),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        );
        assert_eq!(
            leaf_hash(b"").to_string(),
            "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0="
        );
    }

    #[test]
    fn leaf_hash_is_the_same_on_both_paths() {
        for len in [0, 1, 1022, 1023, 1024, 1025, 65_535] {
            let mut message = vec![7; len + 1];
            message[0] = 0;
            assert_eq!(leaf_hash(&message[1..]), Hash::of(&message), "{len}");
        }
    }

    #[test]
    fn frontier_agrees_with_the_definition() {
        let leaves = leaves(300);
        let mut frontier = Frontier::new();
        for n in 0..=300 {
            assert_eq!(frontier.root(), mth(&leaves[..n]), "{n}");
            let parts = Frontier::from_parts(frontier.size(), frontier.nodes().to_vec());
            assert_eq!(parts.as_ref(), Some(&frontier));
            if let Some(leaf) = leaves.get(n) {
                frontier.append(*leaf);
            }
        }
        assert_eq!(Frontier::from_parts(3, vec![empty_root()]), None);
    }

    #[test]
    fn every_proof_of_small_trees_verifies() {
        let all = leaves(40);
        for size in 1..=40_u64 {
            let tree = &all[..size as usize];
            let root = mth(tree);
            for index in 0..size {
                let proof = prove_inclusion(tree, index).unwrap();
                let leaf = tree[index as usize];
                assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()));
            }
            for old in 0..=size {
                let proof = prove_consistency(tree, old).unwrap();
                let old_root = mth(&tree[..old as usize]);
                assert_eq!(
                    verify_consistency(old, old_root, size, root, &proof),
                    Ok(())
                );
            }
        }
    }

    #[test]
    fn claims_out_of_range_are_refused() {
        let hash = empty_root();
        assert!(prove_inclusion(&[], 0).is_err());
        assert!(prove_consistency(&leaves(2), 3).is_err());
        assert!(verify_inclusion(hash, 0, u64::MAX, &[], hash).is_err());
        assert!(verify_consistency(1, hash, u64::MAX, hash, &[]).is_err());
        let most = crate::MAX_SIZE;
        let proof = [hash; 64];
        assert_eq!(
            verify_inclusion(hash, 0, most, &proof, hash),
            Err(VerifyError::Length {
                expected: 63,
                found: 64
            })
        );
    }
}
