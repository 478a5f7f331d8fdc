//! Logins and their ends. Whoever holds a [`SessionHandle`] learns of the end at once.

use std::sync::Arc;

use kubestile_core::session::{EndReason, Session};
use kubestile_core::{SessionId, Timestamp, Ttl};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::sync::watch;

use super::{Memory, Store, to_the_end};
use crate::error::StoreError;

/// As many sessions as the store keeps; all of them are in memory.
const MAX_SESSIONS: usize = 200_000;

/// As many sessions are forgotten in one transaction; few in tests.
const PURGED_AT_ONCE: usize = if cfg!(test) { 20 } else { 500 };

/// How long a session is kept after its end, so that a late request is told why it ended, and so that the
/// token of a pipeline, which lives a day at most, cannot start it again: an hour more than a day.
const KEPT_AFTER_END: Ttl = Ttl::from_secs(25 * 3600);

/// A session as it was when it was looked up, and word of its end.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    session: Arc<Session>,
    ended: watch::Receiver<Option<EndReason>>,
}

impl SessionHandle {
    /// The session as it was when it was looked up.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Why the session was ended, if somebody has done so by now. Expiry is the caller's to check.
    pub fn end(&self) -> Option<EndReason> {
        self.ended.borrow().clone()
    }

    /// Pends until somebody ends the session, and says why. Expiry is the caller's timer.
    pub async fn ended(&mut self) -> EndReason {
        match self.ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(EndReason::Expired),
            // The store forgot the session, or is gone itself: nobody vouches for it any longer.
            Err(_) => EndReason::Expired,
        }
    }
}

impl Store {
    /// Records a login.
    ///
    /// # Errors
    /// [`StoreError::UnknownPersonId`] if its person was removed meanwhile; [`StoreError::IdTaken`];
    /// [`StoreError::Full`].
    pub async fn create_session(&self, session: Session) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            inner.read().check_new_session(&session)?;
            insert(&mut writer, &session).await?;
            inner.publish(&writer).publish_session(session);
            Ok(())
        })
        .await
    }

    /// The session with this id, from memory: also one that has ended, until it is purged.
    pub fn session(&self, id: SessionId) -> Option<SessionHandle> {
        let memory = self.inner.read();
        memory.sessions.get(&id).map(|entry| SessionHandle {
            session: Arc::clone(&entry.session),
            ended: entry.ended.subscribe(),
        })
    }

    /// Ends a session: durably first, then for whoever holds its handle. False if there is none,
    /// or it was ended before.
    ///
    /// # Errors
    /// [`StoreError::EndedInMemoryOnly`] if the database failed: the session is ended all the same,
    /// until the next restart.
    pub async fn end_session(
        &self,
        id: SessionId,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let live = inner.read().live_session(id);
            let Some(live) = live else { return Ok(false) };
            let ended = Session::clone(&live).end(reason, now);
            let durable = update(&mut writer, &ended).await;
            inner.publish(&writer).publish_session(ended);
            durable.map_err(StoreError::in_memory_only)?;
            Ok(true)
        })
        .await
    }

    /// All sessions that have not been purged, the latest login first.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        let memory = self.inner.read();
        let mut sessions: Vec<_> = memory
            .sessions
            .values()
            .map(|entry| Arc::clone(&entry.session))
            .collect();
        drop(memory);
        sessions.sort_by_key(|s| (std::cmp::Reverse(s.created), s.id));
        sessions
    }

    /// Forgets sessions a day after their end, with their tokens, and all expired tokens and login
    /// codes; tells holders of expired sessions that they are over. To be called now and then.
    /// Returns how many sessions were forgotten.
    ///
    /// # Errors
    /// If the database fails; nothing is forgotten then.
    pub async fn purge_sessions(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut forgotten = 0;
        loop {
            let inner = Arc::clone(&self.inner);
            // Few at a time: the end of a session must not wait for all of them.
            let count = to_the_end(async move {
                let mut writer = inner.writer().await;
                let mut old = inner.read().old_sessions(now);
                old.truncate(PURGED_AT_ONCE);
                delete(&mut writer, &old, now).await?;
                inner.publish(&writer).forget(&old, now);
                Ok(old.len())
            })
            .await?;
            forgotten += count;
            if count < PURGED_AT_ONCE {
                return Ok(forgotten);
            }
        }
    }
}

