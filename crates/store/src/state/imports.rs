//! Imports of API servers' audit logs: which there were, and which are under way.

use std::sync::Arc;

use kubestile_core::event::Gap;
use kubestile_core::{ClusterName, ImportId, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use tokio::sync::OwnedMutexGuard;

use super::{Inner, Store, to_the_end};
use crate::error::StoreError;

/// As many imports as are remembered of one cluster.
const MAX_IMPORTS: usize = 10_000;

/// An import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRecord {
    /// Its marker; the count is that of the records written so far.
    pub gap: Gap,
    /// Records that were announced.
    pub announced: u64,
    /// When something last came.
    pub touched: Timestamp,
}

/// The imports, for whoever changes them: one at a time, from the look at what there is to the last record.
pub struct Imports {
    inner: Arc<Inner>,
    _turn: OwnedMutexGuard<()>,
}

impl Store {
    /// The imports, once whoever else changes them is done.
    pub async fn imports(&self) -> Imports {
        Imports {
            inner: Arc::clone(&self.inner),
            _turn: Arc::clone(&self.inner.importing).lock_owned().await,
        }
    }
}

impl Imports {
    /// One of them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn get(&self, id: ImportId) -> Result<Option<ImportRecord>, StoreError> {
        let mut writer = self.inner.writer().await;
        let row = sqlx::query("SELECT * FROM imports WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *writer)
            .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// Those of a cluster, the latest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn of(&self, cluster: &ClusterName) -> Result<Vec<ImportRecord>, StoreError> {
        let mut writer = self.inner.writer().await;
        let rows = sqlx::query("SELECT * FROM imports WHERE cluster = $1 ORDER BY touched DESC")
            .bind(cluster.as_str())
            .fetch_all(&mut *writer)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// Those under way to which nothing has come since `then`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn idle_since(&self, then: Timestamp) -> Result<Vec<ImportRecord>, StoreError> {
        let mut writer = self.inner.writer().await;
        let query = "SELECT * FROM imports WHERE touched <= $1 AND gap ->> '$.change' = $2";
        let rows = sqlx::query(query)
            .bind(then.as_micros())
            .bind(Gap::BEGAN)
            .fetch_all(&mut *writer)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// Keeps an import, or what has become of it.
    ///
    /// # Errors
    /// [`StoreError::Full`]; or if the database fails.
    pub async fn put(&self, import: ImportRecord) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            let count: i64 =
                sqlx::query("SELECT COUNT(*) FROM imports WHERE cluster = $1 AND id <> $2")
                    .bind(import.gap.cluster.as_str())
                    .bind(import.gap.import.to_string())
                    .fetch_one(&mut *writer)
                    .await?
                    .try_get(0)?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MAX_IMPORTS {
                return Err(StoreError::Full {
                    what: "imports",
                    limit: MAX_IMPORTS,
                });
            }
            let gap =
                serde_json::to_string(&import.gap).map_err(|e| StoreError::row("import", e))?;
            sqlx::query(
                "INSERT OR REPLACE INTO imports (id, cluster, announced, touched, gap) \
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(import.gap.import.to_string())
            .bind(import.gap.cluster.as_str())
            .bind(i64::try_from(import.announced).unwrap_or(i64::MAX))
            .bind(import.touched.as_micros())
            .bind(gap)
            .execute(&mut *writer)
            .await?;
            Ok(())
        })
        .await
    }
}

fn from_row(row: &SqliteRow) -> Result<ImportRecord, StoreError> {
    let announced: i64 = row.try_get("announced")?;
    let gap: String = row.try_get("gap")?;
    Ok(ImportRecord {
        gap: serde_json::from_str(&gap).map_err(|e| StoreError::row("import", e))?,
        announced: u64::try_from(announced).map_err(|e| StoreError::row("import", e))?,
        touched: Timestamp::from_micros(row.try_get("touched")?),
    })
}

#[cfg(test)]
mod tests {
    use kubestile_core::event::LeftOut;
    use uuid::Uuid;

    use super::*;

    fn import(id: u128, cluster: &str, change: &str, touched: i64) -> ImportRecord {
        ImportRecord {
            gap: Gap {
                change: change.to_owned(),
                import: ImportId::from_uuid(Uuid::from_u128(id)),
                cluster: cluster.parse().unwrap(),
                from: Timestamp::from_secs(0).rfc3339(),
                until: Timestamp::from_secs(9).rfc3339(),
                reason: "it was dead".to_owned(),
                by: "local administrator".to_owned(),
                named: String::new(),
                sources: Vec::new(),
                records: 3,
                first: String::new(),
                last: String::new(),
                left_out: LeftOut::default(),
                after: None,
                detail: String::new(),
            },
            announced: 4,
            touched: Timestamp::from_secs(touched),
        }
    }

    #[tokio::test]
    async fn imports_outlive_a_restart_and_idle_ones_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let all = [
            import(1, "prod", Gap::BEGAN, 10),
            import(2, "prod", Gap::ENDED, 20),
            import(3, "dev", Gap::BEGAN, 30),
        ];
        let imports = store.imports().await;
        for one in all.clone() {
            imports.put(one).await.unwrap();
        }
        drop(imports);
        drop(store);
        let store = Store::open(dir.path()).await.unwrap();
        let imports = store.imports().await;
        let [first, second, _] = &all;
        let prod = "prod".parse().unwrap();
        assert_eq!(
            imports.of(&prod).await.unwrap(),
            [second.clone(), first.clone()]
        );
        assert_eq!(
            imports.get(first.gap.import).await.unwrap().as_ref(),
            Some(first)
        );
        let idle = imports.idle_since(Timestamp::from_secs(20)).await.unwrap();
        assert_eq!(idle, std::slice::from_ref(first));
        let nobody = ImportId::from_uuid(Uuid::from_u128(4));
        assert_eq!(imports.get(nobody).await.unwrap(), None);
    }
}
