use super::*;
use crate::model::{
    ClusterRole, ClusterRoleBinding, Metadata, Role, RoleBinding, RoleRef, Subject,
};
use crate::policy::Objects;

fn allows(rule: &Rule, verb: &str, group: &str, resource: &str, name: &str) -> bool {
    rule.allows(&Attributes::resource(verb, group, resource, "").named(name))
}

#[test]
fn resources_and_what_is_below_them_are_apart() {
    let rule = |resources: &[&str]| Rule::resources(&["get"], &[""], resources);
    let cases = [
        ("pods", "pods", true),
        ("pods", "pods/log", false),
        ("pods/log", "pods/log", true),
        ("pods/log", "pods", false),
        ("*", "pods", true),
        ("*", "pods/log", true),
        ("*/log", "pods/log", true),
        ("*/log", "pods", false),
        ("*/log", "pods/catalog", false),
        // These grant nothing that exists.
        ("pods/*", "pods/log", false),
        ("pods/*", "pods", false),
        ("*/*", "pods/log", false),
        ("*/*", "pods/*", true),
        ("pods/*", "pods/*", true),
        ("po*", "pods", false),
        ("*/", "pods", false),
        ("", "pods", false),
    ];
    for (held, asked, expected) in cases {
        let found = allows(&rule(&[held]), "get", "", asked, "");
        assert_eq!(found, expected, "{held} {asked}");
    }
}

#[test]
fn names_are_equal_or_not() {
    let rule = Rule::resources(&["*"], &["*"], &["secrets"]).named(&["a", "b"]);
    assert!(allows(&rule, "get", "", "secrets", "b"));
    assert!(!allows(&rule, "get", "", "secrets", "c"));
    assert!(!allows(&rule, "list", "", "secrets", ""));
    let unnamed = Rule::resources(&["list"], &[""], &["secrets"]).named(&[""]);
    assert!(allows(&unnamed, "list", "", "secrets", ""));
    let star = Rule::resources(&["get"], &[""], &["secrets"]).named(&["*"]);
    assert!(!allows(&star, "get", "", "secrets", "a"));
}

#[test]
fn groups_and_verbs_are_equal_or_star() {
    let rule = Rule::resources(&["get"], &["apps"], &["deployments"]);
    assert!(allows(&rule, "get", "apps", "deployments", ""));
    assert!(!allows(&rule, "get", "", "deployments", ""));
    assert!(!allows(&rule, "GET", "apps", "deployments", ""));
    assert!(!allows(&rule, "*", "apps", "deployments", ""));
    assert!(!allows(&Rule::default(), "get", "", "pods", ""));
}

#[test]
fn paths_match_to_the_star_at_the_end() {
    let cases = [
        ("/healthz", "/healthz", true),
        ("/healthz", "/healthz/", false),
        ("/healthz*", "/healthz/etcd", true),
        ("/apis/*", "/apis", false),
        ("/apis/*", "/apis/", true),
        ("/a***", "/ab", true),
        ("*", "/anything", true),
        ("*", "", true),
        ("/a/*/c", "/a/b/c", false),
        ("", "", true),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
    }
    let rule = Rule::paths(&["get"], &["/metrics"]);
    assert!(!allows(&rule, "get", "", "metrics", ""));
    assert!(!rule.allows(&Attributes::path("post", "/metrics")));
    let resource = Rule::resources(&["*"], &["*"], &["*"]);
    assert!(!resource.allows(&Attributes::path("get", "/metrics")));
}

fn cluster_role(name: &str, rules: Vec<Rule>) -> ClusterRole {
    ClusterRole {
        metadata: Metadata::named(name),
        rules,
        aggregation_rule: None,
    }
}

