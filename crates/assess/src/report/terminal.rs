//! For a person at a terminal: the five steps, where they stand, and what to do on Monday.

use super::{FIRST, command, first, kind_of};
use crate::catalog::{Control, Stage};
use crate::score::{Assessment, Finding, NEEDED, StageScore};
use crate::verdict::Outcome;

/// How it is painted.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    /// Whether colours may be used; nothing depends on them.
    pub colour: bool,
    /// Makes visible what could steer a terminal. Everything that comes from elsewhere goes through it.
    pub escape: fn(&str) -> String,
    /// Columns that sentences may fill. Names, places and commands stay whole: they are to be copied.
    pub width: usize,
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

    /// A sentence behind `first`, its further lines behind as many spaces as `first` is wide. `first` is not
    /// painted yet and `dress` paints each line, so that no colour runs over the margin.
    fn prose(self, first: &str, text: &str, dress: impl Fn(Self, &str) -> String) -> String {
        let indent = first.chars().count();
        let room = self.width.saturating_sub(indent).max(NARROWEST);
        let margin = format!("\n{}", " ".repeat(indent));
        let lines: Vec<String> = fold(&self.safe(text), room)
            .iter()
            .map(|line| dress(self, line))
            .collect();
        lines.join(&margin)
    }
}

/// Columns that are left to a sentence, however narrow the terminal is.
const NARROWEST: usize = 24;

/// Breaks between words, never inside one, and never inside what stands between backticks.
pub fn fold(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in words(text) {
        let wide = word.chars().count();
        match lines.last_mut() {
            Some(line) if used == 0 || used + 1 + wide <= room => {
                if used > 0 {
                    line.push(' ');
                    used += 1;
                }
                line.push_str(word);
                used += wide;
            }
            _ => {
                lines.push(word.to_owned());
                used = wide;
            }
        }
    }
    lines
}

/// Words, and commands between backticks as one word.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted) = (Vec::new(), 0, false);
    let mut push = |from: usize, to: usize| {
        let word = text.get(from..to).unwrap_or_default();
        if !word.is_empty() {
            words.push(word);
        }
    };
    for (at, c) in text.char_indices() {
        match c {
            '`' => quoted = !quoted,
            ' ' if !quoted => {
                push(start, at);
                start = at + 1;
            }
            _ => {}
        }
    }
    push(start, text.len());
    words
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

/// Columns that one step is wide, and on a narrow terminal.
const STEP: usize = 8;
const NARROW_STEP: usize = 2;
const HERE: &str = "you are here";

fn stairs(assessment: &Assessment, paint: Paint, text: &mut String) {
    let step = if paint.width < 80 { NARROW_STEP } else { STEP };
    for score in assessment.stages.iter().rev() {
        let number = usize::from(score.stage.number());
        let here = score.stage == assessment.stage;
        let words = format!(
            "{} {:<23} {:>2}/{:<2} gates {:>3} %",
            score.stage, score.name, score.gates_passed, score.gates, score.score
        );
        let room = paint
            .width
            .saturating_sub(number * step + 2 + words.chars().count());
        let words = match here {
            true => paint.bold(&words),
            false if score.stage < assessment.stage => paint.outcome(Outcome::Pass, &words),
            false => words,
        };
        let edge = number * step;
        let (before, after) = match (here, edge > HERE.len() + 10) {
            (true, true) => {
                let mark = format!("{HERE}: stage {} >", score.stage);
                let gap = " ".repeat(edge.saturating_sub(mark.len() + 1));
                (
                    format!("{gap}{} ", paint.with("1;36", &mark)),
                    String::new(),
                )
            }
            (true, false) => (" ".repeat(edge), behind(score.stage, room, paint)),
            (false, _) => (" ".repeat(edge), String::new()),
        };
        if number == 0 {
            text.push_str(&format!("  {words}{after}\n"));
            continue;
        }
        text.push_str(&format!("{before}│ {words}{after}\n"));
        let below = " ".repeat(edge - step);
        text.push_str(&format!("{below}┌{}┘\n", "─".repeat(step - 1)));
    }
    text.push('\n');
}

