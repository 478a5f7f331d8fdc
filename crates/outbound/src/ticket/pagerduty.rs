//! PagerDuty: `GET /incidents/{id}`. Pointers of a configuration start inside `incident`.

use serde_json::Value;

use super::config::TicketConfig;
use super::reading::{Reading, Unread, all_at, array, at, is_open};

pub(super) fn path(key: &str) -> String {
    // With the users themselves, not only references: that is where the e-mail addresses are.
    format!("/incidents/{key}?include%5B%5D=assignees&include%5B%5D=acknowledgers")
}

pub(super) fn read(config: &TicketConfig, key: &str, mut body: Value) -> Result<Reading, Unread> {
    let incident = body.get_mut("incident").map(Value::take);
    let incident = incident.ok_or(Unread::Odd("it has no `incident`"))?;
    if at(&incident, "/id") != Some(key) {
        return Err(Unread::Odd("it is of another id"));
    }
    let state = at(&incident, "/status").ok_or(Unread::Odd("it has no status"))?;
    let title = at(&incident, "/title").or(at(&incident, "/summary"));
    let users = |list: &str, user: &str| {
        let user = |entry: &Value| {
            let user = entry.get(user).unwrap_or(&Value::Null);
            all_at(user, &["/id", "/email"])
        };
        array(&incident, list).iter().flat_map(user).collect()
    };
    Ok(Reading {
        url: at(&incident, "/html_url").map(str::to_owned),
        state: state.to_owned(),
        open: is_open(config, &[state], &["triggered", "acknowledged"]),
        title: title.unwrap_or_default().to_owned(),
        assignees: users("/assignments", "assignee"),
        participants: users("/acknowledgements", "acknowledger"),
        labels: Vec::new(),
        document: incident,
    })
}
