//! The objects that make up the account and its job functions.

use std::fmt;

use kubestile_core::impersonate::{EXTRA_GRANT, EXTRA_REQUEST, EXTRA_SESSION};
use serde_json::{Value, json};

use super::functions::{self, rule};
use super::{Mode, NAME, NAMESPACE, People};

pub(crate) const LABEL: &str = "app.kubernetes.io/managed-by";
pub(crate) const OWNER: &str = "kubestile";
pub(crate) const GATE_ROLE: &str = "kubestile:gate";
const TOKEN_ROLE: &str = "kubestile:gate-token";
pub(crate) const VIEWER: &str = "kubestile:viewer";
/// Reading of what other parties add to the built-in `view` (CRDs, as a rule).
const VIEWER_VIEW: &str = "kubestile:viewer-view";
/// Job functions that are given per namespace.
pub(crate) const PER_NAMESPACE: [&str; 2] = ["kubestile:admin", "kubestile:operator"];
const RBAC: &str = "rbac.authorization.k8s.io";

/// Verbs of API requests, which constrained impersonation wants one by one.
const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// Kinds that we write, in the order in which they are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespace,
    ServiceAccount,
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::ClusterRole => "ClusterRole",
            Self::Role => "Role",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
            Self::RoleBinding => "RoleBinding",
        }
    }

    const fn api_version(self) -> &'static str {
        match self {
            Self::Namespace | Self::ServiceAccount => "v1",
            _ => "rbac.authorization.k8s.io/v1",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::ServiceAccount => "serviceaccounts",
            Self::ClusterRole => "clusterroles",
            Self::Role => "roles",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::RoleBinding => "rolebindings",
        }
    }

    /// The path of the collection, in one namespace or in all.
    pub(crate) fn collection(self, namespace: Option<&str>) -> String {
        let prefix = match self {
            Self::Namespace | Self::ServiceAccount => "/api/v1",
            _ => "/apis/rbac.authorization.k8s.io/v1",
        };
        match namespace {
            Some(namespace) => format!("{prefix}/namespaces/{namespace}/{}", self.plural()),
            None => format!("{prefix}/{}", self.plural()),
        }
    }
}

/// One object as we want it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    /// As it is sent.
    pub(crate) body: Value,
}

impl Object {
    fn new(kind: Kind, namespace: Option<&str>, name: &str, content: Value) -> Self {
        let mut body = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": { "name": name, "labels": { LABEL: OWNER } },
        });
        if let (Some(namespace), Some(metadata)) = (namespace, field(&mut body, "metadata")) {
            metadata.insert("namespace".into(), json!(namespace));
        }
        if let (Value::Object(content), Some(body)) = (content, body.as_object_mut()) {
            body.extend(content);
        }
        Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            body,
        }
    }

    /// The path of this object.
    pub(crate) fn path(&self) -> String {
        format!(
            "{}/{}",
            self.kind.collection(self.namespace.as_deref()),
            self.name
        )
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&title(self.kind, self.namespace.as_deref(), &self.name))
    }
}

/// `RoleBinding shop/kubestile:operator`, `ClusterRole kubestile:gate`.
pub(crate) fn title(kind: Kind, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{} {namespace}/{name}", kind.name()),
        None => format!("{} {name}", kind.name()),
    }
}

fn field<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut serde_json::Map<String, Value>> {
    value.get_mut(name)?.as_object_mut()
}

/// Everything, in the order in which it is installed: what gives rights comes after what they are for.
pub(crate) fn desired(namespaces: &[String], mode: Mode, people: &People) -> Vec<Object> {
    let mut objects = vec![
        Object::new(Kind::Namespace, None, NAMESPACE, json!({})),
        // Whoever runs the gate in a pod asks for a token explicitly; no other pod gets one.
        Object::new(
            Kind::ServiceAccount,
            Some(NAMESPACE),
            NAME,
            json!({ "automountServiceAccountToken": false }),
        ),
        cluster_role(VIEWER, functions::viewer()),
        cluster_role("kubestile:operator", functions::operator()),
        cluster_role("kubestile:admin", functions::admin()),
        gate_role(namespaces, mode, people),
        token_role(),
        cluster_binding(GATE_ROLE, GATE_ROLE, gate_subject()),
        cluster_binding(VIEWER, VIEWER, group(VIEWER)),
        cluster_binding(VIEWER_VIEW, "view", group(VIEWER)),
        binding(NAMESPACE, TOKEN_ROLE, ("Role", TOKEN_ROLE), gate_subject()),
    ];
    for namespace in namespaces {
        for role in PER_NAMESPACE {
            objects.push(binding(
                namespace,
                role,
                ("ClusterRole", role),
                group(&format!("{role}:{namespace}")),
            ));
        }
    }
    objects
}

