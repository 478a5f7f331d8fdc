//! Which browsers are signed in, in memory: a restart of the gate signs all of them out.
//!
//! A browser stands for a session and is never more than it: whoever finds one here still has the session
//! looked up. Everything is kept by its digest, and every number is bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kubestile_core::{AccessId, SessionId, Timestamp, Ttl};

/// How long a ticket can be used.
pub(super) const TICKET: Ttl = Ttl::from_secs(60);
/// A browser in which nobody does anything for this long is signed out.
pub(super) const IDLE: Ttl = Ttl::from_secs(15 * 60);
/// As many tickets as wait to be used.
const TICKETS: usize = 1_000;
/// As many browsers as are signed in.
const BROWSERS: usize = 10_000;
/// Of one session; with one more, the one that was quiet for longest is signed out.
const PER_SESSION: usize = 8;

type Digest = [u8; 32];

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Browsers(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    tickets: HashMap<Digest, Ticket>,
    browsers: HashMap<Digest, Browser>,
}

/// A way to sign one browser in, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// For which session.
    pub(super) session: SessionId,
    /// What to show first.
    pub(super) access: Option<AccessId>,
    /// Until when it can be used.
    pub(super) expires: Timestamp,
    /// When the browser is signed out at the latest.
    pub(super) ends: Timestamp,
}

/// A browser that is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Browser {
    /// For which session.
    pub(super) session: SessionId,
    /// When it is signed out at the latest.
    pub(super) ends: Timestamp,
    /// When somebody last did something.
    seen: Timestamp,
}

/// There are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many browsers are signed in, or about to be")]
pub(super) struct Full;

impl Browsers {
    /// Keeps a ticket. A session has one at a time: an older one that nobody used opens nothing any more.
    pub(super) fn offer(&self, digest: Digest, ticket: Ticket, now: Timestamp) -> Result<(), Full> {
        let mut table = self.lock();
        let session = ticket.session;
        table
            .tickets
            .retain(|_, t| now < t.expires && t.session != session);
        if table.tickets.len() >= TICKETS {
            return Err(Full);
        }
        table.tickets.insert(digest, ticket);
        Ok(())
    }

    /// Uses a ticket up.
    pub(super) fn redeem(&self, digest: &Digest, now: Timestamp) -> Option<Ticket> {
        let ticket = self.lock().tickets.remove(digest)?;
        (now < ticket.expires).then_some(ticket)
    }

    /// Signs a browser in.
    pub(super) fn sign_in(
        &self,
        digest: Digest,
        ticket: &Ticket,
        now: Timestamp,
    ) -> Result<(), Full> {
        let mut table = self.lock();
        table.browsers.retain(|_, b| b.holds(now));
        table.make_room(ticket.session);
        if table.browsers.len() >= BROWSERS {
            return Err(Full);
        }
        let browser = Browser {
            session: ticket.session,
            ends: ticket.ends,
            seen: now,
        };
        table.browsers.insert(digest, browser);
        Ok(())
    }

    /// The browser that shows this cookie. `active` says that a person did something, and not the page by
    /// itself.
    pub(super) fn find(&self, digest: &Digest, active: bool, now: Timestamp) -> Option<Browser> {
        let mut table = self.lock();
        let browser = table.browsers.get_mut(digest)?;
        if !browser.holds(now) {
            table.browsers.remove(digest);
            return None;
        }
        if active {
            browser.seen = browser.seen.max(now);
        }
        Some(*browser)
    }

