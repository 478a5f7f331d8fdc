//! The wire types of the exchange of a pipeline's token (RFC 8693).

use kubestile_core::{AccessId, GrantId, Secret, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ClusterEntry, rfc3339, secret_text};

/// `grant_type` of an exchange.
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// `subject_token_type` of what pipelines are given: an OpenID Connect ID token.
pub const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:id_token";

/// `POST /v1/token-exchange`, form-encoded. Other parameters are left alone, as RFC 8693 has it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExchangeRequest {
    /// [`EXCHANGE`].
    pub grant_type: String,
    /// The job's identity token.
    #[serde(with = "secret_text")]
    pub subject_token: Secret<String>,
    /// [`TOKEN_TYPE`], or `urn:ietf:params:oauth:token-type:jwt`.
    pub subject_token_type: String,
    /// A signing request, PEM, for a client certificate. Without it, the answer is a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csr: Option<String>,
}

/// What a pipeline gets (200).
#[derive(Debug, Serialize, Deserialize)]
pub struct ExchangeAnswer {
    /// The bearer token; the client certificate (PEM) where a signing request was given.
    #[serde(with = "secret_text")]
    pub access_token: Secret<String>,
    /// `urn:ietf:params:oauth:token-type:access_token`, or `urn:kubestile:token-type:certificate`.
    pub issued_token_type: String,
    /// `Bearer`, or `N_A` for a certificate.
    pub token_type: String,
    /// How many seconds it holds.
    pub expires_in: i64,
    /// The new session.
    pub session: SessionId,
    /// The pipeline's name.
    pub person: String,
    /// Until when what was issued holds.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// Until when the session holds.
    #[serde(with = "rfc3339")]
    pub session_expires: Timestamp,
    /// What it may do: one grant for each role and cluster.
    pub grants: Vec<GrantId>,
    /// The clusters behind the gate.
    pub clusters: Vec<ClusterEntry>,
    /// The gate's authority, PEM.
    pub ca: String,
}

/// Somebody must approve it first (202): the same exchange again gives the session once they have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExchangePending {
    /// The access request.
    pub request: AccessId,
    /// Where people look at it.
    pub url: String,
    /// Who may approve, in words.
    pub approvers: Vec<String>,
    /// How many more must.
    pub missing: usize,
    /// Until when it can be approved.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
}
