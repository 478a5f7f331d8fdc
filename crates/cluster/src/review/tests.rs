use super::rules::facts;
use super::*;

/// A SelfSubjectRulesReview with these rules beside what every account has.
fn review(rules: &Value, paths: &Value, incomplete: bool) -> Value {
    let mut all = vec![json!({
        "verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
        "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    })];
    all.extend(rules.as_array().unwrap().iter().cloned());
    let mut urls = vec![json!({ "verbs": ["get"], "nonResourceURLs": ["/api", "/healthz"] })];
    urls.extend(paths.as_array().unwrap().iter().cloned());
    json!({ "status": { "resourceRules": all, "nonResourceRules": urls, "incomplete": incomplete } })
}

fn everywhere(rules: &Value) -> Facts {
    let (facts, complete) = facts(&review(rules, &json!([]), false));
    Facts {
        by_namespace: LOOKED_AT.map(|n| (n, facts.clone())).into(),
        complete,
    }
}

fn found(own: &Facts, shared: &Facts, mode: Mode) -> Vec<String> {
    unexpected(own, shared, Some(mode)).into_iter().collect()
}

fn rule(verb: &str, group: &str, resource: &str, names: &[&str]) -> Value {
    json!({ "verbs": [verb], "apiGroups": [group], "resources": [resource], "resourceNames": names })
}

const AUTHENTICATION: &str = "authentication.k8s.io";

#[test]
fn what_we_install_is_by_design_and_only_in_its_own_mode() {
    let constrained = json!([
        rule("impersonate:user-info", AUTHENTICATION, "users", &[]),
        rule("impersonate:user-info", AUTHENTICATION, "uids", &[]),
        rule(
            "impersonate:user-info",
            AUTHENTICATION,
            "groups",
            &["kubestile:viewer", "kubestile:admin:shop"]
        ),
        rule(
            "impersonate:user-info",
            AUTHENTICATION,
            "userextras/kubestile.dev/session",
            &[]
        ),
        rule("impersonate-on:user-info:get", "*", "*", &[]),
    ]);
    let own = everywhere(&constrained);
    assert!(found(&own, &Facts::none(), Mode::Constrained).is_empty());
    assert!(own.all().any(Fact::impersonates_users));
    assert_eq!(found(&own, &Facts::none(), Mode::Legacy).len(), 6);
    let both = json!([
        rule("impersonate:user-info", AUTHENTICATION, "users", &[]),
        rule("impersonate", "", "users", &[]),
    ]);
    assert_eq!(
        found(&everywhere(&both), &Facts::none(), Mode::Constrained),
        ["impersonate users"]
    );
}

#[test]
fn whatever_else_is_excess() {
    for (verb, group, resource, names, words) in [
        ("get", "", "secrets", &[][..], "get secrets"),
        ("*", "*", "*", &[], "* *.*"),
        ("impersonate", "", "groups", &[], "impersonate groups"),
        (
            "impersonate",
            "",
            "groups",
            &["system:masters"],
            "impersonate groups system:masters",
        ),
        (
            "impersonate",
            "",
            "serviceaccounts",
            &[],
            "impersonate serviceaccounts",
        ),
        (
            "impersonate",
            AUTHENTICATION,
            "userextras/scopes",
            &[],
            "impersonate userextras.authentication.k8s.io/scopes",
        ),
        (
            "impersonate",
            AUTHENTICATION,
            "userextras/*",
            &[],
            "impersonate userextras.authentication.k8s.io/*",
        ),
        ("*", "", "users", &[], "* users"),
        (
            "create",
            "",
            "serviceaccounts/token",
            &[],
            "create serviceaccounts/token",
        ),
        (
            "create",
            "",
            "serviceaccounts/token",
            &["default"],
            "create serviceaccounts/token default",
        ),
        (
            "update",
            "apps",
            "deployments/scale",
            &[],
            "update deployments.apps/scale",
        ),
    ] {
        let own = everywhere(&json!([rule(verb, group, resource, names)]));
        assert_eq!(found(&own, &Facts::none(), Mode::Legacy), [words]);
    }
}

#[test]
fn its_own_token_is_by_design_in_its_own_namespace_only() {
    let own = everywhere(&json!([rule(
        "create",
        "",
        "serviceaccounts/token",
        &["kubestile-gate"]
    )]));
    assert_eq!(
        found(&own, &Facts::none(), Mode::Legacy),
        [
            "create serviceaccounts/token kubestile-gate in default",
            "create serviceaccounts/token kubestile-gate in kube-system",
        ]
    );
}

#[test]
fn what_every_account_has_is_not_the_gates() {
    let everybodys = json!([rule("get", "config.openshift.io", "infrastructures", &[])]);
    let shared = everywhere(&everybodys);
    let mut more = everybodys.as_array().unwrap().clone();
    more.push(rule("get", "", "configmaps", &[]));
    let own = everywhere(&json!(more));
    assert_eq!(found(&own, &shared, Mode::Legacy), ["get configmaps"]);
    assert_eq!(
        found(&own, &Facts::none(), Mode::Legacy).len(),
        2,
        "unknown what everybody has: all of it counts"
    );
}

#[test]
fn an_incomplete_list_is_not_taken_for_a_whole_one() {
    assert!(facts(&review(&json!([]), &json!([]), false)).1);
    assert!(!facts(&review(&json!([]), &json!([]), true)).1);
    assert!(!facts(&json!({})).1);
}

#[test]
fn paths_are_facts_too() {
    let urls = json!([{ "verbs": ["get"], "nonResourceURLs": ["/metrics", "/version"] }]);
    let (facts, _) = facts(&review(&json!([]), &urls, false));
    let own = Facts {
        by_namespace: LOOKED_AT.map(|n| (n, facts.clone())).into(),
        complete: true,
    };
    assert_eq!(found(&own, &Facts::none(), Mode::Legacy), ["get /metrics"]);
}

#[test]
fn the_table_names_each_right_once_and_never_one_that_is_needed() {
    for mode in [Mode::Legacy, Mode::Constrained] {
        let words: Vec<String> = forbidden(Some(mode)).iter().map(Question::words).collect();
        let once: BTreeSet<&String> = words.iter().collect();
        assert_eq!(once.len(), words.len());
        for question in needed(mode) {
            assert!(!words.contains(&question.words()), "{}", question.words());
        }
        for worst in [
            "get secrets",
            "create pods",
            "create pods/exec",
            "get nodes/proxy",
            "create serviceaccounts/token",
            "bind clusterroles.rbac.authorization.k8s.io",
            "escalate clusterroles.rbac.authorization.k8s.io",
            "create clusterrolebindings.rbac.authorization.k8s.io",
            "update certificatesigningrequests.certificates.k8s.io/approval",
            "impersonate groups system:masters",
            "impersonate:user-info groups.authentication.k8s.io system:masters",
            "impersonate serviceaccounts default in kube-system",
        ] {
            assert!(words.iter().any(|w| w == worst), "{worst}");
        }
    }
}

#[test]
fn questions_are_what_the_api_server_expects() {
    let secrets = forbidden(None)
        .into_iter()
        .find(|q| q.words() == "update certificatesigningrequests.certificates.k8s.io/approval")
        .unwrap();
    assert_eq!(
        secrets.attributes(),
        json!({ "resourceAttributes": {
            "verb": "update", "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
            "subresource": "approval", "namespace": "", "name": "",
        }})
    );
    let session = needed(Mode::Legacy)
        .into_iter()
        .find(|q| q.words().contains("session"))
        .unwrap();
    assert_eq!(
        session.attributes()["resourceAttributes"]["subresource"],
        "kubestile.dev/session"
    );
    let metrics = forbidden(None)
        .into_iter()
        .find(|q| q.words() == "get /metrics")
        .unwrap();
    assert_eq!(
        metrics.attributes(),
        json!({ "nonResourceAttributes": { "verb": "get", "path": "/metrics" } })
    );
}

#[test]
fn a_setting_allows_excess_by_name_and_nothing_near_it() {
    let review = Review {
        excess: vec!["get secrets".into(), "list secrets".into()],
        missing: Vec::new(),
        mode: None,
    };
    assert_eq!(
        review.excess_beyond(&["get secrets".into()]),
        ["list secrets"]
    );
    assert_eq!(
        review.excess_beyond(&["secrets".into(), "*".into()]).len(),
        2
    );
}
