use super::*;

#[test]
fn reads_what_the_api_server_writes() {
    let role: ClusterRole = serde_json::from_str(
        r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"m",
        "labels":null,"uid":"x"},"rules":null,"aggregationRule":{"clusterRoleSelectors":[
        {"matchExpressions":[{"key":"a","operator":"Exists"}],"matchLabels":{"b":"c"}}]}}"#,
    )
    .unwrap();
    assert_eq!(role.metadata.name, "m");
    assert!(role.rules.is_empty());
    let selector = &role.aggregation_rule.unwrap().cluster_role_selectors[0];
    let labels = |list: &[(&str, &str)]| {
        let owned = |&(k, v): &(&str, &str)| (k.to_owned(), v.to_owned());
        list.iter().map(owned).collect()
    };
    assert!(selector.selects(&labels(&[("a", ""), ("b", "c")])));
    assert!(!selector.selects(&labels(&[("b", "c")])));
    assert!(!selector.selects(&labels(&[("a", ""), ("b", "d")])));
    assert!(Selector::default().selects(&labels(&[])));
}

#[test]
fn rules_are_written_as_they_were_read() {
    let text = r#"{"verbs":["get"],"nonResourceURLs":["/healthz*"]}"#;
    let rule: Rule = serde_json::from_str(text).unwrap();
    assert_eq!(rule, Rule::paths(&["get"], &["/healthz*"]));
    assert_eq!(serde_json::to_string(&rule).unwrap(), text);
}

#[test]
fn an_unknown_operator_selects_nothing() {
    let selector: Selector = serde_json::from_str(
        r#"{"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]}"#,
    )
    .unwrap();
    assert!(!selector.selects(&[("a".to_owned(), "2".to_owned())].into()));
}

#[test]
fn a_subject_means_somebody_or_nobody() {
    let account = Identity::service_account("shop", "web");
    let name = "system:serviceaccount:shop:web";
    assert_eq!(Subject::user(name).identity(""), Some(account.clone()));
    let unqualified = Subject::service_account("", "web");
    assert_eq!(unqualified.identity("shop"), Some(account.clone()));
    assert_eq!(unqualified.identity(""), None);
    assert_eq!(account.user_name().as_deref(), Some(name));
    let unknown = Subject {
        kind: "user".to_owned(),
        ..Subject::user("a")
    };
    assert_eq!(unknown.identity("shop"), None);
    let odd = "system:serviceaccount:shop:web:more";
    let user = Identity::User {
        name: odd.to_owned(),
    };
    assert_eq!(Identity::from_user_name(odd), user);
}

#[test]
fn everybody_is_in_the_groups_of_the_api_server() {
    let groups = |identity: Identity| identity.implicit_groups().join(" ");
    assert_eq!(
        groups(Identity::from_user_name("a")),
        "system:authenticated"
    );
    assert_eq!(
        groups(Identity::service_account("n", "a")),
        "system:serviceaccounts system:serviceaccounts:n system:authenticated"
    );
    assert_eq!(
        groups(Identity::from_user_name(ANONYMOUS)),
        "system:unauthenticated"
    );
    assert_eq!(
        groups(Identity::group("system:serviceaccounts:n")),
        "system:serviceaccounts:n system:serviceaccounts system:authenticated"
    );
    assert_eq!(groups(Identity::group(UNAUTHENTICATED)), UNAUTHENTICATED);
}

/// As `serviceaccount.SplitUsername` of Kubernetes decides it.
#[test]
fn only_names_that_can_be_service_accounts_are() {
    let long = format!("{SERVICE_ACCOUNT_PREFIX}{}:web", "a".repeat(64));
    for name in [
        "system:serviceaccount:shop",
        "system:serviceaccount:shop:",
        "system:serviceaccount::web",
        "system:serviceaccount:shop:web:more",
        "system:serviceaccount: shop:web",
        "system:serviceaccount:SHOP:web",
        "system:serviceaccount:shop.a:web",
        "system:serviceaccount:shop-:web",
        "system:serviceaccount:shop:web..a",
        "system:serviceaccount:shop:w/b",
        "SYSTEM:serviceaccount:shop:web",
        &long,
    ] {
        let user = Identity::User {
            name: name.to_owned(),
        };
        assert_eq!(Identity::from_user_name(name), user);
    }
    for (namespace, name) in [("shop", "web"), ("a-1", "web.v1-2.x")] {
        let user = format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}");
        let account = Identity::service_account(namespace, name);
        assert_eq!(Identity::from_user_name(&user), account);
    }
}
