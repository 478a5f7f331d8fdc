//! Ways up: how somebody could come to own everything, step by step, and what closes each.

use std::collections::{BTreeSet, HashMap};

use kubestile_rbac::escalation::{
    BUDGET, Confidence, Edge, Graph, Node, NodeId, Part, Path, Sink, Technique, Toward,
};
use kubestile_rbac::{BindingId, Identity, Policy};
use serde::Serialize;

use crate::snapshot::{Absence, Snapshot};

/// Ends, the worst first.
const ENDS: [Sink; 6] = [
    Sink::ClusterAdmin,
    Sink::ControlPlane,
    Sink::SystemSecrets,
    Sink::NodeRoot,
    Sink::Interception,
    Sink::CloudRole,
];

/// Which ways.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only from this one; from everybody but parts of Kubernetes if none is named.
    pub only: Option<Identity>,
    /// Also of those who may do everything anyway.
    pub administrators: bool,
    /// At most so many, the worst and surest first; all if there is no limit.
    pub most: Option<usize>,
}

/// Ways that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// The worst and surest first.
    pub ways: Vec<Way>,
    /// How many there are beside.
    pub more: usize,
}

/// The surest way of one subject to the worst that it can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// Whose, as `user/alice`.
    pub subject: String,
    /// What they have in the end.
    pub reaches: String,
    /// How sure the least sure step is.
    pub confidence: Confidence,
    /// What they do, in order.
    pub steps: Vec<Step>,
    /// The fewest bindings without which no way to that end is left; none if there is no such set.
    pub cut: Option<Vec<String>>,
}

/// A step of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub does: &'static str,
    /// The MITRE ATT&CK technique.
    pub mitre: &'static str,
    /// What is owned then.
    pub becomes: String,
    /// How sure it is that it works.
    pub confidence: Confidence,
    /// What must be owned before: 0 is the subject, 1 what the first step gave, and so on.
    pub after: Vec<usize>,
    /// The bindings that give the rights for it; none if it takes no right.
    pub by: Vec<String>,
    /// Whether it fails without the bindings of the cut.
    pub cut: bool,
}

/// The ways of a snapshot.
///
/// # Errors
/// Why roles or bindings are not known.
pub fn ways(snapshot: &Snapshot, asked: &Asked) -> Result<Ways, Absence> {
    let policy = Policy::new(snapshot.objects()?);
    let graph = Graph::new(&policy, &snapshot.escalation_facts());
    let ends: Vec<(Sink, Toward<'_>)> = ENDS
        .iter()
        .filter_map(|end| Some((*end, graph.toward(graph.id(&Node::Sink(*end))?))))
        .collect();
    let mut found: Vec<Found<'_, '_>> = graph
        .nodes()
        .filter_map(|(start, node)| match node {
            Node::Identity(who) if asked.is_about(who) => worst(&ends, start, who),
            _ => None,
        })
        .filter(|found| asked.administrators || !found.is_administrator())
        .collect();
    found.sort_by_key(|f| {
        (
            f.rank,
            std::cmp::Reverse(f.path.confidence()),
            f.path.hops(),
        )
    });
    let most = asked.most.unwrap_or(usize::MAX);
    let more = found.len().saturating_sub(most);
    let shown = found.iter().take(most);
    Ok(Ways {
        ways: shown.map(|f| f.way(&graph, &policy)).collect(),
        more,
    })
}

impl Asked {
    fn is_about(&self, who: &Identity) -> bool {
        self.only
            .as_ref()
            .map_or(!is_system(who), |only| only == who)
    }
}

/// Parts of Kubernetes have such ways by their nature.
fn is_system(who: &Identity) -> bool {
    match who {
        // As kubeadm names what the API server is for kubelets.
        Identity::User { name } if name == "kube-apiserver-kubelet-client" => true,
        Identity::User { name } | Identity::Group { name } => name.starts_with("system:"),
        Identity::ServiceAccount { namespace, .. } => namespace == "kube-system",
    }
}

/// The worst that somebody reaches; whoever has that has the rest.
fn worst<'e, 'g>(
    ends: &'e [(Sink, Toward<'g>)],
    start: NodeId,
    who: &Identity,
) -> Option<Found<'e, 'g>> {
    ends.iter().enumerate().find_map(|(rank, (end, toward))| {
        let path = toward.path(start)?;
        Some(Found {
            subject: who.to_string(),
            start,
            toward,
            end: *end,
            rank,
            path,
        })
    })
}

