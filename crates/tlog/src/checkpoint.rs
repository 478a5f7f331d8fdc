//! Checkpoints: a tree head in three lines, signed by the log.
//!
//! Source: <https://c2sp.org/tlog-checkpoint>.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use crate::key::{Algorithm, Signer, Verifier};
use crate::merkle::{Hash, empty_root};
use crate::note::{Note, NoteError, OpenError, Signature, Verified};
use crate::text::parse_decimal;

/// What a checkpoint says: this log, at this size, has this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a log. The origin should be a URL without its scheme.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.contains(|c: char| c.is_ascii_control()) {
            return Err(CheckpointError::Origin);
        }
        if size > crate::MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Reads a checkpoint's text, which ends in a newline.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = lines.split('\n');
        let mut line = || lines.next().ok_or(CheckpointError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        let size = parse_decimal(size).ok_or(CheckpointError::Size)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Root)?;
        let mut checkpoint = Self::new(origin, size, root)?;
        checkpoint.extensions = lines.map(str::to_owned).collect();
        let extension_ok =
            |line: &String| !line.is_empty() && !line.contains(|c: char| c.is_ascii_control());
        if !checkpoint.extensions.iter().all(extension_ok) {
            return Err(CheckpointError::Lines);
        }
        Ok(checkpoint)
    }

    /// The log's unique name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree over those entries.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Lines below the root. No monitor checks them; ours never writes any.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// Signs the checkpoint as the log.
    ///
    /// A log must never sign two checkpoints of which one is not a prefix of the other: what was
    /// signed must be durable, and must be what the next tree grows from.
    pub fn sign(self, log: &Signer) -> Result<SignedCheckpoint, NoteError> {
        let mut note = Note::new(self.to_string())?;
        note.sign(log);
        Ok(SignedCheckpoint {
            checkpoint: self,
            note,
            cosignatures: Vec::new(),
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Whose word a checkpoint is taken on: the log's key and origin, and its witnesses.
#[derive(Clone, Debug)]
pub struct Trust {
    origin: String,
    log: Verifier,
    witnesses: Vec<Verifier>,
    required: usize,
}

impl Trust {
    /// Trust in a log whose origin is the name of its Ed25519 key.
    pub fn new(log: Verifier) -> Result<Self, TrustError> {
        if log.algorithm() != Algorithm::Ed25519 {
            return Err(TrustError::LogKey);
        }
        let origin = log.name().as_str().to_owned();
        Ok(Self {
            origin,
            log,
            witnesses: Vec::new(),
            required: 0,
        })
    }

    /// The same, for a log whose origin is not its key's name.
    pub fn with_origin(self, origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            ..self
        }
    }

    /// Also knows this witness, whose cosignatures are then checked.
    pub fn with_witness(mut self, witness: Verifier) -> Result<Self, TrustError> {
        if witness.algorithm() != Algorithm::Cosignature {
            return Err(TrustError::WitnessKey);
        }
        self.witnesses.push(witness);
        Ok(self)
    }

    /// Asks for cosignatures by this many different witnesses.
    pub fn require_witnesses(self, required: usize) -> Self {
        Self { required, ..self }
    }

    /// The log's key.
    pub fn log(&self) -> &Verifier {
        &self.log
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// A checkpoint the log signed. Made by [`Checkpoint::sign`] and [`SignedCheckpoint::open`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
    cosignatures: Vec<Verified>,
}

impl SignedCheckpoint {
    /// Reads a signed checkpoint and checks it is the trusted log's.
    pub fn open(bytes: &[u8], trust: &Trust) -> Result<Self, OpenCheckpointError> {
        let mut known = vec![trust.log.clone()];
        known.extend_from_slice(&trust.witnesses);
        let open = Note::parse(bytes)?.open(&known)?;
        if !open.is_signed_by(&trust.log) {
            return Err(OpenCheckpointError::NotByLog);
        }
        let checkpoint = Checkpoint::parse(open.text())?;
        if checkpoint.origin != trust.origin {
            return Err(OpenCheckpointError::Origin(checkpoint.origin));
        }
        let cosignatures: Vec<_> = open
            .verified()
            .iter()
            .filter(|v| v.time().is_some())
            .cloned()
            .collect();
        let witnesses: BTreeSet<_> = cosignatures.iter().map(|v| (v.name(), v.id())).collect();
        let (found, required) = (witnesses.len(), trust.required);
        if found < required {
            return Err(OpenCheckpointError::Quorum { found, required });
        }
        Ok(Self {
            checkpoint,
            note: open.into_note(),
            cosignatures,
        })
    }

    /// What was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note; its text is the `checkpoint` file.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The cosignatures of known witnesses that were checked on opening.
    pub fn cosignatures(&self) -> &[Verified] {
        &self.cosignatures
    }

    /// Adds a signature to the note, unchecked: open the text again to count it.
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.note.push(signature);
        self
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// Text that is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Fewer than three lines, an empty line, or no newline at the end.
    #[error("checkpoint is not three or more lines")]
    Lines,
    /// The origin is empty or holds a control character.
    #[error("checkpoint origin is empty or holds a control character")]
    Origin,
    /// The size is no canonical decimal, or over [`crate::MAX_SIZE`].
    #[error("checkpoint size is malformed or over the limit")]
    Size,
    /// The root is not the base64 of 32 bytes.
    #[error("checkpoint root is malformed")]
    Root,
    /// The tree is empty, but its root is not the empty tree's.
    #[error("checkpoint of the empty tree has another root")]
    EmptyRoot,
}

/// A key of the wrong signature type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// The log's key is not an Ed25519 note key (0x01).
    #[error("log key has another signature type than 0x01")]
    LogKey,
    /// The witness's key is not a cosignature key (0x04).
    #[error("witness key has another signature type than 0x04")]
    WitnessKey,
}

/// Bytes that are not a checkpoint of the trusted log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenCheckpointError {
    /// No signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A signature fails or none is by a known key.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Signed, but not a checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Only witnesses signed.
    #[error("checkpoint is not signed by the log")]
    NotByLog,
    /// The checkpoint of another log under the same key.
    #[error("checkpoint has the origin `{0}`")]
    Origin(String),
    /// Too few witnesses cosigned.
    #[error("checkpoint has `{found}` of `{required}` cosignatures")]
    Quorum {
        /// Different known witnesses that cosigned.
        found: usize,
        /// Witnesses asked for.
        required: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyName;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn log(name: &str) -> Signer {
        Signer::from_seed(KeyName::parse(name).unwrap(), &[3; 32]).unwrap()
    }

    #[test]
    fn checkpoint_of_the_specification() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size(), 20_852_163);
        assert_eq!(checkpoint.to_string(), TEXT);
        let extended = format!("{TEXT}extension\n");
        assert_eq!(Checkpoint::parse(&extended).unwrap().to_string(), extended);
    }

    #[test]
    fn malformed_checkpoints_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for bad in [
            String::new(),
            "\n".to_owned(),
            "origin\n1\n".to_owned(),
            format!("origin\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("origin\n01\n{root}\n"),
            format!("origin\n-1\n{root}\n"),
            format!("origin\n9223372036854775808\n{root}\n"),
            format!("origin\n0\n{root}\n"),
            format!("origin\n1\n{root}\n\n"),
            format!("origin\n1\n{}\n", root.trim_end_matches('=')),
            "origin\n1\nAAAA\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
        }
        assert!(Checkpoint::new("origin", 0, empty_root()).is_ok());
        assert!(Checkpoint::new("ori\ngin", 0, empty_root()).is_err());
    }

    #[test]
    fn only_the_logs_own_checkpoint_opens() {
        let checkpoint = Checkpoint::parse(TEXT).unwrap();
        let signer = log("example.com/behind-the-sofa");
        let signed = checkpoint.clone().sign(&signer).unwrap();
        let bytes = signed.to_string().into_bytes();
        let trust = Trust::new(signer.verifier().clone()).unwrap();
        assert_eq!(SignedCheckpoint::open(&bytes, &trust).unwrap(), signed);
        let other = trust.clone().with_origin("example.com/other");
        assert!(matches!(
            SignedCheckpoint::open(&bytes, &other),
            Err(OpenCheckpointError::Origin(_))
        ));
        let bytes = checkpoint
            .sign(&log("stranger"))
            .unwrap()
            .to_string()
            .into_bytes();
        assert_eq!(
            SignedCheckpoint::open(&bytes, &trust),
            Err(OpenCheckpointError::Open(OpenError::NoKnownKey))
        );
    }
}
