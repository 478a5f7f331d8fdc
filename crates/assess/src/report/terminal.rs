//! For a person at a terminal: the five steps, where they stand, and what to do on Monday.

use super::{FIRST, first, kind_of};
use crate::catalog::{Control, Stage};
use crate::score::{Assessment, Finding, NEEDED, StageScore};
use crate::verdict::{Change, Outcome, Verdict};

/// How it is painted.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    /// Whether colours may be used; nothing depends on them.
    pub colour: bool,
    /// Makes visible what could steer a terminal. Everything that comes from elsewhere goes through it.
    pub escape: fn(&str) -> String,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        match self.colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn outcome(self, outcome: Outcome, text: &str) -> String {
        let code = match outcome {
            Outcome::Pass => "32",
            Outcome::Fail => "31",
            Outcome::Unknown => "33",
            Outcome::NotApplicable => "2",
        };
        self.with(code, text)
    }

    fn safe(self, text: &str) -> String {
        (self.escape)(text)
    }
}

/// The first screen.
pub fn summary(assessment: &Assessment, paint: Paint) -> String {
    let mut text = format!(
        "{}  {}  {}\n\n",
        paint.bold(&paint.safe(&assessment.cluster)),
        paint.safe(&assessment.server),
        paint.safe(&kind_of(assessment))
    );
    stairs(assessment, paint, &mut text);
    matters(assessment, paint, &mut text);
    undecided(assessment, paint, &mut text);
    remarks(assessment, paint, &mut text);
    next(assessment, paint, &mut text);
    text
}

/// Columns that one step is wide.
const STEP: usize = 8;
const HERE: &str = "you are here";

fn stairs(assessment: &Assessment, paint: Paint, text: &mut String) {
    for score in assessment.stages.iter().rev() {
        let number = usize::from(score.stage.number());
        let here = score.stage == assessment.stage;
        let words = format!(
            "{} {:<23} {:>2}/{:<2} gates {:>3} %",
            score.stage, score.name, score.gates_passed, score.gates, score.score
        );
        let words = match here {
            true => paint.bold(&words),
            false if score.stage < assessment.stage => paint.outcome(Outcome::Pass, &words),
            false => words,
        };
        let edge = number * STEP;
        let mark = paint.with("1;36", &format!("{HERE}: stage {}", score.stage));
        let arrow = paint.with("1;36", ">");
        let (before, after) = match (here, edge > HERE.len() + 10) {
            (true, true) => {
                let gap = edge - HERE.len() - 12;
                (format!("{}{mark} {arrow} ", " ".repeat(gap)), String::new())
            }
            (true, false) => (" ".repeat(edge), format!("   < {mark}")),
            (false, _) => (" ".repeat(edge), String::new()),
        };
        if number == 0 {
            text.push_str(&format!("  {words}{after}\n"));
            continue;
        }
        text.push_str(&format!("{before}│ {words}{after}\n"));
        let below = " ".repeat(edge - STEP);
        text.push_str(&format!("{below}┌{}┘\n", "─".repeat(STEP - 1)));
    }
    text.push('\n');
}

fn matters(assessment: &Assessment, paint: Paint, text: &mut String) {
    let findings = first(assessment, FIRST);
    if findings.is_empty() {
        text.push_str("Nothing fails of what could be decided.\n\n");
        return;
    }
    text.push_str(&paint.bold("What matters most"));
    text.push('\n');
    for (index, found) in findings.iter().enumerate() {
        finding(index + 1, found, paint, text);
    }
    text.push('\n');
}

fn finding(number: usize, finding: &Finding, paint: Paint, text: &mut String) {
    let verdict = &finding.verdict;
    let gate = if finding.gate { "★" } else { " " };
    text.push_str(&format!(
        "{number}. {} {gate} {}\n",
        paint.outcome(verdict.outcome, &finding.control),
        paint.safe(&verdict.summary)
    ));
    if let Some(evidence) = verdict.evidence.first() {
        let more = match verdict.evidence.len() + verdict.more_evidence {
            0 | 1 => String::new(),
            n => paint.dim(&format!("  and {} more", n - 1)),
        };
        text.push_str(&format!("     {}{more}\n", paint.safe(&evidence.place())));
        text.push_str(&format!(
            "     {}\n",
            paint.dim(&paint.safe(&evidence.text))
        ));
    }
    mend(verdict, "     ", paint, text);
}

