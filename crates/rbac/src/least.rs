//! The least rights that somebody needs, from what they did.
//!
//! Rules hold only where they were used: two namespaces never become the cluster, and an object's name stays
//! a name unless it was generated. What was refused is a wish, not a use, and is set apart. Beyond what was
//! seen, only the verbs that one `kubectl` command needs together are added, and only if they are held today:
//! a proposal is never more than what there was.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::covers::{ScopedRules, missing_in_scopes};
use crate::effective::rules;
use crate::evaluate::{Attributes, ResourceTarget, Target, User, authorize};
use crate::model::{
    ClusterRole, ClusterRoleBinding, MASTERS, Metadata, RoleBinding, RoleRef, Rule, Subject,
};
use crate::policy::{Objects, Policy, Scope};

mod bundle;
mod coverage;
mod names;

pub use bundle::also_asked;
pub use coverage::Coverage;
pub use names::{template, was_generated};

/// Something that somebody did, or tried, any number of times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Whether it was allowed. Only what was allowed is a use.
    pub allowed: bool,
    /// How often.
    pub count: u64,
    /// The `kubectl` command, such as `apply`, if it is known. It is the client's word: it can add verbs that are
    /// held today, never others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// How to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// More different names of one resource in one namespace than this become every name there.
    pub most_names: usize,
    /// Whether whoever lists may watch the same.
    pub list_implies_watch: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            most_names: 5,
            list_implies_watch: true,
        }
    }
}

/// What somebody needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Roles and bindings: one ClusterRole for each set of rules, bound in each namespace where it is needed.
    pub objects: Objects,
    /// What was refused, broadest first.
    pub requested: Vec<Attributes>,
    /// Names that were dropped because they were generated, as patterns: `web-*` of `pods`.
    pub generated_names: BTreeSet<String>,
    /// Rules that no operation used, which a command needs beside what was seen.
    pub added: Vec<(Scope, Rule)>,
    /// How much of what they do has been seen.
    pub coverage: Coverage,
}

/// That a proposal takes nothing away that was used, and gives nothing new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// What it gives that is not held today; must be empty.
    pub more: Vec<(Scope, Rule)>,
    /// What was allowed and would not be; must be empty.
    pub refused: Vec<Attributes>,
}

impl Proof {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.more.is_empty() && self.refused.is_empty()
    }
}

/// The least roles and bindings for one user. `today` is what there is, for what commands need beside what
/// was seen; `name` is a DNS label that the names of the new objects start with.
#[must_use]
pub fn propose(
    today: &Policy,
    user: &User,
    operations: &[Operation],
    name: &str,
    options: Options,
) -> Proposal {
    let mut proposal = Proposal {
        coverage: Coverage::of(operations),
        requested: requested(operations),
        ..Proposal::default()
    };
    let held = Held::new(today, user);
    let mut uses = Uses::default();
    for operation in operations.iter().filter(|o| o.allowed) {
        uses.add(&operation.attributes);
    }
    let today_holds = rules(today, user);
    let everything = user.groups.iter().any(|g| g == MASTERS);
    let seen = uses.rules(options, &mut proposal.generated_names);
    let seen = within(seen, &today_holds, everything, || uses.named());
    for operation in operations.iter().filter(|o| o.allowed) {
        for extra in bundle::needed_with(operation, options) {
            if held.has(&extra) {
                uses.add(&extra);
            }
        }
    }
    let all = uses.rules(options, &mut proposal.generated_names);
    let all = within(all, &today_holds, everything, || uses.named());
    proposal.added = missing_in_scopes(&seen, &all);
    proposal.objects = objects(&all, user, name);
    proposal
}

