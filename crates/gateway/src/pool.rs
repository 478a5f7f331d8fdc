//! Connections to one API server. Short calls of one person share HTTP/2 connections that no other
//! person uses; every long one (watch, log, exec) has a connection of its own, so that a slow reader
//! stalls nobody and an upgraded connection is never used again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kubestile_cluster::Upstream;
use kubestile_core::ids::PersonId;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::body::Body;
use crate::sockets;

/// Streams on one shared connection, well below what API servers allow (100 and more).
const STREAMS: usize = 64;
/// Shared connections per person.
const CONNECTIONS: usize = 8;
/// An answer that has not been read to its end after so long is a slow one.
const SLOW: i64 = 5;
/// As many slow answers as leave room in their connection's window. Beyond that it takes no new
/// requests while there are, or may be, other connections: what is asked now is not held up by what
/// nobody reads.
const SLOW_ONES: usize = 3;
/// A shared connection that nothing used for so long is closed.
const IDLE: Duration = Duration::from_secs(90);
/// What one answer may have in flight: enough that a single large one is as fast as its connection.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
/// What all answers of one connection may have in flight, read by nobody yet. With [`CONNECTIONS`] it
/// is what one person's slow clients cost in memory: 64 MiB.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No connection.
    #[error("connecting to {address} failed: {why}")]
    Connect {
        /// Host and port.
        address: String,
        /// In words.
        why: String,
    },
    /// The connection broke before an answer.
    #[error("the API server closed the connection before it answered: {0}")]
    Broken(String),
}

/// The connections to one API server.
pub struct Pool {
    upstream: Arc<Upstream>,
    people: Mutex<HashMap<PersonId, Arc<Lane>>>,
    connect: Duration,
    epoch: Instant,
}

/// One person's connections.
#[derive(Default)]
struct Lane {
    open: Mutex<Vec<Arc<Shared>>>,
    /// Held while one is being opened, so that a burst of requests opens one and not one each.
    opening: tokio::sync::Mutex<()>,
}

/// One HTTP/2 connection, used by one person.
struct Shared {
    sender: http2::SendRequest<Body>,
    /// With which it was opened: once the gate's own certificate is another, nothing new goes over it.
    tls: Arc<rustls::ClientConfig>,
    /// When each request in flight began.
    in_flight: Mutex<Vec<i64>>,
    last_used: AtomicI64,
}

impl Shared {
    /// How many requests are in flight, and how many of them are slow.
    fn load(&self, now: i64) -> (usize, usize) {
        let in_flight = lock(&self.in_flight);
        let slow = in_flight.iter().filter(|began| now - **began > SLOW);
        (in_flight.len(), slow.count())
    }
}

/// A place on a shared connection; given back when the answer has been read or dropped.
pub struct InFlight {
    on: Arc<Shared>,
    began: i64,
}

impl InFlight {
    fn begin(on: Arc<Shared>, now: i64) -> Self {
        lock(&on.in_flight).push(now);
        on.last_used.store(now, Ordering::Relaxed);
        Self { on, began: now }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = lock(&self.on.in_flight);
        if let Some(at) = in_flight.iter().position(|began| *began == self.began) {
            in_flight.swap_remove(at);
        }
    }
}

/// What a short request is sent on.
enum Ready {
    Shared(InFlight),
    /// The API server speaks no HTTP/2: a connection for this request alone.
    Own(http1::SendRequest<Body>),
}

/// A connection that was opened just now.
enum Opened {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>, Arc<rustls::ClientConfig>),
}

impl Pool {
    /// No connections yet.
    pub fn new(upstream: Arc<Upstream>, connect: Duration) -> Self {
        Self {
            upstream,
            people: Mutex::default(),
            connect,
            epoch: Instant::now(),
        }
    }

