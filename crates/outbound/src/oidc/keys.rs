//! Keys of an issuer: a JWK set (RFC 7517), read strictly.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::json;
use super::token::Algorithm;

/// Keys in a set at most.
const KEYS: usize = 64;

/// A public key.
pub(super) struct Key {
    kid: String,
    kind: Kind,
    /// The one algorithm that it is for, if the set says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    /// Whether `signature` (base64url) over `message` is by this key, with an algorithm that it may be
    /// used with.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        self.is_for(algorithm)
            && jsonwebtoken::crypto::verify(signature, message, &self.key, theirs(algorithm))
                .unwrap_or(false)
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let kind = match algorithm {
            Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => Kind::Rsa,
            Es256 => Kind::P256,
            Es384 => Kind::P384,
            EdDsa => Kind::Ed25519,
        };
        self.kind == kind && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

fn theirs(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Theirs;
    match algorithm {
        Algorithm::Rs256 => Theirs::RS256,
        Algorithm::Rs384 => Theirs::RS384,
        Algorithm::Rs512 => Theirs::RS512,
        Algorithm::Ps256 => Theirs::PS256,
        Algorithm::Ps384 => Theirs::PS384,
        Algorithm::Ps512 => Theirs::PS512,
        Algorithm::Es256 => Theirs::ES256,
        Algorithm::Es384 => Theirs::ES384,
        Algorithm::EdDsa => Theirs::EdDSA,
    }
}

/// The keys of a set that can be used here.
#[derive(Clone, Default)]
pub(super) struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// Reads a set. Keys of other kinds or for other purposes are left out.
    ///
    /// # Errors
    /// What is wrong with the set as a whole.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let set = json::object(bytes).ok_or("the key set is not JSON without duplicates")?;
        let listed = set.get("keys").and_then(Value::as_array);
        let listed = listed.ok_or("the key set has no `keys`")?;
        if listed.len() > KEYS {
            return Err("the key set has more than 64 keys");
        }
        let mut keys: Vec<Arc<Key>> = Vec::new();
        for listed in listed {
            let listed = listed.as_object().ok_or("a key is not an object")?;
            let Some(key) = key(listed)? else {
                continue;
            };
            if keys.iter().any(|other| other.kid == key.kid) {
                return Err("two keys have the same id");
            }
            keys.push(Arc::new(key));
        }
        match keys.is_empty() {
            true => Err("the key set has no key that can be used"),
            false => Ok(Self(keys)),
        }
    }

    /// The key of an id.
    pub(super) fn find(&self, kid: &str) -> Option<Arc<Key>> {
        self.0.iter().find(|key| key.kid == kid).cloned()
    }
}

/// A key, `None` if it is not for verifying tokens here.
fn key(listed: &Map<String, Value>) -> Result<Option<Key>, &'static str> {
    let text = |name: &str| listed.get(name).and_then(Value::as_str);
    let kind = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => Kind::Rsa,
        (Some("EC"), Some("P-256")) => Kind::P256,
        (Some("EC"), Some("P-384")) => Kind::P384,
        (Some("OKP"), Some("Ed25519")) => Kind::Ed25519,
        _ => return Ok(None),
    };
    // Whoever reads the set can sign with it.
    if listed.contains_key("d") {
        return Err("the key set has a private key in it");
    }
    let verifies = |use_: &Value| {
        let operations = use_.as_array().map(Vec::as_slice).unwrap_or_default();
        operations.iter().any(|o| o.as_str() == Some("verify"))
    };
    let for_signatures = listed.get("use").is_none_or(|u| u.as_str() == Some("sig"))
        && listed.get("key_ops").is_none_or(verifies);
    let algorithm = match listed.get("alg") {
        None => None,
        Some(name) => match name.as_str().and_then(Algorithm::named) {
            Some(algorithm) => Some(algorithm),
            None => return Ok(None),
        },
    };
    let (Some(kid), true) = (text("kid"), for_signatures) else {
        return Ok(None);
    };
    let bytes = |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let Some(key) = material(kind, bytes) else {
        return Ok(None);
    };
    Ok(Some(Key {
        kid: kid.to_owned(),
        kind,
        algorithm,
        key,
    }))
}

/// The key itself, if its numbers have the sizes that they must have.
fn material(kind: Kind, bytes: impl Fn(&str) -> Option<Vec<u8>>) -> Option<DecodingKey> {
    let sized = |name: &str, size: usize| bytes(name).filter(|bytes| bytes.len() == size);
    let point = |size: usize| -> Option<DecodingKey> {
        let (x, y) = (sized("x", size)?, sized("y", size)?);
        Some(DecodingKey::from_ec_der(&[&[4], &*x, &*y].concat()))
    };
    match kind {
        Kind::Rsa => {
            let (modulus, exponent) = (bytes("n")?, bytes("e")?);
            let first = *modulus.iter().find(|b| **b != 0)?;
            let zeros = modulus.iter().take_while(|b| **b == 0).count();
            let bits = (modulus.len() - zeros) * 8 - first.leading_zeros() as usize;
            let odd = exponent.last().is_some_and(|b| b % 2 == 1);
            let fine = (2048..=8192).contains(&bits)
                && exponent.len() <= 4
                && odd
                && exponent.as_slice() != [1];
            fine.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        Kind::P256 => point(32),
        Kind::P384 => point(48),
        Kind::Ed25519 => Some(DecodingKey::from_ed_der(&sized("x", 32)?)),
    }
}
