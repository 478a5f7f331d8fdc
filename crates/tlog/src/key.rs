//! Keys of signed notes: names, key ids, and their text encodings.
//!
//! Source: <https://c2sp.org/signed-note>, "Signatures", "Signature types" and "Verifier keys".
//! The private key text is the one Go's `sumdb/note` package reads and writes.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cosignature;
use crate::note::Signature;
use crate::text::{decode_base64, encode_base64};

/// Bytes in an Ed25519 seed or public key.
const KEY_LEN: usize = 32;

const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// The name of a key: not empty, without spaces, plus signs or control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The longest name accepted.
    pub const MAX_LEN: usize = 255;

    /// Reads a name, which should be a URL without its scheme.
    pub fn parse(name: &str) -> Result<Self, KeyError> {
        let forbidden = |c: char| c.is_whitespace() || c.is_ascii_control() || c == '+';
        if name.is_empty() || name.len() > Self::MAX_LEN || name.contains(forbidden) {
            return Err(KeyError::Name);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The four bytes that, with the name, tell which key made a signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// The id with exactly these bytes.
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The bytes, as a signature line holds them.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// `SHA-256(name || 0x0A || type || public key)[:4]`.
    fn derive(name: &KeyName, algorithm: Algorithm, public: &[u8; KEY_LEN]) -> Self {
        let name = name.as_str().as_bytes();
        let message = [name, &[b'\n', algorithm as u8], public].concat();
        let hash = digest(&SHA256, &message);
        Self(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// The signature types this crate makes and checks, with their identifier bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// Ed25519 over the note's text.
    Ed25519 = 0x01,
    /// Timestamped Ed25519 cosignature over a checkpoint (<https://c2sp.org/tlog-cosignature>).
    Cosignature = 0x04,
}

impl Algorithm {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::Cosignature]
            .into_iter()
            .find(|algorithm| *algorithm as u8 == byte)
    }
}

/// A public key with its name: what a verifier is configured with.
///
/// Its text is the C2SP `vkey`: `<name>+<hex key id>+<base64(type || public key)>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: KeyName,
    id: KeyId,
    algorithm: Algorithm,
    public: [u8; KEY_LEN],
}

impl Verifier {
    /// Names an Ed25519 public key.
    pub fn new(name: KeyName, algorithm: Algorithm, public: [u8; 32]) -> Self {
        let id = KeyId::derive(&name, algorithm, &public);
        Self {
            name,
            id,
            algorithm,
            public,
        }
    }

    /// Reads a `vkey`; only the canonical spelling with the right key id is accepted.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let (name, algorithm, public) = parse_fields(vkey)?;
        let key = Self::new(name, algorithm, *public);
        if key.to_string() == vkey {
            Ok(key)
        } else {
            Err(KeyError::Id)
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

    /// The type of the signatures it checks.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key's bytes.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    /// Whether a signature line names this key.
    pub fn made(&self, signature: &Signature) -> bool {
        self.name == *signature.name() && self.id == signature.id()
    }

    /// Checks the bytes that follow the key id in a signature line.
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => self.verifies_message(text.as_bytes(), signature),
            Algorithm::Cosignature => cosignature::split(signature).is_some_and(|(time, bytes)| {
                self.verifies_message(cosignature::message(time, text).as_bytes(), bytes)
            }),
        }
    }

    fn verifies_message(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(message, signature)
            .is_ok()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.algorithm as u8][..], &self.public].concat();
        write!(f, "{}+{}+{}", self.name, self.id, encode_base64(&key))
    }
}

/// A private key with its name, for Ed25519 signatures over notes (type 0x01).
pub struct Signer {
    verifier: Verifier,
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; KEY_LEN]>,
}

