use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::object::{Kind, desired};
use super::plan::rule_lines;
use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn namespaces(names: &[&str]) -> Vec<Namespace> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// The rules of a ClusterRole, one fact a line.
fn rules(mode: Mode, people: &People, name: &str) -> BTreeSet<String> {
    let objects = desired(&["shop".to_owned()], mode, people);
    let role = objects
        .iter()
        .find(|o| o.kind == Kind::ClusterRole && o.name == name)
        .unwrap();
    let rules = role.body["rules"].as_array().unwrap();
    rules.iter().flat_map(rule_lines).collect()
}

fn function(name: &str) -> BTreeSet<String> {
    rules(Mode::Constrained, &People::Any, name)
}

/// Whether some line gives `verb` on `resource` (group-qualified).
fn gives(lines: &BTreeSet<String>, verb: &str, resource: &str) -> bool {
    lines.iter().any(|line| {
        line.rsplit_once(' ')
            .is_some_and(|(verbs, what)| what == resource && verbs.split(", ").any(|v| v == verb))
    })
}

/// `UPDATE=1 cargo test -p kubestile-cluster` writes the files anew.
#[test]
fn deploy_rbac_is_what_we_render() {
    for mode in [Mode::Constrained, Mode::Legacy] {
        let path = repository().join(format!("deploy/rbac/{mode}.yaml"));
        let rendered = render(&namespaces(&["default"]), mode, &People::Any).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &rendered).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == rendered,
            "{} is out of date: run `UPDATE=1 cargo test -p kubestile-cluster`",
            path.display()
        );
    }
}

#[test]
fn what_is_rendered_can_be_read_back_and_does_not_depend_on_order() {
    let one = render(&namespaces(&["b", "a", "b"]), Mode::Legacy, &People::Any).unwrap();
    let other = render(&namespaces(&["a", "b"]), Mode::Legacy, &People::Any).unwrap();
    assert_eq!(one, other);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&one).unwrap();
    let bodies: Vec<Value> = desired(&["a".into(), "b".into()], Mode::Legacy, &People::Any)
        .into_iter()
        .map(|o| o.body)
        .collect();
    assert_eq!(documents, bodies);
}

#[test]
fn every_object_is_labelled_and_every_name_is_ours() {
    for object in desired(&["shop".to_owned()], Mode::Constrained, &People::Any) {
        let label = &object.body["metadata"]["labels"]["app.kubernetes.io/managed-by"];
        assert_eq!(label, "kubestile", "{object}");
        assert!(object.name.starts_with("kubestile"), "{object}");
    }
}

