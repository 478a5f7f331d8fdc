//! What a page's form sends, once it has shown that it is ours.

use std::time::Duration;

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kubestile_authn::browser;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::visitor::Visitor;
use super::{guard, layout};
use crate::error::ApiError;
use crate::state::App;

/// How long a browser may take to send a form.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A form, from a person, with the token of their cookie, sent by a page of ours.
pub(super) struct Sent<T> {
    /// Whose.
    pub(super) visitor: Visitor,
    /// What it says.
    pub(super) fields: T,
}

/// A form that carries the token.
pub(super) trait Guarded: DeserializeOwned + Send {
    /// The token.
    fn token(&self) -> &str;
}

/// The form of a button alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Button {
    form: String,
}

impl Guarded for Button {
    fn token(&self) -> &str {
        &self.form
    }
}

impl<T: Guarded> FromRequest<App> for Sent<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        // Whoever could send this has the cookie, so somebody is up to something: it is recorded.
        let url = &app.settings.public_url;
        if let Err(refusal) = guard::from_own_page(&parts.headers, url) {
            let refusal = visitor.caller.refused(app, refusal).await;
            return Err(layout::failure(Some(&visitor), &refusal));
        }
        let fields: T = match read(Request::from_parts(parts, body), app).await {
            Ok(fields) => fields,
            Err(refusal) => return Err(layout::failure(Some(&visitor), &refusal)),
        };
        if !browser::same_form_token(&visitor.form_token, fields.token()) {
            let refusal =
                ApiError::forbidden("this form is of another browser, or of an older page")
                    .hint("nothing was changed; look at the request again");
            let refusal = visitor.caller.refused(app, refusal).await;
            return Err(layout::failure(Some(&visitor), &refusal));
        }
        Ok(Self { visitor, fields })
    }
}

/// Reads a form. A rejection's own text can hold a part of the body: it is not passed on.
pub(super) async fn read<T: DeserializeOwned>(request: Request, app: &App) -> Result<T, ApiError> {
    let read = Form::<T>::from_request(request, app);
    match tokio::time::timeout(BODY_TIME, read).await {
        Ok(Ok(Form(fields))) => Ok(fields),
        Ok(Err(rejection)) => match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the form is longer than 64 KiB",
            )),
            _ => Err(ApiError::bad_request(
                "the form is not one of this gate's pages",
            )),
        },
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the form did not arrive in time",
        )),
    }
}
