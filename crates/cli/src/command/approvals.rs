//! `kubestile approvals`, `approve` and `deny`.

use std::collections::HashMap;

use http::Method;
use kubestile_control::api::{
    AccessEntry, AccessList, AccessStats, ApproveRequest, BrowserAnswer, BrowserRequest,
    DenyRequest, Empty,
};
use kubestile_core::{AccessId, Ttl};

use super::{age, block_on, browser, left, own};
use crate::args::access::{Approvals, ApprovalsCommand, ApprovalsList, Approve, Deny};
use crate::client::Door;
use crate::exit::{Fail, Outcome};
use crate::output;
use crate::output::{Format, Table};

/// How long the gate may keep a call that waits for news, in seconds.
pub(super) const WAIT_SECS: u32 = 25;

/// Lists, shows, takes back.
pub(super) fn run(args: Approvals) -> Outcome {
    match args.command {
        None => list(&args.list),
        Some(ApprovalsCommand::List(list)) => self::list(&list),
        Some(ApprovalsCommand::Show {
            id,
            open: true,
            gate,
            ..
        }) => block_on(async { open(&own(&gate).await?, Some(id)).await }),
        Some(ApprovalsCommand::Show {
            id, gate, output, ..
        }) => {
            let entry: AccessEntry = block_on(async { fetch(&own(&gate).await?, id).await })?;
            if output.format.is_data() {
                return output::value(output.format, &entry);
            }
            output::line_by_line(&detail(&entry))
        }
        Some(ApprovalsCommand::Withdraw { id, gate }) => {
            let entry: AccessEntry = block_on(async {
                let path = format!("/v1/access/{id}/withdraw");
                own(&gate).await?.send(Method::POST, &path, &Empty {}).await
            })?;
            output::talk(&format!("request {} is taken back", entry.id));
            Ok(())
        }
        Some(ApprovalsCommand::Stats { gate, output }) => {
            let stats = block_on(async { own(&gate).await?.get("/v1/access/stats").await })?;
            show_stats(&stats, output.format)
        }
    }
}

/// Shows what is asked for, asks, and approves what it showed.
pub(super) fn approve(args: &Approve) -> Outcome {
    block_on(async {
        let door = own(&args.gate).await?;
        let shown = fetch(&door, args.id).await?;
        may_be_answered(&shown)?;
        if args.command.is_some() && shown.command.is_none() {
            return Err(Fail::usage("this request belongs to no command")
                .hint("leave out --command: the approval is for this one request"));
        }
        if args.group {
            return approve_all(&door, args, shown).await;
        }
        output::talk(&detail(&shown));
        if !args.yes {
            agreed(&shown, args.command.is_some())?;
        }
        let answer = ApproveRequest {
            digest: shown.digest.clone(),
            command_seconds: args
                .command
                .map(|c| u32::try_from(c.as_secs()).unwrap_or(u32::MAX)),
        };
        let path = format!("/v1/access/{}/approve", args.id);
        let entry: AccessEntry = door.send(Method::POST, &path, &answer).await?;
        if args.output.format.is_data() {
            return output::value(args.output.format, &entry);
        }
        output::talk(&said(&entry));
        Ok(())
    })
}

/// Approves each request of a row for what was shown of it: what comes later is another question.
async fn approve_all(door: &Door, args: &Approve, shown: AccessEntry) -> Outcome {
    let waiting: AccessList = door.get("/v1/access?waiting").await?;
    let group = with_it(&shown, waiting.requests);
    for entry in &group {
        output::talk(&detail(entry));
    }
    if !args.yes {
        confirmed(&format!("approve exactly these {}?", group.len()))?;
    }
    let mut failed = 0;
    let mut answered = Vec::new();
    for entry in &group {
        let answer = ApproveRequest {
            digest: entry.digest.clone(),
            command_seconds: None,
        };
        let path = format!("/v1/access/{}/approve", entry.id);
        match door.send::<AccessEntry>(Method::POST, &path, &answer).await {
            Ok(entry) => {
                output::talk(&said(&entry));
                answered.push(entry);
            }
            Err(fail) => {
                failed += 1;
                output::talk(&format!("not approved: {}: {}", entry.what, fail.message()));
            }
        }
    }
    if args.output.format.is_data() {
        output::value(args.output.format, &answered)?;
    }
    match failed {
        0 => Ok(()),
        n => Err(Fail::failure(format!(
            "{n} of {} were not approved",
            group.len()
        ))),
    }
}

