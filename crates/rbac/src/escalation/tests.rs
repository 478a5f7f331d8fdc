use super::*;
use crate::policy::Objects;

/// Makes a policy of lines: `CRB user/alice: create pods` or `RB shop serviceaccount/shop/web: get secrets named x`.
/// Each line is a binding `b0`, `b1`, … to a role of its own, `r0`, `r1`, ….
fn policy(lines: &[&str]) -> Policy {
    use crate::model::{
        ClusterRole, ClusterRoleBinding, Metadata, RoleBinding, RoleRef, Rule, Subject,
    };
    let mut objects = Objects::default();
    for (number, line) in lines.iter().enumerate() {
        let (who, what) = line.split_once(": ").unwrap();
        let rules = what
            .split("; ")
            .map(|rule| {
                let words: Vec<&str> = rule.split(' ').collect();
                let verbs: Vec<&str> = words[0].split(',').collect();
                let (group, resource) = words[1].split_once(':').unwrap_or(("", words[1]));
                let rule = Rule::resources(&verbs, &[group], &[resource]);
                match words[..] {
                    [_, _, "named", name] => rule.named(&[name]),
                    _ => rule,
                }
            })
            .collect();
        let role = format!("r{number}");
        objects.cluster_roles.push(ClusterRole {
            metadata: Metadata::named(&role),
            rules,
            aggregation_rule: None,
        });
        let words: Vec<&str> = who.split(' ').collect();
        let subject = match words.last().unwrap().split('/').collect::<Vec<_>>()[..] {
            ["user", name] => Subject::user(name),
            ["group", name] => Subject::group(name),
            [_, namespace, name] => Subject::service_account(namespace, name),
            _ => panic!("{line}"),
        };
        let (name, subjects) = (format!("b{number}"), vec![subject]);
        let role_ref = RoleRef::cluster_role(&role);
        match words[..] {
            ["RB", namespace, _] => objects.role_bindings.push(RoleBinding {
                metadata: Metadata::namespaced(namespace, &name),
                subjects,
                role_ref,
            }),
            _ => objects.cluster_role_bindings.push(ClusterRoleBinding {
                metadata: Metadata::named(&name),
                subjects,
                role_ref,
            }),
        }
    }
    Policy::new(objects)
}

fn id(graph: &Graph, who: &str) -> NodeId {
    let node = graph
        .nodes()
        .find(|(_, n)| matches!(n, Node::Identity(i) if i.to_string() == who));
    node.unwrap_or_else(|| panic!("{who} is not there")).0
}

/// The sinks that alice reaches, and what service accounts.
fn reached(lines: &[&str], facts: &Facts) -> String {
    let graph = Graph::new(&policy(lines), facts);
    let reached = graph.reach(&[id(&graph, "user/alice")], &HashSet::new());
    let mut found: Vec<String> = reached
        .nodes()
        .filter_map(|node| match node {
            Node::Sink(sink) => Some(format!("{sink:?}")),
            Node::Identity(i) if i.to_string() != "user/alice" => Some(i.to_string()),
            Node::Accounts(namespace) => Some(format!("accounts/{namespace}")),
            Node::AnyAccount => Some("accounts".to_owned()),
            Node::AnyUser => Some("users".to_owned()),
            Node::Namespace(name) => Some(format!("all/{name}")),
            _ => None,
        })
        .collect();
    found.sort();
    found.join(" ")
}

fn alone(line: &str) -> String {
    let facts = Facts {
        exec_needs_create: true,
        namespaces: [(
            "shop".to_owned(),
            NamespaceFacts {
                pods_confined: Some(true),
                ..NamespaceFacts::default()
            },
        )]
        .into(),
        ..Facts::default()
    };
    reached(&[line], &facts)
}

const RBAC: &str = "rbac.authorization.k8s.io";

#[test]
fn a_single_verb_is_not_enough() {
    for rules in [
        format!("CRB user/alice: create {RBAC}:clusterrolebindings"),
        format!("CRB user/alice: bind {RBAC}:clusterroles"),
        format!("CRB user/alice: escalate {RBAC}:clusterroles"),
        format!("CRB user/alice: update {RBAC}:clusterroles"),
        "CRB user/alice: impersonate groups".to_owned(),
        "RB shop user/alice: impersonate users".to_owned(),
        "RB shop user/alice: create secrets".to_owned(),
        "RB shop user/alice: get pods/exec".to_owned(),
        "RB shop user/alice: get,list nodes/proxy".to_owned(),
        "RB shop user/alice: create deployments".to_owned(),
        "CRB user/alice: create certificates.k8s.io:certificatesigningrequests".to_owned(),
        "CRB user/alice: update certificates.k8s.io:certificatesigningrequests/approval".to_owned(),
        "RB shop user/alice: create pods named x".to_owned(),
        "CRB user/alice: get pods/*".to_owned(),
    ] {
        assert_eq!(alone(&rules), "", "{rules}");
    }
}

