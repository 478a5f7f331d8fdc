use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::testing::{Pki, Reply, Server, file};

/// Short enough for a test, long enough for a loaded machine.
const SHORT: Limits = Limits {
    connect: Duration::from_secs(20),
    total: Duration::from_secs(20),
    body: 4096,
};
/// For services that never answer.
const HASTY: Limits = Limits {
    total: Duration::from_millis(200),
    ..SHORT
};

fn client(limits: Limits) -> Client {
    Client::new(None, limits).unwrap()
}

fn url(text: &str) -> ServiceUrl {
    text.parse().unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    let server = Server::start(|_| Reply::status(418, &serde_json::json!({"a": 1}))).await;
    let base = url(&format!("{}/base/", server.url()));
    let call = Call::get(&base, "/x?y=z")
        .with_basic("ana", &secret("p:w"))
        .unwrap();
    let answer = client(SHORT).call(call).await.unwrap();
    assert_eq!(answer.status, 418);
    assert_eq!(answer.json().unwrap()["a"], 1);
    let seen = server.seen();
    assert_eq!(seen[0].path, "/base/x?y=z");
    assert_eq!(seen[0].method, Method::GET);
    assert_eq!(seen[0].header("authorization"), "Basic YW5hOnA6dw==");
    assert!(seen[0].header("user-agent").starts_with("kubestile/"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(|_| Reply::json(&serde_json::json!({}))).await;
    let to = other.url();
    let server =
        Server::start(move |_| Reply::status(302, &serde_json::json!({})).with("location", &to))
            .await;
    let base = url(&server.url());
    let error = client(SHORT).call(Call::get(&base, "/")).await.unwrap_err();
    assert!(matches!(error, CallError::Redirect { .. }), "{error:?}");
    assert_eq!(other.seen().len(), 0);
}

#[tokio::test]
async fn a_large_answer_is_not_read() {
    for reply in [
        Reply::Endless,
        Reply::Whole(200, Vec::new(), vec![b' '; 4097].into()),
    ] {
        let server = Server::start(move |_| reply.clone()).await;
        let base = url(&server.url());
        let error = client(SHORT).call(Call::get(&base, "/")).await.unwrap_err();
        assert!(
            matches!(error, CallError::TooLarge { limit: 4096, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_late_answer_is_none() {
    for reply in [Reply::Silence, Reply::Stalls] {
        let server = Server::start(move |_| reply.clone()).await;
        let base = url(&server.url());
        let error = client(HASTY).call(Call::get(&base, "/")).await.unwrap_err();
        assert!(matches!(error, CallError::Timeout { .. }), "{error:?}");
    }
}

/// A server that writes bytes as they are.
async fn raw(bytes: Vec<u8>) -> ServiceUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        // The client may hang up before it has read all of it.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.read(&mut [0; 1024]).await;
    });
    url(&format!("http://{address}"))
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let huge_head = [
        b"HTTP/1.1 200 OK\r\nx: ".to_vec(),
        vec![b'a'; 4 << 20],
        b"\r\n\r\n".to_vec(),
    ];
    for bytes in [
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(),
        b"HTTP/1.1 99999 OK\r\n\r\n".to_vec(),
        huge_head.concat(),
    ] {
        let base = raw(bytes).await;
        let error = client(SHORT).call(Call::get(&base, "/")).await.unwrap_err();
        assert!(
            matches!(error, CallError::Exchange { .. } | CallError::Body { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let base = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello".to_vec()).await;
    let limits = HASTY;
    let error = client(limits)
        .call(Call::get(&base, "/"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::Timeout { .. } | CallError::Body { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn nobody_there_is_an_error_without_path_and_credential() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let base = url(&format!("http://{address}/services/hunter2"));
    let call = Call::get(&base, "/hunter3");
    let call = call
        .with_secret(header::AUTHORIZATION, "Bearer ", &secret("hunter4"))
        .unwrap();
    let error = client(SHORT).call(call).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter"));
    assert!(matches!(error, CallError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_credential_cannot_add_a_header() {
    let base = url("https://a.example");
    let call = Call::get(&base, "/");
    let error = call.with_secret(header::AUTHORIZATION, "Bearer ", &secret("hunter2\r\nx: y"));
    let error = error.map(|_| ()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter"));
}

async fn tls_server(pki: &Pki) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(pki.server.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

#[tokio::test]
async fn only_who_is_trusted_and_has_the_name_is_spoken_to() {
    let pki = Pki::new();
    let port = tls_server(&pki).await;
    let base = url(&format!("https://127.0.0.1:{port}"));
    let trusting = Client::new(Some(pki.authority.path()), SHORT).unwrap();
    let answer = trusting.call(Call::get(&base, "/")).await.unwrap();
    assert_eq!(answer.body, "ok");

    let stranger = Pki::new();
    let others = Client::new(Some(stranger.authority.path()), SHORT).unwrap();
    let error = others.call(Call::get(&base, "/")).await.unwrap_err();
    assert!(matches!(error, CallError::Connect { .. }), "{error:?}");
}

#[test]
fn without_an_authority_there_is_no_client() {
    for content in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let kept = file(content);
        assert!(Client::new(Some(kept.path()), SHORT).is_err(), "{content}");
    }
}

#[tokio::test]
async fn a_foreign_document_cannot_send_us_to_this_machine() {
    let server = Server::start(|_| Reply::json(&serde_json::json!({}))).await;
    let base = url(&server.url()).foreign();
    let error = client(SHORT).call(Call::get(&base, "/")).await.unwrap_err();
    assert!(matches!(error, CallError::Address { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn how_long_to_wait() {
    let answer = |retry: &str, date: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry.parse().unwrap());
        headers.insert(header::DATE, date.parse().unwrap());
        let status = StatusCode::TOO_MANY_REQUESTS;
        let answer = Answer {
            status,
            headers,
            body: Bytes::new(),
        };
        answer.retry_after().map(Ttl::as_secs)
    };
    let date = "Tue, 24 Nov 2026 08:00:00 GMT";
    assert_eq!(answer("120", date), Some(120));
    assert_eq!(answer("Tue, 24 Nov 2026 08:02:00 GMT", date), Some(120));
    assert_eq!(answer("Tue, 24 Nov 2026 07:00:00 GMT", date), Some(0));
    assert_eq!(answer("Tue, 24 Nov 2026 08:02:00 GMT", "now"), None);
    for odd in ["-1", "1.5", "soon", "", "99999999999"] {
        assert_eq!(answer(odd, date), None, "{odd}");
    }
}
