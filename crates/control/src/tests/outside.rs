//! Somebody else's services on this machine: a system of tickets, an issuer of tokens, a webhook.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::{Outside, OutsideConfig};

/// What the services say, and what they were told.
#[derive(Default)]
struct Said {
    ticket: Mutex<Option<Value>>,
    asked: std::sync::atomic::AtomicUsize,
    messages: Mutex<Vec<Value>>,
}

pub(super) struct Place {
    url: String,
    said: Arc<Said>,
    key: Arc<Ed25519KeyPair>,
    secret: tempfile::NamedTempFile,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Place {
    pub(super) async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let said: Arc<Said> = Arc::default();
        let key = Arc::new(Ed25519KeyPair::generate().unwrap());
        let (shared, keys, issuer) = (said.clone(), key.clone(), url.clone());
        let app = Router::new().fallback(async move |request: Request| {
            answer_as(&shared, &keys, &issuer, request).await
        });
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "hunter2\n").unwrap();
        Self {
            url,
            said,
            key,
            secret,
            task: tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }),
        }
    }

    /// A gate that is set up with all of them.
    pub(super) async fn gate(&self) -> Gate {
        self.gate_with(json!([])).await
    }

    /// With these rules for pipelines.
    pub(super) async fn gate_with(&self, rules: Value) -> Gate {
        let system = json!({
            "name": "desk", "kind": "generic", "url": self.url,
            "credentialFile": self.secret.path(), "accept": ["DESK-*"], "openStates": ["open"],
            "login": "{person}", "pollSeconds": 30, "timeoutSeconds": 5,
            "namespaces": { "label": "namespace:", "optional": true },
            "webhook": { "secretFile": self.secret.path() },
            "fields": {
                "path": "/tickets/{id}", "id": "/id", "state": "/state", "assignees": ["/owner"],
                "labels": "/labels",
            },
        });
        let channel = json!({
            "name": "hook", "kind": "webhook", "url": format!("{}/hook", self.url),
            "secretFile": self.secret.path(),
        });
        let issuer = json!({ "name": "ci", "issuer": self.url, "audiences": ["kubestile"] });
        let read = |value: Value| serde_json::from_value(value).unwrap();
        let config = OutsideConfig {
            tickets: vec![read(system)],
            channels: vec![serde_json::from_value(channel).unwrap()],
            issuers: vec![serde_json::from_value(issuer).unwrap()],
            rules: serde_json::from_value(rules).unwrap(),
            people: [("ana-h".to_owned(), "ana".to_owned())].into(),
            ..OutsideConfig::default()
        };
        let outside = Outside::new(config).unwrap();
        let mut gate = Gate::with(Arc::new(outside)).await;
        gate.state.settings.configured_clusters = vec!["prod".parse().unwrap()];
        gate.public = router(gate.state.clone());
        gate
    }

    /// What the system says of every ticket; `None`: 503.
    pub(super) fn ticket(&self, state: &str, owner: &str, labels: &[&str]) {
        let ticket = json!({ "state": state, "owner": owner, "labels": labels });
        *self.said.ticket.lock().unwrap() = Some(ticket);
    }

    /// How often a ticket was asked for.
    pub(super) fn asked(&self) -> usize {
        self.said.asked.load(Ordering::SeqCst)
    }

    pub(super) fn breaks(&self) {
        *self.said.ticket.lock().unwrap() = None;
    }

    /// The messages of a kind that arrived.
    pub(super) fn messages(&self, kind: &str) -> Vec<Value> {
        let messages = self.said.messages.lock().unwrap();
        messages
            .iter()
            .filter(|m| m["kind"] == kind)
            .cloned()
            .collect()
    }

    /// A token in the shape of GitHub's, with some claims changed.
    pub(super) fn token(&self, over: &Value) -> String {
        let mut claims = json!({
            "iss": self.url, "sub": "repo:acme/shop:ref:refs/heads/main", "aud": "kubestile",
            "jti": Uuid::new_v4(), "iat": START - 10, "exp": START + 600,
            "repository": "acme/shop", "ref": "refs/heads/main", "run_id": 77, "actor": "ana-h",
        });
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A webhook about a ticket, signed at `now` with a key.
    pub(super) fn webhook(&self, ticket: &str, key: &str, now: Timestamp) -> Builder {
        let body = json!({ "ticket": ticket }).to_string();
        let time = now.as_secs();
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let signature = hmac::sign(&key, format!("{time}.{body}").as_bytes());
        let hex: String = signature
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let request = Request::post("/v1/webhooks/desk")
            .header("x-kubestile-timestamp", time)
            .header("x-kubestile-signature", format!("v1={hex}"));
        build(request, Body::from(body))
    }
}

async fn answer_as(said: &Said, key: &Ed25519KeyPair, issuer: &str, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(id) = path.strip_prefix("/tickets/") {
        let ticket = said.ticket.lock().unwrap().clone();
        said.asked.fetch_add(1, Ordering::SeqCst);
        return match ticket {
            Some(mut ticket) => {
                ticket["id"] = id.into();
                axum::Json(ticket).into_response()
            }
            None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
    }
    match path.as_str() {
        "/.well-known/openid-configuration" => {
            let jwks = format!("{issuer}/jwks");
            axum::Json(json!({ "issuer": issuer, "jwks_uri": jwks })).into_response()
        }
        "/jwks" => {
            let x = URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
            let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x });
            axum::Json(json!({ "keys": [key] })).into_response()
        }
        "/hook" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let message = serde_json::from_slice(&body).unwrap();
            said.messages.lock().unwrap().push(message);
            StatusCode::OK.into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Waits until something holds, for at most half a minute.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets time pass until something holds.
pub(super) async fn pass_until(gate: &Gate, what: &str, holds: impl Fn() -> bool) {
    until(what, || {
        let done = holds();
        if !done {
            gate.pass(1);
        }
        done
    })
    .await;
}

/// Keeps a gate, until it is dropped.
pub(super) struct Kept(tokio::task::JoinHandle<()>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn keep(gate: &Gate) -> Kept {
    Kept(tokio::spawn(crate::keep(gate.state.clone())))
}

/// A request for a grant in the namespace `shop`.
pub(super) fn ask(client: &Client, role: &str, ticket: Option<&str>) -> Builder {
    let body = json!({
        "role": role, "cluster": "prod", "namespaces": ["shop"], "seconds": 3600,
        "reason": "the shop is down", "ticket": ticket,
    });
    post("/v1/access", &body).by(client)
}
