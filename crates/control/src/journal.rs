//! Writing to the log: before the effect, and durable.

use std::net::IpAddr;

use kubestile_core::event::{Actor, Event, Record};
use kubestile_core::session::Session;
use kubestile_core::{RequestId, SessionId};
use uuid::Uuid;

use crate::error::ApiError;
use crate::state::App;

/// Who changes things on the Unix socket.
pub(crate) const LOCAL_ADMINISTRATOR: &str = "local administrator";

impl App {
    /// Writes `event` and waits until it is durable.
    pub(crate) async fn record(&self, event: Event) -> Result<(), ApiError> {
        let request = RequestId::from_uuid(Uuid::now_v7());
        let record = Record::new(self.now(), event);
        let pending = self
            .audit
            .append(request, &record)
            .map_err(|e| ApiError::not_recorded(&e))?;
        pending
            .durable()
            .await
            .map_err(|e| ApiError::not_recorded(&e))?;
        Ok(())
    }

    /// Writes that a session changed (`started`, `renewed`, `token-issued`, `ended`).
    pub(crate) async fn record_session(
        &self,
        session: &Session,
        change: &str,
        detail: String,
    ) -> Result<(), ApiError> {
        self.record(Event::Session {
            change: change.to_owned(),
            session: session.id,
            person: session.identity.name.clone(),
            person_id: session.identity.id,
            detail,
        })
        .await
    }

    /// Writes that the local administrator changes something.
    pub(crate) async fn record_change(
        &self,
        what: &str,
        name: &str,
        detail: String,
    ) -> Result<(), ApiError> {
        self.record(Event::Change {
            by: LOCAL_ADMINISTRATOR.to_owned(),
            what: what.to_owned(),
            name: name.to_owned(),
            detail,
        })
        .await
    }

    /// Gives back what became of a change that is in the log already. If it failed, the log must not go
    /// on to claim that it was made.
    pub(crate) async fn changed<T, E: Into<ApiError>>(
        &self,
        what: &str,
        name: &str,
        done: Result<T, E>,
    ) -> Result<T, ApiError> {
        let error = match done {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        };
        let detail = format!("not as recorded before: {error}");
        let failed = format!("{what}: failed");
        if let Err(error) = self.record_change(&failed, name, detail).await {
            tracing::error!(what, name, %error, "the log says that this was done, and it failed");
        }
        Err(error)
    }

    /// The same for a change of a session.
    pub(crate) async fn session_changed<T, E: Into<ApiError>>(
        &self,
        session: &Session,
        change: &str,
        done: Result<T, E>,
    ) -> Result<T, ApiError> {
        let error = match done {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        };
        let detail = format!("not as recorded before: {error}");
        let failed = format!("{change}-failed");
        if let Err(error) = self.record_session(session, &failed, detail).await {
            let id = session.id;
            tracing::error!(session = %id, change, %error, "the log says that this was done, and it failed");
        }
        Err(error)
    }

    /// Writes that somebody was refused; what they sent stays out of it. The answer is a refusal
    /// already, so a log that fails changes nothing for the client.
    pub(crate) async fn record_refusal(
        &self,
        source: IpAddr,
        actor: Option<Actor>,
        refusal: &ApiError,
    ) {
        let event = Event::Refusal {
            request: RequestId::from_uuid(Uuid::now_v7()),
            source: source.to_string(),
            actor: actor.map(Box::new),
            status: refusal.status().as_u16(),
            reason: refusal.to_string(),
        };
        if let Err(error) = self.record(event).await {
            tracing::warn!(%error, "a refusal could not be recorded");
        }
    }
}

/// A new session's id: sorted by time, and nothing that would have to be kept secret.
pub(crate) fn new_session_id() -> SessionId {
    SessionId::from_uuid(Uuid::now_v7())
}

/// Words that a client chose, fit for a log line and a terminal: no control characters, bounded.
pub(crate) fn words(text: &str, limit: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(limit)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], ApiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|e| ApiError::internal("the system's randomness failed", &e))?;
    Ok(bytes)
}
