//! How much more somebody holds than they use.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::discovery::{Discovery, Kind};
use crate::effective::held;
use crate::evaluate::{Attributes, Target, User, is_in_or_star};
use crate::model::{MASTERS, Rule};
use crate::policy::{Policy, Scope};

/// Something that can be done to a kind of resource, in one scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Atom {
    /// Where.
    pub scope: Scope,
    /// The API group.
    pub group: String,
    /// `pods` or `pods/log`.
    pub resource: String,
    /// What.
    pub verb: String,
}

/// What somebody holds against what they use.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Privilege {
    /// Atoms held: wildcards are expanded on what is served, a right everywhere counts once.
    pub granted: usize,
    /// Of these, how many were used, at least once and in at least one namespace.
    pub used: usize,
    /// The weights of what is held, together.
    pub granted_weight: u64,
    /// The weights of what is used, together.
    pub used_weight: u64,
    /// Namespaces in which something is held beside what is held everywhere.
    pub namespaces: usize,
    /// Rights that will also hold for kinds that do not exist yet.
    pub open_ended: usize,
    /// Whether the group `system:masters` makes all of this meaningless.
    pub unlimited: bool,
    /// What is held and was never used, heaviest first.
    pub unused: Vec<Atom>,
}

impl Privilege {
    /// The share of what is held that was never used, in 0..=1.
    #[must_use]
    pub fn excess(&self) -> f64 {
        share(self.granted.saturating_sub(self.used), self.granted)
    }

    /// The same by weight: unused reading of Events matters less than unused reading of Secrets.
    #[must_use]
    pub fn weighted_excess(&self) -> f64 {
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let unused = self.granted_weight.saturating_sub(self.used_weight);
        share(size(unused), size(self.granted_weight))
    }
}

/// Measures one user. `weight` says how much harm an atom can do.
#[must_use]
pub fn measure(
    policy: &Policy,
    user: &User,
    used: &[Attributes],
    discovery: &Discovery,
    weight: &dyn Fn(&Atom) -> u64,
) -> Privilege {
    let mut atoms: BTreeSet<Atom> = BTreeSet::new();
    let mut namespaces = BTreeSet::new();
    let mut open_ended = 0;
    for held in held(policy, user) {
        if held.scope != Scope::Cluster {
            namespaces.insert(held.scope.clone());
        }
        let star = |list: &[String]| list.iter().any(|e| e == "*");
        open_ended += usize::from(star(&held.rule.resources) || star(&held.rule.api_groups));
        atoms.extend(expand(held.rule, &held.scope, discovery));
    }
    // What is held everywhere is not held again in a namespace.
    let everywhere: BTreeSet<Atom> = atoms
        .iter()
        .filter(|a| a.scope == Scope::Cluster)
        .cloned()
        .collect();
    atoms.retain(|atom| atom.scope == Scope::Cluster || !everywhere.contains(&everywhere_of(atom)));
    let used: BTreeSet<Atom> = used.iter().filter_map(|u| used_atom(u, &atoms)).collect();
    let weigh = |set: &BTreeSet<Atom>| set.iter().map(weight).fold(0, u64::saturating_add);
    let mut unused: Vec<Atom> = atoms.difference(&used).cloned().collect();
    unused.sort_by_key(|atom| std::cmp::Reverse(weight(atom)));
    Privilege {
        granted: atoms.len(),
        used: used.len(),
        granted_weight: weigh(&atoms),
        used_weight: weigh(&used),
        namespaces: namespaces.len(),
        open_ended,
        unlimited: user.groups.iter().any(|g| g == MASTERS),
        unused,
    }
}

