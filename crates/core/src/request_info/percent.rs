//! Percent-encoding as Go's `net/url` decodes it.

/// What one raw byte of a path or query is, where `%` has been met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    /// It stands for itself.
    Plain(u8),
    /// It was written as `%XX`.
    Escaped(u8),
    /// A `%` without two hexadecimal digits after it.
    Bad,
}

/// The bytes of `raw`, with escapes decoded one by one.
pub(super) fn bytes(raw: &str) -> impl Iterator<Item = Byte> {
    let mut rest = raw.as_bytes();
    std::iter::from_fn(move || match rest {
        [] => None,
        [b'%', high, low, tail @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => {
                rest = tail;
                Some(Byte::Escaped(high << 4 | low))
            }
            _ => {
                rest = rest.get(1..).unwrap_or_default();
                Some(Byte::Bad)
            }
        },
        [b'%', tail @ ..] => {
            rest = tail;
            Some(Byte::Bad)
        }
        [byte, tail @ ..] => {
            rest = tail;
            Some(Byte::Plain(*byte))
        }
    })
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
