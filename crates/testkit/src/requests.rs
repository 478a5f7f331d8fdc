//! Requests to a Kubernetes API as clients send them, as nobody sends them, and as an attacker would:
//! input of the differential test, of fuzzing and of anything else that reads requests.

mod honest;
mod hostile;
mod odd;

use crate::random::Random;

/// How a request was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// As kubectl and client-go write it. Every parser must accept it.
    Honest,
    /// Grammatical, but with words where they do not belong and values that nobody sends.
    Odd,
    /// One of the others, spelt so that two programs may read it differently.
    Hostile,
}

/// A request line without its HTTP version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query, raw.
    pub target: String,
    /// How it was made.
    pub intent: Intent,
}

impl Request {
    /// The raw path, and the raw query if there is a `?`.
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.target, None),
        }
    }
}

/// An endless sequence of requests that its seed determines.
#[derive(Debug, Clone)]
pub struct Requests {
    random: Random,
}

impl Requests {
    /// The requests of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let random = &mut self.random;
        Some(match random.below(10) {
            0..4 => honest::request(random),
            4..7 => odd::request(random),
            _ => {
                let plain = if random.chance(50) {
                    honest::request(random)
                } else {
                    odd::request(random)
                };
                hostile::spoil(random, plain)
            }
        })
    }
}

/// `QueryEscape` of Go: what client-go does to the values of a query.
fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A path segment as Go's `URL.EscapedPath` writes it.
fn escape_segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'$'
            | b'&'
            | b'+'
            | b','
            | b':'
            | b'='
            | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
