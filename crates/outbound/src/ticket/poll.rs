//! When to look at a ticket again: a state without a clock.

use kubestile_core::{Timestamp, Ttl};
use serde::{Deserialize, Serialize};

/// A ticket that a webhook speaks of is not looked at more often than this, in microseconds: a grant ends within a
/// second of its ticket, also when another message has come just before.
const AT_MOST_EVERY: i64 = 500_000;
/// No wait is longer, whatever a system asks for: a grant hangs on the answer.
const LONGEST: Ttl = Ttl::from_secs(900);

/// When a ticket is next looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    interval: Ttl,
    next: Timestamp,
    asked: Timestamp,
    answered: Timestamp,
    failures: u32,
}

impl Poll {
    /// For a ticket that was looked at just now.
    pub fn new(interval: Ttl, now: Timestamp) -> Self {
        Self {
            interval,
            next: now.plus(interval),
            asked: now,
            answered: now,
            failures: 0,
        }
    }

    /// Whether to ask now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next
    }

    /// When to ask next.
    pub fn next(&self) -> Timestamp {
        self.next
    }

    /// After a clear answer.
    #[must_use]
    pub fn answered(self, now: Timestamp) -> Self {
        Self::new(self.interval, now)
    }

    /// After an error: the interval, doubled with each further one, at least as long as the system
    /// asks for, at most 15 minutes.
    #[must_use]
    pub fn failed(self, now: Timestamp, retry_after: Option<Ttl>) -> Self {
        let factor = 1_i64 << self.failures.min(10);
        let backed_off = self.interval.as_micros().saturating_mul(factor);
        let asked_for = retry_after.map_or(0, Ttl::as_micros);
        let wait = backed_off.max(asked_for).min(LONGEST.as_micros());
        Self {
            next: Timestamp::from_micros(now.as_micros().saturating_add(wait)),
            asked: now,
            failures: self.failures.saturating_add(1),
            ..self
        }
    }

    /// After a webhook that speaks of the ticket: now, but not more often than twice a second, and not
    /// before a system that fails or asks to wait wants it.
    #[must_use]
    pub fn nudged(self, now: Timestamp) -> Self {
        if self.failures > 0 {
            return self;
        }
        let again = self.asked.as_micros().saturating_add(AT_MOST_EVERY);
        let soon = now.max(Timestamp::from_micros(again));
        Self {
            next: self.next.min(soon),
            ..self
        }
    }

    /// How long there has been no clear answer. A grant that hangs on the ticket should end when this
    /// is longer than its policy bears.
    pub fn silence(&self, now: Timestamp) -> Ttl {
        now.since(self.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Ttl = Ttl::from_secs(60);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn it_asks_each_interval() {
        let poll = Poll::new(MINUTE, at(0));
        assert!(!poll.is_due(at(59)));
        assert!(poll.is_due(at(60)));
        assert_eq!(poll.answered(at(61)).next(), at(121));
    }

    #[test]
    fn it_backs_off_and_listens_to_the_system_within_bounds() {
        let mut poll = Poll::new(MINUTE, at(0));
        for (now, next) in [(60, 120), (120, 240), (240, 480), (480, 960), (960, 1860)] {
            poll = poll.failed(at(now), None);
            assert_eq!(poll.next(), at(next));
        }
        assert_eq!(
            poll.failed(at(0), Some(Ttl::from_secs(u32::MAX))).next(),
            at(900)
        );
        let asked = Poll::new(MINUTE, at(0)).failed(at(0), Some(Ttl::from_secs(300)));
        assert_eq!(asked.next(), at(300));
        assert_eq!(asked.silence(at(300)).as_secs(), 300);
        assert_eq!(asked.answered(at(300)).silence(at(300)).as_secs(), 0);
        assert_eq!(
            asked.answered(at(300)).next(),
            at(360),
            "no memory of failures"
        );
        let mut worn = poll;
        for _ in 0..100 {
            worn = worn.failed(at(0), None);
        }
        assert_eq!(worn.next(), at(900));
    }

    #[test]
    fn a_flood_of_webhooks_is_two_questions_a_second() {
        let poll = Poll::new(MINUTE, at(0)).nudged(at(10));
        assert!(poll.is_due(at(10)));
        let later = |millis: i64| Timestamp::from_micros(10_000_000 + millis * 1_000);
        let poll = poll.answered(at(10)).nudged(at(10)).nudged(later(499));
        assert!(!poll.is_due(later(499)));
        assert!(poll.is_due(later(500)));
        let limited = poll
            .failed(at(12), Some(Ttl::from_secs(500)))
            .nudged(at(13));
        assert_eq!(limited.next(), at(512));
    }
}