struct Found<'e, 'g> {
    subject: String,
    start: NodeId,
    toward: &'e Toward<'g>,
    end: Sink,
    rank: usize,
    path: Path<'g>,
}

impl Found<'_, '_> {
    /// Whether they may do everything as it is.
    fn is_administrator(&self) -> bool {
        let alone = |e: &&Edge| matches!(e.technique, Technique::Everything | Technique::Includes);
        self.path.steps.iter().all(alone)
    }

    fn way(&self, graph: &Graph, policy: &Policy) -> Way {
        let cut = self.toward.cut(self.start, BUDGET, &|_| Some(1));
        let none = BTreeSet::new();
        let gone = cut.as_ref().map_or(&none, |c| &c.bindings);
        Way {
            subject: self.subject.clone(),
            reaches: self.end.to_string(),
            confidence: self.path.confidence(),
            steps: self.steps(graph, policy, gone),
            cut: cut.as_ref().map(|c| named(policy, c.bindings.iter())),
        }
    }

    fn steps(&self, graph: &Graph, policy: &Policy, gone: &BTreeSet<BindingId>) -> Vec<Step> {
        // That a set includes somebody is no step: what was owned before is that one.
        let is_step = |e: &Edge| {
            !e.needs.is_empty()
                || e.from.len() > 1
                || e.from == [self.start]
                || e.to == self.toward.to()
        };
        let mut place: HashMap<NodeId, usize> = HashMap::from([(self.start, 0)]);
        let mut steps: Vec<Step> = Vec::new();
        for edge in &self.path.steps {
            let after: BTreeSet<usize> = edge
                .from
                .iter()
                .filter_map(|n| place.get(n))
                .copied()
                .collect();
            let becomes = graph
                .node(edge.to)
                .map(|n| words(n, policy))
                .unwrap_or_default();
            if !is_step(edge) {
                let index = after.first().copied().unwrap_or_default();
                place.insert(edge.to, index);
                if let Some(step) = index.checked_sub(1).and_then(|i| steps.get_mut(i)) {
                    step.becomes = becomes;
                }
                continue;
            }
            let given = |n: &kubestile_rbac::escalation::Support| -> BTreeSet<BindingId> {
                n.grants.iter().map(|g| g.binding).collect()
            };
            let by: BTreeSet<BindingId> = edge.needs.iter().flat_map(given).collect();
            steps.push(Step {
                does: does(edge),
                mitre: edge.technique.mitre(),
                becomes,
                confidence: edge.confidence,
                after: after.into_iter().collect(),
                by: named(policy, by.iter()),
                cut: edge.needs.iter().any(|n| given(n).is_subset(gone)),
            });
            place.insert(edge.to, steps.len());
        }
        steps
    }
}

fn does(edge: &Edge) -> &'static str {
    match (edge.technique, edge.needs.is_empty()) {
        (Technique::Includes, true) => "may do everything, whatever the roles say",
        (technique, _) => technique.says(),
    }
}

fn named<'a>(policy: &Policy, bindings: impl Iterator<Item = &'a BindingId>) -> Vec<String> {
    let bindings = bindings.filter_map(|id| policy.binding(*id));
    bindings.map(ToString::to_string).collect()
}

