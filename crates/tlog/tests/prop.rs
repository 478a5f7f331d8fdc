//! Properties: every prefix is consistent, only true proofs verify, no flipped bit passes, any
//! bytes can be parsed, and an independent implementation agrees.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test binary may panic"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use kubestile_tlog::audit::{AuditError, audit};
use kubestile_tlog::bundle::{encode_bundle, parse_bundle, prefix_len};
use kubestile_tlog::merkle::{
    Hash, leaf_hash, prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion,
};
use kubestile_tlog::tile::{BundleId, Tile, TilePath, new_bundles, new_tiles};
use kubestile_tlog::{
    Checkpoint, Edge, KeyName, Proof, SignedCheckpoint, Signer, TreeReader, Trust, fuzzing,
};
use proptest::prelude::*;
use proptest::sample::Index;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|i| leaf_hash(&entry(i))).collect()
}

fn flip(bytes: &mut [u8], at: Index) {
    let bit = at.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// A log as it lies on disk.
struct Log {
    files: BTreeMap<TilePath, Vec<u8>>,
    checkpoint: Vec<u8>,
    trust: Trust,
}

impl Log {
    fn write(size: u64) -> Self {
        let mut edge = Edge::new();
        leaves(size).into_iter().for_each(|leaf| edge.append(leaf));
        let tiles = edge
            .seal()
            .into_iter()
            .map(|(tile, bytes)| (TilePath::Hashes(tile), bytes));
        let bundles = new_bundles(0, size).map(|id| {
            (
                TilePath::Entries(id),
                encode_bundle(id.entries().map(entry)).unwrap(),
            )
        });
        let log = Signer::from_seed(KeyName::parse("example.com/log").unwrap(), &[1; 32]).unwrap();
        let head = Checkpoint::new("example.com/log", size, edge.root()).unwrap();
        Self {
            files: tiles.chain(bundles).collect(),
            checkpoint: head.sign(&log).unwrap().to_string().into_bytes(),
            trust: Trust::new(log.verifier().clone()).unwrap(),
        }
    }

    fn open(&self) -> Option<SignedCheckpoint> {
        SignedCheckpoint::open(&self.checkpoint, &self.trust).ok()
    }

    fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.files.get(&TilePath::Hashes(tile)).cloned())
    }

    fn bundle(&self, bundle: BundleId) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.files.get(&TilePath::Entries(bundle)).cloned())
    }

    fn audit(&self) -> Result<Edge, AuditError<Infallible>> {
        let signed = self.open().unwrap();
        let head = signed.checkpoint();
        audit(
            Edge::new(),
            head.size(),
            head.root(),
            |t| self.tile(t),
            |b| self.bundle(b),
        )
    }

    fn prove(&self, index: u64) -> Proof {
        let signed = self.open().unwrap();
        let mut reader = TreeReader::new(signed.checkpoint().size(), |tile| self.tile(tile));
        Proof::new(index, reader.prove_inclusion(index).unwrap(), &signed)
    }
}