/// Compares a proposal with what there is and with what was done.
#[must_use]
pub fn prove(today: &Policy, proposed: &Policy, user: &User, operations: &[Operation]) -> Proof {
    let is_master = user.groups.iter().any(|g| g == MASTERS);
    let more = if is_master {
        Vec::new()
    } else {
        missing_in_scopes(&rules(today, user), &rules(proposed, user))
    };
    // The group that bypasses RBAC is part of what a proposal replaces.
    let plain = User {
        groups: user
            .groups
            .iter()
            .filter(|g| *g != MASTERS)
            .cloned()
            .collect(),
        ..user.clone()
    };
    let refused = operations
        .iter()
        .filter(|o| o.allowed && !authorize(proposed, &plain, &o.attributes).allowed)
        .map(|o| o.attributes.clone())
        .collect();
    Proof { more, refused }
}

struct Held<'p> {
    today: &'p Policy,
    user: &'p User,
}

impl<'p> Held<'p> {
    const fn new(today: &'p Policy, user: &'p User) -> Self {
        Self { today, user }
    }

    fn has(&self, attributes: &Attributes) -> bool {
        authorize(self.today, self.user, attributes).allowed
    }
}

/// Broad before narrow: paths, the cluster, whole resources, named objects.
fn requested(operations: &[Operation]) -> Vec<Attributes> {
    let refused = operations.iter().filter(|o| !o.allowed);
    let unique: BTreeSet<&Attributes> = refused.map(|o| &o.attributes).collect();
    let mut found: Vec<Attributes> = unique.into_iter().cloned().collect();
    found.sort_by_key(|attributes| match &attributes.target {
        Target::Path(_) => (0, 0),
        Target::Resource(t) => (
            1 + u8::from(!t.namespace.is_empty()),
            u8::from(!t.name.is_empty()),
        ),
    });
    found
}

/// The rules, but with every name as it was seen in scopes where names that were left out would be more than what
/// is held.
fn within(
    mut found: ScopedRules,
    held: &ScopedRules,
    everything: bool,
    named: impl Fn() -> ScopedRules,
) -> ScopedRules {
    if everything {
        return found;
    }
    let more: BTreeSet<Scope> = missing_in_scopes(held, &found)
        .into_iter()
        .map(|(scope, _)| scope)
        .collect();
    if !more.is_empty() {
        let mut exact = named();
        for scope in more {
            if let Some(rules) = exact.remove(&scope) {
                found.insert(scope, rules);
            }
        }
    }
    found
}

/// What was done, by where and on what.
#[derive(Default)]
struct Uses {
    /// Scope → group, resource → verb → names.
    resources: BTreeMap<Scope, BTreeMap<(String, String), NamesByVerb>>,
    /// Path → verbs.
    paths: BTreeMap<String, BTreeSet<String>>,
}

impl Uses {
    fn add(&mut self, attributes: &Attributes) {
        match &attributes.target {
            Target::Path(path) => {
                // A query is no part of what is judged.
                let path = path.split('?').next().unwrap_or_default();
                let verbs = self.paths.entry(path.to_owned()).or_default();
                verbs.insert(attributes.verb.clone());
            }
            Target::Resource(target) => {
                let key = (target.group.clone(), resource_of(target));
                let of_scope = self.resources.entry(attributes.scope()).or_default();
                let verbs = of_scope.entry(key).or_default();
                let names = verbs.entry(attributes.verb.clone()).or_default();
                names.insert(name_judged(&attributes.verb, target));
            }
        }
    }

    /// The same without a name left out.
    fn named(&self) -> ScopedRules {
        let options = Options {
            most_names: usize::MAX,
            ..Options::default()
        };
        self.rules_of(options, &mut BTreeSet::new(), false)
    }

    fn rules(&self, options: Options, generated: &mut BTreeSet<String>) -> ScopedRules {
        self.rules_of(options, generated, true)
    }

