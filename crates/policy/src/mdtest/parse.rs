//! From Markdown to tests.

use std::collections::BTreeSet;
use std::fmt;

use super::Failure;
use super::setting::Setting;
use crate::source::Source;

/// One request and the answer that it must get.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) line: usize,
    pub(super) request: String,
    pub(super) setting: Setting,
    pub(super) expected: Expected,
}

/// The answer that a request must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// `allow`, `deny`, `hold`, or `400` for a request that is not read.
    pub(super) decision: String,
    /// The policies that decide: exactly these.
    pub(super) policies: BTreeSet<String>,
    /// What is needed, where the test says it.
    pub(super) obligations: Option<BTreeSet<String>>,
    /// A part of what the person is told to do.
    pub(super) remedy: Option<String>,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
        write!(f, "{}", self.decision)?;
        match self.policies.is_empty() {
            true => write!(f, " by no policy")?,
            false => write!(f, " by {}", list(&self.policies))?,
        }
        if let Some(obligations) = &self.obligations {
            write!(f, " (needs {})", list(obligations))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, " | {remedy}")?;
        }
        Ok(())
    }
}

/// The tests of a file, and what of it cannot be read.
pub(super) fn file(source: &Source) -> (Vec<Case>, Vec<Failure>) {
    let (mut cases, mut failures) = (Vec::new(), Vec::new());
    let mut block = Block::Prose;
    let mut fail = |line: usize, text: &str, why: String| {
        failures.push(Failure {
            file: source.name.clone(),
            line,
            request: text.to_owned(),
            text: why,
        });
    };
    for (number, text) in (1..).zip(source.text.lines()) {
        let text = text.trim();
        let (ticks, info) = fence(text);
        block = match block {
            Block::Prose if ticks >= 3 && info == "request" => Block::Request {
                setting: Box::default(),
                opened: number,
            },
            Block::Prose if ticks >= 3 => Block::Other { ticks },
            Block::Other { ticks: opened } if ticks >= opened && info.is_empty() => Block::Prose,
            Block::Request { .. } if ticks >= 3 && info.is_empty() => Block::Prose,
            Block::Request {
                mut setting,
                opened,
            } => {
                if !text.is_empty() && !text.starts_with('#') {
                    match line(text, number, &mut setting) {
                        Ok(case) => cases.extend(case),
                        Err(why) => fail(number, text, why),
                    }
                }
                Block::Request { setting, opened }
            }
            same => same,
        };
    }
    if let Block::Request { opened, .. } = block {
        let why = "the block is not closed; write ``` after it";
        fail(opened, "```request", why.to_owned());
    }
    (cases, failures)
}

/// Where in the text a line is.
enum Block {
    Prose,
    /// A fenced block of something else, which ends with at least as many ticks as it began with.
    Other {
        ticks: usize,
    },
    /// A block of tests: the setting so far, and the line on which it was opened.
    Request {
        setting: Box<Setting>,
        opened: usize,
    },
}

/// The backticks that a line begins with, and what follows them.
fn fence(text: &str) -> (usize, &str) {
    let info = text.trim_start_matches('`');
    (text.len() - info.len(), info.trim())
}

/// A line of a block: a test, or a setting for those below it.
fn line(text: &str, number: usize, setting: &mut Setting) -> Result<Option<Case>, String> {
    if let Some((request, expected)) = text.rsplit_once("=>") {
        return Ok(Some(Case {
            line: number,
            request: request.trim().to_owned(),
            setting: setting.clone(),
            expected: expectation(expected.trim())?,
        }));
    }
    match text.split_once(':') {
        Some((key, value)) if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
            setting.set(key, value.trim())?;
            Ok(None)
        }
        _ => Err("write `REQUEST => DECISION POLICY…` or `key: value`".to_owned()),
    }
}

/// `hold delete-needs-approval (approval) | what to do`.
fn expectation(text: &str) -> Result<Expected, String> {
    let (text, remedy) = match text.split_once('|') {
        Some((text, remedy)) => (text.trim(), Some(remedy.trim().to_owned())),
        None => (text, None),
    };
    let names = |text: &str| -> BTreeSet<String> {
        text.split([',', ' '])
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (text, obligations) = match text.strip_suffix(')').and_then(|t| t.split_once('(')) {
        Some((text, obligations)) => (text.trim(), Some(names(obligations))),
        None => (text, None),
    };
    let (decision, policies) = text.split_once(' ').unwrap_or((text, ""));
    if !matches!(decision, "allow" | "deny" | "hold" | "400") {
        return Err(format!(
            "`{decision}` is not a decision; write allow, deny, hold or 400"
        ));
    }
    Ok(Expected {
        decision: decision.to_owned(),
        policies: names(policies),
        obligations,
        remedy,
    })
}
