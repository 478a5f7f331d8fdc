//! One line or document of a log, in any of the forms that logs are kept in.
//!
//! - `audit.k8s.io/v1` `Event` and `EventList`, as API servers write and send them.
//! - EKS: what CloudWatch Logs exports, filters and streams (`message`, `events`, `logEvents`, lines with a time
//!   before the event).
//! - GKE: a Cloud Logging `LogEntry` with `protoPayload`.
//! - AKS: a diagnostic record with the event in `properties.log`, alone or in `records`.

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::event::{Event, Native};
use super::google::{self, Labels, Operation, Payload};
use super::text::{Text, or_default};

/// Who wrapped an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Nobody: the API server's own lines.
    Native,
    /// CloudWatch Logs, for EKS.
    Eks,
    /// Cloud Logging, for GKE.
    Gke,
    /// Azure Monitor, for AKS.
    Aks,
    /// A gate's own log.
    Gate,
}

impl Form {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Native => "an API server's own",
            Self::Eks => "of EKS",
            Self::Gke => "of GKE",
            Self::Aks => "of AKS",
            Self::Gate => "a gate's",
        }
    }
}

/// What was in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Who wrapped it.
    pub form: Form,
    /// Events in it, of whatever stage; 0 if it was about something else.
    pub events: usize,
}

/// Why a line is not understood. What it says is not repeated: it may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is not JSON.
    #[error("it is not JSON, from column {column} on")]
    Syntax {
        /// Where, counted from 1.
        column: usize,
    },
    /// It stops before it ends.
    #[error("it ends in the middle")]
    Truncated,
    /// It is JSON of another shape.
    #[error("it is no audit event in a form that is known, from column {column} on")]
    Shape {
        /// Where, counted from 1.
        column: usize,
    },
    /// It has wrappers within wrappers.
    #[error("it is wrapped more often than any log is")]
    Deep,
}

/// Wrappers around wrappers that are followed.
const DEEPEST: u8 = 3;
/// How far into a line its JSON may begin.
const PREFIX: usize = 256;

/// Reads one line, or one whole document, and hands on each answered request in it.
///
/// # Errors
/// [`Malformed`] if it is in none of the forms. What was understood before has been handed on.
pub fn read(line: &[u8], each: &mut dyn FnMut(&Event<'_>)) -> Result<Line, Malformed> {
    read_stages(line, &mut |event| {
        if event.is_answered() {
            each(event);
        }
    })
}

/// The same, and hands on the other stages of requests, too.
///
/// # Errors
/// As [`read`].
pub fn read_stages(line: &[u8], each: &mut dyn FnMut(&Event<'_>)) -> Result<Line, Malformed> {
    inner(line, DEEPEST, each)
}

fn inner(line: &[u8], deep: u8, each: &mut dyn FnMut(&Event<'_>)) -> Result<Line, Malformed> {
    let line = line.trim_ascii();
    match line.first() {
        Some(b'{') => object(line, deep, each),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_slice(line).map_err(malformed)?;
            all(&items, Form::Native, deep, each)
        }
        Some(_) => after_time(line, deep, each),
        None => Ok(about_nothing(Form::Native)),
    }
}

fn object(line: &[u8], deep: u8, each: &mut dyn FnMut(&Event<'_>)) -> Result<Line, Malformed> {
    // Most lines are events as they are, and are read once.
    let native = serde_json::from_slice::<Native<'_>>(line);
    if let Ok(native) = &native
        && &*native.kind == "Event"
    {
        each(&native.event());
        return Ok(Line {
            form: Form::Native,
            events: 1,
        });
    }
    let wrong = native.err();
    if wrong.as_ref().is_some_and(|error| !error.is_data()) {
        return Err(wrong.map_or(Malformed::Truncated, malformed));
    }
    let wrapper: Wrapper<'_> = serde_json::from_slice(line).map_err(malformed)?;
    if let (Some(error), "Event") = (wrong, &*wrapper.kind) {
        return Err(malformed(error));
    }
    unwrap(&wrapper, deep, each)
}

/// What tells the forms apart.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Wrapper<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    items: Vec<Native<'a>>,
    /// EKS.
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow, rename = "@message")]
    at_message: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    events: Vec<Message<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    log_events: Vec<Message<'a>>,
    /// GKE.
    #[serde(borrow)]
    proto_payload: Option<Payload<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    labels: Labels<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    operation: Operation<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    /// AKS.
    #[serde(borrow)]
    properties: Option<Properties<'a>>,
    #[serde(borrow, rename = "log_s")]
    log_s: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    records: Vec<&'a RawValue>,
    /// What shippers on nodes make of a line.
    #[serde(borrow)]
    log: Option<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    message: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Properties<'a> {
    #[serde(borrow)]
    log: Option<Text<'a>>,
}