    fn rules_of(
        &self,
        options: Options,
        generated: &mut BTreeSet<String>,
        templates: bool,
    ) -> ScopedRules {
        let mut found = ScopedRules::new();
        for (scope, resources) in &self.resources {
            // Rules that differ in their resources only become one.
            let mut merged: BTreeMap<(String, Verbs, Names), Vec<String>> = BTreeMap::new();
            for ((group, resource), verbs) in resources {
                for (names, verbs) in by_names(verbs, resource, options, generated, templates) {
                    let key = (group.clone(), verbs, names);
                    merged.entry(key).or_default().push(resource.clone());
                }
            }
            let rules = merged
                .into_iter()
                .map(|((group, verbs, names), resources)| Rule {
                    verbs: verbs.into_iter().collect(),
                    api_groups: vec![group],
                    resources,
                    resource_names: names.into_iter().collect(),
                    non_resource_urls: Vec::new(),
                });
            found.insert(scope.clone(), rules.collect());
        }
        for (path, verbs) in &self.paths {
            // A path that ends with a star would be a pattern for more.
            if path.ends_with('*') {
                continue;
            }
            let rule = Rule {
                verbs: verbs.iter().cloned().collect(),
                non_resource_urls: vec![path.clone()],
                ..Rule::default()
            };
            found.entry(Scope::Cluster).or_default().push(rule);
        }
        found
    }
}

type Verbs = BTreeSet<String>;
type Names = BTreeSet<String>;
/// The empty name is a request without one.
type NamesByVerb = BTreeMap<String, Names>;

/// The names that each verb needs, none for every name, and the verbs that need the same.
fn by_names(
    verbs: &NamesByVerb,
    resource: &str,
    options: Options,
    generated: &mut BTreeSet<String>,
    templates: bool,
) -> BTreeMap<Names, Verbs> {
    // A verb on every name makes no other verb broader, but a generated name is one for all verbs.
    let mut all: Names = verbs.values().flatten().cloned().collect();
    all.remove("");
    let templates: BTreeSet<String> = all
        .iter()
        .filter(|name| templates && was_generated(name))
        .map(|name| format!("{} of {resource}", template(name)))
        .collect();
    let drop_names = !templates.is_empty() || all.len() > options.most_names;
    generated.extend(templates);
    let mut found: BTreeMap<Names, Verbs> = BTreeMap::new();
    for (verb, names) in verbs {
        let whole = drop_names || names.contains("");
        let names = if whole { Names::new() } else { names.clone() };
        found.entry(names).or_default().insert(verb.clone());
    }
    found
}

/// The name that is judged: what is created, or deleted together, has none; a list has one only by its
/// field selector.
fn name_judged(verb: &str, target: &ResourceTarget) -> String {
    let nameless =
        verb == "deletecollection" || (verb == "create" && target.subresource.is_empty());
    if nameless {
        String::new()
    } else {
        target.name.clone()
    }
}

fn resource_of(target: &ResourceTarget) -> String {
    if target.subresource.is_empty() {
        target.resource.clone()
    } else {
        format!("{}/{}", target.resource, target.subresource)
    }
}

/// One ClusterRole for each different set of rules.
fn objects(needed: &ScopedRules, user: &User, name: &str) -> Objects {
    let mut objects = Objects::default();
    let mut roles: BTreeMap<&Vec<Rule>, String> = BTreeMap::new();
    for (scope, rules) in needed {
        let number = roles.len() + 1;
        let role = roles.entry(rules).or_insert_with(|| {
            let role = format!("{name}-{number}");
            objects.cluster_roles.push(ClusterRole {
                metadata: Metadata::named(&role),
                rules: rules.clone(),
                aggregation_rule: None,
            });
            role
        });
        let subjects = vec![subject(user)];
        let role_ref = RoleRef::cluster_role(role);
        match scope {
            Scope::Cluster => objects.cluster_role_bindings.push(ClusterRoleBinding {
                metadata: Metadata::named(role),
                subjects,
                role_ref,
            }),
            Scope::Namespace(namespace) => objects.role_bindings.push(RoleBinding {
                metadata: Metadata::namespaced(namespace, role),
                subjects,
                role_ref,
            }),
        }
    }
    objects
}

fn subject(user: &User) -> Subject {
    match user.identity() {
        crate::model::Identity::ServiceAccount { namespace, name } => {
            Subject::service_account(&namespace, &name)
        }
        // A member of a group without a name stands for the group.
        _ if user.name.is_empty() => Subject::group(user.groups.first().map_or("", String::as_str)),
        _ => Subject::user(&user.name),
    }
}

#[cfg(test)]
mod tests;
