//! The wire types of signing a browser in.

use kubestile_core::{AccessId, Secret, Timestamp};
use serde::{Deserialize, Serialize};

use super::{rfc3339, secret_text};

/// `POST /v1/browser`: asks for a way to sign a browser in with one's session.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrowserRequest {
    /// The access request to show first; else all that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessId>,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct BrowserAnswer {
    /// What to open in a browser, once; whoever opens it first can act as the person on the gate's pages.
    #[serde(with = "secret_text")]
    pub url: Secret<String>,
    /// Until when it can be opened.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
}
