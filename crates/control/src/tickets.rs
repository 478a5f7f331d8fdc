//! Tickets that grants hang on: whether one holds when it is named, and as long as the grant lives.

mod follow;
mod webhook;

use kubestile_core::grant::Terms;
use kubestile_outbound::ticket::{Ticket, TicketId};

use crate::error::ApiError;
use crate::state::App;

pub(crate) use follow::follow;
pub(crate) use webhook::webhook;

/// Asks the ticket's system whether the ticket is open, names `person` and covers `terms`. `None` where no
/// system is set up: then nobody can vouch for a ticket, and it is a note.
pub(crate) async fn vouch(
    app: &App,
    text: &str,
    person: &str,
    terms: &Terms,
) -> Result<Option<TicketId>, ApiError> {
    let tickets = &app.outside.tickets;
    if tickets.is_empty() {
        return Ok(None);
    }
    let refusal = |why: String| {
        ApiError::forbidden(format!("the ticket `{text}` gives nothing: {why}"))
            .hint("name an open ticket that is for you and for this place")
    };
    let id = tickets.parse(text).map_err(|e| refusal(e.to_string()))?;
    let ticket = tickets.check(&id, person).await.map_err(|error| {
        tracing::warn!(ticket = %id, %error, "a ticket gave no clear answer");
        refusal(error.to_string())
    })?;
    carries(&ticket, person, terms).map_err(|flaw| refusal(flaw.to_string()))?;
    Ok(Some(id))
}

/// Why a ticket does not carry what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("it is not open (`{0}`)")]
    Closed(String),
    #[error("it does not name {0}")]
    Stranger(String),
    #[error("it is for the cluster {0}")]
    Cluster(String),
    #[error("it is for the namespaces {0}")]
    Namespaces(String),
}

/// Whether a ticket, as it stands, carries `terms` for `person`. Where it says nothing of a place (and its
/// system is set up so that it need not), it narrows nothing.
pub(crate) fn carries(ticket: &Ticket, person: &str, terms: &Terms) -> Result<(), Flaw> {
    if !ticket.open {
        return Err(Flaw::Closed(ticket.state.clone()));
    }
    if !ticket.names_person {
        return Err(Flaw::Stranger(person.to_owned()));
    }
    if let Some(cluster) = &ticket.cluster
        && terms.cluster.as_ref() != Some(cluster)
    {
        return Err(Flaw::Cluster(cluster.to_string()));
    }
    if let Some(namespaces) = &ticket.namespaces {
        // No namespace in the terms is the whole cluster.
        let within = terms.namespaces.iter().all(|n| namespaces.contains(n));
        if terms.namespaces.is_empty() || !within {
            let names: Vec<&str> = namespaces.iter().map(|n| n.as_str()).collect();
            return Err(Flaw::Namespaces(names.join(", ")));
        }
    }
    Ok(())
}
