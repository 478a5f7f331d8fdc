//! API servers that misbehave: what they answer must not give a client more than the request that was
//! judged, nor send the gate's credential anywhere.

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

use field::Field;

const EXEC: &str = "/clusters/prod/api/v1/namespaces/shop/pods/web/exec?command=id&stdout=true";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
/// The accept value of RFC 6455 §1.3, which belongs to that key.
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// kubernetes/kubernetes#71411: whatever is not a 101 is an answer, and the end of both connections.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_101_never_becomes_a_tunnel() {
    for head in [
        "400 Bad Request",
        "403 Forbidden",
        "200 OK",
        "500 Internal Server Error",
    ] {
        let field =
            Field::with_answer(&format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\n\r\nno")).await;
        let mut client = field.connect().await;
        client
            .send(&format!("GET {EXEC} HTTP/1.1\r\nHost: g\r\n{UPGRADE}\r\n"))
            .await;
        client
            .send("GET /api/v1/namespaces/kube-system/secrets HTTP/1.1\r\nHost: g\r\n\r\n")
            .await;
        let all = client.read_to_end().await;
        // A success is an API server that did not understand what was asked.
        let status = if head.starts_with("200") {
            "502"
        } else {
            &head[..3]
        };
        assert!(
            all.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}: {all}"
        );
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{head}: {all}");
        assert_eq!(field.upstream_requests().len(), 1, "nothing was tunnelled");
    }
}

/// CVE-2020-8559, CVE-2018-1002102, CVE-2022-3172: redirects are neither followed nor passed on.
#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_and_not_passed_on() {
    for status in [
        "301 Moved",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n"
        );
        let field = Field::with_answer(&answer).await;
        for request in [
            format!("GET {EXEC} HTTP/1.1\r\nHost: g\r\n{UPGRADE}\r\n"),
            "GET /clusters/prod/api/v1/namespaces/shop/pods HTTP/1.1\r\nHost: g\r\n\r\n".to_owned(),
            "GET /clusters/prod/api/v1/namespaces/shop/services/web/proxy/a HTTP/1.1\r\nHost: g\r\n\r\n"
                .to_owned(),
        ] {
            let mut client = field.connect().await;
            client.send(&request).await;
            let answer = client.read_answer().await;
            assert!(answer.starts_with("HTTP/1.1 502"), "{status}: {answer}");
            assert!(!answer.contains("evil.example"), "{answer}");
        }
        assert_eq!(
            field.upstream_requests().len(),
            3,
            "each request went once, to one place"
        );
    }
}

/// A 101 that does not fit what was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_something_else_is_refused() {
    for headers in [
        format!("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n{ACCEPT}"),
        format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}Sec-WebSocket-Protocol: v1\r\n"
        ),
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n".to_owned(),
        format!(
            "Connection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}\
             Sec-WebSocket-Extensions: permessage-deflate\r\n"
        ),
    ] {
        let field = Field::with_answer(&format!(
            "HTTP/1.1 101 Switching Protocols\r\n{headers}\r\nsecrets"
        ))
        .await;
        let mut client = field.connect().await;
        client
            .send(&format!("GET {EXEC} HTTP/1.1\r\nHost: g\r\n{UPGRADE}\r\n"))
            .await;
        let answer = client.read_answer().await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{headers}: {answer}");
        assert!(!answer.contains("secrets"), "{answer}");
    }
}

/// A proper 101 opens the stream; bytes behind it are the stream's.
#[tokio::test(flavor = "multi_thread")]
async fn a_proper_switch_opens_the_stream() {
    let field = Field::with_answer(&format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n\u{2}hi"
    ))
    .await;
    let mut client = field.connect().await;
    client
        .send(&format!("GET {EXEC} HTTP/1.1\r\nHost: g\r\n{UPGRADE}\r\n"))
        .await;
    let all = client.read_to_end().await;
    assert!(all.starts_with("HTTP/1.1 101"), "{all}");
    assert!(
        all.contains("sec-websocket-protocol: v5.channel.k8s.io"),
        "{all}"
    );
    assert!(all.ends_with("\u{2}hi"), "{all}");
}

