//! This crate's own small calls to the API server: bounded, on connections of their own, never
//! following a redirect. The requests of people do not come this way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::CallError;
use crate::upstream::{Inner, Live, Upstream};

/// No answer of these calls takes longer.
const LIMIT: Duration = Duration::from_secs(30);
/// No answer of these calls is larger.
const BODY_LIMIT: usize = 32 << 20;
/// Connections kept for the next call.
const KEPT: usize = 4;

/// A call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path and query, from `/api…` on, as it goes on the wire behind the base path.
    pub path: String,
    /// Headers beside `Host`, `Authorization` and `Content-Type`; `Accept` if it is not JSON.
    pub headers: HeaderMap,
    /// Body with its content type.
    pub body: Option<(&'static str, Bytes)>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
    /// What the API server warns of (`Warning: 299 - "text"`), at most 100 lines.
    pub warnings: Vec<String>,
}

impl Call {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    /// A POST of an object.
    pub fn post(path: impl Into<String>, object: &Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(("application/json", object.to_string().into())),
            ..Self::get(path)
        }
    }

    /// A server-side apply of an object.
    pub(crate) fn apply(path: impl Into<String>, object: &Value) -> Self {
        Self {
            method: Method::PATCH,
            // JSON is YAML.
            body: Some(("application/apply-patch+yaml", object.to_string().into())),
            ..Self::get(path)
        }
    }

    /// A DELETE with options.
    pub(crate) fn delete(path: impl Into<String>, options: &Value) -> Self {
        Self {
            method: Method::DELETE,
            body: Some(("application/json", options.to_string().into())),
            ..Self::get(path)
        }
    }

    /// With headers beside the usual ones.
    #[must_use]
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    fn title(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// Warnings kept of an answer.
const WARNINGS: usize = 100;

/// The texts of warnings as Kubernetes sends them: code 299, no agent, a quoted string (RFC 7234).
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(header::WARNING).iter().take(WARNINGS);
    texts
        .filter_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let quoted = text.strip_prefix("299 - \"")?.strip_suffix('"')?;
            let plain = quoted.replace("\\\"", "\"").replace("\\\\", "\\");
            Some(plain.chars().filter(|c| !c.is_control()).collect())
        })
        .collect()
}

impl Upstream {
    /// Sends a small call and gives the answer, whatever its status: at most 32 MiB, within 30 s.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer. A redirect is an answer that cannot be used.
    pub async fn call(&self, call: &Call) -> Result<Answer, CallError> {
        let header = self.authorization().await?;
        self.inner.send(&self.inner.live(), header, call).await
    }

    /// Sends a call as nobody: without a token and without a client certificate.
    ///
    /// # Errors
    /// As [`Upstream::call`].
    pub(crate) async fn call_as_nobody(&self, call: &Call) -> Result<Answer, CallError> {
        let tls = self.inner.live().without_client()?;
        let exchange = self.inner.exchange(&tls.h1, None, call);
        match tokio::time::timeout(LIMIT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Timeout {
                server: self.authority(),
                seconds: LIMIT.as_secs(),
            }),
        }
    }

    /// Sends a call and reads the object of a successful answer.
    ///
    /// # Errors
    /// [`CallError`], among them [`CallError::Refused`] for every status that is not 2xx.
    pub async fn request<T: DeserializeOwned>(&self, call: &Call) -> Result<T, CallError> {
        let answer = self.call(call).await?;
        self.inner.object(call, &answer)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// As [`Upstream::request`].
    pub async fn get_json(&self, path: &str) -> Result<Value, CallError> {
        self.request(&Call::get(path)).await
    }
}

