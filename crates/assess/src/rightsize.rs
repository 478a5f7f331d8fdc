//! The least rights that each subject needs, from what they did, against what they hold.

use std::collections::{BTreeMap, BTreeSet};

use kubestile_rbac::effective::held;
use kubestile_rbac::least::{Operation, Options, Proof, Proposal, also_asked, propose, prove};
use kubestile_rbac::privilege::Atom;
use kubestile_rbac::{Attributes, Identity, Policy, Target, User, authorize};
use serde::Serialize;

use crate::traffic::{Kind, Traffic};

/// For whom to write roles.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only these; everybody who is no part of Kubernetes otherwise.
    pub subjects: BTreeSet<Identity>,
    /// Groups instead of the people in them.
    pub groups: bool,
    /// Only what was done in this namespace.
    pub namespace: Option<String>,
}

/// What one subject needs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rightsized {
    /// Who.
    pub subject: Identity,
    /// The roles and bindings, and what was seen.
    pub proposal: Proposal,
    /// That they are enough and not more.
    pub proof: Proof,
    /// What they did and no role of today allows: another authorizer did, or a right that is gone.
    pub not_held: Vec<Attributes>,
    /// What they did, and for which the API server also asks for something that no log shows: see
    /// [`kubestile_rbac::least::also_asked`]. These roles may not be enough for it.
    pub also_asked: Vec<Attributes>,
    /// Bindings that these would replace, as one would name them.
    pub replaces: Vec<String>,
}

/// For each subject that was seen, what they need. `today` is what there is.
#[must_use]
pub fn rightsize(
    today: &Policy,
    traffic: &Traffic,
    wanted: &Wanted,
    options: Options,
) -> Vec<Rightsized> {
    let mut names = BTreeSet::new();
    done(traffic, wanted)
        .into_iter()
        .map(|(subject, (user, operations))| {
            let name = unique(&mut names, &subject);
            one(today, subject, &user, &operations, &name, options)
        })
        .collect()
}

/// Who did what. Members' operations are their groups' together.
fn done(traffic: &Traffic, wanted: &Wanted) -> BTreeMap<Identity, (User, Vec<Operation>)> {
    let mut found: BTreeMap<Identity, (User, Vec<Operation>)> = BTreeMap::new();
    let asks_groups = wanted.groups
        || wanted
            .subjects
            .iter()
            .any(|s| matches!(s, Identity::Group { .. }));
    for who in &traffic.subjects {
        let operations: Vec<Operation> = who
            .operations()
            .into_iter()
            .filter(|o| is_in(&o.attributes, wanted.namespace.as_deref()))
            .collect();
        if operations.is_empty() {
            continue;
        }
        let identity = who.identity();
        let chosen = match wanted.subjects.is_empty() {
            true => who.kind() != Kind::Component && !is_system(&identity) && !wanted.groups,
            false => wanted.subjects.contains(&identity),
        };
        if chosen {
            found.insert(identity, (who.user(), operations.clone()));
        }
        let groups = who
            .groups
            .iter()
            .filter(|g| asks_groups && !g.starts_with("system:"));
        for group in groups.map(|g| Identity::group(g)) {
            if wanted.subjects.is_empty() || wanted.subjects.contains(&group) {
                let user = User::of(&group);
                let entry = found.entry(group).or_insert_with(|| (user, Vec::new()));
                entry.1.extend(operations.iter().cloned());
            }
        }
    }
    found
}

fn is_system(identity: &Identity) -> bool {
    matches!(identity, Identity::ServiceAccount { namespace, .. }
        if matches!(namespace.as_str(), "kube-system" | "kubestile-system"))
}

fn is_in(attributes: &Attributes, namespace: Option<&str>) -> bool {
    match (&attributes.target, namespace) {
        (_, None) => true,
        (Target::Resource(target), Some(namespace)) => target.namespace == namespace,
        (Target::Path(_), Some(_)) => false,
    }
}

fn one(
    today: &Policy,
    subject: Identity,
    user: &User,
    operations: &[Operation],
    name: &str,
    options: Options,
) -> Rightsized {
    // What everybody has who logs in stays as it is.
    let everybody = User {
        name: String::new(),
        uid: String::new(),
        groups: subject
            .implicit_groups()
            .into_iter()
            .filter(|g| g.starts_with("system:"))
            .collect(),
    };
    let (mut needed, mut not_held) = (Vec::new(), BTreeSet::new());
    for operation in operations {
        if operation.allowed && authorize(today, &everybody, &operation.attributes).allowed {
            continue;
        }
        if operation.allowed && !authorize(today, user, &operation.attributes).allowed {
            not_held.insert(operation.attributes.clone());
            continue;
        }
        needed.push(operation.clone());
    }
    let also_asked: BTreeSet<Attributes> = needed
        .iter()
        .filter(|o| o.allowed && also_asked(&o.attributes).is_some())
        .map(|o| o.attributes.clone())
        .collect();
    let proposal = propose(today, user, &needed, name, options);
    let proof = prove(today, &Policy::new(proposal.objects.clone()), user, &needed);
    Rightsized {
        replaces: replaces(today, user, &everybody),
        subject,
        proposal,
        proof,
        not_held: not_held.into_iter().collect(),
        also_asked: also_asked.into_iter().collect(),
    }
}

/// Bindings that give them something and that not everybody has.
fn replaces(today: &Policy, user: &User, everybody: &User) -> Vec<String> {
    let all: BTreeSet<_> = held(today, everybody).map(|h| h.grant.binding).collect();
    let mine: BTreeSet<_> = held(today, user).map(|h| h.grant.binding).collect();
    mine.difference(&all)
        .filter_map(|id| today.binding(*id))
        .map(ToString::to_string)
        .collect()
}

