//! One HTTP/1.1 request to a gate, with a limit on every wait and every answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use kubestile_authn::ClientPair;
use kubestile_control::api;
use kubestile_core::Timestamp;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::tls::{self, Trust};
use super::url::GateUrl;
use crate::exit::{Fail, Kind, Outcome, chain};

/// How long connecting (and the TLS handshake) may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a whole exchange may take. Adding a cluster installs an account first.
const EXCHANGE: Duration = Duration::from_secs(120);
/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// Where requests go in.
#[derive(Clone)]
pub(crate) enum Door {
    /// The gate's public address.
    Public {
        /// Where.
        url: GateUrl,
        /// With whom, and as whom.
        tls: Arc<ClientConfig>,
    },
    /// The admin socket of a gate on this machine. Who may open it is an administrator.
    Admin(PathBuf),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body.
    pub(crate) body: Bytes,
    /// When the gate gave it, by its own clock, in whole seconds.
    pub(crate) date: Option<Timestamp>,
}

impl Door {
    /// The public address, trusting `trust`, showing `identity`.
    pub(crate) fn public(
        url: &GateUrl,
        trust: &Trust,
        identity: Option<ClientPair<'_>>,
    ) -> Outcome<Self> {
        Ok(Self::Public {
            url: url.clone(),
            tls: Arc::new(tls::config(trust, identity)?),
        })
    }

    /// Sends a request without a body and reads the answer's JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.call(Method::GET, path, None).await?.json()
    }

    /// Sends a request with a JSON body and reads the answer's JSON.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Outcome<T> {
        let body = serde_json::to_vec(body)?;
        self.call(method, path, Some(body)).await?.json()
    }

    /// Sends a request; an answer that is an error becomes one.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Outcome<Answer> {
        let answer = self.exchange(method, path, body).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(answer.fail())
    }

    /// Sends a request and gives the answer, whatever its status.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Outcome<Answer> {
        self.exchange_of("application/json", method, path, body)
            .await
    }

    /// Posts a form and gives the answer, whatever its status.
    pub(crate) async fn form(&self, path: &str, form: Vec<u8>) -> Outcome<Answer> {
        let kind = "application/x-www-form-urlencoded";
        self.exchange_of(kind, Method::POST, path, Some(form)).await
    }

    async fn exchange_of(
        &self,
        kind: &'static str,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Outcome<Answer> {
        let authority = match self {
            Self::Public { url, .. } => url.authority(),
            Self::Admin(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority)
            .header(
                header::USER_AGENT,
                concat!("kubestile/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let exchange = async {
            match self {
                Self::Public { url, tls } => {
                    let stream = within(connect(url, tls)).await?;
                    round_trip(stream, request).await
                }
                Self::Admin(path) => round_trip(within(connect_local(path)).await?, request).await,
            }
        };
        match tokio::time::timeout(EXCHANGE, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.unavailable("no answer in time")),
        }
    }

    fn unavailable(&self, why: &str) -> Fail {
        let place = match self {
            Self::Public { url, .. } => url.to_string(),
            Self::Admin(path) => path.display().to_string(),
        };
        Fail::new(
            Kind::Unavailable,
            format!("the gate at {place} does not answer: {why}"),
        )
    }
}

/// Connecting has a time limit of its own.
async fn within<T>(connecting: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(
            Fail::new(Kind::Unavailable, "no connection to the gate in 10 s")
                .hint("check the address, and whether something between you and it drops packets"),
        ),
    }
}

async fn connect(
    url: &GateUrl,
    tls: &Arc<ClientConfig>,
) -> Outcome<tokio_rustls::client::TlsStream<TcpStream>> {
    let unreachable = |error: std::io::Error| {
        Fail::new(
            Kind::Unavailable,
            format!("cannot reach the gate at {url}: {error}"),
        )
        .hint("is it running? `kubestile up` starts one on this machine")
    };
    let tcp = TcpStream::connect((url.host(), url.port()))
        .await
        .map_err(unreachable)?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|_| Fail::usage(format!("`{}` is not a host name", url.host())))?;
    let connector = TlsConnector::from(tls.clone());
    connector
        .connect(name, tcp)
        .await
        .map_err(|error| untrusted(url, &error))
}

