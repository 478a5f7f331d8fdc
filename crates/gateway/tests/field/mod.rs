//! A gate in this process with real sockets, before an API server that answers every connection with
//! the same bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubestile_authn::{
    Authority, CertificateRequest, ClientKey, ServerKeys, TlsVersion, server_tls,
};
use kubestile_cluster::Upstream;
use kubestile_core::identity::{Assurance, Identity, IdentityKind};
use kubestile_core::session::Session;
use kubestile_core::{PersonId, SessionId, Timestamp, Ttl};
use kubestile_gateway::{Body, Cluster, ClusterState, Gate, Listener, Settings};
use kubestile_policy::{PolicySet, base_sources};
use kubestile_store::Store;
use kubestile_store::audit::{AuditLog, LogKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const SESSION: SessionId = SessionId::from_uuid(uuid::Uuid::from_u128(2));

/// The gate, the API server behind it, and ana, who is an operator in `shop`.
pub(crate) struct Field {
    address: SocketAddr,
    client: Arc<rustls::ClientConfig>,
    requests: Arc<Mutex<Vec<String>>>,
    gate: Arc<Gate>,
    _dir: tempfile::TempDir,
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

impl Field {
    /// Everything set up; the API server answers `answer` to whatever comes.
    pub(crate) async fn with_answer(answer: &str) -> Self {
        Self::new(answer, false, Settings::default()).await
    }

    /// The same, but the API server then keeps the connection open and says no more.
    pub(crate) async fn with_open_answer(answer: &str) -> Self {
        Self::new(answer, true, Settings::default()).await
    }

    /// The same, behind a gate with other settings.
    pub(crate) async fn with_settings(answer: &str, settings: Settings) -> Self {
        Self::new(answer, true, settings).await
    }

    async fn new(answer: &str, open: bool, settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(now()).unwrap();
        let requests = Arc::default();
        let upstream = upstream(&authority, answer.to_owned(), open, Arc::clone(&requests)).await;
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config(upstream.port(), &authority)).unwrap();
        let upstream = Upstream::from_kubeconfig(Some(&kubeconfig), None)
            .await
            .unwrap();

        let store = Store::open(&dir.path().join("state")).await.unwrap();
        let log = dir.path().join("audit");
        std::fs::create_dir_all(&log).unwrap();
        let key = LogKey::create(&log, "gate.example.com/test", &[7; 32]).unwrap();
        let audit = AuditLog::open(&log, key).unwrap();
        let policies = PolicySet::load(&base_sources()).unwrap();
        let gate = Gate::new(store, audit, policies, settings, Arc::new(now));
        let name = "prod".parse().unwrap();
        let cluster = Cluster::new(name, Arc::new(upstream), PATIENCE);
        cluster.set_state(ClusterState::Serving);
        gate.clusters.put(Arc::new(cluster));

        let client = ana(&gate, &authority).await;
        let address = serve(&gate, &authority).await;
        Self {
            address,
            client,
            requests,
            gate,
            _dir: dir,
        }
    }

    /// A connection of ana's to the gate.
    pub(crate) async fn connect(&self) -> Client {
        Client(self.dial(self.client.clone()).await.unwrap())
    }

    /// A connection that the gate may refuse.
    pub(crate) async fn try_connect(&self) -> Option<Client> {
        self.dial(self.client.clone()).await.ok().map(Client)
    }

    /// An HTTP/2 connection of ana's to the gate, to be driven by the test.
    pub(crate) async fn connect_h2(&self) -> TlsStream<TcpStream> {
        let mut config = rustls::ClientConfig::clone(&self.client);
        config.alpn_protocols = vec![b"h2".to_vec()];
        self.dial(Arc::new(config)).await.unwrap()
    }

    async fn dial(
        &self,
        config: Arc<rustls::ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
        TlsConnector::from(config).connect(name, tcp).await
    }

    /// Ends ana's session.
    pub(crate) async fn end_session(&self) {
        let reason = kubestile_core::session::EndReason::EndedBy("a test".into());
        assert!(
            self.gate
                .store
                .end_session(SESSION, reason, now())
                .await
                .unwrap()
        );
    }

    /// Waits until a request has reached the API server.
    pub(crate) async fn upstream_was_asked(&self) {
        let asked = async {
            while self.upstream_requests().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .expect("a request upstream");
    }

    /// What the API server has received, one text a connection.
    pub(crate) fn upstream_requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.gate.draining.cancel();
        self.gate.closing.cancel();
    }
}

/// An API server that says the same to everybody, and keeps what it was asked.
async fn upstream(
    authority: &Authority,
    answer: String,
    open: bool,
    requests: Arc<Mutex<Vec<String>>>,
) -> SocketAddr {
    let certificate = authority
        .issue_server(&["127.0.0.1".to_owned()], now(), Ttl::from_secs(3600))
        .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificate.chain, certificate.key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, answer, requests) = (acceptor.clone(), answer.clone(), requests.clone());
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                    match tls.read(&mut buffer).await {
                        Ok(n @ 1..) => head.extend_from_slice(&buffer[..n]),
                        _ => return,
                    }
                }
                requests
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head).into_owned());
                let _ = tls.write_all(answer.as_bytes()).await;
                if open {
                    let _ = tls.flush().await;
                    while let Ok(1..) = tls.read(&mut buffer).await {}
                }
                let _ = tls.shutdown().await;
            });
        }
    });
    address
}

