//! From rights to steps: one function per family of techniques.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::N;
use super::rights::{Rights, Roles};
use super::{Confidence, Edge, Facts, Graph, Node, NodeId, Part, Sink, Support, Technique};
use crate::evaluate::User;
use crate::model::{Identity, MASTERS};
use crate::policy::{Policy, RoleId, Scope};

mod cluster;
mod escalate;
mod namespace;

pub(super) fn build(policy: &Policy, facts: &Facts) -> Graph {
    let roles = Roles::new(policy);
    let mut builder = Builder {
        policy,
        facts,
        accounts: accounts(policy, facts),
        graph: Graph::default(),
        role_nodes: Vec::new(),
    };
    for identity in everybody(policy, facts) {
        let mut user = User::of(&identity);
        if let Some(groups) = facts.memberships.get(&user.name) {
            user.groups.extend(groups.iter().cloned());
        }
        let node = builder.graph.add_node(Node::Identity(identity));
        if user.groups.iter().any(|g| g == MASTERS) {
            builder.includes(node, Node::Sink(Sink::ClusterAdmin));
        }
        builder.steps(node, &roles.of(&policy.bindings_of(&user)), &roles);
    }
    builder.bound_roles(&roles);
    builder.containers();
    builder.joint_techniques();
    builder.graph
}

/// Namespace → service accounts, known or bound.
fn accounts(policy: &Policy, facts: &Facts) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = facts.service_accounts.clone();
    for identity in policy.identities() {
        if let Identity::ServiceAccount { namespace, name } = identity {
            found.entry(namespace).or_default().insert(name);
        }
    }
    found
}

fn everybody(policy: &Policy, facts: &Facts) -> BTreeSet<Identity> {
    let mut found = policy.identities();
    let members = facts.memberships.keys();
    found.extend(members.map(|name| Identity::from_user_name(name)));
    for (namespace, names) in &facts.service_accounts {
        let of = |name: &String| Identity::service_account(namespace, name);
        found.extend(names.iter().map(of));
    }
    found.insert(Identity::group(MASTERS));
    found
}

/// The graph while it grows.
struct Builder<'p> {
    policy: &'p Policy,
    facts: &'p Facts,
    accounts: BTreeMap<String, BTreeSet<String>>,
    graph: Graph,
    /// Roles that somebody may bind, whose own steps are still to be drawn.
    role_nodes: Vec<(NodeId, RoleId, Scope)>,
}