    /// Signs a browser out.
    pub(super) fn sign_out(&self, digest: &Digest) {
        self.lock().browsers.remove(digest);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Browser {
    fn holds(&self, now: Timestamp) -> bool {
        now < self.ends && now < self.seen.plus(IDLE)
    }
}

impl Table {
    fn make_room(&mut self, session: SessionId) {
        let of_session = |browsers: &HashMap<Digest, Browser>| {
            let own = browsers.iter().filter(|(_, b)| b.session == session);
            let quietest = own.clone().min_by_key(|(_, b)| b.seen).map(|(d, _)| *d);
            (own.count(), quietest)
        };
        if let (PER_SESSION.., Some(quietest)) = of_session(&self.browsers) {
            self.browsers.remove(&quietest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn session(n: u128) -> SessionId {
        SessionId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn digest(n: u32) -> Digest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        digest
    }

    fn ticket(n: u128) -> Ticket {
        Ticket {
            session: session(n),
            access: None,
            expires: NOW.plus(TICKET),
            ends: NOW.plus(Ttl::from_secs(3600)),
        }
    }

    #[test]
    fn a_ticket_is_used_once_and_in_time() {
        let browsers = Browsers::default();
        browsers.offer(digest(1), ticket(1), NOW).unwrap();
        assert_eq!(browsers.redeem(&digest(2), NOW), None);
        assert_eq!(browsers.redeem(&digest(1), NOW), Some(ticket(1)));
        assert_eq!(browsers.redeem(&digest(1), NOW), None);
        browsers.offer(digest(1), ticket(1), NOW).unwrap();
        assert_eq!(browsers.redeem(&digest(1), NOW.plus(TICKET)), None);
    }

    #[test]
    fn a_session_has_one_ticket() {
        let browsers = Browsers::default();
        browsers.offer(digest(1), ticket(1), NOW).unwrap();
        browsers.offer(digest(2), ticket(1), NOW).unwrap();
        assert_eq!(browsers.redeem(&digest(1), NOW), None);
        assert!(browsers.redeem(&digest(2), NOW).is_some());
    }

    #[test]
    fn a_browser_is_signed_out_when_nobody_uses_it_and_in_the_end() {
        let browsers = Browsers::default();
        browsers.sign_in(digest(1), &ticket(1), NOW).unwrap();
        let mut now = NOW;
        for _ in 0..4 {
            now = now.plus(Ttl::from_secs(14 * 60));
            assert!(browsers.find(&digest(1), true, now).is_some());
        }
        let end = NOW.plus(Ttl::from_secs(3600));
        assert_eq!(browsers.find(&digest(1), true, end), None, "not for ever");
        browsers.sign_in(digest(2), &ticket(1), NOW).unwrap();
        let later = NOW.plus(Ttl::from_secs(14 * 60));
        assert!(browsers.find(&digest(2), false, later).is_some());
        let idle = NOW.plus(IDLE);
        assert_eq!(
            browsers.find(&digest(2), true, idle),
            None,
            "a page that reloads itself is nobody"
        );
        assert_eq!(browsers.find(&digest(2), true, NOW), None, "and stays out");
    }

    #[test]
    fn the_quietest_browser_of_a_session_makes_room() {
        let browsers = Browsers::default();
        let at = |n: u32| NOW.plus(Ttl::from_secs(n));
        browsers.sign_in(digest(100), &ticket(2), NOW).unwrap();
        for n in 0..=PER_SESSION as u32 {
            browsers.sign_in(digest(n), &ticket(1), at(n)).unwrap();
        }
        assert_eq!(browsers.find(&digest(0), true, at(20)), None);
        assert!(browsers.find(&digest(1), true, at(20)).is_some());
        assert!(
            browsers.find(&digest(100), true, at(20)).is_some(),
            "another's stays"
        );
    }

    #[test]
    fn the_tables_are_bounded() {
        let browsers = Browsers::default();
        for n in 0..TICKETS as u32 {
            browsers.offer(digest(n), ticket(n.into()), NOW).unwrap();
        }
        let one_more = ticket(u128::MAX);
        assert_eq!(browsers.offer(digest(u32::MAX), one_more, NOW), Err(Full));
        for n in 0..BROWSERS as u32 {
            browsers.lock().browsers.insert(
                digest(n),
                Browser {
                    session: session(n.into()),
                    ends: NOW.plus(IDLE),
                    seen: NOW,
                },
            );
        }
        assert_eq!(
            browsers.sign_in(digest(u32::MAX), &one_more, NOW),
            Err(Full)
        );
        let later = NOW.plus(IDLE);
        assert_eq!(
            browsers.sign_in(digest(u32::MAX), &one_more, later),
            Ok(()),
            "those signed out make room"
        );
        assert_eq!(browsers.lock().browsers.len(), 1);
    }
}
