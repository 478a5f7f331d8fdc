//! One API server as the gate uses it: its address, its TLS configuration, its current credential.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::HeaderValue;
use kubestile_core::secret::Secret;
use kubestile_core::time::{Timestamp, Ttl};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::{Mutex, watch};

use crate::account::token;
use crate::call::Connections;
use crate::endpoint::Endpoint;
use crate::error::{ClusterError, CredentialError};
use crate::kubeconfig;
use crate::source::{Authority, Identity, Loaded, NEVER, Pem, Source, bearer};
use crate::tls::{Material, Tls, Trust};

/// An API server. Cheap to clone; all clones share the credential and its renewal.
#[derive(Clone)]
pub struct Upstream {
    pub(crate) inner: Arc<Inner>,
}

/// What is needed to live on the gate's own account.
#[derive(Debug, Clone)]
pub struct AccountCredential {
    /// `https://host:port`, with a base path if the server has one.
    pub server: String,
    /// The server's certificate authorities in PEM; `None` for those that the system trusts.
    pub ca_pem: Option<String>,
    /// The name in the server's certificate, if it is not the host of `server`.
    pub tls_server_name: Option<String>,
    /// The current token.
    pub token: Secret<String>,
    /// When it expires; `None` is taken as "now", so that it is renewed at once.
    pub expires: Option<Timestamp>,
}

/// A token that has taken the place of the one before. The one before stays valid until it expires.
#[derive(Debug, Clone)]
pub struct RenewedToken {
    /// The token.
    pub token: Secret<String>,
    /// When it expires, as the API server says: it may have shortened what was asked for.
    pub expires: Timestamp,
}

pub(crate) struct Inner {
    pub(crate) endpoint: Endpoint,
    origin: Origin,
    live: ArcSwap<Live>,
    /// Held by whoever renews.
    turn: Arc<Mutex<()>>,
    renewed: watch::Sender<Option<RenewedToken>>,
    pub(crate) connections: Connections,
}

/// Where the next credential comes from.
enum Origin {
    Source(Source),
    Account { lifetime: Ttl },
}

/// What holds now. Replaced as a whole.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) header: Option<HeaderValue>,
    pub(crate) tls: Tls,
    material: Arc<Material>,
    loaded: Timestamp,
    fresh_until: Timestamp,
    usable_until: Timestamp,
    /// Nothing is tried before this, and why the last attempt failed.
    retry_after: Timestamp,
    failure: Option<CredentialError>,
}

const LONG_AGO: Timestamp = Timestamp::from_micros(0);
/// After a failure nothing is tried again for this long.
const AGAIN: Ttl = Ttl::from_secs(5);
/// How often [`Upstream::keep_fresh`] looks at the clock: timers stand still while a laptop sleeps.
const TICK: Duration = Duration::from_secs(30);

impl Upstream {
    /// The API server of a kubeconfig's context: `path`, or `KUBECONFIG` and `~/.kube/config`;
    /// `context`, or the current one. The credential is read (a plugin is run) at once.
    ///
    /// # Errors
    /// [`ClusterError`] for a kubeconfig that is missing, contradicts itself or asks for what the
    /// gate does not do (a proxy, `as`, an `auth-provider`), and for a credential that cannot be had.
    pub async fn from_kubeconfig(
        path: Option<&Path>,
        context: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let resolved = kubeconfig::resolve(path, context)?;
        if matches!(resolved.source.authority, Authority::Anybody) {
            tracing::warn!(
                context = resolved.context,
                server = resolved.endpoint.authority(),
                "the kubeconfig says insecure-skip-tls-verify: anybody on the way can pose as this API server and take the credential"
            );
        }
        Self::from_source(resolved.endpoint, resolved.source).await
    }

    /// The API server of the cluster that this process runs in as a pod, with the pod's account.
    ///
    /// # Errors
    /// [`ClusterError::NotInCluster`] elsewhere.
    pub async fn in_cluster() -> Result<Self, ClusterError> {
        let env = |name: &str| {
            std::env::var(name).map_err(|_| ClusterError::NotInCluster {
                reason: format!("{name} is not set"),
            })
        };
        let host = env("KUBERNETES_SERVICE_HOST")?;
        let port = env("KUBERNETES_SERVICE_PORT")?;
        let dir = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        Self::from_pod(&host, &port, dir).await
    }

    async fn from_pod(host: &str, port: &str, dir: &Path) -> Result<Self, ClusterError> {
        let server = match host.contains(':') {
            true => format!("https://[{host}]:{port}"),
            false => format!("https://{host}:{port}"),
        };
        let source = Source {
            authority: Authority::Pem(Pem::File(dir.join("ca.crt"))),
            identity: Identity::TokenFile(dir.join("token")),
        };
        Self::from_source(Endpoint::parse(&server, None)?, source).await
    }

