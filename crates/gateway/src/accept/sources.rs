//! How many connections each source has open, so that one cannot take the places of all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kubestile_core::Source;
use tokio::sync::Semaphore;

/// TLS handshakes of one source at a time. The next ones wait, as long as a handshake may take: a burst
/// from one office gets through, and a flood of them occupies no more than this.
const HANDSHAKES: usize = 64;

/// The sources that have connections open. No larger than the number of open connections.
pub(super) struct Sources {
    most: usize,
    open: Mutex<HashMap<Source, Held>>,
}

struct Held {
    connections: usize,
    handshakes: Arc<Semaphore>,
}

/// One connection's place among those of its source; given back when dropped.
pub(super) struct Seat {
    sources: Arc<Sources>,
    source: Source,
    handshakes: Arc<Semaphore>,
}

impl Sources {
    /// With at most `most` connections of one source.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
        })
    }

    /// A place for one more connection of this source, if it has not too many.
    pub(super) fn sit(self: &Arc<Self>, source: Source) -> Option<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let held = open.entry(source).or_insert_with(|| Held {
            connections: 0,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        });
        if held.connections >= self.most {
            return None;
        }
        held.connections += 1;
        Some(Seat {
            sources: self.clone(),
            source,
            handshakes: held.handshakes.clone(),
        })
    }
}

impl Seat {
    /// What the handshakes of this source share.
    pub(super) fn handshakes(&self) -> &Semaphore {
        &self.handshakes
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self
            .sources
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.get_mut(&self.source) {
            held.connections -= 1;
            if held.connections == 0 {
                open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn one_source_leaves_places_to_others_and_nothing_is_left_of_it() {
        let sources = Sources::new(2);
        let one = sources.sit(source("2001:db8::1")).unwrap();
        let two = sources.sit(source("2001:db8::2")).unwrap();
        assert!(sources.sit(source("2001:db8::3")).is_none());
        assert!(sources.sit(source("192.0.2.1")).is_some());
        drop(one);
        assert!(sources.sit(source("2001:db8::3")).is_some());
        drop(two);
        assert!(sources.open.lock().unwrap().is_empty());
    }

    #[test]
    fn handshakes_are_counted_by_source() {
        let sources = Sources::new(usize::MAX);
        let (one, two) = (source("192.0.2.1"), source("192.0.2.2"));
        let (a, b, c) = (sources.sit(one), sources.sit(one), sources.sit(two));
        let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
        let all = u32::try_from(HANDSHAKES).unwrap();
        let taken = a.handshakes().try_acquire_many(all).unwrap();
        assert!(b.handshakes().try_acquire().is_err());
        assert!(c.handshakes().try_acquire().is_ok());
        drop(taken);
        assert!(b.handshakes().try_acquire().is_ok());
    }
}
