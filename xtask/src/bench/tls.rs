//! Certificates for the origin and the peers, and the client's side of TLS: 1.3 everywhere, and no
//! resumption, so that every connection costs every peer the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The files of one authority and the one certificate that it gave, for `localhost`.
#[derive(Debug, Clone)]
pub(super) struct Pki {
    /// The authority, PEM.
    pub(super) ca: PathBuf,
    /// The certificate, PEM.
    pub(super) certificate: PathBuf,
    /// Its key, PEM.
    pub(super) key: PathBuf,
    /// Certificate and key in one file, as haproxy wants them.
    pub(super) both: PathBuf,
}

impl Pki {
    /// Where they are in a directory.
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            certificate: dir.join("certificate.pem"),
            key: dir.join("key.pem"),
            both: dir.join("both.pem"),
        }
    }

    /// Makes and writes them.
    pub(super) fn create(dir: &Path) -> Result<Self> {
        let files = Self::of(dir);
        let mut params = CertificateParams::new(vec!["kubestile bench".to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kubestile bench authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        std::fs::write(&files.ca, params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names)?;
        // One with its issuer's name would be taken for self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &issuer)?;
        std::fs::write(&files.certificate, certificate.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        std::fs::write(&files.both, certificate.pem() + &key.serialize_pem())?;
        Ok(files)
    }

    /// The origin's side of TLS.
    pub(super) fn server(&self) -> Result<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_file(&self.certificate)?];
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// A certificate and its key that a client shows, PEM.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The certificate.
    pub(super) certificate: String,
    /// Its key.
    pub(super) key: String,
}

/// The client's side of TLS towards a server of the authority in `ca`, for one protocol of HTTP.
pub(super) fn client(
    ca: &Path,
    shown: Option<&Identity>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(ca);
    roots.add(authority.with_context(|| format!("`{}`", ca.display()))?)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
            builder.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
