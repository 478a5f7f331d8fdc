//! Job functions: few roles that fit what many people do.
//!
//! People who do the same are one group already; groups that do nearly the same are joined, the closest
//! first, as long as a joint role would give nobody much that they do not use. A person decides about the
//! result: it is a proposal with its numbers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::Identity;
use crate::privilege::Atom;

/// How to join.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// Groups less alike than this stay apart (Jaccard, 0..=1).
    pub least_alike: f64,
    /// An atom belongs to a function if at least this share of its members use it.
    pub least_used: f64,
    /// More different groups than this are not compared; the smallest are left as they are.
    pub most_groups: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            least_alike: 0.6,
            least_used: 0.5,
            most_groups: 400,
        }
    }
}

/// A role for several people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFunction {
    /// A name from what it mostly does: `pods-reader`.
    pub name: String,
    /// Who would have it.
    pub members: BTreeSet<Identity>,
    /// What it gives.
    pub atoms: BTreeSet<Atom>,
    /// The share of what it gives that a member uses, over all members.
    pub precision: f64,
    /// The share of what members use that it gives, over all members.
    pub recall: f64,
    /// How alike the least alike member is to the whole.
    pub cohesion: f64,
    /// Duties in it that should not be one person's.
    pub conflicts: Vec<Conflict>,
}

/// Duties that one person should not have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// Reads Secrets and runs commands in pods.
    SecretsAndExec,
    /// Asks for certificates and approves them.
    RequestsAndApproves,
    /// Writes roles or bindings, and workloads.
    GrantsAndRuns,
}

/// Finds job functions in what each person used. Best first: by members, then by size.
#[must_use]
pub fn mine(used: &BTreeMap<Identity, BTreeSet<Atom>>, options: Options) -> Vec<JobFunction> {
    let mut by_use: BTreeMap<&BTreeSet<Atom>, BTreeSet<Identity>> = BTreeMap::new();
    for (who, atoms) in used.iter().filter(|(_, atoms)| !atoms.is_empty()) {
        by_use.entry(atoms).or_default().insert(who.clone());
    }
    let mut groups: Vec<Group> = by_use
        .into_iter()
        .map(|(atoms, members)| Group {
            atoms: atoms.clone(),
            members,
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    let apart = groups.split_off(groups.len().min(options.most_groups));
    join(&mut groups, used, options);
    groups.extend(apart);
    let mut found: Vec<JobFunction> = groups.into_iter().map(|g| g.described(used)).collect();
    found.sort_by_key(|f| std::cmp::Reverse((f.members.len(), f.atoms.len())));
    unique_names(&mut found);
    found
}

#[derive(Clone)]
struct Group {
    atoms: BTreeSet<Atom>,
    members: BTreeSet<Identity>,
}

/// Joins the two most alike, until none are alike enough.
fn join(groups: &mut Vec<Group>, used: &BTreeMap<Identity, BTreeSet<Atom>>, options: Options) {
    while let Some((first, second)) = closest(groups, options.least_alike) {
        // The later one goes first, so that the other position stays what it was.
        let other = groups.remove(second);
        if let Some(group) = groups.get_mut(first) {
            group.members.extend(other.members);
            group.atoms = shared(&group.members, used, options.least_used);
        }
    }
}

fn closest(groups: &[Group], least: f64) -> Option<(usize, usize)> {
    let mut best: Option<(f64, (usize, usize))> = None;
    for (first, one) in groups.iter().enumerate() {
        for (second, other) in groups.iter().enumerate().skip(first + 1) {
            let alike = alike(&one.atoms, &other.atoms);
            if alike >= least && best.is_none_or(|(most, _)| alike > most) {
                best = Some((alike, (first, second)));
            }
        }
    }
    best.map(|(_, pair)| pair)
}

/// What at least this share of the members use.
fn shared(
    members: &BTreeSet<Identity>,
    used: &BTreeMap<Identity, BTreeSet<Atom>>,
    least: f64,
) -> BTreeSet<Atom> {
    let mut counts: BTreeMap<&Atom, usize> = BTreeMap::new();
    for atom in members.iter().filter_map(|m| used.get(m)).flatten() {
        *counts.entry(atom).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| share(*count, members.len()) >= least)
        .map(|(atom, _)| atom.clone())
        .collect()
}

impl Group {
    fn described(self, used: &BTreeMap<Identity, BTreeSet<Atom>>) -> JobFunction {
        let (mut both, mut given, mut wanted) = (0, 0, 0);
        let mut cohesion: f64 = 1.0;
        for atoms in self.members.iter().filter_map(|m| used.get(m)) {
            both += atoms.intersection(&self.atoms).count();
            given += self.atoms.len();
            wanted += atoms.len();
            cohesion = cohesion.min(alike(atoms, &self.atoms));
        }
        JobFunction {
            name: name(&self.atoms),
            precision: share(both, given),
            recall: share(both, wanted),
            cohesion,
            conflicts: conflicts(&self.atoms),
            members: self.members,
            atoms: self.atoms,
        }
    }
}

/// What it is mostly about, and how deep it goes.
fn name(atoms: &BTreeSet<Atom>) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reads_only = true;
    for atom in atoms {
        let kind = atom.resource.split('/').next().unwrap_or_default();
        *kinds.entry(kind).or_default() += 1;
        reads_only &= matches!(atom.verb.as_str(), "get" | "list" | "watch");
    }
    let mut namespaces: BTreeSet<&str> = atoms.iter().map(|a| a.scope.namespace()).collect();
    let place = match (namespaces.pop_first(), namespaces.is_empty()) {
        (Some(name), true) if !name.is_empty() => format!("{name}-"),
        _ => String::new(),
    };
    let most = kinds
        .into_iter()
        .max_by_key(|(kind, n)| (*n, std::cmp::Reverse(*kind)));
    let kind = most.map_or("nothing", |(kind, _)| kind);
    let role = if reads_only { "reader" } else { "operator" };
    format!("{place}{kind}-{role}")
}

fn unique_names(functions: &mut [JobFunction]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for function in functions {
        let count = seen.entry(function.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            function.name = format!("{}-{count}", function.name);
        }
    }
}

fn conflicts(atoms: &BTreeSet<Atom>) -> Vec<Conflict> {
    let does = |verbs: &[&str], resources: &[&str]| {
        atoms.iter().any(|atom| {
            verbs.contains(&atom.verb.as_str()) && resources.contains(&atom.resource.as_str())
        })
    };
    let write = ["create", "update", "patch"];
    let grants = [
        "roles",
        "clusterroles",
        "rolebindings",
        "clusterrolebindings",
    ];
    let runs = [
        "pods",
        "deployments",
        "daemonsets",
        "statefulsets",
        "jobs",
        "cronjobs",
    ];
    let requests = "certificatesigningrequests";
    let found = [
        (
            does(&["get", "list", "watch"], &["secrets"])
                && does(&["create", "get"], &["pods/exec", "pods/attach"]),
            Conflict::SecretsAndExec,
        ),
        (
            does(&["create"], &[requests])
                && does(&write, &["certificatesigningrequests/approval"]),
            Conflict::RequestsAndApproves,
        ),
        (
            does(&write, &grants) && does(&write, &runs),
            Conflict::GrantsAndRuns,
        ),
    ];
    found
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, c)| c)
        .collect()
}

