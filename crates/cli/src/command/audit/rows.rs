//! Records as rows for people.

use kubestile_core::Ttl;
use kubestile_core::event::{Completion, Event, Record};
use kubestile_store::audit::search::{Found, Outcome as Became};
use serde::Serialize;

use crate::output::Table;

/// A found record, as `-o json` and `-o yaml` show it.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    index: u64,
    record: &'a Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<&'a Completion>,
}

impl<'a> From<&'a Found> for Row<'a> {
    fn from(found: &'a Found) -> Self {
        let completion = match &found.outcome {
            Became::Completed { completion, .. } => Some(completion),
            Became::NotForwarded | Became::Open | Became::FarAway => None,
        };
        Self {
            index: found.index,
            record: &found.record,
            completion,
        }
    }
}

/// The columns.
pub(super) fn table(wide: bool) -> Table {
    let mut head = vec!["TIME", "PERSON", "CLUSTER", "DECISION", "RESULT", "WHAT"];
    if wide {
        head = vec![
            "INDEX", "TIME", "PERSON", "SOURCE", "CLUSTER", "DECISION", "BY", "RESULT", "REQUEST",
            "WHAT",
        ];
    }
    Table::new(&head)
}

/// One record as cells of [`table`].
pub(super) fn cells(found: &Found, wide: bool) -> Vec<String> {
    let row = describe(&found.record.event, &found.outcome, wide);
    let time = seconds(time(&found.record));
    if !wide {
        return vec![
            time,
            row.person,
            row.cluster,
            row.decision,
            row.result,
            row.what,
        ];
    }
    vec![
        found.index.to_string(),
        time,
        row.person,
        row.source,
        row.cluster,
        row.decision,
        row.by,
        row.result,
        row.request,
        row.what,
    ]
}

#[derive(Default)]
struct Described {
    person: String,
    source: String,
    cluster: String,
    decision: String,
    by: String,
    result: String,
    request: String,
    what: String,
}

fn describe(event: &Event, became: &Became, wide: bool) -> Described {
    match event {
        Event::Decision(decided) => {
            let by = decided
                .policies
                .iter()
                .map(|p| p.as_str())
                .collect::<Vec<_>>()
                .join(",");
            let result = match decided.decision.as_str() {
                "allow" => result(became),
                // Why not is what the reader looks for.
                _ if !wide && !by.is_empty() => by.clone(),
                _ if !wide => "no policy permits it".to_owned(),
                _ => String::new(),
            };
            Described {
                person: decided.actor.name.clone(),
                source: decided.actor.source.clone(),
                cluster: decided.kube.cluster.to_string(),
                decision: decided.decision.clone(),
                by,
                result,
                request: decided.request.to_string(),
                // Nobody typed it: the gate looked what a request would do, with the requester's rights.
                what: match decided.looked_up_for {
                    Some(access) => format!("look-up for request {access}: {}", decided.kubectl),
                    None => decided.kubectl.clone(),
                },
            }
        }
        Event::Refusal {
            request,
            source,
            actor,
            status,
            reason,
        } => Described {
            person: actor.as_ref().map(|a| a.name.clone()).unwrap_or_default(),
            source: source.clone(),
            decision: "refused".to_owned(),
            result: status.to_string(),
            request: request.to_string(),
            what: reason.clone(),
            ..Described::default()
        },
        Event::Session {
            change,
            session,
            person,
            detail,
            ..
        } => Described {
            person: person.clone(),
            what: format!("session {change}, {detail} ({session})"),
            ..Described::default()
        },
        Event::Access(accessed) => Described {
            person: accessed.by.clone(),
            cluster: accessed
                .cluster
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            decision: accessed.change.clone(),
            result: accessed.detail.clone(),
            request: accessed.request.map_or_else(String::new, |r| r.to_string()),
            what: format!(
                "request {} of {}: {}",
                accessed.access, accessed.requester, accessed.what
            ),
            ..Described::default()
        },
        Event::Grant(granted) => Described {
            person: granted.by.clone(),
            cluster: granted
                .cluster
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            decision: granted.change.clone(),
            result: granted.detail.clone(),
            what: format!(
                "grant {} of {}: {}",
                granted.grant, granted.holder, granted.what
            ),
            ..Described::default()
        },
        Event::Gap(gap) => Described {
            person: gap.by.clone(),
            cluster: gap.cluster.to_string(),
            result: format!("{} records", gap.records),
            what: format!(
                "gap {} ({} to {}): {} (import {})",
                gap.change, gap.from, gap.until, gap.reason, gap.import
            ),
            ..Described::default()
        },
        Event::Imported(imported) => Described {
            person: imported.user.clone(),
            source: imported.source.clone(),
            cluster: imported.kube.cluster.to_string(),
            decision: "imported".to_owned(),
            by: imported.import.to_string(),
            result: format!("imported {}", imported.status),
            request: imported.audit_id.clone(),
            what: imported.kubectl.clone(),
        },
        Event::Change {
            by,
            what,
            name,
            detail,
        } => Described {
            person: by.clone(),
            what: match detail.as_str() {
                "" => format!("{what}: {name}"),
                detail => format!("{what}: {name} ({detail})"),
            },
            ..Described::default()
        },
        Event::Completion(completion) => Described {
            request: completion.request.to_string(),
            result: ended(completion),
            what: "ended".to_owned(),
            ..Described::default()
        },
    }
}

fn result(became: &Became) -> String {
    match became {
        Became::Completed { completion, .. } => ended(completion),
        Became::Open => "open".to_owned(),
        Became::FarAway | Became::NotForwarded => String::new(),
    }
}

/// `200`, or with what was special: `101 3m12s`, `0 upstream-failed`.
fn ended(completion: &Completion) -> String {
    let mut text = completion.status.to_string();
    let secs = completion.duration_micros / 1_000_000;
    if secs >= 2 {
        let ttl = Ttl::from_secs(u32::try_from(secs).unwrap_or(u32::MAX));
        text.push_str(&format!(" {ttl}"));
    }
    if !matches!(completion.end.as_str(), "complete" | "client-closed") {
        text.push_str(&format!(" {}", completion.end));
    }
    text
}

/// When what a record tells of happened.
fn time(record: &Record) -> &str {
    match &record.event {
        Event::Imported(imported) => &imported.at,
        _ => &record.time,
    }
}

/// A record's time to the second.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((secs, _)) => format!("{secs}Z"),
        None => time.to_owned(),
    }
}

/// One record as a sentence.
pub(super) fn sentence(record: &Record) -> String {
    let row = describe(&record.event, &Became::NotForwarded, true);
    let words = [
        seconds(time(record)),
        row.person,
        row.decision,
        if row.by.is_empty() {
            String::new()
        } else {
            format!("by {}", row.by)
        },
        if row.cluster.is_empty() {
            String::new()
        } else {
            format!("on {}", row.cluster)
        },
        row.what,
    ];
    words
        .into_iter()
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join("  ")
}
