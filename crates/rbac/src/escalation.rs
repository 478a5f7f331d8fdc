//! Who can become whom: a graph of privilege escalation through the API, its paths and what to cut.
//!
//! A technique is a conjunction of rights that one identity holds in one scope, because single verbs say
//! little: `create rolebindings` alone gives nobody more than they have. Where the parts of a technique
//! are separate requests, different identities may hold them, if the attacker owns all of these; the
//! search follows such conjunctions too, by a monotone fixpoint from what is owned at first.
//!
//! What the API server checks again on its own is not a technique here: who changes the labels or rules of
//! a ClusterRole must hold its rules already, or `escalate`; who sets an `aggregationRule` must hold
//! everything.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::evaluate::Grant;
use crate::model::Identity;
use crate::policy::{BindingId, Policy, RoleId, Scope};

mod build;
mod cut;
mod deputies;
mod needs;
mod reach;
mod rights;
mod technique;

pub use cut::{BUDGET, Cut};
pub use reach::{Path, Reached, Toward};
pub use technique::Technique;

/// How sure it is that a step works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// It needs something that is not in sight, or luck.
    Possible,
    /// It works where nothing unusual prevents it.
    Likely,
    /// RBAC allows it and nothing else is needed.
    Certain,
}

/// What an attacker has in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// Everything, in every namespace, or `system:masters`.
    ClusterAdmin,
    /// An identity of the control plane.
    ControlPlane,
    /// Root on a node, and all that runs there.
    NodeRoot,
    /// The Secrets of `kube-system`.
    SystemSecrets,
    /// The traffic of others.
    Interception,
    /// A role of the cloud provider.
    CloudRole,
}

/// Something that an attacker can own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Node {
    /// The rights of somebody, or of every member of a group.
    Identity(Identity),
    /// The rights of a role, in a scope.
    Role(RoleId, Scope),
    /// All service accounts of a namespace.
    Accounts(String),
    /// All service accounts.
    AnyAccount,
    /// All users.
    AnyUser,
    /// Everything in a namespace.
    Namespace(String),
    /// One part of a technique whose parts different identities may hold.
    Part(Part),
    /// An end.
    Sink(Sink),
}

/// Parts of techniques that are separate requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// Asking for a client certificate.
    RequestCertificate,
    /// Approving one.
    ApproveCertificate,
    /// Making other nodes unfit.
    SpoilNodes,
    /// Making the pods of a scope leave their node.
    DisplacePods(Scope),
}

/// What is known beside RBAC. What is not known is assumed in the attacker's favour, with less confidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// Service accounts that exist: namespace and names. Those that are bound need not be here.
    pub service_accounts: BTreeMap<String, BTreeSet<String>>,
    /// Groups that users are in, beside those that everybody is in.
    pub memberships: BTreeMap<String, BTreeSet<String>>,
    /// By namespace.
    pub namespaces: BTreeMap<String, NamespaceFacts>,
    /// From 1.35 on, exec and attach over WebSocket need `create`, not `get` alone.
    pub exec_needs_create: bool,
    /// Whether AWS maps identities by the ConfigMap `aws-auth`.
    pub aws_auth: bool,
}

/// What is known of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceFacts {
    /// Whether admission refuses pods that could take over their node (`baseline` or `restricted`).
    pub pods_confined: Option<bool>,
    /// Service accounts that pods run as; none if it is not known.
    pub running: Option<BTreeSet<String>>,
    /// Service accounts that have token Secrets; none if it is not known.
    pub token_secrets: Option<BTreeSet<String>>,
}

/// A step from what is owned to something more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// All of these must be owned.
    pub from: Vec<NodeId>,
    /// What is owned then.
    pub to: NodeId,
    /// How.
    pub technique: Technique,
    /// How sure.
    pub confidence: Confidence,
    /// The rights it takes, each with everything that gives it. It fails when one of them is gone.
    pub needs: Vec<Support>,
}

/// A right that a step takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Support {
    /// The right, as one would say it.
    pub right: &'static str,
    /// Every rule that gives it; never empty.
    pub grants: Vec<Grant>,
}

/// A node of one [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NodeId(u32);

/// All steps that a policy allows.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    ids: HashMap<Node, NodeId>,
    edges: Vec<Edge>,
    /// Node → edges that need it.
    out: Vec<Vec<usize>>,
}

impl Graph {
    /// The graph of a policy. Everybody who is bound or known is in it.
    #[must_use]
    pub fn new(policy: &Policy, facts: &Facts) -> Self {
        build::build(policy, facts)
    }

    /// A node by its id; none only if the id is of another graph.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(position(id))
    }

    /// The id of a node, if it is in the graph.
    #[must_use]
    pub fn id(&self, node: &Node) -> Option<NodeId> {
        self.ids.get(node).copied()
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        (0..).map(NodeId).zip(&self.nodes)
    }

    /// All steps.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Everything that somebody who owns `start` can own, without the bindings that are `removed`.
    #[must_use]
    pub fn reach(&self, start: &[NodeId], removed: &HashSet<BindingId>) -> Reached<'_> {
        reach::reach(self, start, removed, &HashSet::new(), None)
    }

    /// Up to `most` different paths to a node, the surest and shortest first.
    #[must_use]
    pub fn paths(&self, start: NodeId, to: NodeId, most: usize) -> Vec<Path<'_>> {
        reach::paths(&self.toward(to), start, most)
    }

    /// What leads to a node: for whoever asks of many starts.
    #[must_use]
    pub fn toward(&self, to: NodeId) -> Toward<'_> {
        Toward::new(self, to)
    }

    /// The fewest bindings whose removal closes every path to a node; none if there is no path, or if one stays
    /// open whatever is removed. `cost` says what a binding's removal costs, none that it must stay; what is used
    /// should cost most.
    #[must_use]
    pub fn cut(
        &self,
        start: NodeId,
        to: NodeId,
        cost: &dyn Fn(BindingId) -> Option<u32>,
    ) -> Option<Cut> {
        self.toward(to).cut(start, BUDGET, cost)
    }

    fn add_node(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.ids.get(&node) {
            return *id;
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node.clone());
        self.ids.insert(node, id);
        self.out.push(Vec::new());
        id
    }

    fn add_edge(&mut self, edge: Edge) {
        if edge.from.contains(&edge.to) {
            return;
        }
        let index = self.edges.len();
        for from in &edge.from {
            if let Some(out) = self.out.get_mut(position(*from)) {
                out.push(index);
            }
        }
        self.edges.push(edge);
    }
}

fn position(id: NodeId) -> usize {
    usize::try_from(id.0).unwrap_or(usize::MAX)
}

impl Edge {
    /// Whether it still works without these bindings.
    fn survives(&self, removed: &HashSet<BindingId>) -> bool {
        if removed.is_empty() {
            return true;
        }
        self.needs
            .iter()
            .all(|need| need.grants.iter().any(|g| !removed.contains(&g.binding)))
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterAdmin => "cluster-admin",
            Self::ControlPlane => "an identity of the control plane",
            Self::NodeRoot => "root on a node",
            Self::SystemSecrets => "the Secrets of kube-system",
            Self::Interception => "the traffic of others",
            Self::CloudRole => "a role of the cloud provider",
        })
    }
}

#[cfg(test)]
mod tests;
