//! What to do when no policy permits: which job function would, found by asking again.

use std::collections::{BTreeSet, HashMap};

use kubestile_core::approval::About;
use kubestile_core::{ActionKind, Denial, Hold, Obligation, RiskClass};

use crate::ask::Asking;
use crate::decide::{Outcome, Question, conclude};
use crate::entities::{includes, roles};
use crate::load::{Effect, Loaded, PolicySet};

/// Job functions that are tried for one refusal, at most: refusals must stay cheap.
const MAX_TRIES: usize = 16;

/// The roles that some permit for an action names, those that permit least first.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    by_action: HashMap<ActionKind, Vec<String>>,
}

impl Candidates {
    pub(crate) fn new(policies: &[Loaded]) -> Self {
        let permits = || {
            policies
                .iter()
                .filter(|p| p.summary.effect == Effect::Permit)
        };
        let mut direct: HashMap<String, usize> = HashMap::new();
        let mut named: HashMap<ActionKind, BTreeSet<String>> = HashMap::new();
        for policy in permits() {
            for role in job_functions(policy) {
                *direct.entry(role.clone()).or_default() += policy.scope.actions.len();
                for action in &policy.scope.actions {
                    named.entry(*action).or_default().insert(role.clone());
                }
            }
        }
        let reach = |role: &str| -> usize {
            let included = direct.iter().filter(|(other, _)| includes(role, other));
            included.map(|(_, permits)| permits).sum()
        };
        let order = |names: BTreeSet<String>| {
            // Whoever includes a role that permits it may do it too.
            let mut all: Vec<(usize, String)> = direct
                .keys()
                .filter(|role| names.iter().any(|name| includes(role, name)))
                .map(|role| (reach(role), role.clone()))
                .collect();
            all.sort_unstable();
            all.truncate(MAX_TRIES);
            all.into_iter().map(|(_, role)| role).collect()
        };
        Self {
            by_action: named
                .into_iter()
                .map(|(action, names)| (action, order(names)))
                .collect(),
        }
    }
}

/// The job functions that a policy names anywhere.
fn job_functions(policy: &Loaded) -> Vec<String> {
    let uids = policy.literals.iter();
    uids.filter(|uid| uid.type_name().basename() == "JobFunction")
        .map(|uid| uid.id().unescaped().to_owned())
        .collect()
}

/// A job function that would permit a request.
pub(crate) struct Found {
    role: String,
    /// What the request would need beside it.
    hold: Option<Hold>,
}

/// The least job function that would permit the request, if one would.
pub(crate) fn find(set: &PolicySet, question: &Question<'_>) -> Option<Found> {
    let own = roles(question);
    let candidates = set.candidates.by_action.get(&question.action.kind)?;
    for role in candidates
        .iter()
        .filter(|role| !own.contains(&role.as_str()))
    {
        let mut with = own.clone();
        with.extend(set.vocabulary.roles().filter(|other| includes(role, other)));
        with.sort_unstable();
        with.dedup();
        let hold = match conclude(set.findings(question, &with)) {
            Outcome::Allow(_) => None,
            Outcome::Hold(hold) => Some(hold),
            Outcome::Deny(_) => continue,
        };
        return Some(Found {
            role: role.clone(),
            hold,
        });
    }
    None
}

impl Found {
    /// A change that somebody may ask the job function for waits until it is approved, for itself alone.
    /// Whoever only reads is told what to ask for: programs read all day, and nobody answers them.
    pub(crate) fn conclude(self, set: &PolicySet, question: &Question<'_>) -> Outcome {
        let waits = question.risk() >= RiskClass::R2 && question.action.impersonates.is_none();
        match waits.then(|| self.asked(set, question)).flatten() {
            Some(hold) => Outcome::Hold(hold),
            None => Outcome::Deny(Denial {
                policies: Vec::new(),
                remedy: Some(self.sentence(question.action.namespace())),
            }),
        }
    }

    /// The hold, if the person may ask for the job function where the request goes.
    fn asked(&self, set: &PolicySet, question: &Question<'_>) -> Option<Hold> {
        let about = About::of_action(question.action, &self.role, &question.identity.name);
        let outcome = set.may_ask(&Asking {
            identity: question.identity,
            session_age_s: question.session_age_s,
            assurance: question.assurance,
            now: question.context.now,
            source: question.context.source,
            about: &about,
            approvals: 1,
        });
        let (mut policies, asks) = match outcome {
            Outcome::Allow(policies) => (policies, None),
            Outcome::Hold(hold) => (hold.policies, Some((hold.obligations, hold.approvals))),
            Outcome::Deny(_) => return None,
        };
        let mut obligations = vec![Obligation::Approval];
        let mut approvals = 1;
        let needs = self
            .hold
            .iter()
            .map(|h| (h.obligations.clone(), h.approvals));
        for (more, count) in needs.chain(asks) {
            obligations.extend(more);
            approvals = approvals.max(count);
        }
        obligations.sort_unstable();
        obligations.dedup();
        policies.extend(self.hold.iter().flat_map(|h| h.policies.clone()));
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        Some(Hold {
            policies,
            obligations,
            approvals,
            function: Some(about.function()?),
        })
    }

    fn sentence(&self, namespace: &str) -> String {
        let role = &self.role;
        let needs = match self.hold {
            None => "",
            Some(_) => "; the request then needs an approval or the like too",
        };
        if namespace.is_empty() {
            format!("ask for the job function `{role}` in the whole cluster{needs}")
        } else {
            format!(
                "ask for the job function `{role}` in namespace `{namespace}` with `kubestile \
                 request --role {role} -n {namespace}`{needs}"
            )
        }
    }
}