    /// The API server with the gate's own account. Tokens are renewed for `lifetime` each time, when a
    /// third of their life has passed ([`Upstream::keep_fresh`]) or on demand, and reported by
    /// [`Upstream::renewals`]. The API server may grant less than `lifetime`, never less than 10 min.
    ///
    /// # Errors
    /// [`ClusterError`] if the address or the certificate authority cannot be used.
    pub fn from_account(account: &AccountCredential, lifetime: Ttl) -> Result<Self, ClusterError> {
        let endpoint = Endpoint::parse(&account.server, account.tls_server_name.as_deref())?;
        let material = Material {
            trust: match &account.ca_pem {
                Some(pem) => Trust::Pem(pem.clone().into_bytes()),
                None => Trust::System,
            },
            client: None,
        };
        let expires = account.expires.unwrap_or(LONG_AGO);
        let live = Live {
            header: Some(bearer(account.token.expose())?),
            tls: Tls::new(&material)?,
            material: Arc::new(material),
            loaded: LONG_AGO,
            // When it was issued is not known: as if it had been given its whole lifetime.
            fresh_until: before(expires, lifetime.as_micros() / 3 * 2),
            usable_until: expires,
            retry_after: LONG_AGO,
            failure: None,
        };
        Ok(Self::new(endpoint, Origin::Account { lifetime }, live))
    }

    pub(crate) async fn from_source(
        endpoint: Endpoint,
        source: Source,
    ) -> Result<Self, ClusterError> {
        let now = now();
        let live = Live::new(source.load(now).await?, None, now)?;
        Ok(Self::new(endpoint, Origin::Source(source), live))
    }

    fn new(endpoint: Endpoint, origin: Origin, live: Live) -> Self {
        Self {
            inner: Arc::new(Inner {
                endpoint,
                origin,
                live: ArcSwap::from_pointee(live),
                turn: Arc::new(Mutex::new(())),
                renewed: watch::Sender::new(None),
                connections: Connections::default(),
            }),
        }
    }

    /// Host name or address to connect to; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.inner.endpoint.host
    }

    /// Port to connect to.
    pub fn port(&self) -> u16 {
        self.inner.endpoint.port
    }

    /// `host:port` for the `Host` header and for messages; brackets round an IPv6 address.
    pub fn authority(&self) -> String {
        self.inner.endpoint.authority()
    }

    /// What stands before every path, without a trailing slash; usually empty
    /// (`/k8s/clusters/c-1` behind Rancher).
    pub fn base_path(&self) -> &str {
        &self.inner.endpoint.base_path
    }

    /// `https://host:port/base`, for a record of this cluster.
    pub fn server(&self) -> String {
        format!("https://{}{}", self.authority(), self.base_path())
    }

    /// The name that the server's certificate must have.
    pub fn server_name(&self) -> ServerName<'static> {
        self.inner.endpoint.server_name.clone()
    }

    /// The name in the server's certificate, if it is not the host: for a record of this cluster.
    pub(crate) fn tls_server_name(&self) -> Option<String> {
        let name = self.inner.endpoint.server_name.to_str();
        (name != self.inner.endpoint.host.as_str()).then(|| name.into_owned())
    }

    /// The current TLS configuration for HTTP/1.1 (ALPN `http/1.1`): upgrades and long calls.
    ///
    /// It is another `Arc` after the client certificate or the authority has changed: a connection
    /// made with an older one carries the older identity and takes no new requests.
    pub fn tls_h1(&self) -> Arc<ClientConfig> {
        self.inner.live.load().tls.h1.clone()
    }

    /// The current TLS configuration for HTTP/2 (ALPN `h2`, then `http/1.1`); see [`Upstream::tls_h1`].
    pub fn tls_h2(&self) -> Arc<ClientConfig> {
        self.inner.live.load().tls.h2.clone()
    }

    /// The `Authorization` header to send now, marked sensitive; `None` with a client certificate.
    ///
    /// While the credential is fresh this is one atomic load. When it should be renewed but still
    /// holds, a renewal starts beside and the current one is given. Only without any usable
    /// credential does the caller wait.
    ///
    /// # Errors
    /// [`CredentialError`] if there is no usable credential.
    pub async fn authorization(&self) -> Result<Option<HeaderValue>, CredentialError> {
        {
            let live = self.inner.live.load();
            let now = now();
            if now < live.usable_until {
                if now >= live.fresh_until && now >= live.retry_after {
                    self.renew_beside();
                }
                return Ok(live.header.clone());
            }
        }
        self.inner.renew().await?;
        Ok(self.inner.live.load().header.clone())
    }

    /// To be called after the API server answered 401: the credential is renewed before it is used
    /// again. Calls within 10 s of a renewal are ignored, so that refusals do not start storms.
    pub fn invalidate(&self) {
        const CALM: Ttl = Ttl::from_secs(10);
        let now = now();
        let live = self.inner.live.load();
        let fixed = live.fresh_until == NEVER && live.usable_until == NEVER && !self.inner.asks();
        if fixed || now < live.loaded.plus(CALM) {
            return;
        }
        let mut stale = Live::clone(&live);
        stale.fresh_until = LONG_AGO;
        stale.usable_until = LONG_AGO;
        // Only over what was looked at: a renewal that came between is newer.
        self.inner.live.compare_and_swap(&*live, Arc::new(stale));
    }

    /// Renews the credential when it is due, for ever: spawn it once per upstream and drop it to stop.
    /// Without it, renewal happens when requests come.
    pub async fn keep_fresh(&self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let due = now() >= self.inner.live.load().fresh_until;
            if due && let Err(error) = self.inner.renew().await {
                tracing::warn!(server = self.authority(), %error, "the upstream credential was not renewed");
            }
        }
    }

    /// The tokens that have been renewed since, latest only: store them, so that the next start has
    /// one. Only the gate's own account has any.
    pub fn renewals(&self) -> watch::Receiver<Option<RenewedToken>> {
        self.inner.renewed.subscribe()
    }

    fn renew_beside(&self) {
        let Ok(turn) = self.inner.turn.clone().try_lock_owned() else {
            return; // somebody is at it
        };
        let inner = self.inner.clone();
        tokio::spawn(async move {
            if let Err(error) = inner.renew_now(now()).await {
                tracing::warn!(server = inner.endpoint.authority(), %error, "the upstream credential was not renewed; the current one is used while it holds");
            }
            drop(turn);
        });
    }
}

