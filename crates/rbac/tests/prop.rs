//! What must hold for any roles, bindings, people and requests.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use kubestile_rbac::covers::{covers, missing};
use kubestile_rbac::effective::{held, who_can};
use kubestile_rbac::escalation::{Facts, Graph, Node, Sink};
use kubestile_rbac::evaluate::{Attributes, User, authorize};
use kubestile_rbac::model::{ClusterRole, ClusterRoleBinding, Metadata, RoleBinding, RoleRef};
use kubestile_rbac::{Identity, Objects, Policy, Role, Rule, Subject};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const VERBS: [&str; 8] = [
    "get",
    "list",
    "create",
    "patch",
    "bind",
    "escalate",
    "impersonate",
    "*",
];
const GROUPS: [&str; 4] = ["", "apps", "rbac.authorization.k8s.io", "*"];
const RESOURCES: [&str; 12] = [
    "pods",
    "pods/log",
    "pods/*",
    "*/log",
    "secrets",
    "serviceaccounts/token",
    "rolebindings",
    "clusterroles",
    "users",
    "groups",
    "*",
    "*/*",
];
const NAMES: [&str; 3] = ["web", "till", ""];
const URLS: [&str; 6] = ["/", "/metrics", "/m*", "/m**", "*", "/a*b"];
const NAMESPACES: [&str; 3] = ["", "shop", "bank"];
const USERS: [&str; 3] = ["alice", "bob", "system:serviceaccount:shop:web"];
const TEAMS: [&str; 3] = ["dev", "ops", "system:authenticated"];

fn some(choices: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    subsequence(choices.to_vec(), 1..=most)
        .prop_map(|list| list.into_iter().map(str::to_owned).collect())
}

fn rule() -> impl Strategy<Value = Rule> {
    let names = prop_oneof![3 => Just(Vec::new()), 1 => some(&NAMES, 2)];
    let of_resources = (
        some(&VERBS, 3),
        some(&GROUPS, 2),
        some(&RESOURCES, 3),
        names,
    );
    prop_oneof![
        4 => of_resources.prop_map(|(verbs, api_groups, resources, resource_names)| Rule {
            verbs, api_groups, resources, resource_names, non_resource_urls: Vec::new(),
        }),
        1 => (some(&VERBS, 2), some(&URLS, 2)).prop_map(|(verbs, non_resource_urls)| Rule {
            verbs, non_resource_urls, ..Rule::default()
        }),
    ]
}

fn request() -> impl Strategy<Value = Attributes> {
    let resource = (
        select(VERBS.to_vec()),
        select(GROUPS.to_vec()),
        select(RESOURCES.to_vec()),
        select(NAMESPACES.to_vec()),
        select(NAMES.to_vec()),
    );
    let paths = ["/", "/metrics", "/mx", "/a*b", "*", ""];
    prop_oneof![
        4 => resource.prop_map(|(verb, group, resource, namespace, name)| {
            Attributes::resource(verb, group, resource, namespace).named(name)
        }),
        1 => (select(VERBS.to_vec()), select(paths.to_vec()))
            .prop_map(|(verb, path)| Attributes::path(verb, path)),
    ]
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        select(USERS.to_vec()).prop_map(Subject::user),
        select(TEAMS.to_vec()).prop_map(Subject::group),
        select(NAMESPACES.to_vec()).prop_map(|n| Subject::service_account(n, "web")),
    ]
}

fn policy() -> impl Strategy<Value = Objects> {
    let rules = || prop::collection::vec(rule(), 0..3);
    let subjects = || prop::collection::vec(subject(), 0..3);
    let cluster_roles = prop::collection::vec(rules(), 3);
    let roles = prop::collection::vec((select(vec!["shop", "bank"]), rules()), 3);
    let cluster_bindings = prop::collection::vec((subjects(), 0..4_usize), 0..4);
    let namespace = select(vec!["shop", "bank"]);
    let bindings = prop::collection::vec((namespace, subjects(), 0..4_usize, any::<bool>()), 0..6);
    (cluster_roles, roles, cluster_bindings, bindings).prop_map(
        |(cluster_roles, roles, of_cluster, of_namespaces)| {
            let name = |n: usize| format!("r{n}");
            Objects {
                cluster_roles: (0..)
                    .zip(cluster_roles)
                    .map(|(n, rules)| ClusterRole {
                        metadata: Metadata::named(&name(n)),
                        rules,
                        aggregation_rule: None,
                    })
                    .collect(),
                roles: (0..)
                    .zip(roles)
                    .map(|(n, (namespace, rules))| Role {
                        metadata: Metadata::namespaced(namespace, &name(n)),
                        rules,
                    })
                    .collect(),
                cluster_role_bindings: (0..)
                    .zip(of_cluster)
                    .map(|(n, (subjects, role))| ClusterRoleBinding {
                        metadata: Metadata::named(&name(n)),
                        subjects,
                        role_ref: RoleRef::cluster_role(&name(role)),
                    })
                    .collect(),
                role_bindings: (0..)
                    .zip(of_namespaces)
                    .map(|(n, (namespace, subjects, role, of_cluster))| RoleBinding {
                        metadata: Metadata::namespaced(namespace, &name(n)),
                        subjects,
                        role_ref: if of_cluster {
                            RoleRef::cluster_role(&name(role))
                        } else {
                            RoleRef::role(&name(role))
                        },
                    })
                    .collect(),
            }
        },
    )
}

