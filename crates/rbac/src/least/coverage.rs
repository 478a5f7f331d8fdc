//! How much of what somebody does has been seen: the Good–Turing estimate.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Operation;
use crate::evaluate::{Attributes, Target};

/// How well a window of observation covers what somebody does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// Operations that were allowed.
    pub seen: u64,
    /// Different ones, whatever the object's name.
    pub different: u64,
    /// Those that were seen once only.
    pub once: u64,
}

impl Coverage {
    pub(super) fn of(operations: &[Operation]) -> Self {
        let mut counts: BTreeMap<Attributes, u64> = BTreeMap::new();
        for operation in operations.iter().filter(|o| o.allowed) {
            let mut kind = operation.attributes.clone();
            if let Target::Resource(target) = &mut kind.target {
                target.name.clear();
            }
            let count = counts.entry(kind).or_default();
            *count = count.saturating_add(operation.count);
        }
        Self {
            seen: counts.values().fold(0, |sum, c| sum.saturating_add(*c)),
            different: u64::try_from(counts.len()).unwrap_or(u64::MAX),
            once: u64::try_from(counts.values().filter(|c| **c == 1).count()).unwrap_or(u64::MAX),
        }
    }

    /// The share of future operations that will be of a kind that was seen, in 0..=1: one less the share of those
    /// that were seen once. Nothing seen, nothing covered.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.seen == 0 {
            return 0.0;
        }
        1.0 - ratio(self.once, self.seen)
    }

    /// How many days more it takes, at this pace, until the share is at least `wanted` (below 1), after a
    /// window of `days`; none if it is already, or if nothing was seen.
    #[must_use]
    pub fn days_more(&self, days: u32, wanted: f64) -> Option<u32> {
        let missing = 1.0 - wanted;
        if self.seen == 0 || missing <= 0.0 || self.share() >= wanted {
            return None;
        }
        // What was seen once stays about as many while everything else grows with the window.
        let factor = ratio(self.once, self.seen) / missing;
        let more = f64::from(days.max(1)) * (factor - 1.0);
        (1..=u32::from(u16::MAX)).find(|d| f64::from(*d) >= more)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    let small = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    // Counts beyond four billion are halved together until they fit.
    let (mut part, mut whole) = (part, whole);
    while whole > u64::from(u32::MAX) {
        part /= 2;
        whole /= 2;
    }
    small(part) / small(whole.max(1))
}
