//! `audit verify`, `prove` and `check`: what an auditor can hold the gate to.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use kubestile_core::event::Record;
use kubestile_store::audit::read::{self, Report, Which};
use kubestile_tlog::{SignedCheckpoint, Tile, TilePath, TreeReader, Trust, Verifier};
use serde::Serialize;

use super::{directory, failed, key, rows, settle};
use crate::args::audit::Log;
use crate::exit::{During as _, Fail, Kind, Outcome};
use crate::files;
use crate::output::{self, Format};

/// `verify -o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified<'a> {
    origin: &'a str,
    size: u64,
    root: &'a str,
    key: &'a str,
    witnesses: &'a [String],
    good: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bad_index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Verifies the whole log, and that it still contains what older checkpoints covered.
pub(super) fn verify(log: &Log, named: Option<&str>, older: &[PathBuf], format: Format) -> Outcome {
    let (dir, vkey) = (directory(log)?, key(log, named)?);
    let report = read::verify(&dir, &vkey).map_err(failed)?;
    let problem = match &report.problem {
        Some(problem) => Some(problem.to_string()),
        None => older
            .iter()
            .find_map(|file| contains(&dir, &vkey, report.size, file).err())
            .map(|fail| fail.message().to_owned()),
    };
    let first_bad = report.problem.as_ref().and_then(|p| p.first_bad);
    if format.is_data() {
        output::value(
            format,
            &Verified {
                origin: &report.origin,
                size: report.size,
                root: &report.root,
                key: &report.key,
                witnesses: &report.witnesses,
                good: problem.is_none(),
                first_bad_index: first_bad,
                problem: problem.clone(),
            },
        )?;
    }
    if let Some(problem) = problem {
        let at = first_bad
            .map(|i| format!(", from record {i} on"))
            .unwrap_or_default();
        return Err(Fail::new(
            Kind::Verification,
            format!("the log does NOT hold{at}: {problem}"),
        )
        .hint("keep a copy of the directory as it is, and of every older checkpoint you have"));
    }
    if format.is_data() {
        return Ok(());
    }
    say(&report, older.len())
}

fn say(report: &Report, older: usize) -> Outcome {
    output::line(&format!(
        "ok: all {} records are what was signed, in order and complete",
        report.size
    ))?;
    output::line(&format!("root  {}", report.root))?;
    output::line(&format!("key   {}", report.key))?;
    for witness in &report.witnesses {
        output::line(&format!("also signed by the witness {witness}"))?;
    }
    if older > 0 {
        output::line(&format!(
            "it contains all that {older} older checkpoints covered"
        ))?;
    }
    Ok(())
}

/// Whether the tree still has, as its beginning, the tree of an older checkpoint.
fn contains(dir: &Path, vkey: &str, size: u64, file: &Path) -> Outcome {
    let name = file.display();
    let verifier = Verifier::parse(vkey.trim())?;
    let trust = Trust::new(verifier)?;
    let bytes = files::read_existing(file)?;
    let old = SignedCheckpoint::open(bytes.as_bytes(), &trust)
        .during_with(|| format!("`{name}` is not a checkpoint of this log"))?;
    let old = old.checkpoint();
    if old.size() > size {
        return Err(Fail::failure(format!(
            "`{name}` covers {} records, the log has only {size}: it was cut",
            old.size()
        )));
    }
    let mut tree = TreeReader::new(size, |tile: Tile| tile_bytes(dir, tile));
    let root = tree
        .root_at(old.size())
        .map_err(|e| Fail::failure(e.to_string()))?;
    if root != old.root() {
        return Err(Fail::failure(format!(
            "the log is not a continuation of `{name}`: it was rewritten"
        )));
    }
    Ok(())
}

fn tile_bytes(dir: &Path, tile: Tile) -> std::io::Result<Option<Vec<u8>>> {
    let path = dir.join(TilePath::Hashes(tile).to_string());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // One byte too long is refused by the reader of tiles.
    file.take(tile.byte_len() as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes the proof for one record.
pub(super) fn prove(record: &str, log: &Log, named: Option<&str>, out: Option<&Path>) -> Outcome {
    let which = match (record.parse::<u64>(), record.parse()) {
        (Ok(index), _) => Which::Index(index),
        (_, Ok(request)) => Which::Request(request),
        _ => {
            return Err(
                Fail::usage(format!("`{record}` is neither a request nor an index"))
                    .hint("`kubestile audit search -o wide` shows both"),
            );
        }
    };
    let (dir, vkey) = (directory(log)?, key(log, named)?);
    settle(&dir);
    let proof = read::prove(&dir, &vkey, which).map_err(failed)?;
    match out {
        None => output::data(&proof),
        Some(path) => {
            files::replace_with_mode(path, proof.as_bytes(), 0o644)?;
            output::talk(&format!(
                "to check it without the log: kubestile audit check {} --key '{vkey}'",
                path.display()
            ));
            Ok(())
        }
    }
}

/// `check -o json`.
#[derive(Serialize)]
struct Shown {
    origin: String,
    index: u64,
    size: u64,
    root: String,
    record: Record,
}

/// Checks a proof without the log, and shows the record that it proves.
pub(super) fn check(proof: &Path, vkey: &str, format: Format) -> Outcome {
    let bytes = files::read_existing(proof).map_err(|fail| fail.kind(Kind::Failure))?;
    let checked = read::check(bytes.as_bytes(), None, vkey).map_err(failed)?;
    let record = Record::from_bytes(&checked.entry)
        .map_err(|e| Fail::from(e).kind(Kind::Verification))
        .during("what is proved is not a record of this program")?;
    if format.is_data() {
        return output::value(
            format,
            &Shown {
                origin: checked.origin,
                index: checked.index,
                size: checked.size,
                root: checked.root,
                record,
            },
        );
    }
    output::line(&format!(
        "ok: record {} of the log {} (signed at {} records)",
        checked.index, checked.origin, checked.size
    ))?;
    output::line(&rows::sentence(&record))
}
