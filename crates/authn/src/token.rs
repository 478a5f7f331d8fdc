//! Bearer tokens, for load balancers that end TLS: `kst_` and 32 random bytes in base64url.
//!
//! The store keeps and looks up only the digest, so that a comparison of secrets never takes place
//! and a stolen database opens nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubestile_core::Secret;

use crate::digest::sha256;

const PREFIX: &str = "kst_";
/// 32 bytes in base64url without padding.
const BODY: usize = 43;

/// The text of a token and its digest, from 32 bytes of the caller's randomness.
pub fn new(random: &[u8; 32]) -> (Secret<String>, [u8; 32]) {
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let digest = of_text(&text);
    (Secret::new(text), digest)
}

/// The digest of a token's text; `None` if the text is not a token in its one canonical form.
pub fn digest(text: &str) -> Option<[u8; 32]> {
    let body = text.strip_prefix(PREFIX).filter(|b| b.len() == BODY)?;
    // The engine refuses padding and set trailing bits, so that one token has one text.
    let bytes = URL_SAFE_NO_PAD.decode(body).ok()?;
    (bytes.len() == 32).then(|| of_text(text))
}

fn of_text(text: &str) -> [u8; 32] {
    sha256(&[b"kubestile bearer token v1\n", text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_the_digest_of_its_text() {
        let (text, at_issue) = new(&[7; 32]);
        assert!(text.expose().starts_with("kst_BwcH"));
        assert_eq!(digest(text.expose()), Some(at_issue));
        assert_ne!(new(&[8; 32]).1, at_issue);
    }

    #[test]
    fn only_the_canonical_form_is_a_token() {
        let (text, _) = new(&[0; 32]);
        let text = text.expose();
        let trailing_bits = format!("{}B", text.strip_suffix('A').unwrap());
        for bad in [
            "",
            "kst_",
            &text.replace("kst_", "KST_"),
            &format!("{text}="),
            &format!(" {text}"),
            &format!("{text}\n"),
            &format!("{text}A"),
            &trailing_bits,
            &text.replacen('A', "+", 1),
            &text.replacen('A', "é", 1),
        ] {
            assert_eq!(digest(bad), None, "{bad}");
        }
    }
}
