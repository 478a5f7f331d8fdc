//! What somebody holds, where, and through what; who can do something; which rules do nothing.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::covers::ScopedRules;
use crate::evaluate::{Attributes, Grant, User, grants};
use crate::model::{Identity, MASTERS, Rule};
use crate::policy::{BindingId, Policy, RoleId, Scope};

mod dead;

pub use dead::{Dead, Why, dead};

/// One rule that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<'p> {
    /// Where it holds.
    pub scope: Scope,
    /// Through what.
    pub grant: Grant,
    /// What it allows.
    pub rule: &'p Rule,
}

/// Every rule that a user holds, in every scope, in the order of bindings and rules. `system:masters`
/// holds what no rule says; see [`Answer::bypass`](crate::evaluate::Answer::bypass).
pub fn held<'p>(policy: &'p Policy, user: &User) -> impl Iterator<Item = Held<'p>> {
    policy
        .bindings_of(user)
        .into_iter()
        .filter_map(|id| held_by_binding(policy, id))
        .flatten()
}

fn held_by_binding(policy: &Policy, id: BindingId) -> Option<impl Iterator<Item = Held<'_>>> {
    let binding = policy.binding(id)?;
    let role = binding.role?;
    let rules = &policy.role(role)?.rules;
    Some((0..).zip(rules).map(move |(position, rule)| Held {
        scope: binding.scope(),
        grant: Grant {
            binding: id,
            role,
            rule: position,
        },
        rule,
    }))
}

/// Every rule that a user holds, by scope, without where it comes from: what [`crate::covers`] takes.
#[must_use]
pub fn rules(policy: &Policy, user: &User) -> ScopedRules {
    let mut found = ScopedRules::new();
    for held in held(policy, user) {
        found.entry(held.scope).or_default().push(held.rule.clone());
    }
    found
}

/// Who can do something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WhoCan {
    /// Everybody whom a binding gives it, with every rule that does. A group stands for its members.
    pub holders: BTreeMap<Identity, Vec<Grant>>,
}

/// Everybody who can do something. Beside them, the members of `system:masters` always can, which no
/// binding shows: the holders always have that group, without grants.
#[must_use]
pub fn who_can(policy: &Policy, attributes: &Attributes) -> WhoCan {
    let mut found = WhoCan::default();
    found.holders.insert(Identity::group(MASTERS), Vec::new());
    let wanted = attributes.scope();
    let mut matching: HashMap<RoleId, bool> = HashMap::new();
    for (id, binding) in policy.bindings() {
        let Some(role) = binding.role else { continue };
        if !binding.scope().includes(&wanted) {
            continue;
        }
        let matches = *matching
            .entry(role)
            .or_insert_with(|| grants(policy, id, role, attributes).next().is_some());
        if !matches {
            continue;
        }
        let through: Vec<Grant> = grants(policy, id, role, attributes).collect();
        for identity in binding.identities() {
            let of = found.holders.entry(identity).or_default();
            if of.last() != through.last() {
                of.extend(&through);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
