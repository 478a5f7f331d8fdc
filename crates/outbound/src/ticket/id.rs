//! Ids of tickets: what each system calls one, and which system a text belongs to. Nothing but a valid
//! id ever becomes part of a path.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::config::{Kind, System, TicketConfig};
use crate::glob;

/// No id is longer, in bytes, the system's name included.
const LIMIT: usize = 256;

/// A ticket: the system it lives in and its key there, in one canonical form (`jira:OPS-12`).
///
/// Only [`Tickets::parse`](super::Tickets::parse) and verified webhooks make one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TicketId {
    system: Arc<str>,
    key: String,
}

impl TicketId {
    /// The name of the system.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The key in that system.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.key)
    }
}

impl Serialize for TicketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a ticket here: {reason}")]
pub struct InvalidTicket {
    text: String,
    reason: String,
}

pub(super) fn parse(systems: &[System], text: &str) -> Result<TicketId, InvalidTicket> {
    let invalid = |reason: String| InvalidTicket {
        text: text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(80)
            .collect(),
        reason,
    };
    if text.len() > LIMIT || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid("it is too long or has odd characters".to_owned()));
    }
    if let Some((name, key)) = text.split_once(':') {
        let system = systems.iter().find(|system| &*system.name == name);
        let system = system.ok_or_else(|| invalid(format!("no system is named `{name}`")))?;
        return of(system, key).ok_or_else(|| invalid(shape(&system.config)));
    }
    let found: Vec<TicketId> = systems.iter().filter_map(|s| of(s, text)).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(invalid(match systems {
            [] => "no ticket system is configured".to_owned(),
            [only] => shape(&only.config),
            _ => "no configured system takes it".to_owned(),
        })),
        [first, ..] => Err(invalid(format!(
            "several systems take it; write `{first}`, for example"
        ))),
    }
}

/// The id of `key` in `system`, if it is one there and the configuration takes it.
pub(super) fn of(system: &System, key: &str) -> Option<TicketId> {
    let config = &system.config;
    let key = canonical(config, key)?;
    let matches = |pattern: &String| match config.kind {
        Kind::Github | Kind::Gitlab => glob::matches(&pattern.to_ascii_lowercase(), &key),
        _ => glob::matches(pattern, &key),
    };
    let taken = config.accept.is_empty() || config.accept.iter().any(matches);
    taken.then(|| TicketId {
        system: system.name.clone(),
        key,
    })
}

/// The one form of a key, if it is a key.
pub(super) fn canonical(config: &TicketConfig, key: &str) -> Option<String> {
    match config.kind {
        Kind::JiraCloud | Kind::JiraDataCenter => {
            let key = key.to_ascii_uppercase();
            let (project, number) = key.rsplit_once('-')?;
            let fine = project.starts_with(|c: char| c.is_ascii_uppercase())
                && project.len() <= 32
                && all(project, |b| {
                    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'
                })
                && is_number(number);
            fine.then_some(key)
        }
        Kind::ServiceNow => {
            let key = key.to_ascii_uppercase();
            table_prefix(&key).is_some().then_some(key)
        }
        Kind::Github => in_project(config, key, 2..=2),
        Kind::Gitlab => in_project(config, key, 2..=21),
        Kind::PagerDuty => {
            let fine = (6..=32).contains(&key.len())
                && all(key, |b| b.is_ascii_uppercase() || b.is_ascii_digit());
            fine.then(|| key.to_owned())
        }
        Kind::Generic => {
            let fine = (1..=64).contains(&key.len())
                && key.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !key.contains("..")
                && all(key, |b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            fine.then(|| key.to_owned())
        }
    }
}

/// The letters in front of a ServiceNow number, if it is one: `INC` of `INC0010001`.
pub(super) fn table_prefix(key: &str) -> Option<&str> {
    let digits = key.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let prefix = key.strip_suffix(digits)?;
    let fine = matches!(prefix, "INC" | "CHG")
        && (5..=12).contains(&digits.len())
        && all(digits, |b| b.is_ascii_digit());
    fine.then_some(prefix)
}

/// `owner/project#7`, or `#7` and `7` where a project is configured.
fn in_project(
    config: &TicketConfig,
    key: &str,
    depth: std::ops::RangeInclusive<usize>,
) -> Option<String> {
    let (project, number) = match key.split_once('#') {
        Some(("", number)) => (config.project.as_deref()?, number),
        Some((project, number)) => (project, number),
        None => (config.project.as_deref()?, key),
    };
    let fine = is_project(project, depth) && is_number(number);
    // Both systems find a project whatever the case.
    fine.then(|| format!("{}#{number}", project.to_ascii_lowercase()))
}

fn is_project(project: &str, depth: std::ops::RangeInclusive<usize>) -> bool {
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment.len() <= 100
            && segment != "."
            && segment != ".."
            && all(segment, |b| {
                b.is_ascii_alphanumeric() || b"._-".contains(&b)
            })
    };
    depth.contains(&project.split('/').count()) && project.split('/').all(segment)
}

/// A decimal number without a leading zero, at most ten digits.
fn is_number(text: &str) -> bool {
    (1..=10).contains(&text.len()) && all(text, |b| b.is_ascii_digit()) && !text.starts_with('0')
}

fn all(text: &str, fine: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(fine)
}

fn shape(config: &TicketConfig) -> String {
    let form = match config.kind {
        Kind::JiraCloud | Kind::JiraDataCenter => "OPS-12",
        Kind::ServiceNow => "INC0010001` or `CHG0030001",
        Kind::Github | Kind::Gitlab => "acme/shop#7",
        Kind::PagerDuty => "Q1A2B3C4D5E6F7",
        Kind::Generic => "1234",
    };
    match config.accept.is_empty() {
        true => format!("write it as `{form}`"),
        false => format!("write it as `{form}`, one of {}", config.accept.join(", ")),
    }
}

/// What the ids of a kind ask of a configuration.
pub(super) fn check_config(config: &TicketConfig) -> Result<(), String> {
    let depth = match config.kind {
        Kind::Github => 2..=2,
        Kind::Gitlab => 2..=21,
        _ if config.project.is_some() => {
            return Err("`project` is for GitHub and GitLab only".to_owned());
        }
        _ => return Ok(()),
    };
    if let Some(project) = &config.project
        && !is_project(project, depth)
    {
        return Err(format!("`{project}` is no project: write `acme/shop`"));
    }
    if config.accept.is_empty() {
        return Err("`accept` must say which projects count: `acme/*#*`".to_owned());
    }
    for pattern in &config.accept {
        let owner = pattern.split('/').next().unwrap_or_default();
        if owner == pattern || owner.is_empty() || !glob::is_literal(owner) {
            return Err(format!("`{pattern}` must start with an owner: `acme/*#*`"));
        }
    }
    Ok(())
}
