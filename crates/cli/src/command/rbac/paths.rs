//! `rbac paths`.

use kubestile_assess::paths::{Asked, Way, ways};

use super::{identity, snapshot, unknown};
use crate::args::rbac::Paths;
use crate::exit::Outcome;
use crate::output::{self, Table};

/// Ways up.
pub(super) fn run(args: &Paths) -> Outcome {
    let snapshot = snapshot(&args.rights)?;
    let only = match &args.subject {
        Some(text) => Some(identity(text)?),
        None => None,
    };
    let asked = Asked {
        only,
        administrators: true,
        most: None,
    };
    let found = ways(&snapshot, &asked).map_err(|absence| unknown(&absence))?;
    show(&found.ways, args)
}

fn show(rows: &[Way], args: &Paths) -> Outcome {
    if args.output.format.is_data() {
        return output::value(args.output.format, &rows);
    }
    let mut table = Table::new(&["SUBJECT", "REACHES", "CONFIDENCE", "BY", "CUT"]);
    for row in rows {
        let by: Vec<String> = row
            .steps
            .iter()
            .map(|s| match s.becomes == row.reaches {
                true => s.does.to_owned(),
                false => format!("{} ({})", s.does, s.becomes),
            })
            .collect();
        table.row([
            row.subject.clone(),
            row.reaches.clone(),
            format!("{:?}", row.confidence).to_lowercase(),
            by.join(", then "),
            row.cut
                .as_ref()
                .map_or_else(|| "nothing closes it".to_owned(), |c| c.join(", ")),
        ]);
    }
    table.print("nobody below the administrators has a way up")
}
