//! Telling people: who waits for an approval, what became of it, which grants start and end. Delivery is a
//! channel's own business; nothing here waits for it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kubestile_core::approval::{AccessRequest, Sort, State, Subject};
use kubestile_core::grant::{Origin, Terms};
use kubestile_core::{AccessId, Grant, SessionId, Timestamp, Ttl};
use kubestile_outbound::notify::{Kind, Message};

use crate::state::App;

/// How long the rest of a command may take to arrive and be told in the same message.
const TOGETHER: Duration = Duration::from_millis(300);
/// How soon somebody looks back at what nobody approved beforehand.
const REVIEW: Ttl = Ttl::from_secs(24 * 3600);

/// What one message is about: a whole command, as far as it is of one sort, or one access request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Topic {
    /// The session, what kubectl calls its run, and the sort of request: what a client calls its run must
    /// not let something else pass in silence.
    Command(SessionId, String, String),
    One(AccessId),
}

/// Tells of access requests whenever they change, for ever. What is there at the start has been told of.
pub(crate) async fn spread(app: &App) {
    let mut told = HashSet::new();
    let mut asked = app.store.asked();
    asked.mark_unchanged();
    drop(untold(&mut told, &app.store.requests(), app.now()));
    while asked.changed().await.is_ok() {
        tokio::time::sleep(TOGETHER).await;
        asked.mark_unchanged();
        for (kind, group) in untold(&mut told, &app.store.requests(), app.now()) {
            if let Some(message) = message(app, kind, &group) {
                app.outside.notifier.send(&message);
            }
        }
    }
}

/// What nobody was told of yet, by topic and state; from now on it counts as told.
fn untold(
    told: &mut HashSet<(Topic, Kind)>,
    requests: &[Arc<AccessRequest>],
    now: Timestamp,
) -> Vec<(Kind, Vec<Arc<AccessRequest>>)> {
    let mut groups: BTreeMap<(Topic, Kind), Vec<Arc<AccessRequest>>> = BTreeMap::new();
    let mut topics = HashSet::new();
    // The oldest first: a message names the first of its group.
    for request in requests.iter().rev() {
        let topic = topic(request);
        topics.insert(topic.clone());
        if let Some(kind) = kind(request, now) {
            groups
                .entry((topic, kind))
                .or_default()
                .push(request.clone());
        }
    }
    // Of what the store has forgotten, nothing needs to be remembered.
    told.retain(|(topic, _)| topics.contains(topic));
    let groups = groups.into_iter();
    groups
        .filter(|(what, _)| told.insert(what.clone()))
        .map(|((_, kind), group)| (kind, group))
        .collect()
}

fn topic(request: &AccessRequest) -> Topic {
    let held = request.held();
    match held.and_then(|held| held.invocation.clone()) {
        Some(run) => {
            let sort = held.map(|held| sort(&held.sort)).unwrap_or_default();
            Topic::Command(request.requester.session, run, sort)
        }
        None => Topic::One(request.id),
    }
}

fn sort(sort: &Sort) -> String {
    format!("{} on {}", sort.words(), sort.cluster)
}

fn kind(request: &AccessRequest, now: Timestamp) -> Option<Kind> {
    match request.state_at(now) {
        State::Waiting => Some(Kind::Waiting),
        State::Approved { .. } => Some(Kind::Approved),
        State::Denied { .. } => Some(Kind::Denied),
        State::Expired => Some(Kind::Expired),
        // Whoever took it back knows.
        State::Withdrawn { .. } => None,
    }
}