/// What a rule gives on what is served. Rules for named objects count as much as rules for all: this
/// measures breadth of kinds, not of objects.
fn expand<'a>(
    rule: &'a Rule,
    scope: &'a Scope,
    discovery: &'a Discovery,
) -> impl Iterator<Item = Atom> + 'a {
    let given = |kind: &&Kind| {
        let (resource, sub) = kind
            .resource
            .split_once('/')
            .unwrap_or((&kind.resource, ""));
        (*scope == Scope::Cluster || kind.namespaced)
            && is_in_or_star(&rule.api_groups, &kind.group)
            && rule.allows_resource(resource, sub)
    };
    discovery.kinds().iter().filter(given).flat_map(|kind| {
        let verbs = kind.verbs.iter().filter(|v| is_in_or_star(&rule.verbs, v));
        verbs.map(|verb| Atom {
            scope: scope.clone(),
            group: kind.group.clone(),
            resource: kind.resource.clone(),
            verb: verb.clone(),
        })
    })
}

fn everywhere_of(atom: &Atom) -> Atom {
    Atom {
        scope: Scope::Cluster,
        ..atom.clone()
    }
}

/// The atom that a request used, among those that are held.
fn used_atom(used: &Attributes, held: &BTreeSet<Atom>) -> Option<Atom> {
    let Target::Resource(target) = &used.target else {
        return None;
    };
    let resource = match target.subresource.as_str() {
        "" => target.resource.clone(),
        sub => format!("{}/{sub}", target.resource),
    };
    let atom = Atom {
        scope: used.scope(),
        group: target.group.clone(),
        resource,
        verb: used.verb.clone(),
    };
    let everywhere = everywhere_of(&atom);
    [everywhere, atom].into_iter().find(|a| held.contains(a))
}

fn share(part: usize, whole: usize) -> f64 {
    let float = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        float(part) / float(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Objects;

    const SHOP: &str = r#"{
     "clusterRoles": [
      {"metadata": {"name": "see"}, "rules": [
       {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]},
      {"metadata": {"name": "do"}, "rules": [
       {"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "nodes"]}]},
      {"metadata": {"name": "all"}, "rules": [
       {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]}],
     "clusterRoleBindings": [
      {"metadata": {"name": "see"}, "subjects": [{"kind": "User", "name": "alice"}],
       "roleRef": {"kind": "ClusterRole", "name": "see"}},
      {"metadata": {"name": "all"}, "subjects": [{"kind": "User", "name": "root"}],
       "roleRef": {"kind": "ClusterRole", "name": "all"}}],
     "roleBindings": [
      {"metadata": {"name": "do", "namespace": "shop"}, "subjects": [{"kind": "User", "name": "alice"}],
       "roleRef": {"kind": "ClusterRole", "name": "do"}}]
    }"#;

    fn of(name: &str, used: &[Attributes]) -> Privilege {
        let policy = Policy::new(serde_json::from_str::<Objects>(SHOP).unwrap());
        let weight = |atom: &Atom| if atom.verb == "delete" { 10 } else { 1 };
        let discovery = Discovery::well_known();
        measure(&policy, &User::new(name, &[]), used, &discovery, &weight)
    }

    #[test]
    fn what_is_held_twice_or_in_vain_counts_once_or_never() {
        let used = [
            Attributes::resource("get", "", "pods", "shop").named("web"),
            Attributes::resource("get", "", "secrets", "shop"),
        ];
        let found = of("alice", &used);
        // get and list everywhere, delete in shop; get in shop is held already, nodes are dead there.
        assert_eq!((found.granted, found.used), (3, 1));
        assert_eq!((found.granted_weight, found.used_weight), (12, 1));
        assert_eq!((found.namespaces, found.open_ended), (1, 0));
        assert!((found.excess() - 2.0 / 3.0).abs() < 1e-9);
        assert!((found.weighted_excess() - 11.0 / 12.0).abs() < 1e-9);
        assert_eq!(found.unused[0].verb, "delete");
    }

    #[test]
    fn wildcards_are_what_is_served() {
        let found = of("root", &[]);
        let served = Discovery::well_known();
        let all: usize = served.kinds().iter().map(|k| k.verbs.len()).sum();
        assert_eq!((found.granted, found.open_ended), (all, 1));
        assert!((found.excess() - 1.0).abs() < 1e-9);
        let nobody = of("nobody", &[]);
        assert_eq!(nobody.granted, 0);
        assert!(nobody.excess() < f64::EPSILON);
    }
}
