//! `GET /r/{id}`: one access request, all that is known of it, and the answers to it.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use kubestile_core::Timestamp;
use kubestile_core::approval::Impact;

use super::answer::COMMAND_SECONDS;
use super::html::Html;
use super::layout::{self, Page};
use super::visitor::Visitor;
use crate::access;
use crate::api::AccessEntry;
use crate::json::Segment;
use crate::state::App;

/// How often the page of a request that others answer is loaded again, in seconds.
const AGAIN: i64 = 5;

/// `GET /r/{id}`.
pub(super) async fn show(State(app): State<App>, visitor: Visitor, id: Segment) -> Response {
    let request = match access::find(&app, &visitor.caller, &id.0) {
        Ok(request) => request,
        Err(refusal) => return layout::failure(Some(&visitor), &refusal),
    };
    let entry = access::entry(&app, &visitor.caller, &request);
    let now = app.now();
    let form = layout::token_field(&visitor);
    let body = body(&entry, visitor.name(), &form, now);
    let page = Page::new(&format!("{} {}", entry.state, entry.id), body).to(&visitor);
    let left = entry.expires.since(now).as_secs() + 1;
    let page = match entry.state.as_str() {
        // Not while somebody writes a reason.
        "waiting" if answerable(&entry, visitor.name()) => page.again_after(left),
        "waiting" => page.again_after(AGAIN.min(left)),
        _ => page,
    };
    page.into_response(StatusCode::OK)
}

fn answerable(entry: &AccessEntry, name: &str) -> bool {
    entry.may_answer && !entry.own && !entry.approved_by.iter().any(|by| by == name)
}

fn body(entry: &AccessEntry, name: &str, form: &Html, now: Timestamp) -> Html {
    let asks = match entry.kind.as_str() {
        "grant" => Html::new().lit(" asks for a grant"),
        _ => Html::new().lit(" asks to run"),
    };
    Html::new()
        .lit("<p class=\"back\"><a href=\"/approvals\">All that waits</a></p>\n<article class=\"card\">\n<h1>")
        .text(&entry.requester)
        .with(asks)
        .lit("</h1>\n<pre class=\"command\">")
        .text(&entry.what)
        .lit("</pre>\n")
        .with(standing(entry, now))
        .with(facts(entry))
        .with(impact(entry))
        .lit("</article>\n")
        .with(answers(entry, name, form))
}

/// How it stands, in one line that a screen reader says first.
fn standing(entry: &AccessEntry, now: Timestamp) -> Html {
    let quorum = format!("{} of {}", entry.approved_by.len(), entry.quorum.max(1));
    let html = Html::new().lit("<p role=\"status\" class=\"state\">");
    let html = match entry.state.as_str() {
        "waiting" => html
            .lit("<span class=\"mark waiting\">waiting</span> ")
            .text(&format!(
                "ends in {}; {quorum} approved",
                entry.expires.since(now)
            )),
        "approved" => html.lit("<span class=\"mark approved\">approved</span> "),
        "denied" => html.lit("<span class=\"mark denied\">denied</span> "),
        other => html
            .lit("<span class=\"mark\">")
            .text(other)
            .lit("</span> "),
    };
    let html = match entry.approved_by.is_empty() {
        true => html,
        false => html.lit(" by ").text(&entry.approved_by.join(", ")),
    };
    html.lit(" ").text(&entry.outcome).lit("</p>\n")
}

fn facts(entry: &AccessEntry) -> Html {
    let risk = risk_mark(&entry.risk).lit(" ").text(&entry.risk_meaning);
    let cluster = entry.cluster.as_ref().map(|c| c.as_str().to_owned());
    let policies: Vec<String> = entry.policies.iter().map(ToString::to_string).collect();
    let digest: String = entry.digest.chars().take(16).collect();
    Html::new()
        .lit("<dl>\n")
        .with(fact("Risk", Some(risk)))
        .with(fact("Cluster", words(cluster.as_deref())))
        .with(fact("Asked by", words(Some(&entry.requester))))
        .with(fact("From", words(Some(&entry.source))))
        .with(fact("Ticket", words(entry.ticket.as_deref())))
        .with(fact("Reason", words(entry.reason.as_deref())))
        .with(fact(
            "May approve",
            words(Some(&entry.approvers.join(" or "))),
        ))
        .with(fact("Held by policy", words(Some(&policies.join(", ")))))
        .with(fact("Asked at", Some(time(entry.created))))
        .with(fact("Ends at", Some(time(entry.expires))))
        .with(fact("Request", words(Some(&entry.id.to_string()))))
        .with(fact("Digest", words(Some(&digest))))
        .lit("</dl>\n")
}

fn words(text: Option<&str>) -> Option<Html> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(Html::new().text(text))
}

fn fact(name: &'static str, value: Option<Html>) -> Html {
    let Some(value) = value else {
        // A reason or a ticket that is not there is worth seeing.
        return match name {
            "Reason" | "Ticket" => fact(name, Some(Html::new().lit("<em>none given</em>"))),
            _ => Html::new(),
        };
    };
    Html::new()
        .lit("<div><dt>")
        .lit(name)
        .lit("</dt><dd>")
        .with(value)
        .lit("</dd></div>\n")
}

