//! A client that sends exactly the bytes it is given over TLS, for requests that no well-behaved
//! client makes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A TLS connection.
pub struct Raw {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// What came back: status, head and body as text.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status; 0 when the connection was closed without one.
    pub status: u16,
    /// The status line and headers.
    pub head: String,
    /// The body, as far as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Raw {
    /// Connects to `address` (`127.0.0.1:8443`), trusting `ca` (PEM), showing `identity`
    /// (certificate and key, PEM) if there is one. HTTP/1.1 only.
    pub fn connect(address: &str, ca: &str, identity: Option<(&str, &str)>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a CA"))
            .expect("a CA");
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("an identity")
            }
        };
        let host = address.rsplit_once(':').expect("host:port").0.to_owned();
        let name = ServerName::try_from(host).expect("a server name");
        let tcp = TcpStream::connect(address).expect("a connection");
        tcp.set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a time-out");
        let connection = ClientConnection::new(Arc::new(config), name).expect("TLS");
        Self {
            stream: StreamOwned::new(connection, tcp),
        }
    }

    /// Sends bytes as they are. A peer that has closed already is not an error here.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self
            .stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush());
    }

    /// Sends one HTTP/1.1 request with these header lines (each with `\r\n`).
    pub fn request(&mut self, line: &str, headers: &str) -> Answer {
        self.send(format!("{line}\r\nHost: gate\r\n{headers}\r\n").as_bytes());
        self.answer()
    }

    /// One call of the gate's own interface, the last one on this connection; status and JSON.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> (u16, serde_json::Value) {
        let body = body.map(ToString::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.send(head.as_bytes());
        let answer = self.answer();
        let json = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, json)
    }

    /// Reads one answer: a head, and a body by Content-Length, by chunks, or until the end.
    pub fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = find(&bytes, b"\r\n\r\n") {
                break at;
            }
            match self.read() {
                Some(more) => bytes.extend(more),
                None => {
                    return Answer {
                        status: 0,
                        head: String::new(),
                        body: bytes,
                    };
                }
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut body = bytes[end + 4..].to_vec();
        let lower = head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|l| l.strip_prefix("content-length:"))
            .map(|l| l.trim().parse::<usize>().expect("a length"));
        let chunked = lower.contains("transfer-encoding: chunked");
        let whole = |body: &[u8]| match length {
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .unwrap_or(0);
        while status != 101 && !whole(&body) {
            match self.read() {
                Some(more) => body.extend(more),
                None => break,
            }
        }
        Answer { status, head, body }
    }

    /// The next bytes; `None` at the end or when nothing came for 10 s.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => None,
            Ok(n) => Some(buffer[..n].to_vec()),
        }
    }

    /// Whether the other side closes the connection (or says nothing more for 10 s).
    pub fn is_closed(&mut self) -> bool {
        self.read().is_none()
    }
}

/// A plain HTTP GET of `address`; status and body, or `None` when nobody answers.
pub fn plain_get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut tcp = TcpStream::connect(address).ok()?;
    tcp.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    tcp.read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}
