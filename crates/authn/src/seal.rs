//! A secret that some of several people open together.
//!
//! It is encrypted with AES-256-GCM under a key that is used once; the key is divided by Shamir's scheme
//! over GF(2^8) (A. Shamir, How to share a secret, 1979). Fewer shares than needed say nothing about it.
//! Each share carries a checksum, so that a slip of the pen is noticed, and the name of its seal. That a
//! share is forged shows when the seal does not open: the encryption is authenticated.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::fill;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blahaj::{Share, Sharks};
use kubestile_core::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::sha256;

/// The format of a sealed file.
pub const SCHEMA: &str = "kubestile.dev/seal/v1";
/// The largest secret, in bytes.
const LIMIT: usize = 64 * 1024;
const KEY: usize = 32;
const SHARE: &str = "kubestile-share-1";

/// A sealed secret: the content of a file. It may be copied, and says nothing without its shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealed {
    #[serde(flatten)]
    head: Head,
    /// Nonce, ciphertext and tag in base64.
    sealed: String,
}

/// What everybody may read, and nobody can change unnoticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema: String,
    id: String,
    shares: u8,
    needed: u8,
    about: Value,
}

impl Sealed {
    /// Seals `secret`; `about` stays readable. Gives the shares too, each a line of text for one person.
    ///
    /// # Errors
    /// [`SealError`] if fewer than two or more than all shares are to be needed, if the secret is larger
    /// than 64 KiB, or the system's randomness fails.
    pub fn seal(
        secret: &Secret<String>,
        about: Value,
        (needed, shares): (u8, u8),
    ) -> Result<(Self, Vec<Secret<String>>), SealError> {
        if needed < 2 || needed > shares || secret.expose().len() > LIMIT {
            return Err(SealError::Terms);
        }
        let mut key = zeroize::Zeroizing::new([0; KEY]);
        let (mut nonce, mut id) = ([0; NONCE_LEN], [0; 8]);
        for bytes in [&mut key[..], &mut nonce[..], &mut id[..]] {
            fill(bytes).map_err(|_| SealError::Randomness)?;
        }
        let head = Head {
            schema: SCHEMA.to_owned(),
            id: hex(&id),
            shares,
            needed,
            about,
        };
        let mut bytes = secret.expose().clone().into_bytes();
        let aad = Aad::from(head.bytes());
        cipher(&key[..])?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .map_err(|_| SealError::Randomness)?;
        let dealt = Sharks(needed).dealer(&key[..]).take(usize::from(shares));
        let dealt = dealt.map(|share| text(&head.id, &share)).collect();
        let sealed = STANDARD.encode([&nonce[..], &bytes].concat());
        Ok((Self { head, sealed }, dealt))
    }

    /// What stands on it. Authentic only once it is open.
    pub fn about(&self) -> &Value {
        &self.head.about
    }

    /// How many shares open it.
    pub fn needed(&self) -> u8 {
        self.head.needed
    }

    /// Opens it. The same share twice counts once.
    ///
    /// # Errors
    /// [`SealError`], which says what is missing or wrong.
    pub fn open(&self, shares: &[Secret<String>]) -> Result<Secret<String>, SealError> {
        if self.head.schema != SCHEMA {
            return Err(SealError::Schema(
                self.head.schema.chars().take(64).collect(),
            ));
        }
        let mut found: Vec<Share> = Vec::new();
        for (n, line) in shares.iter().enumerate() {
            let share = read(&self.head.id, line.expose())
                .map_err(|why| SealError::Share { number: n + 1, why })?;
            if found.iter().all(|other| other.x != share.x) {
                found.push(share);
            }
        }
        let needed = usize::from(self.head.needed.max(2));
        if found.len() < needed {
            return Err(SealError::TooFew {
                needed,
                given: found.len(),
            });
        }
        let key = Sharks(self.head.needed)
            .recover(&found)
            .map(zeroize::Zeroizing::new)
            .map_err(|_| SealError::DoesNotOpen)?;
        let bytes = STANDARD
            .decode(&self.sealed)
            .map_err(|_| SealError::DoesNotOpen)?;
        let (nonce, body) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .filter(|(_, body)| body.len() <= LIMIT + 16)
            .ok_or(SealError::DoesNotOpen)?;
        let mut body = zeroize::Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = cipher(&key)?
            .open_in_place(nonce, Aad::from(self.head.bytes()), &mut body)
            .map_err(|_| SealError::DoesNotOpen)?;
        let plain = std::str::from_utf8(plain).map_err(|_| SealError::DoesNotOpen)?;
        Ok(Secret::new(plain.to_owned()))
    }
}

impl Head {
    /// The same for the same head: its fields stand in a fixed order, and so do those of `about`.
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, SealError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::DoesNotOpen)?;
    Ok(LessSafeKey::new(key))
}

/// `kubestile-share-1.SEAL.SHARE.CHECK`, all of them hexadecimal.
fn text(id: &str, share: &Share) -> Secret<String> {
    let bytes = zeroize::Zeroizing::new(Vec::from(share));
    let line = format!("{SHARE}.{id}.{}", hex(&bytes));
    let check = check(&line);
    Secret::new(format!("{line}.{check}"))
}

