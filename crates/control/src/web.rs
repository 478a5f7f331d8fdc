//! The pages on which people look at access requests and answer them: HTML made here, no script, nothing
//! that a browser would have to be trusted with but one cookie.
//!
//! A browser is signed in from the person's own terminal (`enter`), is from then on a [`Visitor`], and does
//! what the command line does, through the same functions. What a form changes needs the cookie, a form
//! token, an origin that is ours, and the digest of what was shown.

mod answer;
mod browsers;
mod enter;
mod form;
mod guard;
mod html;
mod layout;
mod list;
mod page;
mod visitor;

pub(crate) use browsers::Browsers;

use axum::Router;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::header::CONTENT_TYPE;

use crate::state::App;

/// The style sheet.
const CSS: &str = include_str!("../../../console/console.css");
/// The script of the page that signs a browser in.
const ENTER_JS: &str = include_str!("../../../console/enter.js");

/// The paths of the pages, and the one by which a terminal opens them.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/approvals", get(list::list))
        .route("/r/{id}", get(page::show))
        .route("/r/{id}/approve", post(answer::approve))
        .route("/r/{id}/deny", post(answer::deny))
        .route("/enter", get(enter::page).post(enter::enter))
        .route("/leave", post(enter::leave))
        .route("/v1/browser", post(enter::offer))
        .route(
            "/static/console.css",
            get(async || file("text/css; charset=utf-8", CSS)),
        )
        .route(
            "/static/enter.js",
            get(async || file("text/javascript; charset=utf-8", ENTER_JS)),
        )
        .layer(from_fn(guard::with_headers))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], text)
}
