//! Whether rules include other rules, as kube-apiserver decides it before it lets somebody grant them
//! (`auth/rbac/validation` of `k8s.io/component-helpers`).
//!
//! It is stricter than what requests would show: `pods` with verbs `get` and `*` names are covered by a
//! single rule or not at all, and two rules never cover one atom together.

use std::collections::BTreeMap;

use crate::evaluate::path_matches;
use crate::model::Rule;
use crate::policy::Scope;

/// What `owner` does not cover of `servant`, as rules of one verb on one resource or path each; empty if
/// it covers everything.
#[must_use]
pub fn missing(owner: &[Rule], servant: &[Rule]) -> Vec<Rule> {
    servant
        .iter()
        .flat_map(atoms)
        .filter(|atom| !owner.iter().any(|rule| covers_atom(rule, atom)))
        .collect()
}

/// Whether `owner` covers all of `servant`.
#[must_use]
pub fn covers(owner: &[Rule], servant: &[Rule]) -> bool {
    servant
        .iter()
        .flat_map(atoms)
        .all(|atom| owner.iter().any(|rule| covers_atom(rule, &atom)))
}

/// Rules by the scope they hold in.
pub type ScopedRules = BTreeMap<Scope, Vec<Rule>>;

/// What `owner` does not cover of `servant`: rules that hold in the cluster cover those of a namespace
/// too, never the other way round.
#[must_use]
pub fn missing_in_scopes(owner: &ScopedRules, servant: &ScopedRules) -> Vec<(Scope, Rule)> {
    let mut found = Vec::new();
    for (scope, rules) in servant {
        let mut held: Vec<Rule> = owner.get(&Scope::Cluster).cloned().unwrap_or_default();
        if *scope != Scope::Cluster {
            held.extend(owner.get(scope).cloned().unwrap_or_default());
        }
        let gaps = missing(&held, rules);
        found.extend(gaps.into_iter().map(|rule| (scope.clone(), rule)));
    }
    found
}

/// Breaks a rule into rules of one verb on one resource with one name or all names, or on one path.
pub fn atoms(rule: &Rule) -> impl Iterator<Item = Rule> {
    let names: Vec<Vec<String>> = if rule.resource_names.is_empty() {
        vec![Vec::new()]
    } else {
        rule.resource_names
            .iter()
            .map(|n| vec![n.clone()])
            .collect()
    };
    let mut found = Vec::new();
    for verb in &rule.verbs {
        for group in &rule.api_groups {
            for resource in &rule.resources {
                found.extend(names.iter().map(|names| Rule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    resource_names: names.clone(),
                    non_resource_urls: Vec::new(),
                }));
            }
        }
        found.extend(rule.non_resource_urls.iter().map(|url| Rule {
            verbs: vec![verb.clone()],
            non_resource_urls: vec![url.clone()],
            ..Rule::default()
        }));
    }
    found.into_iter()
}

/// Whether one rule covers an atom.
fn covers_atom(owner: &Rule, atom: &Rule) -> bool {
    let has = |set: &[String], wanted: &[String]| {
        set.iter().any(|e| e == "*") || wanted.iter().all(|w| set.contains(w))
    };
    has(&owner.verbs, &atom.verbs)
        && has(&owner.api_groups, &atom.api_groups)
        && atom.resources.iter().all(|r| covers_resource(owner, r))
        && covers_names(owner, atom)
        && atom
            .non_resource_urls
            .iter()
            .all(|url| owner.non_resource_urls.iter().any(|p| path_matches(p, url)))
}

fn covers_resource(owner: &Rule, resource: &str) -> bool {
    owner.resources.iter().any(|held| {
        held == "*"
            || held == resource
            || resource
                .split_once('/')
                .is_some_and(|(_, sub)| held.strip_prefix("*/") == Some(sub))
    })
}

fn covers_names(owner: &Rule, atom: &Rule) -> bool {
    owner.resource_names.is_empty()
        || (!atom.resource_names.is_empty()
            && atom
                .resource_names
                .iter()
                .all(|n| owner.resource_names.contains(n)))
}

#[cfg(test)]
mod tests;
