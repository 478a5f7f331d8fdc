//! Which path is answered by what, for people (on the gate's listener) and for the local
//! administrator (on the Unix socket).

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::{HeaderValue, StatusCode, header};

use crate::error::ApiError;
use crate::state::{App, ControlState};
use crate::{
    access, clusters, facts, grants, imports, login, people, pipelines, renew, sessions, status,
    tickets, token, web,
};

/// Largest body, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// The paths for people: the interface under `/v1/`, and the pages. The listener must put
/// [`PeerCertificate`](kubestile_authn::PeerCertificate) and
/// [`PeerAddress`](kubestile_authn::PeerAddress) beside every request; without them nobody is
/// answered.
pub fn router(state: ControlState) -> Router {
    let routes = Router::new()
        .route("/v1/login", post(login::login))
        .route("/v1/renew", post(renew::renew))
        .route("/v1/token", post(token::create))
        .route("/v1/token-exchange", post(pipelines::exchange))
        .route("/v1/webhooks/{system}", post(tickets::webhook))
        .route("/v1/logout", post(sessions::logout))
        .route("/v1/whoami", get(sessions::whoami))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}/end", post(sessions::end))
        .route("/v1/clusters", get(clusters::list))
        .route("/v1/access", get(access::list).post(access::ask))
        .route("/v1/access/stats", get(access::stats))
        .route("/v1/access/{id}", get(access::show))
        .route("/v1/access/{id}/approve", post(access::approve))
        .route("/v1/access/{id}/deny", post(access::deny))
        .route("/v1/access/{id}/withdraw", post(access::withdraw))
        .route("/v1/break-glass", post(access::break_glass))
        .route("/v1/facts", get(facts::show))
        .route("/v1/rights", get(access::rights))
        .route("/v1/grants", get(grants::list))
        .route("/v1/grants/{id}", get(grants::show))
        .route("/v1/grants/{id}/revoke", post(grants::revoke))
        .route("/v1/grants/{id}/extend", post(grants::extend))
        .route("/v1/grants/{id}/review", post(grants::review))
        .merge(web::routes());
    finish(routes, state)
}

/// The paths for the local administrator. Whoever can reach them may do all of it: serve them with
/// [`serve_admin`](crate::serve_admin) and nowhere else.
pub fn admin_router(state: ControlState) -> Router {
    let routes = Router::new()
        .route("/v1/people", get(people::list).post(people::add))
        .route("/v1/people/{name}", delete(people::remove))
        .route("/v1/people/{name}/functions", put(people::set_functions))
        .route("/v1/people/{name}/codes", post(people::create_code))
        .route("/v1/sessions", get(sessions::list_all))
        .route("/v1/sessions/{id}/end", post(sessions::end_any))
        .route("/v1/clusters", get(clusters::list_details))
        .route(
            "/v1/clusters/{name}",
            put(clusters::put).delete(clusters::remove),
        )
        .route("/v1/clusters/{name}/mode", put(clusters::put_mode))
        .route("/v1/facts", get(facts::of_gate))
        .route("/v1/clusters/{name}/imports", post(imports::begin))
        .route("/v1/imports/{id}/records", post(imports::records))
        .route("/v1/imports/{id}/end", post(imports::end))
        .route("/v1/status", get(status::status));
    finish(routes, state)
}

fn finish(routes: Router<App>, state: ControlState) -> Router {
    routes
        .fallback(async || ApiError::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path has another method",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn(to_the_end))
        .with_state(App::new(state))
}

/// Runs a request in a task of its own, so that a client that goes away half-way cannot leave
/// something recorded but not done, and a bug answers 500 instead of cutting the connection.
async fn to_the_end(request: Request, next: Next) -> Response {
    let mut response = match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => ApiError::internal("the gate failed", &error).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
