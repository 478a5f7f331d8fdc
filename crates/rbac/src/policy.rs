//! All roles and bindings of a cluster, indexed by whom they bind.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::evaluate::User;
use crate::model::{
    ClusterRole, ClusterRoleBinding, Identity, Metadata, Role, RoleBinding, RoleRef, Rule, Subject,
};

/// Roles and bindings as they were listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Objects {
    /// All ClusterRoles.
    pub cluster_roles: Vec<ClusterRole>,
    /// The Roles of all namespaces.
    pub roles: Vec<Role>,
    /// All ClusterRoleBindings.
    pub cluster_role_bindings: Vec<ClusterRoleBinding>,
    /// The RoleBindings of all namespaces.
    pub role_bindings: Vec<RoleBinding>,
}

/// Roles and bindings, indexed. It does not change: for another state of the cluster make another one.
///
/// Where two objects have the same name, the later one counts, as if one had been applied after the
/// other.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    roles: Vec<StoredRole>,
    /// Those of the cluster first, then by namespace; within each, by name.
    bindings: Vec<Binding>,
    cluster_roles: HashMap<String, RoleId>,
    /// Namespace → name → role.
    namespaced_roles: HashMap<String, HashMap<String, RoleId>>,
    /// Namespace → its part of `bindings`; the cluster's under the empty name.
    ranges: BTreeMap<String, Range<u32>>,
    /// User names, those of service accounts too → bindings, ascending.
    users: HashMap<String, Vec<BindingId>>,
    /// Groups → bindings, ascending.
    groups: HashMap<String, Vec<BindingId>>,
}

/// A role of one [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RoleId(u32);

/// A binding of one [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BindingId(u32);

/// Where a grant holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Everywhere: what belongs to the cluster, and every namespace.
    Cluster,
    /// In one namespace.
    Namespace(String),
}

/// A Role or a ClusterRole.
#[derive(Debug, Clone)]
pub struct StoredRole {
    /// Its name, namespace (empty for a ClusterRole) and labels.
    pub metadata: Metadata,
    /// What it allows.
    pub rules: Vec<Rule>,
    /// Whether its rules come from other roles.
    pub aggregated: bool,
}

/// A RoleBinding or a ClusterRoleBinding.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Its name, namespace (empty for a ClusterRoleBinding) and labels.
    pub metadata: Metadata,
    /// Who is bound.
    pub subjects: Vec<Subject>,
    /// To what, as it is written.
    pub role_ref: RoleRef,
    /// To what; none if there is no such role.
    pub role: Option<RoleId>,
}

impl Policy {
    /// Indexes what was listed.
    #[must_use]
    pub fn new(objects: Objects) -> Self {
        let mut policy = Self::default();
        for role in objects.cluster_roles {
            policy.add_cluster_role(role);
        }
        for role in objects.roles {
            policy.add_role(role);
        }
        let mut bindings: BTreeMap<(String, String), Binding> = BTreeMap::new();
        let of_cluster = objects.cluster_role_bindings.into_iter().map(|b| {
            let mut metadata = b.metadata;
            metadata.namespace.clear();
            (metadata, b.subjects, b.role_ref)
        });
        // A RoleBinding without a namespace cannot be stored, and must not count as the cluster's.
        let of_namespaces = objects
            .role_bindings
            .into_iter()
            .filter(|b| !b.metadata.namespace.is_empty())
            .map(|b| (b.metadata, b.subjects, b.role_ref));
        for (metadata, subjects, role_ref) in of_cluster.chain(of_namespaces) {
            let role = policy.resolve(&role_ref, &metadata.namespace);
            let key = (metadata.namespace.clone(), metadata.name.clone());
            let binding = Binding {
                metadata,
                subjects,
                role_ref,
                role,
            };
            bindings.insert(key, binding);
        }
        policy.index(bindings.into_values().collect());
        policy
    }

    fn add_cluster_role(&mut self, role: ClusterRole) {
        let name = role.metadata.name.clone();
        let id = self.push_role(StoredRole {
            metadata: Metadata {
                namespace: String::new(),
                ..role.metadata
            },
            rules: role.rules,
            aggregated: role.aggregation_rule.is_some(),
        });
        self.cluster_roles.insert(name, id);
    }

    fn add_role(&mut self, role: Role) {
        let (namespace, name) = (role.metadata.namespace.clone(), role.metadata.name.clone());
        if namespace.is_empty() {
            return;
        }
        let id = self.push_role(StoredRole {
            metadata: role.metadata,
            rules: role.rules,
            aggregated: false,
        });
        self.namespaced_roles
            .entry(namespace)
            .or_default()
            .insert(name, id);
    }

    fn push_role(&mut self, role: StoredRole) -> RoleId {
        let id = RoleId(index(self.roles.len()));
        self.roles.push(role);
        id
    }

    /// The role that a binding of `namespace` (empty for a ClusterRoleBinding) refers to.
    fn resolve(&self, reference: &RoleRef, namespace: &str) -> Option<RoleId> {
        match reference.kind.as_str() {
            "ClusterRole" => self.cluster_roles.get(&reference.name).copied(),
            "Role" => self.role_named(namespace, &reference.name),
            _ => None,
        }
    }

