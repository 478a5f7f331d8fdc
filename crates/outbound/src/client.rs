//! One HTTPS client for all foreign services: HTTP/1.1, a connection per call, every wait and every
//! answer bounded, no redirect followed, no proxy.
//!
//! An address that a name resolves to is looked at before it is connected to (see [`address`]), and
//! exactly that address is connected to: a name that is changed in between changes nothing.

pub mod address;
mod error;
mod tls;
mod url;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use kubestile_core::{Secret, Ttl};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use error::{CallError, TrustError};
pub(crate) use tls::certificates;
pub use url::{InvalidUrl, ServiceUrl};

/// How long things may take and how large an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Resolving, connecting and the TLS handshake, together.
    pub connect: Duration,
    /// The whole exchange, connecting included.
    pub total: Duration,
    /// The answer's body, in bytes.
    pub body: usize,
}

impl Limits {
    /// 5 s to connect, 10 s in all, 1 MiB.
    pub const USUAL: Self = Self {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(10),
        body: 1 << 20,
    };
}

/// A client with its trust and its limits. Cloning is cheap.
#[derive(Clone)]
pub struct Client {
    tls: Arc<ClientConfig>,
    limits: Limits,
}

/// A call to be made.
pub struct Call<'a> {
    /// Method.
    pub method: Method,
    /// The service.
    pub url: &'a ServiceUrl,
    /// What follows the service's own path: `/rest/api/2/issue/OPS-12?fields=status`.
    pub path: String,
    /// Headers beside `Host` and `User-Agent`.
    pub headers: HeaderMap,
    /// Body; its type is in the headers.
    pub body: Bytes,
}

impl<'a> Call<'a> {
    /// A GET that wants JSON.
    pub fn get(url: &'a ServiceUrl, path: impl Into<String>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            method: Method::GET,
            url,
            path: path.into(),
            headers,
            body: Bytes::new(),
        }
    }

    /// A POST of JSON to the service's own path.
    pub fn post(url: &'a ServiceUrl, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Self {
            method: Method::POST,
            url,
            path: String::new(),
            headers,
            body: body.into(),
        }
    }

    /// With a header whose value is public.
    ///
    /// # Errors
    /// [`CallError::Unsendable`] when the value has a character that a header cannot have.
    pub fn with(mut self, name: HeaderName, value: &str) -> Result<Self, CallError> {
        let value = HeaderValue::from_str(value).map_err(|_| self.unsendable())?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// With a header whose value is a credential: `prefix` and the secret.
    ///
    /// # Errors
    /// As [`Call::with`].
    pub fn with_secret(
        mut self,
        name: HeaderName,
        prefix: &str,
        secret: &Secret<String>,
    ) -> Result<Self, CallError> {
        let text = zeroize::Zeroizing::new(format!("{prefix}{}", secret.expose()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| self.unsendable())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// With HTTP Basic.
    ///
    /// # Errors
    /// As [`Call::with`].
    pub fn with_basic(self, user: &str, password: &Secret<String>) -> Result<Self, CallError> {
        use base64::Engine as _;
        let text = zeroize::Zeroizing::new(format!("{user}:{}", password.expose()));
        let encoded = base64::engine::general_purpose::STANDARD.encode(text.as_bytes());
        self.with_secret(header::AUTHORIZATION, "Basic ", &Secret::new(encoded))
    }

    fn unsendable(&self) -> CallError {
        CallError::Unsendable {
            server: self.url.authority(),
        }
    }

    fn request(self) -> Result<Request<Full<Bytes>>, CallError> {
        let unsendable = self.unsendable();
        let target = format!("{}{}", self.url.path(), self.path);
        let slash = if target.starts_with('/') { "" } else { "/" };
        let Ok(uri) = format!("{slash}{target}").parse() else {
            return Err(unsendable);
        };
        let Ok(host) = HeaderValue::from_str(&self.url.host_header()) else {
            return Err(unsendable);
        };
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        *headers = self.headers;
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(request)
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status; never a redirect.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// Whether its type says that it is JSON.
    pub fn is_json(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        kind.strip_prefix("application/")
            .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
    }

    /// The JSON of the body, if its type says that it is JSON and it is.
    pub fn json(&self) -> Option<Value> {
        match self.is_json() {
            true => serde_json::from_slice(&self.body).ok(),
            false => None,
        }
    }

    /// How long the service asks to wait: `Retry-After` in seconds, or as a date, which is compared
    /// with the answer's own `Date`.
    pub fn retry_after(&self) -> Option<Ttl> {
        let text = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(Ttl::from_secs(seconds));
        }
        let until = httpdate::parse_http_date(text).ok()?;
        let date = self.headers.get(header::DATE)?.to_str().ok()?;
        let wait = until
            .duration_since(httpdate::parse_http_date(date).ok()?)
            .unwrap_or_default();
        Some(Ttl::from_secs(
            u32::try_from(wait.as_secs()).unwrap_or(u32::MAX),
        ))
    }
}

impl Client {
    /// A client that trusts the certificate authorities in `ca_file` (PEM), or those of the operating
    /// system where none is given.
    ///
    /// # Errors
    /// [`TrustError`] when there is nothing to trust.
    pub fn new(ca_file: Option<&Path>, limits: Limits) -> Result<Self, TrustError> {
        Ok(Self {
            tls: tls::config(ca_file)?,
            limits,
        })
    }

    /// Makes a call.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer, when it is a redirect, or when it is too large.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, CallError> {
        let url = call.url;
        match tokio::time::timeout(self.limits.total, self.exchange(call)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Timeout {
                server: url.authority(),
            }),
        }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, CallError> {
        let url = call.url;
        let request = call.request()?;
        let connecting = tokio::time::timeout(self.limits.connect, self.connect(url));
        let stream = connecting.await.map_err(|_| CallError::Timeout {
            server: url.authority(),
        })??;
        let broken = |source| CallError::Exchange {
            server: url.authority(),
            source,
        };
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            self.receive(url, response).await
        };
        // Both live in this future: when it is dropped, at the end or by a time limit, the connection
        // goes too, and no task is left.
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => {
                ended.map_err(broken)?;
                exchange.await
            }
        }
    }

    async fn receive(
        &self,
        url: &ServiceUrl,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Answer, CallError> {
        let (head, body) = response.into_parts();
        if head.status.is_redirection() {
            return Err(CallError::Redirect {
                server: url.authority(),
            });
        }
        let body = Limited::new(body, self.limits.body)
            .collect()
            .await
            .map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => CallError::TooLarge {
                    server: url.authority(),
                    limit: self.limits.body,
                },
                Err(source) => CallError::Body {
                    server: url.authority(),
                    source,
                },
            })?
            .to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    async fn connect(&self, url: &ServiceUrl) -> Result<Box<dyn Stream>, CallError> {
        let stream = address::connect(url.host(), url.port(), url.literal_is_meant()).await?;
        if !url.is_tls() {
            return Ok(Box::new(stream));
        }
        let stream = TlsConnector::from(self.tls.clone())
            .connect(url.server_name().clone(), stream)
            .await
            .map_err(|source| CallError::Connect {
                server: url.authority(),
                source,
            })?;
        Ok(Box::new(stream))
    }
}

/// A TCP or TLS stream.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl Stream for TcpStream {}
impl Stream for tokio_rustls::client::TlsStream<TcpStream> {}

const AGENT: &str = concat!("kubestile/", env!("CARGO_PKG_VERSION"));
/// The largest head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;

#[cfg(test)]
mod tests;