fn read(id: &str, text: &str) -> Result<Share, &'static str> {
    let text = text.trim();
    let (line, given) = text.rsplit_once('.').ok_or("it is no share")?;
    let mut parts = line.split('.');
    let (Some(SHARE), Some(of), Some(hex), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("it is no share");
    };
    if given != check(line) {
        return Err("it is damaged, or has a slip of the pen: compare it with the paper");
    }
    if of != id {
        return Err("it is of another seal, or of an older one");
    }
    let bytes = zeroize::Zeroizing::new(unhex(hex).ok_or("it is no share")?);
    let whole = bytes.len() == KEY + 1 && bytes.first() != Some(&0);
    let share = whole.then(|| Share::try_from(bytes.as_slice()).ok());
    share.flatten().ok_or("it is no share")
}

fn check(line: &str) -> String {
    let digest = sha256(&[b"kubestile share\n", line.as_bytes()]);
    hex(digest.get(..4).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0 && d.len() <= 512)?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Numbers that make no sense.
    #[error("at least two shares must be needed, and no more than there are")]
    Terms,
    /// The system's randomness, or the crypto library.
    #[error("the crypto library failed")]
    Randomness,
    /// Of another version.
    #[error("the sealed file has the format `{0}`, which this version cannot open")]
    Schema(String),
    /// A share that cannot be used.
    #[error("share {number}: {why}")]
    Share {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More people are needed.
    #[error("{needed} different shares open it, and {given} were given")]
    TooFew {
        /// How many open it.
        needed: usize,
        /// How many there are.
        given: usize,
    },
    /// The file or a share was changed.
    #[error("it does not open: the sealed file or a share was changed")]
    DoesNotOpen,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sealed(needed: u8, shares: u8) -> (Sealed, Vec<Secret<String>>) {
        let secret = Secret::new("the key".to_owned());
        Sealed::seal(&secret, json!({ "cluster": "prod" }), (needed, shares)).unwrap()
    }

    fn some(shares: &[Secret<String>], which: &[usize]) -> Vec<Secret<String>> {
        let copy = |n: &usize| Secret::new(shares[*n].expose().clone());
        which.iter().map(copy).collect()
    }

    #[test]
    fn any_two_of_three_open_it_and_one_alone_does_not() {
        let (sealed, shares) = sealed(2, 3);
        let text = serde_json::to_string(&sealed).unwrap();
        let sealed: Sealed = serde_json::from_str(&text).unwrap();
        for pair in [[0, 1], [1, 2], [2, 0]] {
            let opened = sealed.open(&some(&shares, &pair)).unwrap();
            assert_eq!(opened.expose(), "the key");
        }
        for few in [&[][..], &[0], &[1, 1, 1]] {
            let refused = sealed.open(&some(&shares, few)).unwrap_err();
            let given = few.len().min(1);
            assert_eq!(refused, SealError::TooFew { needed: 2, given });
        }
    }

    #[test]
    fn whatever_was_changed_does_not_open() {
        let (sealed, shares) = sealed(2, 3);
        let both = some(&shares, &[0, 1]);
        let mut fewer = sealed.clone();
        fewer.head.needed = 1;
        assert!(fewer.open(&some(&shares, &[0])).is_err());
        let mut elsewhere = sealed.clone();
        elsewhere.head.about = json!({ "cluster": "test" });
        assert_eq!(elsewhere.open(&both).unwrap_err(), SealError::DoesNotOpen);
        let mut bent = sealed.clone();
        bent.sealed.replace_range(
            20..21,
            if bent.sealed.as_bytes()[20] == b'A' {
                "B"
            } else {
                "A"
            },
        );
        assert_eq!(bent.open(&both).unwrap_err(), SealError::DoesNotOpen);
        let forged = format!("{SHARE}.{}.{}", sealed.head.id, hex(&[9; KEY + 1]));
        let forged = Secret::new(format!("{forged}.{}", check(&forged)));
        let with_forged = [some(&shares, &[0]), vec![forged]].concat();
        assert_eq!(
            sealed.open(&with_forged).unwrap_err(),
            SealError::DoesNotOpen
        );
    }

    #[test]
    fn a_slip_of_the_pen_is_named() {
        let (sealed, shares) = sealed(2, 3);
        let (other, _) = self::sealed(2, 3);
        let why = |text: &str| sealed.open(&[Secret::new(text.to_owned())]).unwrap_err();
        let line = shares[0].expose();
        let mut slip = line.clone().into_bytes();
        let at = slip.len() - 20;
        slip[at] = if slip[at] == b'5' { b'6' } else { b'5' };
        let slip = String::from_utf8(slip).unwrap();
        assert!(why(&slip).to_string().contains("slip of the pen"));
        for none in ["", "x", "a.b.c.d", "kubestile-share-1..."] {
            assert!(why(none).to_string().starts_with("share 1: "), "{none}");
        }
        let of_another = other.open(&some(&shares, &[0])).unwrap_err();
        assert!(of_another.to_string().contains("of another seal"));
        assert!(!format!("{:?}", shares[0]).contains(line.as_str()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn as_many_as_needed_open_it_and_fewer_do_not(
            needed in 2_u8..6, more in 0_u8..4, order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let all = needed + more;
            let (sealed, shares) = sealed(needed, all);
            let mut order: Vec<usize> = order.into_iter().filter(|n| *n < usize::from(all)).collect();
            order.truncate(usize::from(needed));
            let opened = sealed.open(&some(&shares, &order)).unwrap();
            prop_assert_eq!(opened.expose(), "the key");
            order.pop();
            prop_assert!(sealed.open(&some(&shares, &order)).is_err());
        }

        #[test]
        fn no_text_makes_reading_a_share_fall_over(text in "\\PC*") {
            let (sealed, _) = sealed(2, 2);
            prop_assert!(sealed.open(&[Secret::new(text)]).is_err());
        }
    }
}
