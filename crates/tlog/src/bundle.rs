//! Entry bundles: up to 256 entries, each behind a big-endian `u16` length.
//!
//! Source: <https://c2sp.org/tlog-tiles>, "Log entries".

use thiserror::Error;

use crate::tile::WIDTH;

/// The longest entry a bundle can hold.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// Appends one entry to a bundle's bytes.
///
/// Bundles only grow at the end, so a partial bundle is a prefix of the full one.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let len = u16::try_from(entry.len()).map_err(|_| BundleError::TooLong(entry.len()))?;
    bundle.reserve(2 + entry.len());
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The bytes of a bundle that holds these entries.
pub fn encode_bundle<T: AsRef<[u8]>>(
    entries: impl IntoIterator<Item = T>,
) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for (count, entry) in entries.into_iter().enumerate() {
        if count >= usize::from(WIDTH) {
            return Err(BundleError::TooMany);
        }
        push_entry(&mut bundle, entry.as_ref())?;
    }
    Ok(bundle)
}

/// The entries of a bundle, in order. Every byte must belong to an entry.
pub fn parse_bundle(bytes: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if entries.len() >= usize::from(WIDTH) {
            return Err(BundleError::TooMany);
        }
        let (entry, after) = split_entry(rest).ok_or(BundleError::Truncated(entries.len()))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// The length of a bundle's first `count` entries: where to cut a full bundle, or a torn file.
///
/// Nothing if the bytes hold fewer whole entries.
pub fn prefix_len(bytes: &[u8], count: u16) -> Option<usize> {
    let mut rest = bytes;
    for _ in 0..count {
        (_, rest) = split_entry(rest)?;
    }
    Some(bytes.len() - rest.len())
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// Bytes that are no bundle, or entries that do not fit one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// The entry is longer than [`MAX_ENTRY`].
    #[error("entry of `{0}` bytes is over the limit of 65535")]
    TooLong(usize),
    /// More than 256 entries.
    #[error("bundle holds more than 256 entries")]
    TooMany,
    /// The bytes end inside an entry.
    #[error("bundle ends inside its entry `{0}`")]
    Truncated(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let bytes = encode_bundle(["ab", "", "c"]).unwrap();
        assert_eq!(bytes, b"\x00\x02ab\x00\x00\x00\x01c");
        assert_eq!(parse_bundle(&bytes).unwrap(), [&b"ab"[..], b"", b"c"]);
        assert_eq!(prefix_len(&bytes, 2), Some(6));
        assert_eq!(prefix_len(&bytes, 4), None);
    }

    #[test]
    fn limits() {
        let longest = vec![0; MAX_ENTRY];
        let bytes = encode_bundle([&longest]).unwrap();
        assert_eq!(parse_bundle(&bytes).unwrap(), [longest.as_slice()]);
        let longer = vec![0; MAX_ENTRY + 1];
        assert_eq!(encode_bundle([longer]), Err(BundleError::TooLong(65_536)));
        assert!(encode_bundle(vec![b"x"; 256]).is_ok());
        assert_eq!(encode_bundle(vec![b"x"; 257]), Err(BundleError::TooMany));
        assert_eq!(parse_bundle(&[0; 2 * 257]), Err(BundleError::TooMany));
        assert_eq!(parse_bundle(&[0, 0, 0]), Err(BundleError::Truncated(1)));
        assert_eq!(parse_bundle(&[0, 2, 0]), Err(BundleError::Truncated(0)));
    }
}