fn message(app: &App, kind: Kind, group: &[Arc<AccessRequest>]) -> Option<Message> {
    let first = group.first()?;
    let (mut what, place) = match &first.subject {
        Subject::Request(held) => (held.kubectl.clone(), sort_place(&held.sort)),
        Subject::Grant(terms) => (
            format!("{} for {}", terms.role, terms.duration),
            place(terms),
        ),
    };
    if let more @ 1.. = group.len() - 1 {
        what.push_str(&format!(" (and {more} more of this command)"));
    }
    let impact = first.held().and_then(|held| held.impact.as_ref());
    let mut risk = format!("{} ({})", first.risk.as_str(), first.risk.meaning());
    if let Some(impact) = impact {
        risk.push_str(&format!(": {}", impact.summary));
    }
    let outcome = match &first.state {
        State::Denied { by, reason, .. } => Some(format!("denied by {by}: {reason}")),
        State::Approved { .. } => {
            let by: Vec<&str> = first.approvals.iter().map(|a| a.by.name.as_str()).collect();
            Some(format!("approved by {}", by.join(" and ")))
        }
        _ => None,
    };
    Some(Message {
        id: format!("{}-{}", first.id, kind.word()),
        kind,
        who: first.requester.name.clone(),
        what,
        place,
        why: why(first.reason.as_deref(), first.ticket.as_deref(), outcome),
        risk: Some(risk),
        link: Some(link(app, first.id)),
    })
}

/// Tells that a grant started; when it was taken in an emergency, tells everybody.
pub(crate) fn grant_started(app: &App, grant: &Grant) {
    let kind = match grant.origin {
        Origin::BreakGlass => Kind::BreakGlass,
        Origin::Request | Origin::Pipeline => Kind::GrantStarted,
    };
    app.outside.notifier.send(&of_grant(app, kind, grant, None));
}

/// Tells that a grant ended; where somebody must look back at it, asks for that.
pub(crate) fn grant_ended(app: &App, grant: &Grant) {
    let outcome = grant.ended.as_ref().map(|end| end.why.to_string());
    let message = of_grant(app, Kind::GrantEnded, grant, outcome);
    app.outside.notifier.send(&message);
    if grant.needs_review() {
        let within = Some("somebody else reviews it within 24 hours".to_owned());
        let message = of_grant(app, Kind::ReviewDue, grant, within);
        app.outside.notifier.send(&message);
    }
}

/// Reminds of the reviews whose time ran out after `since`.
pub(crate) fn late_reviews(app: &App, since: Timestamp) {
    let now = app.now();
    for grant in app.store.grants().iter().filter(|g| g.needs_review()) {
        let due = grant.starts.plus(REVIEW);
        if since < due && due <= now {
            let late = Some("nobody has reviewed it within 24 hours".to_owned());
            let mut message = of_grant(app, Kind::ReviewDue, grant, late);
            // Another message than the first, for whoever takes each id once.
            message.id.push_str("-late");
            app.outside.notifier.send(&message);
        }
    }
}

fn of_grant(app: &App, kind: Kind, grant: &Grant, outcome: Option<String>) -> Message {
    let risk = crate::access::risk(&grant.terms);
    Message {
        id: format!("{}-{}", grant.id, kind.word()),
        kind,
        who: grant.holder_name.clone(),
        what: format!("{} until {}", grant.terms.role, grant.expires),
        place: place(&grant.terms),
        why: why(Some(&grant.reason), grant.ticket.as_deref(), outcome),
        risk: Some(format!("{} ({})", risk.as_str(), risk.meaning())),
        link: grant.access.map(|id| link(app, id)),
    }
}

fn why(reason: Option<&str>, ticket: Option<&str>, outcome: Option<String>) -> Option<String> {
    let ticket = ticket.map(|ticket| format!("ticket {ticket}"));
    let reason = reason.filter(|r| !r.is_empty()).map(str::to_owned);
    let parts: Vec<String> = [outcome, reason, ticket].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn place(terms: &Terms) -> String {
    let cluster = match &terms.cluster {
        Some(cluster) => cluster.to_string(),
        None => "every cluster".to_owned(),
    };
    let namespaces: Vec<&str> = terms.namespaces.iter().map(|n| n.as_str()).collect();
    match namespaces.as_slice() {
        [] => cluster,
        names => format!("{cluster}, {}", names.join(", ")),
    }
}

fn sort_place(sort: &Sort) -> String {
    match sort.namespace.as_str() {
        "" => sort.cluster.to_string(),
        namespace => format!("{}, {namespace}", sort.cluster),
    }
}

fn link(app: &App, id: AccessId) -> String {
    let base = app.settings.public_url.trim_end_matches('/');
    format!("{base}/r/{id}")
}
