//! `audit tail`.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use kubestile_core::event::Record;
use kubestile_store::audit::read::{self, Tail};
use kubestile_store::audit::search::{self, Found, Outcome as Became};

use super::rows::{self, Row};
use super::search::{filter, is_hidden};
use super::{directory, failed, key};
use crate::args::audit::{Filter, Log};
use crate::exit::Outcome;
use crate::output::{self, Format};

/// New checkpoints come about once a second.
const PAUSE: Duration = Duration::from_millis(300);

/// Follows the log until interrupted.
pub(super) fn run(
    typed: &Filter,
    log: &Log,
    format: Format,
    lines: usize,
    verify: bool,
) -> Outcome {
    let dir = directory(log)?;
    let wanted = filter(typed)?;
    let size = read::head(&dir).map_err(failed)?.size();
    for found in last(typed, &wanted, &dir, lines)?
        .iter()
        .filter(|f| f.index < size)
    {
        print(found, format)?;
    }
    let mut tail = match verify {
        true => Tail::verifying(&dir, &key(log, None)?).map_err(failed)?,
        false => Tail::new(&dir, size),
    };
    loop {
        for entry in tail.poll().map_err(failed)? {
            let (index, bytes) = entry.map_err(failed)?;
            let record = Record::from_bytes(&bytes)?;
            if wanted.matches(&record) && !is_hidden(typed, &record) {
                // How it ends is not known yet.
                let found = Found {
                    index,
                    record,
                    outcome: Became::FarAway,
                };
                print(&found, format)?;
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// The last so many that are there already.
fn last(
    typed: &Filter,
    wanted: &search::Filter,
    dir: &Path,
    lines: usize,
) -> Outcome<VecDeque<Found>> {
    let mut found = VecDeque::new();
    if lines == 0 {
        return Ok(found);
    }
    for hit in search::search(dir, wanted).map_err(failed)? {
        let hit = hit.map_err(failed)?;
        if is_hidden(typed, &hit.record) {
            continue;
        }
        found.push_back(hit);
        if found.len() > lines {
            found.pop_front();
        }
    }
    Ok(found)
}

fn print(found: &Found, format: Format) -> Outcome {
    if format.is_data() {
        return output::stream(format, &Row::from(found));
    }
    let cells: Vec<String> = rows::cells(found, format == Format::Wide);
    let shown: Vec<&str> = cells
        .iter()
        .map(|c| if c.is_empty() { "-" } else { c })
        .collect();
    output::line(&shown.join("  "))
}
