//! Trust in a gate: its own authority and nothing else. No system store, no first use, no way round.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use kubestile_authn::{ClientPair, GateTrust, client_tls};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::clock::now;
use crate::exit::{Fail, Kind, Outcome};

/// What a gate's certificate is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The authority's certificate, PEM.
    Authority(String),
    /// SHA-256 of the authority's certificate, lower-case hex: it is met in the handshake, and must
    /// match.
    Fingerprint(String),
}

impl Trust {
    /// From `sha256:HEX` as `kubestile up` prints it; colons between the bytes are fine.
    pub(crate) fn fingerprint(text: &str) -> Outcome<Self> {
        let hex = text
            .strip_prefix("sha256:")
            .map(|hex| hex.replace(':', "").to_ascii_lowercase());
        match hex {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(Self::Fingerprint(hex))
            }
            _ => Err(Fail::usage(format!("`{text}` is not a fingerprint"))
                .hint("it looks like sha256:3f2a… with 64 hexadecimal digits")),
        }
    }

    /// The authority's certificate (PEM) to trust from now on: `shown` is what the gate says that it
    /// is, which must be what was trusted until now.
    pub(crate) fn settle(&self, shown: &str) -> Outcome<String> {
        match self {
            Self::Authority(known) => Ok(known.clone()),
            Self::Fingerprint(wanted) => {
                let other = || {
                    Fail::new(
                        Kind::Verification,
                        "the gate names another authority than it proved to be of",
                    )
                };
                let der = CertificateDer::from_pem_slice(shown.as_bytes()).map_err(|_| other())?;
                if hex(digest(&SHA256, &der).as_ref()) == *wanted {
                    Ok(shown.to_owned())
                } else {
                    Err(other())
                }
            }
        }
    }
}

/// A TLS configuration that trusts only `trust`; with a client certificate if there is one.
pub(super) fn config(trust: &Trust, identity: Option<ClientPair<'_>>) -> Outcome<ClientConfig> {
    let trust = match trust {
        Trust::Authority(pem) => GateTrust::Authority(pem),
        Trust::Fingerprint(hex) => GateTrust::Fingerprint(hex),
    };
    Ok(client_tls(trust, identity, Arc::new(now))?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_in_one_way() {
        let hex = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for fine in [format!("sha256:{hex}"), format!("sha256:{colons}")] {
            assert_eq!(
                Trust::fingerprint(&fine).unwrap(),
                Trust::Fingerprint(hex.clone())
            );
        }
        for bad in [
            hex.clone(),
            format!("sha1:{hex}"),
            format!("sha256:{}", "+a".repeat(32)),
            "sha256:".to_owned(),
            format!("sha256:{hex}00"),
            format!("sha256:{}", "é".repeat(32)),
        ] {
            assert!(Trust::fingerprint(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_authority_with_the_fingerprint_is_kept() {
        let authority = kubestile_authn::Authority::create(now()).unwrap();
        let other = kubestile_authn::Authority::create(now()).unwrap();
        let trust = Trust::fingerprint(&format!("sha256:{}", authority.fingerprint())).unwrap();
        assert_eq!(trust.settle(&authority.pem()).unwrap(), authority.pem());
        assert!(trust.settle(&other.pem()).is_err());
        assert!(trust.settle("").is_err());
        let known = Trust::Authority(authority.pem());
        assert_eq!(
            known.settle(&other.pem()).unwrap(),
            authority.pem(),
            "what is known stays"
        );
    }
}
