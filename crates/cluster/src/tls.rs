//! TLS configurations towards an API server.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use zeroize::Zeroizing;

use crate::error::CredentialError;

/// Everything that a configuration is made of, as read; two equal ones need no new configuration.
#[derive(PartialEq, Eq, Clone)]
pub(crate) struct Material {
    /// Whom to trust.
    pub(crate) trust: Trust,
    /// Certificate chain and key in PEM.
    pub(crate) client: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

/// Whose certificates are accepted.
#[derive(PartialEq, Eq, Clone)]
pub(crate) enum Trust {
    /// Certificate authorities in PEM.
    Pem(Vec<u8>),
    /// The authorities that the operating system trusts, as kubectl does where none is named.
    System,
    /// Anybody's: `insecure-skip-tls-verify` of the kubeconfig.
    Anybody,
}

/// The configurations of one upstream. A new pair is made when a certificate changes, and with it a
/// new session cache: a resumed session would carry the old certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    /// ALPN `http/1.1` only: upgrades and own calls.
    pub(crate) h1: Arc<ClientConfig>,
    /// ALPN `h2`, then `http/1.1`.
    pub(crate) h2: Arc<ClientConfig>,
}

impl Tls {
    /// # Errors
    /// [`CredentialError::Material`] when a certificate or key is not one.
    pub(crate) fn new(material: &Material) -> Result<Self, CredentialError> {
        let base = config(material)?;
        let with = |protocols: &[&[u8]]| {
            let mut config = base.clone();
            config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
            config.resumption = rustls::client::Resumption::in_memory_sessions(64);
            Arc::new(config)
        };
        Ok(Self {
            h1: with(&[b"http/1.1"]),
            h2: with(&[b"h2", b"http/1.1"]),
        })
    }
}

fn config(material: &Material) -> Result<ClientConfig, CredentialError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| bad("certificate authority", e))?;
    let builder = match &material.trust {
        Trust::Pem(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAnybody(provider))),
    };
    let Some((chain, key)) = &material.client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("client certificate", chain)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| bad("client key", "it has no private key in PEM"))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| {
        bad(
            "client certificate",
            format!("it does not go with its key ({e})"),
        )
    })
}

fn roots(pem: &[u8]) -> Result<RootCertStore, CredentialError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates("certificate authority", pem)? {
        store
            .add(certificate)
            .map_err(|e| bad("certificate authority", e))?;
    }
    Ok(store)
}

fn system_roots() -> Result<RootCertStore, CredentialError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(bad(
            "certificate authority",
            "none is named and this machine trusts none: install the system's ca-certificates or name one",
        ));
    }
    Ok(store)
}

fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| bad(what, "it is not PEM"))?;
    if found.is_empty() {
        return Err(bad(what, "it has no certificate in PEM"));
    }
    Ok(found)
}

fn bad(what: &'static str, reason: impl ToString) -> CredentialError {
    CredentialError::Material {
        what,
        reason: reason.to_string(),
    }
}

/// Does not look whose certificate it is; still proves that the server holds its key.
#[derive(Debug)]
struct AcceptAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
