//! What signals mean: TERM and INT stop taking connections and drain, a second one cuts; HUP reloads.

use std::sync::Arc;

use kubestile_gateway::Gate;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::clusters::Clusters;
use super::reload::Policies;
use crate::exit::Outcome;

/// The signals, caught from now on.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Catches them.
    pub(super) fn new() -> Outcome<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Does what they say, for ever.
    pub(super) async fn obey(
        mut self,
        gate: Arc<Gate>,
        policies: Arc<Policies>,
        clusters: Arc<Clusters>,
    ) {
        loop {
            tokio::select! {
                _ = self.term.recv() => stop(&gate),
                _ = self.int.recv() => stop(&gate),
                _ = self.hup.recv() => {
                    tracing::info!("reloading");
                    policies.reload().await;
                    clusters.reload();
                }
            }
        }
    }
}

fn stop(gate: &Gate) {
    if gate.draining.is_cancelled() {
        tracing::warn!("stopping now");
        gate.closing.cancel();
        return;
    }
    tracing::info!("no new connections; open requests may end");
    gate.draining.cancel();
}
