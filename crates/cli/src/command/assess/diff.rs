//! `kubestile assess diff`: what has changed between two snapshots, judged by the same controls.

use std::path::Path;

use kubestile_assess::exception::Exceptions;
use kubestile_assess::{Assessment, Outcome as Verdict, assess};
use serde::Serialize;

use super::read;
use crate::exit::Outcome;
use crate::output::{self, Format, Table};

/// What has changed.
#[derive(Serialize)]
struct Difference {
    before: u8,
    after: u8,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    control: String,
    title: String,
    before: Verdict,
    after: Verdict,
    summary: String,
}

/// Compares.
pub(super) fn run(before: &Path, after: &Path, format: Format) -> Outcome {
    let none = Exceptions::default();
    let (before, after) = (assess(&read(before)?, &none), assess(&read(after)?, &none));
    let difference = Difference {
        before: before.stage.number(),
        after: after.stage.number(),
        changes: changes(&before, &after),
    };
    if format.is_data() {
        return output::value(format, &difference);
    }
    output::line(&format!(
        "stage {} -> {}",
        difference.before, difference.after
    ))?;
    let mut table = Table::new(&["CONTROL", "BEFORE", "AFTER", "NOW"]);
    for change in &difference.changes {
        table.row([
            change.control.clone(),
            change.before.to_string(),
            change.after.to_string(),
            change.summary.clone(),
        ]);
    }
    table.print("no control has changed")
}

/// Controls whose outcome or reason is another one.
fn changes(before: &Assessment, after: &Assessment) -> Vec<Change> {
    let changed = |now: &kubestile_assess::score::Finding| {
        let then = before.finding(&now.control)?;
        let differs = then.verdict.outcome != now.verdict.outcome
            || (now.verdict.outcome == Verdict::Fail
                && then.verdict.summary != now.verdict.summary);
        differs.then(|| Change {
            control: now.control.clone(),
            title: now.title.clone(),
            before: then.verdict.outcome,
            after: now.verdict.outcome,
            summary: now.verdict.summary.clone(),
        })
    };
    after.findings.iter().filter_map(changed).collect()
}