fn said(entry: &AccessEntry) -> String {
    match missing(entry) {
        0 => format!("approved: {}", entry.what),
        more => format!("approved by you; {more} more needed: {}", entry.what),
    }
}

fn may_be_answered(entry: &AccessEntry) -> Outcome {
    if entry.state != "waiting" {
        return Err(Fail::failure(format!(
            "request {} does not wait any more: it is {}",
            entry.id, entry.state
        )));
    }
    if entry.may_answer {
        return Ok(());
    }
    let why = match entry.own {
        true => "nobody approves what they ask for themselves",
        false => "no policy lets you answer it",
    };
    Err(
        Fail::failure(format!("you cannot answer request {}: {why}", entry.id))
            .hint(format!("it needs {}", needs(entry))),
    )
}

fn agreed(shown: &AccessEntry, command: bool) -> Outcome {
    let question = match (&shown.command, command) {
        (Some(words), true) => format!("approve this, and {words} of the same command?"),
        _ => "approve exactly this?".to_owned(),
    };
    confirmed(&question)
}

fn confirmed(question: &str) -> Outcome {
    match output::ask(question) {
        Some(true) => Ok(()),
        Some(false) => Err(Fail::failure("not approved; it still waits")
            .hint("`kubestile deny` says no to the requester, with a reason")),
        None => {
            Err(Fail::usage("there is no terminal to ask on")
                .hint("--yes approves without a question"))
        }
    }
}

/// Says no.
pub(super) fn deny(args: &Deny) -> Outcome {
    let body = DenyRequest {
        reason: args.reason.clone(),
    };
    let entry: AccessEntry = block_on(async {
        let path = format!("/v1/access/{}/deny", args.id);
        own(&args.gate)
            .await?
            .send(Method::POST, &path, &body)
            .await
    })?;
    output::talk(&format!("denied: {}", entry.what));
    Ok(())
}

async fn fetch(door: &Door, id: AccessId) -> Outcome<AccessEntry> {
    door.get(&format!("/v1/access/{id}")).await
}

/// Signs a browser in by this session, at one request or at all that wait.
async fn open(door: &Door, access: Option<AccessId>) -> Outcome {
    let body = BrowserRequest { access };
    let answer: BrowserAnswer = door.send(Method::POST, "/v1/browser", &body).await?;
    browser::open(&answer.url, &left(answer.expires))
}

fn list(args: &ApprovalsList) -> Outcome {
    block_on(async {
        let door = own(&args.gate).await?;
        if args.open {
            return open(&door, None).await;
        }
        if args.watch {
            return watch(&door, args).await;
        }
        let path = if args.all {
            "/v1/access"
        } else {
            "/v1/access?waiting"
        };
        let list: AccessList = door.get(path).await?;
        if args.output.format.is_data() {
            return output::value(args.output.format, &list);
        }
        let rows: Vec<&AccessEntry> = list.requests.iter().collect();
        table(&rows, args.output.format, args.all).print("nothing waits for an approval")?;
        if list.truncated {
            output::talk("there are more; -o json shows as many as the gate tells");
        }
        Ok(())
    })
}

