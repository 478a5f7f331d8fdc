//! Deterministic mutations of seeds: the same number always gives the same inputs.

use crate::random::Random;

/// Longest input that a mutation makes, in bytes.
const LIMIT: usize = 96 * 1024;

/// Bytes that parsers of this repository treat specially.
const INTERESTING: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"/",
    b"//",
    b"/../",
    b"/./",
    b"%2F",
    b"%2e%2e",
    b"%00",
    b"%25",
    b"\\",
    b";",
    b"?",
    b"&",
    b"&watch=1",
    b"&dryRun=All",
    b"=",
    b":",
    b",",
    b"-",
    b"_",
    b"+",
    b"\"",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"0",
    b"18446744073709551615",
    b"-1",
    b"\xff\xff\xff\xff",
    b"\x80\0\0\0",
    b"\x7f\xff\xff\xff",
    b"{",
    b"}",
    b"[",
    b"]",
    b"system:masters",
    b"\xe2\x80\x94 ",
];

/// Makes inputs from seeds.
#[derive(Debug, Clone)]
pub struct Mutator(Random);

impl Mutator {
    /// Starts the sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// A changed copy of `seed`, sometimes with a part of `other` in it.
    pub fn mutate(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, other);
        }
        bytes.truncate(LIMIT);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below(bytes.len() - at + 1).min(64);
        match self.below(9) {
            0 => self.with_byte(bytes, at, |byte, random| byte ^ (1 << (random % 8))),
            1 => self.with_byte(bytes, at, |_, random| random),
            2 => self.with_byte(bytes, at, |byte, _| byte.wrapping_add(1)),
            3 => self.with_byte(bytes, at, |byte, _| byte.wrapping_sub(1)),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let part: Vec<u8> = bytes.drain(at..end).collect();
                let twice = [part.as_slice(), &part].concat();
                drop(bytes.splice(at..at, twice));
            }
            6 => {
                let index = self.below(INTERESTING.len());
                let word = INTERESTING.get(index).copied().unwrap_or_default();
                drop(bytes.splice(at..at, word.iter().copied()));
            }
            7 => {
                let from = self.below(other.len() + 1);
                let to = from + self.below(other.len() - from + 1).min(256);
                let part = other.get(from..to).unwrap_or_default().to_vec();
                drop(bytes.splice(at..end, part));
            }
            _ => bytes.truncate(at),
        }
    }

    fn with_byte(&mut self, bytes: &mut [u8], at: usize, change: impl Fn(u8, u8) -> u8) {
        let random = u8::try_from(self.0.below(256)).unwrap_or(0);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = change(*byte, random);
        }
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_inputs() {
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..100)
                .map(|_| mutator.mutate(b"GET /api/v1/pods", b"other"))
                .collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn nothing_is_something_to_start_from() {
        let mut mutator = Mutator::new(7);
        for _ in 0..1000 {
            assert!(mutator.mutate(b"", b"").len() <= LIMIT);
        }
    }
}
