//! GitHub: `GET /repos/{owner}/{repo}/issues/{number}`.

use serde_json::Value;

use super::config::TicketConfig;
use super::reading::{Reading, Unread, all_at, array, at, is_open, text_of};

pub(super) fn path(key: &str) -> String {
    let (project, number) = key.split_once('#').unwrap_or_default();
    format!("/repos/{project}/issues/{number}")
}

pub(super) fn read(config: &TicketConfig, key: &str, body: Value) -> Result<Reading, Unread> {
    let (project, number) = key.split_once('#').unwrap_or_default();
    let given = body.get("number").and_then(Value::as_u64);
    if given.map(|n| n.to_string()).as_deref() != Some(number) {
        return Err(Unread::Odd("it is of another number"));
    }
    let repository = at(&body, "/repository_url").unwrap_or_default();
    let repository = repository.to_ascii_lowercase();
    if !repository.ends_with(&format!("/repos/{project}")) {
        return Err(Unread::Odd("it is of another repository"));
    }
    // The API gives pull requests as issues; everybody can open one.
    if body.get("pull_request").is_some() {
        return Err(Unread::Odd("it is a pull request, not an issue"));
    }
    let state = at(&body, "/state").ok_or(Unread::Odd("it has no state"))?;
    let assignees = array(&body, "/assignees").iter();
    Ok(Reading {
        url: at(&body, "/html_url").map(str::to_owned),
        state: state.to_owned(),
        open: is_open(config, &[state], &["open"]),
        title: at(&body, "/title").unwrap_or_default().to_owned(),
        assignees: assignees.flat_map(|a| all_at(a, &["/login"])).collect(),
        participants: all_at(&body, &["/user/login"]),
        labels: array(&body, "/labels")
            .iter()
            .filter_map(|label| text_of(label).map(str::to_owned))
            .collect(),
        document: body,
    })
}
