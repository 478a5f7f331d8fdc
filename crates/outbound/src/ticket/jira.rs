//! Jira: `GET /rest/api/{2,3}/issue/{key}`.
//!
//! Of Cloud's users the account id and the (verified) e-mail address count, of Data Center's the name
//! and the key: there everybody may be able to change their own e-mail address. A display name never
//! counts.

use serde_json::Value;

use super::config::{Kind, TicketConfig, Where};
use super::reading::{Reading, Unread, all_at, array, at, is_open};

pub(super) fn path(config: &TicketConfig, key: &str) -> String {
    let version = match config.kind {
        Kind::JiraDataCenter => 2,
        _ => 3,
    };
    let mut fields = "summary,status,assignee,reporter,creator,labels".to_owned();
    for place in [&config.namespaces, &config.cluster].into_iter().flatten() {
        if let Some(field) = field(place) {
            fields.push(',');
            fields.push_str(field);
        }
    }
    format!("/rest/api/{version}/issue/{key}?fields={fields}")
}

/// The field that a pointer leads into: `/fields/customfield_10040/…`.
fn field(place: &Where) -> Option<&str> {
    let rest = place.pointer.as_deref()?.strip_prefix("/fields/")?;
    let field = rest.split('/').next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    field.bytes().all(plain).then_some(field)
}

pub(super) fn read(config: &TicketConfig, key: &str, body: Value) -> Result<Reading, Unread> {
    match at(&body, "/key") {
        Some(given) if given == key => {}
        Some(_) => return Err(Unread::Odd("it is of another key: the issue was moved")),
        None => return Err(Unread::Odd("it has no `key`")),
    }
    let state = at(&body, "/fields/status/name").ok_or(Unread::Odd("it has no status"))?;
    let category = at(&body, "/fields/status/statusCategory/key").unwrap_or_default();
    let open = match config.open_states.is_empty() {
        true => matches!(category, "new" | "indeterminate"),
        false => is_open(config, &[state], &[]),
    };
    Ok(Reading {
        url: Some(format!("{}/browse/{key}", String::from(config.url.clone()))),
        state: state.to_owned(),
        open,
        title: at(&body, "/fields/summary").unwrap_or_default().to_owned(),
        assignees: user(config, &body, "assignee"),
        participants: [
            user(config, &body, "reporter"),
            user(config, &body, "creator"),
        ]
        .concat(),
        labels: array(&body, "/fields/labels")
            .iter()
            .filter_map(|label| label.as_str().map(str::to_owned))
            .collect(),
        document: body,
    })
}

fn user(config: &TicketConfig, body: &Value, field: &str) -> Vec<String> {
    let Some(user) = body.pointer(&format!("/fields/{field}")) else {
        return Vec::new();
    };
    match config.kind {
        Kind::JiraDataCenter => all_at(user, &["/name", "/key"]),
        _ => all_at(user, &["/accountId", "/emailAddress"]),
    }
}
