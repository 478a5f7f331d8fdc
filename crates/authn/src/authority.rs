//! The gate's own certificate authority: one key, which certifies the gate's server certificate and
//! the keys that clients make. It stands for nothing else and can make no further authority.

use std::fmt;

use kubestile_core::identity::{InvalidName, check_person_name};
use kubestile_core::{Secret, SessionId, Timestamp, Ttl};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::certificate::{ClientCertificate, SESSION_URI};
use crate::certificate_request::CertificateRequest;
use crate::digest::{hex, sha256};
use crate::verify::AuthnError;

/// How long an authority lasts.
const AUTHORITY_TTL: Ttl = Ttl::from_secs(10 * 365 * 86_400);
/// How far back the authority and server certificates are dated: clients' clocks are often behind.
const SERVER_BACKDATE: i64 = 3600;
/// How far back client certificates are dated: only gates check them, and those keep time.
const CLIENT_BACKDATE: i64 = 60;
/// The most names that a server certificate may have.
const NAMES_LIMIT: usize = 64;

/// The certificate authority of one gate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.fingerprint())
    }
}

/// A client certificate just issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Until when it holds (whole seconds).
    pub not_after: Timestamp,
    /// SHA-256 of its SubjectPublicKeyInfo, lower-case hex: what the session is bound to.
    pub key_digest: String,
}

/// A server certificate just issued, with its key.
#[derive(Debug)]
pub struct ServerCertificate {
    /// The certificate, then the authority's own (so that a client that knows only the authority's
    /// fingerprint can meet it in the handshake).
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key; it is never written down.
    pub key: PrivateKeyDer<'static>,
    /// Until when it holds (whole seconds).
    pub not_after: Timestamp,
}

impl Authority {
    /// Makes a new authority: P-256, ten years, for signing only, no further authority below it.
    ///
    /// # Errors
    /// [`AuthorityError::Crypto`] if the system's randomness or the encoder fails.
    pub fn create(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(crypto)?;
        let serial = serial()?;
        let not_after = now.plus(AUTHORITY_TTL);
        let mut params = params(now, SERVER_BACKDATE, not_after)?;
        // A part of the serial in the name keeps apart two gates' authorities in one trust store.
        let tag: String = hex(serial.as_ref()).chars().take(8).collect();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Kubestile authority {tag}"));
        params.serial_number = Some(serial);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(crypto)?;
        Self::assemble(certificate.der().clone(), key)
    }

    /// Takes up an authority that was stored as PEM.
    ///
    /// # Errors
    /// If either text is not what it should be, the certificate is not an authority's, or the key is
    /// not the certificate's.
    pub fn load(certificate_pem: &str, key_pem: &Secret<String>) -> Result<Self, AuthorityError> {
        let mut sections = CertificateDer::pem_slice_iter(certificate_pem.as_bytes());
        let (Some(Ok(certificate)), None) = (sections.next(), sections.next()) else {
            return Err(AuthorityError::Certificate);
        };
        let key = KeyPair::from_pem(key_pem.expose()).map_err(|_| AuthorityError::Key)?;
        Self::assemble(certificate.into_owned(), key)
    }

