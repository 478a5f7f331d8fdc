//! `kubestile access`: what I have, until when, and what I may ask for.

mod drills;

use kubestile_control::api::{Askable, GrantEntry, Rights};
use serde::Serialize;

use self::drills::Drill;
use super::{block_on, grants, list, own};
use crate::args::access::Access;
use crate::exit::Outcome;
use crate::output;
use crate::output::{Format, Table};

/// What is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    rights: Rights,
    /// Of clusters where they may be seen.
    drills: Vec<Drill>,
}

/// Shows it.
pub(super) fn run(args: &Access) -> Outcome {
    let shown: Shown = block_on(async {
        let door = own(&args.gate).await?;
        let rights: Rights = door.get("/v1/rights").await?;
        let drills = drills::of(&door, &rights).await;
        Ok(Shown { rights, drills })
    })?;
    if args.output.format.is_data() {
        return output::value(args.output.format, &shown);
    }
    output::data(&text(&shown.rights, args.output.format))?;
    output::data(&drills::text(&shown.drills))
}

/// What is there of it; every cell and name is escaped by then.
fn text(rights: &Rights, format: Format) -> String {
    let standing = match rights.functions.is_empty() {
        true => "nothing".to_owned(),
        false => list(&rights.functions),
    };
    let mut text = format!(
        "{:<16}{}\n{:<16}{}\n",
        "person",
        output::escape(&rights.person),
        "always",
        output::escape(&standing)
    );
    let all = |grants: &[GrantEntry]| {
        let grants: Vec<&GrantEntry> = grants.iter().collect();
        grants::table(&grants, format)
    };
    let mut part = |title: &str, table: Table| {
        if !table.is_empty() {
            text.push_str(&format!("\n{title}\n{}", table.text()));
        }
    };
    part("Grants that you have", all(&rights.grants));
    part("What you may ask for", askable(&rights.may_ask));
    part("Grants that wait for a review", all(&rights.to_review));
    if !rights.to_review.is_empty() {
        text.push_str("\nAfter a look at `kubestile audit search --grant GRANT`:\n");
        text.push_str("  kubestile grants review GRANT --note TEXT\n");
    }
    text
}

fn askable(all: &[Askable]) -> Table {
    let mut table = Table::new(&["ROLE", "CLUSTER", "SCOPE", "NEEDS", "WITH"]);
    for one in all {
        let command = match one.kind.as_str() {
            "break-glass" => "kubestile break-glass",
            _ => "kubestile request",
        };
        table.row([
            one.role.clone(),
            one.cluster.to_string(),
            one.scope.clone(),
            one.needs.clone(),
            command.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_and_may_ask_for() {
        let rights = Rights {
            person: "ben".to_owned(),
            functions: vec!["viewer".parse().unwrap()],
            grants: Vec::new(),
            may_ask: vec![Askable {
                role: "operator".to_owned(),
                cluster: "prod".parse().unwrap(),
                scope: "a namespace".to_owned(),
                needs: "approval of s\u{1b}re".to_owned(),
                kind: "grant".to_owned(),
            }],
            to_review: Vec::new(),
        };
        assert_eq!(
            text(&rights, Format::Table),
            "person          ben\n\
             always          viewer\n\
             \n\
             What you may ask for\n\
             ROLE       CLUSTER   SCOPE         NEEDS                   WITH\n\
             operator   prod      a namespace   approval of s\\u{1b}re   kubestile request\n"
        );
    }
}
