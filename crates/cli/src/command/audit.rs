//! `kubestile audit`: reads the log's directory, beside the gate that writes it or without it; `import` asks
//! that gate to write.

mod evidence;
mod import;
mod rows;
mod search;
mod tail;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubestile_store::audit::read::ReadError;

use crate::args::audit::{Audit, Log};
use crate::exit::{Fail, Kind, Outcome, chain};
use crate::files;

/// How long the log is waited for. A gate that died leaves something unsealed until its next start.
const SETTLE: Duration = Duration::from_millis(1500);

/// Verifies, proves, searches or follows.
pub(super) fn run(args: Audit) -> Outcome {
    match args {
        Audit::Verify {
            log,
            key,
            older,
            output,
        } => evidence::verify(&log, key.as_deref(), &older, output.format),
        Audit::Prove {
            record,
            log,
            key,
            out,
        } => evidence::prove(&record, &log, key.as_deref(), out.as_deref()),
        Audit::Check { proof, key, output } => evidence::check(&proof, &key, output.format),
        Audit::Import(args) => import::run(&args),
        Audit::Search(args) => search::run(&args),
        Audit::Tail {
            filter,
            log,
            output,
            lines,
            verify,
        } => tail::run(&filter, &log, output.format, lines, verify),
    }
}

/// The log's directory.
fn directory(log: &Log) -> Outcome<PathBuf> {
    match &log.log {
        Some(dir) => Ok(dir.clone()),
        None => Ok(log.state.path()?.join(crate::serve::AUDIT)),
    }
}

/// Waits for what has just happened to be sealed, which a running gate does each second: while something
/// was written ahead after the checkpoint. Whoever types a command and searches for it finds it.
fn settle(dir: &Path) {
    let modified = |path: PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let written_ahead = || {
        let segments = std::fs::read_dir(dir.join("wal")).ok()?;
        segments
            .filter_map(Result::ok)
            .filter_map(|s| modified(s.path()))
            .max()
    };
    let deadline = Instant::now() + SETTLE;
    while written_ahead() > modified(dir.join("checkpoint")) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The key that was named, or the one that the gate keeps beside its log. The latter says only that the
/// log is whole: who could exchange the log could exchange that key, too.
fn key(log: &Log, named: Option<&str>) -> Outcome<String> {
    if let Some(key) = named {
        return Ok(key.to_owned());
    }
    let dir = directory(log)?;
    for place in [dir.join("log.vkey"), dir.join("..").join("log.vkey")] {
        if let Some(key) = files::read(&place)? {
            return Ok(key.trim().to_owned());
        }
    }
    if !dir.join("checkpoint").exists() {
        return Err(failed(ReadError::NoLog {
            path: dir.join("checkpoint"),
        }));
    }
    Err(Fail::usage(format!(
        "there is no key beside the log `{}`",
        dir.display()
    ))
    .hint("give it with --key; the gate's owner has it in log.vkey"))
}

/// What went wrong with reading or vouching for a log.
fn failed(error: ReadError) -> Fail {
    let text = chain(&error);
    match error {
        ReadError::NoLog { .. } => Fail::failure(text)
            .hint("name the gate's state directory with --dir, or a log with --log"),
        ReadError::Io { .. } | ReadError::NoEntry { .. } | ReadError::NoRequest(_) => {
            Fail::failure(text)
        }
        ReadError::Vkey(_) | ReadError::VkeyType(_) => Fail::usage(text),
        _ => Fail::new(Kind::Verification, text),
    }
}
