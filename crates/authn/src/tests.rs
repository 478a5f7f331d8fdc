//! What several files' tests need: an authority, a client, a session.

use kubestile_core::identity::IdentityKind;
use kubestile_core::session::Session;
use kubestile_core::{Assurance, Identity, PersonId, SessionId, Timestamp, Ttl};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use uuid::Uuid;

use crate::{Authority, CertificateRequest, ClientKey, Issued};

/// 2026-11-24, on a whole second.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_500_000);

pub(crate) const HOUR: Ttl = Ttl::from_secs(3600);

pub(crate) fn authority() -> Authority {
    Authority::create(NOW).unwrap()
}

pub(crate) fn session_id(n: u128) -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn identity() -> Identity {
    Identity {
        name: "ana@example.com".to_owned(),
        id: PersonId::from_uuid(Uuid::from_u128(7)),
        kind: IdentityKind::Person,
        groups: Vec::new(),
        functions: Vec::new(),
    }
}

/// A client with a key, its session, and a certificate of an hour.
pub(crate) struct Client {
    pub(crate) key: ClientKey,
    pub(crate) session: Session,
    pub(crate) issued: Issued,
}

impl Client {
    pub(crate) fn of(authority: &Authority) -> Self {
        let key = ClientKey::generate().unwrap();
        let request = CertificateRequest::read(&key.csr_pem().unwrap()).unwrap();
        let id = session_id(1);
        let until = NOW.plus(HOUR);
        let issued = authority
            .issue_client(&request, "ana@example.com", id, NOW, until)
            .unwrap();
        let session = Session {
            id,
            identity: identity(),
            assurance: Assurance::Code,
            key_digest: issued.key_digest.clone(),
            client: String::new(),
            created: NOW,
            expires: NOW.plus(Ttl::from_secs(8 * 3600)),
            ended: None,
        };
        Self {
            key,
            session,
            issued,
        }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        der(&self.issued.certificate_pem)
    }
}

pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}
