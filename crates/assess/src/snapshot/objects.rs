//! Kubernetes objects as the API server writes them, cut down to what controls look at. Unknown fields
//! are dropped when they are read; a list that is `null` is empty.

use std::collections::BTreeMap;
use std::fmt;

use kubestile_rbac::Rule;
use kubestile_rbac::model::AggregationRule;
use serde::{Deserialize, Deserializer, Serialize};

/// `null` is what is not there.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Where a sealed way in notes when it was last tried.
pub const DRILLED: &str = "kubestile.dev/break-glass-drilled";
/// Days between two drills of a sealed way in, at most.
pub const DRILL_DAYS: i64 = 90;

/// Of annotations the one of [`DRILLED`], if it is of a time's length.
fn of_drills<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    let mut all: BTreeMap<String, serde_json::Value> = or_default(deserializer)?;
    let drilled = all.remove(DRILLED);
    let text = drilled.as_ref().and_then(serde_json::Value::as_str);
    let short = text.filter(|t| t.len() <= 64);
    Ok(short
        .map(|t| (DRILLED.to_owned(), t.to_owned()))
        .into_iter()
        .collect())
}

/// `metadata`, in part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its namespace, empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its labels.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub labels: BTreeMap<String, String>,
    /// On the binding of a sealed way in: when it was last tried, RFC 3339. No other annotation is kept: they can
    /// hold whole objects.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "of_drills"
    )]
    pub annotations: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
}

/// An object by kind and name, as `kubectl` takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// `clusterrolebinding`: the singular resource name, lower case.
    pub kind: String,
    /// Its namespace, empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// Of this kind and name; `namespace` is empty for none.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)?;
        if !self.namespace.is_empty() {
            write!(f, " in {}", self.namespace)?;
        }
        Ok(())
    }
}

/// A Role or ClusterRole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Role {
    /// Its metadata.
    pub metadata: Meta,
    /// What it allows.
    #[serde(deserialize_with = "or_default")]
    pub rules: Vec<Rule>,
    /// From which other ClusterRoles its rules come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_rule: Option<AggregationRule>,
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    /// Its metadata.
    pub metadata: Meta,
    /// The role it gives.
    pub role_ref: RoleRef,
    /// To whom.
    #[serde(deserialize_with = "or_default")]
    pub subjects: Vec<Subject>,
}

/// A role by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Somebody in a binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Of a service account.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "or_default"
    )]
    pub namespace: String,
}

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    /// Its metadata.
    pub metadata: Meta,
    /// Whether pods get its token unless they say otherwise; so it is if nothing is said.
    #[serde(rename = "automountServiceAccountToken")]
    pub automount: Option<bool>,
}

/// A Secret that holds a token: what may be known of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretMeta {
    /// Its metadata.
    pub metadata: Meta,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The service account of its annotation.
    pub account: Option<String>,
}

/// A CertificateSigningRequest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Csr {
    /// Its metadata.
    pub metadata: Meta,
    /// What was asked for.
    pub spec: CsrSpec,
    /// What became of it.
    #[serde(deserialize_with = "or_default")]
    pub status: CsrStatus,
}

/// What a signing request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CsrSpec {
    /// Who is to sign.
    pub signer_name: String,
    /// Who asked.
    pub username: String,
    /// For how long, if it says.
    pub expiration_seconds: Option<i64>,
    /// The name that the certificate would carry, read from the request by the collector.
    pub common_name: Option<String>,
    /// The groups that the certificate would carry.
    #[serde(deserialize_with = "or_default")]
    pub organizations: Vec<String>,
}

/// What became of a signing request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CsrStatus {
    /// `Approved`, `Denied`, `Failed`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<CsrCondition>,
}

/// A condition of a signing request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CsrCondition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// What whoever set it wrote.
    pub message: String,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Its metadata.
    pub metadata: Meta,
}

/// Which kind of webhook configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookKind {
    /// It may refuse.
    #[default]
    Validating,
    /// It may change.
    Mutating,
}

/// A webhook configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookConfiguration {
    /// Which of the two kinds, written by the collector.
    pub kind: WebhookKind,
    /// Its metadata.
    pub metadata: Meta,
    /// Its webhooks.
    #[serde(deserialize_with = "or_default")]
    pub webhooks: Vec<Webhook>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// `Fail` (also if nothing is said) or `Ignore`.
    pub failure_policy: Option<String>,
    /// How long the API server waits for it.
    pub timeout_seconds: Option<u32>,
    /// What it is asked about.
    #[serde(deserialize_with = "or_default")]
    pub rules: Vec<Operations>,
    /// In which namespaces.
    pub namespace_selector: Option<Selector>,
    /// For which objects.
    pub object_selector: Option<Selector>,
    /// For which requests, of those that match otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub match_conditions: Vec<Expression>,
}

/// An expression in CEL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it says.
    pub expression: String,
}

