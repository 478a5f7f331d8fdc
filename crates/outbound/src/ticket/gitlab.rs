//! GitLab: `GET /api/v4/projects/{path}/issues/{iid}`.

use serde_json::Value;

use super::config::TicketConfig;
use super::reading::{Reading, Unread, all_at, array, at, is_open};

pub(super) fn path(key: &str) -> String {
    let (project, number) = key.split_once('#').unwrap_or_default();
    format!(
        "/api/v4/projects/{}/issues/{number}",
        project.replace('/', "%2F")
    )
}

pub(super) fn read(config: &TicketConfig, key: &str, body: Value) -> Result<Reading, Unread> {
    let (_, number) = key.split_once('#').unwrap_or_default();
    let given = body.get("iid").and_then(Value::as_u64);
    if given.map(|n| n.to_string()).as_deref() != Some(number) {
        return Err(Unread::Odd("it is of another number"));
    }
    let full = at(&body, "/references/full").unwrap_or_default();
    if !full.eq_ignore_ascii_case(key) {
        return Err(Unread::Odd("it is of another project"));
    }
    let state = at(&body, "/state").ok_or(Unread::Odd("it has no state"))?;
    let assignees = array(&body, "/assignees").iter();
    Ok(Reading {
        url: at(&body, "/web_url").map(str::to_owned),
        state: state.to_owned(),
        open: is_open(config, &[state], &["opened"]),
        title: at(&body, "/title").unwrap_or_default().to_owned(),
        assignees: assignees.flat_map(|a| all_at(a, &["/username"])).collect(),
        participants: all_at(&body, &["/author/username"]),
        labels: array(&body, "/labels")
            .iter()
            .filter_map(|label| label.as_str().map(str::to_owned))
            .collect(),
        document: body,
    })
}
