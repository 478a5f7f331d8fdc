//! Bearer tokens of sessions. Only digests are kept.

use std::sync::Arc;

use kubestile_core::{SessionId, Timestamp};
use sqlx::{Row as _, SqliteConnection};

use super::{Memory, Store, to_the_end};
use crate::error::StoreError;

/// As many tokens as the store keeps; all of them are in memory.
const MAX_TOKENS: usize = 400_000;

/// What a bearer token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRecord {
    /// The session it proves. That session may have ended: look it up.
    pub session: SessionId,
    /// From when on it proves nothing; the caller compares.
    pub expires: Timestamp,
}

impl Store {
    /// Keeps a token of a session.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`] if the session has ended or never was;
    /// [`StoreError::IdTaken`]; [`StoreError::Full`].
    pub async fn add_token(
        &self,
        digest: [u8; 32],
        session: SessionId,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            inner.read().check_new_token(&digest, session)?;
            sqlx::query("INSERT INTO tokens (digest, session, expires) VALUES ($1, $2, $3)")
                .bind(digest.as_slice())
                .bind(session.to_string())
                .bind(expires.as_micros())
                .execute(&mut *writer)
                .await?;
            let record = TokenRecord { session, expires };
            inner.publish(&writer).tokens.insert(digest, record);
            Ok(())
        })
        .await
    }

    /// What the token with this digest stands for, from memory; also one that has expired.
    pub fn token(&self, digest: &[u8; 32]) -> Option<TokenRecord> {
        self.inner.read().tokens.get(digest).copied()
    }
}

impl Memory {
    fn check_new_token(&self, digest: &[u8; 32], session: SessionId) -> Result<(), StoreError> {
        if self.live_session(session).is_none() {
            return Err(StoreError::UnknownSession(session));
        }
        if self.tokens.contains_key(digest) {
            return Err(StoreError::IdTaken {
                id: "token".to_owned(),
            });
        }
        if self.tokens.len() >= MAX_TOKENS {
            return Err(StoreError::Full {
                what: "tokens",
                limit: MAX_TOKENS,
            });
        }
        Ok(())
    }
}

pub(super) async fn load(
    memory: &mut Memory,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT digest, session, expires FROM tokens")
        .fetch_all(connection)
        .await?;
    for row in rows {
        let digest: Vec<u8> = row.try_get("digest")?;
        let digest = <[u8; 32]>::try_from(digest)
            .map_err(|_| StoreError::row("token", "its digest has not 32 bytes"))?;
        let session: String = row.try_get("session")?;
        let record = TokenRecord {
            session: session.parse().map_err(|e| StoreError::row("token", e))?,
            expires: Timestamp::from_micros(row.try_get("expires")?),
        };
        memory.tokens.insert(digest, record);
    }
    Ok(())
}
