//! Who may log in, and what they may do without a grant. Pipelines are beside people: they have names of
//! the same space, so that none passes for the other, and never a standing job function.

use std::collections::HashSet;
use std::sync::Arc;

use kubestile_core::identity::{IdentityKind, check_person_name};
use kubestile_core::session::{EndReason, Session};
use kubestile_core::{Identity, JobFunction, PersonId, Timestamp};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{Memory, Store, sessions, to_the_end};
use crate::error::StoreError;

/// As many people as the store keeps; all of them are in memory.
const MAX_PEOPLE: usize = 100_000;
/// As many of them may be pipelines: whoever can make projects can make pipelines.
const MAX_PIPELINES: usize = 10_000;

impl Store {
    /// Adds a person.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], also for a name that differs from a taken one only in case;
    /// [`StoreError::InvalidName`]; [`StoreError::IdTaken`]; [`StoreError::Full`].
    pub async fn add_person(&self, identity: Identity) -> Result<(), StoreError> {
        check_person_name(&identity.name)?;
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            {
                let memory = inner.read();
                if memory.names.contains_key(&key(&identity.name)) {
                    return Err(StoreError::NameTaken {
                        name: identity.name,
                    });
                }
                if memory.people.contains_key(&identity.id) {
                    return Err(StoreError::IdTaken {
                        id: identity.id.to_string(),
                    });
                }
                if memory.people.len() >= MAX_PEOPLE {
                    return Err(StoreError::Full {
                        what: "people",
                        limit: MAX_PEOPLE,
                    });
                }
            }
            insert(&mut writer, &identity).await?;
            inner.publish(&writer).insert_person(identity);
            Ok(())
        })
        .await
    }

    /// The pipeline of this name: the one that is there, or a new one with this id.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] when a person has the name, or one that differs only in case;
    /// [`StoreError::InvalidName`]; [`StoreError::IdTaken`]; [`StoreError::Full`].
    pub async fn put_pipeline(
        &self,
        name: &str,
        id: PersonId,
    ) -> Result<Arc<Identity>, StoreError> {
        check_person_name(name)?;
        let identity = Identity {
            name: name.to_owned(),
            id,
            kind: IdentityKind::Pipeline,
            groups: Vec::new(),
            functions: Vec::new(),
        };
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            if let Some(known) = inner.read().known_pipeline(&identity)? {
                return Ok(known);
            }
            insert(&mut writer, &identity).await?;
            Ok(inner.publish(&writer).insert_person(identity))
        })
        .await
    }

    /// Forgets pipelines that nothing refers to any more: no session, access request or grant. Returns
    /// how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge_pipelines(&self) -> Result<usize, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let idle = inner.read().idle_pipelines();
            let mut transaction = writer.begin().await?;
            for pipeline in &idle {
                sqlx::query("DELETE FROM people WHERE id = $1")
                    .bind(pipeline.id.to_string())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            let mut memory = inner.publish(&writer);
            for pipeline in &idle {
                memory.remove_person(pipeline);
            }
            Ok(idle.len())
        })
        .await
    }

    /// Gives a person other standing job functions; the next request of theirs is judged by them.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`], for a pipeline too: it has what its grants give.
    pub async fn set_functions(
        &self,
        name: &str,
        functions: Vec<JobFunction>,
    ) -> Result<(), StoreError> {
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let found = inner.read().person_by_name(&name);
            let Some(person) = found.filter(|p| p.kind != IdentityKind::Pipeline) else {
                return Err(StoreError::UnknownPerson { name });
            };
            let identity = Identity {
                functions,
                ..Identity::clone(&person)
            };
            sqlx::query("UPDATE people SET identity = $2 WHERE id = $1")
                .bind(identity.id.to_string())
                .bind(to_json(&identity)?)
                .execute(&mut *writer)
                .await?;
            inner.publish(&writer).insert_person(identity);
            inner.rights_changed();
            Ok(())
        })
        .await
    }

    /// Removes a person with their login codes, and ends their sessions.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`]; [`StoreError::EndedInMemoryOnly`] if the database failed: the
    /// person is then out until the next restart.
    pub async fn remove_person(&self, name: &str, now: Timestamp) -> Result<(), StoreError> {
        let (inner, name) = (Arc::clone(&self.inner), name.to_owned());
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let (person, ended) = {
                let memory = inner.read();
                let Some(person) = memory.person_by_name(&name) else {
                    return Err(StoreError::UnknownPerson { name });
                };
                let ended = memory.ended_sessions_of(person.id, now);
                (person, ended)
            };
            let durable = delete(&mut writer, person.id, &ended).await;
            // Trust is lost even if the disk is, too: what follows does not wait for it to succeed.
            let mut memory = inner.publish(&writer);
            memory.remove_person(&person);
            for session in ended {
                memory.publish_session(session);
            }
            durable
        })
        .await
    }

    /// The person with this id, from memory.
    pub fn person(&self, id: PersonId) -> Option<Arc<Identity>> {
        self.inner.read().people.get(&id).cloned()
    }

    /// The person of exactly this name, from memory.
    pub fn person_by_name(&self, name: &str) -> Option<Arc<Identity>> {
        self.inner.read().person_by_name(name)
    }

    /// Everybody, sorted by name.
    pub fn people(&self) -> Vec<Arc<Identity>> {
        let mut people: Vec<_> = self.inner.read().people.values().cloned().collect();
        people.sort_by(|a, b| a.name.cmp(&b.name));
        people
    }
}

