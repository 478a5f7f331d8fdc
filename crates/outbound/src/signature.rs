//! HMAC-SHA256 in the forms in which webhooks carry it, compared in constant time.

use aws_lc_rs::hmac;
use kubestile_core::Secret;

/// The signature of `parts`, one after the other.
pub(crate) fn sign(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

/// Whether `given` is the signature of `parts` under any of the keys. Every key is tried, whatever
/// the others say.
pub(crate) fn holds<'k>(
    keys: impl IntoIterator<Item = &'k [u8]>,
    parts: &[&[u8]],
    given: &[u8],
) -> bool {
    keys.into_iter().fold(false, |found, key| {
        let wanted = sign(key, parts);
        found | same(&wanted, given)
    })
}

/// Equality that takes as long wherever the first difference is. The length is no secret.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    subtle::ConstantTimeEq::ct_eq(a, b).into()
}

/// Keys as bytes.
pub(crate) fn keys(secrets: &[Secret<String>]) -> impl Iterator<Item = &[u8]> {
    secrets.iter().map(|secret| secret.expose().as_bytes())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes of hexadecimal text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 128 {
        return None;
    }
    let digit = |b: &u8| {
        char::from(*b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn a_published_vector() {
        let signature = sign(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let text = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&signature), text);
        assert_eq!(unhex(text), Some(signature.clone()));
        assert!(holds(
            [&b"old"[..], b"Jefe"],
            &[b"what do ya want for nothing?"],
            &signature
        ));
        assert!(!holds(
            [&b"old"[..]],
            &[b"what do ya want for nothing?"],
            &signature
        ));
        assert!(!holds(
            [&b"Jefe"[..]],
            &[b"what do ya want for nothing"],
            &signature
        ));
        assert!(!holds(
            [&b"Jefe"[..]],
            &[b"what do ya want for nothing?"],
            &signature[..31]
        ));
        assert!(!holds(
            [&b"Jefe"[..]],
            &[b"what do ya want for nothing?"],
            b""
        ));
    }

    #[test]
    fn what_is_not_hexadecimal() {
        for text in ["0", "0g", "0x", "é", " 0", "+1"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
