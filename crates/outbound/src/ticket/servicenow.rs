//! ServiceNow: `GET /api/now/table/{incident,change_request}` with a query for the number.
//!
//! An instance ignores the part of a query that it does not understand and answers with any rows. So
//! there must be exactly one, and its number must be the one asked for.

use serde_json::Value;

use super::config::TicketConfig;
use super::id::table_prefix;
use super::reading::{Reading, Unread, is_open, text_of};

/// What is asked for. Dots lead into the record of the user.
const FIELDS: &str = "number,state,short_description,sys_id,\
assigned_to,assigned_to.user_name,assigned_to.email,\
opened_by.user_name,opened_by.email,caller_id.user_name,caller_id.email,\
requested_by.user_name,requested_by.email";

pub(super) fn path(config: &TicketConfig, key: &str) -> String {
    let mut fields = FIELDS.to_owned();
    for place in [&config.namespaces, &config.cluster].into_iter().flatten() {
        let pointer = place.pointer.as_deref().unwrap_or_default();
        let field = pointer.split('/').nth(1).unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        if !field.is_empty() && field.bytes().all(plain) {
            fields.push(',');
            fields.push_str(field);
        }
    }
    format!(
        "/api/now/table/{}?sysparm_query=number%3D{key}&sysparm_limit=2\
         &sysparm_display_value=all&sysparm_exclude_reference_link=true&sysparm_fields={fields}",
        table(key)
    )
}

fn table(key: &str) -> &'static str {
    match table_prefix(key) {
        Some("CHG") => "change_request",
        _ => "incident",
    }
}

pub(super) fn read(config: &TicketConfig, key: &str, body: Value) -> Result<Reading, Unread> {
    let rows = body.get("result").and_then(Value::as_array);
    let record = match rows.ok_or(Unread::Odd("it has no `result`"))?.as_slice() {
        [] => return Err(Unread::NotFound),
        [record] => record,
        _ => return Err(Unread::Odd("it has more than one record")),
    };
    let field = |name: &str| record.get(name).and_then(text_of).unwrap_or_default();
    let raw = |name: &str| {
        let value = record.get(name).and_then(|field| field.get("value"));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    if field("number") != key {
        return Err(Unread::Odd("it is of another number"));
    }
    let usual: &[&str] = match table(key) {
        "incident" => &["New", "In Progress", "On Hold"],
        _ => &["Implement"],
    };
    let people = |names: &[&str]| {
        let texts = names.iter().map(|name| field(name).to_owned());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>()
    };
    let mut assignees = people(&["assigned_to.user_name", "assigned_to.email"]);
    assignees.extend(Some(raw("assigned_to").to_owned()).filter(|id| !id.is_empty()));
    let state = field("state");
    if state.is_empty() {
        return Err(Unread::Odd("it has no state"));
    }
    let base = String::from(config.url.clone());
    Ok(Reading {
        url: Some(format!(
            "{base}/nav_to.do?uri={}.do?sysparm_query=number%3D{key}",
            table(key)
        )),
        state: state.to_owned(),
        open: is_open(config, &[state, raw("state")], usual),
        title: field("short_description").to_owned(),
        assignees,
        participants: people(&[
            "opened_by.user_name",
            "opened_by.email",
            "caller_id.user_name",
            "caller_id.email",
            "requested_by.user_name",
            "requested_by.email",
        ]),
        labels: Vec::new(),
        document: record.clone(),
    })
}