impl Memory {
    fn person_by_name(&self, name: &str) -> Option<Arc<Identity>> {
        let id = self.names.get(&key(name))?;
        self.people.get(id).filter(|p| p.name == name).cloned()
    }

    fn insert_person(&mut self, identity: Identity) -> Arc<Identity> {
        let identity = Arc::new(identity);
        self.names.insert(key(&identity.name), identity.id);
        self.people.insert(identity.id, identity.clone());
        identity
    }

    /// The pipeline of this name, if it is there; an error if a new one could not be made.
    fn known_pipeline(&self, new: &Identity) -> Result<Option<Arc<Identity>>, StoreError> {
        let taken = self.names.get(&key(&new.name));
        if let Some(other) = taken.and_then(|id| self.people.get(id)) {
            let same = other.kind == IdentityKind::Pipeline && other.name == new.name;
            return same
                .then(|| Some(other.clone()))
                .ok_or_else(|| StoreError::NameTaken {
                    name: new.name.clone(),
                });
        }
        if self.people.contains_key(&new.id) {
            return Err(StoreError::IdTaken {
                id: new.id.to_string(),
            });
        }
        let pipelines = self.people.values();
        let pipelines = pipelines.filter(|p| p.kind == IdentityKind::Pipeline);
        if pipelines.count() >= MAX_PIPELINES || self.people.len() >= MAX_PEOPLE {
            return Err(StoreError::Full {
                what: "pipelines",
                limit: MAX_PIPELINES,
            });
        }
        Ok(None)
    }

    fn idle_pipelines(&self) -> Vec<Arc<Identity>> {
        let sessions = self.sessions.values().map(|e| e.session().identity.id);
        let busy: HashSet<PersonId> = sessions.collect();
        let idle = |p: &&Arc<Identity>| {
            p.kind == IdentityKind::Pipeline
                && !busy.contains(&p.id)
                && !self.requests_of.contains_key(&p.id)
                && !self.grants_of.contains_key(&p.id)
        };
        self.people.values().filter(idle).cloned().collect()
    }

    fn remove_person(&mut self, person: &Identity) {
        self.names.remove(&key(&person.name));
        self.people.remove(&person.id);
    }

    /// The person's sessions that have not ended, as they are once the person is gone.
    fn ended_sessions_of(&self, person: PersonId, now: Timestamp) -> Vec<Session> {
        let sessions = self.sessions.values().map(|entry| entry.session());
        sessions
            .filter(|s| s.identity.id == person && s.ended.is_none())
            .map(|s| Session::clone(s).end(EndReason::PersonRemoved, now))
            .collect()
    }
}

/// How names are compared when a new one is given: two that look alike are the same.
fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

async fn insert(connection: &mut SqliteConnection, identity: &Identity) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO people (id, name, identity) VALUES ($1, $2, $3)")
        .bind(identity.id.to_string())
        .bind(&identity.name)
        .bind(to_json(identity)?)
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete(
    connection: &mut SqliteConnection,
    person: PersonId,
    ended: &[Session],
) -> Result<(), StoreError> {
    let change = async {
        let mut transaction = connection.begin().await?;
        sqlx::query("DELETE FROM people WHERE id = $1")
            .bind(person.to_string())
            .execute(&mut *transaction)
            .await?;
        for session in ended {
            sessions::update(&mut transaction, session).await?;
        }
        transaction.commit().await?;
        Ok(())
    };
    change.await.map_err(StoreError::in_memory_only)
}

pub(super) async fn load(
    memory: &mut Memory,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT identity FROM people")
        .fetch_all(connection)
        .await?;
    for row in rows {
        let text: String = row.try_get("identity")?;
        let identity = serde_json::from_str(&text).map_err(|e| StoreError::row("person", e))?;
        memory.insert_person(identity);
    }
    Ok(())
}

fn to_json(identity: &Identity) -> Result<String, StoreError> {
    serde_json::to_string(identity).map_err(|e| StoreError::row("person", e))
}
