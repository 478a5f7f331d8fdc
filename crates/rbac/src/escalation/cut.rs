//! What to remove so that nothing leads to a node any more.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use super::{Edge, NodeId, Toward};
use crate::policy::BindingId;

/// Bindings whose removal closes every path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The bindings.
    pub bindings: BTreeSet<BindingId>,
    /// What their removal costs together.
    pub cost: u32,
    /// Whether there is none that costs less. Otherwise it is a good one, and every binding in it is needed.
    pub is_least: bool,
}

/// How many states the exact search looks at before a quick one decides.
pub const BUDGET: usize = 3_000;

impl Toward<'_> {
    /// Bindings that close every way by closing its first step, where that is enough; not always the
    /// fewest, but found without a search. None if it is not enough.
    #[must_use]
    pub fn cut_first_steps(
        &self,
        start: NodeId,
        cost: &dyn Fn(BindingId) -> Option<u32>,
    ) -> Option<BTreeSet<BindingId>> {
        let mut removed: HashSet<BindingId> = HashSet::new();
        for step in self.first_steps(start) {
            if !step.survives(&removed) {
                continue;
            }
            let rights = step.needs.iter();
            let breaks = rights.map(|need| need.grants.iter().map(|g| g.binding));
            let removable = breaks.filter_map(|set| {
                let all: Option<u32> = set.clone().map(cost).sum();
                Some((all?, set))
            });
            removed.extend(removable.min_by_key(|(all, _)| *all)?.1);
        }
        let nothing = HashSet::new();
        let open = self.path_without(start, &removed, &nothing).is_some();
        (!open).then(|| removed.into_iter().collect())
    }

    /// As [`super::Graph::cut`], with a search for the least of up to `budget` states.
    #[must_use]
    pub fn cut(
        &self,
        start: NodeId,
        budget: usize,
        cost: &dyn Fn(BindingId) -> Option<u32>,
    ) -> Option<Cut> {
        let search = Search {
            toward: self,
            start,
            cost,
        };
        search.path(&HashSet::new())?;
        let mut state = State {
            best: search.quick().map(|b| (search.total(&b), b)),
            left: budget,
        };
        search.exact(&mut BTreeSet::new(), &mut state);
        let (total, bindings) = state.best?;
        Some(Cut {
            bindings,
            cost: total,
            is_least: state.left > 0,
        })
    }
}

struct Search<'t, 'g> {
    toward: &'t Toward<'g>,
    start: NodeId,
    cost: &'t dyn Fn(BindingId) -> Option<u32>,
}

struct State {
    best: Option<(u32, BTreeSet<BindingId>)>,
    left: usize,
}

impl<'g> Search<'_, 'g> {
    /// Some way that is still open: any will do, for every cut breaks each of them.
    fn path(&self, removed: &HashSet<BindingId>) -> Option<Vec<&'g Edge>> {
        let known = self.toward.known_path(self.start, removed);
        if known.is_some() {
            return known;
        }
        let way = self
            .toward
            .path_without(self.start, removed, &HashSet::new());
        Some(way?.steps)
    }

    fn total(&self, bindings: &BTreeSet<BindingId>) -> u32 {
        bindings
            .iter()
            .filter_map(|id| (self.cost)(*id))
            .fold(0, u32::saturating_add)
    }

    /// Every way to break one of these steps: the bindings that give one right, all of them removable.
    fn breaks(&self, steps: &[&Edge]) -> Vec<BTreeSet<BindingId>> {
        let mut found: Vec<BTreeSet<BindingId>> = steps
            .iter()
            .flat_map(|step| &step.needs)
            .map(|need| need.grants.iter().map(|g| g.binding).collect())
            .filter(|set: &BTreeSet<BindingId>| set.iter().all(|id| (self.cost)(*id).is_some()))
            .collect();
        found.sort_by_key(|set| self.total(set));
        found.dedup();
        found
    }

    /// Breaks the cheapest step of a path, again and again; then takes back what was not needed.
    fn quick(&self) -> Option<BTreeSet<BindingId>> {
        let mut removed: BTreeSet<BindingId> = BTreeSet::new();
        while let Some(steps) = self.path(&removed.iter().copied().collect()) {
            removed.extend(self.breaks(&steps).into_iter().next()?);
        }
        for id in removed.clone() {
            let without: HashSet<BindingId> =
                removed.iter().copied().filter(|r| *r != id).collect();
            if self.path(&without).is_none() {
                removed.remove(&id);
            }
        }
        Some(removed)
    }

    /// Every cut breaks a step of every path, so it is enough to try each step of one.
    fn exact(&self, removed: &mut BTreeSet<BindingId>, state: &mut State) {
        let bound = state.best.as_ref().map_or(u32::MAX, |(cost, _)| *cost);
        if state.left == 0 || self.total(removed) >= bound {
            return;
        }
        state.left -= 1;
        let Some(steps) = self.path(&removed.iter().copied().collect()) else {
            state.best = Some((self.total(removed), removed.clone()));
            return;
        };
        for set in self.breaks(&steps) {
            let new: Vec<BindingId> = set.difference(removed).copied().collect();
            removed.extend(&new);
            self.exact(removed, state);
            for id in new {
                removed.remove(&id);
            }
        }
    }
}