fn shop() -> Policy {
    let see = Rule::resources(&["get"], &[""], &["pods"]);
    let binding = |namespace: &str, name: &str, role_ref, subjects| RoleBinding {
        metadata: Metadata::namespaced(namespace, name),
        subjects,
        role_ref,
    };
    Policy::new(Objects {
        cluster_roles: vec![cluster_role(
            "see",
            vec![see.clone(), Rule::paths(&["get"], &["/x"])],
        )],
        roles: vec![Role {
            metadata: Metadata::namespaced("bank", "see"),
            rules: vec![see],
        }],
        cluster_role_bindings: vec![
            ClusterRoleBinding {
                metadata: Metadata::named("everywhere"),
                subjects: vec![
                    Subject::user("root"),
                    Subject::service_account("", "nobody"),
                ],
                role_ref: RoleRef::cluster_role("see"),
            },
            ClusterRoleBinding {
                metadata: Metadata::named("role-in-cluster"),
                subjects: vec![Subject::user("alice")],
                role_ref: RoleRef::role("see"),
            },
        ],
        role_bindings: vec![
            binding(
                "shop",
                "b",
                RoleRef::cluster_role("see"),
                vec![Subject::group("dev"), Subject::service_account("", "web")],
            ),
            binding(
                "bank",
                "b",
                RoleRef::role("see"),
                vec![Subject::user("alice")],
            ),
            binding(
                "shop",
                "c",
                RoleRef::role("see"),
                vec![Subject::user("alice")],
            ),
        ],
    })
}

fn ask(user: &User, namespace: &str) -> bool {
    authorize(
        &shop(),
        user,
        &Attributes::resource("get", "", "pods", namespace),
    )
    .allowed
}

#[test]
fn bindings_hold_where_they_are() {
    let root = User::new("root", &[]);
    assert!(ask(&root, "") && ask(&root, "shop") && ask(&root, "nowhere"));
    let dev = User::new("bob", &["dev"]);
    assert!(ask(&dev, "shop") && !ask(&dev, "bank") && !ask(&dev, ""));
    // A Role of another namespace, or of none, is not there.
    let alice = User::new("alice", &[]);
    assert!(ask(&alice, "bank") && !ask(&alice, "shop") && !ask(&alice, ""));
}

#[test]
fn paths_are_for_the_cluster_only() {
    let path = Attributes::path("get", "/x");
    assert!(authorize(&shop(), &User::new("root", &[]), &path).allowed);
    assert!(!authorize(&shop(), &User::new("bob", &["dev"]), &path).allowed);
}

#[test]
fn service_accounts_are_their_user_names() {
    assert!(ask(
        &User::new("system:serviceaccount:shop:web", &[]),
        "shop"
    ));
    assert!(!ask(
        &User::new("system:serviceaccount:bank:web", &[]),
        "shop"
    ));
    assert!(!ask(&User::new("web", &[]), "shop"));
    assert!(!ask(&User::new("system:serviceaccount::nobody", &[]), ""));
    // Nobody is put into a group here.
    assert!(!ask(&User::new("", &[]), "shop"));
}

#[test]
fn masters_are_never_judged() {
    let answer = authorize(
        &Policy::default(),
        &User::new("x", &[MASTERS]),
        &Attributes::path("get", "/"),
    );
    assert!(answer.allowed && answer.bypass && answer.because.is_empty());
    assert!(!ask(&User::new(MASTERS, &[]), "shop"));
}

#[test]
fn an_answer_says_why() {
    let policy = shop();
    let alice = User::new("alice", &[]);
    let pods = |namespace| Attributes::resource("get", "", "pods", namespace);
    let answer = authorize(&policy, &alice, &pods("bank"));
    let [grant] = answer.because[..] else {
        panic!("{answer:?}");
    };
    let binding = policy.binding(grant.binding).unwrap();
    assert_eq!(binding.to_string(), "RoleBinding bank/b");
    let role = policy.role(grant.role).unwrap();
    assert_eq!(role.to_string(), "Role bank/see");
    assert_eq!(grant.rule, 0);
    let refused = authorize(&policy, &alice, &pods("shop"));
    assert_eq!(refused.dangling.len(), 2);
    let names: Vec<String> = refused
        .dangling
        .iter()
        .map(|&id| policy.binding(id).unwrap().to_string())
        .collect();
    assert_eq!(
        names,
        ["ClusterRoleBinding role-in-cluster", "RoleBinding shop/c"]
    );
}
