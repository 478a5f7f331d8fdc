//! Tickets: the gate asks the system that a ticket lives in whether it exists, is open and names the
//! person, and what it may be used for. Whatever is not a clear answer is an error, never "open".

mod config;
mod error;
pub mod fuzzing;
mod generic;
mod github;
mod gitlab;
mod id;
mod jira;
mod pagerduty;
mod poll;
mod reading;
mod servicenow;
pub mod webhook;

use http::HeaderMap;
use kubestile_core::{ClusterName, Namespace, Timestamp};

pub use config::{ConfigError, Fields, Kind, Relation, TicketConfig, WebhookConfig, Where};
pub use error::TicketError;
pub use id::{InvalidTicket, TicketId};
pub use poll::Poll;
pub use webhook::{Event, WebhookError};

use config::System;

/// What a ticket says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Which.
    pub id: TicketId,
    /// Where a person reads it.
    pub url: String,
    /// Whether its state is one of those that count as open.
    pub open: bool,
    /// Its state in the words of its system.
    pub state: String,
    /// Its title, without control characters, at most 200 characters.
    pub title: String,
    /// Whether it names the person who was asked about, in the relation that is configured.
    pub names_person: bool,
    /// The namespaces that it is about; `None` where the configuration names no place for them, or the
    /// place is optional and empty: then the ticket does not narrow anything.
    pub namespaces: Option<Vec<Namespace>>,
    /// The cluster that it is about; `None` as for namespaces.
    pub cluster: Option<ClusterName>,
}

/// The systems in which tickets live. The default is none.
#[derive(Default)]
pub struct Tickets {
    systems: Vec<System>,
}

impl Tickets {
    /// Reads nothing but certificate files: credentials are read when they are used.
    ///
    /// # Errors
    /// [`ConfigError`], which names the system and says what is wrong.
    pub fn new(configs: Vec<TicketConfig>) -> Result<Self, ConfigError> {
        Ok(Self {
            systems: config::systems(configs)?,
        })
    }

    /// Whether no system is configured.
    pub fn is_empty(&self) -> bool {
        self.systems.is_empty()
    }

    /// Reads a ticket as people write it: `OPS-12`, `acme/shop#7`, or with the system's name,
    /// `jira:OPS-12`.
    ///
    /// # Errors
    /// [`InvalidTicket`] when no system takes it, or more than one.
    pub fn parse(&self, text: &str) -> Result<TicketId, InvalidTicket> {
        id::parse(&self.systems, text)
    }

    /// Asks the ticket's system what the ticket says now, about `person` (a name of the gate's own).
    ///
    /// # Errors
    /// [`TicketError`] when there is no clear answer.
    pub async fn check(&self, ticket: &TicketId, person: &str) -> Result<Ticket, TicketError> {
        let system = self
            .system(ticket.system())
            .ok_or_else(|| TicketError::Unknown {
                system: ticket.system().to_owned(),
            })?;
        reading::check(system, ticket, person).await
    }

    /// A fresh [`Poll`] for a ticket, at the interval of its system.
    pub fn poll(&self, ticket: &TicketId, now: Timestamp) -> Poll {
        let interval = self
            .system(ticket.system())
            .map_or(config::POLL, |system| system.poll);
        Poll::new(interval, now)
    }

    /// Verifies a webhook that arrived for the system named `system` and says which ticket to look at
    /// again. It opens and closes nothing.
    ///
    /// # Errors
    /// [`WebhookError`] when it is not signed as configured, too old, or about no ticket.
    pub fn event(
        &self,
        system: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Event, WebhookError> {
        let system = self.system(system).ok_or(WebhookError::NotConfigured)?;
        webhook::event(system, headers, body, now)
    }

    fn system(&self, name: &str) -> Option<&System> {
        self.systems.iter().find(|system| &*system.name == name)
    }
}

#[cfg(test)]
mod tests;