impl Builder<'_> {
    /// Every step that the holder of these rights can take alone.
    fn steps(&mut self, node: NodeId, rights: &Rights<'_, '_>, roles: &Roles<'_>) {
        let from = From { node, rights };
        self.of_cluster(&from, roles);
        for scope in rights.scopes.keys() {
            self.of_scope(&from, scope);
        }
    }

    /// The steps of roles that can be bound, each as if it were bound to somebody. Those may bind others in
    /// turn.
    fn bound_roles(&mut self, roles: &Roles<'_>) {
        while let Some((node, role, scope)) = self.role_nodes.pop() {
            // Nothing binds it yet: the step to the role is what can be cut, not the role's own rights.
            let rights = roles.of_role(role, scope);
            self.steps(node, &rights, roles);
        }
    }

    fn edge(
        &mut self,
        from: &From<'_, '_, '_>,
        to: Node,
        technique: Technique,
        confidence: Confidence,
        needs: Vec<Support>,
    ) {
        let to = self.graph.add_node(to);
        self.graph.add_edge(Edge {
            from: vec![from.node],
            to,
            technique,
            confidence,
            needs,
        });
    }

    fn includes(&mut self, from: NodeId, to: Node) {
        self.joint(&[from], to, Technique::Includes, Confidence::Certain);
    }

    /// What sets of identities, and whole namespaces, contain.
    fn containers(&mut self) {
        let accounts = self.accounts.clone();
        let any = self.graph.add_node(Node::AnyAccount);
        for (namespace, names) in &accounts {
            let all = self.graph.add_node(Node::Accounts(namespace.clone()));
            self.includes(any, Node::Accounts(namespace.clone()));
            for name in names {
                let account = Identity::service_account(namespace, name);
                self.includes(all, Node::Identity(account));
            }
        }
        let users: Vec<Identity> = self
            .graph
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Identity(user @ Identity::User { .. }) => Some(user.clone()),
                _ => None,
            })
            .collect();
        let any_user = self.graph.add_node(Node::AnyUser);
        for user in users {
            self.includes(any_user, Node::Identity(user));
        }
        let namespaces: Vec<String> = self
            .graph
            .nodes
            .iter()
            .filter_map(|node| match node {
                Node::Namespace(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        for name in namespaces {
            self.whole_namespace(&name);
        }
    }

    /// What whoever may do everything in a namespace has. A RoleBinding reaches the labels of its own namespace
    /// too, so nothing confines the pods there.
    fn whole_namespace(&mut self, name: &str) {
        let node = self.graph.add_node(Node::Namespace(name.to_owned()));
        self.includes(node, Node::Accounts(name.to_owned()));
        let displace = Part::DisplacePods(Scope::of(name));
        self.includes(node, Node::Part(displace));
        let root = Node::Sink(Sink::NodeRoot);
        self.joint(
            &[node],
            root,
            Technique::RelaxNamespace,
            Confidence::Certain,
        );
        let traffic = Node::Sink(Sink::Interception);
        self.joint(&[node], traffic, Technique::Intercept, Confidence::Possible);
        if name == SYSTEM {
            self.includes(node, Node::Sink(Sink::SystemSecrets));
            let joining = Node::Identity(Identity::group(BOOTSTRAPPERS));
            self.joint(
                &[node],
                joining,
                Technique::BootstrapToken,
                Confidence::Likely,
            );
        }
    }

    /// Techniques whose parts different identities may hold.
    fn joint_techniques(&mut self) {
        let request = self.graph.add_node(Node::Part(Part::RequestCertificate));
        let approve = self.graph.add_node(Node::Part(Part::ApproveCertificate));
        // Any name but the group system:masters, which admission refuses.
        for to in [
            Node::Sink(Sink::ControlPlane),
            Node::AnyUser,
            Node::AnyAccount,
        ] {
            self.joint(
                &[request, approve],
                to,
                Technique::Certificate,
                Confidence::Certain,
            );
        }
        let root = self.graph.add_node(Node::Sink(Sink::NodeRoot));
        let spoil = self.graph.add_node(Node::Part(Part::SpoilNodes));
        let displaced: Vec<(NodeId, Scope)> = self
            .graph
            .nodes()
            .filter_map(|(id, node)| match node {
                Node::Part(Part::DisplacePods(scope)) => Some((id, scope.clone())),
                _ => None,
            })
            .collect();
        for (displace, scope) in displaced {
            let parts = [root, spoil, displace];
            let to = accounts_of(&scope);
            self.joint(&parts, to, Technique::StealPods, Confidence::Possible);
        }
    }

    fn joint(&mut self, from: &[NodeId], to: Node, technique: Technique, confidence: Confidence) {
        let to = self.graph.add_node(to);
        self.graph.add_edge(Edge {
            from: from.to_vec(),
            to,
            technique,
            confidence,
            needs: Vec::new(),
        });
    }

    /// How sure it is that a pod in this scope may take over its node; none if it may not.
    fn unconfined(&self, scope: &Scope) -> Option<Confidence> {
        let known = |name: &str| self.facts.namespaces.get(name)?.pods_confined;
        match scope {
            Scope::Namespace(name) => match known(name) {
                Some(true) => None,
                Some(false) => Some(Confidence::Certain),
                None => Some(Confidence::Likely),
            },
            // In some namespace; kube-system itself is rarely confined.
            Scope::Cluster => {
                let facts = self.facts.namespaces.values();
                let mut confined = facts.map(|f| f.pods_confined).peekable();
                if confined.peek().is_none() {
                    return Some(Confidence::Likely);
                }
                confined
                    .filter_map(|c| match c {
                        Some(true) => None,
                        Some(false) => Some(Confidence::Certain),
                        None => Some(Confidence::Likely),
                    })
                    .max()
            }
        }
    }
}

/// Whose steps are drawn.
struct From<'a, 'r, 'p> {
    node: NodeId,
    rights: &'a Rights<'r, 'p>,
}

impl From<'_, '_, '_> {
    /// All of these rights in a scope, for whatever names; none if one is missing.
    fn all(&self, needs: &[N], scope: &Scope) -> Option<Vec<Support>> {
        if !needs.iter().all(|n| self.rights.has(*n, scope)) {
            return None;
        }
        needs.iter().map(|n| self.rights.any(*n, scope)).collect()
    }
}

/// The group of whoever shows a bootstrap token.
const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// The namespace of the control plane's own pods.
const SYSTEM: &str = "kube-system";

/// The service accounts of a scope.
fn accounts_of(scope: &Scope) -> Node {
    match scope {
        Scope::Cluster => Node::AnyAccount,
        Scope::Namespace(name) => Node::Accounts(name.clone()),
    }
}

/// Everything in a scope.
fn everything_of(scope: &Scope) -> Node {
    match scope {
        Scope::Cluster => Node::Sink(Sink::ClusterAdmin),
        Scope::Namespace(name) => Node::Namespace(name.clone()),
    }
}
