//! The only place that prints. Data goes to stdout, talk to stderr; colour is for terminals and never
//! needed to understand; what comes from elsewhere (the log, the network) cannot steer a terminal.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use kubestile_assess::report::terminal::fold;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::exit::{Fail, Kind, Outcome};

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns for people
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

impl Format {
    /// Whether a program reads it.
    pub(crate) const fn is_data(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Writes text to stdout as it is: made by ourselves, for machines or already escaped.
pub(crate) fn data(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes one line for people to stdout.
pub(crate) fn line(text: &str) -> Outcome {
    let mut shown = escape(text).into_owned();
    shown.push('\n');
    data(&shown)
}

/// Writes several lines for people to stdout.
pub(crate) fn line_by_line(text: &str) -> Outcome {
    text.lines().try_for_each(line)
}

/// Writes `value` as JSON or YAML to stdout.
pub(crate) fn value<T: Serialize>(format: Format, value: &T) -> Outcome {
    match format {
        Format::Yaml => {
            let text = serde_saphyr::to_string(value)?;
            data(&escape_yaml(&text)?)
        }
        Format::Table | Format::Wide | Format::Json => {
            let text = serde_json::to_string_pretty(value)?;
            data(&(escape_json(&text) + "\n"))
        }
    }
}

/// `value` as one document of a YAML stream.
pub(crate) fn yaml<T: Serialize>(value: &T) -> Outcome<String> {
    let text = serde_saphyr::to_string(value)?;
    Ok(format!("---\n{}", escape_yaml(&text)?))
}

/// Writes `value` as one line of JSON, or as one document of a YAML stream.
pub(crate) fn stream<T: Serialize>(format: Format, value: &T) -> Outcome {
    if format == Format::Yaml {
        data("---\n")?;
        return self::value(format, value);
    }
    let text = serde_json::to_string(value)?;
    data(&(escape_json(&text) + "\n"))
}

/// Says something to the person, on stderr. Several lines stay several lines.
pub(crate) fn talk(text: &str) {
    let mut err = io::stderr().lock();
    if text.is_empty() {
        let _closed = writeln!(err);
    }
    for line in text.lines() {
        // Nobody is left to tell when stderr is closed.
        let _closed = writeln!(err, "{}", escape(line));
    }
}

/// Says a sentence on stderr behind `first`, its further lines below its beginning.
pub(crate) fn talk_below(first: &str, text: &str) {
    let indent = first.chars().count();
    let room = columns(&io::stderr()).saturating_sub(indent).max(24);
    let margin = " ".repeat(indent);
    for (index, line) in fold(text, room).iter().enumerate() {
        let before = if index == 0 { first } else { &margin };
        talk(&format!("{before}{line}"));
    }
}

/// Says one line on a terminal that another program is using, which may have made it raw: the carriage
/// return does what the terminal then does not. Fails when the terminal is gone.
pub(crate) fn notice(text: &str) -> io::Result<()> {
    let line = format!("{}\r\n", escape(text));
    io::stderr().lock().write_all(line.as_bytes())
}

/// Says what went wrong and what to do, on stderr.
pub(crate) fn fail(fail: &Fail) {
    if fail.of_kind() == Kind::BrokenPipe {
        return;
    }
    let (red, cyan, plain) = if colour() {
        ("\u{1b}[1;31m", "\u{1b}[36m", "\u{1b}[0m")
    } else {
        ("", "", "")
    };
    let mut err = io::stderr().lock();
    let message = escape(fail.message());
    let _closed = writeln!(err, "{red}error:{plain} {message}");
    for hint in fail.hints() {
        let _closed = writeln!(err, "{cyan}hint:{plain} {}", escape(hint));
    }
}

/// Says on one line why kubectl gets no credential: kubectl's own error follows it.
pub(crate) fn plugin_fail(fail: &Fail) {
    if fail.of_kind() == Kind::BrokenPipe {
        return;
    }
    let mut err = io::stderr().lock();
    let hint = fail
        .hints()
        .first()
        .map(|hint| format!("; {hint}"))
        .unwrap_or_default();
    let _closed = writeln!(
        err,
        "kubestile: {}{}",
        escape(fail.message()),
        escape(&hint)
    );
}

/// Prints help, the version, or what is wrong with the arguments; clap knows where to.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _closed = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Kind::Usage.code()))
}

/// Asks a yes-or-no question on the terminal. Without a terminal there is no answer.
pub(crate) fn ask(question: &str) -> Option<bool> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let mut err = io::stderr().lock();
    write!(err, "{} [y/N] ", escape(question)).ok()?;
    err.flush().ok()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Asks for a line of text on the terminal.
pub(crate) fn prompt(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    let mut err = io::stderr().lock();
    write!(err, "{} ", escape(question)).ok()?;
    err.flush().ok()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).ok()?;
    Some(answer.trim().to_owned())
}

/// Asks for a secret on the terminal, which does not show what is typed. Ctrl-C gives up with the line.
pub(crate) fn prompt_hidden(question: &str) -> Option<String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return None;
    }
    let was = tcgetattr(&stdin).ok()?;
    let mut hidden = was.clone();
    // Ctrl-C would leave a terminal that shows nothing.
    hidden.local_modes -= LocalModes::ECHO | LocalModes::ISIG;
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).ok()?;
    let answer = prompt(question);
    let _shown_again = tcsetattr(&stdin, OptionalActions::Flush, &was);
    talk("");
    answer.filter(|text| !text.contains('\u{3}'))
}

