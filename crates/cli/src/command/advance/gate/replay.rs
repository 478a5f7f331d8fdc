//! Requests of the gate's log, judged again by a new policy. A forbid can only take away: what the gate allowed is
//! permitted as a whole, and the new policy alone says what it would have held or refused of it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use kubestile_assess::plan::Replay;
use kubestile_core::context::Approved;
use kubestile_core::event::{Decided, Event, Kube, Record};
use kubestile_core::grant::{Origin, Terms};
use kubestile_core::request_info::RequestInfo;
use kubestile_core::{
    Absence, Action, ClusterName, Context, Grant, Identity, Known, Timestamp, Ttl,
};
use kubestile_policy::{Outcome, PolicySet, Question, Source};
use kubestile_store::audit::read;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Records that are looked at, at most: the latest.
const RECORDS: u64 = 200_000;
/// Requests that are judged again, at most: the latest.
const REQUESTS: usize = 20_000;
/// Sessions and grants of which a fact is kept, at most.
const KEPT: usize = 100_000;
/// Lines of what would have been held or refused.
const LINES: usize = 10;
/// What the gate allowed is permitted.
const ALLOWED: &str =
    r#"@id("it-was-allowed") @reason("the gate allowed it") permit(principal, action, resource);"#;

/// A request that the gate allowed.
#[derive(Debug)]
pub(super) struct Asked {
    decided: Box<Decided>,
    at: Timestamp,
    /// How old its session was, in seconds.
    age: i64,
    /// A grant that covered it is for a ticket.
    ticket: bool,
}

/// The latest requests for the cluster that were allowed; none if a record cannot be read.
pub(super) fn read(dir: &Path, size: u64, cluster: &ClusterName) -> Option<Vec<Asked>> {
    let mut seen = Seen::default();
    for entry in read::Entries::open(dir, size.saturating_sub(RECORDS)).ok()? {
        let (_, bytes) = entry.ok()?;
        seen.take(Record::from_bytes(&bytes).ok()?, cluster);
    }
    Some(seen.asked.into())
}

/// The same of records at hand.
#[cfg(test)]
pub(super) fn of(records: impl Iterator<Item = Record>, cluster: &ClusterName) -> Vec<Asked> {
    let mut seen = Seen::default();
    records.for_each(|record| seen.take(record, cluster));
    seen.asked.into()
}

#[derive(Default)]
struct Seen {
    asked: VecDeque<Asked>,
    /// When each session began, or was first seen.
    began: HashMap<String, Timestamp>,
    /// Grants that are for a ticket.
    tickets: HashMap<String, ()>,
}

impl Seen {
    fn take(&mut self, record: Record, cluster: &ClusterName) {
        let Some(at) = moment(&record.time) else {
            return;
        };
        match record.event {
            Event::Session {
                session, change, ..
            } if change == "started" && self.began.len() < KEPT => {
                self.began.insert(session.to_string(), at);
            }
            Event::Grant(granted) if granted.ticket.is_some() && self.tickets.len() < KEPT => {
                self.tickets.insert(granted.grant.to_string(), ());
            }
            Event::Decision(decided)
                if decided.decision == "allow"
                    && decided.looked_up_for.is_none()
                    && decided.kube.cluster == *cluster =>
            {
                let session = decided.actor.session.to_string();
                let began = *self.began.entry(session).or_insert(at);
                let mut grants = decided.grants.iter();
                let ticket = grants.any(|g| self.tickets.contains_key(&g.to_string()));
                if self.asked.len() >= REQUESTS {
                    self.asked.pop_front();
                }
                self.asked.push_back(Asked {
                    decided,
                    at,
                    age: at.since(began).as_secs(),
                    ticket,
                });
            }
            _ => {}
        }
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_secs(at.unix_timestamp()))
}

