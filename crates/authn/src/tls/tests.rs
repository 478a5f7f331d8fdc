use std::io::Cursor;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::*;
use crate::ClientCertificate;
use crate::tests::{Client, HOUR, NOW, authority};

const NAME: &str = "gate.example";

/// A gate's listener and a clock that is moved by hand.
pub(crate) struct Gate {
    pub(crate) authority: Authority,
    pub(crate) keys: Arc<ServerKeys>,
    secs: Arc<AtomicI64>,
    tls: Arc<ServerConfig>,
}

impl Gate {
    pub(crate) fn new(minimum: TlsVersion) -> Self {
        let authority = authority();
        let keys = ServerKeys::new(server_certificate(&authority)).unwrap();
        let secs = Arc::new(AtomicI64::new(NOW.as_secs()));
        let tls = server_tls(&authority, keys.clone(), minimum, clock(&secs)).unwrap();
        Self {
            authority,
            keys,
            secs,
            tls,
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate().clone()).unwrap();
        roots
    }
}

pub(crate) fn server_certificate(authority: &Authority) -> ServerCertificate {
    let ttl = kubestile_core::Ttl::from_secs(86_400);
    authority
        .issue_server(&[NAME.to_owned()], NOW, ttl)
        .unwrap()
}

fn clock(secs: &Arc<AtomicI64>) -> Clock {
    let secs = secs.clone();
    Arc::new(move || Timestamp::from_secs(secs.load(Ordering::SeqCst)))
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn shown(client: &Client) -> Shown {
    let key = PrivateKeyDer::from_pem_slice(client.key.key_pem().expose().as_bytes());
    (vec![client.der()], key.unwrap())
}

fn client_config(gate: &Gate, shown: Option<Shown>) -> ClientConfig {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(Time(clock(&gate.secs))))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .unwrap()
        .with_root_certificates(gate.roots());
    match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

/// Both sides of a connection until neither has anything to say.
pub(crate) fn connect(
    gate: &Gate,
    config: Arc<ClientConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(gate.tls.clone()).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = Cursor::new(bytes);
        while server.read_tls(&mut bytes).unwrap() > 0 {
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = Cursor::new(bytes);
        while client.read_tls(&mut bytes).unwrap() > 0 {
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn try_with(
    gate: &Gate,
    shown: Option<Shown>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    connect(gate, Arc::new(client_config(gate, shown)))
}

#[test]
fn a_client_without_a_certificate_can_connect_to_log_in() {
    let gate = Gate::new(TlsVersion::Tls13);
    let (_, server) = try_with(&gate, None).unwrap();
    assert!(server.peer_certificates().is_none());
    assert_eq!(server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn a_client_shows_its_certificate() {
    for minimum in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let gate = Gate::new(minimum);
        let client = Client::of(&gate.authority);
        let (_, server) = try_with(&gate, Some(shown(&client))).unwrap();
        let chain = server.peer_certificates().unwrap();
        let read = ClientCertificate::read(&chain[0]).unwrap();
        assert_eq!(read.session, client.session.id);
        assert_eq!(read.key_digest, client.session.key_digest);
    }
}

#[test]
fn a_certificate_of_another_authority_ends_the_handshake() {
    let gate = Gate::new(TlsVersion::Tls13);
    let stranger = Client::of(&authority());
    assert!(try_with(&gate, Some(shown(&stranger))).is_err());
}

/// A client's certificate cannot sign another one, nor a server's pass for a client's.
#[test]
fn neither_a_client_nor_a_server_certificate_can_be_misused() {
    let gate = Gate::new(TlsVersion::Tls13);
    let server = server_certificate(&gate.authority);
    assert!(try_with(&gate, Some((server.chain, server.key))).is_err());

    let client = Client::of(&gate.authority);
    let key = rcgen::KeyPair::from_pem(client.key.key_pem().expose()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_der(&client.der(), key).unwrap();
    let own_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let below = params.signed_by(&own_key, &issuer).unwrap();
    let chain = vec![below.der().clone(), client.der()];
    let key = PrivateKeyDer::try_from(own_key.serialize_der()).unwrap();
    assert!(try_with(&gate, Some((chain, key))).is_err());
}

#[test]
fn an_expired_certificate_ends_the_handshake() {
    let gate = Gate::new(TlsVersion::Tls13);
    let client = Client::of(&gate.authority);
    gate.secs
        .store(NOW.plus(HOUR).as_secs() + 1, Ordering::SeqCst);
    let error = try_with(&gate, Some(shown(&client))).unwrap_err();
    assert!(format!("{error:?}").contains("Expired"), "{error:?}");
    assert!(try_with(&gate, None).is_ok(), "it can still log in");
}

/// A certificate with somebody else's key: the copied certificate alone opens nothing.
#[test]
fn a_copied_certificate_without_its_key_ends_the_handshake() {
    #[derive(Debug)]
    struct Mismatched(Arc<CertifiedKey>);
    impl rustls::client::ResolvesClientCert for Mismatched {
        fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let gate = Gate::new(TlsVersion::Tls13);
    let (victim, thief) = (Client::of(&gate.authority), Client::of(&gate.authority));
    let key = provider()
        .key_provider
        .load_private_key(shown(&thief).1)
        .unwrap();
    let pair = CertifiedKey::new(vec![victim.der()], key);
    let mut config = client_config(&gate, None);
    config.client_auth_cert_resolver = Arc::new(Mismatched(Arc::new(pair)));
    assert!(connect(&gate, Arc::new(config)).is_err());
}

/// A resumed session would carry a client certificate past its time.
#[test]
fn sessions_are_never_resumed() {
    for minimum in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let gate = Gate::new(minimum);
        let client = Client::of(&gate.authority);
        let mut config = client_config(&gate, Some(shown(&client)));
        if minimum == TlsVersion::Tls12 {
            config =
                ClientConfig::builder_with_details(provider(), Arc::new(Time(clock(&gate.secs))))
                    .with_protocol_versions(&[&TLS12])
                    .unwrap()
                    .with_root_certificates(gate.roots())
                    .with_client_auth_cert(shown(&client).0, shown(&client).1)
                    .unwrap();
        }
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for _ in 0..3 {
            let (client, server) = connect(&gate, config.clone()).unwrap();
            assert_ne!(client.handshake_kind(), Some(HandshakeKind::Resumed));
            assert_ne!(server.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}

#[test]
fn tls_1_2_needs_its_named_setting() {
    let only_12 = |gate: &Gate| {
        let config =
            ClientConfig::builder_with_details(provider(), Arc::new(Time(clock(&gate.secs))))
                .with_protocol_versions(&[&TLS12])
                .unwrap()
                .with_root_certificates(gate.roots())
                .with_no_client_auth();
        connect(gate, Arc::new(config))
    };
    assert!(only_12(&Gate::new(TlsVersion::Tls13)).is_err());
    assert!(only_12(&Gate::new(TlsVersion::Tls12)).is_ok());
}

#[test]
fn h2_is_preferred_and_other_protocols_are_refused() {
    let gate = Gate::new(TlsVersion::Tls13);
    let offer = |protocols: &[&str]| {
        let mut config = client_config(&gate, None);
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        let (client, _) = connect(&gate, Arc::new(config))?;
        Ok::<_, rustls::Error>(client.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(offer(&["http/1.1", "h2"]).unwrap().unwrap(), b"h2");
    assert_eq!(offer(&["http/1.1"]).unwrap().unwrap(), b"http/1.1");
    assert_eq!(offer(&[]).unwrap(), None);
    assert!(offer(&["ftp"]).is_err());
}

#[test]
fn a_renewed_server_certificate_is_used_at_once() {
    let gate = Gate::new(TlsVersion::Tls13);
    let leaf = |gate: &Gate| {
        let (client, _) = try_with(gate, None).unwrap();
        client.peer_certificates().unwrap()[0].to_vec()
    };
    let before = leaf(&gate);
    let next = server_certificate(&gate.authority);
    let expected = next.chain[0].to_vec();
    gate.keys.replace(next).unwrap();
    assert_ne!(before, expected);
    assert_eq!(leaf(&gate), expected);
    // One whose key is another's is not taken, and the old one stays.
    let mut wrong = server_certificate(&gate.authority);
    wrong.key = server_certificate(&gate.authority).key;
    assert!(gate.keys.replace(wrong).is_err());
    assert_eq!(leaf(&gate), expected);
}
