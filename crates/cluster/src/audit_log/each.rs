//! Reads one audit log event by event, in its order, and says which bytes it was: for what must be able to
//! show its source.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use flate2::bufread::MultiGzDecoder;
use kubestile_assess::traffic::event::Event;
use kubestile_assess::traffic::{Read, line};

use super::frame::{Chunk, Frames};
use super::{ReadError, problem};
use crate::collect::hex;

/// What a log was, when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// SHA-256 of all of it as it lies there, lower-case hex.
    pub sha256: String,
    /// Its length as it lies there.
    pub bytes: u64,
    /// What was in it.
    pub read: Read,
}

/// Hands on every event of the log at `path`, of whatever stage, until it is told to stop. `progress` hears how
/// many bytes were read. None if it was stopped.
///
/// # Errors
/// [`ReadError`] if it cannot be read, or is no file: what can be read only once cannot be shown again.
pub fn each(
    path: &Path,
    progress: &mut dyn FnMut(u64),
    with: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
) -> Result<Option<Pass>, ReadError> {
    run(path, progress, with).map_err(|source| ReadError {
        path: path.display().to_string(),
        source,
    })
}

fn run(
    path: &Path,
    progress: &mut dyn FnMut(u64),
    with: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
) -> io::Result<Option<Pass>> {
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut hashed = Hashed {
        file: File::open(path)?,
        hash: Context::new(&SHA256),
        bytes: 0,
        told: progress,
    };
    let mut reading = Reading {
        with,
        stopped: false,
        read: Read {
            name: path.display().to_string(),
            form: None,
            bytes: 0,
            lines: 0,
            events: 0,
            other: 0,
            malformed: 0,
            problems: Vec::new(),
        },
    };
    chunks(&mut hashed, &mut reading)?;
    if reading.stopped {
        return Ok(None);
    }
    // What stands behind a document, or could not be unpacked, is a part of the file as well.
    io::copy(&mut hashed, &mut io::sink())?;
    Ok(Some(Pass {
        sha256: hex(hashed.hash.finish().as_ref()),
        bytes: hashed.bytes,
        read: reading.read,
    }))
}

fn chunks(hashed: &mut Hashed<'_>, reading: &mut Reading<'_>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, hashed);
    let zipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn io::Read + '_> = match zipped {
        true => Box::new(MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    };
    let mut frames = Frames::new(input);
    while let Some(chunk) = frames.next_chunk()? {
        reading.chunk(&chunk);
        if reading.stopped {
            return Ok(());
        }
    }
    for (line, why) in frames.problems() {
        reading.read.malformed += 1;
        problem(&mut reading.read.problems, *line, why);
    }
    Ok(())
}

/// A file, and the hash of what was read of it.
struct Hashed<'p> {
    file: File,
    hash: Context,
    bytes: u64,
    told: &'p mut dyn FnMut(u64),
}

impl io::Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hash.update(buffer.get(..length).unwrap_or_default());
        self.bytes += u64::try_from(length).unwrap_or(0);
        (self.told)(self.bytes);
        Ok(length)
    }
}

struct Reading<'w> {
    with: &'w mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    stopped: bool,
    read: Read,
}

impl Reading<'_> {
    fn chunk(&mut self, chunk: &Chunk) {
        self.read.bytes += u64::try_from(chunk.text.len()).unwrap_or(u64::MAX);
        if chunk.is_whole {
            self.text(chunk.first, &chunk.text);
            return;
        }
        let lines = chunk.text.split(|byte| *byte == b'\n');
        for (number, text) in (chunk.first..).zip(lines) {
            self.text(number, text);
            if self.stopped {
                return;
            }
        }
    }

    fn text(&mut self, number: u64, text: &[u8]) {
        if text.trim_ascii().is_empty() {
            return;
        }
        self.read.lines += 1;
        let Self { with, stopped, .. } = self;
        let result = line::read_stages(text, &mut |event| {
            *stopped = *stopped || with(event).is_break();
        });
        match result {
            Ok(found) => {
                self.read.events += u64::try_from(found.events).unwrap_or(u64::MAX);
                self.read.other += u64::from(found.events == 0);
                if found.events > 0 || self.read.form.is_none() {
                    self.read.form = Some(found.form);
                }
            }
            Err(error) => {
                self.read.malformed += 1;
                problem(&mut self.read.problems, number, &error.to_string());
            }
        }
    }
}
