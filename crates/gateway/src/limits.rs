//! How much at once, per person and per cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kubestile_core::ids::{ClusterName, PersonId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gate::Settings;
use crate::refusal::Refusal;

/// The counters of all limits.
pub struct Limits {
    people: Mutex<HashMap<PersonId, Arc<Lane>>>,
    clusters: Mutex<HashMap<ClusterName, Arc<Lane>>>,
    person: (usize, usize),
    cluster: (usize, usize),
    strangers: Mutex<Bucket>,
    holds: (usize, usize),
    held_of: Mutex<HashMap<PersonId, Arc<Semaphore>>>,
    held_at: Mutex<HashMap<ClusterName, Arc<Semaphore>>>,
    held_kib: Arc<Semaphore>,
    held_kib_of: Mutex<HashMap<PersonId, Arc<Semaphore>>>,
    person_kib: usize,
}

/// Records of refusals to nobody in particular: so many a second, so many at once. Who floods the gate
/// without a credential must not fill the log.
const STRANGERS_A_SECOND: f64 = 20.0;
const STRANGERS_AT_ONCE: f64 = 200.0;

/// A token bucket.
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Short requests and streams are counted apart, so that open watches never block a `get`.
struct Lane {
    short: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Lane {
    fn new((short, long): (usize, usize)) -> Self {
        Self {
            short: Arc::new(Semaphore::new(short)),
            long: Arc::new(Semaphore::new(long)),
        }
    }

    fn take(&self, long: bool) -> Option<OwnedSemaphorePermit> {
        let lane = if long { &self.long } else { &self.short };
        lane.clone().try_acquire_owned().ok()
    }
}

/// A place taken in the person's and the cluster's limits; given back when dropped.
#[derive(Debug)]
pub struct Place {
    _person: OwnedSemaphorePermit,
    _cluster: OwnedSemaphorePermit,
}

impl Limits {
    /// From the settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            people: Mutex::default(),
            clusters: Mutex::default(),
            person: (settings.requests_per_person, settings.streams_per_person),
            cluster: (settings.requests_per_cluster, settings.streams_per_cluster),
            holds: (settings.holds.per_person, settings.holds.per_cluster),
            held_of: Mutex::default(),
            held_at: Mutex::default(),
            held_kib: Arc::new(Semaphore::new(settings.holds.memory_kib)),
            held_kib_of: Mutex::default(),
            // No one person fills what is there for all; one body always fits.
            person_kib: (settings.holds.memory_kib / 4).max(kib(settings.body_limit) as usize),
            strangers: Mutex::new(Bucket {
                tokens: STRANGERS_AT_ONCE,
                filled: Instant::now(),
            }),
        }
    }

    /// Whether a refusal without an identity may be recorded still.
    pub fn may_record_stranger(&self) -> bool {
        let mut bucket = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let gained = bucket.filled.elapsed().as_secs_f64() * STRANGERS_A_SECOND;
        bucket.filled = Instant::now();
        bucket.tokens = (bucket.tokens + gained).min(STRANGERS_AT_ONCE);
        let left = bucket.tokens >= 1.0;
        if left {
            bucket.tokens -= 1.0;
        }
        left
    }

    /// Takes a place for one request.
    ///
    /// # Errors
    /// A refusal with 429 when the person or the cluster has none left.
    pub fn enter(
        &self,
        person: PersonId,
        cluster: &ClusterName,
        long: bool,
        upgrade: bool,
    ) -> Result<Arc<Place>, Refusal> {
        let lane = lane_of(&self.people, &person, self.person);
        let of_person = lane
            .take(long)
            .ok_or_else(|| Refusal::too_many("from you", upgrade))?;
        let lane = lane_of(&self.clusters, cluster, self.cluster);
        let of_cluster = lane
            .take(long)
            .ok_or_else(|| Refusal::too_many("to this cluster", upgrade))?;
        Ok(Arc::new(Place {
            _person: of_person,
            _cluster: of_cluster,
        }))
    }
}

