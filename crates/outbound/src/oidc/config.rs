//! Issuers as they are configured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::issuer::Issuer;
use crate::client::{Client, Limits, ServiceUrl, TrustError};

/// Issuers at most.
const ISSUERS: usize = 16;

/// A discovery document has a few KiB, a set of 64 keys some 100.
const LIMITS: Limits = Limits {
    body: 256 * 1024,
    ..Limits::USUAL
};

/// An issuer whose tokens are accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerConfig {
    /// A name of your choice, which rules refer to. A DNS label.
    pub name: String,
    /// Its identifier, exactly as it stands in `iss`: `https://token.actions.githubusercontent.com`,
    /// `https://gitlab.com`. The discovery document is below it.
    pub issuer: String,
    /// What a token must be made out to: one of these. Never an audience that others accept too.
    pub audiences: Vec<String>,
    /// Certificate authorities in PEM. Default: those of the operating system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Keys are fetched again at most this often for a key id that is not known. Default 60; 10 to
    /// 3600.
    #[serde(default)]
    pub refresh_seconds: Option<u32>,
    /// Keys are used this long after they were fetched. Default 3600; 60 to 86400.
    #[serde(default)]
    pub keep_seconds: Option<u32>,
    /// A token that is made to live longer is refused. Default 3600; 60 to 86400. (GitLab's live as
    /// long as the job may take.)
    #[serde(default)]
    pub max_life_seconds: Option<u32>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcConfigError {
    /// Something in it is wrong.
    #[error("token issuer `{issuer}`: {reason}")]
    Invalid {
        /// Which issuer.
        issuer: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// The certificate authorities cannot be used.
    #[error("token issuer `{issuer}`: no certificate can be trusted")]
    Trust {
        /// Which issuer.
        issuer: String,
        /// Why.
        source: TrustError,
    },
}

pub(crate) fn issuers(configs: Vec<IssuerConfig>) -> Result<Vec<Issuer>, OidcConfigError> {
    let mut issuers: Vec<Issuer> = Vec::with_capacity(configs.len());
    for config in configs {
        let name: String = config.name.chars().take(80).collect();
        let invalid = |reason: String| OidcConfigError::Invalid {
            issuer: name.clone(),
            reason,
        };
        let url = check(&config).map_err(invalid)?;
        let taken = |other: &Issuer| {
            other.config.name == config.name || other.config.issuer == config.issuer
        };
        if issuers.iter().any(taken) {
            return Err(invalid("its name or its issuer is there twice".to_owned()));
        }
        if issuers.len() == ISSUERS {
            return Err(invalid(format!("there are more than {ISSUERS} issuers")));
        }
        let client = Client::new(config.ca_file.as_deref(), LIMITS);
        let client = client.map_err(|source| OidcConfigError::Trust {
            issuer: name.clone(),
            source,
        })?;
        issuers.push(Issuer::new(config, url, client));
    }
    Ok(issuers)
}

fn check(config: &IssuerConfig) -> Result<ServiceUrl, String> {
    let name: Result<kubestile_core::ClusterName, _> = config.name.parse();
    name.map_err(|_| "`name` must be a DNS label".to_owned())?;
    let url: ServiceUrl = config.issuer.parse().map_err(|e| format!("{e}"))?;
    if config.issuer.contains('?') {
        return Err("an issuer has no query".to_owned());
    }
    let fine = |a: &String| !a.is_empty() && a.len() <= 256;
    if config.audiences.is_empty() || !config.audiences.iter().all(fine) {
        return Err("`audiences` must say what tokens are made out to".to_owned());
    }
    for (what, value, low, high) in [
        ("refreshSeconds", config.refresh_seconds, 10, 3600),
        ("keepSeconds", config.keep_seconds, 60, 86_400),
        ("maxLifeSeconds", config.max_life_seconds, 60, 86_400),
    ] {
        if value.is_some_and(|value| !(low..=high).contains(&value)) {
            return Err(format!("`{what}` must be {low} to {high}"));
        }
    }
    Ok(url)
}
