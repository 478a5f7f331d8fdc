//! The origin: what every proxy stands in front of. It plays just so much of a Kubernetes API server
//! as the rows need, over TLS 1.3 with HTTP/1.1 and HTTP/2, in a process of its own.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::reviews;
use super::tls::Pki;

/// One object of 1 KiB.
pub(super) const ONE: &str = "/api/v1/namespaces/bench/configmaps/one";
/// A list of 100 MiB.
pub(super) const LIST: &str = "/api/v1/namespaces/bench/configmaps";
/// A watch that says one thing and then nothing.
pub(super) const WATCH: &str = "/api/v1/namespaces/bench/configmaps?watch=true";

/// Bytes of one object.
const OBJECT: usize = 1024;
/// Objects in what the list is sent in.
const OBJECTS: usize = 64;
/// So often is that sent.
const TIMES: u64 = 1600;
const LIST_HEAD: &str =
    r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":["#;

/// Serves until standard input ends, which is when whoever started it is gone. The port that the
/// kernel chose is the one line on standard output.
pub(super) fn run(dir: &Path) -> Result<()> {
    super::machine::raise_open_files();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let tls = TlsAcceptor::from(Arc::new(Pki::of(dir).server()?));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", listener.local_addr()?)?;
        stdout.flush()?;
        let content = Arc::new(Content::new());
        loop {
            let (tcp, _) = listener.accept().await.context("accept")?;
            tokio::spawn(connection(tls.clone(), tcp, content.clone()));
        }
    })
}

/// A connection that breaks off is the other side's business.
async fn connection(tls: TlsAcceptor, tcp: TcpStream, content: Arc<Content>) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let Ok(tls) = tls.accept(tcp).await else {
        return;
    };
    let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| {
        let content = content.clone();
        async move { Ok::<_, Infallible>(answer(&content, request).await) }
    });
    if h2 {
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.timer(TokioTimer::new()).max_concurrent_streams(250);
        let _ = server.serve_connection(TokioIo::new(tls), service).await;
    } else {
        let server = http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(tls), service).await;
    }
}

async fn answer(content: &Content, request: Request<Incoming>) -> Response<Body> {
    let watch = request
        .uri()
        .query()
        .is_some_and(|q| q.contains("watch=true"));
    let path = request.uri().path().to_owned();
    if *request.method() == Method::POST {
        return review(request).await;
    }
    match path.as_str() {
        ONE => json_answer(StatusCode::OK, Body::whole(content.one.clone())),
        LIST if watch => json_answer(StatusCode::OK, Body::Watch(Some(content.event.clone()))),
        LIST => json_answer(StatusCode::OK, content.list()),
        _ => json_answer(
            StatusCode::NOT_FOUND,
            Body::whole(Bytes::from_static(b"{}")),
        ),
    }
}

fn json_answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// The gate asks what its account can do.
async fn review(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, 64 * 1024).collect().await;
    let asked: Option<Value> = body
        .ok()
        .and_then(|b| serde_json::from_slice(&b.to_bytes()).ok());
    match asked.and_then(|asked| reviews::answer(head.uri.path(), &head.headers, &asked)) {
        Some(answer) => json_answer(StatusCode::CREATED, Body::whole(answer.to_string().into())),
        None => json_answer(
            StatusCode::NOT_FOUND,
            Body::whole(Bytes::from_static(b"{}")),
        ),
    }
}

/// What is answered, made once.
struct Content {
    one: Bytes,
    /// Objects of a list, each with a comma behind it.
    some: Bytes,
    last: Bytes,
    event: Bytes,
}

impl Content {
    fn new() -> Self {
        let one = object(OBJECT);
        let some = (object(OBJECT - 1) + ",").repeat(OBJECTS);
        let event = format!("{{\"type\":\"ADDED\",\"object\":{one}}}\n");
        Self {
            last: format!("{one}]}}").into(),
            one: one.into(),
            some: some.into(),
            event: event.into(),
        }
    }

    fn list(&self) -> Body {
        Body::List {
            head: Some(Bytes::from_static(LIST_HEAD.as_bytes())),
            some: self.some.clone(),
            times: TIMES,
            last: Some(self.last.clone()),
        }
    }
}

/// A config map of exactly so many bytes.
fn object(size: usize) -> String {
    let head = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one","namespace":"bench","resourceVersion":"1"},"data":{"text":""#;
    let tail = r#""}}"#;
    let filling = size.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", "x".repeat(filling))
}

/// The body of an answer. Nothing of it is made while it is sent.
enum Body {
    Whole(Option<Bytes>),
    List {
        head: Option<Bytes>,
        some: Bytes,
        times: u64,
        last: Option<Bytes>,
    },
    /// One event, then nothing until the other side goes.
    Watch(Option<Bytes>),
}

impl Body {
    fn whole(bytes: Bytes) -> Self {
        Self::Whole(Some(bytes))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Watch(event) => match event.take() {
                Some(event) => Some(event),
                None => return Poll::Pending,
            },
            Self::List {
                head,
                some,
                times,
                last,
            } => match (head.take(), *times) {
                (Some(head), _) => Some(head),
                (None, 0) => last.take(),
                (None, _) => {
                    *times -= 1;
                    Some(some.clone())
                }
            },
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::List { last, .. } => last.is_none(),
            Self::Watch(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, |b| b.len() as u64);
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(length(bytes)),
            Self::List {
                head,
                some,
                times,
                last,
            } => SizeHint::with_exact(length(head) + *times * some.len() as u64 + length(last)),
            Self::Watch(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_list_is_json_of_the_size_it_says() {
        let mut list = Content::new().list();
        if let Body::List { times, .. } = &mut list {
            *times = 2;
        }
        let said = hyper::body::Body::size_hint(&list).exact().unwrap();
        let bytes = list.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() as u64, said);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["items"].as_array().unwrap().len(), 2 * OBJECTS + 1);
    }

    #[test]
    fn an_object_is_one_kib() {
        assert_eq!(Content::new().one.len(), 1024);
    }
}