/// The groups that the gate may add to a request.
fn groups(namespaces: &[String]) -> Vec<String> {
    let per_namespace = namespaces
        .iter()
        .flat_map(|namespace| PER_NAMESPACE.map(|role| format!("{role}:{namespace}")));
    std::iter::once(VIEWER.to_owned())
        .chain(per_namespace)
        .collect()
}

/// Impersonation and nothing else. INVARIANT: groups are always listed by name.
pub(crate) fn gate_role(namespaces: &[String], mode: Mode, people: &People) -> Object {
    const AUTHENTICATION: &str = "authentication.k8s.io";
    let (verb, api_group) = match mode {
        Mode::Legacy => ("impersonate", ""),
        Mode::Constrained => ("impersonate:user-info", AUTHENTICATION),
    };
    let mut users = rule(api_group, &["users"], &[verb]);
    if let (People::Named(names), Some(users)) = (people, users.as_object_mut()) {
        users.insert("resourceNames".into(), json!(names));
    }
    let mut groups_rule = rule(api_group, &["groups"], &[verb]);
    if let Some(rule) = groups_rule.as_object_mut() {
        rule.insert("resourceNames".into(), json!(groups(namespaces)));
    }
    let extras = [EXTRA_GRANT, EXTRA_REQUEST, EXTRA_SESSION].map(|key| format!("userextras/{key}"));
    let mut rules = vec![
        users,
        groups_rule,
        rule(AUTHENTICATION, &["uids"], &[verb]),
        rule(
            AUTHENTICATION,
            &extras.each_ref().map(String::as_str),
            &[verb],
        ),
    ];
    // An empty list of names would mean every name.
    if matches!(people, People::Named(names) if names.is_empty()) {
        rules.remove(0);
    }
    if mode == Mode::Constrained {
        let on = |verb: &str| format!("impersonate-on:user-info:{verb}");
        // What a person may do is decided by policy, and then by RBAC on the person's own groups.
        rules.push(json!({
            "apiGroups": ["*"], "resources": ["*"], "verbs": VERBS.map(on),
        }));
        rules.push(json!({
            "nonResourceURLs": ["*"], "verbs": [on("get"), on("head")],
        }));
    }
    cluster_role(GATE_ROLE, rules)
}

fn token_role() -> Object {
    let mut own = rule("", &["serviceaccounts/token"], &["create"]);
    if let Some(own) = own.as_object_mut() {
        own.insert("resourceNames".into(), json!([NAME]));
    }
    let content = json!({ "rules": [own] });
    Object::new(Kind::Role, Some(NAMESPACE), TOKEN_ROLE, content)
}

fn cluster_role(name: &str, rules: Vec<Value>) -> Object {
    Object::new(Kind::ClusterRole, None, name, json!({ "rules": rules }))
}

fn cluster_binding(name: &str, role: &str, subject: Value) -> Object {
    let content = bound(("ClusterRole", role), subject);
    Object::new(Kind::ClusterRoleBinding, None, name, content)
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subject: Value) -> Object {
    Object::new(
        Kind::RoleBinding,
        Some(namespace),
        name,
        bound(role, subject),
    )
}

fn bound((kind, name): (&str, &str), subject: Value) -> Value {
    json!({
        "roleRef": { "apiGroup": RBAC, "kind": kind, "name": name },
        "subjects": [subject],
    })
}

fn group(name: &str) -> Value {
    json!({ "apiGroup": RBAC, "kind": "Group", "name": name })
}

fn gate_subject() -> Value {
    json!({ "kind": "ServiceAccount", "namespace": NAMESPACE, "name": NAME })
}
