//! One channel: its queue, its task, its counters.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::config::ChannelConfig;
use super::message::Message;
use crate::client::Client;

/// Messages that wait, per channel.
const WAITING: usize = 256;

/// How often and how fast delivery is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The first wait; each further one is twice as long.
    pub(crate) first: Duration,
    /// No wait is longer.
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

pub(crate) struct Channel {
    config: ChannelConfig,
    _client: Client,
    _pace: Pace,
    state: Mutex<State>,
    wake: tokio::sync::Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    counters: Counters,
}

impl Channel {
    pub(crate) fn new(config: ChannelConfig, client: Client, pace: Pace) -> Self {
        Self {
            config,
            _client: client,
            _pace: pace,
            state: Mutex::default(),
            wake: tokio::sync::Notify::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn counters(&self) -> Counters {
        self.state().counters
    }

    /// Never waits: the oldest message goes when the queue is full.
    pub(crate) fn put(&self, message: &Message) {
        if !self.config.only.is_empty() && !self.config.only.contains(&message.kind) {
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

    pub(crate) async fn run(&self) {
        loop {
            self.wake.notified().await;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
