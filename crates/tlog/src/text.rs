//! The two scalar spellings every C2SP text format uses: base64 and decimal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Standard padded base64, RFC 4648 section 4.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The one canonical base64 spelling of some bytes, or nothing.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(text)
        .ok()
        .filter(|bytes| encode_base64(bytes) == text)
}

/// A decimal with no sign and no leading zero, at most [`crate::MAX_SIZE`].
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !canonical || !digits {
        return None;
    }
    text.parse().ok().filter(|n| *n <= crate::MAX_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_has_one_spelling() {
        assert_eq!(parse_decimal("0"), Some(0));
        assert_eq!(parse_decimal("9223372036854775807"), Some(crate::MAX_SIZE));
        for bad in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "9223372036854775808",
        ] {
            assert_eq!(parse_decimal(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(decode_base64("aGk="), Some(b"hi".to_vec()));
        for bad in ["aGk", "aGl=", "aGk=\n", "aG k="] {
            assert_eq!(decode_base64(bad), None, "{bad}");
        }
    }
}