#[test]
fn each_technique_reaches_what_it_says() {
    let cases = [
        ("CRB user/alice: * *:*", "ClusterAdmin".to_owned()),
        (
            "RB shop user/alice: * *:*",
            "Interception NodeRoot accounts/shop all/shop".into(),
        ),
        (
            "CRB user/alice: impersonate groups; impersonate users named bob",
            "ClusterAdmin user/bob".into(),
        ),
        (
            "CRB user/alice: impersonate groups named system:masters; impersonate serviceaccounts named x",
            "ClusterAdmin group/system:masters".into(),
        ),
        (
            "RB shop user/alice: impersonate serviceaccounts",
            "accounts/shop".into(),
        ),
        (
            "RB shop user/alice: create serviceaccounts/token named web",
            "serviceaccount/shop/web".into(),
        ),
        ("RB shop user/alice: create pods", "accounts/shop".into()),
        (
            "RB open user/alice: create pods",
            "NodeRoot accounts/open".into(),
        ),
        (
            "RB shop user/alice: patch apps:deployments",
            "accounts/shop".into(),
        ),
        (
            "RB shop user/alice: patch pods/ephemeralcontainers",
            "accounts/shop".into(),
        ),
        (
            "RB shop user/alice: create pods/exec named web-0",
            "accounts/shop".into(),
        ),
        (
            "RB shop user/alice: create,get secrets",
            "accounts/shop".into(),
        ),
        (
            "RB shop user/alice: create pods; patch namespaces named shop",
            "NodeRoot accounts/shop".into(),
        ),
        (
            "RB kube-system user/alice: list secrets",
            "SystemSecrets accounts/kube-system".into(),
        ),
        (
            "CRB user/alice: get nodes/proxy",
            "NodeRoot accounts".into(),
        ),
        (
            "CRB user/alice: patch admissionregistration.k8s.io:mutatingwebhookconfigurations named x",
            "ClusterAdmin".into(),
        ),
        (
            "CRB user/alice: create apiregistration.k8s.io:apiservices",
            "Interception".into(),
        ),
    ];
    for (line, expected) in cases {
        let found = alone(line);
        if line.starts_with("RB shop user/alice: * ") {
            assert!(
                found.contains("all/shop") && !found.contains("ClusterAdmin"),
                "{found}"
            );
        } else {
            assert_eq!(found, expected, "{line}");
        }
    }
}

#[test]
fn bind_and_escalate_need_both_halves() {
    let write = format!("create {RBAC}:rolebindings");
    let both = format!("RB shop user/alice: {write}; bind {RBAC}:clusterroles");
    assert!(alone(&both).contains("all/shop"));
    let named = format!(
        "CRB user/alice: create {RBAC}:clusterrolebindings; bind {RBAC}:clusterroles named r1"
    );
    let lines = [named.as_str(), "RB bank user/bob: * *:*"];
    assert_eq!(reached(&lines, &Facts::default()), "ClusterAdmin");
    let other = [named.as_str(), "RB bank user/bob: get pods"];
    assert_eq!(reached(&other, &Facts::default()), "");
    let own = format!("CRB user/alice: patch,escalate {RBAC}:clusterroles named r0");
    assert_eq!(alone(&own), "ClusterAdmin");
    let anothers = format!("CRB user/alice: patch,escalate {RBAC}:clusterroles named view");
    assert_eq!(alone(&anothers), "");
}