/// What an admission rule matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Operations {
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT` or `*`.
    #[serde(deserialize_with = "or_default")]
    pub operations: Vec<String>,
    /// API groups, or `*`.
    #[serde(rename = "apiGroups", deserialize_with = "or_default")]
    pub groups: Vec<String>,
    /// Resources, `*`, `*/*` or `pods/*`.
    #[serde(deserialize_with = "or_default")]
    pub resources: Vec<String>,
    /// Only objects of these names; empty is every name.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub resource_names: Vec<String>,
    /// `Cluster`, `Namespaced`, or `*` (also if nothing is said).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A label selector; whether it selects everything is what matters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must have these values.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub match_expressions: Vec<serde_json::Value>,
}

/// A ValidatingAdmissionPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its metadata.
    pub metadata: Meta,
    /// What it says.
    pub spec: PolicySpec,
}

/// What a policy says, in part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicySpec {
    /// `Fail` (also if nothing is said) or `Ignore`.
    pub failure_policy: Option<String>,
    /// What it is asked about.
    #[serde(deserialize_with = "or_default")]
    pub match_constraints: MatchResources,
    /// About which requests, of those that match otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub match_conditions: Vec<Expression>,
    /// What must be true.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub validations: Vec<Expression>,
    /// What is written down of a request, by name; a policy may do nothing else.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub audit_annotations: Vec<serde_json::Value>,
}

/// What a policy or its binding matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchResources {
    /// Operations and resources.
    #[serde(deserialize_with = "or_default")]
    pub resource_rules: Vec<Operations>,
    /// Operations and resources that are left out of those.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub exclude_resource_rules: Vec<Operations>,
    /// In which namespaces.
    pub namespace_selector: Option<Selector>,
    /// For which objects.
    pub object_selector: Option<Selector>,
}

/// A ValidatingAdmissionPolicyBinding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyBinding {
    /// Its metadata.
    pub metadata: Meta,
    /// What it says.
    pub spec: PolicyBindingSpec,
}

/// What a policy's binding says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyBindingSpec {
    /// Which policy.
    pub policy_name: String,
    /// `Deny`, `Warn`, `Audit`.
    #[serde(deserialize_with = "or_default")]
    pub validation_actions: Vec<String>,
    /// Where; everywhere if nothing is said.
    pub match_resources: Option<MatchResources>,
}

/// A policy of another engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// `kyverno` or `gatekeeper`.
    pub engine: String,
    /// The policy's name.
    pub policy: String,
    /// Whether it refuses what breaks it.
    pub enforces: bool,
}

/// Admission rules with the name of whoever has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRules<'a> {
    /// Which object.
    pub object: ObjectRef,
    /// Its rules.
    pub rules: &'a [Operations],
}

impl Operations {
    /// Whether it matches an operation on a resource (`pods`, `pods/exec`) of a group.
    pub fn matches(&self, operation: &str, group: &str, resource: &str) -> bool {
        let has = |list: &[String], word: &str| list.iter().any(|l| l == "*" || l == word);
        let plain = |r: &str| {
            r == "*/*"
                || r == resource
                || (r == "*" && !resource.contains('/'))
                || resource.split_once('/').is_some_and(|(parent, sub)| {
                    r.split_once('/')
                        .is_some_and(|(p, s)| (p == parent && s == "*") || (p == "*" && s == sub))
                })
        };
        let scoped = match self.scope.as_deref() {
            Some("Cluster") => is_of_cluster(group, resource),
            Some("Namespaced") => !is_of_cluster(group, resource),
            _ => true,
        };
        has(&self.operations, operation)
            && has(&self.groups, group)
            && self.resources.iter().any(|r| plain(r))
            && scoped
    }
}

/// Whether a resource that controls look at exists beside namespaces. A Namespace counts as in itself.
pub(crate) fn is_of_cluster(group: &str, resource: &str) -> bool {
    matches!(
        (group, resource),
        ("", "persistentvolumes" | "nodes" | "namespaces")
            | ("apiextensions.k8s.io", "customresourcedefinitions")
            | (
                "rbac.authorization.k8s.io",
                "clusterroles" | "clusterrolebindings"
            )
    )
}

impl Selector {
    /// Whether it lets everything through.
    pub fn is_everything(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether it lets something with these labels through. What cannot be read lets nothing through.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let text = |e: &serde_json::Value, field: &str| {
            let value = e.get(field).and_then(serde_json::Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let holds = |e: &serde_json::Value| {
            let values = e.get("values").and_then(serde_json::Value::as_array);
            let has = |label: &String| {
                let mut values = values.into_iter().flatten();
                values.any(|v| v.as_str() == Some(label))
            };
            let label = labels.get(&text(e, "key"));
            match text(e, "operator").as_str() {
                "In" => label.is_some_and(has),
                "NotIn" => !label.is_some_and(has),
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                _ => false,
            }
        };
        self.match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(holds)
    }
}
