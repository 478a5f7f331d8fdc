//! Clusters: their names and URLs for everybody, the rest for the local administrator.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use kubestile_core::{ClusterName, Timestamp};
use kubestile_store::{ClusterRecord, StoreError};

use crate::api::{
    ClusterDetails, ClusterDetailsList, ClusterEntry, ClusterList, Empty, PutCluster, PutMode,
};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::json::{Body, Segment};
use crate::state::{App, ClusterChange};

/// `GET /v1/clusters`.
pub(crate) async fn list(State(app): State<App>, _caller: Caller) -> Json<ClusterList> {
    Json(ClusterList {
        clusters: app.cluster_entries(),
    })
}

/// Admin: `GET /v1/clusters`.
pub(crate) async fn list_details(State(app): State<App>) -> Json<ClusterDetailsList> {
    let clusters = app.store.clusters();
    Json(ClusterDetailsList {
        clusters: clusters.iter().map(|c| details(&app, c)).collect(),
    })
}

/// Admin: `PUT /v1/clusters/{name}`.
pub(crate) async fn put(
    State(app): State<App>,
    Segment(name): Segment,
    Body(request): Body<PutCluster>,
) -> Result<Json<ClusterDetails>, ApiError> {
    let name = named(&name)?;
    check(&request)?;
    let before = app.store.cluster(&name);
    let record = ClusterRecord {
        name: name.clone(),
        server: request.server,
        ca_pem: request.ca_pem,
        tls_server_name: request.tls_server_name,
        token: request.token,
        token_expires: request.token_expires.map(Timestamp::from_secs),
        kubeconfig: request.kubeconfig,
        context: request.context,
        mode: request.mode,
        added: before.as_ref().map_or_else(|| app.now(), |b| b.added),
    };
    let what = match before {
        Some(_) => "cluster replaced",
        None => "cluster added",
    };
    let detail = format!(
        "server {}, credential {}, impersonation {}",
        record.server,
        credential(&record),
        record.mode
    );
    app.record_change(what, name.as_str(), detail).await?;
    let stored = app.store.put_cluster(record.clone()).await;
    app.changed(what, name.as_str(), stored).await?;
    tell(&app, ClusterChange::Put(name)).await?;
    Ok(Json(details(&app, &record)))
}

/// Admin: `PUT /v1/clusters/{name}/mode`: how the account impersonates, after that has changed in the
/// cluster.
pub(crate) async fn put_mode(
    State(app): State<App>,
    Segment(name): Segment,
    Body(request): Body<PutMode>,
) -> Result<Json<ClusterDetails>, ApiError> {
    let name = named(&name)?;
    check_mode(&request.mode)?;
    let now = || app.store.cluster(&name);
    let unknown = || StoreError::UnknownCluster(name.clone());
    let before = now().ok_or_else(unknown)?.mode;
    let what = "cluster's impersonation changed";
    let detail = format!("{}; before: {before}", request.mode);
    app.record_change(what, name.as_str(), detail).await?;
    // Looked at again: its token may have been renewed meanwhile.
    let found = now().ok_or_else(unknown);
    let record = ClusterRecord {
        mode: request.mode,
        ..app.changed(what, name.as_str(), found).await?
    };
    let stored = app.store.put_cluster(record.clone()).await;
    app.changed(what, name.as_str(), stored).await?;
    tell(&app, ClusterChange::Put(name)).await?;
    Ok(Json(details(&app, &record)))
}

/// Admin: `DELETE /v1/clusters/{name}`.
pub(crate) async fn remove(
    State(app): State<App>,
    Segment(name): Segment,
) -> Result<Json<Empty>, ApiError> {
    let name = named(&name)?;
    if app.store.cluster(&name).is_none() {
        return Err(StoreError::UnknownCluster(name).into());
    }
    let what = "cluster removed";
    app.record_change(what, name.as_str(), String::new())
        .await?;
    let removed = app.store.remove_cluster(&name).await;
    app.changed(what, name.as_str(), removed).await?;
    tell(&app, ClusterChange::Removed(name)).await?;
    Ok(Json(Empty {}))
}

async fn tell(app: &App, change: ClusterChange) -> Result<(), ApiError> {
    (app.cluster_changed)(change).await.map_err(|why| {
        ApiError::new(
            StatusCode::BAD_GATEWAY,
            format!("the change is stored, but the gate could not take it up: {why}"),
        )
    })
}

/// What can be told apart without asking the cluster.
fn check(request: &PutCluster) -> Result<(), ApiError> {
    let refuse = |text: &str| Err(ApiError::bad_request(text));
    if !request.server.starts_with("https://") || request.server.len() > 2048 {
        return refuse("`server` must be a URL that starts with https://");
    }
    if request.token.is_some() && request.kubeconfig.is_some() {
        return refuse("a cluster has one credential: either `token` or `kubeconfig`");
    }
    check_mode(&request.mode)
}

fn check_mode(mode: &str) -> Result<(), ApiError> {
    if matches!(mode, "legacy" | "constrained") {
        return Ok(());
    }
    Err(ApiError::bad_request(
        "`mode` must be `legacy` or `constrained`",
    ))
}

fn named(name: &str) -> Result<ClusterName, ApiError> {
    name.parse()
        .map_err(|_| ApiError::bad_request("a cluster's name is a DNS label, 1 to 63 characters"))
}

fn details(app: &App, record: &ClusterRecord) -> ClusterDetails {
    ClusterDetails {
        name: record.name.clone(),
        url: app.cluster_url(&record.name),
        server: record.server.clone(),
        credential: credential(record).to_owned(),
        context: record.context.clone(),
        mode: record.mode.clone(),
        added: record.added,
    }
}

fn credential(record: &ClusterRecord) -> &'static str {
    match (&record.token, &record.kubeconfig) {
        (Some(_), _) => "token",
        (None, Some(_)) => "kubeconfig",
        (None, None) => "in-cluster",
    }
}

impl App {
    pub(crate) fn cluster_entries(&self) -> Vec<ClusterEntry> {
        let stored = self.store.clusters().into_iter().map(|record| record.name);
        let configured = self.settings.configured_clusters.iter().cloned();
        let names: std::collections::BTreeSet<ClusterName> = stored.chain(configured).collect();
        let entry = |name: ClusterName| ClusterEntry {
            url: self.cluster_url(&name),
            name,
        };
        names.into_iter().map(entry).collect()
    }
}
