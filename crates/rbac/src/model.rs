//! Roles and bindings as they stand in API objects (`rbac.authorization.k8s.io/v1`).
//!
//! They read what the API server writes, and what people write by hand: absent and `null` lists are
//! empty, unknown fields are ignored.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

mod identity;
mod selector;

pub use identity::{
    ANONYMOUS, AUTHENTICATED, Identity, MASTERS, SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNTS,
    UNAUTHENTICATED,
};
pub use selector::{Operator, Requirement, Selector};

/// One `PolicyRule`: verbs on resources, or verbs on paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// What may be done; `*` is everything.
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    /// API groups; the empty one is the core group, `*` is every group.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale` or `*`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Only objects of these names; empty is every name.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths that are not resources; `*` at the end stands for any rest.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

impl Rule {
    /// A rule about resources.
    #[must_use]
    pub fn resources(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Self {
        Self {
            verbs: owned(verbs),
            api_groups: owned(groups),
            resources: owned(resources),
            ..Self::default()
        }
    }

    /// A rule about paths.
    #[must_use]
    pub fn paths(verbs: &[&str], urls: &[&str]) -> Self {
        Self {
            verbs: owned(verbs),
            non_resource_urls: owned(urls),
            ..Self::default()
        }
    }

    /// The same rule for objects of these names only.
    #[must_use]
    pub fn named(mut self, names: &[&str]) -> Self {
        self.resource_names = owned(names);
        self
    }

    /// Whether it allows every verb on every resource: what `cluster-admin` has.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        let all = |list: &[String]| list.iter().any(|e| e == "*");
        all(&self.verbs)
            && all(&self.api_groups)
            && all(&self.resources)
            && self.resource_names.is_empty()
    }
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&e| e.to_owned()).collect()
}

/// As `kubectl auth can-i --list` would put it, in one line.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verbs.join(","))?;
        if !self.non_resource_urls.is_empty() {
            return write!(f, " {}", self.non_resource_urls.join(","));
        }
        write!(f, " {}", self.resources.join(","))?;
        if self.api_groups.iter().any(|g| !g.is_empty()) {
            write!(f, " of {}", self.api_groups.join(","))?;
        }
        if !self.resource_names.is_empty() {
            write!(f, " named {}", self.resource_names.join(","))?;
        }
        Ok(())
    }
}

/// Name, namespace and labels; the rest of an object's metadata says nothing about rights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Unique within its kind and namespace.
    pub name: String,
    /// Empty for what belongs to the cluster.
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace: String,
    /// What selectors of aggregated roles look at.
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
}

impl Metadata {
    /// Of an object that belongs to the cluster.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Of an object in a namespace.
    #[must_use]
    pub fn namespaced(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..Self::named(name)
        }
    }
}

/// A role that can be bound in its own namespace only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Its name and namespace.
    pub metadata: Metadata,
    /// What it allows.
    #[serde(deserialize_with = "nullable")]
    pub rules: Vec<Rule>,
}

/// A role that can be bound everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRole {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What it allows; for an aggregated role, what the controller has filled in.
    #[serde(deserialize_with = "nullable")]
    pub rules: Vec<Rule>,
    /// From which other ClusterRoles its rules come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_rule: Option<AggregationRule>,
}

/// The rules of a ClusterRole are those of all ClusterRoles that one of the selectors selects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AggregationRule {
    /// Any of them is enough.
    #[serde(deserialize_with = "nullable")]
    pub cluster_role_selectors: Vec<Selector>,
}

/// Gives a Role or a ClusterRole to subjects, in one namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleBinding {
    /// Its name and namespace.
    pub metadata: Metadata,
    /// Who gets the role.
    #[serde(deserialize_with = "nullable")]
    pub subjects: Vec<Subject>,
    /// Which role.
    pub role_ref: RoleRef,
}

/// Gives a ClusterRole to subjects, everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterRoleBinding {
    /// Its name.
    pub metadata: Metadata,
    /// Who gets the role.
    #[serde(deserialize_with = "nullable")]
    pub subjects: Vec<Subject>,
    /// Which role.
    pub role_ref: RoleRef,
}

/// The role that a binding gives. The evaluator of Kubernetes looks at kind and name only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleRef {
    /// `rbac.authorization.k8s.io`.
    pub api_group: String,
    /// `Role` or `ClusterRole`; any other gives nothing.
    pub kind: String,
    /// The role's name.
    pub name: String,
}

impl RoleRef {
    /// A ClusterRole.
    #[must_use]
    pub fn cluster_role(name: &str) -> Self {
        Self::of("ClusterRole", name)
    }

    /// A Role.
    #[must_use]
    pub fn role(name: &str) -> Self {
        Self::of("Role", name)
    }

    fn of(kind: &str, name: &str) -> Self {
        Self {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One subject of a binding, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`; any other matches nobody.
    pub kind: String,
    /// `rbac.authorization.k8s.io` for users and groups, empty for service accounts.
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub api_group: String,
    /// The user's, group's or service account's name.
    pub name: String,
    /// Of a service account; if it is empty, the binding's.
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub namespace: String,
}

impl Subject {
    /// A user.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self::of("User", name)
    }

    /// A group.
    #[must_use]
    pub fn group(name: &str) -> Self {
        Self::of("Group", name)
    }

    /// A service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            kind: "ServiceAccount".to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..Self::default()
        }
    }

    fn of(kind: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            api_group: "rbac.authorization.k8s.io".to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Whom it means in a binding of `namespace` (empty for a ClusterRoleBinding); none if it can match
    /// nobody.
    #[must_use]
    pub fn identity(&self, namespace: &str) -> Option<Identity> {
        match self.kind.as_str() {
            "User" => Some(Identity::from_user_name(&self.name)),
            "Group" => Some(Identity::group(&self.name)),
            "ServiceAccount" => {
                let of = if self.namespace.is_empty() {
                    namespace
                } else {
                    &self.namespace
                };
                (!of.is_empty()).then(|| Identity::ServiceAccount {
                    namespace: of.to_owned(),
                    name: self.name.clone(),
                })
            }
            _ => None,
        }
    }
}

/// `null` is the same as absent.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
