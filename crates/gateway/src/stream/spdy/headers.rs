//! Header blocks: one zlib stream for all blocks of a direction, primed with the dictionary of the
//! SPDY/3 draft, section 2.6.10.1. Everything is bounded: the peer chooses what comes (CVE-2026-35469).

use flate2::{Decompress, FlushDecompress, Status};

use super::Malformed;

/// The dictionary, as the draft gives it.
const DICTIONARY: &[u8] = include_bytes!("dictionary.bin");
/// Largest block after decompression, in bytes.
const BLOCK: usize = 16 * 1024;
/// Most headers in a block.
const HEADERS: u32 = 64;

const BROKEN: Malformed = Malformed("a SPDY header block is malformed");

/// The header blocks of one direction, in the order in which they pass.
pub(super) struct HeaderBlocks {
    inflate: Decompress,
    primed: bool,
}

impl HeaderBlocks {
    pub(super) fn new() -> Self {
        Self {
            inflate: Decompress::new(true),
            primed: false,
        }
    }

    /// The name-value pairs of the next block. Values that are not UTF-8 are left out.
    pub(super) fn read(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
        pairs(&self.inflate(block)?)
    }

    fn inflate(&mut self, mut block: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::with_capacity(1024);
        let mut chunk = [0u8; 2048];
        loop {
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(block, &mut chunk, FlushDecompress::Sync);
            let read = usize::try_from(self.inflate.total_in() - in_before).map_err(|_| BROKEN)?;
            let made =
                usize::try_from(self.inflate.total_out() - out_before).map_err(|_| BROKEN)?;
            block = block.get(read..).ok_or(BROKEN)?;
            out.extend_from_slice(chunk.get(..made).ok_or(BROKEN)?);
            if out.len() > BLOCK {
                return Err(Malformed("a SPDY header block is too large"));
            }
            match status {
                Err(error) if error.needs_dictionary().is_some() && !self.primed => {
                    self.inflate
                        .set_dictionary(DICTIONARY)
                        .map_err(|_| BROKEN)?;
                    self.primed = true;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(BROKEN),
                Ok(_) if block.is_empty() && made < chunk.len() => return Ok(out),
                Ok(_) if read == 0 && made == 0 => return Err(BROKEN),
                Ok(_) => {}
            }
        }
    }
}

fn pairs(mut bytes: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let count = number(&mut bytes)?;
    if count > HEADERS {
        return Err(Malformed("a SPDY header block has too many headers"));
    }
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (name, value) = (text(&mut bytes)?, text(&mut bytes)?);
        if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
            pairs.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    Ok(pairs)
}

fn number(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(BROKEN)?;
    *bytes = rest;
    Ok(u32::from_be_bytes(*head))
}

fn text<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(number(bytes)?).map_err(|_| BROKEN)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(BROKEN)?;
    *bytes = rest;
    Ok(text)
}
