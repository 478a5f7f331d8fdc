//! Counts attempts per source and overall in windows of a minute, in a table of bounded size.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use kubestile_core::{Timestamp, Ttl};

/// How long attempts count.
const WINDOW: Ttl = Ttl::from_secs(60);

/// As many sources as are told apart. Beyond that, new ones count together: a flood from many
/// addresses costs a fixed amount of memory and slows down strangers, not those already known.
const SOURCES: usize = 8192;

/// A limit on attempts.
pub(crate) struct Limiter<K> {
    per_source: u32,
    overall: u32,
    counts: Mutex<Counts<K>>,
}

struct Counts<K> {
    started: Timestamp,
    all: u32,
    by_source: HashMap<K, u32>,
    /// Of all sources for which the table has no room.
    strangers: u32,
}

impl<K: Hash + Eq> Limiter<K> {
    pub(crate) fn new(per_source: u32, overall: u32) -> Self {
        Self {
            per_source,
            overall,
            counts: Mutex::new(Counts {
                started: Timestamp::from_micros(0),
                all: 0,
                by_source: HashMap::new(),
                strangers: 0,
            }),
        }
    }

    /// Takes an attempt, or says how long to wait.
    pub(crate) fn take(&self, source: K, now: Timestamp) -> Result<(), Ttl> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let over = counts.started.plus(WINDOW);
        if now >= over || now < counts.started {
            counts.started = now;
            counts.all = 0;
            counts.strangers = 0;
            counts.by_source.clear();
        }
        let wait = counts.started.plus(WINDOW).since(now);
        if counts.all >= self.overall {
            return Err(wait);
        }
        let count = counts.of(source);
        if *count >= self.per_source {
            return Err(wait);
        }
        *count += 1;
        counts.all += 1;
        Ok(())
    }

    /// Gives an attempt back that was none to worry about: people behind one address who log in at
    /// the same time do not stand in each other's way.
    pub(crate) fn give_back(&self, source: K) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        let count = counts.of(source);
        *count = count.saturating_sub(1);
    }
}

impl<K: Hash + Eq> Counts<K> {
    fn of(&mut self, source: K) -> &mut u32 {
        if self.by_source.len() >= SOURCES && !self.by_source.contains_key(&source) {
            return &mut self.strangers;
        }
        self.by_source.entry(source).or_insert(0)
    }
}

#[cfg(test)]
mod tests {
    use kubestile_core::Source;

    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    const START: Timestamp = Timestamp::from_secs(1_000);

    #[test]
    fn a_source_waits_for_the_rest_of_the_minute_and_others_do_not() {
        let limiter = Limiter::new(2, 100);
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(limiter.take(a, START), Ok(()));
        assert_eq!(limiter.take(a, START), Ok(()));
        let later = START.plus(Ttl::from_secs(45));
        assert_eq!(limiter.take(a, later), Err(Ttl::from_secs(15)));
        assert_eq!(limiter.take(b, later), Ok(()));
        assert_eq!(limiter.take(a, START.plus(WINDOW)), Ok(()));
    }

    #[test]
    fn all_sources_together_have_a_limit() {
        let limiter = Limiter::new(10, 2);
        assert_eq!(limiter.take(source("192.0.2.1"), START), Ok(()));
        assert_eq!(limiter.take(source("192.0.2.2"), START), Ok(()));
        assert_eq!(limiter.take(source("192.0.2.3"), START), Err(WINDOW));
        limiter.give_back(source("192.0.2.1"));
        assert_eq!(limiter.take(source("192.0.2.3"), START), Ok(()));
    }

    #[test]
    fn the_table_does_not_grow_with_the_attackers_addresses() {
        let limiter = Limiter::new(1, u32::MAX);
        for i in 0..SOURCES as u32 {
            assert_eq!(limiter.take(i, START), Ok(()));
        }
        assert_eq!(limiter.take(u32::MAX, START), Ok(()), "the first stranger");
        assert!(limiter.take(u32::MAX - 1, START).is_err(), "the second");
        assert_eq!(limiter.counts.lock().unwrap().by_source.len(), SOURCES);
    }

    #[test]
    fn a_clock_that_goes_back_starts_a_new_window() {
        let limiter = Limiter::new(1, 10);
        assert_eq!(limiter.take(1, START), Ok(()));
        assert_eq!(limiter.take(1, Timestamp::from_secs(10)), Ok(()));
    }
}
