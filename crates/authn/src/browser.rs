//! The secrets of a browser: the one-time ticket that signs it in (`kse_…`), the cookie that it shows from
//! then on (`ksb_…`), and the form token that only the gate's own pages hold.
//!
//! As with bearer tokens, the gate keeps digests only, and a secret has one canonical text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubestile_core::Secret;
use subtle::ConstantTimeEq;

use crate::digest::sha256;

const TICKET: Kind = Kind {
    prefix: "kse_",
    domain: b"kubestile browser ticket v1\n",
};
const COOKIE: Kind = Kind {
    prefix: "ksb_",
    domain: b"kubestile browser cookie v1\n",
};
const FORM: &[u8] = b"kubestile browser form v1\n";
/// 32 bytes in base64url without padding.
const BODY: usize = 43;

struct Kind {
    prefix: &'static str,
    domain: &'static [u8],
}

/// A one-time ticket and its digest, from 32 bytes of the caller's randomness.
pub fn new_ticket(random: &[u8; 32]) -> (Secret<String>, [u8; 32]) {
    TICKET.make(random)
}

/// The digest of a ticket; `None` if the text is not one in its canonical form.
pub fn ticket_digest(text: &str) -> Option<[u8; 32]> {
    TICKET.digest(text)
}

/// A cookie and its digest, from 32 bytes of the caller's randomness.
pub fn new_cookie(random: &[u8; 32]) -> (Secret<String>, [u8; 32]) {
    COOKIE.make(random)
}

/// The digest of a cookie; `None` if the text is not one in its canonical form.
pub fn cookie_digest(text: &str) -> Option<[u8; 32]> {
    COOKIE.digest(text)
}

/// The token that a form of this cookie's pages carries. It follows from the cookie and from nothing that
/// the gate keeps, and says nothing of the cookie.
pub fn form_token(cookie: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(&[FORM, cookie.as_bytes()]))
}

/// Whether two form tokens are the same, in constant time.
pub fn same_form_token(expected: &str, shown: &str) -> bool {
    expected.as_bytes().ct_eq(shown.as_bytes()).into()
}

impl Kind {
    fn make(&self, random: &[u8; 32]) -> (Secret<String>, [u8; 32]) {
        let text = format!("{}{}", self.prefix, URL_SAFE_NO_PAD.encode(random));
        let digest = self.of_text(&text);
        (Secret::new(text), digest)
    }

    fn digest(&self, text: &str) -> Option<[u8; 32]> {
        let body = text.strip_prefix(self.prefix).filter(|b| b.len() == BODY)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).ok()?;
        (bytes.len() == 32).then(|| self.of_text(text))
    }

    fn of_text(&self, text: &str) -> [u8; 32] {
        sha256(&[self.domain, text.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_found_by_its_own_digest_only() {
        let (ticket, at_issue) = new_ticket(&[7; 32]);
        assert_eq!(ticket_digest(ticket.expose()), Some(at_issue));
        let (cookie, kept) = new_cookie(&[7; 32]);
        assert_eq!(cookie_digest(cookie.expose()), Some(kept));
        assert_ne!(at_issue, kept, "the same bytes are no other secret");
        assert_eq!(cookie_digest(ticket.expose()), None);
        assert_eq!(ticket_digest(cookie.expose()), None);
        let renamed = ticket.expose().replace("kse_", "ksb_");
        assert_ne!(cookie_digest(&renamed), Some(at_issue));
    }

    #[test]
    fn only_the_canonical_form_counts() {
        let (text, _) = new_cookie(&[0; 32]);
        let text = text.expose();
        let trailing_bits = format!("{}B", text.strip_suffix('A').unwrap());
        for bad in [
            "",
            "ksb_",
            &text.replace("ksb_", "KSB_"),
            &format!("{text}="),
            &format!("\"{text}\""),
            &trailing_bits,
        ] {
            assert_eq!(cookie_digest(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_form_token_is_of_one_cookie() {
        let (one, other) = (new_cookie(&[1; 32]).0, new_cookie(&[2; 32]).0);
        let token = form_token(one.expose());
        assert!(same_form_token(&token, &form_token(one.expose())));
        assert!(!same_form_token(&token, &form_token(other.expose())));
        assert!(!same_form_token(&token, ""));
        assert!(!one.expose().contains(&token));
    }
}
