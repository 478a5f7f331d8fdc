//! What is counted of one subject.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kubestile_core::Timestamp;
use kubestile_rbac::{Identity, Target};

use super::super::event::Event;
use super::super::{CredentialUse, Place, Subject, Use};

/// Credentials of one subject that are kept: a new one every hour for a month, and more.
const CREDENTIALS: usize = 1_000;
/// Places of one credential, or of one subject, that are kept.
const PLACES: usize = 50;
/// Ten minutes each of one place that are kept: two months.
const SLOTS: usize = 9_000;
/// The length of a slot, in microseconds.
const SLOT: i64 = 600_000_000;
/// The longest text that is kept of a client's own words.
const WORDS: usize = 64;

/// Room for what is kept of where credentials were used. It is shared by all subjects: what hostile clients can
/// invent is bounded by it, and not by their number.
#[derive(Debug)]
pub(super) struct Room {
    /// For credentials and places.
    pub(super) entries: usize,
    /// For slots.
    pub(super) moments: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            entries: super::ENTRIES,
            moments: super::MOMENTS,
        }
    }
}

/// One from what is left, if anything is.
fn take(left: &mut usize) -> bool {
    let after = left.checked_sub(1);
    *left = after.unwrap_or(0);
    after.is_some()
}

#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) groups: BTreeSet<String>,
    pub(super) policies: BTreeSet<String>,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) by_gate: u64,
    pub(super) unlogged: u64,
    pub(super) uses: HashMap<Box<str>, Use>,
    by_certificate: u64,
    by_legacy_token: u64,
    unnamed: u64,
    first: Option<i64>,
    last: Option<i64>,
    /// Everything of a use but its name → how many names.
    names: HashMap<Box<str>, u32>,
    credentials: HashMap<String, Credential>,
    places: Places,
    outside: Places,
}

#[derive(Debug, Default)]
struct Credential {
    first: Option<i64>,
    last: Option<i64>,
    count: u64,
    places: Places,
}

/// Address and machine → when.
#[derive(Debug, Default)]
struct Places(HashMap<(String, String), Times>);

#[derive(Debug, Default)]
struct Times {
    count: u64,
    slots: BTreeSet<i64>,
}

impl Account {
    pub(super) fn seen(&mut self, at: Option<i64>) {
        self.first = [self.first, at].into_iter().flatten().min();
        self.last = [self.last, at].into_iter().flatten().max();
    }

    /// With what and from where they came; whether there was room for it.
    pub(super) fn came(&mut self, event: &Event<'_>, room: &mut Room) -> bool {
        let user = &event.user;
        self.by_legacy_token += u64::from(user.legacy);
        self.by_certificate += u64::from(user.credential.starts_with("X509SHA256="));
        self.unnamed += u64::from(user.credential.is_empty());
        if user.of_pod {
            return true;
        }
        if let Identity::ServiceAccount { .. } = Identity::from_user_name(user.name) {
            return self.outside.add(event, room);
        }
        if user.name.starts_with("system:") {
            // Where the control plane is; of everything else of it nothing is asked.
            return self.places.add(event, room) || self.places.0.len() >= PLACES;
        }
        let kept = self.places.add(event, room);
        if user.credential.is_empty() {
            return kept;
        }
        let known = self.credentials.contains_key(user.credential);
        let full = self.credentials.len() >= CREDENTIALS || user.credential.len() > 256;
        if !known && (full || !take(&mut room.entries)) {
            return false;
        }
        let credential = self
            .credentials
            .entry(user.credential.to_owned())
            .or_default();
        credential.count += 1;
        credential.first = [credential.first, event.at].into_iter().flatten().min();
        credential.last = [credential.last, event.at].into_iter().flatten().max();
        credential.places.add(event, room) && kept
    }

    /// Whether one more name may be kept beside `place`, which is everything of a use but its name.
    pub(super) fn room_for_name(&mut self, place: &str, most: u32) -> bool {
        match self.names.get_mut(place) {
            Some(count) if *count >= most => false,
            Some(count) => {
                *count += 1;
                true
            }
            None => {
                self.names.insert(place.into(), 1);
                true
            }
        }
    }

    /// Both together; how much of credentials did not fit.
    pub(super) fn join(
        &mut self,
        other: Self,
        uses: &mut usize,
        room: &mut Room,
        (most, names): (usize, u32),
    ) -> u64 {
        self.requests += other.requests;
        self.refused += other.refused;
        self.failed += other.failed;
        self.by_gate += other.by_gate;
        self.unlogged += other.unlogged;
        self.by_certificate += other.by_certificate;
        self.by_legacy_token += other.by_legacy_token;
        self.unnamed += other.unnamed;
        self.seen(other.first);
        self.seen(other.last);
        self.groups.extend(other.groups);
        self.policies.extend(other.policies);
        let mut lost = 0;
        for (key, used) in other.uses {
            lost += self.join_use(key, used, uses, most, names);
        }
        for (id, credential) in other.credentials {
            let known = self.credentials.contains_key(&id);
            if !known && (self.credentials.len() >= CREDENTIALS || !take(&mut room.entries)) {
                lost += credential.count;
                continue;
            }
            let mine = self.credentials.entry(id).or_default();
            mine.count += credential.count;
            mine.first = [mine.first, credential.first].into_iter().flatten().min();
            mine.last = [mine.last, credential.last].into_iter().flatten().max();
            lost += mine.places.join(credential.places, room);
        }
        lost + self.places.join(other.places, room) + self.outside.join(other.outside, room)
    }

