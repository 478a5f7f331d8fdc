//! The load generator: a closed loop over HTTP/1.1 or HTTP/2, lists read to their end, and watches
//! that are held open. One client for all peers; it runs on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How a client speaks to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// Where a peer is, and how it is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// On loopback.
    pub(super) address: SocketAddr,
    /// For HTTP/1.1 and for HTTP/2; without TLS if there is none.
    pub(super) tls: Option<(Arc<ClientConfig>, Arc<ClientConfig>)>,
    /// What its paths start with.
    pub(super) prefix: String,
}

/// One connection.
#[derive(Clone)]
enum Connection {
    H1(Arc<tokio::sync::Mutex<http1::SendRequest<Empty<Bytes>>>>),
    H2(http2::SendRequest<Empty<Bytes>>),
}

/// What a closed loop has done between two moments.
pub(super) struct Loop {
    /// Of every answer, in the order of their length.
    pub(super) latencies: Vec<Duration>,
    /// Between the two moments.
    pub(super) took: Duration,
    /// What `reading` gave at each.
    pub(super) readings: (Duration, Duration),
}

/// The shape of a closed loop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Over what.
    pub(super) protocol: Protocol,
    /// Connections.
    pub(super) connections: usize,
    /// Requests in flight on each.
    pub(super) streams: usize,
    /// Not counted at first.
    pub(super) warm_up: Duration,
    /// Counted then.
    pub(super) measured: Duration,
}

impl Target {
    /// Keeps so many requests in flight; `reading` is taken when counting starts and ends.
    pub(super) async fn closed_loop(
        &self,
        path: &str,
        shape: Shape,
        reading: impl Fn() -> Duration,
    ) -> Result<Loop> {
        let mut connections = Vec::with_capacity(shape.connections);
        for _ in 0..shape.connections {
            connections.push(self.connect(shape.protocol).await?);
        }
        let start = Instant::now() + shape.warm_up;
        let end = start + shape.measured;
        let request = Arc::new(self.request(path, shape.protocol)?);
        let mut tasks = tokio::task::JoinSet::new();
        for connection in &connections {
            for _ in 0..shape.streams {
                tasks.spawn(ask_until(end, start, connection.clone(), request.clone()));
            }
        }
        tokio::time::sleep_until(start.into()).await;
        let (before, began) = (reading(), Instant::now());
        tokio::time::sleep_until(end.into()).await;
        let (after, took) = (reading(), began.elapsed());
        let mut latencies = Vec::new();
        while let Some(done) = tasks.join_next().await {
            latencies.append(&mut done??);
        }
        latencies.sort_unstable();
        ensure!(!latencies.is_empty(), "no answer came in time");
        Ok(Loop {
            latencies,
            took,
            readings: (before, after),
        })
    }

    /// One answer, read to its end; gives its bytes.
    pub(super) async fn get(&self, path: &str, protocol: Protocol) -> Result<u64> {
        let connection = self.connect(protocol).await?;
        connection.get(&self.request(path, protocol)?).await
    }

    /// So many answers, one after the other on one connection; gives the bytes of all.
    pub(super) async fn get_times(
        &self,
        path: &str,
        protocol: Protocol,
        times: u32,
    ) -> Result<u64> {
        let connection = self.connect(protocol).await?;
        let request = self.request(path, protocol)?;
        let mut bytes = 0;
        for _ in 0..times {
            bytes += connection.get(&request).await?;
        }
        Ok(bytes)
    }

    /// Opens so many watches, each of which has said its first thing; they end when dropped.
    pub(super) async fn watches(
        &self,
        path: &str,
        protocol: Protocol,
        count: usize,
        per_connection: usize,
    ) -> Result<Watches> {
        let request = self.request(path, protocol)?;
        let starts = (0..count).step_by(per_connection.max(1));
        let opened = stream::iter(starts).map(|from| {
            let (request, many) = (&request, per_connection.min(count - from));
            async move {
                let connection = self.connect(protocol).await?;
                let mut bodies = Vec::with_capacity(many);
                for _ in 0..many {
                    let mut body = connection.send(request).await?.into_body();
                    let first = body.frame().await.context("a watch ended at once")??;
                    ensure!(first.is_data(), "a watch began without data");
                    bodies.push(body);
                }
                Ok::<_, anyhow::Error>((connection, bodies))
            }
        });
        let mut opened = opened.buffer_unordered(AT_ONCE);
        let mut watches = Watches(Vec::new());
        while let Some(one) = opened.next().await {
            watches.0.push(one?);
        }
        Ok(watches)
    }

    fn request(&self, path: &str, protocol: Protocol) -> Result<Request<Empty<Bytes>>> {
        let target = format!("{}{path}", self.prefix);
        let authority = format!("127.0.0.1:{}", self.address.port());
        let builder = match protocol {
            Protocol::H1 => Request::get(target).header(header::HOST, authority),
            Protocol::H2 => Request::get(format!("https://{authority}{target}")),
        };
        let builder = builder
            .header(header::USER_AGENT, "kubestile-bench")
            .header(header::ACCEPT, "application/json");
        Ok(builder.body(Empty::new())?)
    }

    async fn connect(&self, protocol: Protocol) -> Result<Connection> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let Some((h1, h2)) = &self.tls else {
            return h1_connection(tcp).await;
        };
        let config = match protocol {
            Protocol::H1 => h1.clone(),
            Protocol::H2 => h2.clone(),
        };
        let name = ServerName::try_from("127.0.0.1")?;
        let tls = TlsConnector::from(config).connect(name, tcp).await?;
        if protocol == Protocol::H1 {
            return h1_connection(tls).await;
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(1 << 30)
            .handshake(TokioIo::new(tls))
            .await?;
        tokio::spawn(connection);
        Ok(Connection::H2(sender))
    }
}

/// Watches that are held open.
pub(super) struct Watches(Vec<(Connection, Vec<Incoming>)>);

impl Watches {
    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|(_, bodies)| bodies.len()).sum()
    }
}

/// Connections that are opened at the same time.
const AT_ONCE: usize = 32;

async fn h1_connection<S>(stream: S) -> Result<Connection>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Connection::H1(Arc::new(sender.into())))
}

/// Asks again and again; gives how long each answer took that was asked for after `start` and had
/// come by `end`.
async fn ask_until(
    end: Instant,
    start: Instant,
    connection: Connection,
    request: Arc<Request<Empty<Bytes>>>,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(1 << 16);
    loop {
        let asked = Instant::now();
        if asked >= end {
            return Ok(latencies);
        }
        connection.get(&request).await?;
        let answered = Instant::now();
        if asked >= start && answered <= end {
            latencies.push(answered - asked);
        }
    }
}

impl Connection {
    async fn send(&self, request: &Request<Empty<Bytes>>) -> Result<Response<Incoming>> {
        let answer = match self {
            Self::H1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request.clone()).await?
            }
            Self::H2(sender) => {
                let mut sender = sender.clone();
                sender.ready().await?;
                sender.send_request(request.clone()).await?
            }
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        bail!("{status}: {}", String::from_utf8_lossy(&text));
    }

    async fn get(&self, request: &Request<Empty<Bytes>>) -> Result<u64> {
        let mut body = self.send(request).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(bytes)
    }
}
