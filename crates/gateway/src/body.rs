//! Bodies: streamed both ways, never buffered whole, counted, bounded where they come from a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

use crate::accept::OpenRequest;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side failed.
    #[error("the peer failed: {0}")]
    Peer(String),
    /// A client's body grew over the limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The log failed, so the answer may not be completed.
    #[error("the record of this request could not be written")]
    Unrecorded,
    /// The stream was ended.
    #[error("the stream was ended: {0}")]
    Ended(String),
}

/// A body of an answer.
pub struct Body {
    inner: UnsyncBoxBody<Bytes, BodyError>,
    open: Option<OpenRequest>,
}

impl Body {
    /// A body of these bytes.
    pub fn full(bytes: Bytes) -> Self {
        Self::boxed(
            Full::new(bytes)
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
    }

    /// An empty body.
    pub fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// Any body as an answer's.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::boxed(body.boxed_unsync())
    }

    fn boxed(inner: UnsyncBoxBody<Bytes, BodyError>) -> Self {
        Self { inner, open: None }
    }

    /// The same, during which this request counts as open.
    pub(crate) fn of(mut self, open: OpenRequest) -> Self {
        self.open = Some(open);
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What a client sends: as it comes, or whole, where the request was held.
#[derive(Debug)]
pub enum ClientBody {
    /// From the connection.
    Streaming(hyper::body::Incoming),
    /// From memory; taken when it is sent.
    Whole(Option<Bytes>),
}

impl http_body::Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
            Self::Whole(bytes) => {
                let rest = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(rest.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streaming(body) => body.is_end_stream(),
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming(body) => body.size_hint(),
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
        }
    }
}

/// A client's body on its way upstream: trailers are dropped (they could carry headers that nobody
/// judged), bytes are counted, and a limit cuts it off.
pub struct Upload<B> {
    inner: B,
    limit: u64,
    seen: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl<B> Upload<B> {
    /// At most `limit` bytes of `inner`; `seen` counts them.
    pub fn new(inner: B, limit: u64, seen: std::sync::Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self { inner, limit, seen }
    }
}

impl<B> http_body::Body for Upload<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        use std::sync::atomic::Ordering::Relaxed;
        loop {
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(e))) => {
                    return Poll::Ready(Some(Err(BodyError::Peer(e.to_string()))));
                }
                Poll::Ready(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let more = data.len() as u64;
            let total = self.seen.fetch_add(more, Relaxed).saturating_add(more);
            if total > self.limit {
                return Poll::Ready(Some(Err(BodyError::TooLarge(self.limit))));
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[tokio::test]
    async fn an_upload_is_cut_at_its_limit() {
        let seen = Arc::new(AtomicU64::new(0));
        let body = Upload::new(Full::new(Bytes::from_static(b"12345")), 4, seen.clone());
        assert!(matches!(body.collect().await, Err(BodyError::TooLarge(4))));
        let body = Upload::new(Full::new(Bytes::from_static(b"1234")), 4, Arc::default());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "1234");
    }

    #[tokio::test]
    async fn trailers_of_a_client_do_not_go_on() {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("impersonate-user", "admin".parse().unwrap());
        let body = Full::new(Bytes::from_static(b"x"))
            .with_trailers(async move { Some(Ok::<_, std::convert::Infallible>(trailers)) });
        let upload = Upload::new(Box::pin(body), 10, Arc::default());
        assert!(upload.collect().await.unwrap().trailers().is_none());
    }
}
