//! Messages to people: somebody waits, was approved, was denied, broke the glass. They carry a link,
//! never a way to approve by itself.
//!
//! [`Notifier::send`] never waits and never fails: each channel has a bounded queue of its own, whose
//! oldest message goes when it is full, and a task of its own, so that a slow service holds up nobody.

mod config;
mod mail;
mod message;
mod queue;
mod slack;
mod teams;
mod webhook;

use std::sync::Arc;

pub use config::{ChannelConfig, ChannelKind, MailConfig, MailTls, NotifyConfigError};
pub use message::{Kind, Message};
pub use queue::Counters;

use queue::{Channel, Pace};

/// All channels. The default is none.
#[derive(Clone, Default)]
pub struct Notifier {
    channels: Arc<[Arc<Channel>]>,
}

impl Notifier {
    /// Reads nothing but certificate files: credentials are read when they are used.
    ///
    /// # Errors
    /// [`NotifyConfigError`], which names the channel and says what is wrong.
    pub fn new(configs: Vec<ChannelConfig>) -> Result<Self, NotifyConfigError> {
        Self::with_pace(configs, Pace::USUAL)
    }

    fn with_pace(configs: Vec<ChannelConfig>, pace: Pace) -> Result<Self, NotifyConfigError> {
        Ok(Self {
            channels: config::channels(configs, pace)?
                .into_iter()
                .map(Arc::new)
                .collect(),
        })
    }

    /// Puts a message into the queue of every channel that wants its kind.
    pub fn send(&self, message: &Message) {
        for channel in self.channels.iter() {
            channel.put(message);
        }
    }

    /// Delivers until the future is dropped. Run it once.
    pub async fn run(&self) {
        let mut tasks = tokio::task::JoinSet::new();
        for channel in self.channels.iter() {
            let channel = channel.clone();
            tasks.spawn(async move { channel.run().await });
        }
        while tasks.join_next().await.is_some() {}
    }

    /// What became of the messages so far, by the channels' names.
    pub fn counters(&self) -> Vec<(String, Counters)> {
        let counters = |channel: &Arc<Channel>| (channel.name().to_owned(), channel.counters());
        self.channels.iter().map(counters).collect()
    }
}

#[cfg(test)]
mod tests;
