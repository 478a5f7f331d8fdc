//! Cosignatures: a witness's timestamped word that a checkpoint is consistent with all it saw.
//!
//! Source: <https://c2sp.org/tlog-cosignature>, Ed25519 (type 0x04). They are checked with the
//! checkpoint, by [`crate::checkpoint::SignedCheckpoint::open`].

use zeroize::Zeroizing;

use crate::checkpoint::SignedCheckpoint;
use crate::key::{Algorithm, KeyError, KeyName, Signer, Verifier};
use crate::note::Signature;

/// The latest time a cosignature can carry, 2^63 - 1.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// Bytes of a cosignature after the key id: time and Ed25519 signature.
const LEN: usize = 8 + 64;

/// The private key of a witness.
///
/// The signed bytes do not name the witness, so no two witnesses may share a key.
#[derive(Debug)]
pub struct Cosigner(Signer);

impl Cosigner {
    /// The key made from this seed. Drawing 32 random bytes for it is the caller's part.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Signer::with_algorithm(name, Algorithm::Cosignature, seed).map(Self)
    }

    /// Reads the private key text that [`Cosigner::expose_private_key`] writes.
    pub fn parse(private_key: &str) -> Result<Self, KeyError> {
        Signer::parse_with(private_key, Algorithm::Cosignature).map(Self)
    }

    /// The public half, to be given out.
    pub fn verifier(&self) -> &Verifier {
        self.0.verifier()
    }

    /// The private key as text, in the form of [`Signer::expose_private_key`].
    pub fn expose_private_key(&self) -> Zeroizing<String> {
        self.0.expose_private_key()
    }

    /// Cosigns a checkpoint at this time, in seconds since the epoch.
    ///
    /// The witness must first have checked that the checkpoint extends the last one it
    /// cosigned, and have stored it. Nothing if the time is over [`MAX_TIME`].
    pub fn cosign(&self, checkpoint: &SignedCheckpoint, time: u64) -> Option<Signature> {
        if time > MAX_TIME {
            return None;
        }
        let message = message(time, checkpoint.note().unverified_text());
        let signature = self.0.sign_message(message.as_bytes());
        let bytes = [&time.to_be_bytes()[..], &signature].concat();
        Some(Signature::new(self.verifier(), bytes))
    }
}

/// The bytes a cosignature is over.
pub(crate) fn message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

/// Splits a cosignature into its time and its Ed25519 signature.
pub(crate) fn split(signature: &[u8]) -> Option<(u64, &[u8])> {
    let (time, bytes) = signature.split_first_chunk()?;
    let time = u64::from_be_bytes(*time);
    (signature.len() == LEN && time <= MAX_TIME).then_some((time, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Checkpoint, OpenCheckpointError, Trust};
    use crate::merkle::leaf_hash;
    use crate::note::OpenError;

    fn name(name: &str) -> KeyName {
        KeyName::parse(name).unwrap()
    }

    fn signed() -> (Trust, SignedCheckpoint) {
        let log = Signer::from_seed(name("example.com/log"), &[1; 32]).unwrap();
        let checkpoint = Checkpoint::new("example.com/log", 7, leaf_hash(b"root")).unwrap();
        let signed = checkpoint.sign(&log).unwrap();
        (Trust::new(log.verifier().clone()).unwrap(), signed)
    }

    #[test]
    fn the_message_of_the_specification() {
        assert_eq!(
            message(1_679_315_147, "a\n"),
            "cosignature/v1\ntime 1679315147\na\n"
        );
    }

    #[test]
    fn a_cosignature_opens_with_the_checkpoint() {
        let (trust, signed) = signed();
        let witness = Cosigner::from_seed(name("witness.example"), &[2; 32]).unwrap();
        let signature = witness.cosign(&signed, 1_700_000_000).unwrap();
        let text = signed.with_signature(signature).to_string();
        let trust = trust
            .with_witness(witness.verifier().clone())
            .unwrap()
            .require_witnesses(1);
        let open = SignedCheckpoint::open(text.as_bytes(), &trust).unwrap();
        assert_eq!(open.cosignatures()[0].time(), Some(1_700_000_000));
        assert_eq!(witness.cosign(&open, u64::MAX), None);

        let key = witness.expose_private_key();
        assert_eq!(
            Cosigner::parse(&key).unwrap().verifier(),
            witness.verifier()
        );
        assert_eq!(Signer::parse(&key).unwrap_err(), KeyError::Algorithm);
        assert_eq!(
            Verifier::parse(&witness.verifier().to_string()).as_ref(),
            Ok(witness.verifier())
        );
    }

    #[test]
    fn the_time_is_signed_and_a_quorum_is_counted() {
        let (trust, signed) = signed();
        let witness = Cosigner::from_seed(name("witness.example"), &[2; 32]).unwrap();
        let trust = trust.with_witness(witness.verifier().clone()).unwrap();
        let signature = witness.cosign(&signed, 5).unwrap();
        let mut bytes = signature.bytes().to_vec();
        bytes[7] ^= 1;
        let forged = Signature::new(witness.verifier(), bytes);
        let text = signed.clone().with_signature(forged).to_string();
        let error = SignedCheckpoint::open(text.as_bytes(), &trust).unwrap_err();
        assert!(matches!(
            error,
            OpenCheckpointError::Open(OpenError::BadSignature(_))
        ));

        // One witness that signs twice is still one.
        let twice = signed
            .with_signature(signature.clone())
            .with_signature(signature)
            .to_string();
        assert!(
            SignedCheckpoint::open(twice.as_bytes(), &trust.clone().require_witnesses(1)).is_ok()
        );
        let error =
            SignedCheckpoint::open(twice.as_bytes(), &trust.require_witnesses(2)).unwrap_err();
        assert!(matches!(
            error,
            OpenCheckpointError::Quorum {
                found: 1,
                required: 2
            }
        ));
    }

    /// The cosigned checkpoint printed in the specification; its keys are not, so only the
    /// structure can be checked.
    #[test]
    fn the_signature_line_of_the_specification() {
        let line = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";
        let signature = Signature::parse(line).unwrap();
        assert_eq!(split(signature.bytes()).unwrap().0, 1_679_315_147);
    }
}
