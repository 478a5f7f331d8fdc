//! What a verified token says.

use std::collections::BTreeMap;

use kubestile_core::Timestamp;

/// What a verified token says. Only [`Issuers::verify`](super::Issuers::verify) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) audience: String,
    pub(super) token_id: Option<String>,
    pub(super) expires: Timestamp,
    pub(super) texts: BTreeMap<String, String>,
}

impl Claims {
    /// The configured name of the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What it is made out to: one of the issuer's configured audiences.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// `jti`, so that a caller can take a token only once.
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// `exp`. Nothing that hangs on the token may live longer.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// A claim that is a text, a number or a truth value, as text: `repository`, `ref`, `environment`,
    /// `job_workflow_ref`, `actor`, `run_id`; `project_path`, `ref_protected`, `pipeline_id`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// All of them, for the log.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }
}