fn config(port: u16, authority: &Authority) -> String {
    use base64::Engine;
    let ca = base64::engine::general_purpose::STANDARD.encode(authority.pem());
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', \
         certificate-authority-data: {ca}}}}}]\n\
         users: [{{name: u, user: {{token: upstream-token}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    )
}

/// Ana's session, and a TLS configuration that shows her certificate.
async fn ana(gate: &Gate, authority: &Authority) -> Arc<rustls::ClientConfig> {
    let identity = Identity {
        name: "ana".into(),
        id: PersonId::from_uuid(uuid::Uuid::from_u128(1)),
        kind: IdentityKind::Person,
        groups: Vec::new(),
        functions: vec!["viewer".parse().unwrap(), "operator:shop".parse().unwrap()],
    };
    gate.store.add_person(identity.clone()).await.unwrap();
    let key = ClientKey::generate().unwrap();
    let request = CertificateRequest::read(&key.csr_pem().unwrap()).unwrap();
    let id = SESSION;
    let until = now().plus(Ttl::from_secs(600));
    let issued = authority
        .issue_client(&request, "ana", id, now(), until)
        .unwrap();
    let session = Session {
        id,
        identity,
        assurance: Assurance::Code,
        key_digest: issued.key_digest,
        client: "test".into(),
        created: now(),
        expires: until,
        ended: None,
    };
    gate.store.create_session(session).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.key_pem().expose().as_bytes()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

async fn serve(gate: &Arc<Gate>, authority: &Authority) -> SocketAddr {
    let certificate = authority
        .issue_server(&["127.0.0.1".to_owned()], now(), Ttl::from_secs(3600))
        .unwrap();
    let keys = ServerKeys::new(certificate).unwrap();
    let tls = server_tls(authority, keys, TlsVersion::Tls13, Arc::new(now)).unwrap();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let control: kubestile_gateway::accept::Control = Arc::new(|_| {
        Box::pin(async {
            let mut response = http::Response::new(Body::empty());
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            response
        })
    });
    tokio::spawn(kubestile_gateway::serve(
        gate.clone(),
        Listener { tcp, tls },
        control,
    ));
    address
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// One connection to the gate.
pub(crate) struct Client(TlsStream<TcpStream>);

impl Client {
    /// Sends bytes as they are; a gate that has closed already is not an error here.
    pub(crate) async fn send(&mut self, text: &str) {
        let _ = self.0.write_all(text.as_bytes()).await;
    }

    /// Reads until `text` has come.
    pub(crate) async fn read_until(&mut self, text: &str) {
        let mut seen = String::new();
        let read = async {
            let mut buffer = [0; 4096];
            while !seen.contains(text) {
                match self.0.read(&mut buffer).await {
                    Ok(n @ 1..) => seen.push_str(&String::from_utf8_lossy(&buffer[..n])),
                    _ => panic!("closed after {seen:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer");
    }

    /// Everything until the gate closes.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = self.0.read(&mut buffer).await {
                bytes.extend_from_slice(&buffer[..n]);
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the gate closes the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One answer with a Content-Length.
    pub(crate) async fn read_answer(&mut self) -> String {
        let mut text = String::new();
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = self.0.read(&mut buffer).await {
                text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                if is_whole(&text) {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer");
        text
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.to_ascii_lowercase().lines().find_map(|l| {
        l.strip_prefix("content-length: ")
            .and_then(|v| v.trim().parse::<usize>().ok())
    });
    length.is_some_and(|length| body.len() >= length)
}