/// Whether stderr may be coloured (<https://no-color.org>).
fn colour() -> bool {
    may_colour() && io::stderr().is_terminal()
}

/// Columns that sentences on stdout may fill: those of the terminal, within what is good to read; 80 elsewhere.
pub(crate) fn width() -> usize {
    columns(&io::stdout())
}

fn columns(out: &(impl io::IsTerminal + std::os::fd::AsFd)) -> usize {
    if !out.is_terminal() {
        return WIDTH;
    }
    let columns = rustix::termios::tcgetwinsize(out).map_or(0, |size| usize::from(size.ws_col));
    match columns {
        // A terminal that does not say.
        0 => WIDTH,
        n => n.clamp(60, 120),
    }
}

const WIDTH: usize = 80;

/// Whether stdout may be coloured.
pub(crate) fn colour_of_stdout() -> bool {
    may_colour() && io::stdout().is_terminal()
}

fn may_colour() -> bool {
    let asked_not = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
    !asked_not && !dumb
}

/// One line on stderr that says what is being read, if a person is looking at it.
pub(crate) struct Progress {
    shown: bool,
}

impl Progress {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { shown: false }
    }

    /// Says it in place of what was said before.
    pub(crate) fn show(&mut self, what: &str, count: usize) {
        let mut err = io::stderr().lock();
        if !err.is_terminal() {
            return;
        }
        let count = match count {
            0 => String::new(),
            n => format!(" {n}"),
        };
        let _closed = write!(err, "\r\u{1b}[Kreading {}{count}", escape(what));
        let _closed = err.flush();
        self.shown = true;
    }

    /// Leaves the line empty.
    pub(crate) fn end(self) {
        if self.shown {
            let mut err = io::stderr().lock();
            let _closed = write!(err, "\r\u{1b}[K");
            let _closed = err.flush();
        }
    }
}

/// A sign that something goes on, for a person who looks at it; nothing elsewhere.
pub(crate) struct Spinner(indicatif::ProgressBar);

impl Spinner {
    /// Begins.
    pub(crate) fn start(text: &str) -> Self {
        // Hidden where stderr is no terminal.
        let spinner = Self(indicatif::ProgressBar::new_spinner());
        spinner.show(text);
        spinner.0.enable_steady_tick(Duration::from_millis(120));
        spinner
    }

    /// Beside the sign, from now on.
    pub(crate) fn show(&self, text: &str) {
        self.0.set_message(escape(text).into_owned());
    }

