//! Grants: what people and pipelines may do for a while. Requests read them from memory; streams that are
//! open learn of every change.

use std::sync::Arc;

use kubestile_core::grant::{GrantEndReason, Review};
use kubestile_core::{Action, Grant, GrantId, PersonId, SessionId, Timestamp};
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::watch;

use super::{Memory, Store, to_the_end};
use crate::error::StoreError;

/// As many grants as are kept; all of them are in memory.
const MAX_GRANTS: usize = 100_000;
/// Of one holder, as many may live at once.
const MAX_LIVE: usize = 64;

/// What happens to a grant.
#[derive(Debug, Clone)]
pub enum GrantChange {
    /// It ends.
    End(GrantEndReason),
    /// It lives longer.
    Extend(Timestamp),
    /// Somebody looked at it afterwards.
    Review(Review),
}

impl Store {
    /// Starts a grant: from now on it counts for every request of its holder.
    ///
    /// # Errors
    /// [`StoreError::UnknownPersonId`]; [`StoreError::IdTaken`]; [`StoreError::Full`].
    pub async fn start_grant(
        &self,
        grant: Grant,
        now: Timestamp,
    ) -> Result<Arc<Grant>, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            inner.read().check_new_grant(&grant, now)?;
            insert(&mut writer, &grant).await?;
            let grant = inner.publish(&writer).publish_grant(grant);
            inner.rights_changed();
            Ok(grant)
        })
        .await
    }

    /// Changes a grant: durably first, then for requests and open streams. An end is published even if
    /// the database fails.
    ///
    /// # Errors
    /// [`StoreError::UnknownGrant`]; [`StoreError::GrantOver`] when it has ended already;
    /// [`StoreError::EndedInMemoryOnly`] if the database failed: it is ended until the next restart.
    pub async fn change_grant(
        &self,
        id: GrantId,
        change: GrantChange,
        now: Timestamp,
    ) -> Result<Arc<Grant>, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let current = inner.read().grants.get(&id).cloned();
            let current = current.ok_or(StoreError::UnknownGrant(id))?;
            let ends = matches!(change, GrantChange::End(_));
            let next = changed(&current, change, now)?;
            let durable = update(&mut writer, &next).await;
            if !ends {
                durable?;
                let grant = inner.publish(&writer).publish_grant(next);
                inner.rights_changed();
                return Ok(grant);
            }
            let grant = inner.publish(&writer).publish_grant(next);
            inner.rights_changed();
            durable.map_err(StoreError::in_memory_only)?;
            Ok(grant)
        })
        .await
    }

    /// The grant with this id, from memory.
    pub fn grant(&self, id: GrantId) -> Option<Arc<Grant>> {
        self.inner.read().grants.get(&id).cloned()
    }

    /// All grants that are kept, the latest first.
    pub fn grants(&self) -> Vec<Arc<Grant>> {
        let mut all: Vec<_> = self.inner.read().grants.values().cloned().collect();
        all.sort_by_key(|g| (std::cmp::Reverse(g.starts), g.id));
        all
    }

    /// The grants of `person` that cover `action` at `now` in `session`.
    pub fn grants_for(
        &self,
        person: PersonId,
        session: SessionId,
        action: &Action,
        now: Timestamp,
    ) -> Vec<Arc<Grant>> {
        let memory = self.inner.read();
        let Some(ids) = memory.grants_of.get(&person) else {
            return Vec::new();
        };
        let grants = ids.iter().filter_map(|id| memory.grants.get(id));
        let counts = |g: &&Arc<Grant>| g.is_for(session) && g.covers(action, now);
        grants.filter(counts).cloned().collect()
    }

    /// The grants of `person` that live at `now` and count in `session`.
    pub fn live_grants_of(
        &self,
        person: PersonId,
        session: SessionId,
        now: Timestamp,
    ) -> Vec<Arc<Grant>> {
        let memory = self.inner.read();
        let Some(ids) = memory.grants_of.get(&person) else {
            return Vec::new();
        };
        let grants = ids.iter().filter_map(|id| memory.grants.get(id));
        let counts = |g: &&Arc<Grant>| g.is_for(session) && g.check(now).is_ok();
        grants.filter(counts).cloned().collect()
    }

    /// Changes whenever somebody's job functions or grants change: for open streams, which are judged
    /// again then.
    pub fn rights(&self) -> watch::Receiver<u64> {
        self.inner.rights.subscribe()
    }
}

