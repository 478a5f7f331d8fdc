//! What is set on every TCP connection, to clients and to API servers.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Quiet for so long, a peer is asked whether it is still there …
const QUIET: Duration = Duration::from_secs(30);
/// … and again, so often, before the connection counts as broken: after a minute all in all.
const AGAIN: Duration = Duration::from_secs(10);
const TIMES: u32 = 3;

/// Sends without delay, and notices a peer that has vanished from a quiet connection within a minute.
///
/// Bytes that such a peer has not acknowledged are sent again until the kernel gives up
/// (`net.ipv4.tcp_retries2`, a quarter of an hour by default). `TCP_USER_TIMEOUT` would shorten that,
/// but on Linux it also ends connections to peers that are alive and have only stopped reading, which
/// is what `kubectl exec -i db -- psql < dump.sql` does for as long as an index is built.
///
/// # Errors
/// What the kernel refuses.
pub(crate) fn prepare(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(QUIET)
        .with_interval(AGAIN)
        .with_retries(TIMES);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_vanished_peer_is_noticed_within_a_minute() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        prepare(&tcp).unwrap();
        let socket = SockRef::from(&tcp);
        assert!(socket.keepalive().unwrap() && tcp.nodelay().unwrap());
        let all = socket.tcp_keepalive_time().unwrap()
            + socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
        assert_eq!(all, Duration::from_secs(60));
    }
}
