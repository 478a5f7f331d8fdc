//! Connections: none stays open for nothing, and no source has them all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test binary uses a part of the field")]
mod field;

use std::time::Duration;

use field::{Field, PATIENCE};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kubestile_gateway::Settings;

const WATCH: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n";

/// An HTTP/2 connection stays while a watch is open on it, and is closed when nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_connection_without_requests_is_closed() {
    let settings = Settings {
        idle: Duration::from_millis(40),
        ..Settings::default()
    };
    let field = Field::with_settings(WATCH, settings).await;
    let io = TokioIo::new(field.connect_h2().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);

    let uri = "https://g/clusters/prod/api/v1/namespaces/shop/pods?watch=1";
    let request = http::Request::get(uri).body(http_body_util::Empty::<bytes::Bytes>::new());
    let mut watch = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(watch.status(), 200);
    watch.body_mut().frame().await.unwrap().unwrap();
    // Much later by the gate's measure: many other requests have come and gone.
    for _ in 0..50 {
        let none = http::Request::get("https://g/none").body(http_body_util::Empty::new());
        let answer = sender.send_request(none.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 404);
    }
    assert!(!connection.is_finished());
    drop(watch);
    tokio::time::timeout(PATIENCE, connection)
        .await
        .expect("the gate closes the connection")
        .unwrap()
        .unwrap();
}

/// The connection over the limit is closed; once another has ended there is a place again.
#[tokio::test(flavor = "multi_thread")]
async fn one_source_has_no_more_than_its_connections() {
    let settings = Settings {
        connections_per_source: 2,
        ..Settings::default()
    };
    let field = Field::with_settings(WATCH, settings).await;
    let (first, _second) = (field.connect().await, field.connect().await);
    assert!(field.try_connect().await.is_none());
    drop(first);
    let again = async {
        while field.try_connect().await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("a place is free again");
}