impl Limits {
    /// Takes a place among the requests that are held, given back when dropped.
    ///
    /// # Errors
    /// A refusal with 429 when the person or the cluster has too many waiting.
    pub fn wait(&self, person: PersonId, cluster: &ClusterName) -> Result<Place, Refusal> {
        let take = |held: Arc<Semaphore>| held.try_acquire_owned().ok();
        let of_person = take(held_of(&self.held_of, &person, self.holds.0));
        let of_cluster = take(held_of(&self.held_at, cluster, self.holds.1));
        match (of_person, of_cluster) {
            (Some(person), Some(cluster)) => Ok(Place {
                _person: person,
                _cluster: cluster,
            }),
            (None, _) => Err(Refusal::too_many_held("of yours")),
            (_, None) => Err(Refusal::too_many_held("on this cluster")),
        }
    }

    /// Takes memory for the body of a request that is held.
    ///
    /// # Errors
    /// A refusal with 429 when the bodies of those that wait fill all there is for them.
    pub fn hold_bytes(&self, person: PersonId, bytes: u64) -> Result<HeldBytes, Refusal> {
        let take = |held: Arc<Semaphore>, whose| {
            let held = held.try_acquire_many_owned(kib(bytes));
            held.map_err(|_| Refusal::too_many_held(whose))
        };
        let own = held_of(&self.held_kib_of, &person, self.person_kib);
        Ok(HeldBytes {
            of_person: take(own, "of yours, whose bodies are large,")?,
            of_all: take(self.held_kib.clone(), "whose bodies are large")?,
        })
    }
}

/// Memory for the body of a request that is held; given back when dropped.
#[derive(Debug)]
pub struct HeldBytes {
    of_person: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
}

impl HeldBytes {
    /// Gives back what the body turned out not to need.
    pub fn shrink(&mut self, bytes: u64) {
        for place in [&mut self.of_person, &mut self.of_all] {
            let surplus = place.num_permits().saturating_sub(kib(bytes) as usize);
            drop(place.split(surplus));
        }
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

fn held_of<K: std::hash::Hash + Eq + Clone>(
    all: &Mutex<HashMap<K, Arc<Semaphore>>>,
    key: &K,
    limit: usize,
) -> Arc<Semaphore> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let made = || Arc::new(Semaphore::new(limit));
    all.entry(key.clone()).or_insert_with(made).clone()
}

fn lane_of<K: std::hash::Hash + Eq + Clone>(
    lanes: &Mutex<HashMap<K, Arc<Lane>>>,
    key: &K,
    limits: (usize, usize),
) -> Arc<Lane> {
    let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lane) = lanes.get(key) {
        return lane.clone();
    }
    let lane = Arc::new(Lane::new(limits));
    lanes.insert(key.clone(), lane.clone());
    lane
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_block_short_requests_and_places_come_back() {
        let settings = Settings {
            requests_per_person: 1,
            streams_per_person: 1,
            ..Settings::default()
        };
        let limits = Limits::new(&settings);
        let ana = PersonId::from_uuid(uuid::Uuid::from_u128(1));
        let bob = PersonId::from_uuid(uuid::Uuid::from_u128(2));
        let prod = "prod".parse().unwrap();
        let watch = limits.enter(ana, &prod, true, false).unwrap();
        assert!(limits.enter(ana, &prod, true, false).is_err());
        assert!(limits.enter(bob, &prod, true, false).is_ok());
        let _get = limits.enter(ana, &prod, false, false).unwrap();
        drop(watch);
        assert!(limits.enter(ana, &prod, true, false).is_ok());
    }

    #[test]
    fn no_one_person_holds_all_the_memory_for_bodies() {
        let mut settings = Settings::default();
        settings.holds.memory_kib = 16 * 1024;
        let limits = Limits::new(&settings);
        let person = |n| PersonId::from_uuid(uuid::Uuid::from_u128(n));
        let mib = 1024 * 1024;
        let mut first = limits.hold_bytes(person(1), 3 * mib).unwrap();
        assert!(limits.hold_bytes(person(1), 3 * mib).is_err());
        assert!(limits.hold_bytes(person(2), 3 * mib).is_ok());
        first.shrink(1000);
        assert!(
            limits.hold_bytes(person(1), 3 * mib).is_ok(),
            "what is not needed is given back"
        );
    }

    #[test]
    fn a_flood_of_strangers_does_not_fill_the_log() {
        let limits = Limits::new(&Settings::default());
        let recorded = (0..10_000).filter(|_| limits.may_record_stranger()).count();
        assert!((200..2_000).contains(&recorded), "{recorded}");
    }
}
