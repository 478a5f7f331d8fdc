//! Reading a client certificate: strictly, only what we issue ourselves.

use kubestile_core::{SessionId, Timestamp};
use rcgen::PublicKeyData;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use crate::certificate_request::{key_digest, public_key};
use crate::verify::AuthnError;

/// A certificate of ours has about 500 bytes.
const LIMIT: usize = 4 * 1024;

/// What the URI name of a client certificate starts with; the session's id follows.
pub(crate) const SESSION_URI: &str = "kubestile://session/";

/// A client certificate of our authority, read. The names in it are for people who look at it; what
/// it proves is a key, and which session that key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The session that it was issued for.
    pub session: SessionId,
    /// From when it holds.
    pub not_before: Timestamp,
    /// Until when it holds; from this second on it does not.
    pub not_after: Timestamp,
    /// SHA-256 of its SubjectPublicKeyInfo, lower-case hex.
    pub key_digest: String,
}

impl ClientCertificate {
    /// Reads a certificate whose signature the TLS handshake has verified against our authority
    /// (see [`Authority::read_client`](crate::Authority::read_client) where it has not).
    ///
    /// # Errors
    /// [`AuthnError::ForeignCertificate`] if it is not exactly what we issue to clients: version 3,
    /// for client authentication only, not an authority, a P-256 or Ed25519 key, and the session's
    /// URI as the only alternative name.
    pub fn read(der: &[u8]) -> Result<Self, AuthnError> {
        read(der).ok_or(AuthnError::ForeignCertificate)
    }
}

fn read(der: &[u8]) -> Option<ClientCertificate> {
    if der.len() > LIMIT {
        return None;
    }
    let Ok(([], certificate)) = X509Certificate::from_der(der) else {
        return None;
    };
    let key = public_key(certificate.public_key().raw).ok()?;
    if certificate.version() != X509Version::V3 || !is_for_clients_only(&certificate) {
        return None;
    }
    Some(ClientCertificate {
        session: session(&certificate)?,
        not_before: Timestamp::from_secs(certificate.validity().not_before.timestamp()),
        not_after: Timestamp::from_secs(certificate.validity().not_after.timestamp()),
        key_digest: key_digest(&key.subject_public_key_info()),
    })
}

/// Client authentication and nothing else. A repeated extension is an error of the parser's lookups.
fn is_for_clients_only(certificate: &X509Certificate<'_>) -> bool {
    let Ok(Some(constraints)) = certificate.basic_constraints() else {
        return false;
    };
    let Ok(Some(usage)) = certificate.key_usage() else {
        return false;
    };
    let Ok(Some(purpose)) = certificate.extended_key_usage() else {
        return false;
    };
    let only_clients = purpose.value.client_auth
        && !purpose.value.any
        && !purpose.value.server_auth
        && !purpose.value.code_signing
        && !purpose.value.email_protection
        && !purpose.value.time_stamping
        && !purpose.value.ocsp_signing
        && purpose.value.other.is_empty();
    !constraints.value.ca && usage.value.flags == DIGITAL_SIGNATURE && only_clients
}

/// Bit 0 of KeyUsage (RFC 5280 §4.2.1.3) as x509-parser numbers it.
const DIGITAL_SIGNATURE: u16 = 1;

fn session(certificate: &X509Certificate<'_>) -> Option<SessionId> {
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return None;
    };
    uri.strip_prefix(SESSION_URI)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Purpose, IsCa, KeyPair,
        KeyUsagePurpose as Usage, SanType,
    };

    use super::*;

    const URI: &str = "kubestile://session/00000000-0000-0000-0000-000000000001";

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    /// A certificate of our form, changed by `change`; its signature is not `read`'s matter.
    fn read_with(
        change: impl FnOnce(&mut CertificateParams),
    ) -> Result<ClientCertificate, AuthnError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(URI)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![Usage::DigitalSignature];
        params.extended_key_usages = vec![Purpose::ClientAuth];
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der())
    }

    #[test]
    fn our_form_is_read() {
        let read = read_with(|_| {}).unwrap();
        assert_eq!(
            read.session.to_string(),
            "00000000-0000-0000-0000-000000000001"
        );
        assert_eq!(read.key_digest.len(), 64);
    }

    #[test]
    fn any_other_form_is_foreign() {
        type Change = fn(&mut CertificateParams);
        let changes: [(&str, Change); 16] = [
            ("no name", |p| p.subject_alt_names.clear()),
            ("two sessions", |p| p.subject_alt_names.push(uri(URI))),
            ("another name beside", |p| {
                p.subject_alt_names
                    .push(SanType::DnsName("a".try_into().unwrap()));
            }),
            ("a DNS name in its place", |p| {
                p.subject_alt_names = vec![SanType::DnsName(URI.try_into().unwrap())];
            }),
            ("another scheme", |p| {
                p.subject_alt_names = vec![uri(&URI.replace("kube", "cube"))]
            }),
            ("upper case", |p| {
                p.subject_alt_names = vec![uri(&URI.replace("0001", "000A"))]
            }),
            ("more after the id", |p| {
                p.subject_alt_names = vec![uri(&format!("{URI}/x"))]
            }),
            ("no id", |p| p.subject_alt_names = vec![uri(SESSION_URI)]),
            ("an authority", |p| {
                p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
            }),
            ("silent on authority", |p| p.is_ca = IsCa::NoCa),
            ("signs certificates", |p| {
                p.key_usages.push(Usage::KeyCertSign)
            }),
            ("no usage", |p| p.key_usages.clear()),
            ("for servers", |p| {
                p.extended_key_usages = vec![Purpose::ServerAuth]
            }),
            ("for servers as well", |p| {
                p.extended_key_usages.push(Purpose::ServerAuth)
            }),
            ("for anything", |p| p.extended_key_usages.push(Purpose::Any)),
            ("no purpose", |p| p.extended_key_usages.clear()),
        ];
        for (what, change) in changes {
            assert_eq!(
                read_with(change),
                Err(AuthnError::ForeignCertificate),
                "{what}"
            );
        }
    }

    #[test]
    fn what_is_no_certificate_is_foreign() {
        let whole = crate::tests::Client::of(&crate::tests::authority()).der();
        for cut in 0..whole.len() {
            assert!(
                ClientCertificate::read(&whole[..cut]).is_err(),
                "cut at {cut}"
            );
        }
        assert!(ClientCertificate::read(&[whole.as_ref(), &[0]].concat()).is_err());
        assert!(ClientCertificate::read(&[0x30; LIMIT + 1]).is_err());
    }
}
