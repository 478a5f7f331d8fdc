//! Rules and bindings that look as if they gave something and give nothing, or less than they say.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::discovery::Discovery;
use crate::model::Rule;
use crate::policy::{BindingId, Policy, RoleId, Scope, StoredRole};

/// Something that gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dead {
    /// The role, if there is one.
    pub role: Option<RoleId>,
    /// The rule's position in the role; none if the whole binding gives nothing.
    pub rule: Option<u32>,
    /// The binding, if the rule is dead only through this one.
    pub binding: Option<BindingId>,
    /// The part that gives nothing: a resource, a verb, a path, a subject.
    pub part: String,
    /// Why.
    pub why: Why,
}

/// Why something gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// `pods/*` and `*/*` match a sub-resource that is called `*`, which no kind has.
    SubresourceWildcard,
    /// Requests for what belongs to the cluster never look at RoleBindings, although
    /// `kubectl auth can-i` with a namespace answers yes.
    ClusterScopedInNamespace,
    /// Requests for paths never look at RoleBindings.
    PathInNamespace,
    /// Requests with this verb carry no name, so a rule for named objects never matches.
    NeverNamed,
    /// Only a PUT or a server-side apply creates by name, and the rule gives neither `update` nor `patch`.
    NamedCreate,
    /// `*` stands for the rest of a path at its end only.
    PathWildcardInside,
    /// The API server does not serve it.
    UnknownResource,
    /// The binding's role does not exist. Whoever creates it decides what the binding gives.
    NoSuchRole,
    /// The binding has no subject.
    NoSubject,
    /// The subject can be nobody: a service account without a namespace, or an unknown kind.
    ImpossibleSubject,
    /// No binding refers to the role and no other role takes its rules.
    Unbound,
}

/// Everything in a policy that gives nothing. `UnknownResource` is found only if the discovery is complete.
#[must_use]
pub fn dead(policy: &Policy, discovery: &Discovery) -> Vec<Dead> {
    let mut found = Vec::new();
    for (id, role) in policy.roles() {
        in_role(id, role, discovery, &mut found);
    }
    // Many bindings have the same role.
    let mut of_roles: HashMap<RoleId, Vec<Dead>> = HashMap::new();
    for (id, binding) in policy.bindings() {
        let whole = |part: &str, why| Dead {
            role: binding.role,
            rule: None,
            binding: Some(id),
            part: part.to_owned(),
            why,
        };
        if binding.subjects.is_empty() {
            found.push(whole("", Why::NoSubject));
        }
        for subject in &binding.subjects {
            if subject.identity(&binding.metadata.namespace).is_none() {
                found.push(whole(&subject.name, Why::ImpossibleSubject));
            }
        }
        let Some(role) = binding.role else {
            found.push(whole(&binding.role_ref.name, Why::NoSuchRole));
            continue;
        };
        if binding.scope() != Scope::Cluster {
            let parts = of_roles
                .entry(role)
                .or_insert_with(|| in_namespace(policy, role, discovery));
            found.extend(parts.iter().map(|dead| Dead {
                binding: Some(id),
                ..dead.clone()
            }));
        }
    }
    found.extend(unbound(policy));
    found
}

/// What is dead in a role wherever it is bound.
fn in_role(id: RoleId, role: &StoredRole, discovery: &Discovery, found: &mut Vec<Dead>) {
    for (position, rule) in (0..).zip(&role.rules) {
        let mut add = |part: &str, why| {
            found.push(Dead {
                role: Some(id),
                rule: Some(position),
                binding: None,
                part: part.to_owned(),
                why,
            });
        };
        for resource in &rule.resources {
            if resource.ends_with("/*") {
                add(resource, Why::SubresourceWildcard);
            } else if discovery.is_complete() && !is_served(rule, resource, discovery) {
                add(resource, Why::UnknownResource);
            }
        }
        for url in &rule.non_resource_urls {
            if url.trim_end_matches('*').contains('*') {
                add(url, Why::PathWildcardInside);
            }
        }
        for (verb, why) in never_named(rule) {
            add(verb, why);
        }
    }
}

fn is_served(rule: &Rule, resource: &str, discovery: &Discovery) -> bool {
    resource == "*"
        || rule
            .api_groups
            .iter()
            .any(|group| discovery.serves(group, resource))
}

/// The verbs of a rule for named objects that match no request.
fn never_named(rule: &Rule) -> Vec<(&str, Why)> {
    if rule.resource_names.is_empty() || rule.resource_names.iter().any(String::is_empty) {
        return Vec::new();
    }
    // What is created below an object, such as `pods/exec`, does carry that object's name.
    let below = rule.resources.iter().any(|r| r.contains('/') || r == "*");
    let has = |verb: &str| rule.verbs.iter().any(|v| v == verb || v == "*");
    let mut found = Vec::new();
    if rule.verbs.iter().any(|v| v == "deletecollection") {
        found.push(("deletecollection", Why::NeverNamed));
    }
    let creates = rule.verbs.iter().any(|v| v == "create");
    if creates && !below && !has("update") && !has("patch") {
        found.push(("create", Why::NamedCreate));
    }
    found
}

/// What is dead in a role because it is bound in a namespace.
fn in_namespace(policy: &Policy, role: RoleId, discovery: &Discovery) -> Vec<Dead> {
    let mut found = Vec::new();
    let rules = policy.role(role).map_or(&[][..], |r| &r.rules);
    for (position, rule) in (0..).zip(rules) {
        let mut add = |part: &str, why| {
            found.push(Dead {
                role: Some(role),
                rule: Some(position),
                binding: None,
                part: part.to_owned(),
                why,
            });
        };
        for url in &rule.non_resource_urls {
            add(url, Why::PathInNamespace);
        }
        for resource in &rule.resources {
            let of_cluster = rule
                .api_groups
                .iter()
                .all(|group| discovery.is_cluster_scoped(group, resource))
                && !rule.api_groups.is_empty();
            if of_cluster && !is_own_namespace(rule, resource) {
                add(resource, Why::ClusterScopedInNamespace);
            }
        }
    }
    found
}

/// A request for one namespace by name is judged in that namespace, so a RoleBinding may give it.
fn is_own_namespace(rule: &Rule, resource: &str) -> bool {
    let core = rule.api_groups.iter().any(|g| g.is_empty() || g == "*");
    let of_one = ["get", "update", "patch", "delete", "*"];
    core && (resource == "namespaces" || resource.starts_with("namespaces/"))
        && rule.verbs.iter().any(|v| of_one.contains(&v.as_str()))
}

/// Roles that nobody has.
fn unbound(policy: &Policy) -> Vec<Dead> {
    let bound: HashSet<RoleId> = policy.bindings().filter_map(|(_, b)| b.role).collect();
    policy
        .roles()
        .filter(|(id, role)| {
            // The labels of a ClusterRole may put its rules into an aggregated one.
            let aggregates = role.metadata.labels.keys().any(|k| k.contains("aggregate"));
            !bound.contains(id) && !aggregates
        })
        .map(|(id, role)| Dead {
            role: Some(id),
            rule: None,
            binding: None,
            part: role.metadata.name.clone(),
            why: Why::Unbound,
        })
        .collect()
}
