//! Signed notes: a text and the signatures under it.
//!
//! Source: <https://c2sp.org/signed-note>. Ed25519 signatures (type 0x01) are made here;
//! cosignatures (type 0x04) by [`crate::cosignature`]. Both are checked here.

use std::fmt;

use thiserror::Error;

use crate::cosignature;
use crate::key::{Algorithm, KeyId, KeyName, Signer, Verifier};
use crate::text::{decode_base64, encode_base64};

/// The longest note read, in bytes.
pub const MAX_NOTE: usize = 1 << 20;

/// The most signatures a note may have; verifiers must accept at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// One signature line: `— <name> <base64(key id || signature)>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    pub(crate) fn new(signer: &Verifier, bytes: Vec<u8>) -> Self {
        Self {
            name: signer.name().clone(),
            id: signer.id(),
            bytes,
        }
    }

    /// Reads one signature line, without its newline.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        Self::read(line).ok_or(NoteError::Signature)
    }

    fn read(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        let decoded = decode_base64(encoded)?;
        let (id, bytes) = decoded.split_first_chunk()?;
        if bytes.is_empty() {
            return None;
        }
        let name = KeyName::parse(name).ok()?;
        Some(Self {
            name,
            id: KeyId::from_bytes(*id),
            bytes: bytes.to_vec(),
        })
    }

    /// The name of the key said to have signed.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key said to have signed.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The signature that follows the key id.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = encode_base64(&[self.id.as_bytes(), self.bytes.as_slice()].concat());
        write!(f, "— {} {encoded}", self.name)
    }
}

/// A well-formed note of which no signature has been checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A note to be signed. The text must end in a newline.
    pub fn new(text: String) -> Result<Self, NoteError> {
        check_text(&text)?;
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note with one or more signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        let blank = note.rfind("\n\n").ok_or(NoteError::Structure)?;
        let (text, lines) = note
            .split_at_checked(blank + 1)
            .ok_or(NoteError::Structure)?;
        check_text(text)?;
        let lines = lines
            .strip_prefix('\n')
            .and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Structure)?;
        if lines.bytes().filter(|b| *b == b'\n').count() >= MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = lines
            .split('\n')
            .map(Signature::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The text. It means nothing before [`Note::open`].
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// Every signature, of known and unknown keys.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds an Ed25519 signature over the text.
    pub fn sign(&mut self, signer: &Signer) {
        let bytes = signer.sign_message(self.text.as_bytes());
        self.push(Signature::new(signer.verifier(), bytes));
    }

    /// Adds a signature made elsewhere, such as a witness's answer.
    pub fn push(&mut self, signature: Signature) {
        self.signatures.push(signature);
    }

    /// Checks the signatures of the known keys.
    ///
    /// Signatures of other keys are ignored. A signature of a known key that fails rejects the
    /// note, and so does the lack of any signature of a known key.
    pub fn open(self, known: &[Verifier]) -> Result<OpenNote, OpenError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            let Some(key) = known.iter().find(|key| key.made(signature)) else {
                continue;
            };
            if !key.verifies(&self.text, &signature.bytes) {
                return Err(OpenError::BadSignature(key.name().clone()));
            }
            verified.push(Verified::new(key, signature));
        }
        if verified.is_empty() {
            return Err(OpenError::NoKnownKey);
        }
        Ok(OpenNote {
            note: self,
            verified,
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

/// A note that at least one known key signed. Only [`Note::open`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenNote {
    note: Note,
    verified: Vec<Verified>,
}

impl OpenNote {
    /// The text the keys vouch for.
    pub fn text(&self) -> &str {
        &self.note.text
    }

    /// The signatures that were checked, in the note's order.
    pub fn verified(&self) -> &[Verified] {
        &self.verified
    }

    /// Whether this key signed.
    pub fn is_signed_by(&self, key: &Verifier) -> bool {
        self.verified
            .iter()
            .any(|v| v.name == *key.name() && v.id == key.id())
    }

    /// The note, with all its signatures.
    pub fn into_note(self) -> Note {
        self.note
    }
}

/// A signature that a known key made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    name: KeyName,
    id: KeyId,
    time: Option<u64>,
}

impl Verified {
    fn new(key: &Verifier, signature: &Signature) -> Self {
        let time = match key.algorithm() {
            Algorithm::Ed25519 => None,
            Algorithm::Cosignature => cosignature::split(&signature.bytes).map(|(time, _)| time),
        };
        Self {
            name: key.name().clone(),
            id: key.id(),
            time,
        }
    }

    /// The key's name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// When a cosignature was made, in seconds since the epoch.
    pub fn time(&self) -> Option<u64> {
        self.time
    }
}

/// A note's text: ends in a newline, no other control characters.
fn check_text(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|b| b < b' ' && b != b'\n') {
        return Err(NoteError::Characters);
    }
    if text.ends_with('\n') {
        Ok(())
    } else {
        Err(NoteError::Structure)
    }
}

/// Bytes that are no signed note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("note of `{0}` bytes is over the limit")]
    TooLong(usize),
    /// Not UTF-8, or holds a control character other than newline.
    #[error("note holds a control character or is not UTF-8")]
    Characters,
    /// Not a text, a blank line and signature lines.
    #[error("note is not a text, a blank line and signature lines")]
    Structure,
    /// A line below the text is no signature.
    #[error("note has a malformed signature line")]
    Signature,
    /// More than [`MAX_SIGNATURES`].
    #[error("note has too many signatures")]
    TooManySignatures,
}

/// A well-formed note that is not vouched for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// A known key's signature does not verify.
    #[error("signature by `{0}` does not verify")]
    BadSignature(KeyName),
    /// No known key signed.
    #[error("note has no signature by a known key")]
    NoKnownKey,
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
