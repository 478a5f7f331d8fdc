//! Two upgraded connections, joined until one closes or the trust ends. Bytes are passed on as they
//! are; a follower of the frames knows where a last word may be said.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kubestile_core::ids::RequestId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::{Trust, spdy, websocket};
use crate::record::Ending;
use crate::refusal;
use crate::stream::over::Over;

/// Bytes in flight per direction.
const BUFFER: usize = 32 * 1024;
/// How long a farewell may wait for the frame before it, and for a slow client. A stream ends
/// within a second of its trust.
const PATIENCE: Duration = Duration::from_millis(300);
/// How long the other direction may go on once the client has closed its side.
const LINGER: Duration = Duration::from_secs(10);

/// What passes by, and how its end is told.
pub enum Framing {
    /// WebSocket, with the error channel of its subprotocol.
    WebSocket(websocket::Frames, websocket::ErrorChannel),
    /// SPDY/3.1.
    Spdy(Box<spdy::Follower>),
    /// Nothing is known of it.
    Opaque,
}

impl Framing {
    fn saw_client(&mut self, bytes: &[u8]) -> Result<(), spdy::Malformed> {
        match self {
            Self::Spdy(follower) => follower.saw_client(bytes),
            Self::WebSocket(..) | Self::Opaque => Ok(()),
        }
    }

    fn saw_server(&mut self, bytes: &[u8]) -> Result<(), spdy::Malformed> {
        match self {
            Self::WebSocket(frames, _) => frames.observe(bytes),
            Self::Spdy(follower) => return follower.saw_server(bytes),
            Self::Opaque => {}
        }
        Ok(())
    }

    /// Bytes from the server until the next place where a frame might begin.
    fn remaining(&self) -> u64 {
        match self {
            Self::WebSocket(frames, _) => frames.remaining(),
            Self::Spdy(follower) => follower.remaining(),
            Self::Opaque => 0,
        }
    }

    fn at_boundary(&self) -> bool {
        match self {
            Self::WebSocket(frames, _) => frames.at_boundary(),
            Self::Spdy(follower) => follower.at_boundary(),
            Self::Opaque => false,
        }
    }

    fn farewell(&self, status: &[u8], why: &str) -> Vec<u8> {
        match self {
            Self::WebSocket(_, channel) => websocket::farewell(*channel, status, why),
            Self::Spdy(follower) => follower.farewell(status, why),
            Self::Opaque => Vec::new(),
        }
    }
}

/// Joins `client` and `upstream`; returns when both are closed.
pub async fn join<C, U>(
    client: C,
    upstream: U,
    framing: Framing,
    trust: Trust,
    request: RequestId,
    mut ending: Ending,
) where
    C: AsyncRead + AsyncWrite + Unpin + Send,
    U: AsyncRead + AsyncWrite + Unpin + Send,
{
    let sent = AtomicU64::new(0);
    let received = ending.upload();
    let passed = Passed {
        up: &received,
        down: &sent,
    };
    let end = carry(client, upstream, framing, trust, request, passed).await;
    ending.sent(sent.load(Ordering::Relaxed));
    match end {
        End::Closed(how) => ending.ended(how, ""),
        End::Trust(over) => ending.ended(over.word(), &over.to_string()),
        End::Abused(why) => ending.ended("protocol-error", &why.to_string()),
    }
}

/// Counts the bytes of each direction.
struct Passed<'a> {
    up: &'a AtomicU64,
    down: &'a AtomicU64,
}

async fn carry<C, U>(
    client: C,
    upstream: U,
    framing: Framing,
    trust: Trust,
    request: RequestId,
    passed: Passed<'_>,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let framing = Mutex::new(framing);
    let over = CancellationToken::new();
    let (client_read, client_write) = tokio::io::split(client);
    let (upstream_read, upstream_write) = tokio::io::split(upstream);
    let up = async {
        let up = upload(client_read, upstream_write, &framing, passed.up);
        match over.run_until_cancelled(up).await {
            Some(end) => end,
            // Trust is over: nothing of the client's goes on, while it is told why.
            None => std::future::pending().await,
        }
    };
    let trust = async {
        let why = trust.ended().await;
        over.cancel();
        why
    };
    let down = download(
        upstream_read,
        client_write,
        &framing,
        trust,
        request,
        passed.down,
    );
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        // In this order, so that the end of trust is seen before more is passed on.
        biased;
        end = &mut down => end,
        // The client has closed its side, or is gone: what is still on the way to it may arrive.
        abused = &mut up => match abused {
            Some(why) => End::Abused(why),
            None => tokio::time::timeout(LINGER, &mut down)
                .await
                .unwrap_or(End::Closed("client-closed")),
        },
    }
}

