//! Streams: what outlives its request, and must end with the trust it was opened in.

pub mod relay;
pub mod spdy;
pub mod upgrade;
pub mod websocket;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kubestile_core::session::EndReason;

use crate::forward::Judged;
use crate::gate::Gate;

/// What a stream stands on. It ends, with a reason for the person, when the session is ended or
/// expires, or when the gate shuts down. It does not end because the certificate that opened it was
/// renewed.
pub struct Trust(Pin<Box<dyn Future<Output = String> + Send>>);

impl Trust {
    /// Of a request that is about to be forwarded.
    pub fn new(gate: &Arc<Gate>, judged: &Judged) -> Self {
        let mut session = judged.session.clone();
        let left = judged.who.session_expires().since(gate.now());
        let left = Duration::from_micros(u64::try_from(left.as_micros()).unwrap_or(0));
        let closing = gate.closing.clone();
        Self(Box::pin(async move {
            tokio::select! {
                reason = session.ended() => reason.to_string(),
                () = tokio::time::sleep(left) => EndReason::Expired.to_string(),
                () = closing.cancelled() => "the gate is shutting down".to_owned(),
            }
        }))
    }

    /// Ready with the reason once the trust has ended.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        self.0.as_mut().poll(cx)
    }

    /// The result of `work`, if the trust lasts until it is there; else why the trust ended. After
    /// that the trust must not be asked again.
    ///
    /// # Errors
    /// Why the trust ended.
    pub async fn outlasts<T>(&mut self, work: impl Future<Output = T>) -> Result<T, String> {
        tokio::select! {
            done = work => Ok(done),
            why = self.0.as_mut() => Err(why),
        }
    }

    /// Waits until the trust has ended, and says why.
    pub async fn ended(self) -> String {
        self.0.await
    }
}
