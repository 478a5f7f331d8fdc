//! Step 1: a TLS connection becomes a [`Connection`], and its requests go to the pipeline (paths
//! under `/clusters/`) or to the control plane (all others), each knowing the peer.

mod activity;
mod sources;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kubestile_authn::{AuthnError, ClientCertificate, PeerAddress, PeerCertificate};
use kubestile_core::Source;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::activity::Activity;
pub use self::activity::OpenRequest;
use self::sources::{Seat, Sources};
use crate::body::Body;
use crate::gate::Gate;
use crate::parse::PREFIX;
use crate::{pipeline, sockets};

/// Largest head of a request, in bytes; the API server's own limit is 1 MiB.
const HEAD_LIMIT: usize = 64 * 1024;

/// What is known of a connection before any request on it.
pub struct Connection {
    peer: SocketAddr,
    certificate: Option<Result<ClientCertificate, AuthnError>>,
}

impl Connection {
    /// The other side's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The client certificate that the handshake verified, read; `None` if there was none.
    pub fn certificate(&self) -> Option<&Result<ClientCertificate, AuthnError>> {
        self.certificate.as_ref()
    }
}

/// Answers requests that are not for a cluster.
pub type Control = Arc<
    dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Send + Sync,
>;

/// A bound socket with its TLS configuration.
pub struct Listener {
    /// The socket.
    pub tcp: TcpListener,
    /// TLS, from `kubestile-authn`.
    pub tls: Arc<rustls::ServerConfig>,
}

/// Serves until the gate drains, then lets open requests end, then cuts what is left.
pub async fn serve(gate: Arc<Gate>, listener: Listener, control: Control) {
    let acceptor = TlsAcceptor::from(listener.tls);
    tokio::spawn(close_idle(gate.clone()));
    let places = Arc::new(Semaphore::new(gate.settings.max_connections));
    let sources = Sources::new(gate.settings.connections_per_source);
    loop {
        let Some(place) = take_place(&gate, &places).await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.tcp.accept() => accepted,
            () = gate.draining.cancelled() => break,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: breathe, or this loop takes a core.
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(seat) = sources.sit(Source::of(peer.ip())) else {
            gate.metrics.connection_refused();
            tracing::debug!(peer = %peer, "a source has too many connections open");
            continue;
        };
        let (gate, acceptor, control) = (gate.clone(), acceptor.clone(), control.clone());
        gate.open.clone().spawn(async move {
            gate.metrics.connections(1);
            if let Err(error) = connection(&gate, acceptor, tcp, peer, &seat, control).await {
                tracing::debug!(peer = %peer, error = %error, "a connection broke off");
            }
            gate.metrics.connections(-1);
            drop((seat, place));
        });
    }
    gate.open.close();
    if tokio::time::timeout(gate.settings.drain, gate.open.wait())
        .await
        .is_err()
    {
        gate.closing.cancel();
        // Streams now tell their clients why they end; this is how long they have for it.
        if tokio::time::timeout(Duration::from_secs(2), gate.open.wait())
            .await
            .is_err()
        {
            tracing::warn!("connections were cut at shutdown");
        }
    }
    gate.closing.cancel();
}

/// Closes upstream connections that nobody uses any more, until the gate drains.
async fn close_idle(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(Duration::from_secs(15));
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = gate.draining.cancelled() => return,
        }
        for cluster in gate.clusters.all() {
            cluster.pool().close_idle();
        }
    }
}

async fn take_place(
    gate: &Gate,
    places: &Arc<Semaphore>,
) -> Option<tokio::sync::OwnedSemaphorePermit> {
    tokio::select! {
        place = places.clone().acquire_owned() => place.ok(),
        () = gate.draining.cancelled() => None,
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    gate: &Arc<Gate>,
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    peer: SocketAddr,
    seat: &Seat,
    control: Control,
) -> Result<(), Failure> {
    sockets::prepare(&tcp)?;
    let handshake = async {
        let _turn = seat.handshakes().acquire().await?;
        Ok::<_, Failure>(acceptor.accept(tcp).await?)
    };
    let tls = tokio::time::timeout(gate.settings.handshake, handshake).await??;
    let der = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .cloned();
    let certificate = der.as_ref().map(|der| ClientCertificate::read(der));
    let known = Arc::new(Connection { peer, certificate });
    let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let certificate = PeerCertificate(der.map(|der| der.into_owned()));
    let activity = Arc::new(Activity::default());
    let service = service_fn(|mut request: Request<Incoming>| {
        let open = activity.begin();
        let (gate, known, control) = (gate.clone(), known.clone(), control.clone());
        let certificate = certificate.clone();
        async move {
            let answer = if request.uri().path().starts_with(PREFIX) {
                pipeline::handle(&gate, &known, request).await
            } else {
                request.extensions_mut().insert(certificate);
                request.extensions_mut().insert(PeerAddress(peer));
                control(request).await
            };
            Ok::<_, std::convert::Infallible>(answer.map(|body| body.of(open)))
        }
    });
    if h2 {
        serve_h2(gate, tls, service, &activity).await
    } else {
        serve_h1(gate, tls, service).await
    }
}

async fn serve_h1<S, F>(gate: &Gate, tls: TlsStream<TcpStream>, service: S) -> Result<(), Failure>
where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = std::convert::Infallible,
            Future = F,
        >,
    F: Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gate.settings.handshake.max(Duration::from_secs(90)))
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(tls), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = gate.draining.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

async fn serve_h2<S, F>(
    gate: &Gate,
    tls: TlsStream<TcpStream>,
    service: S,
    activity: &Activity,
) -> Result<(), Failure>
where
    S: hyper::service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = std::convert::Infallible,
            Future = F,
        >,
    F: Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_header_list_size(u32::try_from(HEAD_LIMIT).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(50)
        .max_local_error_reset_streams(200)
        .max_send_buf_size(512 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(tls), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        () = gate.draining.cancelled() => {}
        () = activity.idle(gate.settings.idle) => {}
    }
    // Requests that were sent before the client reads of it are answered still.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = connection.as_mut() => Ok(ended?),
        // Who has nothing open and does not go is cut.
        () = activity.idle(gate.settings.handshake) => Ok(()),
    }
}