#[derive(Debug)]
enum End {
    Closed(&'static str),
    Trust(Over),
    Abused(spdy::Malformed),
}

/// Passes on what the client sends until it closes its side, or abuses the protocol.
async fn upload<R, W>(
    mut from: R,
    mut to: W,
    framing: &Mutex<Framing>,
    count: &AtomicU64,
) -> Option<spdy::Malformed>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..n).unwrap_or_default();
        let seen = framing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .saw_client(bytes);
        if let Err(abuse) = seen {
            return Some(abuse);
        }
        count.fetch_add(n as u64, Ordering::Relaxed);
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    // The other side may have closed first; there is nobody to tell.
    let _ = to.shutdown().await;
    None
}

async fn download<R, W>(
    mut from: R,
    mut to: W,
    framing: &Mutex<Framing>,
    trust: impl Future<Output = Over>,
    request: RequestId,
    count: &AtomicU64,
) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let lock = || framing.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = vec![0; BUFFER];
    let mut trust = std::pin::pin!(trust);
    let why = loop {
        let n = tokio::select! {
            biased;
            why = &mut trust => break why,
            read = from.read(&mut buffer) => match read {
                Ok(n @ 1..) => n,
                Ok(_) => { let _ = to.shutdown().await; return End::Closed("complete") }
                Err(_) => { let _ = to.shutdown().await; return End::Closed("upstream-failed") }
            },
        };
        let bytes = buffer.get(..n).unwrap_or_default();
        if let Err(abuse) = lock().saw_server(bytes) {
            return End::Abused(abuse);
        }
        count.fetch_add(n as u64, Ordering::Relaxed);
        let write = async { to.write_all(bytes).await.is_ok() && to.flush().await.is_ok() };
        let mut write = std::pin::pin!(write);
        tokio::select! {
            biased;
            why = &mut trust => {
                // The client stalls in the middle of a frame: it gets a moment, then the cut.
                match tokio::time::timeout(PATIENCE, &mut write).await {
                    Ok(true) => break why,
                    Ok(false) | Err(_) => return End::Trust(why),
                }
            }
            written = &mut write => if !written { return End::Closed("client-closed") },
        }
    };
    let finish = finish_frame(&mut from, &mut to, framing, &mut buffer);
    // Cut in the middle of a frame, nothing can be said any more.
    let whole = tokio::time::timeout(PATIENCE, finish)
        .await
        .unwrap_or(false);
    let status = refusal::end_of_stream(&why, request);
    let last = {
        let framing = lock();
        if whole && framing.at_boundary() {
            framing.farewell(&status, &why.to_string())
        } else {
            Vec::new()
        }
    };
    let tell = async {
        if to.write_all(&last).await.is_ok() && to.flush().await.is_ok() {
            let _ = to.shutdown().await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, tell).await;
    End::Trust(why)
}

/// Passes on what is needed to complete the frame that has begun; `true` once the client has it all.
async fn finish_frame<R, W>(
    from: &mut R,
    to: &mut W,
    framing: &Mutex<Framing>,
    buffer: &mut [u8],
) -> bool
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let lock = || framing.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let (done, left) = {
            let framing = lock();
            (framing.at_boundary(), framing.remaining())
        };
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(space) = buffer.get_mut(..most).filter(|s| !s.is_empty() && !done) else {
            return done;
        };
        let Ok(n @ 1..) = from.read(space).await else {
            return false;
        };
        let bytes = space.get(..n).unwrap_or_default();
        if lock().saw_server(bytes).is_err() || to.write_all(bytes).await.is_err() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// The farewell waits for the frame that the server has begun; the client's input does not go on
    /// meanwhile.
    #[tokio::test]
    async fn input_stops_with_the_trust_and_not_with_the_farewell() {
        let (mut client, gate_to_client) = duplex(1024);
        let (mut server, gate_to_server) = duplex(1024);
        let (end, ended) = tokio::sync::oneshot::channel::<Over>();
        let trust = Trust(Box::pin(async move { ended.await.unwrap() }));
        let channel = websocket::ErrorChannel::of("v5.channel.k8s.io");
        let framing = Framing::WebSocket(websocket::Frames::default(), channel);
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(7));
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let passed = Passed {
            up: &up,
            down: &down,
        };
        let relay = carry(gate_to_client, gate_to_server, framing, trust, id, passed);
        let scene = async {
            let mut seen = [0; 6];
            client.write_all(b"before").await.unwrap();
            server.read_exact(&mut seen).await.unwrap();
            // A frame of four bytes, of which two are there.
            server.write_all(b"\x82\x04ab").await.unwrap();
            client.read_exact(&mut seen[..4]).await.unwrap();
            // Trust ends and the client goes on, both before the relay runs again.
            end.send(Over::Access("over".to_owned())).unwrap();
            client.write_all(b"after").await.unwrap();
            tokio::task::yield_now().await;
            server.write_all(b"cd").await.unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            let mut more = Vec::new();
            server.read_to_end(&mut more).await.unwrap();
            (rest, more)
        };
        let (end, (rest, more)) = tokio::join!(relay, scene);
        assert!(matches!(end, End::Trust(Over::Access(why)) if why == "over"));
        assert!(rest.starts_with(b"cd\x82"), "the frame, then the farewell");
        assert!(more.is_empty(), "{}", more.escape_ascii());
    }
}