/// What a failed handshake means to a person.
fn untrusted(url: &GateUrl, error: &std::io::Error) -> Fail {
    use rustls::{CertificateError as Bad, Error as Tls};
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Tls>());
    let Some(Tls::InvalidCertificate(bad)) = inner else {
        return Fail::new(
            Kind::Unavailable,
            format!("no TLS connection with {url}: {}", chain(error)),
        );
    };
    let fail = |why: &str| {
        Fail::new(
            Kind::Verification,
            format!("{url} is not the gate you expect: {why}"),
        )
    };
    match bad {
        Bad::UnknownIssuer | Bad::BadSignature => fail("its certificate is of another authority")
            .hint("compare the fingerprint with the one that `kubestile up` printed")
            .hint("if the gate was set up anew, log in again with its new fingerprint"),
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => fail(
            "its certificate is for other names",
        )
        .hint("use the address that `kubestile up` printed, or start the gate with --public-url"),
        Bad::Expired | Bad::ExpiredContext { .. } => fail("its certificate has expired")
            .hint("check the clocks of this machine and of the gate"),
        other => fail(&format!("{other:?}")),
    }
}

async fn connect_local(path: &Path) -> Outcome<UnixStream> {
    UnixStream::connect(path).await.map_err(|error| {
        let fail = Fail::new(
            Kind::Unavailable,
            format!("cannot open the admin socket `{}`: {error}", path.display()),
        );
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                fail.hint("only the user that the gate runs as may administer it")
            }
            _ => fail
                .hint("is the gate running on this machine? `kubestile up` starts one")
                .hint("name its state directory with --dir, if it is not the usual one"),
        }
    })
}

async fn round_trip<S>(stream: S, request: Request<Full<Bytes>>) -> Outcome<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| {
        Fail::new(
            Kind::Unavailable,
            format!("the connection to the gate broke: {}", chain(&error)),
        )
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let date = response.headers().get(header::DATE).and_then(read_date);
        let body = Limited::new(response.into_body(), ANSWER_LIMIT);
        let body = body.collect().await.map_err(|error| {
            Fail::new(
                Kind::Unavailable,
                format!("the gate's answer cannot be read: {error}"),
            )
        })?;
        Ok(Answer {
            status,
            body: body.to_bytes(),
            date,
        })
    };
    // The connection must be driven while the exchange takes place; it may end first.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        _ended = connection => exchange.await,
    }
}

fn read_date(text: &HeaderValue) -> Option<Timestamp> {
    let at = httpdate::parse_http_date(text.to_str().ok()?).ok()?;
    let secs = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Timestamp::from_secs(i64::try_from(secs).ok()?))
}

impl Answer {
    /// The body's JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Outcome<T> {
        let body: &[u8] = if self.body.is_empty() {
            b"null"
        } else {
            &self.body
        };
        serde_json::from_slice(body).map_err(|error| {
            Fail::failure(format!(
                "the gate's answer is not what this client understands: {error}"
            ))
            .hint("are the gate and this client of the same version? see `kubestile version`")
        })
    }

    /// What the gate said went wrong.
    pub(crate) fn fail(&self) -> Fail {
        let kind = match self.status.as_u16() {
            502..=504 => Kind::Unavailable,
            _ => Kind::Failure,
        };
        match serde_json::from_slice::<api::Failure>(&self.body) {
            Ok(said) => {
                let fail = Fail::new(kind, said.error);
                match said.hint {
                    Some(hint) => fail.hint(hint),
                    None => fail,
                }
            }
            Err(_) => Fail::new(kind, format!("the gate answered {}", self.status))
                .hint("is this the address of a Kubestile gate?"),
        }
    }
}
