//! Job functions: few roles that fit what many people do.
//!
//! People who do the same are one group already; groups that do nearly the same are joined, the closest
//! first, as long as a joint role would give nobody much that they do not use. A person decides about the
//! result: it is a proposal with its numbers.
//!
//! The same uses give the same functions, in whatever order they were seen. Time and memory are bounded: thousands of
//! people with thousands of rights take seconds, and what is beyond the bound stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::model::Identity;
use crate::privilege::Atom;

mod join;

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
    /// After so many comparisons of 64 rights each, groups are left as they are.
    pub most_work: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            least_alike: 0.6,
            least_used: 0.5,
            most_groups: 20_000,
            most_work: 1 << 33,
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
    let names = names(used);
    let numbers: HashMap<&Atom, u32> = names.iter().copied().zip(0..).collect();
    let mut by_use: BTreeMap<Vec<u32>, BTreeSet<Identity>> = BTreeMap::new();
    for (who, atoms) in used.iter().filter(|(_, atoms)| !atoms.is_empty()) {
        let atoms = atoms.iter().filter_map(|a| numbers.get(a).copied());
        by_use
            .entry(atoms.collect())
            .or_default()
            .insert(who.clone());
    }
    let mut groups: Vec<Group> = by_use
        .into_iter()
        .map(|(atoms, members)| Group {
            uses: vec![(atoms.clone(), members.len())],
            atoms,
            members,
        })
        .collect();
    // The order of groups that are alike is that of what they use.
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    let groups = join::join(groups, options);
    let described = groups.into_iter().map(|group| group.described(&names));
    let mut found: Vec<JobFunction> = described.collect();
    found.sort_by_key(|f| std::cmp::Reverse((f.members.len(), f.atoms.len())));
    unique_names(&mut found);
    found
}

/// Every atom once, in order: its position is its number.
fn names(used: &BTreeMap<Identity, BTreeSet<Atom>>) -> Vec<&Atom> {
    let all: HashSet<&Atom> = used.values().flatten().collect();
    let mut names: Vec<&Atom> = all.into_iter().collect();
    names.sort_unstable();
    names
}

/// Atoms are numbers here, in order.
#[derive(Debug, Clone)]
struct Group {
    atoms: Vec<u32>,
    members: BTreeSet<Identity>,
    /// What members use, and how many of them just this.
    uses: Vec<(Vec<u32>, usize)>,
}

impl Group {
    fn described(self, names: &[&Atom]) -> JobFunction {
        let (mut both, mut given, mut wanted) = (0, 0, 0);
        let mut cohesion: f64 = 1.0;
        for (done, count) in &self.uses {
            let shared = done
                .iter()
                .filter(|atom| self.atoms.binary_search(atom).is_ok())
                .count();
            both += count * shared;
            given += count * self.atoms.len();
            wanted += count * done.len();
            let either = done.len() + self.atoms.len() - shared;
            cohesion = cohesion.min(share(shared, either));
        }
        let atom = |number: &u32| names.get(usize::try_from(*number).ok()?).copied();
        let atoms: BTreeSet<Atom> = self.atoms.iter().filter_map(atom).cloned().collect();
        JobFunction {
            name: name(&atoms),
            precision: share(both, given),
            recall: share(both, wanted),
            cohesion,
            conflicts: conflicts(&atoms),
            members: self.members,
            atoms,
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

fn share(part: usize, whole: usize) -> f64 {
    let float = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 {
        1.0
    } else {
        float(part) / float(whole)
    }
}

#[cfg(test)]
mod tests;
