//! What the gate asks of other people's services, and tells them.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kubestile_core::Ttl;
use kubestile_outbound::notify::{ChannelConfig, Notifier, NotifyConfigError};
use kubestile_outbound::oidc::{
    IssuerConfig, Issuers, OidcConfigError, PipelineRule, RuleError, Rules,
};
use kubestile_outbound::ticket::{ConfigError, TicketConfig, TicketId, Tickets};

use crate::api::{ChannelStatus, OutsideStatus};
use crate::pipelines;

/// As many tickets are remembered that webhooks speak of, until they are looked at; more are found by the
/// usual polling.
const NUDGES: usize = 1024;

/// Other people's services, as they are configured. The default is none.
#[derive(Debug, Clone)]
pub struct OutsideConfig {
    /// Systems of tickets.
    pub tickets: Vec<TicketConfig>,
    /// How long a ticket's system may give no clear answer before the grants that hang on it end.
    pub ticket_silence: Ttl,
    /// Where notifications go.
    pub channels: Vec<ChannelConfig>,
    /// Whose pipeline tokens are accepted.
    pub issuers: Vec<IssuerConfig>,
    /// Which pipelines may do what.
    pub rules: Vec<PipelineRule>,
    /// What the people who set pipelines off are called here, by their name at the issuer.
    pub people: BTreeMap<String, String>,
}

impl Default for OutsideConfig {
    fn default() -> Self {
        Self {
            tickets: Vec::new(),
            ticket_silence: Ttl::from_secs(600),
            channels: Vec::new(),
            issuers: Vec::new(),
            rules: Vec::new(),
            people: BTreeMap::new(),
        }
    }
}

/// A configuration of other people's services that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutsideError {
    /// A ticket system.
    #[error(transparent)]
    Tickets(#[from] ConfigError),
    /// A notification channel.
    #[error(transparent)]
    Channels(#[from] NotifyConfigError),
    /// An issuer of tokens.
    #[error(transparent)]
    Issuers(#[from] OidcConfigError),
    /// A rule for pipelines.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// What a rule gives cannot be given so.
    #[error("pipeline rule {number} (`{name}`): {reason}")]
    Functions {
        /// Its place in the list, from 1.
        number: usize,
        /// The template of its name.
        name: String,
        /// What is wrong, and what to write instead.
        reason: &'static str,
    },
}

/// Other people's services, ready to be asked.
pub struct Outside {
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) ticket_silence: Ttl,
    pub(crate) notifier: Notifier,
    pub(crate) issuers: Issuers,
    pub(crate) rules: Rules,
    pub(crate) people: BTreeMap<String, String>,
    pub(crate) nudges: Nudges,
    pub(crate) counts: Counts,
}

/// What is counted.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) webhooks_taken: AtomicU64,
    pub(crate) webhooks_refused: AtomicU64,
    pub(crate) tickets_asked: AtomicU64,
    pub(crate) tickets_unclear: AtomicU64,
}

impl Outside {
    /// Reads nothing but certificate files, and asks nobody.
    ///
    /// # Errors
    /// [`OutsideError`], which names what is wrong.
    pub fn new(config: OutsideConfig) -> Result<Self, OutsideError> {
        let names: Vec<&str> = config.issuers.iter().map(|i| i.name.as_str()).collect();
        pipelines::check_rules(&config.rules)?;
        let rules = Rules::new(config.rules, &names)?;
        Ok(Self {
            tickets: Arc::new(Tickets::new(config.tickets)?),
            ticket_silence: config.ticket_silence,
            notifier: Notifier::new(config.channels)?,
            issuers: Issuers::new(config.issuers)?,
            rules,
            people: config.people,
            nudges: Nudges::default(),
            counts: Counts::default(),
        })
    }

    pub(crate) fn status(&self) -> OutsideStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let channels = self.notifier.counters().into_iter();
        OutsideStatus {
            webhooks_taken: read(&self.counts.webhooks_taken),
            webhooks_refused: read(&self.counts.webhooks_refused),
            tickets_asked: read(&self.counts.tickets_asked),
            tickets_unclear: read(&self.counts.tickets_unclear),
            notifications: channels
                .map(|(channel, counts)| ChannelStatus {
                    channel,
                    sent: counts.sent,
                    retried: counts.retried,
                    failed: counts.failed,
                    dropped: counts.dropped,
                })
                .collect(),
        }
    }
}

impl Default for Outside {
    /// Nothing is configured: no ticket holds, nobody is told, no pipeline logs in.
    fn default() -> Self {
        Self {
            tickets: Arc::default(),
            ticket_silence: OutsideConfig::default().ticket_silence,
            notifier: Notifier::default(),
            issuers: Issuers::default(),
            rules: Rules::default(),
            people: BTreeMap::new(),
            nudges: Nudges::default(),
            counts: Counts::default(),
        }
    }
}

/// Tickets that webhooks speak of, on their way to whoever follows them.
#[derive(Default)]
pub(crate) struct Nudges {
    tickets: Mutex<HashSet<TicketId>>,
    wake: tokio::sync::Notify,
}

impl Nudges {
    pub(crate) fn put(&self, ticket: TicketId) {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() < NUDGES {
            tickets.insert(ticket);
        }
        drop(tickets);
        self.wake.notify_one();
    }

    /// Pends until there are some.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn take(&self) -> HashSet<TicketId> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut tickets)
    }
}