/// Writing any rule takes more than the role that is bound: one that it gets its rules from will do, and so will one
/// that is not there yet.
#[test]
fn escalate_reaches_roles_by_way_of_others() {
    let reaches = |rights: &str, bound_in: &str, reference: &str, kind: &str| {
        let rights: Vec<serde_json::Value> = rights
            .split("; ")
            .map(|rule| {
                let words: Vec<&str> = rule.split(' ').collect();
                let verbs: Vec<&str> = words[0].split(',').collect();
                let names: Vec<&str> = words.iter().skip(2).copied().collect();
                serde_json::json!({ "verbs": verbs, "apiGroups": [RBAC], "resources": [words[1]],
                    "resourceNames": names })
            })
            .collect();
        let mut objects: Objects = serde_json::from_value(serde_json::json!({
            "clusterRoles": [
                { "metadata": { "name": "rights" }, "rules": rights },
                { "metadata": { "name": "plain" }, "rules": [] },
                { "metadata": { "name": "sum" }, "rules": [],
                    "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "to": "sum" } }] } },
            ],
            "roles": [{ "metadata": { "name": "plain", "namespace": "shop" }, "rules": [] }],
        }))
        .unwrap();
        let alice = || vec![crate::model::Subject::user("alice")];
        objects
            .cluster_role_bindings
            .push(crate::ClusterRoleBinding {
                metadata: crate::model::Metadata::named("rights"),
                subjects: alice(),
                role_ref: crate::RoleRef::cluster_role("rights"),
            });
        objects.role_bindings.push(crate::RoleBinding {
            metadata: crate::model::Metadata::namespaced(bound_in, "own"),
            subjects: alice(),
            role_ref: crate::RoleRef {
                kind: kind.to_owned(),
                ..crate::RoleRef::role(reference)
            },
        });
        let graph = Graph::new(&Policy::new(objects), &Facts::default());
        let alice = id(&graph, "user/alice");
        let whole = |edge: &&Edge| {
            edge.from == [alice]
                && matches!(graph.node(edge.to), Some(Node::Namespace(n)) if n == bound_in)
        };
        let edges = graph.edges().iter().filter(whole);
        edges.map(|e| e.technique).collect::<Vec<_>>()
    };
    let (escalate, aggregate) = (vec![Technique::Escalate], vec![Technique::Aggregate]);
    let none: Vec<Technique> = Vec::new();
    let cases = [
        // The role that is bound in the namespace, by its name; and another's rights on another role.
        (
            "patch,escalate clusterroles plain",
            "plain",
            "ClusterRole",
            &escalate,
        ),
        (
            "patch,escalate clusterroles sum",
            "plain",
            "ClusterRole",
            &none,
        ),
        (
            "patch clusterroles plain; escalate clusterroles sum",
            "plain",
            "ClusterRole",
            &none,
        ),
        ("patch,escalate roles plain", "plain", "Role", &escalate),
        ("patch,escalate roles other", "plain", "Role", &none),
        // What the role that is bound takes its rules from.
        (
            "create,escalate clusterroles",
            "sum",
            "ClusterRole",
            &aggregate,
        ),
        (
            "patch,escalate clusterroles plain",
            "sum",
            "ClusterRole",
            &aggregate,
        ),
        (
            "create,escalate clusterroles",
            "plain",
            "ClusterRole",
            &none,
        ),
        (
            "create,escalate clusterroles plain",
            "sum",
            "ClusterRole",
            &none,
        ),
        (
            "patch,escalate clusterroles gone",
            "sum",
            "ClusterRole",
            &none,
        ),
        ("create clusterroles", "sum", "ClusterRole", &none),
        // What a binding waits for.
        (
            "create,escalate clusterroles",
            "gone",
            "ClusterRole",
            &escalate,
        ),
        ("create,escalate roles", "gone", "Role", &escalate),
        ("create,escalate roles", "gone", "ClusterRole", &none),
        ("create roles", "gone", "Role", &none),
    ];
    for (rights, reference, kind, expected) in cases {
        let found = reaches(rights, "shop", reference, kind);
        assert_eq!(found, *expected, "{rights}, bound to {kind} {reference}");
    }
}

#[test]
fn a_namespace_owned_whole_completes_an_impersonation() {
    let lines = [
        "RB shop user/alice: * *:*",
        "CRB user/alice: impersonate groups named system:masters",
    ];
    assert!(reached(&lines, &Facts::default()).starts_with("ClusterAdmin "));
}

#[test]
fn exec_follows_the_version() {
    let line = "RB shop user/alice: get pods/exec";
    assert_eq!(reached(&[line], &Facts::default()), "accounts/shop");
    let facts = Facts {
        namespaces: [(
            "shop".to_owned(),
            NamespaceFacts {
                running: Some(["web".to_owned()].into()),
                ..NamespaceFacts::default()
            },
        )]
        .into(),
        ..Facts::default()
    };
    assert_eq!(reached(&[line], &facts), "serviceaccount/shop/web");
}

#[test]
fn conjunctions_span_identities() {
    let lines = [
        "CRB user/alice: create certificates.k8s.io:certificatesigningrequests",
        "RB shop user/alice: create serviceaccounts/token named approver",
        "CRB serviceaccount/shop/approver: update certificates.k8s.io:certificatesigningrequests/approval; \
         approve certificates.k8s.io:signers named kubernetes.io/kube-apiserver-client",
        "CRB user/root: * *:*",
    ];
    let found = reached(&lines, &Facts::default());
    assert!(
        found.starts_with("ClusterAdmin ControlPlane accounts"),
        "{found}"
    );
    let without = reached(&[lines[0], lines[1], lines[3]], &Facts::default());
    assert_eq!(without, "serviceaccount/shop/approver");
}

#[test]
fn a_path_says_every_step_after_what_it_needs() {
    let policy = policy(&[
        "RB shop user/alice: create pods",
        "CRB serviceaccount/shop/deployer: * *:*",
    ]);
    let graph = Graph::new(&policy, &Facts::default());
    let (alice, admin) = (
        id(&graph, "user/alice"),
        graph.id(&Node::Sink(Sink::ClusterAdmin)).unwrap(),
    );
    let paths = graph.paths(alice, admin, 5);
    let [path] = &paths[..] else {
        panic!("{paths:?}");
    };
    let steps: Vec<Technique> = path.steps.iter().map(|s| s.technique).collect();
    assert_eq!(
        steps,
        [
            Technique::Workload,
            Technique::Includes,
            Technique::Everything
        ]
    );
    assert_eq!((path.hops(), path.confidence()), (2, Confidence::Certain));
    assert_eq!(path.steps[0].needs[0].right, "create pods or workloads");
    let grant = path.steps[0].needs[0].grants[0];
    assert_eq!(
        policy.binding(grant.binding).unwrap().to_string(),
        "RoleBinding shop/b0"
    );
    assert!(graph.paths(admin, alice, 5).is_empty());
}

#[test]
fn paths_differ_and_the_best_comes_first() {
    let policy = policy(&[
        "RB shop user/alice: get,create pods/exec",
        "RB shop user/alice: create serviceaccounts/token",
        "CRB serviceaccount/shop/deployer: * *:*",
    ]);
    let graph = Graph::new(&policy, &Facts::default());
    let admin = graph.id(&Node::Sink(Sink::ClusterAdmin)).unwrap();
    let paths = graph.paths(id(&graph, "user/alice"), admin, 2);
    let first: Vec<Technique> = paths.iter().map(|p| p.steps[0].technique).collect();
    assert_eq!(first, [Technique::Token, Technique::Exec]);
    assert_eq!(paths[1].confidence(), Confidence::Likely);
}

#[test]
fn the_least_cut_is_found() {
    let policy = policy(&[
        "RB shop user/alice: create pods",
        "RB shop user/alice: create serviceaccounts/token",
        "CRB serviceaccount/shop/deployer: * *:*",
    ]);
    let graph = Graph::new(&policy, &Facts::default());
    let (alice, admin) = (
        id(&graph, "user/alice"),
        graph.id(&Node::Sink(Sink::ClusterAdmin)).unwrap(),
    );
    let names = |cut: &Cut| -> Vec<String> {
        let binding = |id: &BindingId| policy.binding(*id).unwrap().metadata.name.clone();
        cut.bindings.iter().map(binding).collect()
    };
    let cut = graph.cut(alice, admin, &|_| Some(1)).unwrap();
    assert_eq!((names(&cut), cut.is_least), (vec!["b2".to_owned()], true));
    // Where that one must stay, both others go.
    let stays = |id: BindingId| {
        let binding = policy.binding(id).unwrap();
        (binding.kind() == "RoleBinding").then_some(1)
    };
    let cut = graph.cut(alice, admin, &stays).unwrap();
    assert_eq!(names(&cut), ["b0", "b1"]);
    // What is used costs more.
    let used = |id: BindingId| {
        let name = &policy.binding(id).unwrap().metadata.name;
        Some(if name == "b2" { 10 } else { 1 })
    };
    assert_eq!(
        names(&graph.cut(alice, admin, &used).unwrap()),
        ["b0", "b1"]
    );
    assert!(graph.cut(alice, admin, &|_| None).is_none());
    assert!(graph.cut(admin, alice, &|_| Some(1)).is_none());
}

#[test]
fn a_removed_variant_does_not_hide_a_narrower_one() {
    // Without the rule for all names, the rule for one name still leads there.
    let policy = policy(&[
        "RB shop user/alice: create serviceaccounts/token",
        "RB shop user/alice: create serviceaccounts/token named deployer",
        "CRB serviceaccount/shop/deployer: * *:*",
    ]);
    let graph = Graph::new(&policy, &Facts::default());
    let admin = graph.id(&Node::Sink(Sink::ClusterAdmin)).unwrap();
    let stays = |id: BindingId| {
        let binding = policy.binding(id).unwrap();
        (binding.kind() == "RoleBinding").then_some(1)
    };
    let cut = graph.cut(id(&graph, "user/alice"), admin, &stays).unwrap();
    assert_eq!(cut.bindings.len(), 2);
}

#[test]
fn members_of_groups_add_up() {
    let lines = [
        "CRB group/a: create rbac.authorization.k8s.io:clusterrolebindings",
        "CRB group/b: bind rbac.authorization.k8s.io:clusterroles",
    ];
    let facts = Facts {
        memberships: [("alice".to_owned(), ["a".to_owned(), "b".to_owned()].into())].into(),
        ..Facts::default()
    };
    assert_eq!(reached(&lines, &facts), "ClusterAdmin");
}