impl Inner {
    /// Sends with a given credential, so that the renewal of a credential can use it.
    pub(crate) async fn send(
        &self,
        live: &Live,
        authorization: Option<HeaderValue>,
        call: &Call,
    ) -> Result<Answer, CallError> {
        let exchange = self.exchange(&live.tls.h1, authorization, call);
        match tokio::time::timeout(LIMIT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Timeout {
                server: self.endpoint.authority(),
                seconds: LIMIT.as_secs(),
            }),
        }
    }

    /// The object of a successful answer.
    pub(crate) fn object<T: DeserializeOwned>(
        &self,
        call: &Call,
        answer: &Answer,
    ) -> Result<T, CallError> {
        if !answer.status.is_success() {
            return Err(CallError::Refused {
                status: answer.status.as_u16(),
                call: call.title(),
                message: message_of(answer),
            });
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.unusable(call, "it is not the JSON that was expected"))
    }

    async fn exchange(
        &self,
        tls: &Arc<ClientConfig>,
        authorization: Option<HeaderValue>,
        call: &Call,
    ) -> Result<Answer, CallError> {
        let mut request = self.build(authorization, call)?;
        // A kept connection may have been closed by the server meanwhile; a fresh one has not.
        while let Some(mut kept) = self.connections.take(tls) {
            match kept.try_send_request(request).await {
                Ok(response) => return self.receive(call, tls, kept, response).await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(error.into_error())),
                },
            }
        }
        let mut fresh = self.connect(tls).await?;
        let response = fresh
            .send_request(request)
            .await
            .map_err(|e| self.broken(e))?;
        self.receive(call, tls, fresh, response).await
    }

    fn build(
        &self,
        authorization: Option<HeaderValue>,
        call: &Call,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let (content_type, body) = match &call.body {
            Some((content_type, body)) => (Some(*content_type), body.clone()),
            None => (None, Bytes::new()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = format!("{}{}", self.endpoint.base_path, call.path)
            .parse()
            .map_err(|_| self.unusable(call, "the path cannot be sent"))?;
        let host = HeaderValue::from_str(&self.endpoint.authority())
            .map_err(|_| self.unusable(call, "the host cannot be sent"))?;
        let headers = request.headers_mut();
        *headers = call.headers.clone();
        headers.insert(header::HOST, host);
        headers
            .entry(header::ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        Ok(request)
    }

    async fn connect(&self, tls: &Arc<ClientConfig>) -> Result<Sender, CallError> {
        let failed = |source| CallError::Connect {
            server: self.endpoint.authority(),
            source,
        };
        let address = (self.endpoint.host.as_str(), self.endpoint.port);
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let stream = TlsConnector::from(tls.clone())
            .connect(self.endpoint.server_name.clone(), stream)
            .await
            .map_err(failed)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.broken(e))?;
        // It ends when the sender is dropped or the server closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an API server broke off");
            }
        });
        Ok(sender)
    }

    async fn receive(
        &self,
        call: &Call,
        tls: &Arc<ClientConfig>,
        sender: Sender,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Answer, CallError> {
        let status = response.status();
        if status.is_redirection() {
            return Err(self.unusable(call, "it redirects, and no redirect is followed"));
        }
        let warnings = warnings(response.headers());
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await
            .map_err(|source| CallError::Exchange {
                server: self.endpoint.authority(),
                source,
            })?
            .to_bytes();
        self.connections.keep(tls, sender);
        Ok(Answer {
            status,
            body,
            warnings,
        })
    }

    fn broken(&self, error: hyper::Error) -> CallError {
        CallError::Exchange {
            server: self.endpoint.authority(),
            source: Box::new(error),
        }
    }

    pub(crate) fn unusable(&self, call: &Call, reason: impl Into<String>) -> CallError {
        CallError::Answer {
            server: self.endpoint.authority(),
            call: call.title(),
            reason: reason.into(),
        }
    }
}

const AGENT: &str = concat!("kubestile/", env!("CARGO_PKG_VERSION"));

type Sender = SendRequest<Full<Bytes>>;

/// Connections that wait for the next call, with the configuration that they were made with.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Vec<(Arc<ClientConfig>, Sender)>>);

impl Connections {
    /// One made with `tls`. Those made with another carry an older identity and are closed.
    fn take(&self, tls: &Arc<ClientConfig>) -> Option<Sender> {
        let mut kept = self.0.lock().unwrap_or_else(|e| e.into_inner());
        kept.retain(|(made_with, sender)| Arc::ptr_eq(made_with, tls) && !sender.is_closed());
        kept.pop().map(|(_, sender)| sender)
    }

    fn keep(&self, tls: &Arc<ClientConfig>, sender: Sender) {
        let mut kept = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if kept.len() < KEPT && !sender.is_closed() {
            kept.push((tls.clone(), sender));
        }
    }
}

/// The `message` of a `metav1.Status`, or the beginning of the text, without control characters.
fn message_of(answer: &Answer) -> String {
    let status: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let message = status
        .as_ref()
        .and_then(|s| s.get("message"))
        .and_then(Value::as_str)
        .map(str::to_owned)
        .unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned());
    let message: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(2000)
        .collect();
    match message.trim() {
        "" => "no message".to_owned(),
        text => text.to_owned(),
    }
}