/// Jaccard: what both have, of what either has.
fn alike(one: &BTreeSet<Atom>, other: &BTreeSet<Atom>) -> f64 {
    let both = one.intersection(other).count();
    share(both, one.len() + other.len() - both)
}

fn share(part: usize, whole: usize) -> f64 {
    let float = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 {
        1.0
    } else {
        float(part) / float(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Scope;

    fn uses(list: &[(&str, &str)]) -> BTreeMap<Identity, BTreeSet<Atom>> {
        let atom = |text: &str| {
            let (verb, resource) = text.split_once(' ').unwrap();
            Atom {
                scope: Scope::of("shop"),
                group: String::new(),
                resource: resource.to_owned(),
                verb: verb.to_owned(),
            }
        };
        list.iter()
            .map(|(who, what)| {
                let atoms = what.split(", ").map(atom).collect();
                (Identity::from_user_name(who), atoms)
            })
            .collect()
    }

    fn say(functions: &[JobFunction]) -> Vec<String> {
        let members = |f: &JobFunction| {
            let names = f.members.iter().filter_map(Identity::user_name);
            names.collect::<Vec<_>>().join(",")
        };
        functions
            .iter()
            .map(|f| format!("{}: {}", f.name, members(f)))
            .collect()
    }

    #[test]
    fn people_who_do_nearly_the_same_have_one_function() {
        let found = mine(
            &uses(&[
                ("ana", "get pods, list pods, get pods/log"),
                ("bo", "get pods, list pods, get pods/log"),
                ("cy", "get pods, list pods, get pods/log, get secrets"),
                (
                    "di",
                    "patch deployments, get deployments, create pods/exec, get secrets",
                ),
            ]),
            Options::default(),
        );
        assert_eq!(
            say(&found),
            [
                "shop-pods-reader: ana,bo,cy",
                "shop-deployments-operator: di"
            ]
        );
        // What one of three does is not given to all.
        assert_eq!(found[0].atoms.len(), 3);
        assert!((found[0].precision - 1.0).abs() < 1e-9);
        assert!((found[0].recall - 0.9).abs() < 1e-9);
        assert!((found[0].cohesion - 0.75).abs() < 1e-9);
        assert!(found[0].conflicts.is_empty());
        assert_eq!(found[1].conflicts, [Conflict::SecretsAndExec]);
    }

    #[test]
    fn who_did_nothing_has_no_function_and_names_differ() {
        let mut used = uses(&[("ana", "get pods"), ("bo", "list pods")]);
        used.insert(Identity::from_user_name("idle"), BTreeSet::new());
        let found = mine(&used, Options::default());
        assert_eq!(
            say(&found),
            ["shop-pods-reader: ana", "shop-pods-reader-2: bo"]
        );
        assert!(mine(&BTreeMap::new(), Options::default()).is_empty());
    }

    #[test]
    fn everybody_is_in_one_function_whatever_the_limit() {
        let used = uses(&[("a", "get pods"), ("b", "get nodes"), ("c", "get pods")]);
        for most_groups in 0..3 {
            let options = Options {
                most_groups,
                ..Options::default()
            };
            let found = mine(&used, options);
            let members: usize = found.iter().map(|f| f.members.len()).sum();
            assert_eq!((found.len(), members), (2, 3));
        }
    }
}
