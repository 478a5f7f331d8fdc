//! Access requests: who waits for whose answer. Whoever holds a [`RequestHandle`] learns of every change
//! at once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use kubestile_core::approval::{AccessRequest, Attempt, Event, State};
use kubestile_core::{AccessId, PersonId, Timestamp, Ttl};
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::watch;

use super::{Memory, Store, to_the_end};
use crate::error::StoreError;

/// As many access requests as are kept; all of them are in memory.
const MAX_REQUESTS: usize = 50_000;
/// Of one person, as many are kept: the oldest that are over make room.
const MAX_KEPT: usize = if cfg!(test) { 300 } else { 2_000 };
/// Of one person, as many may wait at once.
const MAX_WAITING: usize = 200;
/// How long an access request is kept after its last effect, for those who look back.
const KEPT: Ttl = Ttl::from_secs(7 * 24 * 3600);

/// An access request, and word of what becomes of it.
#[derive(Debug, Clone)]
pub struct RequestHandle {
    now: watch::Receiver<Arc<AccessRequest>>,
}

impl RequestHandle {
    /// As it stands. That it may have expired is the caller's to see ([`AccessRequest::state_at`]).
    pub fn current(&self) -> Arc<AccessRequest> {
        self.now.borrow().clone()
    }

    /// Pends until it has changed since it was last looked at, and gives it as it stands then. `None`
    /// when the store has forgotten it, or is gone itself.
    pub async fn changed(&mut self) -> Option<Arc<AccessRequest>> {
        self.now.changed().await.ok()?;
        Some(self.now.borrow_and_update().clone())
    }
}

