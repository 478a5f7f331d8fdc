//! Admin: how the gate is.

use axum::Json;
use axum::extract::State;

use crate::api::Status;
use crate::state::App;

/// `GET /v1/status`.
pub(crate) async fn status(State(app): State<App>) -> Json<Status> {
    let now = app.now();
    let sessions = app.store.sessions();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        public_url: app.settings.public_url.clone(),
        people: app.store.people().len(),
        live_sessions: sessions.iter().filter(|s| s.check(now).is_ok()).count(),
        clusters: app.store.clusters().len(),
        authority: app.authority.fingerprint(),
        authority_not_after: app.authority.not_after(),
        outside: app.outside.status(),
        process: (app.status)(),
    })
}