#[test]
fn the_gate_impersonates_and_nothing_else() {
    let constrained = rules(Mode::Constrained, &People::Any, "kubestile:gate");
    let expected = [
        "impersonate:user-info users.authentication.k8s.io",
        "impersonate:user-info uids.authentication.k8s.io",
        "impersonate:user-info groups.authentication.k8s.io `kubestile:viewer`",
        "impersonate:user-info groups.authentication.k8s.io `kubestile:operator:shop`",
        "impersonate:user-info groups.authentication.k8s.io `kubestile:admin:shop`",
        "impersonate:user-info userextras.authentication.k8s.io/kubestile.dev/grant",
        "impersonate:user-info userextras.authentication.k8s.io/kubestile.dev/request",
        "impersonate:user-info userextras.authentication.k8s.io/kubestile.dev/session",
    ];
    let (on, impersonation): (Vec<&String>, Vec<&String>) = constrained
        .iter()
        .partition(|line| line.starts_with("impersonate-on:user-info:"));
    let expected: BTreeSet<&str> = expected.into_iter().collect();
    let found: BTreeSet<&str> = impersonation.iter().map(|l| l.as_str()).collect();
    assert_eq!(found, expected);
    assert_eq!(on.len(), 2, "resources and paths: {on:?}");

    let legacy = rules(Mode::Legacy, &People::Any, "kubestile:gate");
    let expected: BTreeSet<String> = [
        "impersonate users",
        "impersonate uids.authentication.k8s.io",
        "impersonate groups `kubestile:viewer`",
        "impersonate groups `kubestile:operator:shop`",
        "impersonate groups `kubestile:admin:shop`",
        "impersonate userextras.authentication.k8s.io/kubestile.dev/grant",
        "impersonate userextras.authentication.k8s.io/kubestile.dev/request",
        "impersonate userextras.authentication.k8s.io/kubestile.dev/session",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(legacy, expected);
}

#[test]
fn named_people_are_the_only_ones_and_none_is_nobody() {
    let users = |people: &People| -> Vec<String> {
        let mut lines: Vec<String> = rules(Mode::Legacy, people, "kubestile:gate")
            .into_iter()
            .filter(|line| line.starts_with("impersonate users"))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(users(&People::Any), ["impersonate users"]);
    let two = People::Named(vec!["ana".into(), "ben".into()]);
    assert_eq!(
        users(&two),
        ["impersonate users `ana`", "impersonate users `ben`"]
    );
    assert!(users(&People::Named(Vec::new())).is_empty());
}

#[test]
fn job_functions_stop_where_they_should() {
    let (viewer, operator, admin) = (
        function("kubestile:viewer"),
        function("kubestile:operator"),
        function("kubestile:admin"),
    );
    for lines in [&viewer, &operator, &admin] {
        for line in lines {
            assert!(!line.contains('*'), "{line}");
            for never in [
                "nodes/proxy",
                "serviceaccounts/token",
                "impersonate",
                "escalate",
                "bind ",
                "approval",
                "signers",
                "finalize",
                "pods/binding",
            ] {
                assert!(!line.contains(never), "{line}");
            }
        }
    }
    for line in &viewer {
        assert!(line.starts_with("get, list, watch "), "{line}");
        assert!(!line.ends_with(" secrets"), "{line}");
    }
    assert!(gives(&viewer, "get", "pods/log") && gives(&viewer, "list", "nodes.metrics.k8s.io"));
    assert!(!operator.iter().any(|line| line.contains("secrets")));
    for (verb, what) in [
        ("create", "pods/exec"),
        ("get", "pods/exec"),
        ("create", "pods/portforward"),
        ("patch", "pods/ephemeralcontainers"),
        ("create", "pods/eviction"),
        ("patch", "deployments.apps/scale"),
        ("delete", "persistentvolumeclaims"),
        ("deletecollection", "jobs.batch"),
    ] {
        assert!(gives(&operator, verb, what), "{verb} {what}");
    }
    assert!(operator.is_subset(&admin));
    assert!(
        gives(&admin, "list", "secrets")
            && gives(&admin, "create", "rolebindings.rbac.authorization.k8s.io")
    );
    assert!(!gives(
        &operator,
        "create",
        "rolebindings.rbac.authorization.k8s.io"
    ));
    assert!(!gives(&operator, "create", "serviceaccounts"));
}

/// The second lock must open for what the first one opens for: each kind that a policy of the base
/// pack names is in the role.
#[test]
fn what_the_base_policies_permit_the_roles_can_do() {
    for (policy, role, verb) in [
        ("operator-changes", "kubestile:operator", "create"),
        ("operator-changes", "kubestile:operator", "patch"),
        ("operator-deletes", "kubestile:operator", "delete"),
        ("operator-proxies", "kubestile:operator", "get"),
        ("admin-manages-access", "kubestile:admin", "create"),
        ("admin-uses-secrets", "kubestile:admin", "delete"),
    ] {
        let path = repository().join(format!("policies/base/{policy}.cedar"));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = function(role);
        let kinds = kinds(&text);
        assert!(!kinds.is_empty(), "{policy} names no kind");
        for kind in kinds {
            let kind = match policy {
                "operator-proxies" => format!("{kind}/proxy"),
                _ => kind,
            };
            let has = lines.iter().any(|line| {
                line.rsplit_once(' ').is_some_and(|(verbs, what)| {
                    (what == kind || what.starts_with(&format!("{kind}.")))
                        && !what.contains(".k8s.io/")
                        && verbs.split(", ").any(|v| v == verb)
                })
            });
            assert!(has, "{policy} permits to {verb} {kind}, and {role} cannot");
        }
    }
}

/// The words of the list before `.contains(resource.resource)`, or the one word compared with it.
fn kinds(policy: &str) -> Vec<String> {
    let quoted = |text: &str| -> Vec<String> {
        let parts: Vec<&str> = text.split('"').collect();
        parts
            .iter()
            .skip(1)
            .step_by(2)
            .map(|p| (*p).to_owned())
            .collect()
    };
    if let Some((list, _)) = policy.split_once("].contains(resource.resource)") {
        return quoted(list.rsplit_once('[').unwrap().1);
    }
    let (_, rest) = policy.split_once("resource.resource == ").unwrap();
    quoted(rest.lines().next().unwrap())
}

#[test]
fn modes_have_one_text_form() {
    for mode in [Mode::Legacy, Mode::Constrained] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    assert!("Legacy".parse::<Mode>().is_err());
}

#[test]
fn rules_read_like_auth_can_i() {
    let rule = json!({
        "apiGroups": ["", "apps"], "resources": ["pods/exec"], "verbs": ["get", "create"],
        "resourceNames": ["a", "b"],
    });
    assert_eq!(
        rule_lines(&rule),
        [
            "create, get pods/exec `a`",
            "create, get pods/exec `b`",
            "create, get pods.apps/exec `a`",
            "create, get pods.apps/exec `b`",
        ]
    );
}