impl Inner {
    /// Whether another credential can be had at all.
    fn asks(&self) -> bool {
        match &self.origin {
            Origin::Account { .. } => true,
            Origin::Source(source) => matches!(
                source.identity,
                Identity::Exec(_) | Identity::TokenFile(_) | Identity::Certificate { .. }
            ),
        }
    }

    /// Waits for a turn and renews, unless somebody else has done so meanwhile or has just failed.
    async fn renew(&self) -> Result<(), CredentialError> {
        let _turn = self.turn.lock().await;
        let live = self.live.load_full();
        let now = now();
        if now < live.fresh_until && now < live.usable_until {
            return Ok(());
        }
        match &live.failure {
            Some(failure) if now < live.retry_after => Err(failure.clone()),
            _ => self.renew_now(now).await,
        }
    }

    /// Renews. The caller holds the turn.
    async fn renew_now(&self, now: Timestamp) -> Result<(), CredentialError> {
        let live = self.live.load_full();
        let outcome = match &self.origin {
            Origin::Source(source) => match source.load(now).await {
                Ok(loaded) => Live::new(loaded, Some(&live), now),
                Err(error) => Err(error),
            },
            Origin::Account { lifetime } => self.renew_account(&live, *lifetime, now).await,
        };
        match outcome {
            Ok(next) => {
                self.live.store(Arc::new(next));
                Ok(())
            }
            Err(error) => {
                let mut same = Live::clone(&live);
                same.retry_after = now.plus(AGAIN);
                same.failure = Some(error.clone());
                self.live.store(Arc::new(same));
                Err(error)
            }
        }
    }

    async fn renew_account(
        &self,
        live: &Live,
        lifetime: Ttl,
        now: Timestamp,
    ) -> Result<Live, CredentialError> {
        let given = token::request_with(self, live, lifetime)
            .await
            .map_err(|reason| match now < live.usable_until {
                true => CredentialError::Renewal { reason },
                false => CredentialError::Expired { reason },
            })?;
        let life = given.expires.since(now).as_micros();
        let next = Live {
            header: Some(bearer(given.token.expose())?),
            fresh_until: before(given.expires, life / 3 * 2),
            usable_until: given.expires,
            loaded: now,
            retry_after: LONG_AGO,
            failure: None,
            ..live.clone()
        };
        self.renewed.send_replace(Some(given));
        Ok(next)
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// The authorities in PEM, for a record of this cluster; `None` for those of the system.
    ///
    /// # Errors
    /// `Err` if the server's certificate is not verified at all.
    pub(crate) fn ca_pem(&self) -> Result<Option<String>, NotVerified> {
        match &self.live.load().material.trust {
            Trust::Pem(pem) => Ok(Some(String::from_utf8_lossy(pem).into_owned())),
            Trust::System => Ok(None),
            Trust::Anybody => Err(NotVerified),
        }
    }
}

/// The server's certificate is not verified.
pub(crate) struct NotVerified;

impl Live {
    /// The same trust in the server, and nothing to show to it.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub(crate) fn without_client(&self) -> Result<Tls, CredentialError> {
        Tls::new(&Material {
            trust: self.material.trust.clone(),
            client: None,
        })
    }

    /// Keeps the TLS configuration of `previous` if nothing in it has changed.
    fn new(
        loaded: Loaded,
        previous: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, CredentialError> {
        let same = previous.filter(|p| *p.material == loaded.material);
        let (tls, material) = match same {
            Some(previous) => (previous.tls.clone(), previous.material.clone()),
            None => (Tls::new(&loaded.material)?, Arc::new(loaded.material)),
        };
        Ok(Self {
            header: loaded.header,
            tls,
            material,
            loaded: now,
            fresh_until: loaded.fresh_until,
            usable_until: loaded.usable_until,
            retry_after: LONG_AGO,
            failure: None,
        })
    }
}

pub(crate) fn before(at: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(micros))
}

/// Wall-clock time: it goes on while a laptop sleeps, and it is what expiry times are in.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