    fn index(&mut self, bindings: Vec<Binding>) {
        for (position, binding) in bindings.iter().enumerate() {
            let position = index(position);
            let namespace = &binding.metadata.namespace;
            match self.ranges.get_mut(namespace) {
                Some(range) => range.end = position.saturating_add(1),
                None => {
                    let range = position..position.saturating_add(1);
                    self.ranges.insert(namespace.clone(), range);
                }
            }
            let id = BindingId(position);
            for subject in &binding.subjects {
                let of = match subject.identity(namespace) {
                    Some(Identity::Group { name }) => self.groups.entry(name).or_default(),
                    Some(somebody) => {
                        let Some(name) = somebody.user_name() else {
                            continue;
                        };
                        self.users.entry(name).or_default()
                    }
                    None => continue,
                };
                if of.last() != Some(&id) {
                    of.push(id);
                }
            }
        }
        self.bindings = bindings;
    }

    /// A role; none only if the id is of another policy.
    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<&StoredRole> {
        self.roles.get(position(id.0))
    }

    /// A binding; none only if the id is of another policy.
    #[must_use]
    pub fn binding(&self, id: BindingId) -> Option<&Binding> {
        self.bindings.get(position(id.0))
    }

    /// All roles. One whose name was used twice is still there, though nothing refers to it.
    pub fn roles(&self) -> impl Iterator<Item = (RoleId, &StoredRole)> {
        (0..).map(RoleId).zip(&self.roles)
    }

    /// All bindings: those of the cluster first, then by namespace and name.
    pub fn bindings(&self) -> impl Iterator<Item = (BindingId, &Binding)> {
        (0..).map(BindingId).zip(&self.bindings)
    }

    /// A ClusterRole by name.
    #[must_use]
    pub fn cluster_role(&self, name: &str) -> Option<RoleId> {
        self.cluster_roles.get(name).copied()
    }

    /// A Role by namespace and name.
    #[must_use]
    pub fn role_named(&self, namespace: &str, name: &str) -> Option<RoleId> {
        self.namespaced_roles.get(namespace)?.get(name).copied()
    }

    /// The namespaces that have bindings, in order.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.ranges
            .keys()
            .filter(|n| !n.is_empty())
            .map(String::as_str)
    }

    /// Everybody who is bound to something, in order.
    #[must_use]
    pub fn identities(&self) -> std::collections::BTreeSet<Identity> {
        let users = self.users.keys().map(|name| Identity::from_user_name(name));
        let groups = self.groups.keys().map(|name| Identity::group(name));
        users.chain(groups).collect()
    }

    /// The bindings that apply to a user in one scope only, ascending.
    #[must_use]
    pub fn bindings_in(&self, user: &User, scope: &Scope) -> Vec<BindingId> {
        let Some(range) = self.ranges.get(scope.namespace()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for list in self.lists(user) {
            let from = list.partition_point(|id| id.0 < range.start);
            let of_scope = list.iter().skip(from).take_while(|id| id.0 < range.end);
            found.extend(of_scope.copied());
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// All bindings that apply to a user, in whatever scope, ascending.
    #[must_use]
    pub fn bindings_of(&self, user: &User) -> Vec<BindingId> {
        let mut found: Vec<BindingId> = self.lists(user).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn lists(&self, user: &User) -> impl Iterator<Item = &Vec<BindingId>> {
        let by_group = user.groups.iter().filter_map(|g| self.groups.get(g));
        self.users.get(&user.name).into_iter().chain(by_group)
    }
}

impl RoleId {
    /// Its place among all roles.
    pub(crate) fn position(self) -> usize {
        position(self.0)
    }
}

impl BindingId {
    /// No binding: for rights that somebody does not have yet.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

impl Scope {
    /// The scope with this namespace, empty for the cluster.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        if namespace.is_empty() {
            Self::Cluster
        } else {
            Self::Namespace(namespace.to_owned())
        }
    }

    /// The namespace, empty for the cluster.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self {
            Self::Cluster => "",
            Self::Namespace(name) => name,
        }
    }

    /// Whether what holds here holds there too.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        *self == Self::Cluster || self == other
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => write!(f, "the cluster"),
            Self::Namespace(name) => write!(f, "namespace `{name}`"),
        }
    }
}

impl StoredRole {
    /// `Role` or `ClusterRole`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.metadata.namespace.is_empty() {
            "ClusterRole"
        } else {
            "Role"
        }
    }
}

impl Binding {
    /// `RoleBinding` or `ClusterRoleBinding`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.metadata.namespace.is_empty() {
            "ClusterRoleBinding"
        } else {
            "RoleBinding"
        }
    }

    /// Where what it gives holds.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::of(&self.metadata.namespace)
    }

    /// Whom it binds, without those who can be nobody.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        let namespace = &self.metadata.namespace;
        self.subjects.iter().filter_map(|s| s.identity(namespace))
    }
}

/// `RoleBinding shop/dev`, `ClusterRoleBinding admins`.
impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        object(f, self.kind(), &self.metadata)
    }
}

/// `Role shop/dev`, `ClusterRole view`.
impl fmt::Display for StoredRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        object(f, self.kind(), &self.metadata)
    }
}

fn object(f: &mut fmt::Formatter<'_>, kind: &str, metadata: &Metadata) -> fmt::Result {
    let Metadata {
        name, namespace, ..
    } = metadata;
    match namespace.as_str() {
        "" => write!(f, "{kind} {name}"),
        _ => write!(f, "{kind} {namespace}/{name}"),
    }
}

/// Four billion roles do not fit into memory.
fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn position(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