/// A name for the new objects: a DNS label that says whose they are. Two subjects never have the same.
fn unique(names: &mut BTreeSet<String>, subject: &Identity) -> String {
    let label: String = subject
        .to_string()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    let base = format!("least-{}", label.trim_matches('-'));
    let mut name = base.clone();
    let mut number = 2_u32;
    while !names.insert(name.clone()) {
        // `x` cannot be read as the number of a role.
        name = format!("{base}-x{number}");
        number += 1;
    }
    name
}

/// What was done, whatever the object's name: what job functions are made of.
#[must_use]
pub fn atoms(operations: &[Operation]) -> BTreeSet<Atom> {
    let used = operations.iter().filter(|o| o.allowed);
    used.filter_map(|o| match &o.attributes.target {
        Target::Resource(target) => Some(Atom {
            scope: o.attributes.scope(),
            group: target.group.clone(),
            resource: match target.subresource.as_str() {
                "" => target.resource.clone(),
                sub => format!("{}/{sub}", target.resource),
            },
            verb: o.attributes.verb.clone(),
        }),
        Target::Path(_) => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use kubestile_rbac::Objects;
    use serde_json::json;

    use super::*;
    use crate::traffic::{Subject, Use};

    fn today() -> Policy {
        let objects: Objects = serde_json::from_value(json!({
         "clusterRoles": [
          {"metadata": {"name": "edit"}, "rules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["pods", "secrets"]}]},
          {"metadata": {"name": "named"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"],
           "resourceNames": ["web-x2x8k", "web-l9w4q"]}]}],
         "roleBindings": [
          {"metadata": {"name": "dev", "namespace": "shop"}, "subjects": [{"kind": "Group", "name": "dev"}],
           "roleRef": {"kind": "ClusterRole", "name": "edit"}},
          {"metadata": {"name": "bo", "namespace": "shop"}, "subjects": [{"kind": "User", "name": "bo"}],
           "roleRef": {"kind": "ClusterRole", "name": "named"}}]
        }))
        .unwrap();
        Policy::new(objects)
    }

    fn traffic(who: &str, groups: &[&str], uses: &[(&str, &str, bool)]) -> Traffic {
        let used = |(verb, name, allowed): &(&str, &str, bool)| Use {
            attributes: Attributes::resource(verb, "", "pods", "shop").named(name),
            allowed: *allowed,
            count: 3,
            command: None,
        };
        Traffic {
            subjects: vec![Subject {
                name: who.to_owned(),
                groups: groups.iter().map(|&g| g.to_owned()).collect(),
                uses: uses.iter().map(used).collect(),
                ..Subject::default()
            }],
            ..Traffic::default()
        }
    }

    #[test]
    fn a_person_and_their_group_get_what_was_used() {
        let log = traffic(
            "alice",
            &["dev"],
            &[
                ("list", "", true),
                ("get", "till", true),
                ("delete", "till", false),
            ],
        );
        for groups in [false, true] {
            let wanted = Wanted {
                groups,
                ..Wanted::default()
            };
            let found = rightsize(&today(), &log, &wanted, Options::default());
            assert_eq!(found.len(), 1);
            assert!(found[0].proof.holds(), "{:?}", found[0].proof);
            assert_eq!(found[0].replaces, ["RoleBinding shop/dev"]);
            assert_eq!(found[0].proposal.requested.len(), 1);
            let kind = &found[0].proposal.objects.role_bindings[0].subjects[0];
            assert_eq!(kind.name, if groups { "dev" } else { "alice" });
        }
    }

    /// A generated name becomes every name only where every name is held.
    #[test]
    fn names_that_are_all_that_is_held_stay() {
        let log = traffic(
            "bo",
            &[],
            &[("get", "web-x2x8k", true), ("delete", "web-x2x8k", true)],
        );
        let found = rightsize(&today(), &log, &Wanted::default(), Options::default());
        assert!(found[0].proof.holds(), "{:?}", found[0].proof);
        assert_eq!(found[0].not_held.len(), 1);
        let rule = &found[0].proposal.objects.cluster_roles[0].rules[0];
        assert_eq!(rule.resource_names, ["web-x2x8k"]);
    }

    /// Who binds roles must hold what they give, or `bind`: a log shows neither.
    #[test]
    fn what_no_log_shows_is_said() {
        let mut objects = Objects::default();
        objects.cluster_roles.push(
            serde_json::from_value(json!({ "metadata": { "name": "binder" }, "rules": [
                { "verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"] }] }))
            .unwrap(),
        );
        objects.role_bindings.push(
            serde_json::from_value(json!({ "metadata": { "name": "b", "namespace": "shop" },
                "subjects": [{ "kind": "User", "name": "bo" }],
                "roleRef": { "kind": "ClusterRole", "name": "binder" } }))
            .unwrap(),
        );
        let mut log = traffic("bo", &[], &[]);
        log.subjects[0].uses.push(Use {
            attributes: Attributes::resource(
                "create",
                "rbac.authorization.k8s.io",
                "rolebindings",
                "shop",
            ),
            allowed: true,
            count: 1,
            command: None,
        });
        let found = rightsize(
            &Policy::new(objects),
            &log,
            &Wanted::default(),
            Options::default(),
        );
        assert!(found[0].proof.holds());
        assert_eq!(
            found[0].also_asked,
            [log.subjects[0].uses[0].attributes.clone()]
        );
    }

    #[test]
    fn names_of_objects_never_meet() {
        let mut names = BTreeSet::new();
        let all: Vec<String> = ["a.b", "a-b", "A/B"]
            .iter()
            .map(|n| unique(&mut names, &Identity::from_user_name(n)))
            .collect();
        assert_eq!(
            all,
            ["least-user-a-b", "least-user-a-b-x2", "least-user-a-b-x3"]
        );
    }
}