/// Prints what waits, then each that changes, until it is stopped.
async fn watch(door: &Door, args: &ApprovalsList) -> Outcome {
    let mut known: HashMap<AccessId, (String, usize)> = HashMap::new();
    let mut path = "/v1/access".to_owned();
    let mut first = true;
    loop {
        let list: AccessList = door.get(&path).await?;
        let mut news = Vec::new();
        for entry in list.requests.iter().rev() {
            let state = (entry.state.clone(), entry.approved_by.len());
            let before = known.insert(entry.id, state.clone());
            let over = entry.state != "waiting" && before.is_none() && !args.all;
            if before.as_ref() != Some(&state) && !over {
                news.push(entry);
            }
        }
        // What the gate has forgotten is forgotten here.
        known.retain(|id, _| list.requests.iter().any(|r| r.id == *id));
        if args.output.format.is_data() {
            for entry in news {
                output::stream(args.output.format, entry)?;
            }
        } else if first || !news.is_empty() {
            let text = rows(&news, args.output.format, true).text();
            let text = match text.split_once('\n') {
                Some((_, rest)) if !first => rest,
                _ => &text,
            };
            output::data(text)?;
        }
        first = false;
        path = format!("/v1/access?after={}&wait={WAIT_SECS}", list.seen);
    }
}

/// A row for each command: a `kubectl delete` of twelve objects is one question.
fn table(entries: &[&AccessEntry], format: Format, states: bool) -> Table {
    let mut table = rows(&[], format, states);
    for group in grouped(entries) {
        table.row(row(&group, format, states));
    }
    table
}

/// A row for each request.
fn rows(entries: &[&AccessEntry], format: Format, states: bool) -> Table {
    let mut head = vec!["WHO", "WHAT", "RISK", "TICKET", "AGE", "NEEDS", "ID"];
    if states {
        head.insert(0, "STATE");
    }
    if format == Format::Wide {
        head.extend(["CLUSTER", "FROM", "LEFT", "IMPACT"]);
    }
    let mut table = Table::new(&head);
    for entry in entries {
        table.row(row(&[*entry], format, states));
    }
    table
}

/// A request and those of `all` that are shown in one row with it, as far as they may be answered.
fn with_it(shown: &AccessEntry, all: Vec<AccessEntry>) -> Vec<AccessEntry> {
    let entries: Vec<&AccessEntry> = all.iter().collect();
    let groups = grouped(&entries);
    let own = |group: &Vec<&AccessEntry>| group.iter().any(|entry| entry.id == shown.id);
    let others = groups.into_iter().find(own).unwrap_or_default();
    let others = others
        .into_iter()
        .filter(|e| e.id != shown.id && e.may_answer);
    std::iter::once(shown.clone())
        .chain(others.cloned())
        .collect()
}