/// A session in memory, with those who wait for its end.
pub(super) struct SessionEntry {
    session: Arc<Session>,
    ended: watch::Sender<Option<EndReason>>,
}

impl SessionEntry {
    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Memory {
    fn check_new_session(&self, session: &Session) -> Result<(), StoreError> {
        if !self.people.contains_key(&session.identity.id) {
            return Err(StoreError::UnknownPersonId(session.identity.id));
        }
        if self.sessions.contains_key(&session.id) {
            return Err(StoreError::IdTaken {
                id: session.id.to_string(),
            });
        }
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(StoreError::Full {
                what: "sessions",
                limit: MAX_SESSIONS,
            });
        }
        Ok(())
    }

    pub(super) fn live_session(&self, id: SessionId) -> Option<Arc<Session>> {
        let session = self.sessions.get(&id)?.session();
        session.ended.is_none().then(|| Arc::clone(session))
    }

    /// Makes a session visible as it is now, and its end known to those who wait for it.
    pub(super) fn publish_session(&mut self, session: Session) {
        let reason = session.ended.as_ref().map(|ended| ended.reason.clone());
        let session = Arc::new(session);
        match self.sessions.get_mut(&session.id) {
            Some(entry) => {
                entry.session = session;
                entry.ended.send_replace(reason);
            }
            None => {
                let ended = watch::Sender::new(reason);
                self.sessions
                    .insert(session.id, SessionEntry { session, ended });
            }
        }
    }

    fn old_sessions(&self, now: Timestamp) -> Vec<SessionId> {
        let over = |s: &Session| {
            let end = s.ended.as_ref().map_or(s.expires, |e| e.at.min(s.expires));
            end.plus(KEPT_AFTER_END) <= now
        };
        let sessions = self.sessions.values().map(SessionEntry::session);
        sessions.filter(|s| over(s)).map(|s| s.id).collect()
    }

    fn forget(&mut self, old: &[SessionId], now: Timestamp) {
        for entry in self.sessions.values() {
            if now >= entry.session.expires && entry.session.ended.is_none() {
                entry.ended.send_if_modified(|ended| {
                    let news = ended.is_none();
                    ended.get_or_insert(EndReason::Expired);
                    news
                });
            }
        }
        for id in old {
            self.sessions.remove(id);
        }
        let sessions = &self.sessions;
        self.tokens
            .retain(|_, token| token.expires > now && sessions.contains_key(&token.session));
    }
}

async fn insert(connection: &mut SqliteConnection, session: &Session) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO sessions (id, person, session) VALUES ($1, $2, $3)")
        .bind(session.id.to_string())
        .bind(session.identity.id.to_string())
        .bind(to_json(session)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes sessions, with their tokens, and all tokens and codes that have expired.
async fn delete(
    connection: &mut SqliteConnection,
    old: &[SessionId],
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    for id in old {
        sqlx::query("DELETE FROM sessions WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
    }
    for expired in [
        "DELETE FROM tokens WHERE expires <= $1",
        "DELETE FROM codes WHERE expires <= $1",
    ] {
        sqlx::query(expired)
            .bind(now.as_micros())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn update(
    connection: &mut SqliteConnection,
    session: &Session,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET session = $2 WHERE id = $1")
        .bind(session.id.to_string())
        .bind(to_json(session)?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn load(
    memory: &mut Memory,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT session FROM sessions")
        .fetch_all(connection)
        .await?;
    for row in rows {
        let text: String = row.try_get("session")?;
        let session = serde_json::from_str(&text).map_err(|e| StoreError::row("session", e))?;
        memory.publish_session(session);
    }
    Ok(())
}

fn to_json(session: &Session) -> Result<String, StoreError> {
    serde_json::to_string(session).map_err(|e| StoreError::row("session", e))
}
