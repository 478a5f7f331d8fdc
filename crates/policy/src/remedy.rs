//! What to do when no policy permits: which job function would, found by asking again.

use std::collections::{BTreeSet, HashMap};

use kubestile_core::ActionKind;

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

/// A sentence that names the least job function that would permit the request, if one would.
pub(crate) fn find(set: &PolicySet, question: &Question<'_>) -> Option<String> {
    let own = roles(question);
    let namespace = question.action.namespace();
    let candidates = set.candidates.by_action.get(&question.action.kind)?;
    for role in candidates
        .iter()
        .filter(|role| !own.contains(&role.as_str()))
    {
        let mut with = own.clone();
        with.extend(set.vocabulary.roles().filter(|other| includes(role, other)));
        with.sort_unstable();
        with.dedup();
        let needs = match conclude(set.findings(question, &with)) {
            Outcome::Allow(_) => "",
            Outcome::Hold(_) => "; the request then needs an approval or the like too",
            Outcome::Deny(_) => continue,
        };
        return Some(if namespace.is_empty() {
            format!("ask for the job function `{role}` in the whole cluster{needs}")
        } else {
            format!("ask for the job function `{role}` in namespace `{namespace}`{needs}")
        });
    }
    None
}