/// What goes upstream: the gate's own credential, one identity, our Audit-ID, the judged bytes.
#[tokio::test(flavor = "multi_thread")]
async fn upstream_sees_one_identity_and_the_judged_bytes() {
    let field = Field::with_answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let mut client = field.connect().await;
    client
        .send(
            "GET /clusters/prod/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb&limit=5 HTTP/1.1\r\n\
             Host: g\r\nX-Remote-User: admin\r\nConnection: keep-alive, Audit-ID, Impersonate-User\r\n\
             Audit-ID: forged\r\nCookie: a=b\r\nAccept: application/json\r\n\r\n",
        )
        .await;
    let answer = client.read_answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let requests = field.upstream_requests();
    let request = requests[0].to_ascii_lowercase();
    assert!(
        request.starts_with(
            "get /api/v1/namespaces/shop/pods?labelselector=app%3dweb&limit=5 http/1.1"
        ),
        "{request}"
    );
    let count = |name: &str| request.lines().filter(|l| l.starts_with(name)).count();
    assert_eq!(count("impersonate-user: ana"), 1, "{request}");
    assert_eq!(count("impersonate-user"), 1, "{request}");
    assert_eq!(
        count("authorization: bearer upstream-token"),
        1,
        "{request}"
    );
    assert_eq!(count("audit-id"), 1, "{request}");
    for gone in ["forged", "x-remote", "cookie", "admin"] {
        assert!(!request.contains(gone), "{gone}: {request}");
    }
    assert!(
        request.contains("impersonate-group: kubestile:operator:shop"),
        "{request}"
    );
    assert!(
        request.contains("impersonate-extra-kubestile.dev%2fsession"),
        "{request}"
    );
}

/// A 401 of the API server is about the gate, not about the person.
#[tokio::test(flavor = "multi_thread")]
async fn the_gates_own_401_does_not_send_people_to_log_in() {
    let field = Field::with_answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    let mut client = field.connect().await;
    client
        .send("GET /clusters/prod/api/v1/namespaces/shop/pods HTTP/1.1\r\nHost: g\r\n\r\n")
        .await;
    let answer = client.read_answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("own credential"),
        "{answer}"
    );
}

/// An application behind a proxy that ignores the upgrade and answers without end: the answer ends
/// with the session like every stream.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_answered_without_end_ends_with_its_session() {
    let field =
        Field::with_open_answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nfirst").await;
    let mut client = field.connect().await;
    let path = "/clusters/prod/api/v1/namespaces/shop/pods/web/proxy/events";
    client
        .send(&format!("GET {path} HTTP/1.1\r\nHost: g\r\n{UPGRADE}\r\n"))
        .await;
    client.read_until("first").await;
    field.end_session().await;
    client.read_to_end().await;
}

/// An API server that does not answer: the request ends with its session, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_open_yet_ends_with_its_session() {
    for request in [
        "GET /clusters/prod/api/v1/namespaces/shop/pods?watch=1 HTTP/1.1\r\nHost: g\r\n\r\n"
            .to_owned(),
        format!("GET {EXEC} HTTP/1.1\r\nHost: g\r\n{UPGRADE}\r\n"),
    ] {
        let field = Field::with_open_answer("").await;
        let mut client = field.connect().await;
        client.send(&request).await;
        field.upstream_was_asked().await;
        field.end_session().await;
        let answer = client.read_answer().await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(answer.contains("kubestile login"), "{answer}");
    }
}

/// An application behind a proxy shares host and port with the gate, and must not act as the gate.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxied_application_cannot_act_for_the_gates_origin() {
    let field = Field::with_answer(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b; Path=/\r\n\
         Clear-Site-Data: \"*\"\r\nService-Worker-Allowed: /\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let get =
        "GET /clusters/prod/api/v1/namespaces/shop/services/web/proxy/ HTTP/1.1\r\nHost: g\r\n";
    let mut client = field.connect().await;
    client
        .send(&format!("{get}Cookie: a=1; __Host-gate=secret\r\n\r\n"))
        .await;
    let answer = client.read_answer().await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(
        answer.contains("content-security-policy: sandbox"),
        "{answer}"
    );
    for gone in ["set-cookie", "clear-site-data", "service-worker-allowed"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    let asked = field.upstream_requests()[0].to_ascii_lowercase();
    assert!(
        asked.contains("cookie: a=1") && !asked.contains("secret"),
        "{asked}"
    );

    let mut client = field.connect().await;
    client
        .send(&format!("{get}Service-Worker: script\r\n\r\n"))
        .await;
    let answer = client.read_answer().await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(field.upstream_requests().len(), 1);
}
