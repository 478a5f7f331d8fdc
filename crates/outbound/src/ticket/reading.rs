//! How a ticket is asked for and its answer read, whatever the system.

use http::{StatusCode, header};
use kubestile_core::{ClusterName, Namespace, Secret};
use serde_json::Value;

use super::config::{Kind, Relation, System, TicketConfig, Where};
use super::{Ticket, TicketError, TicketId};
use super::{generic, github, gitlab, jira, pagerduty, servicenow};
use crate::client::{Answer, Call, CallError, ServiceUrl};
use crate::file;
use crate::line::line;

/// Namespaces in one ticket at most.
const NAMESPACES: usize = 64;
/// Longest title and state, in characters.
const TITLE: usize = 200;

/// What a kind of system makes of an answer.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Where a person reads the ticket, if the answer says so.
    pub(super) url: Option<String>,
    pub(super) state: String,
    pub(super) open: bool,
    pub(super) title: String,
    /// All names, addresses and ids of those it is assigned to.
    pub(super) assignees: Vec<String>,
    /// Those of others whom it names.
    pub(super) participants: Vec<String>,
    pub(super) labels: Vec<String>,
    /// Where the pointers of a configuration start.
    pub(super) document: Value,
}

/// Why an answer with status 200 is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It says that there is no such ticket.
    NotFound,
    /// It is not what the documentation says.
    Odd(&'static str),
}

pub(super) async fn check(
    system: &System,
    ticket: &TicketId,
    person: &str,
) -> Result<Ticket, TicketError> {
    let config = &system.config;
    let name = || system.name.to_string();
    let secret =
        file::secret(&config.credential_file).map_err(|source| TicketError::Credential {
            system: name(),
            source,
        })?;
    let unreachable = |source| TicketError::Unreachable {
        system: name(),
        source,
    };
    let call = Call::get(&config.url, path(config, ticket.key()));
    let call = authorized(config, call, &secret).map_err(unreachable)?;
    let answer = system.client.call(call).await.map_err(unreachable)?;
    let body = body(&system.name, &answer)?;
    let reading = read(config, ticket.key(), body).map_err(|unread| match unread {
        Unread::NotFound => TicketError::NotFound { system: name() },
        Unread::Odd(reason) => TicketError::Unexpected {
            system: name(),
            reason,
        },
    })?;
    finish(config, ticket, person, &reading)
}

pub(super) fn path(config: &TicketConfig, key: &str) -> String {
    match config.kind {
        Kind::JiraCloud | Kind::JiraDataCenter => jira::path(config, key),
        Kind::ServiceNow => servicenow::path(config, key),
        Kind::Github => github::path(key),
        Kind::Gitlab => gitlab::path(key),
        Kind::PagerDuty => pagerduty::path(key),
        Kind::Generic => generic::path(config, key),
    }
}

fn read(config: &TicketConfig, key: &str, body: Value) -> Result<Reading, Unread> {
    match config.kind {
        Kind::JiraCloud | Kind::JiraDataCenter => jira::read(config, key, body),
        Kind::ServiceNow => servicenow::read(config, key, body),
        Kind::Github => github::read(config, key, body),
        Kind::Gitlab => gitlab::read(config, key, body),
        Kind::PagerDuty => pagerduty::read(config, key, body),
        Kind::Generic => generic::read(config, key, body),
    }
}

/// The call with the credential where the system wants it.
fn authorized<'a>(
    config: &TicketConfig,
    call: Call<'a>,
    secret: &Secret<String>,
) -> Result<Call<'a>, CallError> {
    match config.kind {
        Kind::Github => call
            .with(header::ACCEPT, "application/vnd.github+json")?
            .with(
                header::HeaderName::from_static("x-github-api-version"),
                "2022-11-28",
            )?
            .with_secret(header::AUTHORIZATION, "Bearer ", secret),
        Kind::Gitlab => {
            let name = header::HeaderName::from_static("private-token");
            call.with_secret(name, "", secret)
        }
        Kind::PagerDuty => call
            .with(header::ACCEPT, "application/vnd.pagerduty+json;version=2")?
            .with_secret(header::AUTHORIZATION, "Token token=", secret),
        Kind::JiraCloud | Kind::JiraDataCenter | Kind::ServiceNow | Kind::Generic => {
            match &config.user {
                Some(user) => call.with_basic(user, secret),
                None => call.with_secret(header::AUTHORIZATION, "Bearer ", secret),
            }
        }
    }
}

/// The JSON of a 200; everything else is an error.
fn body(system: &str, answer: &Answer) -> Result<Value, TicketError> {
    let system = system.to_owned();
    let retry_after = answer.retry_after();
    match answer.status {
        StatusCode::OK => answer.json().ok_or(TicketError::Unexpected {
            system,
            reason: "it is not JSON (a login page, perhaps)",
        }),
        StatusCode::UNAUTHORIZED => Err(TicketError::Unauthorized { system }),
        StatusCode::TOO_MANY_REQUESTS => Err(TicketError::RateLimited {
            system,
            retry_after,
        }),
        // GitHub says so with 403.
        StatusCode::FORBIDDEN if retry_after.is_some() || is_used_up(answer) => {
            Err(TicketError::RateLimited {
                system,
                retry_after,
            })
        }
        StatusCode::FORBIDDEN => Err(TicketError::Forbidden { system }),
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(TicketError::NotFound { system }),
        status if status.is_server_error() => Err(TicketError::Server {
            system,
            status: status.as_u16(),
            retry_after,
        }),
        _ => Err(TicketError::Unexpected {
            system,
            reason: "its status is neither success nor a known error",
        }),
    }
}

