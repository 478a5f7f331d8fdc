//! Anything that answers a GET with JSON, read by the pointers of its configuration.

use serde_json::Value;

use super::config::TicketConfig;
use super::reading::{Reading, Unread, at, is_open};

pub(super) fn path(config: &TicketConfig, key: &str) -> String {
    // The key has no character that would need escaping: `id` saw to that.
    let fields = config.fields.as_ref();
    fields.map_or_else(String::new, |fields| fields.path.replace("{id}", key))
}

pub(super) fn read(config: &TicketConfig, key: &str, body: Value) -> Result<Reading, Unread> {
    let fields = config.fields.as_ref();
    let fields = fields.ok_or(Unread::Odd("there is no configuration to read it by"))?;
    let id = body.pointer(&fields.id).and_then(|id| match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    if id.as_deref() != Some(key) {
        return Err(Unread::Odd("it is of another id"));
    }
    let state = at(&body, &fields.state).ok_or(Unread::Odd("it has no state"))?;
    let title = fields
        .title
        .as_deref()
        .and_then(|pointer| at(&body, pointer));
    Ok(Reading {
        url: None,
        state: state.to_owned(),
        open: is_open(config, &[state], &[]),
        title: title.unwrap_or_default().to_owned(),
        assignees: texts(&body, &fields.assignees),
        participants: texts(&body, &fields.participants),
        labels: texts(&body, fields.labels.as_slice()),
        document: body,
    })
}

/// The texts at pointers to texts or arrays of texts.
fn texts(body: &Value, pointers: &[String]) -> Vec<String> {
    let found = pointers.iter().filter_map(|pointer| body.pointer(pointer));
    let values = found.flat_map(|value| match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    });
    let texts = values.filter_map(Value::as_str).filter(|t| !t.is_empty());
    texts.map(str::to_owned).collect()
}
