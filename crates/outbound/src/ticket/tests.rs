//! Each adapter against a server that answers in the documented shape of its API.

mod adapters;
mod failures;
mod ids;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;
use crate::testing::{Reply, Server, file};

/// A system on this machine: what it answers can be changed.
struct Place {
    server: Server,
    answer: Arc<Mutex<Reply>>,
    credential: tempfile::NamedTempFile,
}

impl Place {
    async fn new(answer: Reply) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let given = answer.clone();
        Self {
            server: Server::start(move |_| given.lock().unwrap().clone()).await,
            answer,
            credential: file("hunter2\n"),
        }
    }

    fn answers(&self, answer: Reply) {
        *self.answer.lock().unwrap() = answer;
    }

    /// A configuration: the usual, and what is given over it.
    fn config(&self, kind: &str, over: Value) -> TicketConfig {
        config(&self.server.url(), self.credential.path(), kind, over)
    }

    fn tickets(&self, kind: &str, over: Value) -> Tickets {
        Tickets::new(vec![self.config(kind, over)]).unwrap()
    }

    fn path(&self) -> String {
        self.server.seen().last().unwrap().path.clone()
    }

    fn header(&self, name: &str) -> String {
        self.server.seen().last().unwrap().header(name).to_owned()
    }
}

fn config(url: &str, credential: &std::path::Path, kind: &str, over: Value) -> TicketConfig {
    let mut config = json!({
        "name": "here",
        "kind": kind,
        "url": url,
        "credentialFile": credential,
        "login": "{person}@example.com",
    });
    for (name, value) in over.as_object().unwrap() {
        config[name] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

async fn ask(tickets: &Tickets, ticket: &str, person: &str) -> Result<Ticket, TicketError> {
    let ticket = tickets.parse(ticket).unwrap();
    tickets.check(&ticket, person).await
}
