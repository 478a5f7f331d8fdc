//! Against a TLS server in this process, with real sockets.

use std::sync::Mutex as StdMutex;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::error::CallError;
use crate::exec::{Exec, Interactive};

/// What the server saw of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: String,
    authorization: Option<String>,
    /// SHA-free fingerprint: the client certificate itself.
    certificate: Option<Vec<u8>>,
    connection: usize,
}

struct Pki {
    issuer: Issuer<'static, KeyPair>,
    ca_pem: String,
    ca_der: CertificateDer<'static>,
}

struct Server {
    port: u16,
    pki: Pki,
    seen: Arc<StdMutex<Vec<Seen>>>,
}

type Answer = (u16, String);

impl Pki {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        Self {
            ca_pem: ca.pem(),
            ca_der: ca.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

impl Server {
    async fn start(answer: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let pki = Pki::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(StdMutex::new(Vec::new()));
        let acceptor = acceptor(&pki);
        let (answer, log) = (Arc::new(answer), seen.clone());
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answer, log) = (acceptor.clone(), answer.clone(), log.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let certificate = stream.get_ref().1.peer_certificates();
                    let certificate = certificate.map(|chain| chain[0].to_vec());
                    let service = service_fn(move |request: http::Request<_>| {
                        let _: &hyper::body::Incoming = request.body();
                        let header = request.headers().get("authorization");
                        let seen = Seen {
                            path: request.uri().to_string(),
                            authorization: header.map(|v| v.to_str().unwrap().to_owned()),
                            certificate: certificate.clone(),
                            connection,
                        };
                        let mut log = log.lock().unwrap();
                        log.push(seen.clone());
                        let (status, body) = answer(&seen, log.len());
                        let mut response = Response::new(Full::new(Bytes::from(body)));
                        *response.status_mut() = StatusCode::from_u16(status).unwrap();
                        if response.status().is_redirection() {
                            let target = "https://127.0.0.1:1/".parse().unwrap();
                            response.headers_mut().insert("location", target);
                        }
                        async { Ok::<_, std::convert::Infallible>(response) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { port, pki, seen }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    async fn client(&self, identity: Identity) -> Upstream {
        let source = Source {
            authority: Authority::Pem(Pem::Inline(self.pki.ca_pem.clone().into_bytes().into())),
            identity,
        };
        let endpoint = Endpoint::parse(&self.url(), None).unwrap();
        Upstream::from_source(endpoint, source).await.unwrap()
    }

    fn account(&self, token: &str, expires: Timestamp) -> Upstream {
        let credential = AccountCredential {
            server: self.url(),
            ca_pem: Some(self.pki.ca_pem.clone()),
            tls_server_name: None,
            token: Secret::new(token.to_owned()),
            expires: Some(expires),
        };
        Upstream::from_account(&credential, Ttl::from_secs(3600)).unwrap()
    }
}

fn acceptor(pki: &Pki) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject as _;
    let (chain, key) = pki.issue("127.0.0.1");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.ca_der.clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn ok(_: &Seen, _: usize) -> Answer {
    (200, "{}".to_owned())
}

fn token(text: &str) -> Identity {
    Identity::Token(Secret::new(text.to_owned()))
}

/// A TokenRequest's answer.
fn fresh(token: &str, lifetime: u32) -> String {
    let at = now().plus(Ttl::from_secs(lifetime)).rfc3339();
    format!(r#"{{"status":{{"token":"{token}","expirationTimestamp":"{at}"}}}}"#)
}

fn plugin(script: String) -> Identity {
    Identity::Exec(Box::new(Exec {
        command: "/bin/sh".into(),
        args: vec!["-c".into(), script],
        env: Vec::new(),
        api_version: "client.authentication.k8s.io/v1".into(),
        interactive: Interactive::Never,
        cluster: None,
        install_hint: None,
    }))
}

async fn header(upstream: &Upstream) -> String {
    let value = upstream.authorization().await.unwrap().unwrap();
    assert!(value.is_sensitive());
    value.to_str().unwrap().to_owned()
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn calls_share_a_connection_and_carry_the_credential() {
    let server = Server::start(ok).await;
    let upstream = server.client(token("t-1")).await;
    for path in ["/api", "/apis?x=1"] {
        upstream.get_json(path).await.unwrap();
    }
    let seen = server.seen();
    assert_eq!(seen[0].path, "/api");
    assert_eq!(seen[1].path, "/apis?x=1");
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer t-1"));
    assert_eq!(seen[0].connection, seen[1].connection);
    assert_eq!(upstream.tls_h1().alpn_protocols, [b"http/1.1".to_vec()]);
    assert_eq!(
        upstream.tls_h2().alpn_protocols,
        [b"h2".to_vec(), b"http/1.1".to_vec()]
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_refusal_says_what_the_server_said() {
    let server = Server::start(|seen, _| match seen.path.as_str() {
        "/away" => (302, String::new()),
        "/no" => (
            403,
            r#"{"kind":"Status","message":"pods is\u001b[31m forbidden"}"#.to_owned(),
        ),
        "/odd" => (200, "<html>".to_owned()),
        _ => (500, String::new()),
    })
    .await;
    let upstream = server.client(token("t")).await;
    let away = upstream.get_json("/away").await.unwrap_err();
    assert!(matches!(away, CallError::Answer { .. }), "{away}");
    assert_eq!(server.seen().len(), 1);
    let no = upstream.get_json("/no").await.unwrap_err();
    assert_eq!(no.status(), Some(403));
    assert!(no.to_string().ends_with("pods is [31m forbidden"), "{no}");
    let odd = upstream.get_json("/odd").await.unwrap_err();
    assert!(matches!(odd, CallError::Answer { .. }), "{odd}");
    let empty = upstream.get_json("/other").await.unwrap_err();
    assert!(empty.to_string().contains("500"), "{empty}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused_unless_the_kubeconfig_says_so() {
    let (server, other) = (Server::start(ok).await, Server::start(ok).await);
    let connect = async |authority| {
        let source = Source {
            authority,
            identity: token("t"),
        };
        let endpoint = Endpoint::parse(&server.url(), None).unwrap();
        let upstream = Upstream::from_source(endpoint, source).await.unwrap();
        upstream.get_json("/api").await
    };
    let wrong = Pem::Inline(other.pki.ca_pem.clone().into_bytes().into());
    let error = connect(Authority::Pem(wrong)).await.unwrap_err();
    assert!(matches!(error, CallError::Connect { .. }), "{error}");
    assert!(server.seen().is_empty());
    connect(Authority::Anybody).await.unwrap();
}

#[tokio::test]
async fn basic_credentials_are_encoded() {
    let server = Server::start(ok).await;
    let identity = Identity::Basic {
        user: "ana".into(),
        password: Secret::new("hunter2".into()),
    };
    let upstream = server.client(identity).await;
    assert_eq!(header(&upstream).await, "Basic YW5hOmh1bnRlcjI=");
}

#[tokio::test]
async fn a_token_file_is_read_again_and_its_last_token_survives_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "one\n").unwrap();
    let server = Server::start(ok).await;
    let upstream = server.client(Identity::TokenFile(path.clone())).await;
    assert_eq!(header(&upstream).await, "Bearer one");
    std::fs::write(&path, " two ").unwrap();
    assert_eq!(
        header(&upstream).await,
        "Bearer one",
        "not on every request"
    );
    let tls = upstream.tls_h1();
    upstream.inner.renew_now(now()).await.unwrap();
    assert_eq!(header(&upstream).await, "Bearer two");
    assert!(
        Arc::ptr_eq(&tls, &upstream.tls_h1()),
        "a new token is no new TLS identity"
    );
    std::fs::remove_file(&path).unwrap();
    let error = upstream.inner.renew_now(now()).await.unwrap_err();
    assert!(error.to_string().contains("token"), "{error}");
    assert_eq!(header(&upstream).await, "Bearer two");
    for bad in ["", "  \n", "a\u{7f}b"] {
        std::fs::write(&path, bad).unwrap();
        assert!(upstream.inner.renew_now(now()).await.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_renewed_client_certificate_makes_a_new_configuration_and_new_connections() {
    let server = Server::start(ok).await;
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("c.crt"), dir.path().join("c.key"));
    let write = |(cert, private): (String, String)| {
        std::fs::write(&chain, cert).unwrap();
        std::fs::write(&key, private).unwrap();
    };
    write(server.pki.issue("one"));
    let identity = Identity::Certificate {
        chain: Pem::File(chain.clone()),
        key: Pem::File(key.clone()),
    };
    let upstream = server.client(identity).await;
    assert_eq!(upstream.authorization().await.unwrap(), None);
    upstream.get_json("/api").await.unwrap();
    let before = upstream.tls_h2();
    upstream.inner.renew_now(now()).await.unwrap();
    assert!(Arc::ptr_eq(&before, &upstream.tls_h2()), "nothing changed");
    write(server.pki.issue("two"));
    upstream.inner.renew_now(now()).await.unwrap();
    assert!(!Arc::ptr_eq(&before, &upstream.tls_h2()));
    upstream.get_json("/api").await.unwrap();
    let seen = server.seen();
    assert!(seen[0].certificate.is_some() && seen[1].certificate.is_some());
    assert_ne!(seen[0].certificate, seen[1].certificate);
    assert_ne!(seen[0].connection, seen[1].connection);
    // Half a rotation: a certificate that does not go with the key is not taken.
    std::fs::write(&chain, server.pki.issue("three").0).unwrap();
    let error = upstream.inner.renew_now(now()).await.unwrap_err();
    assert!(error.to_string().contains("client certificate"), "{error}");
    upstream.get_json("/api").await.unwrap();
}

#[tokio::test]
async fn a_plugin_is_asked_again_when_what_it_gave_expires() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    let expiry = |seconds: i64| {
        let at = now().as_secs() + seconds;
        Timestamp::from_secs(at).rfc3339()
    };
    // The first answer has expired, later ones hold.
    let script = format!(
        r#"n=$(wc -c 2>/dev/null < {c} || echo 0); printf x >> {c}; t={later}; [ $n = 0 ] && t={past}
        printf '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"t-%s","expirationTimestamp":"%s"}}}}' $n $t"#,
        c = count.display(),
        later = expiry(3600),
        past = expiry(-5),
    );
    let server = Server::start(ok).await;
    let upstream = server.client(plugin(script)).await;
    let asked = || std::fs::read(&count).unwrap().len();
    assert_eq!(asked(), 1);
    let at_once: Vec<_> = (0..8).map(|_| header(&upstream)).collect();
    for value in futures_util::future::join_all(at_once).await {
        assert_eq!(value, "Bearer t-1", "an expired token is never given");
    }
    assert_eq!(asked(), 2, "eight callers, one question");
    assert_eq!(header(&upstream).await, "Bearer t-1");
    upstream.invalidate();
    assert_eq!(
        header(&upstream).await,
        "Bearer t-1",
        "renewed a moment ago: calm"
    );
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn a_plugin_that_fails_is_not_asked_by_every_request() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    let past = Timestamp::from_secs(1).rfc3339();
    let script = format!(
        r#"printf x >> {c}; [ -s {c}.first ] && exit 7; printf x > {c}.first
        printf '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"t","expirationTimestamp":"{past}"}}}}'"#,
        c = count.display(),
    );
    let server = Server::start(ok).await;
    let upstream = server.client(plugin(script)).await;
    for _ in 0..5 {
        let error = upstream.authorization().await.unwrap_err();
        assert!(error.to_string().contains("exit status: 7"), "{error}");
    }
    assert_eq!(std::fs::read(&count).unwrap().len(), 2);
}

#[tokio::test]
async fn a_plugin_may_give_a_client_certificate() {
    let server = Server::start(ok).await;
    let (chain, key) = server.pki.issue("plugin");
    let reply = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": { "clientCertificateData": chain, "clientKeyData": key },
    });
    let upstream = server
        .client(plugin(format!("cat <<'E'\n{reply}\nE")))
        .await;
    upstream.get_json("/api").await.unwrap();
    assert!(server.seen()[0].certificate.is_some());
}

#[tokio::test]
async fn the_account_renews_its_token_with_the_one_it_has() {
    let server = Server::start(|seen, _| match seen.path.ends_with("/token") {
        true => (201, fresh("two", 3600)),
        false => (200, "{}".to_owned()),
    })
    .await;
    // A third of its hour is over: due, but still good.
    let upstream = server.account("one", now().plus(Ttl::from_secs(2000)));
    let mut renewals = upstream.renewals();
    assert_eq!(
        header(&upstream).await,
        "Bearer one",
        "nobody waits for a renewal"
    );
    renewals.changed().await.unwrap();
    let renewed = renewals.borrow().clone().unwrap();
    assert_eq!(renewed.token.expose(), "two");
    eventually("the new token", async || {
        header(&upstream).await == "Bearer two"
    })
    .await;
    let seen = server.seen();
    assert_eq!(
        seen[0].path,
        "/api/v1/namespaces/kubestile-system/serviceaccounts/kubestile-gate/token"
    );
    assert_eq!(seen[0].authorization.as_deref(), Some("Bearer one"));
    assert_eq!(seen.len(), 1, "once");
}

#[tokio::test]
async fn keep_fresh_renews_without_any_request() {
    let server = Server::start(|_, _| (201, fresh("two", 3600))).await;
    let upstream = server.account("one", now().plus(Ttl::from_secs(2000)));
    let mut renewals = upstream.renewals();
    tokio::select! {
        () = upstream.keep_fresh() => {}
        changed = renewals.changed() => changed.unwrap(),
    }
    assert_eq!(header(&upstream).await, "Bearer two");
}

#[tokio::test]
async fn an_expired_account_token_says_what_to_do() {
    let server = Server::start(|_, _| (401, r#"{"message":"Unauthorized"}"#.to_owned())).await;
    let upstream = server.account("hunter2", now());
    for _ in 0..3 {
        let error = upstream.authorization().await.unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, CredentialError::Expired { .. }),
            "{message}"
        );
        assert!(message.contains("kubestile cluster add"), "{message}");
        assert!(message.contains("Unauthorized"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert_eq!(server.seen().len(), 1, "not on every request");
}

#[tokio::test]
async fn a_token_that_only_our_clock_calls_expired_renews_itself() {
    let server = Server::start(|_, _| (201, fresh("two", 3600))).await;
    let upstream = server.account("one", Timestamp::from_secs(1));
    assert_eq!(header(&upstream).await, "Bearer two");
}

#[tokio::test]
async fn a_refused_credential_is_renewed_before_its_next_use() {
    let server = Server::start(|_, n| (201, fresh(&format!("t-{n}"), 3600))).await;
    let upstream = server.account("one", now().plus(Ttl::from_secs(3600)));
    assert_eq!(header(&upstream).await, "Bearer one");
    upstream.invalidate();
    assert_eq!(header(&upstream).await, "Bearer t-1");
    upstream.invalidate();
    assert_eq!(
        header(&upstream).await,
        "Bearer t-1",
        "calm after a renewal"
    );
}

#[tokio::test]
async fn a_token_of_ten_minutes_is_renewed_in_time_too() {
    let server = Server::start(|_, n| (201, fresh(&format!("t-{n}"), 600))).await;
    let upstream = server.account("one", Timestamp::from_secs(1));
    assert_eq!(header(&upstream).await, "Bearer t-1");
    let live = upstream.inner.live();
    let due = live.fresh_until.since(now()).as_secs();
    assert!((190..=200).contains(&due), "after a third, in {due} s");
}

#[tokio::test]
async fn a_pod_uses_its_own_account_and_follows_a_new_authority() {
    let (server, other) = (Server::start(ok).await, Server::start(ok).await);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "pod").unwrap();
    let port = server.port.to_string();
    let error = Upstream::from_pod("127.0.0.1", &port, dir.path()).await;
    assert!(matches!(error.err().unwrap(), ClusterError::Credential(_)));
    std::fs::write(dir.path().join("ca.crt"), &other.pki.ca_pem).unwrap();
    let upstream = Upstream::from_pod("127.0.0.1", &port, dir.path())
        .await
        .unwrap();
    assert!(
        upstream.get_json("/api").await.is_err(),
        "the old authority"
    );
    let both = format!("{}{}", other.pki.ca_pem, server.pki.ca_pem);
    std::fs::write(dir.path().join("ca.crt"), both).unwrap();
    upstream.inner.renew_now(now()).await.unwrap();
    upstream.get_json("/api").await.unwrap();
    assert_eq!(
        server.seen()[0].authorization.as_deref(),
        Some("Bearer pod")
    );
    let v6 = Upstream::from_pod("::1", &port, dir.path()).await.unwrap();
    assert_eq!(v6.server(), format!("https://[::1]:{port}"));
}
