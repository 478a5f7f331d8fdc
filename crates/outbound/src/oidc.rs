//! Identity tokens of pipelines: whose keys are trusted, whether a token holds, and which rule of ours
//! it satisfies.

mod claims;
mod config;
mod error;
pub mod fuzzing;
mod issuer;
mod json;
mod keys;
mod rule;
mod token;

use kubestile_core::{Secret, Timestamp};

pub use claims::Claims;
pub use config::{IssuerConfig, OidcConfigError};
pub use error::OidcError;
pub use rule::{Match, PipelineRule, RuleError, Rules};

use issuer::Issuer;

/// The issuers whose tokens are accepted. The default is none.
#[derive(Default)]
pub struct Issuers {
    issuers: Vec<Issuer>,
}

impl Issuers {
    /// Reads nothing but certificate files, and asks nobody: keys are fetched when they are needed.
    ///
    /// # Errors
    /// [`OidcConfigError`], which names the issuer and says what is wrong.
    pub fn new(configs: Vec<IssuerConfig>) -> Result<Self, OidcConfigError> {
        Ok(Self {
            issuers: config::issuers(configs)?,
        })
    }

    /// Whether no issuer is configured.
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Verifies a token: form, issuer, signature by a current key of that issuer, audience, times.
    ///
    /// # Errors
    /// [`OidcError`]; nothing in it repeats the token.
    pub async fn verify(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Result<Claims, OidcError> {
        let token = token::Token::parse(token.expose())?;
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| issuer.config.issuer == token.issuer())
            .ok_or(OidcError::UnknownIssuer)?;
        let key = issuer.key(token.kid(), now).await?;
        token.verify(&key)?.claims(&issuer.config, now)
    }
}

#[cfg(test)]
mod tests;