fn unwrap(
    wrapper: &Wrapper<'_>,
    deep: u8,
    each: &mut dyn FnMut(&Event<'_>),
) -> Result<Line, Malformed> {
    if &*wrapper.kind == "EventList" {
        let events = wrapper.items.iter().map(Native::event);
        events.for_each(|event| each(&event));
        return Ok(Line {
            form: Form::Native,
            events: wrapper.items.len(),
        });
    }
    if let Some(payload) = &wrapper.proto_payload {
        let event = google::event(
            payload,
            &wrapper.labels,
            &wrapper.operation,
            &wrapper.timestamp,
        );
        event.iter().for_each(&mut *each);
        return Ok(Line {
            form: Form::Gke,
            events: usize::from(event.is_some()),
        });
    }
    let log = wrapper.properties.as_ref().and_then(|p| p.log.as_ref());
    if let Some(log) = log.or(wrapper.log_s.as_ref()) {
        return text(log, Form::Aks, deep, each);
    }
    if !wrapper.records.is_empty() {
        return all(&wrapper.records, Form::Aks, deep, each);
    }
    if let Some(message) = wrapper.message.as_ref().or(wrapper.at_message.as_ref()) {
        return text(message, Form::Eks, deep, each);
    }
    if let Some(log) = &wrapper.log {
        return text(log, Form::Native, deep, each);
    }
    let messages = wrapper.events.iter().chain(&wrapper.log_events);
    let mut found = about_nothing(Form::Native);
    for message in messages {
        let line = text(&message.message, Form::Eks, deep, each)?;
        found = Line {
            form: Form::Eks,
            events: found.events + line.events,
        };
    }
    Ok(found)
}

/// An event as a string. The same streams carry other components' lines, which are no events and no errors.
fn text(
    text: &str,
    form: Form,
    deep: u8,
    each: &mut dyn FnMut(&Event<'_>),
) -> Result<Line, Malformed> {
    let deep = deep.checked_sub(1).ok_or(Malformed::Deep)?;
    if !text.trim_start().starts_with('{') {
        return Ok(about_nothing(form));
    }
    let line = inner(text.as_bytes(), deep, each)?;
    Ok(Line { form, ..line })
}

/// Documents in a list.
fn all(
    items: &[&RawValue],
    form: Form,
    deep: u8,
    each: &mut dyn FnMut(&Event<'_>),
) -> Result<Line, Malformed> {
    let deep = deep.checked_sub(1).ok_or(Malformed::Deep)?;
    let mut found = about_nothing(form);
    for item in items {
        let line = inner(item.get().as_bytes(), deep, each)?;
        found.events += line.events;
        if line.form != Form::Native {
            found.form = line.form;
        }
    }
    Ok(found)
}

/// `2026-11-25T06:18:00.000Z {…}`, as CloudWatch exports to S3 and as shippers write.
fn after_time(line: &[u8], deep: u8, each: &mut dyn FnMut(&Event<'_>)) -> Result<Line, Malformed> {
    let syntax = Malformed::Syntax { column: 1 };
    if !line.first().is_some_and(u8::is_ascii_digit) {
        return Err(syntax);
    }
    let begin = line.iter().take(PREFIX).position(|b| *b == b'{');
    let Some(json) = begin.and_then(|b| line.get(b..)) else {
        return Ok(about_nothing(Form::Eks));
    };
    let deep = deep.checked_sub(1).ok_or(Malformed::Deep)?;
    let found = object(json, deep, each)?;
    Ok(Line {
        form: Form::Eks,
        ..found
    })
}

const fn about_nothing(form: Form) -> Line {
    Line { form, events: 0 }
}

fn malformed(error: serde_json::Error) -> Malformed {
    let column = error.column();
    match error.classify() {
        Category::Eof => Malformed::Truncated,
        Category::Syntax | Category::Io => Malformed::Syntax { column },
        Category::Data => Malformed::Shape { column },
    }
}

#[cfg(test)]
mod tests;
