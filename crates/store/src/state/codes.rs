//! One-time login codes. Only digests are kept; guessing is the caller's to slow down.

use std::sync::Arc;

use kubestile_core::{PersonId, Timestamp};
use sqlx::Row as _;

use super::{Store, to_the_end};
use crate::error::StoreError;

/// As many login codes as may be outstanding.
const MAX_CODES: usize = 10_000;

impl Store {
    /// Keeps a login code for a person until it is redeemed or expires.
    ///
    /// # Errors
    /// [`StoreError::UnknownPersonId`]; [`StoreError::IdTaken`] for a digest that is there already;
    /// [`StoreError::Full`].
    pub async fn add_code(
        &self,
        digest: [u8; 32],
        person: PersonId,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            if !inner.read().people.contains_key(&person) {
                return Err(StoreError::UnknownPersonId(person));
            }
            let count: i64 = sqlx::query("SELECT COUNT(*) FROM codes")
                .fetch_one(&mut *writer)
                .await?
                .try_get(0)?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_CODES {
                return Err(StoreError::Full {
                    what: "login codes",
                    limit: MAX_CODES,
                });
            }
            let added = sqlx::query(
                "INSERT INTO codes (digest, person, expires) VALUES ($1, $2, $3) \
                 ON CONFLICT DO NOTHING",
            )
            .bind(digest.as_slice())
            .bind(person.to_string())
            .bind(expires.as_micros())
            .execute(&mut *writer)
            .await?;
            if added.rows_affected() == 0 {
                return Err(StoreError::IdTaken {
                    id: "login code".to_owned(),
                });
            }
            Ok(())
        })
        .await
    }

    /// Uses up a login code and says whose it was. Of two who present the same code at once, one
    /// gets the person and the other the error. Codes that have expired are deleted on the way.
    ///
    /// # Errors
    /// [`StoreError::InvalidCode`] if it is unknown, used, or expired at `now`.
    pub async fn redeem_code(
        &self,
        digest: [u8; 32],
        now: Timestamp,
    ) -> Result<PersonId, StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            sqlx::query("DELETE FROM codes WHERE expires <= $1")
                .bind(now.as_micros())
                .execute(&mut *writer)
                .await?;
            let row = sqlx::query("DELETE FROM codes WHERE digest = $1 RETURNING person")
                .bind(digest.as_slice())
                .fetch_optional(&mut *writer)
                .await?
                .ok_or(StoreError::InvalidCode)?;
            let person: String = row.try_get("person")?;
            let person: PersonId = person.parse().map_err(|e| StoreError::row("code", e))?;
            // The person's removal deletes their codes; this is the second lock on the same door.
            if !inner.read().people.contains_key(&person) {
                return Err(StoreError::InvalidCode);
            }
            Ok(person)
        })
        .await
    }
}
