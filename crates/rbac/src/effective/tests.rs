use super::*;
use crate::discovery::Discovery;
use crate::policy::Objects;

/// A policy from YAML's poor cousin, so that the tests read as a cluster does.
fn policy(json: &str) -> Policy {
    Policy::new(serde_json::from_str::<Objects>(json).unwrap())
}

const SHOP: &str = r#"{
 "clusterRoles": [
  {"metadata": {"name": "reader"}, "rules": [
   {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "nodes", "namespaces"]},
   {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]},
  {"metadata": {"name": "lonely"}, "rules": []}],
 "roles": [
  {"metadata": {"name": "odd", "namespace": "shop"}, "rules": [
   {"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]},
   {"verbs": ["create", "deletecollection", "get"], "apiGroups": [""], "resources": ["secrets"],
    "resourceNames": ["till"]},
   {"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"], "resourceNames": ["web-0"]},
   {"verbs": ["create", "patch"], "apiGroups": [""], "resources": ["secrets"],
    "resourceNames": ["till"]}]}],
 "clusterRoleBindings": [
  {"metadata": {"name": "ops"}, "subjects": [{"kind": "Group", "name": "ops"}],
   "roleRef": {"kind": "ClusterRole", "name": "reader"}},
  {"metadata": {"name": "gone"}, "subjects": [{"kind": "ServiceAccount", "name": "x"}],
   "roleRef": {"kind": "ClusterRole", "name": "gone"}}],
 "roleBindings": [
  {"metadata": {"name": "dev", "namespace": "shop"},
   "subjects": [{"kind": "User", "name": "alice"}, {"kind": "ServiceAccount", "name": "web"}],
   "roleRef": {"kind": "ClusterRole", "name": "reader"}},
  {"metadata": {"name": "odd", "namespace": "shop"}, "subjects": null,
   "roleRef": {"kind": "Role", "name": "odd"}}]
}"#;

#[test]
fn what_somebody_holds_by_scope() {
    let policy = policy(SHOP);
    let found = rules(&policy, &User::new("alice", &["ops"]));
    let scopes: Vec<&Scope> = found.keys().collect();
    assert_eq!(scopes, [&Scope::Cluster, &Scope::of("shop")]);
    assert_eq!(found[&Scope::Cluster].len(), 2);
    assert!(rules(&policy, &User::new("mallory", &[])).is_empty());
}

#[test]
fn who_can_see_pods() {
    let policy = policy(SHOP);
    let holders = |namespace: &str| -> Vec<String> {
        let who = who_can(&policy, &Attributes::resource("get", "", "pods", namespace));
        who.holders.keys().map(ToString::to_string).collect()
    };
    assert_eq!(
        holders("shop"),
        [
            "user/alice",
            "group/ops",
            "group/system:masters",
            "serviceaccount/shop/web"
        ]
    );
    assert_eq!(holders("bank"), ["group/ops", "group/system:masters"]);
    assert_eq!(holders(""), ["group/ops", "group/system:masters"]);
}

#[test]
fn what_gives_nothing_is_found() {
    let policy = policy(SHOP);
    let found: Vec<String> = dead(&policy, &Discovery::well_known())
        .into_iter()
        .map(|d| {
            let on = match (d.binding, d.role) {
                (Some(id), _) => policy.binding(id).unwrap().to_string(),
                (None, Some(id)) => policy.role(id).unwrap().to_string(),
                (None, None) => String::new(),
            };
            let rule = d.rule.map(|r| format!("[{r}]")).unwrap_or_default();
            format!("{on}{rule} {} {:?}", d.part, d.why)
        })
        .collect();
    assert_eq!(
        found,
        [
            "Role shop/odd[0] pods/* SubresourceWildcard",
            "Role shop/odd[1] deletecollection NeverNamed",
            "Role shop/odd[1] create NamedCreate",
            "ClusterRoleBinding gone x ImpossibleSubject",
            "ClusterRoleBinding gone gone NoSuchRole",
            "RoleBinding shop/dev[0] nodes ClusterScopedInNamespace",
            "RoleBinding shop/dev[1] /metrics PathInNamespace",
            "RoleBinding shop/odd  NoSubject",
            "ClusterRole lonely lonely Unbound",
        ]
    );
}

#[test]
fn only_a_whole_discovery_knows_what_is_not_served() {
    let json = r#"{"clusterRoles": [{"metadata": {"name": "r"}, "rules": [
        {"verbs": ["get"], "apiGroups": ["x.io"], "resources": ["things", "*/scale", "*/status"]}]}]}"#;
    let unknown = |discovery: &Discovery| -> Vec<String> {
        dead(&policy(json), discovery)
            .into_iter()
            .filter(|d| d.why == Why::UnknownResource)
            .map(|d| d.part)
            .collect()
    };
    assert!(unknown(&Discovery::well_known()).is_empty());
    let kind = crate::discovery::Kind {
        group: "x.io".to_owned(),
        resource: "others/status".to_owned(),
        namespaced: true,
        verbs: Vec::new(),
    };
    assert_eq!(unknown(&Discovery::new(vec![kind])), ["things", "*/scale"]);
}