proptest! {
    #[test]
    fn every_prefix_is_consistent(size in 1_u64..700, at in any::<Index>()) {
        let all = leaves(size);
        let old = at.index(all.len() + 1);
        let (old_root, new_root) = (root(&all[..old]), root(&all));
        let proof = prove_consistency(&all, old as u64).unwrap();
        prop_assert!(verify_consistency(old as u64, old_root, size, new_root, &proof).is_ok());

        let forged = leaf_hash(b"forged");
        prop_assert!(verify_consistency(old as u64, forged, size, new_root, &proof).is_err());
        if old > 0 && (old as u64) < size {
            prop_assert!(verify_consistency(old as u64, old_root, size, forged, &proof).is_err());
            let mut other = all.clone();
            other[0] = forged;
            let fork = root(&other);
            let proof = prove_consistency(&other, old as u64).unwrap();
            prop_assert!(verify_consistency(old as u64, old_root, size, fork, &proof).is_err());
        }
    }

    #[test]
    fn only_true_inclusion_proofs_verify(
        size in 2_u64..700, at in any::<Index>(), bit in any::<Index>(), shift in any::<Index>(),
    ) {
        let all = leaves(size);
        let index = at.index(all.len());
        let root = root(&all);
        let proof = prove_inclusion(&all, index as u64).unwrap();
        prop_assert!(verify_inclusion(all[index], index as u64, size, &proof, root).is_ok());
        prop_assert!(verify_inclusion(leaf_hash(b""), index as u64, size, &proof, root).is_err());
        let other = (index + 1 + shift.index(all.len() - 1)) % all.len();
        prop_assert!(verify_inclusion(all[index], other as u64, size, &proof, root).is_err());
        prop_assert!(verify_inclusion(all[index], index as u64, size, &proof[1..], root).is_err());
        let longer = [proof.as_slice(), &[root]].concat();
        prop_assert!(verify_inclusion(all[index], index as u64, size, &longer, root).is_err());

        let mut bytes: Vec<u8> = proof.iter().flat_map(|hash| *hash.as_bytes()).collect();
        flip(&mut bytes, bit);
        let (hashes, _) = bytes.as_chunks();
        let flipped: Vec<_> = hashes.iter().map(|hash| Hash::from_bytes(*hash)).collect();
        prop_assert!(verify_inclusion(all[index], index as u64, size, &flipped, root).is_err());
    }

    #[test]
    fn ct_merkle_agrees(size in 1_u64..600, at in any::<Index>()) {
        let mut oracle = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        (0..size).for_each(|i| oracle.push(entry(i)));
        let all = leaves(size);
        let (theirs, ours) = (oracle.root(), root(&all));
        prop_assert_eq!(theirs.as_bytes().as_slice(), ours.as_bytes());
        let concat = |proof: Vec<Hash>| -> Vec<u8> {
            proof.iter().flat_map(|hash| *hash.as_bytes()).collect()
        };
        let index = at.index(all.len());
        let ours = concat(prove_inclusion(&all, index as u64).unwrap());
        let theirs = oracle.prove_inclusion(index);
        prop_assert_eq!(theirs.as_bytes(), ours);
        let added = size as usize - index - 1;
        let ours = concat(prove_consistency(&all, index as u64 + 1).unwrap());
        let theirs = oracle.prove_consistency(added);
        prop_assert_eq!(theirs.as_bytes(), ours);
    }

    #[test]
    fn growth_in_any_steps_writes_the_same_tiles(steps in prop::collection::vec(0_u64..600, 1..6)) {
        let (mut edge, mut files) = (Edge::new(), BTreeMap::new());
        for step in steps {
            let old = edge.size();
            (old..old + step).for_each(|i| edge.append(leaf_hash(&entry(i))));
            let sealed = edge.seal();
            let names: Vec<_> = sealed.iter().map(|(tile, _)| *tile).collect();
            prop_assert_eq!(names, new_tiles(old, edge.size()).collect::<Vec<_>>());
            files.extend(sealed);
        }
        let whole = Log::write(edge.size());
        for tile in new_tiles(0, edge.size()) {
            prop_assert_eq!(files.get(&tile), whole.files.get(&TilePath::Hashes(tile)));
        }
        let mut reader =
            TreeReader::new(edge.size(), |tile| Ok::<_, Infallible>(files.get(&tile).cloned()));
        prop_assert_eq!(reader.root().unwrap(), edge.root());
    }

    #[test]
    fn a_flipped_bit_in_any_file_fails_the_audit(
        size in 1_u64..700, file in any::<Index>(), bit in any::<Index>(),
    ) {
        let mut log = Log::write(size);
        prop_assert!(log.audit().is_ok());
        let file = file.index(log.files.len());
        flip(log.files.values_mut().nth(file).unwrap(), bit);
        prop_assert!(log.audit().is_err());
    }

    #[test]
    fn a_flipped_bit_in_a_checkpoint_or_proof_is_refused(
        size in 1_u64..700, at in any::<Index>(), bit in any::<Index>(),
    ) {
        let mut log = Log::write(size);
        let index = at.index(size as usize) as u64;
        let proof = log.prove(index).to_string();
        let verifies = |bytes: &[u8]| {
            Proof::parse(bytes).is_ok_and(|p| p.verify(&entry(index), &log.trust).is_ok())
        };
        prop_assert!(verifies(proof.as_bytes()));
        let mut flipped = proof.into_bytes();
        flip(&mut flipped, bit);
        prop_assert!(!verifies(&flipped));
        flip(&mut log.checkpoint, bit);
        prop_assert_eq!(log.open(), None);
    }

    #[test]
    fn paths_round_trip(level in 0_u8..=63, index in 0_u64..1 << 55, width in 1_u16..=256) {
        let tile = TilePath::Hashes(Tile::new(level, index, width).unwrap());
        prop_assert_eq!(TilePath::parse(&tile.to_string()), Ok(tile));
        let bundle = TilePath::Entries(BundleId::new(index, width).unwrap());
        prop_assert_eq!(TilePath::parse(&bundle.to_string()), Ok(bundle));
    }

    #[test]
    fn bundles_round_trip(entries in prop::collection::vec(any::<Vec<u8>>(), 0..=256)) {
        let bytes = encode_bundle(&entries).unwrap();
        prop_assert_eq!(parse_bundle(&bytes).unwrap(), entries.clone());
        prop_assert_eq!(prefix_len(&bytes, entries.len() as u16), Some(bytes.len()));
    }

    #[test]
    fn any_bytes_can_be_parsed(bytes in any::<Vec<u8>>(), text in any::<String>()) {
        parse_all(&bytes);
        parse_all(text.as_bytes());
    }

    #[test]
    fn near_misses_can_be_parsed(
        bits in prop::collection::vec(any::<Index>(), 1..4), cut in any::<Index>(),
    ) {
        let log = Log::write(5);
        let seeds = [
            log.checkpoint.clone(),
            log.prove(3).to_string().into_bytes(),
            log.open().unwrap().checkpoint().to_string().into_bytes(),
            log.trust.log().to_string().into_bytes(),
            encode_bundle([entry(1), entry(2)]).unwrap(),
            b"tile/entries/x001/234.p/56".to_vec(),
        ];
        for mut seed in seeds {
            bits.iter().for_each(|bit| flip(&mut seed, *bit));
            parse_all(&seed);
            parse_all(&seed[..cut.index(seed.len())]);
        }
    }
}

fn parse_all(bytes: &[u8]) {
    fuzzing::note(bytes);
    fuzzing::checkpoint(bytes);
    fuzzing::tile_path(bytes);
    fuzzing::bundle(bytes);
    fuzzing::proof(bytes);
    fuzzing::vkey(bytes);
}

#[test]
fn every_bit_of_a_small_log_counts() {
    let log = Log::write(3);
    for (path, bytes) in &log.files {
        for bit in 0..bytes.len() * 8 {
            let mut bad = Log::write(3);
            bad.files.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            assert!(bad.audit().is_err(), "{path} bit {bit}");
        }
    }
}