impl Signer {
    /// The key made from this seed. Drawing 32 random bytes for it is the caller's part.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::with_algorithm(name, Algorithm::Ed25519, seed)
    }

    /// Reads the private key text that [`Signer::expose_private_key`] writes.
    pub fn parse(private_key: &str) -> Result<Self, KeyError> {
        Self::parse_with(private_key, Algorithm::Ed25519)
    }

    /// The public half, to be given out.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The private key as text: `PRIVATE+KEY+<name>+<hex key id>+<base64(type || seed)>`.
    pub fn expose_private_key(&self) -> Zeroizing<String> {
        let Verifier {
            name,
            id,
            algorithm,
            ..
        } = &self.verifier;
        let key = Zeroizing::new([&[*algorithm as u8][..], self.seed.as_slice()].concat());
        let encoded = Zeroizing::new(encode_base64(&key));
        Zeroizing::new(format!("{PRIVATE_PREFIX}{name}+{id}+{}", *encoded))
    }

    pub(crate) fn with_algorithm(
        name: KeyName,
        algorithm: Algorithm,
        seed: &[u8; 32],
    ) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| KeyError::Seed)?;
        let verifier = Verifier::new(name, algorithm, public);
        Ok(Self {
            verifier,
            pair,
            seed: Zeroizing::new(*seed),
        })
    }

    pub(crate) fn parse_with(text: &str, expected: Algorithm) -> Result<Self, KeyError> {
        let fields = text
            .strip_prefix(PRIVATE_PREFIX)
            .ok_or(KeyError::Encoding)?;
        let (name, algorithm, seed) = parse_fields(fields)?;
        if algorithm != expected {
            return Err(KeyError::Algorithm);
        }
        let signer = Self::with_algorithm(name, algorithm, &seed)?;
        let canonical = signer.expose_private_key().as_str() == text;
        if canonical {
            Ok(signer)
        } else {
            Err(KeyError::Id)
        }
    }

    /// The Ed25519 signature over these bytes.
    pub(crate) fn sign_message(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

/// Reads `<name>+<id>+<base64(type || key)>`, leaving the id to be checked by the caller.
fn parse_fields(text: &str) -> Result<(KeyName, Algorithm, Zeroizing<[u8; KEY_LEN]>), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Encoding)?;
    let (_, encoded) = rest.split_once('+').ok_or(KeyError::Encoding)?;
    let key = Zeroizing::new(decode_base64(encoded).ok_or(KeyError::Encoding)?);
    let (algorithm, key) = key.split_first().ok_or(KeyError::Encoding)?;
    let algorithm = Algorithm::from_byte(*algorithm).ok_or(KeyError::Algorithm)?;
    let key = key.try_into().map_err(|_| KeyError::Encoding)?;
    Ok((KeyName::parse(name)?, algorithm, Zeroizing::new(key)))
}

/// Text that is no key. It never repeats the text, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The name is empty, too long, or holds a space, a plus sign or a control character.
    #[error("key name is empty, too long, or holds a space, plus or control character")]
    Name,
    /// The text is not name, id and base64 joined by plus signs.
    #[error("key is not `name+id+base64`")]
    Encoding,
    /// The signature type is unknown or not the one asked for.
    #[error("key has another signature type")]
    Algorithm,
    /// The key id is not the one the name and public key lead to.
    #[error("key id does not match the key")]
    Id,
    /// The seed was refused.
    #[error("seed is not a usable private key")]
    Seed,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    /// The example key pair of Go's `sumdb/note` documentation.
    const GO_PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn vkey_of_the_specification() {
        let key = Verifier::parse(SPEC).unwrap();
        assert_eq!(key.id().to_string(), "530d903a");
        assert_eq!(key.name().as_str(), "example.com/foo");
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        assert_eq!(key.to_string(), SPEC);
    }

    #[test]
    fn keys_of_the_go_documentation() {
        let signer = Signer::parse(GO_PRIVATE).unwrap();
        assert_eq!(signer.verifier().to_string(), GO_PUBLIC);
        assert_eq!(signer.expose_private_key().as_str(), GO_PRIVATE);
        assert!(!format!("{signer:?}").contains("AYEK"));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "",
            "example.com/foo",
            "example.com/foo+530d903a",
            "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U",
            "example com+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        ] {
            assert!(Verifier::parse(bad).is_err(), "{bad}");
        }
        assert!(KeyName::parse("a\u{2003}b").is_err());
        assert!(matches!(Signer::parse(SPEC), Err(KeyError::Encoding)));
    }
}
