//! Messages from ticket systems: each means "look again" and nothing else.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest as _, Request, State};
use http::StatusCode;
use kubestile_core::Source;
use kubestile_outbound::ticket::WebhookError;

use crate::caller::Address;
use crate::error::ApiError;
use crate::json::Segment;
use crate::state::App;

/// How long a system may take to send its message.
const BODY_TIME: Duration = Duration::from_secs(10);

/// `POST /v1/webhooks/{system}`. There is no session: the message is signed with a secret of its system.
pub(crate) async fn webhook(
    State(app): State<App>,
    Address(from): Address,
    Segment(system): Segment,
    request: Request,
) -> Result<(StatusCode, axum::Json<crate::api::Empty>), ApiError> {
    let source = Source::of(from);
    app.limits()
        .webhooks
        .take(source, app.now())
        .map_err(|wait| ApiError::too_many("too many webhooks were refused", wait))?;
    let (head, body) = request.into_parts();
    let body = read(Request::from_parts(head.clone(), body)).await?;
    let event = app
        .outside
        .tickets
        .event(&system, &head.headers, &body, app.now());
    let counts = &app.outside.counts;
    match event {
        Ok(event) => app.outside.nudges.put(event.ticket),
        // Signed, but a greeting, or about something else.
        Err(WebhookError::NoTicket) => {}
        Err(error) => {
            // Whoever floods must not fill the log: it is counted, and said in our own log.
            counts.webhooks_refused.fetch_add(1, Relaxed);
            tracing::warn!(%from, %error, "a webhook was refused");
            return Err(ApiError::forbidden("the message is not taken"));
        }
    }
    app.limits().webhooks.give_back(source);
    counts.webhooks_taken.fetch_add(1, Relaxed);
    Ok((StatusCode::ACCEPTED, axum::Json(crate::api::Empty {})))
}

async fn read(request: Request) -> Result<Bytes, ApiError> {
    let read = Bytes::from_request(request, &());
    match tokio::time::timeout(BODY_TIME, read).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) => Err(unreadable(&rejection)),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

fn unreadable(rejection: &BytesRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is longer than 64 KiB",
        ),
        _ => ApiError::bad_request("the body cannot be read"),
    }
}