    fn join_use(
        &mut self,
        key: Box<str>,
        mut used: Use,
        uses: &mut usize,
        most: usize,
        names: u32,
    ) -> u64 {
        let count = used.count;
        if let Some(mine) = self.uses.get_mut(&key) {
            mine.count += count;
            return 0;
        }
        if *uses >= most {
            return count;
        }
        let place = key.rfind('\0').map_or(0, |at| at + 1);
        let (place, name) = key.split_at_checked(place).unwrap_or_default();
        let mut kept = key.clone();
        if !name.is_empty() && !self.room_for_name(place, names) {
            kept = place.into();
            if let Target::Resource(target) = &mut used.attributes.target {
                target.name.clear();
            }
            if let Some(mine) = self.uses.get_mut(&kept) {
                mine.count += count;
                return 0;
            }
        }
        *uses += 1;
        self.uses.insert(kept, used);
        0
    }

    pub(super) fn finish(self, name: String) -> Subject {
        let mut uses: Vec<Use> = self.uses.into_values().collect();
        uses.sort_by(|a, b| {
            (&a.attributes, a.allowed, &a.command).cmp(&(&b.attributes, b.allowed, &b.command))
        });
        let mut credentials: Vec<CredentialUse> = self
            .credentials
            .into_iter()
            .map(|(id, credential)| credential.finish(id))
            .collect();
        credentials.sort_by(|a, b| a.id.cmp(&b.id));
        Subject {
            name,
            groups: self.groups.into_iter().collect(),
            first: self.first.map(Timestamp::from_micros),
            last: self.last.map(Timestamp::from_micros),
            requests: self.requests,
            refused: self.refused,
            failed: self.failed,
            by_gate: self.by_gate,
            by_certificate: self.by_certificate,
            by_legacy_token: self.by_legacy_token,
            unnamed: self.unnamed,
            unlogged: self.unlogged,
            uses,
            credentials,
            places: self.places.finish(),
            outside: self.outside.finish(),
            policies: self.policies.into_iter().collect(),
        }
    }
}

impl Credential {
    fn finish(self, id: String) -> CredentialUse {
        let overlaps = self.places.overlaps();
        CredentialUse {
            id,
            first: self.first.map(Timestamp::from_micros),
            last: self.last.map(Timestamp::from_micros),
            count: self.count,
            places: self.places.finish(),
            overlaps,
        }
    }
}

impl Times {
    /// Whether it is known that there was a request in this slot.
    fn used(&mut self, slot: i64, room: &mut Room) -> bool {
        if self.slots.contains(&slot) {
            return true;
        }
        let fits = self.slots.len() < SLOTS && take(&mut room.moments);
        if fits {
            self.slots.insert(slot);
        }
        fits
    }
}

impl Places {
    fn add(&mut self, event: &Event<'_>, room: &mut Room) -> bool {
        let key = (clip(event.address), clip(machine(event.agent)));
        if !self.0.contains_key(&key) && (self.0.len() >= PLACES || !take(&mut room.entries)) {
            return false;
        }
        let times = self.0.entry(key).or_default();
        times.count += 1;
        event
            .at
            .is_none_or(|at| times.used(at.div_euclid(SLOT), room))
    }

    fn join(&mut self, other: Self, room: &mut Room) -> u64 {
        let mut lost = 0;
        for (key, times) in other.0 {
            if !self.0.contains_key(&key) && (self.0.len() >= PLACES || !take(&mut room.entries)) {
                lost += times.count;
                continue;
            }
            let mine = self.0.entry(key).or_default();
            mine.count += times.count;
            let slots = times
                .slots
                .into_iter()
                .filter(|slot| !mine.used(*slot, room));
            lost += u64::try_from(slots.count()).unwrap_or(u64::MAX);
        }
        lost
    }

    /// Slots in which there was more than one place.
    fn overlaps(&self) -> u32 {
        let shared = self.shared();
        u32::try_from(shared.len()).unwrap_or(u32::MAX)
    }

    /// A client that does not say on what it runs may be on the machine of any other at its address.
    fn shared(&self) -> BTreeSet<i64> {
        let mut by_machine: BTreeMap<(&str, &str), BTreeSet<i64>> = BTreeMap::new();
        for ((address, machine), times) in &self.0 {
            let said = self.0.keys().filter(|(a, m)| a == address && !m.is_empty());
            let machine = match machine.is_empty() {
                true => said.map(|(_, m)| m).min().unwrap_or(machine),
                false => machine,
            };
            let slots = by_machine.entry((address, machine)).or_default();
            slots.extend(&times.slots);
        }
        let mut seen = BTreeSet::new();
        let all = by_machine.into_values().flatten();
        all.filter(|slot| !seen.insert(*slot)).collect()
    }

    fn finish(self) -> Vec<Place> {
        let shared = self.shared();
        let mut found: Vec<Place> = self
            .0
            .into_iter()
            .map(|((address, machine), times)| {
                let overlaps = times.slots.intersection(&shared).count();
                Place {
                    address,
                    machine,
                    count: times.count,
                    overlaps: u32::try_from(overlaps).unwrap_or(u32::MAX),
                }
            })
            .collect();
        found.sort_by(|a, b| (&a.address, &a.machine).cmp(&(&b.address, &b.machine)));
        found
    }
}

/// `linux/amd64` of `kubectl/v1.36.0 (linux/amd64) kubernetes/abc`: all of client-go says it. Of others it is empty.
fn machine(agent: &str) -> &str {
    let inside = agent
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    match inside {
        Some((machine, _)) if machine.contains('/') => machine,
        _ => "",
    }
}

fn clip(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(WORDS)
        .collect()
}
