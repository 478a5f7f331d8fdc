//! Whom to trust.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::error::TrustError;
use crate::file;

/// A configuration for HTTP/1.1 that trusts `ca_file`, or the operating system's authorities.
pub(crate) fn config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates themselves, for a library that makes its own configuration.
pub(crate) fn certificates(
    ca_file: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let (place, found) = match ca_file {
        Some(path) => {
            let pem = file::certificates(path)?;
            let found = CertificateDer::pem_slice_iter(&pem)
                .filter_map(Result::ok)
                .collect();
            (format!("the file `{}`", path.display()), found)
        }
        None => (
            "the operating system".to_owned(),
            rustls_native_certs::load_native_certs().certs,
        ),
    };
    let found: Vec<CertificateDer<'static>> = found;
    if found.is_empty() {
        return Err(TrustError::Empty { place });
    }
    Ok(found)
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TrustError> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(ca_file)?);
    if added == 0 {
        return Err(TrustError::Empty {
            place: match ca_file {
                Some(path) => format!("the file `{}`", path.display()),
                None => "the operating system".to_owned(),
            },
        });
    }
    Ok(store)
}