fn words(node: &Node, policy: &Policy) -> String {
    match node {
        Node::Identity(who) => who.to_string(),
        Node::Accounts(namespace) => format!("any account of {namespace}"),
        Node::AnyAccount => "any account".to_owned(),
        Node::AnyUser => "any user".to_owned(),
        Node::Namespace(namespace) => format!("everything in {namespace}"),
        Node::Role(role, scope) => {
            let role = policy.role(*role).map(ToString::to_string);
            format!("{} in {scope}", role.unwrap_or_default())
        }
        Node::Part(Part::RequestCertificate) => "a request for a certificate".to_owned(),
        Node::Part(Part::ApproveCertificate) => "its approval".to_owned(),
        Node::Part(Part::SpoilNodes) => "other nodes unfit".to_owned(),
        Node::Part(Part::DisplacePods(scope)) => format!("pods of {scope} moved"),
        Node::Sink(sink) => sink.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Source;
    use kubestile_core::Timestamp;
    use serde_json::json;

    /// Bindings to roles of their own: name, subject, rule.
    pub(crate) fn cluster(list: &[(&str, serde_json::Value, serde_json::Value)]) -> Snapshot {
        let mut snapshot = Snapshot::empty(Timestamp::from_secs(1), "c", "https://c");
        let read = |value| serde_json::from_value(value).unwrap();
        let roles = list
            .iter()
            .map(|(name, _, rule)| read(json!({ "metadata": { "name": name }, "rules": [rule] })));
        snapshot.rbac.cluster_roles = Source::Known(roles.collect());
        let read = |value| serde_json::from_value(value).unwrap();
        let bindings = list.iter().map(|(name, subject, _)| {
            read(json!({
                "metadata": { "name": name },
                "roleRef": { "kind": "ClusterRole", "name": name },
                "subjects": [subject],
            }))
        });
        snapshot.rbac.cluster_role_bindings = Source::Known(bindings.collect());
        snapshot.rbac.roles = Source::Known(vec![]);
        snapshot.rbac.role_bindings = Source::Known(vec![]);
        snapshot
    }

    fn rule(verbs: &[&str], group: &str, resource: &str) -> serde_json::Value {
        json!({ "verbs": verbs, "apiGroups": [group], "resources": [resource] })
    }

    #[test]
    fn a_way_names_the_account_that_is_taken_and_marks_what_the_cut_stops() {
        let snapshot = cluster(&[
            (
                "tokens",
                json!({ "kind": "User", "name": "eve" }),
                rule(&["create"], "", "serviceaccounts/token"),
            ),
            (
                "deployer",
                json!({ "kind": "ServiceAccount", "namespace": "shop", "name": "deployer" }),
                rule(&["*"], "*", "*"),
            ),
        ]);
        let found = ways(&snapshot, &Asked::default()).unwrap();
        let [way] = &found.ways[..] else {
            panic!("the account itself may do everything: {found:?}")
        };
        assert_eq!(
            (way.subject.as_str(), way.reaches.as_str()),
            ("user/eve", "cluster-admin")
        );
        let [first, second] = &way.steps[..] else {
            panic!("{way:?}")
        };
        assert_eq!(first.becomes, "serviceaccount/shop/deployer");
        assert_eq!((&first.after[..], &second.after[..]), (&[0][..], &[1][..]));
        assert_eq!(first.by, ["ClusterRoleBinding tokens"]);
        let cut = way.cut.as_ref().unwrap();
        assert_eq!(cut.len(), 1);
        for step in &way.steps {
            assert_eq!(step.cut, step.by == *cut, "{step:?}");
        }
        let all = Asked {
            administrators: true,
            ..Asked::default()
        };
        assert_eq!(ways(&snapshot, &all).unwrap().ways.len(), 2);
    }

    #[test]
    fn a_step_that_stands_on_two_says_so() {
        let eve = || json!({ "kind": "User", "name": "eve" });
        let group = "certificates.k8s.io";
        let snapshot = cluster(&[
            (
                "ask",
                eve(),
                rule(&["create"], group, "certificatesigningrequests"),
            ),
            (
                "say",
                eve(),
                rule(&["update"], group, "certificatesigningrequests/approval"),
            ),
            ("sign", eve(), rule(&["approve"], group, "signers")),
        ]);
        let found = ways(&snapshot, &Asked::default()).unwrap();
        let last = found.ways[0].steps.last().unwrap();
        assert_eq!(last.after, [1, 2], "{found:?}");
    }

    #[test]
    fn no_more_than_asked_for_and_the_rest_is_counted() {
        let many: Vec<(String, serde_json::Value)> = (0..9)
            .map(|i| {
                (
                    format!("b{i}"),
                    json!({ "kind": "User", "name": format!("u{i}") }),
                )
            })
            .collect();
        let list: Vec<(&str, serde_json::Value, serde_json::Value)> = many
            .iter()
            .map(|(name, who)| (name.as_str(), who.clone(), rule(&["get"], "", "secrets")))
            .collect();
        let asked = Asked {
            most: Some(4),
            ..Asked::default()
        };
        let found = ways(&cluster(&list), &asked).unwrap();
        assert_eq!((found.ways.len(), found.more), (4, 5));
        assert!(
            ways(
                &Snapshot::empty(Timestamp::from_secs(1), "c", "https://c"),
                &Asked::default()
            )
            .is_err()
        );
    }
}