/// To the second: nobody decides by microseconds.
fn time(at: Timestamp) -> Html {
    let text = at.rfc3339().replace('T', " ");
    let seconds = text
        .split_once('.')
        .map_or(text.as_str(), |(seconds, _)| seconds);
    Html::new().text(seconds).lit(" UTC")
}

/// The class of a risk, with a mark of its own.
pub(super) fn risk_mark(risk: &str) -> Html {
    let html = match risk {
        "R0" | "R1" => Html::new().lit("<span class=\"mark low\">"),
        "R2" => Html::new().lit("<span class=\"mark middle\">"),
        _ => Html::new().lit("<span class=\"mark high\">"),
    };
    html.text(risk).lit("</span>")
}

fn impact(entry: &AccessEntry) -> Html {
    let html = match &entry.function {
        Some(function) => Html::new()
            .lit("<p class=\"alert\">An approval gives this one request the job function <strong>")
            .text(&function.to_string())
            .lit("</strong>, which whoever asks does not have.</p>\n"),
        None => Html::new(),
    };
    match &entry.impact {
        Some(impact) => html.with(lines(impact)),
        None if entry.kind == "request" => html.lit(
            "<h2>What it would do</h2>\n<p class=\"note\">That could not be found out beforehand.</p>\n",
        ),
        None => html,
    }
}

fn lines(impact: &Impact) -> Html {
    let html = Html::new()
        .lit("<h2>What it would do</h2>\n<p>")
        .text(&impact.summary)
        .lit("</p>\n<ul class=\"impact\">\n")
        .each(&impact.lines, |line| {
            Html::new().lit("<li>").text(line).lit("</li>\n")
        });
    let html = match impact.more {
        0 => html,
        more => html
            .lit("<li class=\"more\">and ")
            .text(&more.to_string())
            .lit(" more</li>\n"),
    };
    html.lit("</ul>\n")
}

fn answers(entry: &AccessEntry, name: &str, form: &Html) -> Html {
    if entry.state != "waiting" {
        return Html::new();
    }
    if answerable(entry, name) {
        return Html::new()
            .lit("<section class=\"answers\">\n<h2>Your answer</h2>\n")
            .with(approve_request(entry, form))
            .with(approve_command(entry, form))
            .with(deny(entry, form))
            .lit("</section>\n");
    }
    let why = if entry.own {
        "You asked for this yourself: somebody else answers it. Keep the terminal open in which it waits."
    } else if entry.approved_by.iter().any(|by| by == name) {
        "You have approved this. It waits for somebody else, too."
    } else {
        "You may look at this, but no policy permits you to answer it."
    };
    Html::new()
        .lit("<section class=\"card\"><p class=\"note\">")
        .lit(why)
        .lit(" This page is loaded again by itself.</p></section>\n")
}

/// The start of a form for this entry as it is shown.
fn form_to(entry: &AccessEntry, what: &'static str, form: &Html) -> Html {
    Html::new()
        .lit("<form class=\"card\" method=\"post\" action=\"/r/")
        .text(&entry.id.to_string())
        .lit(what)
        .lit("\">\n")
        .with(form.clone())
        .lit("<input type=\"hidden\" name=\"digest\" value=\"")
        .text(&entry.digest)
        .lit("\">\n")
}

fn approve_request(entry: &AccessEntry, form: &Html) -> Html {
    let html = form_to(entry, "/approve", form)
        .lit("<input type=\"hidden\" name=\"scope\" value=\"request\">\n");
    match entry.kind.as_str() {
        "grant" => html.lit(
            "<p>The grant starts as it is asked for above, and ends by itself.</p>\n\
             <button class=\"primary\">Approve this grant</button>\n</form>\n",
        ),
        _ => html.lit(
            "<p>Exactly what is shown above goes on, once. Anything else asks again.</p>\n\
             <button class=\"primary\">Approve this request</button>\n</form>\n",
        ),
    }
}

fn approve_command(entry: &AccessEntry, form: &Html) -> Html {
    let (Some(command), "request") = (&entry.command, entry.kind.as_str()) else {
        return Html::new();
    };
    let minutes = (COMMAND_SECONDS / 60).to_string();
    form_to(entry, "/approve", form)
        .lit("<input type=\"hidden\" name=\"scope\" value=\"command\">\n<p>For ")
        .text(&minutes)
        .lit(" minutes nobody is asked again about <strong>")
        .text(command)
        .lit("</strong> by <strong>")
        .text(&entry.requester)
        .lit(
            "</strong> in this login and this run of kubectl: not about this object only, but about any \
             object of that kind there.</p>\n<button>Approve the rest of this command for ",
        )
        .text(&minutes)
        .lit(" min</button>\n</form>\n")
}

fn deny(entry: &AccessEntry, form: &Html) -> Html {
    form_to(entry, "/deny", form).lit(
        "<p><label for=\"reason\">Why not? Whoever asked is shown this.</label>\n\
         <input id=\"reason\" name=\"reason\" required maxlength=\"300\" autocomplete=\"off\"></p>\n\
         <button class=\"danger\">Deny</button>\n</form>\n",
    )
}

#[cfg(test)]
pub(super) mod tests;
