//! A query string as Go's `URL.Query()` reads it; where Go drops a pair silently, it is refused.

use super::ParseError;
use super::percent::{self, Byte};

/// The most pairs of a query (an exec command of as many words is far beyond what people type).
const MAX_PAIRS: usize = 1000;

/// Decoded key-value pairs in order of appearance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses a raw query, without its `?`.
    ///
    /// # Errors
    /// [`ParseError`] for what Go drops (`;`, bad escapes), for what is not UTF-8 or holds NUL once it
    /// is decoded, for raw bytes that are not printable ASCII, and for more than 1,000 pairs.
    pub fn parse(raw: &str) -> Result<Self, ParseError> {
        if raw.is_empty() {
            return Ok(Self::default());
        }
        let mut count = 1;
        for byte in raw.bytes() {
            match byte {
                b'&' => count += 1,
                b';' | b'#' => {
                    return Err(ParseError::new(
                        "the query has a `;` or `#` that is not escaped",
                    ));
                }
                b'!'..=b'~' => {}
                _ => {
                    return Err(ParseError::new(
                        "the query has a space, a control character or a byte outside of ASCII: escape it",
                    ));
                }
            }
        }
        if count > MAX_PAIRS {
            return Err(ParseError::new("the query has more than 1000 parameters"));
        }
        let mut pairs = Vec::with_capacity(count);
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(key)?, decode(value)?));
        }
        Ok(Self { pairs })
    }

    /// The first value of `key`, which is the one that kube-apiserver uses.
    pub fn first(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// All values of `key`, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// A boolean parameter: false if absent, `0` or `false` in any case; true otherwise, also if empty
    /// (`Convert_Slice_string_To_bool` of apimachinery).
    pub fn flag(&self, key: &str) -> bool {
        self.first(key).is_some_and(|v| v != "0" && !is_false(v))
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

/// `strings.EqualFold(text, "false")` of Go, which folds the long s as well.
fn is_false(text: &str) -> bool {
    let folded = text.chars().map(|c| match c {
        '\u{17f}' => 's',
        other => other.to_ascii_lowercase(),
    });
    folded.eq("false".chars())
}

/// `QueryUnescape` of Go: percent escapes, and `+` for a space.
fn decode(raw: &str) -> Result<String, ParseError> {
    if !raw.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(raw.to_owned());
    }
    let mut decoded = Vec::with_capacity(raw.len());
    for byte in percent::bytes(raw) {
        decoded.push(match byte {
            Byte::Plain(b'+') => b' ',
            Byte::Escaped(0) => {
                return Err(ParseError::new("the query has a NUL character"));
            }
            Byte::Plain(byte) | Byte::Escaped(byte) => byte,
            Byte::Bad => {
                return Err(ParseError::new(
                    "the query has a `%` that two hexadecimal digits do not follow",
                ));
            }
        });
    }
    String::from_utf8(decoded)
        .map_err(|_| ParseError::new("the query is not UTF-8 once its escapes are decoded"))
}
