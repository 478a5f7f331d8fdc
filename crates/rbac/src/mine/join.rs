//! Joins the groups that are most alike, until none are alike enough.
//!
//! Atoms are bits here. Each group keeps which later ones are like it at all, as long as there is room, and which of
//! them most: one joining costs about as much as comparing one group with all others.

use std::collections::BTreeMap;

use super::{Group, Options, share};

/// Positions that are kept of groups that are alike, of all together: 64 MiB.
const ROOM: usize = 1 << 24;

pub(super) fn join(groups: Vec<Group>, options: Options) -> Vec<Group> {
    let compared = groups.iter().take(options.most_groups);
    let mut search = Search {
        options,
        work: 0,
        room: ROOM,
        groups: compared.map(|g| Some(Bits::new(g))).collect(),
        closest: Vec::new(),
        near: Vec::new(),
    };
    let into = search.run();
    finish(groups, &search.groups, &into)
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
    /// Positions that may still be kept in `near`.
    room: usize,
    /// None for those that were joined to an earlier one.
    groups: Vec<Option<Bits>>,
    /// The later group that is most like each.
    closest: Vec<Closest>,
    /// All later groups that are alike enough; none if there was no room. Some may be so no longer.
    near: Vec<Option<Vec<usize>>>,
}

impl Bits {
    fn new(group: &Group) -> Self {
        let members = group.members.len();
        let mut bits = Self {
            words: Vec::new(),
            size: 0,
            counts: group.atoms.iter().map(|atom| (*atom, members)).collect(),
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

    fn atoms(&self) -> Vec<u32> {
        let all = self.counts.iter().map(|(atom, _)| *atom);
        all.filter(|atom| {
            let (word, bit) = place(*atom);
            self.words.get(word).is_some_and(|word| word & bit != 0)
        })
        .collect()
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
        // Without a check of each sum, which would be most of the work: there are not that many bits.
        let both = pairs.fold(0, |sum: u32, (a, b)| sum.wrapping_add((a & b).count_ones()));
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
            let (closest, near) = self.look(position);
            self.closest.push(closest);
            self.near.push(near);
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
            let found = if position == first {
                let (closest, near) = self.look(position);
                if let Some(kept) = self.near.get_mut(position) {
                    *kept = near;
                }
                closest
            } else {
                self.again(position, closest, first, second)
            };
            if let Some(closest) = self.closest.get_mut(position) {
                *closest = found;
            }
        }
    }

    /// Which is most like a group after `second` was joined to `first`, when it was `closest` before.
    fn again(&mut self, position: usize, closest: Closest, first: usize, second: usize) -> Closest {
        let joined = match position < first {
            true => self.look_at(position, first),
            false => None,
        };
        if joined.is_some()
            && let Some(Some(near)) = self.near.get_mut(position)
            && !near.contains(&first)
        {
            near.push(first);
        }
        if closest.is_none_or(|(_, of)| of != first && of != second) {
            return nearer(closest, joined);
        }
        let Some(near) = self.near.get_mut(position).and_then(Option::take) else {
            return self.look(position).0;
        };
        let mut found = None;
        for other in &near {
            found = nearer(found, self.look_at(position, *other));
        }
        if let Some(kept) = self.near.get_mut(position) {
            *kept = Some(near);
        }
        found
    }

    /// Which of the later groups is most like this one, if any is alike enough, the first of equals; and all that
    /// are alike enough, if there is room for them.
    fn look(&mut self, position: usize) -> (Closest, Option<Vec<usize>>) {
        let (mut found, mut near) = (None, Some(Vec::new()));
        for other in position + 1..self.groups.len() {
            let alike = self.look_at(position, other);
            if alike.is_none() {
                continue;
            }
            found = nearer(found, alike);
            let left = self.room.checked_sub(1);
            self.room = left.unwrap_or(0);
            match (&mut near, left) {
                (Some(near), Some(_)) => near.push(other),
                _ => near = None,
            }
        }
        (found, near)
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
fn finish(groups: Vec<Group>, left: &[Option<Bits>], into: &[usize]) -> Vec<Group> {
    let mut found: BTreeMap<usize, Group> = BTreeMap::new();
    for (position, group) in groups.into_iter().enumerate() {
        let mut end = position;
        while let Some(next) = into.get(end).copied().filter(|next| *next != end) {
            end = next;
        }
        match found.get_mut(&end) {
            Some(whole) => {
                whole.members.extend(group.members);
                whole.uses.extend(group.uses);
            }
            None => {
                found.insert(end, group);
            }
        }
    }
    for (position, group) in &mut found {
        if let Some(Some(bits)) = left.get(*position) {
            group.atoms = bits.atoms();
        }
    }
    found.into_values().collect()
}
