//! The rules of aggregated ClusterRoles, for manifests that no controller has seen.
//!
//! In a live cluster a controller overwrites the rules of every ClusterRole that has an
//! `aggregationRule`. Manifests have `rules: null` there, and an evaluation of them as they are would
//! miss most of what `admin`, `edit` and `view` give. Never do this to what a live cluster returned: its
//! rules are what its authorizer sees.

use std::collections::HashSet;

use crate::model::{ClusterRole, Rule};

/// Fills in the rules of all aggregated roles, as the controller would once it comes to rest.
///
/// Roles may aggregate aggregated roles, also in circles: what they get is the least set of rules that
/// the controller would leave alone. Rules that an aggregated role has itself are overwritten.
pub fn aggregate(roles: &mut [ClusterRole]) {
    let sources = sources(roles);
    for (target, _) in &sources {
        if let Some(role) = roles.get_mut(*target) {
            role.rules.clear();
        }
    }
    // Every pass but the last adds a rule to a role, and there are only so many rules.
    loop {
        let mut changed = false;
        for (target, from) in &sources {
            changed |= refill(roles, *target, from);
        }
        if !changed {
            return;
        }
    }
}

/// Aggregated roles, each with the positions of the roles its rules come from, in the controller's
/// order.
fn sources(roles: &[ClusterRole]) -> Vec<(usize, Vec<usize>)> {
    let mut by_name: Vec<usize> = (0..roles.len()).collect();
    by_name.sort_by_key(|&i| roles.get(i).map(|r| &r.metadata.name));
    let of = |role: &ClusterRole| -> Option<Vec<usize>> {
        let aggregation = role.aggregation_rule.as_ref()?;
        let selected = aggregation.cluster_role_selectors.iter().flat_map(|s| {
            by_name.iter().copied().filter(|&i| {
                roles.get(i).is_some_and(|other| {
                    other.metadata.name != role.metadata.name && s.selects(&other.metadata.labels)
                })
            })
        });
        Some(selected.collect())
    };
    roles
        .iter()
        .enumerate()
        .filter_map(|(position, role)| Some((position, of(role)?)))
        .collect()
}

/// Whether the role has other rules than before.
fn refill(roles: &mut [ClusterRole], target: usize, from: &[usize]) -> bool {
    let mut seen: HashSet<&Rule> = HashSet::new();
    let rules: Vec<Rule> = from
        .iter()
        .filter_map(|&i| roles.get(i))
        .flat_map(|role| &role.rules)
        .filter(|rule| seen.insert(rule))
        .cloned()
        .collect();
    let Some(role) = roles.get_mut(target) else {
        return false;
    };
    // In a circle the order may never come to rest; the set does.
    let before: HashSet<&Rule> = role.rules.iter().collect();
    let same = before.len() == rules.len() && rules.iter().all(|r| before.contains(r));
    role.rules = rules;
    !same
}

#[cfg(test)]
mod tests;
