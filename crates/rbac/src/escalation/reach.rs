//! The fixpoint: what can be owned from a start, each by its surest and shortest way.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{Confidence, Edge, Graph, Node, NodeId, Sink, position};
use crate::policy::BindingId;

/// What can be owned, and how.
#[derive(Debug, Clone)]
pub struct Reached<'g> {
    graph: &'g Graph,
    /// Node → the edge it was first owned by; none for where it began.
    by: HashMap<NodeId, Option<usize>>,
}

/// A way from a start to a node: every step, each after the steps it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<'g> {
    /// The steps. Empty if the node is the start.
    pub steps: Vec<&'g Edge>,
    edges: Vec<usize>,
}

/// An edge costs more the less sure it is, so that a sure detour comes before a doubtful short cut.
fn cost(edge: &Edge) -> u32 {
    match edge.confidence {
        // To be what one is takes no step.
        Confidence::Certain if edge.needs.is_empty() => 1,
        Confidence::Certain => 10,
        Confidence::Likely => 30,
        Confidence::Possible => 100,
    }
}

pub(super) fn reach<'g>(
    graph: &'g Graph,
    start: &[NodeId],
    removed: &HashSet<BindingId>,
    banned: &HashSet<usize>,
) -> Reached<'g> {
    let mut search = Search {
        graph,
        unmet: HashMap::new(),
        costs: HashMap::new(),
        queue: BinaryHeap::new(),
    };
    let mut by = HashMap::new();
    for id in start {
        search.queue.push(Reverse((0, *id, None)));
    }
    while let Some(Reverse((at, id, edge))) = search.queue.pop() {
        if by.contains_key(&id) {
            continue;
        }
        by.insert(id, edge);
        search.costs.insert(id, at);
        // Who may do everything needs no further step.
        if graph.node(id) != Some(&Node::Sink(Sink::ClusterAdmin)) {
            search.expand(id, removed, banned);
        }
    }
    Reached { graph, by }
}

struct Search<'g> {
    graph: &'g Graph,
    /// Edge → how many of its premises are still missing, once one is there.
    unmet: HashMap<usize, usize>,
    costs: HashMap<NodeId, u32>,
    queue: BinaryHeap<Reverse<(u32, NodeId, Option<usize>)>>,
}

impl Search<'_> {
    fn expand(&mut self, id: NodeId, removed: &HashSet<BindingId>, banned: &HashSet<usize>) {
        let out = self.graph.out.get(position(id));
        for &index in out.map_or(&[][..], |list| list) {
            let Some(edge) = self.graph.edges.get(index) else {
                continue;
            };
            if banned.contains(&index) || !edge.survives(removed) {
                continue;
            }
            let unmet = self.unmet.entry(index).or_insert(edge.from.len());
            *unmet = unmet.saturating_sub(1);
            if *unmet > 0 {
                continue;
            }
            let premises = edge.from.iter().filter_map(|from| self.costs.get(from));
            let total = premises
                .fold(0, |sum: u32, c| sum.saturating_add(*c))
                .saturating_add(cost(edge));
            self.queue.push(Reverse((total, edge.to, Some(index))));
        }
    }
}

impl<'g> Reached<'g> {
    /// Whether a node can be owned.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.by.contains_key(&id)
    }

    /// Everything that can be owned, the start included, in no particular order.
    pub fn nodes(&self) -> impl Iterator<Item = &'g Node> {
        self.by.keys().filter_map(|id| self.graph.node(*id))
    }

    /// The ends that can be reached, in order.
    #[must_use]
    pub fn sinks(&self) -> Vec<Sink> {
        let mut sinks: Vec<Sink> = self
            .nodes()
            .filter_map(|node| match node {
                Node::Sink(sink) => Some(*sink),
                _ => None,
            })
            .collect();
        sinks.sort_unstable();
        sinks
    }

    /// How a node is owned; none if it cannot be.
    #[must_use]
    pub fn path(&self, to: NodeId) -> Option<Path<'g>> {
        self.by.get(&to)?;
        let mut edges = Vec::new();
        let mut seen = HashSet::new();
        let mut open = vec![to];
        // From the end to the start: an edge comes before the edges of its premises.
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Some(Some(index)) = self.by.get(&id)
                && let Some(edge) = self.graph.edges.get(*index)
            {
                edges.push(*index);
                open.extend(&edge.from);
            }
        }
        let edges = self.in_order(edges);
        let steps = edges
            .iter()
            .filter_map(|index| self.graph.edges.get(*index))
            .collect();
        Some(Path { steps, edges })
    }

    /// Edges so that each comes after those that own its premises.
    fn in_order(&self, mut left: Vec<usize>) -> Vec<usize> {
        left.reverse();
        let made: HashSet<NodeId> = left
            .iter()
            .filter_map(|i| Some(self.graph.edges.get(*i)?.to))
            .collect();
        let mut owned: HashSet<NodeId> = HashSet::new();
        let mut ordered = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let before = left.len();
            left.retain(|index| {
                let Some(edge) = self.graph.edges.get(*index) else {
                    return false;
                };
                let ready = |from: &NodeId| owned.contains(from) || !made.contains(from);
                if !edge.from.iter().all(ready) {
                    return true;
                }
                owned.insert(edge.to);
                ordered.push(*index);
                false
            });
            // The fixpoint has no circles; this only keeps a mistake from running for ever.
            if left.len() == before {
                break;
            }
        }
        ordered
    }
}

impl Path<'_> {
    /// How sure the least sure step is.
    #[must_use]
    pub fn confidence(&self) -> Confidence {
        let steps = self.steps.iter().map(|step| step.confidence);
        steps.min().unwrap_or(Confidence::Certain)
    }

    /// How many steps take a right; to be what one is takes none.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.steps.iter().filter(|s| !s.needs.is_empty()).count()
    }

    fn cost(&self) -> u32 {
        let costs = self.steps.iter().map(|step| cost(step));
        costs.fold(0, u32::saturating_add)
    }
}

/// Different paths: the best, then the best ones that avoid a step of those before.
pub(super) fn paths(graph: &Graph, start: NodeId, to: NodeId, most: usize) -> Vec<Path<'_>> {
    let nothing = HashSet::new();
    let best = |banned: &HashSet<usize>| reach(graph, &[start], &nothing, banned).path(to);
    let mut found: Vec<Path<'_>> = Vec::new();
    let mut candidates: Vec<(Path<'_>, HashSet<usize>)> = Vec::new();
    candidates.extend(best(&HashSet::new()).map(|path| (path, HashSet::new())));
    while found.len() < most {
        candidates.sort_by_key(|(path, _)| Reverse(path.cost()));
        let Some((path, banned)) = candidates.pop() else {
            break;
        };
        if found.iter().any(|f| f.edges == path.edges) {
            continue;
        }
        if found.len() + 1 < most {
            for index in &path.edges {
                let mut without = banned.clone();
                without.insert(*index);
                candidates.extend(best(&without).map(|path| (path, without)));
            }
        }
        found.push(path);
    }
    found
}