/// What the policy alone would have made of them; none if it cannot be loaded alone.
pub(super) fn judge(
    asked: &[Asked],
    cluster: &ClusterName,
    name: &str,
    text: &str,
) -> Option<Replay> {
    let sources = [
        Source::new("allowed.cedar", ALLOWED),
        Source::new(name, text),
    ];
    let set = PolicySet::load(&sources).ok()?;
    let mut replay = Replay::default();
    let mut lost: BTreeMap<(&'static str, String), u64> = BTreeMap::new();
    for one in asked {
        let Some(outcome) = one.judged(&set, cluster) else {
            continue;
        };
        replay.requests += 1;
        let became = match outcome {
            Outcome::Allow(_) => continue,
            Outcome::Hold(_) => {
                replay.held += 1;
                "held"
            }
            Outcome::Deny(_) => {
                replay.denied += 1;
                "refused"
            }
        };
        let decided = &one.decided;
        let what = format!("{}: {}", decided.actor.name, decided.kubectl);
        *lost.entry((became, what)).or_default() += 1;
    }
    let mut lines: Vec<_> = lost.into_iter().collect();
    lines.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let more = lines.len().saturating_sub(LINES);
    replay.lines = lines
        .into_iter()
        .take(LINES)
        .map(|((became, what), n)| format!("{became} {n} times: {what}"))
        .collect();
    if more > 0 {
        replay.lines.push(format!("and {more} more"));
    }
    Some(replay)
}

impl Asked {
    /// What the set says of it; none if it cannot be made again from the log.
    fn judged(&self, set: &PolicySet, cluster: &ClusterName) -> Option<Outcome> {
        let decided = &self.decided;
        let actor = &decided.actor;
        let action = Action::new(cluster.clone(), info(&decided.kube)?, None);
        let identity = Identity {
            name: actor.name.clone(),
            id: actor.id,
            kind: actor.kind,
            groups: Vec::new(),
            functions: Vec::new(),
        };
        let approval = match decided.approval {
            Some(access) => Known::Present(Approved {
                access,
                count: 1,
                function: None,
            }),
            None => Known::Absent(Absence::NotNeeded),
        };
        let context = Context {
            now: self.at,
            source: actor.source.parse().ok().unwrap_or(IpAddr::from([0; 4])),
            invocation: Known::Absent(Absence::NotSent),
            approval,
            grants: self.grants().into_iter().collect(),
        };
        Some(set.evaluate(&Question {
            identity: &identity,
            session_age_s: self.age,
            assurance: actor.assurance,
            action: &action,
            context: &context,
        }))
    }

    /// A grant that covered it, as far as a policy sees it.
    fn grants(&self) -> Option<Arc<Grant>> {
        let actor = &self.decided.actor;
        Some(Arc::new(Grant {
            id: *self.decided.grants.first()?,
            holder: actor.id,
            holder_name: actor.name.clone(),
            session: None,
            terms: Terms {
                role: "granted".to_owned(),
                cluster: None,
                namespaces: Vec::new(),
                objects: Vec::new(),
                duration: Ttl::from_secs(3600),
            },
            origin: Origin::Request,
            reason: String::new(),
            ticket: self.ticket.then(|| "in the log".to_owned()),
            approvers: Vec::new(),
            access: None,
            starts: self.at,
            expires: self.at.plus(Ttl::from_secs(3600)),
            ended: None,
            reviewed: None,
        }))
    }
}

/// The request as it was sent, as far as the log has it.
fn info(kube: &Kube) -> Option<RequestInfo> {
    let mut path = String::new();
    let mut query = Vec::new();
    if kube.resource.is_empty() {
        path.push_str(&kube.path);
    } else {
        match kube.group.is_empty() {
            true => path.push_str(&format!("/api/{}", word(&kube.version))),
            false => path.push_str(&format!(
                "/apis/{}/{}",
                word(&kube.group),
                word(&kube.version)
            )),
        }
        let named = !kube.namespace.is_empty() && kube.resource != "namespaces";
        if named {
            path.push_str(&format!("/namespaces/{}", word(&kube.namespace)));
        }
        for part in [&kube.resource, &kube.name, &kube.subresource] {
            if !part.is_empty() {
                path.push_str(&format!("/{}", word(part)));
            }
        }
        for (key, value) in [
            ("fieldSelector", &kube.field_selector),
            ("labelSelector", &kube.label_selector),
            ("container", &kube.container),
        ] {
            if !value.is_empty() {
                query.push(format!("{key}={}", word(value)));
            }
        }
        query.extend(kube.command.iter().map(|w| format!("command={}", word(w))));
        if kube.verb == "watch" {
            query.push("watch=true".to_owned());
        }
        if kube.dry_run {
            query.push("dryRun=All".to_owned());
        }
    }
    let query = query.join("&");
    let info = RequestInfo::parse(&kube.method, &path, Some(&query)).ok()?;
    (info.verb.as_str() == kube.verb).then_some(info)
}

/// One part of a URL.
fn word(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
