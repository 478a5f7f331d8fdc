//! An issuer and its keys: found by discovery (OpenID Connect Discovery 1.0), kept for a while, fetched
//! again for a key id that is not known, but not more often than configured.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kubestile_core::{Timestamp, Ttl};
use serde_json::Value;

use super::config::IssuerConfig;
use super::error::OidcError;
use super::json;
use super::keys::{Key, Keys};
use crate::client::{Answer, Call, Client, ServiceUrl};

/// How often keys are fetched for an unknown id, where nothing else is configured.
const REFRESH: u32 = 60;
/// How long keys are used, where nothing else is configured.
const KEEP: u32 = 3600;

/// An issuer.
pub(super) struct Issuer {
    pub(super) config: IssuerConfig,
    url: ServiceUrl,
    client: Client,
    cache: Mutex<Cache>,
    /// Held while keys are fetched: one question at a time.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    keys: Keys,
    /// When `keys` were fetched.
    fetched: Option<Timestamp>,
    /// When it was last tried.
    tried: Option<Timestamp>,
}

/// What the cache has to say about a key.
enum Known {
    Key(Arc<Key>),
    /// Ask the issuer.
    Ask,
    /// It was asked a moment ago, and has no such key.
    No,
    /// It was asked a moment ago, and could not be.
    Failed,
}

impl Issuer {
    pub(super) fn new(config: IssuerConfig, url: ServiceUrl, client: Client) -> Self {
        Self {
            config,
            url,
            client,
            cache: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        }
    }

    /// The key of an id, as the issuer publishes it now or did not long ago.
    pub(super) async fn key(&self, kid: &str, now: Timestamp) -> Result<Arc<Key>, OidcError> {
        if let Known::Key(key) = self.known(kid, now) {
            return Ok(key);
        }
        // Whoever comes while keys are fetched waits for them.
        let _one_at_a_time = self.fetching.lock().await;
        match self.known(kid, now) {
            Known::Key(key) => return Ok(key),
            Known::No => return Err(OidcError::UnknownKey),
            Known::Failed => {
                return Err(self.published("they could not be fetched a moment ago"));
            }
            Known::Ask => {}
        }
        // Before it is asked, so that clients which hang up do not make us ask more often.
        self.cache().tried = Some(now);
        let keys = self.fetch().await?;
        let found = keys.find(kid);
        let mut cache = self.cache();
        // As a whole: a key that the issuer no longer publishes is gone.
        cache.keys = keys;
        cache.fetched = Some(now);
        found.ok_or(OidcError::UnknownKey)
    }

    /// What can be said without asking.
    fn known(&self, kid: &str, now: Timestamp) -> Known {
        let cache = self.cache();
        let within = |at: Option<Timestamp>, secs: u32| {
            // A clock that went back makes nothing younger.
            at.is_some_and(|at| now >= at && now < at.plus(Ttl::from_secs(secs)))
        };
        let fresh = within(cache.fetched, self.config.keep_seconds.unwrap_or(KEEP));
        if let (true, Some(key)) = (fresh, cache.keys.find(kid)) {
            return Known::Key(key);
        }
        let tried = within(cache.tried, self.config.refresh_seconds.unwrap_or(REFRESH));
        match (tried, fresh) {
            (false, _) => Known::Ask,
            (true, true) => Known::No,
            (true, false) => Known::Failed,
        }
    }

    async fn fetch(&self) -> Result<Keys, OidcError> {
        let document = self
            .get(&self.url, "/.well-known/openid-configuration")
            .await?;
        let document = json::object(&document.body)
            .ok_or(self.published("its discovery document is not JSON without duplicates"))?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(self.config.issuer.as_str()) {
            return Err(self.published("its discovery document is of another issuer"));
        }
        let keys_at: ServiceUrl = text("jwks_uri")
            .and_then(|text| text.parse().ok())
            .ok_or(self.published("its discovery document has no usable `jwks_uri`"))?;
        let keys_at = match keys_at.same_origin(&self.url) {
            true => keys_at,
            // Whoever writes the document must not send us into our own network.
            false if keys_at.is_tls() => keys_at.foreign(),
            false => return Err(self.published("its `jwks_uri` is not https")),
        };
        let keys = self.get(&keys_at, "").await?;
        Keys::parse(&keys.body).map_err(|reason| self.published(reason))
    }

    async fn get(&self, url: &ServiceUrl, path: &str) -> Result<Answer, OidcError> {
        let call = self.client.call(Call::get(url, path)).await;
        let answer = call.map_err(|source| OidcError::Unreachable {
            issuer: self.config.name.clone(),
            source,
        })?;
        if answer.status != http::StatusCode::OK {
            return Err(self.published("it does not answer 200"));
        }
        match answer.is_json() {
            true => Ok(answer),
            false => Err(self.published("it does not answer with JSON")),
        }
    }

    fn published(&self, reason: &'static str) -> OidcError {
        OidcError::Published {
            issuer: self.config.name.clone(),
            reason,
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