    /// On a line of its own, which stays.
    pub(crate) fn say(&self, text: &str) {
        self.0.suspend(|| talk(text));
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How far a long read is, for a person who looks at it; nothing elsewhere.
pub(crate) struct Bar(indicatif::ProgressBar);

impl Bar {
    /// Begins.
    pub(crate) fn start(text: &str) -> Self {
        // Hidden where stderr is no terminal.
        let bar = indicatif::ProgressBar::new(0);
        let style = "{msg} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = indicatif::ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        Self(bar)
    }

    /// So many bytes, of so many as far as that is known.
    pub(crate) fn show(&self, done: u64, total: u64) {
        self.0.set_length(total.max(done));
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Columns as kubectl prints them: capitals at the head, three spaces between, no lines.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(|h| (*h).to_owned()).collect()],
        }
    }

    /// Adds a row; what could steer a terminal is made visible.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|c| {
            if c.is_empty() {
                "-".to_owned()
            } else {
                escape(&c).into_owned()
            }
        });
        self.rows.push(cells.collect());
    }

    /// Whether it has only its head.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The text.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let of_row = |row: &Vec<String>| row.get(column).map_or(0, |c| c.chars().count());
            self.rows.iter().map(of_row).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let gap = width.saturating_sub(cell.chars().count()) + 3;
                line.extend(std::iter::repeat_n(' ', gap));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Prints it, or says on stderr that there is nothing.
    pub(crate) fn print(&self, nothing: &str) -> Outcome {
        if self.is_empty() {
            talk(nothing);
            return Ok(());
        }
        data(&self.text())
    }
}

/// Whether a character can steer a terminal or reorder what a person reads: C0 and C1 controls, DEL,
/// and the bidirectional overrides and isolates (Unicode TR 36).
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

/// Text of unknown origin, for a terminal: what could steer it is shown as `\u{1b}`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// JSON leaves DEL, C1 and bidirectional characters as they are. They can only stand in strings, where
/// `\uXXXX` is the same value.
pub(crate) fn escape_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) && c != '\n' {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// YAML with such characters is left to JSON, which is YAML too and can say them.
fn escape_yaml(text: &str) -> Outcome<Cow<'_, str>> {
    if !text.contains(|c| steers(c) && c != '\n') {
        return Ok(Cow::Borrowed(text));
    }
    let value: serde_json::Value = serde_saphyr::from_str(text)?;
    let json = serde_json::to_string_pretty(&value)?;
    Ok(Cow::Owned(escape_json(&json) + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_steers_the_terminal() {
        assert_eq!(escape("plain é 漢"), "plain é 漢");
        assert_eq!(escape("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(
            escape("a\u{9b}31m\u{202e}x\r\n"),
            "a\\u{9b}31m\\u{202e}x\\u{d}\\u{a}"
        );
        let mut table = Table::new(&["NAME"]);
        table.row(["x\u{7f}\ny".to_owned()]);
        assert_eq!(table.text(), "NAME\nx\\u{7f}\\u{a}y\n");
    }

    #[test]
    fn escaped_json_and_yaml_are_the_same_value() {
        let value = serde_json::json!({"k": "a\u{9b}\u{202e}\u{7f}\u{1b}b", "n": [1, "é"]});
        let text = escape_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.contains(|c| steers(c) && c != '\n'));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
        let yaml = serde_saphyr::to_string(&value).unwrap();
        let text = escape_yaml(&yaml).unwrap();
        assert!(!text.contains(|c| steers(c) && c != '\n'), "{text}");
        assert_eq!(
            serde_saphyr::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn columns_line_up_and_lines_end_without_spaces() {
        let mut table = Table::new(&["NAME", "AGE"]);
        table.row(["long-name".to_owned(), "1s".to_owned()]);
        table.row(["é".to_owned(), String::new()]);
        assert_eq!(
            table.text(),
            "NAME        AGE\nlong-name   1s\né           -\n"
        );
    }
}