fn user() -> impl Strategy<Value = User> {
    let groups = subsequence(TEAMS.to_vec(), 0..=2);
    (select(USERS.to_vec()), groups).prop_map(|(name, groups)| User::new(name, &groups))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whoever covers rules is allowed all that they allow.
    #[test]
    fn what_is_covered_is_allowed(
        owner in prop::collection::vec(rule(), 0..4),
        servant in prop::collection::vec(rule(), 0..3),
        asked in request(),
    ) {
        let uncovered = missing(&owner, &servant);
        prop_assert_eq!(covers(&owner, &servant), uncovered.is_empty());
        let allowed = |rules: &[Rule]| rules.iter().any(|r| r.allows(&asked));
        if allowed(&servant) {
            prop_assert!(allowed(&owner) || allowed(&uncovered));
        }
        prop_assert!(covers(&servant, &servant));
    }

    /// The answer to one user and the list of all holders never contradict each other, nor do the rules that
    /// somebody holds.
    #[test]
    fn every_view_says_the_same(objects in policy(), user in user(), asked in request()) {
        let policy = Policy::new(objects);
        let answer = authorize(&policy, &user, &asked);
        let holders = who_can(&policy, &asked).holders;
        let groups = user.groups.iter().map(|g| Identity::group(g));
        let listed = groups.chain([user.identity()]).any(|i| holders.contains_key(&i));
        prop_assert_eq!(answer.allowed, listed);
        let grants: Vec<_> = held(&policy, &user)
            .filter(|h| h.scope.includes(&asked.scope()) && h.rule.allows(&asked))
            .map(|h| h.grant)
            .collect();
        prop_assert_eq!(answer.because, grants);
    }

    /// Rights only add up: another binding takes nothing away.
    #[test]
    fn more_bindings_never_allow_less(
        objects in policy(), more in policy(), user in user(), asked in request(),
    ) {
        let before = authorize(&Policy::new(objects.clone()), &user, &asked).allowed;
        let mut objects = objects;
        let added = more.cluster_role_bindings.into_iter().map(|mut binding| {
            binding.metadata.name.push_str("-more");
            binding
        });
        objects.cluster_role_bindings.extend(added);
        let after = authorize(&Policy::new(objects), &user, &asked).allowed;
        prop_assert!(after || !before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every step of a path rests on what was owned before it and on rights that its owner holds, and a cut
    /// closes every path: also in the graph of the policy without the bindings that were cut.
    #[test]
    fn paths_are_derivations_and_cuts_close_them(objects in policy()) {
        let policy = Policy::new(objects.clone());
        let graph = Graph::new(&policy, &Facts::default());
        for (start, node) in graph.nodes() {
            let Node::Identity(identity) = node else { continue };
            let reached = graph.reach(&[start], &HashSet::new());
            for sink in reached.sinks() {
                let to = graph.id(&Node::Sink(sink)).unwrap();
                let path = reached.path(to).unwrap();
                let mut owned = HashSet::from([start]);
                for step in &path.steps {
                    prop_assert!(step.from.iter().all(|from| owned.contains(from)));
                    prop_assert!(step.needs.iter().all(|need| !need.grants.is_empty()));
                    owned.insert(step.to);
                }
                prop_assert!(owned.contains(&to));
                let toward = graph.toward(to);
                prop_assert_eq!(toward.path(start), Some(path));
                let any = toward.any_path(start).unwrap();
                prop_assert_eq!(any.steps.last().map(|step| step.to), Some(to));
                if let Some(cut) = toward.cut_first_steps(start, &|_| Some(1)) {
                    let removed = cut.into_iter().collect();
                    prop_assert!(!graph.reach(&[start], &removed).contains(to));
                }
                if sink != Sink::ClusterAdmin {
                    continue;
                }
                let Some(cut) = graph.cut(start, to, &|_| Some(1)) else { continue };
                let removed: HashSet<_> = cut.bindings.iter().copied().collect();
                prop_assert!(!graph.reach(&[start], &removed).contains(to));
                let without = without(&objects, &policy, &removed);
                let graph = Graph::new(&Policy::new(without), &Facts::default());
                let start = graph.id(&Node::Identity(identity.clone()));
                let to = graph.id(&Node::Sink(sink));
                if let (Some(start), Some(to)) = (start, to) {
                    prop_assert!(!graph.reach(&[start], &HashSet::new()).contains(to));
                }
            }
        }
    }
}

fn without(
    objects: &Objects,
    policy: &Policy,
    removed: &HashSet<kubestile_rbac::BindingId>,
) -> Objects {
    let gone = |namespace: &str, name: &str| {
        removed.iter().any(|id| {
            let binding = &policy.binding(*id).unwrap().metadata;
            binding.namespace == namespace && binding.name == name
        })
    };
    let mut objects = objects.clone();
    objects
        .cluster_role_bindings
        .retain(|b| !gone("", &b.metadata.name));
    objects
        .role_bindings
        .retain(|b| !gone(&b.metadata.namespace, &b.metadata.name));
    objects
}