fn is_used_up(answer: &Answer) -> bool {
    let left = answer.headers.get("x-ratelimit-remaining");
    left.is_some_and(|left| left.as_bytes() == b"0")
}

fn finish(
    config: &TicketConfig,
    ticket: &TicketId,
    person: &str,
    reading: &Reading,
) -> Result<Ticket, TicketError> {
    let base = String::from(config.url.clone());
    let given = reading.url.as_deref().filter(|url| {
        let parsed: Result<ServiceUrl, _> = url.parse();
        parsed.is_ok()
    });
    let url = match given {
        Some(url) => url.to_owned(),
        None => format!("{base}{}", path(config, ticket.key())),
    };
    Ok(Ticket {
        id: ticket.clone(),
        url,
        open: reading.open,
        state: line(&reading.state, TITLE),
        title: line(&reading.title, TITLE),
        names_person: names(config, person, reading),
        namespaces: namespaces(config, reading)?,
        cluster: cluster(config, reading)?,
    })
}

fn names(config: &TicketConfig, person: &str, reading: &Reading) -> bool {
    if config.require == Relation::Nobody {
        return true;
    }
    let template = config.login.as_deref();
    let login = match (config.logins.get(person), template) {
        (Some(login), _) => login.clone(),
        (None, Some(template)) => template.replace("{person}", person),
        (None, None) => return false,
    };
    let same = |given: &String| match config.kind {
        Kind::Generic => *given == login,
        // All of these find people whatever the case.
        _ => given.eq_ignore_ascii_case(&login),
    };
    let participant = config.require == Relation::Participant;
    !login.is_empty()
        && (reading.assignees.iter().any(same)
            || participant && reading.participants.iter().any(same))
}

fn namespaces(
    config: &TicketConfig,
    reading: &Reading,
) -> Result<Option<Vec<Namespace>>, TicketError> {
    let Some(place) = &config.namespaces else {
        return Ok(None);
    };
    let scope = |reason| TicketError::Scope {
        what: "namespaces",
        reason,
    };
    let texts = texts(place, reading).map_err(scope)?;
    match texts.len() {
        0 if place.optional => return Ok(None),
        0 => return Err(scope("it says nothing there")),
        1..=NAMESPACES => {}
        _ => return Err(scope("it says more than 64")),
    }
    let mut namespaces = Vec::with_capacity(texts.len());
    for text in texts {
        let namespace: Namespace = text
            .parse()
            .map_err(|_| scope("one of them is not the name of a namespace"))?;
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    Ok(Some(namespaces))
}

fn cluster(config: &TicketConfig, reading: &Reading) -> Result<Option<ClusterName>, TicketError> {
    let Some(place) = &config.cluster else {
        return Ok(None);
    };
    let scope = |reason| TicketError::Scope {
        what: "cluster",
        reason,
    };
    match texts(place, reading).map_err(scope)?.as_slice() {
        [] if place.optional => Ok(None),
        [] => Err(scope("it says nothing there")),
        [one] => one
            .parse()
            .map(Some)
            .map_err(|_| scope("it is not the name of a cluster")),
        _ => Err(scope("it says more than one")),
    }
}

/// What stands in a place: a text with commas or white space in it, an option, or an array of those.
fn texts(place: &Where, reading: &Reading) -> Result<Vec<String>, &'static str> {
    if let Some(prefix) = &place.label {
        let labels = reading.labels.iter();
        let labels = labels.filter_map(|label| label.strip_prefix(prefix.as_str()));
        return Ok(labels.map(str::to_owned).collect());
    }
    let pointer = place.pointer.as_deref().unwrap_or_default();
    let found = reading.document.pointer(pointer);
    let values = match found {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    let mut texts = Vec::new();
    for value in values {
        let text =
            text_of(value).ok_or("it is neither a text nor an option, nor a list of those")?;
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        texts.extend(words.filter(|w| !w.is_empty()).map(str::to_owned));
    }
    Ok(texts)
}

/// A text, or what an object shows: an option of Jira, a component, a field of ServiceNow.
pub(super) fn text_of(value: &Value) -> Option<&str> {
    let shown = ["display_value", "value", "name"];
    match value {
        Value::String(text) => Some(text),
        Value::Object(object) => shown.iter().find_map(|key| object.get(*key)?.as_str()),
        _ => None,
    }
}

/// The text at a pointer.
pub(super) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

/// The texts at several pointers, those that are there and not empty.
pub(super) fn all_at(value: &Value, pointers: &[&str]) -> Vec<String> {
    let texts = pointers.iter().filter_map(|pointer| at(value, pointer));
    texts.filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// The objects of an array.
pub(super) fn array<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let array = value.pointer(pointer).and_then(Value::as_array);
    array.map_or(&[], Vec::as_slice)
}

/// Whether a state is one of the configured ones, or where none is, of the usual ones.
pub(super) fn is_open(config: &TicketConfig, states: &[&str], usual: &[&str]) -> bool {
    let among = |state: &&str| match config.open_states.is_empty() {
        true => usual.iter().any(|open| open.eq_ignore_ascii_case(state)),
        false => {
            let open = config.open_states.iter();
            open.into_iter()
                .any(|open| open.eq_ignore_ascii_case(state))
        }
    };
    states.iter().filter(|state| !state.is_empty()).any(among)
}
