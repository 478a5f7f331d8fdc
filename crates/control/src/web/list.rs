//! `GET /approvals`: what waits, one entry for all requests of one command.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use kubestile_core::Timestamp;

use super::html::Html;
use super::layout::Page;
use super::page::risk_mark;
use super::visitor::Visitor;
use crate::access;
use crate::api::{AccessEntry, AccessList};
use crate::state::App;

/// How often the list is loaded again, in seconds.
const AGAIN: i64 = 15;

/// `GET /approvals`.
pub(super) async fn list(State(app): State<App>, visitor: Visitor) -> Response {
    let waiting = access::waiting(&app, &visitor.caller);
    Page::new("Approvals", body(&waiting, app.now()))
        .to(&visitor)
        .again_after(AGAIN)
        .into_response(StatusCode::OK)
}

fn body(list: &AccessList, now: Timestamp) -> Html {
    let (own, others): (Vec<_>, Vec<_>) = list.requests.iter().partition(|e| e.own);
    let html = Html::new().lit("<h1>Approvals</h1>\n");
    let html = if others.is_empty() {
        html.lit(
            "<section class=\"card\"><p class=\"nothing\">Nothing waits for you.</p></section>\n",
        )
    } else {
        html.each(grouped(&others), |group| command(&group, now))
    };
    let html = match own.is_empty() {
        true => html,
        false => html
            .lit("<h2>What you asked for yourself</h2>\n")
            .each(grouped(&own), |group| command(&group, now)),
    };
    let html = match list.truncated {
        true => html.lit("<p class=\"alert\">There are more than are shown here.</p>\n"),
        false => html,
    };
    html.lit("<p class=\"note\">This page is loaded again every 15 seconds.</p>\n")
}

/// The requests of one run of one command together, in the order of their latest.
fn grouped<'a>(entries: &[&'a AccessEntry]) -> Vec<Vec<&'a AccessEntry>> {
    let mut groups: Vec<Vec<&AccessEntry>> = Vec::new();
    for entry in entries {
        // What the client says of itself is trusted with what is shown together, and with no more.
        let same = |group: &&mut Vec<&AccessEntry>| group.iter().any(|e| e.is_asked_with(entry));
        match groups.iter_mut().find(same) {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups
}

fn command(group: &[&AccessEntry], now: Timestamp) -> Html {
    let Some(first) = group.first() else {
        return Html::new();
    };
    let about = match (group.len(), &first.command) {
        (2.., Some(command)) => Html::new()
            .lit("for ")
            .text(&group.len().to_string())
            .lit(" requests of one command: <strong>")
            .text(command)
            .lit("</strong>"),
        (2.., None) => Html::new()
            .lit("for ")
            .text(&group.len().to_string())
            .lit(" requests of one program"),
        _ if first.kind == "grant" => Html::new().lit("for a grant"),
        _ => Html::new().lit("to run this"),
    };
    let cluster = first.cluster.as_ref().map_or_else(Html::new, |cluster| {
        Html::new()
            .lit(" on <strong>")
            .text(cluster.as_str())
            .lit("</strong>")
    });
    Html::new()
        .lit("<section class=\"card\">\n<p class=\"asks\"><strong>")
        .text(&first.requester)
        .lit("</strong> asks ")
        .with(about)
        .with(cluster)
        .lit("</p>\n<ul class=\"requests\">\n")
        .each(group, |entry| item(entry, now))
        .lit("</ul>\n</section>\n")
}

fn item(entry: &AccessEntry, now: Timestamp) -> Html {
    let approved = match entry.approved_by.len() {
        0 => Html::new(),
        n => Html::new()
            .lit(" · ")
            .text(&format!("{n} of {} approved", entry.quorum.max(1))),
    };
    Html::new()
        .lit("<li><a class=\"row\" href=\"/r/")
        .text(&entry.id.to_string())
        .lit("\"><code>")
        .text(&entry.what)
        .lit("</code>\n<span class=\"meta\">")
        .with(risk_mark(&entry.risk))
        .lit(" ends in ")
        .text(&entry.expires.since(now).to_string())
        .with(approved)
        .lit("</span></a></li>\n")
}

#[cfg(test)]
mod tests {
    use super::super::page::tests::entry;
    use super::*;

    #[test]
    fn requests_of_one_command_are_one_question() {
        let one = entry();
        let same = AccessEntry {
            what: "kubectl delete deployment b -n shop".to_owned(),
            ..entry()
        };
        let run = AccessEntry {
            invocation: Some("another".to_owned()),
            ..entry()
        };
        let person = AccessEntry {
            requester: "eve".to_owned(),
            ..entry()
        };
        let nameless = AccessEntry {
            command: None,
            invocation: None,
            ..entry()
        };
        let all = [&one, &run, &same, &person, &nameless, &nameless];
        let sizes: Vec<_> = grouped(&all).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1, 1]);
        let of_helm = |group: &str, later: i64| AccessEntry {
            group: Some(group.to_owned()),
            created: Timestamp::from_secs(1_000 + later),
            ..nameless.clone()
        };
        let (first, second, third) = (of_helm("a", 0), of_helm("a", 9), of_helm("a", 30));
        let other = of_helm("b", 0);
        let all = [&first, &other, &second, &third];
        let sizes: Vec<_> = grouped(&all).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1], "of one client, within ten seconds");
        let html = command(&[&first, &second], Timestamp::from_secs(1_000)).into_string();
        assert!(html.contains("2 requests of one program"), "{html}");
    }

    #[test]
    fn what_one_asked_oneself_stands_apart() {
        let list = AccessList {
            requests: vec![AccessEntry {
                own: true,
                may_answer: false,
                ..entry()
            }],
            seen: 1,
            truncated: false,
        };
        let html = body(&list, Timestamp::from_secs(1_000)).into_string();
        assert!(
            html.contains("Nothing waits for you") && html.contains("What you asked for yourself")
        );
    }
}