impl Store {
    /// Keeps a new access request.
    ///
    /// # Errors
    /// [`StoreError::UnknownPersonId`]; [`StoreError::IdTaken`]; [`StoreError::Full`], also when the
    /// person has too many waiting already.
    pub async fn open_request(&self, request: AccessRequest) -> Result<RequestHandle, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            inner.read().check_new_request(&request)?;
            let surplus = inner.read().surplus_of(request.requester.id);
            insert(&mut writer, &request).await?;
            for id in &surplus {
                sqlx::query("DELETE FROM access_requests WHERE id = $1")
                    .bind(id.to_string())
                    .execute(&mut *writer)
                    .await?;
            }
            inner.publish(&writer).forget_requests(&surplus);
            let handle = inner.publish(&writer).publish_request(request);
            inner.asked.send_modify(|count| *count += 1);
            Ok(handle)
        })
        .await
    }

    /// Applies an event to an access request, durably first, and gives it as it stands then.
    ///
    /// # Errors
    /// [`StoreError::UnknownRequest`]; [`StoreError::Refused`] if the event does not apply, and nothing
    /// has changed then.
    pub async fn change_request(
        &self,
        id: AccessId,
        event: Event,
        now: Timestamp,
    ) -> Result<Arc<AccessRequest>, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let current = inner.read().requests.get(&id).map(|r| r.borrow().clone());
            let current = current.ok_or(StoreError::UnknownRequest(id))?;
            let next = current.apply(event, now)?;
            if next == *current {
                return Ok(current);
            }
            update(&mut writer, &next).await?;
            let handle = inner.publish(&writer).publish_request(next);
            inner.asked.send_modify(|count| *count += 1);
            Ok(handle.current())
        })
        .await
    }

    /// Whether `event` would apply to an access request at `now`: what it would be.
    ///
    /// # Errors
    /// As [`Store::change_request`]; nothing changes.
    pub fn try_change(
        &self,
        id: AccessId,
        event: Event,
        now: Timestamp,
    ) -> Result<AccessRequest, StoreError> {
        let current = self.request(id).ok_or(StoreError::UnknownRequest(id))?;
        Ok(current.current().apply(event, now)?)
    }

    /// The access request with this id, from memory.
    pub fn request(&self, id: AccessId) -> Option<RequestHandle> {
        let memory = self.inner.read();
        memory.requests.get(&id).map(|sender| RequestHandle {
            now: sender.subscribe(),
        })
    }

    /// All access requests that are kept, the latest first.
    pub fn requests(&self) -> Vec<Arc<AccessRequest>> {
        let memory = self.inner.read();
        let mut all: Vec<_> = memory
            .requests
            .values()
            .map(|r| r.borrow().clone())
            .collect();
        drop(memory);
        all.sort_by_key(|r| (std::cmp::Reverse(r.created), r.id));
        all
    }

    /// An approval that lets `attempt` pass at `now`.
    pub fn approval_for(
        &self,
        attempt: &Attempt<'_>,
        now: Timestamp,
    ) -> Option<Arc<AccessRequest>> {
        self.find_request(attempt.person, |r| r.releases(attempt, now))
    }

    /// An access request of this person's for the same thing that waits already.
    pub fn waiting_for(&self, attempt: &Attempt<'_>, now: Timestamp) -> Option<Arc<AccessRequest>> {
        self.find_request(attempt.person, |r| {
            matches!(r.state_at(now), State::Waiting)
                && r.requester.session == attempt.session
                && r.held().is_some_and(|h| h.digest == attempt.digest)
        })
    }

    fn find_request(
        &self,
        person: PersonId,
        fits: impl Fn(&AccessRequest) -> bool,
    ) -> Option<Arc<AccessRequest>> {
        let memory = self.inner.read();
        let of_person = memory.requests_of.get(&person)?;
        of_person.iter().rev().find_map(|id| {
            let request = memory.requests.get(id)?.borrow().clone();
            fits(&request).then_some(request)
        })
    }

    /// The access requests that were withdrawn because their clients waited when the gate was stopped;
    /// given once, for the log.
    pub fn take_left(&self) -> Vec<Arc<AccessRequest>> {
        let mut left = self
            .inner
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut left)
    }

    /// Changes whenever some access request is opened or changes: for those who list them.
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.inner.asked.subscribe()
    }

    /// Forgets access requests and grants a week after their last effect, and publishes what has expired.
    /// To be called now and then. Gives the access requests that have expired since the last call.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge_access(
        &self,
        now: Timestamp,
    ) -> Result<Vec<Arc<AccessRequest>>, StoreError> {
        let inner = Arc::clone(&self.inner);
        let late: Vec<AccessId> = {
            let memory = inner.read();
            let all = memory.requests.values().map(|r| r.borrow().clone());
            all.filter(|r| matches!(r.state, State::Waiting) && now >= r.expires)
                .map(|r| r.id)
                .collect()
        };
        let mut expired = Vec::with_capacity(late.len());
        for id in late {
            expired.push(self.change_request(id, Event::Tick, now).await?);
        }
        to_the_end(async move {
            let mut writer = inner.writer().await;
            sqlx::query("DELETE FROM access_requests WHERE over <= $1")
                .bind(now.as_micros() - KEPT.as_micros())
                .execute(&mut *writer)
                .await?;
            sqlx::query("DELETE FROM grants WHERE over <= $1")
                .bind(now.as_micros() - KEPT.as_micros())
                .execute(&mut *writer)
                .await?;
            inner.publish(&writer).forget_access(now);
            Ok(())
        })
        .await?;
        Ok(expired)
    }
}

impl Memory {
    fn check_new_request(&self, request: &AccessRequest) -> Result<(), StoreError> {
        if !self.people.contains_key(&request.requester.id) {
            return Err(StoreError::UnknownPersonId(request.requester.id));
        }
        if self.requests.contains_key(&request.id) {
            return Err(StoreError::IdTaken {
                id: request.id.to_string(),
            });
        }
        let waiting = |id: &AccessId| {
            let request = self.requests.get(id).map(|r| r.borrow().clone());
            request.is_some_and(|r| matches!(r.state, State::Waiting))
        };
        let of_person = self.requests_of.get(&request.requester.id);
        let waiting = of_person.map_or(0, |ids| ids.iter().filter(|id| waiting(id)).count());
        if waiting >= MAX_WAITING {
            return Err(StoreError::Full {
                what: "requests of yours that wait for an approval",
                limit: MAX_WAITING,
            });
        }
        if self.requests.len() >= MAX_REQUESTS {
            return Err(StoreError::Full {
                what: "access requests",
                limit: MAX_REQUESTS,
            });
        }
        Ok(())
    }