    /// Sends a short request on a connection of this person's.
    ///
    /// # Errors
    /// [`PoolError`] when there is no connection or no answer. A request is sent again only if none
    /// of it was sent before.
    pub async fn send_shared(
        &self,
        person: PersonId,
        target: &str,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, Option<InFlight>), PoolError> {
        let lane = self.lane(person);
        for _ in 0..3 {
            let place = match self.take_or_open(&lane).await? {
                Ready::Shared(place) => place,
                Ready::Own(sender) => {
                    let answer = self.send_h1(sender, target, request).await?;
                    return Ok((answer, None));
                }
            };
            *request.uri_mut() = self.absolute(target)?;
            request.headers_mut().remove(header::HOST);
            let mut sender = place.on.sender.clone();
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok((answer, Some(place))),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(PoolError::Broken(chain(failed.error()))),
                },
            }
        }
        Err(PoolError::Broken(
            "it was closed three times in a row".to_owned(),
        ))
    }

    /// Sends a request on an HTTP/1.1 connection of its own, which may be upgraded.
    ///
    /// # Errors
    /// [`PoolError`] when there is no connection or no answer.
    pub async fn send_own(
        &self,
        target: &str,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, PoolError> {
        match self.open(true).await? {
            Opened::H1(sender) => self.send_h1(sender, target, request).await,
            Opened::H2(..) => Err(PoolError::Broken("it insists on HTTP/2".to_owned())),
        }
    }

    async fn send_h1(
        &self,
        mut sender: http1::SendRequest<Body>,
        target: &str,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, PoolError> {
        *request.uri_mut() = target
            .parse::<Uri>()
            .map_err(|e| PoolError::Broken(e.to_string()))?;
        let host = HeaderValue::from_str(&self.authority())
            .map_err(|e| PoolError::Broken(e.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
        sender
            .send_request(request)
            .await
            .map_err(|e| PoolError::Broken(chain(&e)))
    }

    fn lane(&self, person: PersonId) -> Arc<Lane> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.entry(person).or_default().clone()
    }

    /// A connection with room, opened if there is none.
    async fn take_or_open(&self, lane: &Lane) -> Result<Ready, PoolError> {
        if let Some(place) = self.take(lane, Room::Free) {
            return Ok(Ready::Shared(place));
        }
        let _turn = lane.opening.lock().await;
        if let Some(place) = self.take(lane, Room::Free) {
            return Ok(Ready::Shared(place));
        }
        // All are full or slow: hyper queues what is over.
        let crowded = lock(&lane.open).len() >= CONNECTIONS;
        if crowded && let Some(place) = self.take(lane, Room::Any) {
            return Ok(Ready::Shared(place));
        }
        match self.open(false).await? {
            Opened::H1(sender) => Ok(Ready::Own(sender)),
            Opened::H2(sender, tls) => {
                let shared = Arc::new(Shared {
                    sender,
                    tls,
                    in_flight: Mutex::default(),
                    last_used: AtomicI64::default(),
                });
                let place = InFlight::begin(shared.clone(), self.age());
                lock(&lane.open).push(shared);
                Ok(Ready::Shared(place))
            }
        }
    }

    /// A place on the connection of the person's with the fewest requests, whose window is not taken by slow answers if
    /// possible.
    fn take(&self, lane: &Lane, room: Room) -> Option<InFlight> {
        let now = self.age();
        let current = self.upstream.tls_h2();
        let mut open = lock(&lane.open);
        open.retain(|c| !c.sender.is_closed() && Arc::ptr_eq(&c.tls, &current));
        let load = open.iter().map(|c| c.load(now));
        let at = choose(load, room)?;
        let shared = open.get(at)?.clone();
        Some(InFlight::begin(shared, now))
    }

    /// Closes connections that nothing has used for a while. Called every few seconds.
    pub fn close_idle(&self) {
        let now = self.age();
        let idle = i64::try_from(IDLE.as_secs()).unwrap_or(i64::MAX);
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.retain(|_, lane| {
            let mut open = lock(&lane.open);
            open.retain(|c| {
                let busy = !lock(&c.in_flight).is_empty();
                let young = now - c.last_used.load(Ordering::Relaxed) < idle;
                !c.sender.is_closed() && (busy || young)
            });
            // A lane that somebody holds is about to be used.
            !open.is_empty() || Arc::strong_count(lane) > 1
        });
    }

    fn age(&self) -> i64 {
        i64::try_from(self.epoch.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    fn authority(&self) -> String {
        let host = self.upstream.host();
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{}", self.upstream.port())
        } else {
            format!("{host}:{}", self.upstream.port())
        }
    }

    /// HTTP/2 requests carry scheme and authority; path and query are the judged bytes.
    fn absolute(&self, target: &str) -> Result<Uri, PoolError> {
        Uri::builder()
            .scheme("https")
            .authority(self.authority())
            .path_and_query(target)
            .build()
            .map_err(|e| PoolError::Broken(e.to_string()))
    }

    /// Opens a connection: HTTP/1.1 only if it is to be `own`, else what the API server prefers.
    async fn open(&self, own: bool) -> Result<Opened, PoolError> {
        let config = if own {
            self.upstream.tls_h1()
        } else {
            self.upstream.tls_h2()
        };
        let failed = |why: String| PoolError::Connect {
            address: self.authority(),
            why,
        };
        let tls = tokio::time::timeout(self.connect, self.dial(config.clone()))
            .await
            .map_err(|_| failed(format!("no answer within {}s", self.connect.as_secs())))?
            .map_err(|e| failed(e.to_string()))?;
        let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let broken = |e: hyper::Error| failed(chain(&e));
        let io = TokioIo::new(tls);
        if h2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(64 * 1024)
                .max_header_list_size(256 * 1024)
                .keep_alive_interval(Duration::from_secs(15))
                .keep_alive_timeout(Duration::from_secs(10))
                .keep_alive_while_idle(true)
                .handshake(io)
                .await
                .map_err(broken)?;
            tokio::spawn(connection);
            return Ok(Opened::H2(sender, config));
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(256 * 1024)
            .handshake(io)
            .await
            .map_err(broken)?;
        tokio::spawn(connection.with_upgrades());
        Ok(Opened::H1(sender))
    }

    async fn dial(
        &self,
        config: Arc<rustls::ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let host = self
            .upstream
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.upstream.port())).await?;
        sockets::prepare(&tcp)?;
        TlsConnector::from(config)
            .connect(self.upstream.server_name(), tcp)
            .await
    }
}

/// Which connections may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Those that have a place free, and room in their window.
    Free,
    /// All.
    Any,
}

