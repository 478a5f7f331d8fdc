//! Which events of the files become records, each request once.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use kubestile_assess::traffic::event::{Event, Target};
use kubestile_core::event::{Event as Recorded, LeftOut, Object, Seen};
use kubestile_core::{ClusterName, Timestamp};
use kubestile_store::audit::search::{self, Filter};

use crate::exit::{Fail, Outcome, chain};

/// Requests of one import at most: their keys are kept in memory.
const MOST: usize = 2_000_000;
/// How far the gate's clock and an API server's may be apart, and a held request may wait, in microseconds.
const APART: i64 = 24 * 3600 * 1_000_000;
/// In place of a rank: it has been sent.
const SENT: u8 = u8::MAX;

/// SHA-256 of a request's identity.
pub(super) type Key = [u8; 32];

/// What is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) cluster: ClusterName,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// The gate's account at the cluster, if what came through the gate is left out.
    pub(super) gate: Option<String>,
    /// Whether the reads of the cluster's own components are wanted.
    pub(super) components: bool,
}

/// Picks the last word on each request.
pub(super) struct Picker {
    wanted: Wanted,
    /// Requests that the gate has a record of.
    of_gate: HashSet<String>,
    /// The last word on requests of earlier imports.
    there: HashMap<Key, u8>,
    /// The last word on each request that is wanted.
    last: HashMap<Key, u8>,
    left_out: LeftOut,
}

enum Found {
    Malformed,
    Outside,
    ThroughGate,
    Component,
    Wanted(Key, u8),
}

impl Picker {
    /// Reads in the gate's log below `dir` what it knows of that time.
    pub(super) fn new(wanted: Wanted, dir: &Path) -> Outcome<Self> {
        let mut picker = Self {
            of_gate: HashSet::new(),
            there: HashMap::new(),
            last: HashMap::new(),
            left_out: LeftOut::default(),
            wanted,
        };
        let around =
            |at: Timestamp, by: i64| Timestamp::from_micros(at.as_micros().saturating_add(by));
        let filter = Filter {
            cluster: Some(picker.wanted.cluster.clone()),
            since: Some(around(picker.wanted.from, -APART)),
            until: Some(around(picker.wanted.until, APART)),
            ..Filter::default()
        };
        let failed = |error| Fail::failure(chain(&error));
        for found in search::search(dir, &filter).map_err(failed)? {
            match found.map_err(failed)?.record.event {
                Recorded::Decision(decided)
                    if picker.wanted.gate.is_some() && decided.decision == "allow" =>
                {
                    picker.of_gate.insert(decided.request.to_string());
                }
                Recorded::Imported(imported) => {
                    if let (Some(key), Some(rank)) = (key_of(&imported.key), imported.rank()) {
                        let there = picker.there.entry(key).or_default();
                        *there = rank.max(*there);
                    }
                }
                _ => {}
            }
            if picker.of_gate.len() + picker.there.len() > 2 * MOST {
                return Err(too_many());
            }
        }
        Ok(picker)
    }

    pub(super) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Of the first reading.
    pub(super) fn count(&mut self, event: &Event<'_>) -> Outcome {
        match self.find(event) {
            Found::Malformed => self.left_out.malformed += 1,
            Found::Outside => self.left_out.outside += 1,
            Found::ThroughGate => self.left_out.through_gate += 1,
            Found::Component => self.left_out.components += 1,
            Found::Wanted(key, rank) => match self.last.get_mut(&key) {
                None => {
                    self.last.insert(key, rank);
                    if self.last.len() > MOST {
                        return Err(too_many());
                    }
                }
                Some(last) if *last == rank => self.left_out.duplicates += 1,
                Some(last) => {
                    *last = rank.max(*last);
                    self.left_out.other_stages += 1;
                }
            },
        }
        Ok(())
    }

    /// After it: how many records will come, and what is left out besides `malformed` lines.
    pub(super) fn counted(&mut self, malformed: u64) -> (u64, LeftOut) {
        let there = &self.there;
        let before = self.last.len();
        let is_new = |key: &Key, rank: &mut u8| there.get(key).is_none_or(|t| t < rank);
        self.last.retain(is_new);
        let known = before - self.last.len();
        self.left_out.duplicates += u64::try_from(known).unwrap_or(u64::MAX);
        self.left_out.malformed += malformed;
        (
            u64::try_from(self.last.len()).unwrap_or(u64::MAX),
            self.left_out,
        )
    }

    /// Of the second reading: the request's key, if this is the last word on it.
    pub(super) fn pick(&mut self, event: &Event<'_>) -> Option<Key> {
        let Found::Wanted(key, rank) = self.find(event) else {
            return None;
        };
        let last = self.last.get_mut(&key).filter(|last| **last == rank)?;
        *last = SENT;
        Some(key)
    }

    fn find(&self, event: &Event<'_>) -> Found {
        let Some(seen) = seen(event) else {
            return Found::Malformed;
        };
        let Some(rank) = seen.rank() else {
            return Found::Malformed;
        };
        if seen.at < self.wanted.from || seen.at > self.wanted.until {
            return Found::Outside;
        }
        // Either alone can be had by others: the account by whoever has its token, an id by whoever has
        // seen one.
        if self.wanted.gate.as_deref() == Some(seen.user) && self.of_gate.contains(seen.id) {
            return Found::ThroughGate;
        }
        if !self.wanted.components && is_component(&seen) {
            return Found::Component;
        }
        match digest(&SHA256, &seen.identity()).as_ref().try_into() {
            Ok(key) => Found::Wanted(key, rank),
            Err(_) => Found::Malformed,
        }
    }
}

/// The event as the log's own crate takes it; none without a time.
pub(super) fn seen<'a>(event: &'a Event<'a>) -> Option<Seen<'a>> {
    let object = match event.target {
        Target::Resource {
            group,
            resource,
            subresource,
            namespace,
            name,
        } => Some(Object {
            group,
            resource,
            subresource,
            namespace,
            name,
        }),
        Target::Path(_) => None,
    };
    let impersonated = event.impersonated.as_ref();
    Some(Seen {
        id: event.id,
        at: Timestamp::from_micros(event.at?),
        stage: event.stage,
        verb: event.verb,
        uri: event.uri,
        object,
        user: event.user.name,
        groups: &event.user.groups,
        impersonated: impersonated.map(|who| (who.name, who.groups.as_slice())),
        source: event.address,
        user_agent: event.agent,
        status: event.code,
    })
}

/// Whether it is what the cluster's own components do all day: they look, and renew their leases.
fn is_component(seen: &Seen<'_>) -> bool {
    let prefixes = ["system:node:", "system:serviceaccount:kube-system:"];
    let names = [
        "system:apiserver",
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:kube-proxy",
    ];
    let is_one = prefixes.iter().any(|p| seen.user.starts_with(p)) || names.contains(&seen.user);
    let object = seen.object.unwrap_or_default();
    let looks = matches!(seen.verb, "get" | "list" | "watch")
        && matches!(object.subresource, "" | "status")
        // Whoever has taken a component's credential looks for these.
        && object.resource != "secrets";
    is_one && seen.impersonated.is_none() && (looks || object.resource == "leases")
}

fn key_of(hex: &str) -> Option<Key> {
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

fn too_many() -> Fail {
    Fail::failure("these are more than two million requests").hint(
        "import a shorter time, or leave out what the cluster's own components read (--without-components)",
    )
}

#[cfg(test)]
mod tests;
