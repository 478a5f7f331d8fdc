//! What is wrong with policy files, where, and what to do about it.

use std::fmt;

use miette::Diagnostic;
use serde::Serialize;

use crate::source::Source;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl Problem {
    pub(super) fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Why policies could not be loaded: every problem, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct LoadError {
    problems: Vec<Problem>,
}

impl LoadError {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The schema is built in, so that this is a defect of the program, which a test excludes.
    pub(super) fn schema(error: &dyn fmt::Display) -> Self {
        let text = format!("the built-in schema cannot be used: {error}");
        Self::new(vec![Problem::new("schema.cedarschema", 1, text)])
    }

    /// The problems, in the order of the files.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn lines(&self) -> String {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        lines.join("\n")
    }
}

/// The errors of Cedar's parser.
pub(super) fn of_parsing(source: &Source, errors: &cedar_policy::ParseErrors) -> Vec<Problem> {
    errors
        .iter()
        .map(|error| {
            let line = line_of_label(&source.text, error).unwrap_or(1);
            Problem::new(&source.name, line, sentence(error))
        })
        .collect()
}

/// A message of Cedar with its chain and its help, in one line.
pub(super) fn sentence(found: &dyn Diagnostic) -> String {
    let mut text = found.to_string();
    let mut source = std::error::Error::source(found);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    if let Some(help) = found.help() {
        text.push_str(" (");
        text.push_str(&help.to_string());
        text.push(')');
    }
    let mut line = text.replace('\n', " ");
    if line.chars().count() > MAX_CHARS {
        line = line.chars().take(MAX_CHARS).chain(['…']).collect();
    }
    line
}

/// Characters of one message: a type that Cedar spells out can fill a screen.
const MAX_CHARS: usize = 500;

/// The line of the first place that a message of Cedar points at.
pub(super) fn line_of_label(text: &str, found: &dyn Diagnostic) -> Option<usize> {
    let label = found.labels()?.next()?;
    Some(line_at(text, label.offset()))
}

/// Finds parts of a text one after the other, without beginning anew for each.
pub(super) struct Places<'t> {
    text: &'t str,
    offset: usize,
    line: usize,
}

impl<'t> Places<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            offset: 0,
            line: 1,
        }
    }

    /// The line on which `part` begins; 1 when it is not there.
    pub(super) fn line_of(&mut self, part: &str) -> usize {
        let part = part.trim_start();
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let Some(skipped) = rest.find(part) else {
            return self.text.find(part).map_or(1, |at| line_at(self.text, at));
        };
        let passed = rest.as_bytes().get(..skipped).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count();
        self.offset += skipped;
        self.line
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|b| **b == b'\n').count()
}