/// The connection that a request is best sent on, of `(requests in flight, slow ones among them)`.
fn choose(loads: impl Iterator<Item = (usize, usize)>, room: Room) -> Option<usize> {
    loads
        .enumerate()
        .filter(|(_, (all, slow))| room == Room::Any || (*all < STREAMS && *slow < SLOW_ONES))
        .min_by_key(|(_, (all, slow))| (*slow >= SLOW_ONES, *all))
        .map(|(at, _)| at)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error with its causes, for one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_request_goes_where_no_slow_answers_hold_it_up() {
        let full_of_slow = (3, 3);
        assert_eq!(choose([full_of_slow].into_iter(), Room::Free), None);
        assert_eq!(
            choose([full_of_slow, (40, 2)].into_iter(), Room::Free),
            Some(1)
        );
        assert_eq!(choose([(40, 0), (7, 0)].into_iter(), Room::Free), Some(1));
        assert_eq!(choose([(64, 0)].into_iter(), Room::Free), None);
        assert_eq!(
            choose([full_of_slow, (90, 0)].into_iter(), Room::Any),
            Some(1)
        );
        assert_eq!(
            choose([(9, 9), full_of_slow].into_iter(), Room::Any),
            Some(1)
        );
    }

    /// The slow ones that are borne leave room for another answer; all of a person's stay bounded.
    #[test]
    fn windows_bound_what_slow_clients_cost() {
        let slow = u32::try_from(SLOW_ONES).unwrap() * STREAM_WINDOW;
        assert!(slow + STREAM_WINDOW <= CONNECTION_WINDOW);
        assert!(CONNECTIONS * CONNECTION_WINDOW as usize <= 64 * 1024 * 1024);
    }
}
