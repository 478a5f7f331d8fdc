//! One channel: its queue, its task, its counters.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use kubestile_core::Ttl;

use super::config::{ChannelConfig, ChannelKind};
use super::mail::Mailer;
use super::message::{Kind, Message};
use super::{slack, teams, webhook};
use crate::client::{Answer, Call, Client, ServiceUrl, TrustError};
use crate::{clock, file};

/// Messages that wait, per channel.
pub(super) const WAITING: usize = 256;

/// How often and how fast delivery is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The first wait; each further one is twice as long.
    pub(crate) first: Duration,
    /// No wait is longer, whatever a service asks for.
    pub(crate) longest: Duration,
    /// Attempts in all.
    pub(crate) attempts: u32,
}

impl Pace {
    pub(crate) const USUAL: Self = Self {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(60),
        attempts: 6,
    };

    /// The wait after a number of failed attempts.
    fn wait(&self, failed: u32, asked_for: Option<Ttl>) -> Duration {
        let factor = 1_u32 << failed.saturating_sub(1).min(16);
        let asked_for = asked_for.map_or(0, |ttl| u64::try_from(ttl.as_secs()).unwrap_or(0));
        let backed_off = self.first.saturating_mul(factor);
        backed_off
            .max(Duration::from_secs(asked_for))
            .min(self.longest)
    }
}

/// What became of a channel's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Delivered.
    pub sent: u64,
    /// Attempts that failed and were followed by another.
    pub retried: u64,
    /// Given up.
    pub failed: u64,
    /// Dropped because newer ones filled the queue.
    pub dropped: u64,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Done,
    /// It may go well later.
    Again {
        why: String,
        after: Option<Ttl>,
    },
    /// It will never go well.
    Never(String),
}

impl Delivery {
    pub(super) fn again(why: impl Into<String>) -> Self {
        Self::Again {
            why: why.into(),
            after: None,
        }
    }
}

pub(crate) struct Channel {
    config: ChannelConfig,
    client: Client,
    mailer: Option<Mailer>,
    pace: Pace,
    state: Mutex<State>,
    wake: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    counters: Counters,
}

impl Channel {
    pub(crate) fn new(
        config: ChannelConfig,
        client: Client,
        pace: Pace,
    ) -> Result<Self, TrustError> {
        let mailer = match (config.kind, &config.mail) {
            (ChannelKind::Mail, Some(mail)) => {
                Some(Mailer::new(mail.clone(), config.ca_file.as_deref())?)
            }
            _ => None,
        };
        Ok(Self {
            config,
            client,
            mailer,
            pace,
            state: Mutex::default(),
            wake: tokio::sync::Notify::new(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn counters(&self) -> Counters {
        self.state().counters
    }

    /// Never waits: the oldest message goes when the queue is full.
    pub(crate) fn put(&self, message: &Message) {
        let wanted = self.config.only.is_empty() || self.config.only.contains(&message.kind);
        // Of that everybody is told.
        if !wanted && message.kind != Kind::BreakGlass {
            return;
        }
        let mut state = self.state();
        if state.waiting.len() >= WAITING {
            state.waiting.pop_front();
            state.counters.dropped += 1;
        }
        state.waiting.push_back(message.clone());
        drop(state);
        self.wake.notify_one();
    }

    /// Delivers, one after the other, for ever.
    pub(crate) async fn run(&self) {
        loop {
            let next = self.state().waiting.pop_front();
            match next {
                Some(message) => self.deliver(&message).await,
                None => self.wake.notified().await,
            }
        }
    }

    async fn deliver(&self, message: &Message) {
        let mut failed = 0;
        loop {
            let (why, after) = match self.attempt(message).await {
                Delivery::Done => {
                    self.state().counters.sent += 1;
                    return;
                }
                Delivery::Again { why, after } => (why, after),
                Delivery::Never(why) => return self.give_up(message, &why),
            };
            failed += 1;
            if failed >= self.pace.attempts {
                return self.give_up(message, &why);
            }
            self.state().counters.retried += 1;
            tokio::time::sleep(self.pace.wait(failed, after)).await;
        }
    }

    fn give_up(&self, message: &Message, why: &str) {
        self.state().counters.failed += 1;
        tracing::warn!(
            channel = self.name(),
            message = message.id,
            why,
            "a notification could not be delivered"
        );
    }

    async fn attempt(&self, message: &Message) -> Delivery {
        match self.config.kind {
            ChannelKind::Slack => self.post(&slack::body(message).to_string()).await,
            ChannelKind::Teams => self.post(&teams::body(message).to_string()).await,
            ChannelKind::Webhook => self.webhook(message).await,
            ChannelKind::Mail => match &self.mailer {
                Some(mailer) => mailer.deliver(message).await,
                None => Delivery::Never("no mail server is configured".to_owned()),
            },
        }
    }

    /// To the secret URL in a file.
    async fn post(&self, body: &str) -> Delivery {
        let path = self.config.url_file.as_deref().unwrap_or("".as_ref());
        let text = match file::secret(path) {
            Ok(text) => text,
            Err(error) => return Delivery::again(error.to_string()),
        };
        match text.expose().parse::<ServiceUrl>() {
            Ok(url) => self.send(Call::post(&url, body.to_owned())).await,
            Err(error) => Delivery::again(error.to_string()),
        }
    }

    async fn webhook(&self, message: &Message) -> Delivery {
        let (Some(url), Some(path)) = (&self.config.url, &self.config.secret_file) else {
            return Delivery::Never("no address is configured".to_owned());
        };
        let secrets = match file::secrets(path) {
            Ok(secrets) => secrets,
            Err(error) => return Delivery::again(error.to_string()),
        };
        match webhook::call(url, message, &secrets, clock::now()) {
            Ok(call) => self.send(call).await,
            Err(error) => Delivery::Never(error.to_string()),
        }
    }

    async fn send(&self, call: Call<'_>) -> Delivery {
        match self.client.call(call).await {
            Ok(answer) => judged(&answer),
            Err(error) => Delivery::again(error.to_string()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a service writes in its answer is not repeated: only its status.
fn judged(answer: &Answer) -> Delivery {
    let status = answer.status;
    let temporary = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        );
    match status {
        status if status.is_success() => Delivery::Done,
        status if temporary => Delivery::Again {
            why: format!("the service answers {}", status.as_u16()),
            after: answer.retry_after(),
        },
        status => Delivery::Never(format!("the service answers {}", status.as_u16())),
    }
}
