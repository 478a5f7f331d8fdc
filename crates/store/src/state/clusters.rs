//! The clusters behind the gate, with the gate's own credential at each.

use std::sync::Arc;

use kubestile_core::{ClusterName, Secret, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::{Memory, Store, to_the_end};
use crate::error::StoreError;

/// As many clusters as the store keeps.
const MAX_CLUSTERS: usize = 10_000;

/// A cluster behind the gate.
#[derive(Debug, Clone)]
pub struct ClusterRecord {
    /// Its name, as in `/clusters/<name>/…`.
    pub name: ClusterName,
    /// The API server's URL.
    pub server: String,
    /// Certificates of the authority that signed the API server's, PEM; `None`: the system's.
    pub ca_pem: Option<String>,
    /// The name that the API server's certificate must carry, if it is not the URL's host.
    pub tls_server_name: Option<String>,
    /// The gate's own credential there. A secret: it is kept in the clear in the 0600 database.
    pub token: Option<Secret<String>>,
    /// When that credential expires.
    pub token_expires: Option<Timestamp>,
    /// Path of the kubeconfig whose credential is used instead.
    pub kubeconfig: Option<String>,
    /// The context in that kubeconfig.
    pub context: Option<String>,
    /// How the gate impersonates: `legacy` or `constrained`.
    pub mode: String,
    /// When it was added.
    pub added: Timestamp,
}

impl Store {
    /// Adds a cluster, or replaces the one of the same name.
    ///
    /// # Errors
    /// [`StoreError::Full`]; or if the database fails.
    pub async fn put_cluster(&self, cluster: ClusterRecord) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        to_the_end(async move {
            let mut writer = inner.writer().await;
            {
                let clusters = &inner.read().clusters;
                if clusters.len() >= MAX_CLUSTERS && !clusters.contains_key(&cluster.name) {
                    return Err(StoreError::Full {
                        what: "clusters",
                        limit: MAX_CLUSTERS,
                    });
                }
            }
            replace(&mut writer, &cluster).await?;
            let mut memory = inner.publish(&writer);
            memory.clusters.insert(cluster.name.clone(), cluster);
            Ok(())
        })
        .await
    }

    /// Removes a cluster.
    ///
    /// # Errors
    /// [`StoreError::UnknownCluster`].
    pub async fn remove_cluster(&self, name: &ClusterName) -> Result<(), StoreError> {
        let (inner, name) = (Arc::clone(&self.inner), name.clone());
        to_the_end(async move {
            let mut writer = inner.writer().await;
            if !inner.read().clusters.contains_key(&name) {
                return Err(StoreError::UnknownCluster(name));
            }
            sqlx::query("DELETE FROM clusters WHERE name = $1")
                .bind(name.as_str())
                .execute(&mut *writer)
                .await?;
            inner.publish(&writer).clusters.remove(&name);
            Ok(())
        })
        .await
    }

    /// The cluster of this name, from memory.
    pub fn cluster(&self, name: &ClusterName) -> Option<ClusterRecord> {
        self.inner.read().clusters.get(name).cloned()
    }

    /// All clusters, sorted by name.
    pub fn clusters(&self) -> Vec<ClusterRecord> {
        self.inner.read().clusters.values().cloned().collect()
    }
}

async fn replace(
    connection: &mut SqliteConnection,
    cluster: &ClusterRecord,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO clusters (name, server, ca_pem, tls_server_name, token, \
         token_expires, kubeconfig, context, mode, added) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(cluster.name.as_str())
    .bind(&cluster.server)
    .bind(cluster.ca_pem.as_deref())
    .bind(cluster.tls_server_name.as_deref())
    .bind(cluster.token.as_ref().map(|t| t.expose().as_str()))
    .bind(cluster.token_expires.map(Timestamp::as_micros))
    .bind(cluster.kubeconfig.as_deref())
    .bind(cluster.context.as_deref())
    .bind(&cluster.mode)
    .bind(cluster.added.as_micros())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn load(
    memory: &mut Memory,
    connection: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let rows = sqlx::query("SELECT * FROM clusters")
        .fetch_all(connection)
        .await?;
    for row in rows {
        let cluster = from_row(&row)?;
        memory.clusters.insert(cluster.name.clone(), cluster);
    }
    Ok(())
}

fn from_row(row: &SqliteRow) -> Result<ClusterRecord, StoreError> {
    let name: String = row.try_get("name")?;
    let token: Option<String> = row.try_get("token")?;
    let token_expires: Option<i64> = row.try_get("token_expires")?;
    Ok(ClusterRecord {
        name: name.parse().map_err(|e| StoreError::row("cluster", e))?,
        server: row.try_get("server")?,
        ca_pem: row.try_get("ca_pem")?,
        tls_server_name: row.try_get("tls_server_name")?,
        token: token.map(Secret::new),
        token_expires: token_expires.map(Timestamp::from_micros),
        kubeconfig: row.try_get("kubeconfig")?,
        context: row.try_get("context")?,
        mode: row.try_get("mode")?,
        added: Timestamp::from_micros(row.try_get("added")?),
    })
}