/// The grant after a change.
fn changed(grant: &Grant, change: GrantChange, now: Timestamp) -> Result<Grant, StoreError> {
    let over = |why| StoreError::GrantOver { id: grant.id, why };
    match change {
        // What expired by itself is marked, so that it is written down once.
        GrantChange::End(GrantEndReason::Expired) if grant.ended.is_none() => Ok(grant
            .clone()
            .end(GrantEndReason::Expired, grant.expires.min(now))),
        GrantChange::End(why) => {
            grant.check(now).map_err(over)?;
            Ok(grant.clone().end(why, now))
        }
        GrantChange::Extend(until) => grant.clone().extend(until, now).map_err(over),
        GrantChange::Review(review) => Ok(Grant {
            reviewed: Some(review),
            ..grant.clone()
        }),
    }
}

impl Memory {
    fn check_new_grant(&self, grant: &Grant, now: Timestamp) -> Result<(), StoreError> {
        if !self.people.contains_key(&grant.holder) {
            return Err(StoreError::UnknownPersonId(grant.holder));
        }
        if self.grants.contains_key(&grant.id) {
            return Err(StoreError::IdTaken {
                id: grant.id.to_string(),
            });
        }
        let ids = self.grants_of.get(&grant.holder);
        let live = |id: &GrantId| self.grants.get(id).is_some_and(|g| g.check(now).is_ok());
        if ids.map_or(0, |ids| ids.iter().filter(|id| live(id)).count()) >= MAX_LIVE {
            return Err(StoreError::Full {
                what: "live grants of one holder",
                limit: MAX_LIVE,
            });
        }
        if self.grants.len() >= MAX_GRANTS {
            return Err(StoreError::Full {
                what: "grants",
                limit: MAX_GRANTS,
            });
        }
        Ok(())
    }

    fn publish_grant(&mut self, grant: Grant) -> Arc<Grant> {
        let grant = Arc::new(grant);
        let ids = self.grants_of.entry(grant.holder).or_default();
        if self.grants.insert(grant.id, grant.clone()).is_none() {
            ids.push(grant.id);
        }
        grant
    }

    pub(super) fn forget_grants(&mut self, old: impl Fn(&Grant) -> bool) {
        self.grants.retain(|_, grant| !old(grant));
        let grants = &self.grants;
        self.grants_of.retain(|_, ids| {
            ids.retain(|id| grants.contains_key(id));
            !ids.is_empty()
        });
    }
}

/// When a grant stopped, or stops, giving anything. One that must be reviewed is kept until it is.
pub(super) fn over(grant: &Grant) -> Timestamp {
    if grant.needs_review() {
        return Timestamp::from_micros(i64::MAX);
    }
    grant.ended.as_ref().map_or(grant.expires, |end| end.at)
}

async fn insert(connection: &mut SqliteConnection, grant: &Grant) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO grants (id, holder, starts, over, grant_json) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(grant.id.to_string())
    .bind(grant.holder.to_string())
    .bind(grant.starts.as_micros())
    .bind(over(grant).as_micros())
    .bind(to_json(grant)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn update(connection: &mut SqliteConnection, grant: &Grant) -> Result<(), StoreError> {
    sqlx::query("UPDATE grants SET over = $2, grant_json = $3 WHERE id = $1")
        .bind(grant.id.to_string())
        .bind(over(grant).as_micros())
        .bind(to_json(grant)?)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn load(
    memory: &mut Memory,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT grant_json FROM grants ORDER BY starts")
        .fetch_all(connection)
        .await?;
    for row in rows {
        let text: String = row.try_get("grant_json")?;
        let grant = serde_json::from_str(&text).map_err(|e| StoreError::row("grant", e))?;
        memory.publish_grant(grant);
    }
    Ok(())
}

fn to_json(grant: &Grant) -> Result<String, StoreError> {
    serde_json::to_string(grant).map_err(|e| StoreError::row("grant", e))
}
