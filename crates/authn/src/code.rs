//! Login codes, handed over by an administrator and typed by people: 100 random bits in Crockford's
//! base 32 (no I, L, O, U), in groups of four: `K7QF-2M9X-…`.

use kubestile_core::Secret;

use crate::digest::sha256;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of a code, five bits each.
const SYMBOLS: usize = 20;
/// The longest text that is looked at, in bytes: a code with separators after every symbol.
const LIMIT: usize = 64;

/// The text of a code and its digest, from the caller's randomness (of which 100 bits are used).
pub fn new(random: &[u8; 20]) -> (Secret<String>, [u8; 32]) {
    // One byte per symbol: 256 is a multiple of 32, so every symbol is equally likely.
    let symbols: String = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
        .map(|symbol| char::from(*symbol))
        .collect();
    let mut text = String::with_capacity(SYMBOLS + 4);
    for (i, symbol) in symbols.chars().enumerate() {
        if i > 0 && i % 4 == 0 {
            text.push('-');
        }
        text.push(symbol);
    }
    let digest = of_symbols(&symbols);
    (Secret::new(text), digest)
}

/// The digest of a code as a person typed it: case, hyphens and spaces do not matter, and letters
/// that look like digits are taken for them (O for 0, I and L for 1). `None` if it is no code.
pub fn digest(text: &str) -> Option<[u8; 32]> {
    if text.len() > LIMIT {
        return None;
    }
    let mut symbols = String::with_capacity(SYMBOLS);
    for c in text
        .chars()
        .filter(|c| !matches!(c, '-' | ' ' | '\t' | '\r' | '\n'))
    {
        let symbol = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        };
        if !symbol.is_ascii() || !ALPHABET.contains(&u8::try_from(symbol).ok()?) {
            return None;
        }
        symbols.push(symbol);
    }
    (symbols.len() == SYMBOLS).then(|| of_symbols(&symbols))
}

fn of_symbols(symbols: &str) -> [u8; 32] {
    sha256(&[b"kubestile login code v1\n", symbols.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_five_groups_of_four() {
        let random = std::array::from_fn(|i| u8::try_from(i * 13).unwrap_or(0));
        let (text, at_issue) = new(&random);
        assert_eq!(text.expose(), "0DT7-M1EV-8N2F-W9P3-GXAQ");
        assert_eq!(digest(text.expose()), Some(at_issue));
    }

    #[test]
    fn typing_is_forgiven_and_guessing_is_not() {
        let (_, at_issue) = new(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 10]);
        for fine in [
            "0101-0101-0101-0101-010A",
            "01010101010101010 10a\n",
            "oioi-OLOL-0l0I-0101-oioa",
        ] {
            assert_eq!(digest(fine), Some(at_issue), "{fine}");
        }
        for bad in [
            "",
            "0101-0101-0101-0101-010",
            "0101-0101-0101-0101-010AA",
            "0101-0101-0101-0101-010U",
            "0101-0101-0101-0101-010é",
            "0101_0101-0101-0101-010A",
            &"-".repeat(65),
        ] {
            assert_eq!(digest(bad), None, "{bad}");
        }
        assert_ne!(digest("0101-0101-0101-0101-010B"), Some(at_issue));
    }
}
