//! The one place where failures become answers: a status, what happened, and what to do.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kubestile_authn::proof::ProofError;
use kubestile_authn::{AuthnError, AuthorityError, RequestError};
use kubestile_core::Ttl;
use kubestile_core::approval::Refused;
use kubestile_store::StoreError;
use serde_json::json;

/// A refusal or failure, as the client is told it: `{"error": "…", "hint": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ApiError {
    status: StatusCode,
    error: String,
    hint: Option<String>,
    retry_after: Option<Ttl>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
            hint: None,
            retry_after: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn forbidden(error: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, error)
    }

    pub(crate) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// A failure of ours: the log gets the cause, the client does not.
    pub(crate) fn internal(what: &'static str, cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(cause), "{what}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what).hint("see the gate's log")
    }

    /// Too many attempts.
    pub(crate) fn too_many(error: &'static str, wait: Ttl) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, error)
        }
        .hint(format!("wait {wait}"))
    }

    /// The log cannot be written, so nothing is done.
    pub(crate) fn not_recorded(cause: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(cause), "the log cannot be written");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the gate's log cannot be written, so nothing was changed",
        )
        .hint("see the gate's log, free disk space, try again")
    }

    /// The same failure, where the change was made all the same.
    pub(crate) fn although(mut self, error: &'static str) -> Self {
        self.error = error.to_owned();
        self
    }

    /// What to do.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// When to try again, as the header says it.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        let wait = self.retry_after?;
        Some(HeaderValue::from(wait.as_secs().saturating_add(1)))
    }

    /// The status that goes with it.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// An error with its sources, for our own log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after();
        let mut body = json!({ "error": self.error });
        if let (Some(hint), Some(object)) = (self.hint, body.as_object_mut()) {
            object.insert("hint".to_owned(), hint.into());
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"kubestile\""),
            );
        }
        if let Some(wait) = retry_after {
            headers.insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

impl From<AuthnError> for ApiError {
    fn from(error: AuthnError) -> Self {
        let status = match error {
            AuthnError::TwoCredentials => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNAUTHORIZED,
        };
        Self::new(status, error.reason()).hint(error.hint())
    }
}

impl From<RequestError> for ApiError {
    fn from(error: RequestError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<ProofError> for ApiError {
    fn from(error: ProofError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.to_string())
    }
}

impl From<AuthorityError> for ApiError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::OutOfTime => Self::new(StatusCode::UNAUTHORIZED, error.to_string())
                .hint("run `kubestile login`; if that does not help, renew the gate's authority"),
            other => Self::internal("the certificate cannot be issued", &other),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::InvalidCode => StatusCode::UNAUTHORIZED,
            StoreError::InvalidName(_) => StatusCode::BAD_REQUEST,
            StoreError::NameTaken { .. } | StoreError::IdTaken { .. } => StatusCode::CONFLICT,
            StoreError::UnknownPerson { .. }
            | StoreError::UnknownPersonId(_)
            | StoreError::UnknownSession(_)
            | StoreError::UnknownCluster(_) => StatusCode::NOT_FOUND,
            StoreError::UnknownRequest(_) | StoreError::UnknownGrant(_) => StatusCode::NOT_FOUND,
            StoreError::Refused(Refused::Own) => StatusCode::FORBIDDEN,
            StoreError::Refused(_) | StoreError::GrantOver { .. } => StatusCode::CONFLICT,
            StoreError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::EndedInMemoryOnly(_) => {
                return Self::internal(
                    "ended, but the database failed: it would come back with a restart",
                    &error,
                );
            }
            _ => return Self::internal("the gate's store failed", &error),
        };
        Self::new(status, error.to_string())
    }
}
