//! Cuts a log into chunks of whole lines, or, where it is one document over many lines, into the values of its
//! list.

use std::io::{self, Read};

/// Lines go out in chunks of about this size.
const CHUNK: usize = 1 << 20;
/// The longest line or value that is looked at. API servers refuse objects far below it.
const LONGEST: usize = 64 << 20;

/// Whole lines, or one whole value.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The number of its first line, or of the value in its list.
    pub(super) first: u64,
    /// The text.
    pub(super) text: Vec<u8>,
    /// Whether it is one value.
    pub(super) is_whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Unknown,
    Lines,
    /// One document over many lines.
    Document,
}

/// A log, cut.
pub(super) struct Frames<'r> {
    input: Box<dyn Read + 'r>,
    layout: Layout,
    /// Read, and not handed out.
    held: Vec<u8>,
    next: u64,
    ended: bool,
    problems: Vec<(u64, &'static str)>,
    /// Of a document: how deep, whether in a string, after a backslash, and where to look on.
    depth: usize,
    in_string: bool,
    escaped: bool,
    looked: usize,
    /// Whether its outermost bracket is a list's.
    in_list: bool,
}

impl<'r> Frames<'r> {
    pub(super) fn new(input: Box<dyn Read + 'r>) -> Self {
        Self {
            input,
            layout: Layout::Unknown,
            held: Vec::new(),
            next: 1,
            ended: false,
            problems: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            looked: 0,
            in_list: false,
        }
    }

    /// What was left out, and why.
    pub(super) fn problems(&self) -> &[(u64, &'static str)] {
        &self.problems
    }

    /// The next part; none at the end.
    pub(super) fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            if self.layout == Layout::Unknown {
                self.layout = layout(&self.held, self.ended);
            }
            let found = match self.layout {
                Layout::Unknown => None,
                Layout::Lines => self.lines(),
                Layout::Document => self.value(),
            };
            if found.is_some() {
                return Ok(found);
            }
            if self.ended {
                return Ok(None);
            }
            if self.held.len() > LONGEST {
                self.skip()?;
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let limit = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        let before = self.held.len();
        match self.input.by_ref().take(limit).read_to_end(&mut self.held) {
            Ok(_) => {}
            // A gzip file that is still being written, or was cut.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.problems.push((self.next, "it ends in the middle"));
                self.ended = true;
            }
            Err(error) => return Err(error),
        }
        self.ended |= self.held.len() == before;
        Ok(())
    }

    fn lines(&mut self) -> Option<Chunk> {
        let end = match memchr::memrchr(b'\n', &self.held) {
            Some(newline) => newline + 1,
            None if self.ended && !self.held.is_empty() => self.held.len(),
            None => return None,
        };
        let rest = self.held.split_off(end);
        let text = std::mem::replace(&mut self.held, rest);
        let first = self.next;
        let lines = memchr::memchr_iter(b'\n', &text).count();
        self.next += u64::try_from(lines).unwrap_or(u64::MAX);
        Some(Chunk {
            first,
            text,
            is_whole: false,
        })
    }

    /// The next value of the outermost list, or the whole document if it is an object.
    fn value(&mut self) -> Option<Chunk> {
        while let Some(byte) = self.held.get(self.looked).copied() {
            self.looked += 1;
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'[' if self.depth == 0 && !self.in_list => {
                    self.in_list = true;
                    self.held.drain(..self.looked);
                    self.looked = 0;
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(self.hand_out());
                    }
                }
                _ => {}
            }
        }
        if self.ended && self.depth > 0 {
            self.depth = 0;
            self.problems.push((self.next, "it ends in the middle"));
        }
        None
    }

    fn hand_out(&mut self) -> Chunk {
        let rest = self.held.split_off(self.looked);
        let text = std::mem::replace(&mut self.held, rest);
        self.looked = 0;
        let begin = text.iter().position(|b| matches!(b, b'{' | b'['));
        let text = begin.and_then(|b| text.get(b..)).unwrap_or_default();
        let first = self.next;
        self.next += 1;
        Chunk {
            first,
            text: text.to_vec(),
            is_whole: true,
        }
    }

    /// Leaves out the rest of a line that is too long. In a document there is no telling where to go on.
    fn skip(&mut self) -> io::Result<()> {
        self.problems.push((self.next, "it is longer than 64 MiB"));
        self.held.clear();
        if self.layout == Layout::Document {
            self.ended = true;
            return Ok(());
        }
        while !self.ended {
            self.fill()?;
            if let Some(newline) = memchr::memchr(b'\n', &self.held) {
                self.held.drain(..=newline);
                self.next += 1;
                return Ok(());
            }
            self.held.clear();
        }
        Ok(())
    }
}

/// Lines, unless the first one opens a bracket and does not close it.
fn layout(held: &[u8], ended: bool) -> Layout {
    let text = held.trim_ascii_start();
    let Some(first) = text.first() else {
        return Layout::Unknown;
    };
    let end = memchr::memchr(b'\n', text);
    if end.is_none() && !ended && held.len() < LONGEST {
        return Layout::Unknown;
    }
    let line = end
        .and_then(|end| text.get(..end))
        .unwrap_or(text)
        .trim_ascii_end();
    match (first, line.last()) {
        (b'{', Some(b'{' | b',' | b':' | b'[')) | (b'[', Some(b'[' | b',' | b'{')) => {
            Layout::Document
        }
        _ => Layout::Lines,
    }
}
