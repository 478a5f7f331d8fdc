//! The proof file a user keeps: one entry's inclusion, checked offline.
//!
//! Source: <https://c2sp.org/tlog-proof>. The file name ends in `.tlog-proof`.

use std::fmt;

use thiserror::Error;

use crate::checkpoint::{Checkpoint, OpenCheckpointError, SignedCheckpoint, Trust};
use crate::merkle::{Hash, VerifyError, leaf_hash, verify_inclusion};
use crate::note::{MAX_NOTE, Note, NoteError};
use crate::text::{decode_base64, encode_base64, parse_decimal};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The most hashes an inclusion proof can have.
const MAX_HASHES: usize = 63;

/// The longest proof file read, in bytes.
pub const MAX_PROOF: usize = 2 * MAX_NOTE;

/// An inclusion proof with the checkpoint it leads to. It claims nothing before it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    extra: Option<Vec<u8>>,
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: Note,
}

impl Proof {
    /// The proof that entry `index` is in the tree of this checkpoint.
    pub fn new(index: u64, hashes: Vec<Hash>, checkpoint: &SignedCheckpoint) -> Self {
        Self {
            extra: None,
            index,
            hashes,
            checkpoint: checkpoint.note().clone(),
        }
    }

    /// Also carries opaque bytes. Nothing vouches for them.
    pub fn with_extra(self, extra: Vec<u8>) -> Self {
        Self {
            extra: Some(extra),
            ..self
        }
    }

    /// Reads a proof file; only the canonical spelling is accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > MAX_PROOF {
            return Err(ProofError::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Structure)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofError::Structure)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(ProofError::Header);
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(field(line, "extra ", decode_base64)?),
            None => None,
        };
        let index = field(lines.next().unwrap_or_default(), "index ", parse_decimal)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() >= MAX_HASHES {
                return Err(ProofError::Structure);
            }
            hashes.push(Hash::from_base64(line).ok_or(ProofError::Structure)?);
        }
        let checkpoint = Note::parse(checkpoint.as_bytes())?;
        Checkpoint::parse(checkpoint.unverified_text()).map_err(OpenCheckpointError::from)?;
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint,
        })
    }

    /// The index the entry is said to have.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The hashes from the leaf's sibling up.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The opaque bytes, which nothing vouches for.
    pub fn unauthenticated_extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Checks that the trusted log holds this entry at [`Proof::index`].
    ///
    /// Gives back the checkpoint that was checked on the way.
    pub fn verify(&self, entry: &[u8], trust: &Trust) -> Result<SignedCheckpoint, ProofError> {
        self.verify_leaf(leaf_hash(entry), trust)
    }

    /// Checks the same for an entry known by its leaf hash.
    pub fn verify_leaf(&self, leaf: Hash, trust: &Trust) -> Result<SignedCheckpoint, ProofError> {
        let signed = SignedCheckpoint::open(self.checkpoint.to_string().as_bytes(), trust)?;
        let checkpoint = signed.checkpoint();
        let (size, root) = (checkpoint.size(), checkpoint.root());
        verify_inclusion(leaf, self.index, size, &self.hashes, root)?;
        Ok(signed)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", encode_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn field<T>(line: &str, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ProofError> {
    line.strip_prefix(name)
        .and_then(read)
        .ok_or(ProofError::Structure)
}

/// Bytes that are no proof, or a proof that does not show its claim.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF`].
    #[error("proof of `{0}` bytes is over the limit")]
    TooLong(usize),
    /// The first line is another.
    #[error("file does not start with `{HEADER}`")]
    Header,
    /// A line is missing or malformed.
    #[error("proof has a missing or malformed line")]
    Structure,
    /// What follows the hashes is no signed note.
    #[error("proof has no well-formed checkpoint")]
    Note(#[from] NoteError),
    /// The checkpoint is not the trusted log's.
    #[error("proof has no trusted checkpoint")]
    Checkpoint(#[from] OpenCheckpointError),
    /// The hashes do not lead from the entry to the root.
    #[error("entry is not proven to be in the log")]
    Inclusion(#[from] VerifyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyName, Signer};
    use crate::merkle::{prove_inclusion, root};

    fn example(size: u64, index: u64) -> (Proof, Trust) {
        let leaves: Vec<_> = (0..size)
            .map(|i| leaf_hash(i.to_string().as_bytes()))
            .collect();
        let log = Signer::from_seed(KeyName::parse("example.com/log").unwrap(), &[9; 32]).unwrap();
        let checkpoint = Checkpoint::new("example.com/log", size, root(&leaves)).unwrap();
        let signed = checkpoint.sign(&log).unwrap();
        let proof = Proof::new(index, prove_inclusion(&leaves, index).unwrap(), &signed);
        (proof, Trust::new(log.verifier().clone()).unwrap())
    }

    #[test]
    fn a_proof_file_round_trips_and_verifies() {
        for (size, index) in [(1, 0), (2, 1), (7, 6), (300, 256)] {
            let (proof, trust) = example(size, index);
            for proof in [proof.clone(), proof.with_extra(b"more".to_vec())] {
                let parsed = Proof::parse(proof.to_string().as_bytes()).unwrap();
                assert_eq!(parsed, proof);
                let signed = parsed.verify(index.to_string().as_bytes(), &trust).unwrap();
                assert_eq!(signed.checkpoint().size(), size);
                let error = parsed.verify(b"other", &trust).unwrap_err();
                assert_eq!(error, ProofError::Inclusion(VerifyError::RootMismatch));
            }
        }
    }

    #[test]
    fn layout() {
        let (proof, _) = example(2, 1);
        let text = proof.with_extra(b"hi".to_vec()).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[..3],
            ["c2sp.org/tlog-proof@v1", "extra aGk=", "index 1"]
        );
        assert_eq!(lines[4..7], ["", "example.com/log", "2"]);
    }

    #[test]
    fn malformed_proofs_are_refused() {
        let (proof, _) = example(3, 2);
        let text = proof.to_string();
        for bad in [
            String::new(),
            text.replace("@v1", "@v2"),
            text.replace("index 2", "index 02"),
            text.replace("index 2\n", ""),
            text.replace("index 2", "extra !\nindex 2"),
            text.replace("index 2", "index 2\nindex 2"),
            text.replace("=\n\n", "=\n"),
            text.replace("index 2\n", "index 2\n\n"),
            text.trim_end().to_owned(),
        ] {
            assert!(Proof::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let hash = proof.hashes()[0].to_string();
        let long = text.replace(&hash, &[hash.as_str(); 64].join("\n"));
        assert_eq!(Proof::parse(long.as_bytes()), Err(ProofError::Structure));
    }
}
