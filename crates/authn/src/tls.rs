//! The TLS side of the gate: our authority alone for clients, no resumption, one crypto provider.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kubestile_core::Timestamp;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::UnixTime;

use crate::authority::{Authority, ServerCertificate};

/// The clock that the handshake checks certificates by.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The lowest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.3 only.
    Tls13,
    /// TLS 1.2 and 1.3: a named setting for old clients and load balancers.
    Tls12,
}

/// The configuration of a listener. Clients may show a certificate of our authority; those without
/// one can log in or show a bearer token.
///
/// Sessions are never resumed: a resumed one would carry a client certificate past its time.
///
/// # Errors
/// If the provider does not do what is asked of it, or the authority's certificate is damaged.
pub fn server_tls(
    authority: &Authority,
    keys: Arc<ServerKeys>,
    minimum: TlsVersion,
    clock: Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .map_err(|e| TlsError::new(&e))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| TlsError::new(&e))?;
    let versions: &[_] = match minimum {
        TlsVersion::Tls13 => &[&TLS13],
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
    };
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)))
        .with_protocol_versions(versions)
        .map_err(|e| TlsError::new(&e))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(keys);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The one crypto provider, named so that nothing depends on a process-wide default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// The server certificate in use, which a renewal replaces while connections go on.
#[derive(Debug)]
pub struct ServerKeys {
    current: ArcSwap<CertifiedKey>,
}

impl ServerKeys {
    /// Starts with `certificate`.
    ///
    /// # Errors
    /// If key and certificate do not belong together.
    pub fn new(certificate: ServerCertificate) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(certified(certificate)?);
        Ok(Arc::new(Self { current }))
    }

    /// Uses `certificate` for handshakes from now on.
    ///
    /// # Errors
    /// If key and certificate do not belong together; the old one stays.
    pub fn replace(&self, certificate: ServerCertificate) -> Result<(), TlsError> {
        self.current.store(Arc::new(certified(certificate)?));
        Ok(())
    }
}

impl ResolvesServerCert for ServerKeys {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn certified(certificate: ServerCertificate) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(certificate.chain, certificate.key, &default_provider())
        .map_err(|e| TlsError::new(&e))
}

/// The caller's clock, as rustls wants it.
pub(crate) struct Time(pub(crate) Clock);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Time")
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        // A clock before 1970 gives no time, and so no handshake with a client certificate.
        let secs = u64::try_from((self.0)().as_secs()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

/// Why TLS could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot set up TLS: {0}")]
pub struct TlsError(String);

impl TlsError {
    pub(crate) fn new(cause: &dyn fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

#[cfg(test)]
pub(crate) mod tests;