    fn assemble(
        certificate: CertificateDer<'static>,
        key: KeyPair,
    ) -> Result<Self, AuthorityError> {
        let Ok(([], read)) = X509Certificate::from_der(&certificate) else {
            return Err(AuthorityError::Certificate);
        };
        let signs = read
            .key_usage()
            .ok()
            .flatten()
            .is_some_and(|usage| usage.value.key_cert_sign());
        if !read.is_ca() || !signs {
            return Err(AuthorityError::NotAnAuthority);
        }
        if read.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch);
        }
        let not_after = Timestamp::from_secs(read.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(crypto)?;
        Ok(Self {
            issuer,
            certificate,
            not_after,
        })
    }

    /// The authority's certificate, PEM: what clients trust.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The authority's private key, PKCS #8 PEM, to be stored with mode 0600.
    pub fn key_pem(&self) -> Secret<String> {
        Secret::new(self.issuer.key().serialize_pem())
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the certificate, lower-case hex: short enough to be handed over beside a login code.
    pub fn fingerprint(&self) -> String {
        hex(&sha256(&[&self.certificate]))
    }

    /// Until when the authority holds.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Issues the gate's own certificate, with a new key, for DNS names and IP addresses.
    ///
    /// # Errors
    /// If there is no name or too many, one is neither a DNS name nor an IP address, or the
    /// authority is out of time.
    pub fn issue_server(
        &self,
        sans: &[String],
        now: Timestamp,
        ttl: Ttl,
    ) -> Result<ServerCertificate, AuthorityError> {
        if sans.is_empty() || sans.len() > NAMES_LIMIT {
            return Err(AuthorityError::Names);
        }
        let not_after = self.until(now, now.plus(ttl))?;
        let mut params = params(now, SERVER_BACKDATE, not_after)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kubestile gate");
        params.subject_alt_names = sans.iter().map(|s| name(s)).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(crypto)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(crypto)?;
        Ok(ServerCertificate {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            not_after,
        })
    }

    /// Certifies a client's key for one session. Of the request only the key is used.
    ///
    /// # Errors
    /// If the name cannot be a person's, `not_after` is not after `now`, or the authority is out of
    /// time.
    pub fn issue_client(
        &self,
        request: &CertificateRequest,
        person_name: &str,
        session: SessionId,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        check_person_name(person_name)?;
        let not_after = self.until(now, not_after)?;
        let mut params = params(now, CLIENT_BACKDATE, not_after)?;
        params
            .distinguished_name
            .push(DnType::CommonName, person_name);
        let uri = format!("{SESSION_URI}{session}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(crypto)?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&request.key, &self.issuer)
            .map_err(crypto)?;
        Ok(Issued {
            certificate_pem: certificate.pem(),
            not_after,
            key_digest: request.key_digest().to_owned(),
        })
    }

    /// Reads a client certificate and verifies that this authority signed it: for callers that did
    /// not take it from a TLS handshake, and as a second look for those that did.
    ///
    /// # Errors
    /// As [`ClientCertificate::read`], and also if another authority signed it.
    pub fn read_client(&self, der: &[u8]) -> Result<ClientCertificate, AuthnError> {
        let read = ClientCertificate::read(der)?;
        let foreign = |_| AuthnError::ForeignCertificate;
        let (_, ours) = X509Certificate::from_der(&self.certificate).map_err(foreign)?;
        let (_, theirs) = X509Certificate::from_der(der).map_err(foreign)?;
        if theirs.issuer().as_raw() != ours.subject().as_raw() {
            return Err(AuthnError::ForeignCertificate);
        }
        theirs
            .verify_signature(Some(ours.public_key()))
            .map_err(|_| AuthnError::ForeignCertificate)?;
        Ok(read)
    }

    /// Until when a certificate may hold: never longer than the authority itself.
    fn until(&self, now: Timestamp, wanted: Timestamp) -> Result<Timestamp, AuthorityError> {
        let until = wanted.min(self.not_after);
        if until.as_secs() > now.as_secs() {
            Ok(Timestamp::from_secs(until.as_secs()))
        } else {
            Err(AuthorityError::OutOfTime)
        }
    }
}

/// What all our certificates have in common: a random serial, no names yet, validity.
fn params(
    now: Timestamp,
    backdate: i64,
    not_after: Timestamp,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(serial()?);
    params.not_before = date(now.as_secs().saturating_sub(backdate))?;
    params.not_after = date(not_after.as_secs())?;
    Ok(params)
}

/// 128 random bits, positive.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AuthorityError::Crypto("randomness".into()))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn date(secs: i64) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(secs).map_err(|_| AuthorityError::OutOfTime)
}

/// A DNS name or an IP address; no wildcards.
fn name(text: &str) -> Result<SanType, AuthorityError> {
    let bad = || AuthorityError::BadName(text.chars().take(80).collect());
    match ServerName::try_from(text).map_err(|_| bad())? {
        ServerName::DnsName(dns) => {
            let ascii = dns.as_ref().to_ascii_lowercase();
            Ok(SanType::DnsName(ascii.try_into().map_err(|_| bad())?))
        }
        ServerName::IpAddress(ip) => Ok(SanType::IpAddress(ip.into())),
        _ => Err(bad()),
    }
}

/// RFC 7468, lines of 64.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i % 64 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

fn crypto(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Crypto(error.to_string())
}

/// Why an authority could not be made, taken up or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The stored certificate is damaged or not one certificate.
    #[error("the authority's certificate file is not exactly one PEM certificate")]
    Certificate,
    /// The stored key is damaged.
    #[error("the authority's key file is not a PEM private key")]
    Key,
    /// The stored certificate may not sign others.
    #[error("the authority's certificate is not one of a certificate authority")]
    NotAnAuthority,
    /// Certificate and key do not belong together.
    #[error("the authority's key does not belong to its certificate")]
    KeyMismatch,
    /// A server certificate without names, or with too many.
    #[error("a server certificate needs 1 to {NAMES_LIMIT} names")]
    Names,
    /// A name that a server certificate cannot have.
    #[error("`{0}` is neither a DNS name nor an IP address")]
    BadName(String),
    /// A name that a person cannot have.
    #[error(transparent)]
    Person(#[from] InvalidName),
    /// The certificate would be expired when issued, or the authority itself is.
    #[error("no time is left for the certificate: the session or the authority itself has expired")]
    OutOfTime,
    /// The crypto library failed.
    #[error("cannot make a key or certificate: {0}")]
    Crypto(String),
}

#[cfg(test)]
mod tests;
