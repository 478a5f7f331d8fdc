//! Joins the groups that are most alike, until none are alike enough.
//!
//! Atoms are bits here. Each group keeps which of the later ones is most like it, so that one joining costs about as
//! much as comparing two groups with all others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Group, Options, share};
use crate::privilege::Atom;

pub(super) fn join(groups: Vec<Group>, options: Options) -> Vec<Group> {
    let names: BTreeSet<Atom> = groups.iter().flat_map(|g| &g.atoms).cloned().collect();
    let names: Vec<Atom> = names.into_iter().collect();
    let positions: BTreeMap<&Atom, u32> = names.iter().zip(0..).collect();
    let mut search = Search {
        options,
        work: 0,
        groups: groups
            .iter()
            .take(options.most_groups)
            .map(|g| Some(Bits::new(g, &positions)))
            .collect(),
        closest: Vec::new(),
    };
    let into = search.run();
    finish(groups, &search.groups, &into, &names)
}

/// A group, with its atoms as bits.
struct Bits {
    words: Vec<u64>,
    /// How many bits are set.
    size: usize,
    /// Atom → how many members use it, in order.
    counts: Vec<(u32, usize)>,
    members: usize,
}

/// A later group, and how alike it is.
type Closest = Option<(f64, usize)>;

struct Search {
    options: Options,
    /// Words that were compared.
    work: u64,
    /// None for those that were joined to an earlier one.
    groups: Vec<Option<Bits>>,
    /// The later group that is most like each.
    closest: Vec<Closest>,
}

impl Bits {
    fn new(group: &Group, positions: &BTreeMap<&Atom, u32>) -> Self {
        let members = group.members.len();
        let counts = group
            .atoms
            .iter()
            .filter_map(|atom| Some((*positions.get(atom)?, members)));
        let mut bits = Self {
            words: Vec::new(),
            size: 0,
            counts: counts.collect(),
            members,
        };
        bits.draw(1.0);
        bits
    }

    /// Sets the bits of what at least this share of the members use.
    fn draw(&mut self, least: f64) {
        self.words.clear();
        self.size = 0;
        for (atom, count) in &self.counts {
            if share(*count, self.members) < least {
                continue;
            }
            let (word, bit) = place(*atom);
            if self.words.len() <= word {
                self.words.resize(word + 1, 0);
            }
            if let Some(word) = self.words.get_mut(word) {
                *word |= bit;
                self.size += 1;
            }
        }
    }

    fn has(&self, atom: u32) -> bool {
        let (word, bit) = place(atom);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    fn absorb(&mut self, other: &Self, least: f64) {
        let mut both: BTreeMap<u32, usize> = self.counts.iter().copied().collect();
        for (atom, count) in &other.counts {
            *both.entry(*atom).or_default() += count;
        }
        self.counts = both.into_iter().collect();
        self.members += other.members;
        self.draw(least);
    }

    /// Jaccard: what both have, of what either has.
    fn alike(&self, other: &Self) -> f64 {
        let pairs = self.words.iter().zip(&other.words);
        let both: u32 = pairs.map(|(a, b)| (a & b).count_ones()).sum();
        let both = usize::try_from(both).unwrap_or(usize::MAX);
        share(both, self.size + other.size - both)
    }

    /// Whether sizes alone say that they are less alike than this.
    fn is_far(&self, other: &Self, least: f64) -> bool {
        let (less, more) = (self.size.min(other.size), self.size.max(other.size));
        share(less, more) < least
    }
}

fn place(atom: u32) -> (usize, u64) {
    let word = usize::try_from(atom / u64::BITS).unwrap_or(usize::MAX);
    (word, 1 << (atom % u64::BITS))
}

impl Search {
    /// Joins as long as there is something to join; gives for each group the one it is part of.
    fn run(&mut self) -> Vec<usize> {
        let count = self.groups.len();
        let mut into: Vec<usize> = (0..count).collect();
        for position in 0..count {
            let closest = self.look(position, position + 1);
            self.closest.push(closest);
        }
        while self.work <= self.options.most_work
            && let Some((first, second)) = self.best()
        {
            if let Some(of) = into.get_mut(second) {
                *of = first;
            }
            self.absorb(first, second);
        }
        into
    }

    /// The most alike of all pairs; of equals the first.
    fn best(&self) -> Option<(usize, usize)> {
        let mut best: Option<(f64, (usize, usize))> = None;
        for (first, closest) in self.closest.iter().enumerate() {
            if let Some((alike, second)) = closest
                && best.is_none_or(|(most, _)| *alike > most)
            {
                best = Some((*alike, (first, *second)));
            }
        }
        best.map(|(_, pair)| pair)
    }

    fn absorb(&mut self, first: usize, second: usize) {
        let other = self.groups.get_mut(second).and_then(Option::take);
        if let (Some(Some(group)), Some(other)) = (self.groups.get_mut(first), other) {
            group.absorb(&other, self.options.least_used);
        }
        if let Some(closest) = self.closest.get_mut(second) {
            *closest = None;
        }
        for position in 0..second {
            let Some(closest) = self.closest.get(position).copied() else {
                continue;
            };
            let is_stale = closest.is_some_and(|(_, of)| of == first || of == second);
            let found = if position == first || is_stale {
                self.look(position, position + 1)
            } else if position < first {
                // Only the joined group is another than before.
                nearer(closest, self.look_at(position, first))
            } else {
                continue;
            };
            if let Some(closest) = self.closest.get_mut(position) {
                *closest = found;
            }
        }
    }

    /// Which of the groups from `from` on is most like this one, if any is alike enough; the first of equals.
    fn look(&mut self, position: usize, from: usize) -> Closest {
        let mut found = None;
        for other in from..self.groups.len() {
            found = nearer(found, self.look_at(position, other));
        }
        found
    }

    fn look_at(&mut self, position: usize, other: usize) -> Closest {
        let get = |at: usize| self.groups.get(at).and_then(Option::as_ref);
        let (one, another) = (get(position)?, get(other)?);
        let least = self.options.least_alike;
        if self.work > self.options.most_work || one.is_far(another, least) {
            return None;
        }
        let words = one.words.len().min(another.words.len());
        self.work += u64::try_from(words).unwrap_or(u64::MAX);
        let alike = one.alike(another);
        (alike >= least).then_some((alike, other))
    }
}

/// The more alike of two; of equals the earlier.
fn nearer(one: Closest, other: Closest) -> Closest {
    match (one, other) {
        (Some((a, first)), Some((b, second))) if b > a || (b >= a && second < first) => other,
        (None, _) => other,
        _ => one,
    }
}

/// The groups that are left, with their members and what these use.
fn finish(groups: Vec<Group>, left: &[Option<Bits>], into: &[usize], names: &[Atom]) -> Vec<Group> {
    let mut found: BTreeMap<usize, Group> = BTreeMap::new();
    for (position, group) in groups.into_iter().enumerate() {
        let mut end = position;
        while let Some(next) = into.get(end).copied().filter(|next| *next != end) {
            end = next;
        }
        match found.get_mut(&end) {
            Some(whole) => whole.members.extend(group.members),
            None => {
                found.insert(end, group);
            }
        }
    }
    for (position, group) in &mut found {
        if let Some(Some(bits)) = left.get(*position) {
            let atoms = names.iter().zip(0..).filter(|(_, atom)| bits.has(*atom));
            group.atoms = atoms.map(|(atom, _)| atom.clone()).collect();
        }
    }
    found.into_values().collect()
}
