//! What the buttons do: the same as `kubestile approve` and `kubestile deny`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use kubestile_core::AccessId;
use serde::Deserialize;

use super::form::{Guarded, Sent};
use super::layout;
use crate::access;
use crate::api::ApproveRequest;
use crate::error::ApiError;
use crate::json::Segment;
use crate::state::App;

/// For how long the rest of a command is approved with one button.
pub(super) const COMMAND_SECONDS: u32 = 300;

/// The form of an approval.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    form: String,
    /// What was shown.
    digest: String,
    scope: Scope,
}

/// For how much.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scope {
    Request,
    Command,
}

/// The form of a denial.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deny {
    form: String,
    /// What was shown.
    digest: String,
    reason: String,
}

impl Guarded for Approve {
    fn token(&self) -> &str {
        &self.form
    }
}

impl Guarded for Deny {
    fn token(&self) -> &str {
        &self.form
    }
}

/// `POST /r/{id}/approve`.
pub(super) async fn approve(
    State(app): State<App>,
    Segment(id): Segment,
    sent: Sent<Approve>,
) -> Response {
    let Sent { visitor, fields } = sent;
    let request = ApproveRequest {
        digest: fields.digest,
        command_seconds: match fields.scope {
            Scope::Request => None,
            Scope::Command => Some(COMMAND_SECONDS),
        },
    };
    match access::approve_as(&app, &visitor.caller, &id, &request).await {
        Ok(approved) => look_at(approved.id),
        Err(refusal) => layout::failure(Some(&visitor), &for_a_page(refusal, &id)),
    }
}

/// `POST /r/{id}/deny`.
pub(super) async fn deny(
    State(app): State<App>,
    Segment(id): Segment,
    sent: Sent<Deny>,
) -> Response {
    let Sent { visitor, fields } = sent;
    let denied = async {
        let shown = access::find(&app, &visitor.caller, &id)?;
        // Nothing is lost by denying what has changed, but the reason would be about something else.
        if access::digest(&shown) != fields.digest {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "what was denied is not what is asked for",
            ));
        }
        access::deny_as(&app, &visitor.caller, &id, &fields.reason).await
    };
    match denied.await {
        Ok(denied) => look_at(denied.id),
        Err(refusal) => layout::failure(Some(&visitor), &for_a_page(refusal, &id)),
    }
}

/// On a page one looks again at the page.
fn for_a_page(refusal: ApiError, id: &str) -> ApiError {
    match (refusal.status(), id.parse::<AccessId>()) {
        (StatusCode::CONFLICT, Ok(id)) => {
            refusal.hint(format!("look at {id} again: nothing was changed"))
        }
        _ => refusal,
    }
}

/// The page shows what has become of it; loaded again, it sends nothing again.
fn look_at(id: AccessId) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, format!("/r/{id}"))]).into_response()
}