    /// The oldest of a person's that are over, when they have too many: whoever asks and gives up all day
    /// fills nobody else's place.
    fn surplus_of(&self, person: PersonId) -> Vec<AccessId> {
        let Some(ids) = self.requests_of.get(&person) else {
            return Vec::new();
        };
        let over = |id: &&AccessId| {
            let request = self.requests.get(*id).map(|r| r.borrow().clone());
            !request.is_some_and(|r| matches!(r.state, State::Waiting | State::Approved { .. }))
        };
        let surplus = (ids.len() + 1).saturating_sub(MAX_KEPT);
        ids.iter().filter(over).take(surplus).copied().collect()
    }

    fn forget_requests(&mut self, old: &[AccessId]) {
        for id in old {
            self.requests.remove(id);
        }
        let requests = &self.requests;
        if !old.is_empty() {
            for ids in self.requests_of.values_mut() {
                ids.retain(|id| requests.contains_key(id));
            }
        }
    }

    pub(super) fn publish_request(&mut self, request: AccessRequest) -> RequestHandle {
        let (id, person) = (request.id, request.requester.id);
        let request = Arc::new(request);
        let sender = match self.requests.entry(id) {
            std::collections::hash_map::Entry::Occupied(known) => {
                let sender = known.into_mut();
                sender.send_replace(request);
                sender
            }
            std::collections::hash_map::Entry::Vacant(empty) => {
                self.requests_of.entry(person).or_default().push(id);
                empty.insert(watch::Sender::new(request))
            }
        };
        RequestHandle {
            now: sender.subscribe(),
        }
    }

    fn forget_access(&mut self, now: Timestamp) {
        let old = |over: Timestamp| over.plus(KEPT) <= now;
        self.requests.retain(|_, r| !old(over(&r.borrow())));
        let requests = &self.requests;
        self.requests_of.retain(|_, ids| {
            ids.retain(|id| requests.contains_key(id));
            !ids.is_empty()
        });
        self.forget_grants(|grant| old(super::grants::over(grant)));
    }
}

/// When the last effect of an access request ends.
fn over(request: &AccessRequest) -> Timestamp {
    match &request.state {
        State::Approved { until, .. } => *until,
        State::Denied { at, .. } | State::Withdrawn { at, .. } => *at,
        State::Waiting | State::Expired => request.expires,
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    request: &AccessRequest,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO access_requests (id, person, created, over, request) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(request.id.to_string())
    .bind(request.requester.id.to_string())
    .bind(request.created.as_micros())
    .bind(over(request).as_micros())
    .bind(to_json(request)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn update(
    connection: &mut SqliteConnection,
    request: &AccessRequest,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE access_requests SET over = $2, request = $3 WHERE id = $1")
        .bind(request.id.to_string())
        .bind(over(request).as_micros())
        .bind(to_json(request)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Loads what is kept. A client that waited for an answer before a restart waits no longer: its request
/// is withdrawn, so that nothing is forwarded for nobody.
pub(super) async fn load(
    memory: &mut Memory,
    connection: &mut SqliteConnection,
) -> Result<Vec<Arc<AccessRequest>>, StoreError> {
    let rows = sqlx::query("SELECT request FROM access_requests ORDER BY created")
        .fetch_all(&mut *connection)
        .await?;
    let mut left = Vec::new();
    for row in rows {
        let text: String = row.try_get("request")?;
        let mut request: AccessRequest =
            serde_json::from_str(&text).map_err(|e| StoreError::row("access request", e))?;
        let waited = request.held().is_some_and(|h| h.waits);
        if waited && matches!(request.state, State::Waiting) {
            request.state = State::Withdrawn {
                at: request.created,
                why: "the gate was restarted".to_owned(),
            };
            left.push(Arc::new(request.clone()));
        }
        memory.publish_request(request);
    }
    for request in &left {
        update(connection, request).await?;
    }
    Ok(left)
}

fn to_json(request: &AccessRequest) -> Result<String, StoreError> {
    serde_json::to_string(request).map_err(|e| StoreError::row("access request", e))
}

/// Access requests in memory, with those who wait for a change.
pub(super) type Requests = HashMap<AccessId, watch::Sender<Arc<AccessRequest>>>;

#[cfg(test)]
mod tests;
