//! What policies are asked about access requests.

use std::net::IpAddr;

use kubestile_core::approval::{About, AccessRequest, Subject};
use kubestile_core::grant::Terms;
use kubestile_core::session::Session;
use kubestile_core::{ClusterName, Denial, Identity, RiskClass, Ttl};
use kubestile_policy::{Asking, Outcome};

use crate::caller::Caller;
use crate::state::App;

/// What is asked for with a grant, place by place: each must be permitted.
pub(crate) fn abouts_of_terms(
    kind: &'static str,
    cluster: &ClusterName,
    terms: &Terms,
    (ticket, reason): (bool, bool),
    requester: &str,
) -> Vec<About> {
    let about = |namespace| About {
        kind,
        cluster: cluster.clone(),
        namespace,
        role: terms.role.clone(),
        action: String::new(),
        group: String::new(),
        resource: String::new(),
        risk: risk(terms),
        duration: terms.duration,
        ticket,
        reason,
        policies: Vec::new(),
        requester: requester.to_owned(),
    };
    if terms.namespaces.is_empty() {
        return vec![about(None)];
    }
    let namespaces = terms.namespaces.iter().cloned();
    namespaces.map(|namespace| about(Some(namespace))).collect()
}

/// How dangerous a job function can become: reading, changing in a namespace, or controlling it; one more
/// for a whole cluster.
pub(crate) fn risk(terms: &Terms) -> RiskClass {
    let wide = terms.namespaces.is_empty();
    match (terms.role.as_str(), wide) {
        ("viewer", _) => RiskClass::R1,
        ("operator", false) => RiskClass::R3,
        (_, false) | ("operator", true) => RiskClass::R4,
        (_, true) => RiskClass::R5,
    }
}

/// What an access request is about.
pub(crate) fn abouts(request: &AccessRequest) -> Vec<About> {
    let facts = (request.ticket.is_some(), request.reason.is_some());
    match &request.subject {
        Subject::Grant(terms) => match &terms.cluster {
            Some(cluster) => {
                let requester = &request.requester.name;
                abouts_of_terms("grant", cluster, terms, facts, requester)
            }
            // A grant always names its cluster; without one nothing is permitted.
            None => Vec::new(),
        },
        Subject::Request(held) => vec![About {
            kind: "request",
            cluster: held.sort.cluster.clone(),
            namespace: held.sort.namespace.parse().ok(),
            role: held
                .function
                .as_ref()
                .map_or_else(String::new, |f| f.role().to_owned()),
            action: held.sort.action.clone(),
            group: held.sort.group.clone(),
            resource: held.sort.resource.clone(),
            risk: request.risk,
            duration: Ttl::from_secs(0),
            ticket: request.ticket.is_some(),
            reason: request.reason.is_some(),
            policies: request.policies.clone(),
            requester: request.requester.name.clone(),
        }],
    }
}

/// Whoever asks or answers.
pub(crate) struct Answering<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) session: &'a Session,
    pub(crate) from: IpAddr,
}

impl<'a> From<&'a Caller> for Answering<'a> {
    fn from(caller: &'a Caller) -> Self {
        Self {
            identity: caller.who.identity(),
            session: caller.session.session(),
            from: caller.from,
        }
    }
}

/// Whether policies permit the caller to answer a request of somebody else's.
pub(crate) fn may_answer(app: &App, caller: &Caller, request: &AccessRequest) -> bool {
    request.requester.id != caller.who.identity().id
        && may_answer_all(app, caller, &abouts(request))
}

/// Whether policies permit the caller to answer somebody's asking for `terms`.
pub(crate) fn may_answer_terms(app: &App, caller: &Caller, terms: &Terms, who: &str) -> bool {
    let Some(cluster) = &terms.cluster else {
        return false;
    };
    let abouts = abouts_of_terms("grant", cluster, terms, (false, true), who);
    may_answer_all(app, caller, &abouts)
}

fn may_answer_all(app: &App, caller: &Caller, abouts: &[About]) -> bool {
    let policies = (app.policies)();
    let who = Answering::from(caller);
    let outcomes = abouts
        .iter()
        .map(|about| policies.may_answer(&asking(app, &who, about, 0)));
    matches!(worst(outcomes), Outcome::Allow(_))
}

/// What policies say to somebody's asking, the strictest of all places.
pub(crate) fn may_ask(app: &App, who: &Answering<'_>, abouts: &[About], approvals: u8) -> Outcome {
    let policies = (app.policies)();
    let outcomes = abouts
        .iter()
        .map(|about| policies.may_ask(&asking(app, who, about, approvals)));
    worst(outcomes)
}

/// The strictest of several answers; nothing asked is nothing permitted.
fn worst(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let strictness = |outcome: &Outcome| match outcome {
        Outcome::Allow(_) => 0,
        Outcome::Hold(hold) => 1 + hold.obligations.len() + usize::from(hold.approvals),
        Outcome::Deny(_) => usize::MAX,
    };
    let nothing = || {
        Outcome::Deny(Denial {
            policies: Vec::new(),
            remedy: None,
        })
    };
    outcomes.max_by_key(strictness).unwrap_or_else(nothing)
}

fn asking<'a>(app: &App, who: &Answering<'a>, about: &'a About, approvals: u8) -> Asking<'a> {
    let now = app.now();
    Asking {
        identity: who.identity,
        session_age_s: now.since(who.session.created).as_secs(),
        assurance: who.session.assurance,
        now,
        source: who.from,
        about,
        approvals,
    }
}
