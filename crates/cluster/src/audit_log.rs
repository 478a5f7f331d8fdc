//! Reads audit logs of any size, and counts what is in them while it reads: plain or gzip, lines or one
//! document, several files, on every core. Memory does not grow with the log.

mod each;
mod frame;
mod seen;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use kubestile_assess::traffic::fold::{Fold, Options};
use kubestile_assess::traffic::{Form, Problem, Read, line};

pub use each::{Pass, each};
use frame::{Chunk, Frames};
use seen::Seen;

/// Lines that were not understood, of each log, that are shown.
const SHOWN: usize = 5;
/// Chunks that wait for each worker.
const QUEUE: usize = 2;
/// Workers at most.
const WORKERS: usize = 16;

/// What could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the audit log `{path}`")]
pub struct ReadError {
    path: String,
    #[source]
    source: io::Error,
}

/// Reads these logs (`-` is standard input) into one count. `progress` hears how many bytes were read, and of how many
/// as far as that is known.
///
/// # Errors
/// [`ReadError`] if one of them cannot be opened or read; nothing is counted by halves.
pub fn read(
    logs: &[PathBuf],
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Fold, Vec<Read>), ReadError> {
    let seen = Seen::default();
    let workers = thread::available_parallelism().map_or(1, |n| n.get().min(WORKERS));
    let total = logs.iter().map(|path| size(path)).sum();
    thread::scope(|scope| {
        let mut senders = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..workers {
            let (sender, receiver) = sync_channel(QUEUE);
            let worker = Worker::new(options.clone(), logs.len(), &seen);
            handles.push(scope.spawn(move || worker.run(&receiver)));
            senders.push(sender);
        }
        let mut sources = Vec::new();
        let mut done = 0;
        let mut failed = None;
        for (index, path) in logs.iter().enumerate() {
            let mut say = |bytes| progress(done + bytes, total);
            match hand_out(index, path, &senders, &mut say) {
                Ok((source, bytes)) => {
                    done += bytes;
                    sources.push(source);
                }
                Err(source) => {
                    let path = path.display().to_string();
                    failed = Some(ReadError { path, source });
                    break;
                }
            }
        }
        drop(senders);
        let mut fold = Fold::new(options.clone());
        for handle in handles {
            // A worker that died has counted by halves.
            let Ok((part, parts)) = handle.join() else {
                let source = io::Error::other("a worker failed");
                return Err(failed.unwrap_or(ReadError {
                    path: String::new(),
                    source,
                }));
            };
            fold.join(part);
            sources.iter_mut().zip(parts).for_each(|(s, p)| p.add_to(s));
        }
        failed.map_or(Ok((fold, sources)), Err)
    })
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Reads one log and gives its chunks to the workers in turn.
fn hand_out(
    index: usize,
    path: &Path,
    senders: &[SyncSender<(usize, Chunk)>],
    say: &mut dyn FnMut(u64),
) -> io::Result<(Read, u64)> {
    let read = Arc::new(AtomicU64::new(0));
    let file: Box<dyn io::Read> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path)?),
    };
    let counted = Counted {
        file,
        read: Arc::clone(&read),
    };
    let mut reader = BufReader::with_capacity(1 << 18, counted);
    let zipped = reader.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn io::Read> = match zipped {
        true => Box::new(MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    };
    let mut source = Read {
        name: path.display().to_string(),
        form: None,
        bytes: 0,
        lines: 0,
        events: 0,
        other: 0,
        malformed: 0,
        problems: Vec::new(),
    };
    let mut frames = Frames::new(input);
    for sender in senders.iter().cycle() {
        let Some(chunk) = frames.next_chunk()? else {
            break;
        };
        source.bytes += u64::try_from(chunk.text.len()).unwrap_or(u64::MAX);
        // A worker that is gone says so when it is joined.
        if sender.send((index, chunk)).is_err() {
            break;
        }
        say(read.load(Ordering::Relaxed));
    }
    for (line, why) in frames.problems() {
        source.malformed += 1;
        problem(&mut source.problems, *line, why);
    }
    Ok((source, read.load(Ordering::Relaxed)))
}

/// A log, and how much of it was read as it lies there.
struct Counted {
    file: Box<dyn io::Read>,
    read: Arc<AtomicU64>,
}

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        let more = u64::try_from(read).unwrap_or(0);
        self.read.fetch_add(more, Ordering::Relaxed);
        Ok(read)
    }
}

struct Worker<'s> {
    fold: Fold,
    parts: Vec<Part>,
    seen: &'s Seen,
}

/// What one worker saw of one log.
#[derive(Debug, Clone, Default)]
struct Part {
    form: Option<Form>,
    lines: u64,
    events: u64,
    other: u64,
    malformed: u64,
    problems: Vec<Problem>,
}

impl<'s> Worker<'s> {
    fn new(options: Options, logs: usize, seen: &'s Seen) -> Self {
        Self {
            fold: Fold::new(options),
            parts: vec![Part::default(); logs],
            seen,
        }
    }

    fn run(mut self, chunks: &Receiver<(usize, Chunk)>) -> (Fold, Vec<Part>) {
        while let Ok((index, chunk)) = chunks.recv() {
            let Some(part) = self.parts.get_mut(index) else {
                continue;
            };
            let mut number = chunk.first;
            if chunk.is_whole {
                take(&mut self.fold, self.seen, part, number, &chunk.text);
                continue;
            }
            let mut rest = chunk.text.as_slice();
            while !rest.is_empty() {
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                let (text, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                take(&mut self.fold, self.seen, part, number, text);
                rest = after.get(1..).unwrap_or_default();
                number += 1;
            }
        }
        (self.fold, self.parts)
    }
}

fn take(fold: &mut Fold, seen: &Seen, part: &mut Part, number: u64, text: &[u8]) {
    if text.trim_ascii().is_empty() {
        return;
    }
    part.lines += 1;
    let result = line::read(text, &mut |event| {
        let mut full = false;
        fold.add(event, &mut |hash| {
            seen.is_new(hash).unwrap_or_else(|| {
                full = true;
                true
            })
        });
        if full {
            fold.unchecked();
        }
    });
    match result {
        Ok(found) => {
            part.events += u64::try_from(found.events).unwrap_or(u64::MAX);
            part.other += u64::from(found.events == 0);
            if found.events > 0 || part.form.is_none() {
                part.form = Some(found.form);
            }
        }
        Err(error) => {
            part.malformed += 1;
            problem(&mut part.problems, number, &error.to_string());
        }
    }
}

/// Keeps the first few.
fn problem(problems: &mut Vec<Problem>, line: u64, why: &str) {
    problems.push(Problem {
        line,
        why: why.to_owned(),
    });
    problems.sort_by_key(|p| p.line);
    problems.truncate(SHOWN);
}

impl Part {
    fn add_to(self, source: &mut Read) {
        source.form = self.form.or(source.form);
        source.lines += self.lines;
        source.events += self.events;
        source.other += self.other;
        source.malformed += self.malformed;
        for found in self.problems {
            problem(&mut source.problems, found.line, &found.why);
        }
    }
}

#[cfg(test)]
mod tests;
