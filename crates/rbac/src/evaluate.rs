//! One request, judged exactly as kube-apiserver's RBAC authorizer judges it.
//!
//! `plugin/pkg/auth/authorizer/rbac`, `pkg/registry/rbac/validation` and `pkg/apis/rbac/v1` of
//! Kubernetes are the specification, odd cases included: an empty name matches the resource name `""`,
//! `*/scale` matches no resource without a sub-resource, every `*` at the end of a path pattern is cut
//! off. What it means that somebody is allowed is the caller's: RBAC also judges requests that no API
//! server would ever ask about.

use serde::{Deserialize, Serialize};

use crate::model::{Identity, MASTERS, Rule};
use crate::policy::{BindingId, Policy, RoleId, Scope};

/// Who asks. The groups are all there are: nobody is put into `system:authenticated` here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name; a service account's is `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// RBAC does not look at it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups, implicit ones included.
    pub groups: Vec<String>,
}

impl User {
    /// Somebody in exactly these groups.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            uid: String::new(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
        }
    }

    /// Somebody with the groups that the API server adds to everybody like this. For a group it is a member
    /// without a name, who has what every member has.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        Self {
            name: identity.user_name().unwrap_or_default(),
            uid: String::new(),
            groups: identity.implicit_groups(),
        }
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::from_user_name(&self.name)
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attributes {
    /// The API verb.
    pub verb: String,
    /// On what.
    #[serde(flatten)]
    pub target: Target,
}

/// On what something is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// On a resource.
    Resource(ResourceTarget),
    /// On a path that is none.
    Path(String),
}

/// A resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceTarget {
    /// The API group, empty for the core group.
    pub group: String,
    /// Plural, lower case.
    pub resource: String,
    /// Empty for the resource itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// The namespace, empty for what belongs to the cluster and for all namespaces at once.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The object's name, empty where the request has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl Attributes {
    /// Of a resource, `pods` or `pods/log`, in a namespace (empty for none); the name is empty.
    #[must_use]
    pub fn resource(verb: &str, group: &str, resource: &str, namespace: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Self {
            verb: verb.to_owned(),
            target: Target::Resource(ResourceTarget {
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                namespace: namespace.to_owned(),
                name: String::new(),
            }),
        }
    }

    /// The same for the object of this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if let Target::Resource(target) = &mut self.target {
            name.clone_into(&mut target.name);
        }
        self
    }

    /// Of a path that is not a resource.
    #[must_use]
    pub fn path(verb: &str, path: &str) -> Self {
        Self {
            verb: verb.to_owned(),
            target: Target::Path(path.to_owned()),
        }
    }

    /// The scope in which it is judged; RoleBindings of other namespaces do not count.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.target {
            Target::Resource(target) => Scope::of(&target.namespace),
            Target::Path(_) => Scope::Cluster,
        }
    }
}

/// One rule that allows a request, and through what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Grant {
    /// The binding.
    pub binding: BindingId,
    /// Its role.
    pub role: RoleId,
    /// The rule's position in the role.
    pub rule: u32,
}

/// What RBAC says to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether it is allowed. "No" is "no opinion": another authorizer may allow it.
    pub allowed: bool,
    /// Whether it is allowed whatever RBAC says, because the user is in `system:masters`.
    pub bypass: bool,
    /// Every rule that allows it, in the order in which Kubernetes looks: ClusterRoleBindings, then the
    /// RoleBindings of the namespace.
    pub because: Vec<Grant>,
    /// Bindings that apply to the user here and whose role is missing: whoever creates that role decides what
    /// they give.
    pub dangling: Vec<BindingId>,
}

/// Judges one request.
#[must_use]
pub fn authorize(policy: &Policy, user: &User, attributes: &Attributes) -> Answer {
    let bypass = user.groups.iter().any(|g| g == MASTERS);
    let mut answer = Answer {
        allowed: bypass,
        bypass,
        ..Answer::default()
    };
    let mut bindings = policy.bindings_in(user, &Scope::Cluster);
    let scope = attributes.scope();
    if scope != Scope::Cluster {
        bindings.extend(policy.bindings_in(user, &scope));
    }
    for id in bindings {
        match policy.binding(id).and_then(|b| b.role) {
            Some(role) => answer.because.extend(grants(policy, id, role, attributes)),
            None => answer.dangling.push(id),
        }
    }
    answer.allowed |= !answer.because.is_empty();
    answer
}

/// The rules of one binding that allow a request, wherever the binding is.
pub(crate) fn grants(
    policy: &Policy,
    binding: BindingId,
    role: RoleId,
    attributes: &Attributes,
) -> impl Iterator<Item = Grant> {
    let rules = policy.role(role).map_or(&[][..], |r| &r.rules);
    (0..)
        .zip(rules)
        .filter(|(_, rule)| rule.allows(attributes))
        .map(move |(rule, _)| Grant {
            binding,
            role,
            rule,
        })
}

impl Rule {
    /// Whether the rule, where it holds, allows a request.
    #[must_use]
    pub fn allows(&self, attributes: &Attributes) -> bool {
        if !is_in_or_star(&self.verbs, &attributes.verb) {
            return false;
        }
        match &attributes.target {
            Target::Resource(target) => {
                is_in_or_star(&self.api_groups, &target.group)
                    && self.allows_resource(&target.resource, &target.subresource)
                    && (self.resource_names.is_empty()
                        || self.resource_names.contains(&target.name))
            }
            Target::Path(path) => self
                .non_resource_urls
                .iter()
                .any(|pattern| path_matches(pattern, path)),
        }
    }

    /// Whether its resources include this one.
    #[must_use]
    pub fn allows_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|allowed| {
            if allowed == "*" {
                return true;
            }
            if subresource.is_empty() {
                return allowed == resource;
            }
            match allowed.strip_suffix(subresource) {
                Some("*/") => true,
                Some(rest) => rest.strip_suffix('/') == Some(resource),
                None => false,
            }
        })
    }
}

/// Whether a list has this, or `*`.
pub(crate) fn is_in_or_star(list: &[String], wanted: &str) -> bool {
    list.iter().any(|e| e == "*" || e == wanted)
}

/// Whether a pattern of `nonResourceURLs` matches a path.
#[must_use]
pub fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

#[cfg(test)]
mod tests;
