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

/// The part of a graph that leads to one node. Most of a large cluster's rights lead nowhere, and a search
/// for a way need not look at them: what cannot help to reach the end has no influence on how it is reached.
#[derive(Debug, Clone)]
pub struct Toward<'g> {
    graph: &'g Graph,
    to: NodeId,
    /// Node → whether it may be part of a way.
    leads: Vec<bool>,
    /// Node → the cost of the best way of steps that need one node each, and its first step.
    near: Vec<Option<(u32, usize)>>,
}

impl<'g> Toward<'g> {
    pub(super) fn new(graph: &'g Graph, to: NodeId) -> Self {
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        for (index, edge) in graph.edges.iter().enumerate() {
            if let Some(list) = into.get_mut(position(edge.to)) {
                list.push(index);
            }
        }
        let mut leads = vec![false; graph.nodes.len()];
        let mut open = vec![to];
        while let Some(id) = open.pop() {
            match leads.get_mut(position(id)) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            let edges = into.get(position(id)).map_or(&[][..], Vec::as_slice);
            let edges = edges.iter().filter_map(|index| graph.edges.get(*index));
            open.extend(edges.flat_map(|edge| &edge.from));
        }
        let near = near(graph, to, &into);
        Self {
            graph,
            to,
            leads,
            near,
        }
    }

    /// The surest and shortest of the ways whose steps need one node each, without a search; if there is
    /// none, the best of all ways.
    #[must_use]
    pub fn any_path(&self, start: NodeId) -> Option<Path<'g>> {
        let mut edges = Vec::new();
        let mut at = start;
        while at != self.to {
            let Some((_, index)) = self.first_step(at) else {
                return self.path(start);
            };
            at = self.graph.edges.get(index)?.to;
            edges.push(index);
        }
        let steps = edges.iter().filter_map(|i| self.graph.edges.get(*i));
        Some(Path {
            steps: steps.collect(),
            edges,
        })
    }

    fn first_step(&self, id: NodeId) -> Option<(u32, usize)> {
        self.near.get(position(id)).copied().flatten()
    }

    /// A way of steps that need one node each and that stand on none of these bindings, if one of the best
    /// ways from a first step on is such a way. None does not mean that there is no way.
    pub(super) fn known_path(
        &self,
        start: NodeId,
        removed: &HashSet<BindingId>,
    ) -> Option<Vec<&'g Edge>> {
        let mut firsts: Vec<(u32, &'g Edge)> = self
            .first_steps(start)
            .filter(|edge| edge.survives(removed))
            .filter_map(|edge| {
                let rest = match edge.to == self.to {
                    true => 0,
                    false => self.first_step(edge.to)?.0,
                };
                Some((rest.saturating_add(cost(edge)), edge))
            })
            .collect();
        firsts.sort_by_key(|(total, _)| *total);
        firsts.into_iter().find_map(|(_, first)| {
            let mut steps = vec![first];
            let mut at = first.to;
            while at != self.to {
                let edge = self.graph.edges.get(self.first_step(at)?.1)?;
                if edge.to == start || !edge.survives(removed) {
                    return None;
                }
                steps.push(edge);
                at = edge.to;
            }
            Some(steps)
        })
    }

    /// Steps from a node after which the end is near.
    pub(super) fn first_steps(&self, start: NodeId) -> impl Iterator<Item = &'g Edge> {
        let out = self.graph.out.get(position(start));
        let edges = out.map_or(&[][..], Vec::as_slice).iter();
        edges
            .filter_map(|index| self.graph.edges.get(*index))
            .filter(|e| e.from.len() == 1)
            .filter(|e| e.to == self.to || self.first_step(e.to).is_some())
    }

    /// The node that it leads to.
    #[must_use]
    pub const fn to(&self) -> NodeId {
        self.to
    }

    /// The surest and shortest way; none if there is no way.
    #[must_use]
    pub fn path(&self, start: NodeId) -> Option<Path<'g>> {
        self.path_without(start, &HashSet::new(), &HashSet::new())
    }

    pub(super) fn path_without(
        &self,
        start: NodeId,
        removed: &HashSet<BindingId>,
        banned: &HashSet<usize>,
    ) -> Option<Path<'g>> {
        self.leads(start).then_some(())?;
        reach(self.graph, &[start], removed, banned, Some(self)).path(self.to)
    }

    fn leads(&self, id: NodeId) -> bool {
        self.leads.get(position(id)).copied().unwrap_or(false)
    }
}

/// From every node the best way of steps that need one node each, found from the end.
fn near(graph: &Graph, to: NodeId, into: &[Vec<usize>]) -> Vec<Option<(u32, usize)>> {
    let mut near = vec![None; graph.nodes.len()];
    let mut done = vec![false; graph.nodes.len()];
    let mut queue = BinaryHeap::from([Reverse((0_u32, to))]);
    while let Some(Reverse((cost_so_far, id))) = queue.pop() {
        match done.get_mut(position(id)) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let edges = into.get(position(id)).map_or(&[][..], Vec::as_slice);
        for &index in edges {
            let Some(edge) = graph.edges.get(index) else {
                continue;
            };
            let [from] = edge.from[..] else {
                continue;
            };
            let total = cost_so_far.saturating_add(cost(edge));
            if from != to
                && let Some(slot) = near.get_mut(position(from))
                && slot.is_none_or(|(known, _)| total < known)
            {
                *slot = Some((total, index));
                queue.push(Reverse((total, from)));
            }
        }
    }
    near
}

/// Everything that can be owned; with `toward`, only what leads there, and only until it is reached.
pub(super) fn reach<'g>(
    graph: &'g Graph,
    start: &[NodeId],
    removed: &HashSet<BindingId>,
    banned: &HashSet<usize>,
    toward: Option<&Toward<'g>>,
) -> Reached<'g> {
    let mut search = Search {
        graph,
        toward,
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
        if toward.is_some_and(|t| t.to == id) {
            break;
        }
        // Who may do everything needs no further step.
        if graph.node(id) != Some(&Node::Sink(Sink::ClusterAdmin)) {
            search.expand(id, removed, banned);
        }
    }
    Reached { graph, by }
}

struct Search<'g, 't> {
    graph: &'g Graph,
    toward: Option<&'t Toward<'g>>,
    /// Edge → how many of its premises are still missing, once one is there.
    unmet: HashMap<usize, usize>,
    costs: HashMap<NodeId, u32>,
    queue: BinaryHeap<Reverse<(u32, NodeId, Option<usize>)>>,
}

impl Search<'_, '_> {
    fn expand(&mut self, id: NodeId, removed: &HashSet<BindingId>, banned: &HashSet<usize>) {
        let out = self.graph.out.get(position(id));
        for &index in out.map_or(&[][..], |list| list) {
            let Some(edge) = self.graph.edges.get(index) else {
                continue;
            };
            if self.toward.is_some_and(|t| !t.leads(edge.to))
                || banned.contains(&index)
                || !edge.survives(removed)
            {
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
pub(super) fn paths<'g>(toward: &Toward<'g>, start: NodeId, most: usize) -> Vec<Path<'g>> {
    let nothing = HashSet::new();
    let best = |banned: &HashSet<usize>| toward.path_without(start, &nothing, banned);
    let mut found: Vec<Path<'g>> = Vec::new();
    let mut candidates: Vec<(Path<'g>, HashSet<usize>)> = Vec::new();
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
