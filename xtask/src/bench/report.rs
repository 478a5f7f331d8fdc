//! What comes out: tables on the terminal, and a JSON and a Markdown file in `bench/results/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::goals::Goal;
use super::machine::Facts;
use super::peer::Kind;
use super::rows::{Measured, Plan};
use super::sample::{Middle, compared, middle_of};

/// A run.
pub(super) struct Report<'a> {
    /// On what.
    pub(super) facts: &'a Facts,
    /// How much.
    pub(super) plan: &'a Plan,
    /// The command line.
    pub(super) command: String,
    /// All figures.
    pub(super) measured: &'a [Measured],
    /// And what they mean.
    pub(super) goals: &'a [Goal],
    /// The peers' configurations.
    pub(super) configurations: Vec<(String, String)>,
    /// What should be known when the figures are read.
    pub(super) remarks: Vec<String>,
}

impl Report<'_> {
    /// For the terminal.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for row in self.measured {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            let lines = cells(row);
            let mut lines = lines.into_iter();
            table.set_header(lines.next().unwrap_or_default());
            table.add_rows(lines);
            let _ = write!(
                text,
                "\n{}\n{}\n",
                row.row.title(self.plan),
                table.trim_fmt()
            );
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["GOAL", "WANTED", "MEASURED", ""]);
        table.add_rows(self.goals.iter().map(goal_cells));
        let _ = write!(text, "\n{}\n", table.trim_fmt());
        text
    }

    /// Writes both files; gives their paths.
    pub(super) fn write(&self, dir: &Path) -> Result<[PathBuf; 2]> {
        std::fs::create_dir_all(dir)?;
        let day: String = self.facts.date.chars().take(10).collect();
        let name = format!("{day}-{}", self.facts.commit.trim_end_matches('+'));
        let (json, markdown) = (
            dir.join(format!("{name}.json")),
            dir.join(format!("{name}.md")),
        );
        std::fs::write(&json, serde_json::to_string_pretty(&self.json())? + "\n")?;
        std::fs::write(&markdown, self.markdown())?;
        Ok([json, markdown])
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.measured.iter().map(|row| self.row_json(row)).collect();
        let configurations: Vec<Value> = self
            .configurations
            .iter()
            .map(|(file, text)| json!({ "file": file, "text": text }))
            .collect();
        json!({
            "command": self.command,
            "machine": self.facts,
            "plan": self.plan,
            "remarks": self.remarks,
            "rows": rows,
            "goals": self.goals,
            "configurations": configurations,
        })
    }

    fn row_json(&self, row: &Measured) -> Value {
        let peers: Vec<Value> = row
            .peers
            .iter()
            .map(|(kind, rounds)| {
                let figures: serde_json::Map<String, Value> = figures(row)
                    .into_iter()
                    .filter_map(|f| Some((f.to_owned(), json!(middle_of(rounds, f)?))))
                    .collect();
                json!({ "peer": kind.name(), "figures": figures, "rounds": rounds })
            })
            .collect();
        json!({ "row": row.row.id(), "title": row.row.title(self.plan), "peers": peers })
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {} at {}\n\n", self.facts.date, self.facts.commit);
        let _ = write!(text, "`{}`\n\n", self.command);
        for line in self.facts.lines() {
            let _ = writeln!(text, "- {line}");
        }
        let plan = self.plan;
        let _ = writeln!(
            text,
            "- {} rounds (rows of memory: {}; commands: {}), {} s each, peers in turn; median, and \
             from the first to the third quartile",
            plan.rounds, plan.memory_rounds, plan.commands, plan.seconds
        );
        for remark in &self.remarks {
            let _ = writeln!(text, "- {remark}");
        }
        text.push_str("\n## Goals\n\n| goal | wanted | measured | |\n|---|---|---|---|\n");
        for goal in self.goals {
            let _ = writeln!(text, "| {} |", goal_cells(goal).join(" | "));
        }
        for row in self.measured {
            let _ = write!(text, "\n## {}\n\n", row.row.title(plan));
            for (number, line) in cells(row).into_iter().enumerate() {
                let _ = writeln!(text, "| {} |", line.join(" | "));
                if number == 0 {
                    let _ = writeln!(text, "|{}", "---|".repeat(line.len()));
                }
            }
        }
        text.push_str("\n## Configurations\n");
        for (file, content) in &self.configurations {
            let _ = write!(text, "\n{file}:\n\n```\n{}\n```\n", content.trim_end());
        }
        text
    }
}

/// A row's table, with its head: the figures of each peer, and the gate's against each.
fn cells(row: &Measured) -> Vec<Vec<String>> {
    let figures = figures(row);
    let main = figures.first().copied().unwrap_or_default();
    let mut head = vec!["peer".to_owned()];
    head.extend(figures.iter().map(|figure| (*figure).to_owned()));
    head.push(format!("gate ÷ peer ({main})"));
    let mut lines = vec![head];
    for (kind, rounds) in &row.peers {
        let mut line = vec![kind.name().to_owned()];
        line.extend(
            figures
                .iter()
                .map(|f| middle_of(rounds, f).map_or("–".to_owned(), shown)),
        );
        let ratio = row
            .of(Kind::Gate)
            .filter(|_| *kind != Kind::Gate)
            .and_then(|gate| compared(gate, rounds, main, |our, their| our / their));
        line.push(ratio.map_or(String::new(), |r| format!("{r:.2}")));
        lines.push(line);
    }
    lines
}

/// The figures of a row, the one that is compared first.
fn figures(row: &Measured) -> Vec<&'static str> {
    const ORDER: [&str; 12] = [
        "req/s",
        "p50 µs",
        "p99 µs",
        "CPU µs/req",
        "core used",
        "MB/s",
        "MB/s per core",
        "growth MiB",
        "KiB/watch",
        "opened/s",
        "CPU µs to open",
        "ms",
    ];
    let has = |figure: &&str| {
        let mut samples = row.peers.iter().flat_map(|(_, rounds)| rounds);
        samples.any(|sample| sample.contains_key(*figure))
    };
    ORDER.into_iter().filter(has).collect()
}

fn shown(middle: Middle) -> String {
    format!("{} ({})", number(middle.median), number(middle.spread))
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn goal_cells(goal: &Goal) -> Vec<String> {
    vec![
        goal.what.clone(),
        goal.wanted.to_owned(),
        number(goal.measured),
        if goal.met { "met" } else { "NOT met" }.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::rows::Row;
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn a_table_has_every_figure_and_the_gate_against_each_peer() {
        let rounds = |rate: f64| vec![Sample::from([("req/s", rate)])];
        let row = Measured {
            row: Row::Get32,
            peers: vec![(Kind::Gate, rounds(800.0)), (Kind::Nginx, rounds(1000.0))],
        };
        assert_eq!(
            cells(&row),
            [
                vec!["peer", "req/s", "gate ÷ peer (req/s)"],
                vec!["gate", "800 (0.00)", ""],
                vec!["nginx", "1000 (0.00)", "0.80"],
            ]
        );
    }
}
