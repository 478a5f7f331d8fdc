//! The body of an answer on its way to the client: as it comes, but never complete before the record
//! is durable, and never longer than the trust it stands on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use kubestile_core::ids::RequestId;
use kubestile_store::audit::{AuditError, Durability};

use super::Judged;
use super::farewell::Farewell;
use crate::body::BodyError;
use crate::limits::Place;
use crate::pool::InFlight;
use crate::record::Ending;
use crate::refusal::Refusal;
use crate::stream::Trust;
use crate::stream::over::Over;

type Durable = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send>>;

/// An answer's body.
pub(super) struct Answer {
    inner: Incoming,
    request: RequestId,
    ending: Ending,
    durable: Option<Durable>,
    held: Option<Frame<Bytes>>,
    trust: Option<Trust>,
    farewell: Farewell,
    state: State,
    _place: Option<Arc<Place>>,
    _in_flight: Option<InFlight>,
}

enum State {
    Streaming,
    /// The farewell was given; after a moment comes an error, so that the client sees that it was
    /// cut. The moment is for HTTP/2: a reset overtakes what still waits to be sent.
    Cut(String, Pin<Box<tokio::time::Sleep>>),
    Done,
}

/// An answer of so many bytes is here almost as soon as its head.
const SHORT: u64 = 16 * 1024;

/// How long a farewell has to reach the connection before the reset.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(200);

impl Answer {
    /// The body of the answer to `judged`, which came with `headers`.
    pub(super) fn new(
        judged: &Judged,
        headers: &HeaderMap,
        inner: Incoming,
        ending: Ending,
        durability: Option<Durability>,
    ) -> Self {
        Self {
            inner,
            request: judged.id,
            ending,
            durable: durability.map(|d| Box::pin(d.wait()) as Durable),
            held: None,
            trust: None,
            farewell: Farewell::of(judged, headers),
            state: State::Streaming,
            _place: None,
            _in_flight: None,
        }
    }

    /// Holds the request's places until the answer is complete or dropped.
    pub(super) fn holding(
        mut self,
        place: Option<Arc<Place>>,
        in_flight: Option<InFlight>,
    ) -> Self {
        self._place = place;
        self._in_flight = in_flight;
        self
    }

    /// Ends the stream when the trust it stands on ends.
    pub(super) fn ending_with(mut self, trust: Option<Trust>) -> Self {
        self.trust = trust;
        self
    }

    /// An answer without a body has no last byte to hold back: its record is waited for here. So is
    /// that of a short one, which then goes out in one piece, no later than its last byte would.
    ///
    /// # Errors
    /// 503 when the record cannot be written.
    pub(super) async fn durable_if_short(mut self) -> Result<Self, Refusal> {
        let length = self.inner.size_hint().exact();
        if (self.inner.is_end_stream() || length.is_some_and(|l| l <= SHORT))
            && let Some(durable) = self.durable.take()
            && durable.await.is_err()
        {
            self.ending
                .ended("unrecorded", "the record could not be written");
            return Err(Refusal::unavailable(
                "the record of this request could not be written",
            ));
        }
        Ok(self)
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(data) = frame.data_ref() {
            self.ending.sent(data.len() as u64);
            self.farewell.saw(data);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn fail(
        &mut self,
        end: &str,
        error: BodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.ending.ended(end, &error.to_string());
        self.state = State::Done;
        Poll::Ready(Some(Err(error)))
    }

    /// The trust has ended: a last word in the stream's own format, where it has one, then the cut.
    fn cut(&mut self, over: Over) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let why = over.to_string();
        self.ending.ended(over.word(), &why);
        let Some(last) = self.farewell.say(&over, self.request) else {
            self.state = State::Done;
            return Poll::Ready(Some(Err(BodyError::Ended(why))));
        };
        self.state = if last.ends_well {
            State::Done
        } else {
            State::Cut(why, Box::pin(tokio::time::sleep(FAREWELL)))
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(last.bytes)))))
    }

    /// Polls the record; `true` once it is durable (or need not be).
    fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AuditError>> {
        match &mut self.durable {
            None => Poll::Ready(Ok(())),
            Some(durable) => {
                let result = std::task::ready!(durable.as_mut().poll(cx));
                self.durable = None;
                Poll::Ready(result)
            }
        }
    }

    fn poll_inner(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|f| f.map_err(|e| BodyError::Peer(crate::pool::chain(&e)))))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Done) {
            State::Done => return Poll::Ready(None),
            State::Cut(why, mut moment) => {
                if moment.as_mut().poll(cx).is_pending() {
                    this.state = State::Cut(why, moment);
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Err(BodyError::Ended(why))));
            }
            State::Streaming => this.state = State::Streaming,
        }
        if let Some(trust) = &mut this.trust
            && let Poll::Ready(why) = trust.poll_ended(cx)
        {
            return this.cut(why);
        }
        let durable = match this.poll_durable(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => return this.fail("unrecorded", BodyError::Unrecorded),
            Poll::Pending => false,
        };
        // Until the record is durable one frame is always held back, since it may be the last.
        if durable && let Some(frame) = this.held.take() {
            return this.pass(frame);
        }
        loop {
            if !durable && this.held.is_some() && this.inner.is_end_stream() {
                return Poll::Pending;
            }
            match std::task::ready!(this.poll_inner(cx)) {
                Some(Ok(frame)) if durable => return this.pass(frame),
                // Neither an empty frame nor trailers show that what is held is not the last data.
                Some(Ok(frame)) if this.held.is_some() && !has_data(&frame) => {}
                Some(Ok(frame)) => {
                    if let Some(earlier) = this.held.replace(frame) {
                        return this.pass(earlier);
                    }
                }
                Some(Err(error)) => return this.fail("upstream-failed", error),
                None if durable => {
                    this.ending.ended("complete", "");
                    this.state = State::Done;
                    return Poll::Ready(None);
                }
                // The waker is registered with the record.
                None => return Poll::Pending,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done)
            || (self.held.is_none() && self.durable.is_none() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // A stream that may be cut has no length; what is held back counts as not yet sent.
        if self.trust.is_some() {
            return SizeHint::default();
        }
        let held = self
            .held
            .as_ref()
            .and_then(|f| f.data_ref())
            .map_or(0, |d| d.len() as u64);
        match self.inner.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest.saturating_add(held)),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // With a Content-Length, hyper stops asking at the last byte.
        if matches!(self.state, State::Streaming)
            && self.held.is_none()
            && self.inner.is_end_stream()
        {
            self.ending.ended("complete", "");
        }
    }
}

fn has_data(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(|data| !data.is_empty())
}