/// Requests of one state and one run of kubectl stand together, and those of a program that names no run as far as
/// they came close together, in the order of the latest of each.
fn grouped<'a>(entries: &[&'a AccessEntry]) -> Vec<Vec<&'a AccessEntry>> {
    let mut groups: Vec<Vec<&AccessEntry>> = Vec::new();
    for entry in entries {
        let group = groups
            .iter_mut()
            .find(|group| group.iter().any(|one| one.is_asked_with(entry)));
        match group {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups
}

fn row(group: &[&AccessEntry], format: Format, states: bool) -> Vec<String> {
    let Some(entry) = group.first() else {
        return Vec::new();
    };
    let what = match group.len() {
        1 => short(&entry.what).to_owned(),
        n => format!("{} (and {} more)", short(&entry.what), n - 1),
    };
    let oldest = group.iter().map(|e| e.created).min();
    let mut cells = vec![
        entry.requester.clone(),
        what,
        group
            .iter()
            .map(|e| e.risk.clone())
            .max()
            .unwrap_or_default(),
        entry.ticket.clone().unwrap_or_default(),
        oldest.map(age).unwrap_or_default(),
        if entry.state == "waiting" {
            needs(entry)
        } else {
            String::new()
        },
        entry.id.to_string(),
    ];
    if states {
        cells.insert(0, entry.state.clone());
    }
    if format == Format::Wide {
        let impact = entry.impact.as_ref().map(|i| i.summary.clone());
        cells.extend([
            entry
                .cluster
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            entry.source.clone(),
            if entry.state == "waiting" {
                left(entry.expires)
            } else {
                String::new()
            },
            impact.unwrap_or_default(),
        ]);
    }
    cells
}

/// A kubectl command without its first word, which all have.
pub(super) fn short(what: &str) -> &str {
    what.strip_prefix("kubectl ").unwrap_or(what)
}

/// How many approvals are missing.
fn missing(entry: &AccessEntry) -> usize {
    if entry.state != "waiting" {
        return 0;
    }
    usize::from(entry.quorum.max(1)).saturating_sub(entry.approved_by.len())
}

/// `sre`, `2 of sre or lead`, `1 more of sre`.
fn needs(entry: &AccessEntry) -> String {
    let who = match entry.approvers.as_slice() {
        [] => "approval".to_owned(),
        who => who.join(" or "),
    };
    match (entry.quorum, entry.approved_by.len()) {
        (0 | 1, _) => who,
        (n, 0) => format!("{n} of {who}"),
        _ => format!("{} more of {who}", missing(entry)),
    }
}

/// All about one request, for whoever is to answer it.
pub(super) fn detail(entry: &AccessEntry) -> String {
    let digest: String = entry.digest.chars().take(16).collect();
    let state = match (entry.state.as_str(), entry.outcome.as_str()) {
        ("waiting", _) => format!("waiting, {} left", left(entry.expires)),
        (state, "") => state.to_owned(),
        (state, why) => format!("{state}: {why}"),
    };
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut rows = vec![
        ("request", entry.id.to_string()),
        ("state", state),
        ("who", format!("{}, from {}", entry.requester, entry.source)),
        ("what", entry.what.clone()),
        ("cluster", display(entry.cluster.as_ref())),
        ("ticket", optional(&entry.ticket)),
        ("reason", optional(&entry.reason)),
        ("risk", format!("{}: {}", entry.risk, entry.risk_meaning)),
        ("needs", needs(entry)),
        ("approved by", entry.approved_by.join(", ")),
        ("gives", display(entry.function.as_ref())),
        ("same command", optional(&entry.command)),
        ("asked by policy", super::list(&entry.policies)),
        ("asked", format!("{} ago", age(entry.created))),
        ("in the log", display(entry.request.as_ref())),
        ("digest", digest),
        ("link", entry.url.clone()),
    ];
    if let Some(impact) = &entry.impact {
        rows.push(("would do", impact.summary.clone()));
        rows.extend(impact.lines.iter().map(|line| ("", format!("  {line}"))));
        if impact.more > 0 {
            rows.push(("", format!("  and {} more", impact.more)));
        }
    } else if entry.kind == "request" {
        rows.push(("would do", "could not be found out".to_owned()));
    }
    block(rows)
}

fn display<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Names and values below each other; a row without a value is left out. A line break in a value is
/// made visible: nothing can look like a row of its own.
pub(super) fn block(rows: Vec<(&str, String)>) -> String {
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{name:<16}{}\n", output::escape(value)));
    }
    text
}

fn show_stats(stats: &AccessStats, format: Format) -> Outcome {
    if format.is_data() {
        return output::value(format, stats);
    }
    let time = |secs: i64| Ttl::from_secs(u32::try_from(secs).unwrap_or(0)).to_string();
    let share = |n: usize| match stats.asked {
        0 => "0".to_owned(),
        all => format!("{n} ({} %)", n * 100 / all),
    };
    output::line_by_line(&block(vec![
        ("asked", format!("{} in the last week", stats.asked)),
        ("approved", share(stats.approved)),
        ("denied", share(stats.denied)),
        ("expired", share(stats.expired)),
        ("withdrawn", share(stats.withdrawn)),
        ("waiting", stats.waiting.to_string()),
        (
            "half waited",
            format!("{} or less", time(stats.wait_p50_seconds)),
        ),
        (
            "nine in ten",
            format!("{} or less", time(stats.wait_p90_seconds)),
        ),
    ]))
}

#[cfg(test)]
pub(super) mod tests;
