//! An issuer and its keys.

use kubestile_core::Timestamp;

use super::config::IssuerConfig;
use super::error::OidcError;
use super::keys::Key;
use super::token::Algorithm;
use crate::client::{Client, ServiceUrl};

pub(crate) struct Issuer {
    pub(crate) config: IssuerConfig,
    _url: ServiceUrl,
    _client: Client,
}

impl Issuer {
    pub(crate) fn new(config: IssuerConfig, url: ServiceUrl, client: Client) -> Self {
        Self {
            config,
            _url: url,
            _client: client,
        }
    }

    pub(crate) async fn key(
        &self,
        _kid: &str,
        _algorithm: Algorithm,
        _now: Timestamp,
    ) -> Result<Key, OidcError> {
        Err(OidcError::UnknownKey)
    }
}