/// The mark behind a step's words, as long as fits.
fn behind(stage: Stage, room: usize, paint: Paint) -> String {
    let marks = [
        format!("   < {HERE}: stage {stage}"),
        format!("   < {HERE}"),
        " < here".to_owned(),
    ];
    let fits = marks.iter().find(|m| m.len() <= room);
    fits.map_or_else(String::new, |mark| paint.with("1;36", mark))
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
    let first = format!("{number}. {} {gate} ", finding.control);
    text.push_str(&format!(
        "{number}. {} {gate} {}\n",
        paint.outcome(verdict.outcome, &finding.control),
        paint.prose(&first, &verdict.summary, |_, line| line.to_owned())
    ));
    if let Some(evidence) = verdict.evidence.first() {
        let more = match verdict.evidence.len() + verdict.more_evidence {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        seen(
            &evidence.place(),
            &format!("{}{more}", evidence.text),
            paint,
            text,
        );
    }
    if let Some(fix) = &verdict.fix {
        let words = paint.prose("     fix: ", &fix.text, |_, line| line.to_owned());
        text.push_str(&format!("{INDENT}{} {words}\n", paint.with("36", "fix:")));
    }
    let command = paint.safe(&command(finding));
    text.push_str(&format!("{INDENT}{} {command}\n", paint.with("36", "$")));
}

/// Where it is and what it shows, on one line if both fit.
fn seen(place: &str, shows: &str, paint: Paint, text: &mut String) {
    let (place, shown) = (paint.safe(place), paint.safe(shows));
    let wide = INDENT.len() + place.chars().count() + 2 + shown.chars().count();
    if wide <= paint.width {
        let shown = paint.dim(&shown);
        text.push_str(&format!("{INDENT}{place}: {shown}\n"));
        return;
    }
    let words = paint.prose(INDENT, shows, Paint::dim);
    text.push_str(&format!("{INDENT}{place}\n{INDENT}{words}\n"));
}

const INDENT: &str = "     ";

fn undecided(assessment: &Assessment, paint: Paint, text: &mut String) {
    let aim = assessment.stage.next().unwrap_or(Stage::LAST);
    let open = |f: &&Finding| f.verdict.outcome == Outcome::Unknown && f.gate && f.stage <= aim;
    let gates: Vec<&Finding> = assessment.findings.iter().filter(open).collect();
    if gates.is_empty() {
        return;
    }
    let ids: Vec<&str> = gates.iter().map(|g| g.control.as_str()).collect();
    let why = ids.first().copied().unwrap_or_default();
    let words = format!(
        "gate(s) up to stage {aim} that could not be decided, and so do not pass: {}; `kubestile assess explain {why}` says why",
        ids.join(", ")
    );
    let first = format!("{} ", ids.len());
    let words = paint.prose(&first, &words, |_, line| line.to_owned());
    text.push_str(&format!(
        "{}{words}\n\n",
        paint.outcome(Outcome::Unknown, &first)
    ));
}

fn remarks(assessment: &Assessment, paint: Paint, text: &mut String) {
    for remark in &assessment.exceptions {
        let about = format!("{} {}: {}", remark.control, remark.object, remark.text);
        let words = paint.prose("exception ", &about, |_, line| line.to_owned());
        text.push_str(&format!("exception {words}\n"));
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
    let words = format!(
        "To stage {aim}, {}: {open} gate(s) to close{more}.",
        aim.name()
    );
    text.push_str(&paint.prose("", &words, |_, line| line.to_owned()));
    text.push('\n');
    let prompt = paint.with("36", "$");
    text.push_str(&format!(
        "{prompt} kubestile advance plan   {}\n",
        paint.dim("the changes, in order, and what would break")
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
        paint.prose(&format!("{}  ", control.id), control.title, Paint::bold),
        control.stage(),
        control.stage().name(),
        control.severity.word()
    );
    for (label, words) in [
        ("passes if", control.requires),
        ("without it", control.why),
        ("to do", control.remedy),
    ] {
        row(label, words, paint, &mut text);
    }
    row("elsewhere", &control.maps.join(", "), paint, &mut text);
    let Some(finding) = finding else {
        return text;
    };
    let verdict = &finding.verdict;
    let word = verdict.outcome.word();
    let summary = format!("{} ({} % sure)", verdict.summary, verdict.confidence);
    text.push_str(&format!(
        "\n{} {}\n",
        paint.outcome(verdict.outcome, word),
        paint.prose(&format!("{word} "), &summary, |_, line| line.to_owned())
    ));
    for evidence in &verdict.evidence {
        let place = paint.safe(&evidence.place());
        let words = paint.prose("    ", &evidence.text, Paint::dim);
        text.push_str(&format!("  {place}\n    {words}\n"));
    }
    if verdict.more_evidence > 0 {
        text.push_str(&format!("  and {} more\n", verdict.more_evidence));
    }
    to_mend(finding, paint, &mut text);
    text
}

fn to_mend(finding: &Finding, paint: Paint, text: &mut String) {
    let Some(fix) = &finding.verdict.fix else {
        return;
    };
    let words = paint.prose("to mend it: ", &fix.text, |_, line| line.to_owned());
    text.push_str(&format!("\nto mend it: {words}\n"));
    let shown = command(finding);
    let prompt = paint.with("36", "$");
    text.push_str(&format!("  {prompt} {}\n", paint.safe(&shown)));
    for change in &fix.changes {
        let other = change.command();
        match change.runs() {
            true if other == shown => {}
            true => text.push_str(&format!("  {prompt} {}\n", paint.safe(&other))),
            false => text.push_str(&format!("    {}\n", paint.safe(&other))),
        }
    }
}

fn row(label: &str, words: &str, paint: Paint, text: &mut String) {
    let first = format!("{label:<11} ");
    let words = paint.prose(&first, words, |_, line| line.to_owned());
    text.push_str(&format!("{first}{words}\n"));
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