fn mend(verdict: &Verdict, indent: &str, paint: Paint, text: &mut String) {
    let Some(fix) = &verdict.fix else { return };
    match fix.changes.first() {
        // A flag is no command: the words before it say what to do with it.
        Some(change @ (Change::Flag { .. } | Change::Apply { .. })) => {
            let command = paint.safe(&change.command());
            text.push_str(&format!("{indent}{} {command}\n", paint.with("36", "fix:")));
        }
        Some(change) => {
            let command = paint.safe(&change.command());
            text.push_str(&format!("{indent}{} {command}\n", paint.with("36", "$")));
        }
        None => {
            let words = paint.safe(&fix.text);
            text.push_str(&format!("{indent}{} {words}\n", paint.with("36", "fix:")));
        }
    }
}

fn undecided(assessment: &Assessment, paint: Paint, text: &mut String) {
    let aim = assessment.stage.next().unwrap_or(Stage::LAST);
    let open = |f: &&Finding| f.verdict.outcome == Outcome::Unknown && f.gate && f.stage <= aim;
    let gates: Vec<&Finding> = assessment.findings.iter().filter(open).collect();
    if gates.is_empty() {
        return;
    }
    text.push_str(&paint.bold(&format!(
        "Not decided, and so not passed: {} gate(s) up to stage {aim}",
        gates.len()
    )));
    text.push('\n');
    for gate in gates {
        text.push_str(&format!(
            "   {} {}\n          {}\n",
            paint.outcome(Outcome::Unknown, &gate.control),
            gate.title,
            paint.dim(&paint.safe(&gate.verdict.summary))
        ));
    }
    text.push('\n');
}

fn remarks(assessment: &Assessment, paint: Paint, text: &mut String) {
    for remark in &assessment.exceptions {
        let about = format!("{} {}: {}", remark.control, remark.object, remark.text);
        text.push_str(&format!("exception {}\n", paint.safe(&about)));
    }
}

fn next(assessment: &Assessment, paint: Paint, text: &mut String) {
    let Some(aim) = assessment.stage.next() else {
        text.push_str("There is no higher stage.\n");
        return;
    };
    let score = |stage: Stage| assessment.stages.iter().find(|s| s.stage == stage);
    let open: usize = [score(assessment.stage), score(aim)]
        .into_iter()
        .flatten()
        .map(|s: &StageScore| s.open_gates.len())
        .sum();
    let percent = score(aim).map_or(0, |s| s.score);
    let more = match percent < NEEDED {
        true => format!(", and {NEEDED} % of its weight ({percent} % now)"),
        false => String::new(),
    };
    text.push_str(&format!(
        "To stage {aim}, {}: {open} gate(s) to close{more}.\n",
        aim.name()
    ));
    text.push_str(&paint.dim("kubestile assess -o wide | explain CONTROL | -o html > report.html"));
    text.push('\n');
}

/// Everything about one control, with its finding if there is one.
pub fn explain(control: &Control, finding: Option<&Finding>, paint: Paint) -> String {
    let gate = if control.gate { ", a gate" } else { "" };
    let mut text = format!(
        "{}  {}\nstage {}, {}; {}{gate}\n\n",
        paint.bold(control.id),
        paint.bold(control.title),
        control.stage(),
        control.stage().name(),
        control.severity.word()
    );
    for (label, words) in [
        ("passes if", control.requires),
        ("without it", control.why),
        ("to do", control.remedy),
    ] {
        text.push_str(&format!("{label:<11} {words}\n"));
    }
    text.push_str(&format!(
        "{:<11} {}\n",
        "elsewhere",
        control.maps.join(", ")
    ));
    let Some(finding) = finding else {
        return text;
    };
    let verdict = &finding.verdict;
    text.push_str(&format!(
        "\n{} {} ({} % sure)\n",
        paint.outcome(verdict.outcome, verdict.outcome.word()),
        paint.safe(&verdict.summary),
        verdict.confidence
    ));
    for evidence in &verdict.evidence {
        let place = paint.safe(&evidence.place());
        let words = paint.dim(&paint.safe(&evidence.text));
        text.push_str(&format!("  {place}\n    {words}\n"));
    }
    if verdict.more_evidence > 0 {
        text.push_str(&format!("  and {} more\n", verdict.more_evidence));
    }
    if let Some(fix) = &verdict.fix {
        text.push_str(&format!("\nto mend it: {}\n", paint.safe(&fix.text)));
        for change in &fix.changes {
            text.push_str(&format!("  {}\n", paint.safe(&change.command())));
        }
    }
    text
}

/// Every control, a line each.
pub fn table(assessment: &Assessment, paint: Paint) -> String {
    let mut text = String::new();
    for finding in &assessment.findings {
        let outcome = finding.verdict.outcome;
        let gate = if finding.gate { "★" } else { " " };
        let word = paint.outcome(outcome, &format!("{:<14}", outcome.word()));
        text.push_str(&format!(
            "{} {gate} {word} {:<8} {}: {}\n",
            finding.control,
            finding.severity.word(),
            finding.title,
            paint.safe(&finding.verdict.summary)
        ));
    }
    text
}
