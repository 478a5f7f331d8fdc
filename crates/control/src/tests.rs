//! The routers in process, with a real store and a real log in a directory of their own.

mod admin;
mod credentials;
mod facts;
mod imports;
mod login;
mod outside;
mod pipelines;
mod renew;
mod sessions;
mod socket;
mod tickets;
mod web;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use kubestile_authn::{Authority, ClientKey, PeerAddress, PeerCertificate};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{Identity, JobFunction, PersonId, SessionId, Timestamp, Ttl};
use kubestile_store::Store;
use kubestile_store::audit::{AuditLog, LogKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::state::ClusterChange;
use crate::{ControlState, Settings, admin_router, router};

const START: i64 = 1_795_500_000;

/// A gate's control plane, with a clock that is moved by hand.
struct Gate {
    dir: tempfile::TempDir,
    store: Store,
    audit: AuditLog,
    authority: Arc<Authority>,
    secs: Arc<AtomicI64>,
    changes: Arc<Mutex<Vec<ClusterChange>>>,
    state: ControlState,
    public: Router,
    admin: Router,
}

impl Gate {
    async fn new() -> Self {
        Self::with(Arc::default()).await
    }

    /// With other people's services.
    async fn with(outside: Arc<crate::Outside>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).await.unwrap();
        let log = dir.path().join("log");
        let key = LogKey::create(&log, "gate.example/audit", &[7; 32]).unwrap();
        let audit = AuditLog::open(&log, key).unwrap();
        let secs = Arc::new(AtomicI64::new(START));
        let authority = Arc::new(Authority::create(Timestamp::from_secs(START)).unwrap());
        let changes = Arc::new(Mutex::new(Vec::new()));
        let (clock, seen) = (secs.clone(), changes.clone());
        let state = ControlState {
            store: store.clone(),
            audit: audit.clone(),
            authority: authority.clone(),
            clock: Arc::new(move || Timestamp::from_secs(clock.load(Ordering::SeqCst))),
            settings: Settings {
                public_url: "https://gate.example:8443/".to_owned(),
                ..Settings::default()
            },
            cluster_changed: Arc::new(move |change| {
                let broken =
                    matches!(&change, ClusterChange::Put(name) if name.as_str() == "broken");
                seen.lock().unwrap().push(change);
                Box::pin(async move {
                    if broken {
                        Err("its authority is no certificate".to_owned())
                    } else {
                        Ok(())
                    }
                })
            }),
            policies: Arc::new({
                let set = kubestile_policy::PolicySet::load(&kubestile_policy::base_sources());
                let set = Arc::new(set.unwrap());
                move || set.clone()
            }),
            outside,
            status: Arc::new(|| json!({ "connections": 3 })),
        };
        Self {
            public: router(state.clone()),
            admin: admin_router(state.clone()),
            state,
            dir,
            store,
            audit,
            authority,
            secs,
            changes,
        }
    }

    fn pass(&self, secs: i64) {
        self.secs.fetch_add(secs, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.secs.load(Ordering::SeqCst))
    }

    /// A person, made behind the control plane's back.
    async fn person(&self, name: &str, functions: &[&str]) -> PersonId {
        let id = PersonId::from_uuid(Uuid::new_v4());
        let function = |f: &&str| f.parse::<JobFunction>().unwrap();
        let identity = Identity {
            name: name.to_owned(),
            id,
            kind: IdentityKind::Person,
            groups: Vec::new(),
            functions: functions.iter().map(function).collect(),
        };
        self.store.add_person(identity).await.unwrap();
        id
    }

    /// A login code for a person, as the administrator makes it.
    async fn code(&self, name: &str) -> String {
        let path = format!("/v1/people/{name}/codes");
        let answer = self.admin(post(&path, &json!({}))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer.body["code"].as_str().unwrap().to_owned()
    }

    /// A person who has logged in.
    async fn client(&self, name: &str, functions: &[&str]) -> Client {
        self.person(name, functions).await;
        self.login(name).await
    }

    /// One more login of a person.
    async fn login(&self, name: &str) -> Client {
        let key = ClientKey::generate().unwrap();
        let code = self.code(name).await;
        let body = json!({ "code": code, "csr": key.csr_pem().unwrap(), "client": "test" });
        let answer = self.public(post("/v1/login", &body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        Client {
            session: answer.body["session"].as_str().unwrap().parse().unwrap(),
            certificate: answer.certificate(),
            key,
        }
    }

    async fn public(&self, request: Builder) -> Answer {
        answer(&self.public, request).await
    }

    async fn admin(&self, request: Builder) -> Answer {
        answer(&self.admin, request).await
    }

    /// All that the log holds, as text.
    fn log(&self) -> String {
        let log = self.dir.path().join("log");
        // What is sealed is moved from the first to the second.
        text_below(&log.join("wal")) + &text_below(&log.join("tile"))
    }

    /// From now on nothing can be recorded.
    async fn break_log(&self) {
        self.audit.clone().close().await.unwrap();
    }
}

fn text_below(dir: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text.push_str(&text_below(&path));
        } else {
            // A file that was sealed away meanwhile is found again under its new name.
            let bytes = std::fs::read(&path).unwrap_or_default();
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    text
}

/// What a login left on the client.
struct Client {
    key: ClientKey,
    session: SessionId,
    certificate: CertificateDer<'static>,
}

/// A request under construction.
struct Builder {
    request: Request<Body>,
}

fn get(path: &str) -> Builder {
    build(Request::get(path), Body::empty())
}

fn post(path: &str, body: &Value) -> Builder {
    let request = Request::post(path).header("content-type", "application/json");
    build(request, Body::from(body.to_string()))
}

fn put(path: &str, body: &Value) -> Builder {
    let request = Request::put(path).header("content-type", "application/json");
    build(request, Body::from(body.to_string()))
}

fn delete(path: &str) -> Builder {
    build(Request::delete(path), Body::empty())
}

fn build(request: http::request::Builder, body: Body) -> Builder {
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(PeerCertificate(None));
    Builder { request }.from("192.0.2.1:4711")
}

impl Builder {
    fn by(mut self, client: &Client) -> Self {
        let certificate = PeerCertificate(Some(client.certificate.clone()));
        self.request.extensions_mut().insert(certificate);
        self
    }

    fn bearer(mut self, token: &str) -> Self {
        let value = format!("Bearer {token}").parse().unwrap();
        self.request.headers_mut().append("authorization", value);
        self
    }

    fn from(mut self, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        self.request.extensions_mut().insert(PeerAddress(address));
        self
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn certificate(&self) -> CertificateDer<'static> {
        let pem = self.body["certificate"].as_str().unwrap();
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    /// The time in a field.
    fn at(&self, field: &str) -> Timestamp {
        let text = json!({ "expires": self.body[field], "token": "" });
        let read: crate::api::TokenAnswer = serde_json::from_value(text).unwrap();
        read.expires
    }
}

async fn answer(router: &Router, request: Builder) -> Answer {
    let response = router.clone().oneshot(request.request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    // Every answer is JSON, refusals of the framework's own included.
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| panic!("{} {}", parts.status, String::from_utf8_lossy(&bytes)));
    assert_eq!(parts.headers["cache-control"], "no-store");
    assert_eq!(parts.headers["content-type"], "application/json");
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

fn secs(secs: u32) -> Ttl {
    Ttl::from_secs(secs)
}
