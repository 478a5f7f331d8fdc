//! Policies are loaded as a whole or not at all: while there is an error, the last good set stays, and
//! the log says so until it is mended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kubestile_core::Timestamp;
use kubestile_gateway::Gate;
use kubestile_policy::Source;

use super::change;
use crate::exit::Outcome;
use crate::policies::{self, PolicyFiles};

/// How often the files are looked at.
const TICK: Duration = Duration::from_secs(2);
/// After so many looks at the same error it is said again.
const REMIND: u32 = 30;

/// The policies in force, and the files they come from.
pub(super) struct Policies {
    gate: Arc<Gate>,
    files: PolicyFiles,
    seen: tokio::sync::Mutex<Seen>,
    state: Mutex<State>,
}

/// What was read last, good or not.
struct Seen {
    sources: Vec<Source>,
    looks: u32,
}

/// What is in force.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Since when.
    pub(super) loaded: Timestamp,
    /// Why newer files are not in force.
    pub(super) error: Option<String>,
}

impl Policies {
    /// With the set that was loaded from `sources`.
    pub(super) fn new(gate: Arc<Gate>, files: PolicyFiles, sources: Vec<Source>) -> Self {
        let state = State {
            loaded: gate.now(),
            error: None,
        };
        Self {
            gate,
            files,
            seen: tokio::sync::Mutex::new(Seen { sources, looks: 0 }),
            state: Mutex::new(state),
        }
    }

    /// The version in force.
    pub(super) fn version(&self) -> String {
        self.gate.policies.load().version().to_owned()
    }

    /// Where they come from.
    pub(super) const fn files(&self) -> &PolicyFiles {
        &self.files
    }

    /// What is in force.
    pub(super) fn state(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Looks at the files for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        if self.files.dirs.is_empty() {
            return std::future::pending().await;
        }
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            self.look(false).await;
        }
    }

    /// Looks at them now.
    pub(super) async fn reload(&self) {
        self.look(true).await;
    }

    async fn look(&self, now: bool) {
        let mut seen = self.seen.lock().await;
        let files = self.files.clone();
        // Reading and checking a large set takes longer than the runtime likes.
        let read = tokio::task::spawn_blocking(move || files.policies()).await;
        let Ok(read) = read else { return };
        match read {
            Ok(sources) if sources == seen.sources && !now => {
                seen.looks = seen.looks.wrapping_add(1);
                if seen.looks % REMIND == 0 {
                    self.remind();
                }
            }
            Ok(sources) => {
                seen.sources = sources.clone();
                self.take_up(sources).await;
            }
            Err(fail) => {
                // What is read next is new, even if it is what it was.
                seen.sources.clear();
                self.keep(fail.message());
            }
        }
    }

    async fn take_up(&self, sources: Vec<Source>) {
        let loaded = tokio::task::spawn_blocking(move || policies::load(&sources)).await;
        let Ok(loaded) = loaded else { return };
        let outcome: Outcome = async {
            let set = loaded?;
            if set.version() != self.version() {
                let (before, after) = (self.version(), set.version().to_owned());
                // Written down before it decides anything.
                change(
                    &self.gate,
                    "policies loaded",
                    &after,
                    format!("before: {before}"),
                )
                .await?;
                self.gate.replace_policies(Arc::new(set));
                tracing::info!(version = after, before, "policies loaded");
            }
            Ok(())
        }
        .await;
        match outcome {
            Ok(()) => self.set(State {
                loaded: self.gate.now(),
                error: None,
            }),
            Err(fail) => {
                let text = std::iter::once(fail.message())
                    .chain(fail.hints().iter().map(String::as_str))
                    .collect::<Vec<_>>()
                    .join("; ");
                self.keep(&text);
            }
        }
    }

    /// The last good set stays.
    fn keep(&self, error: &str) {
        let State {
            loaded,
            error: before,
        } = self.state();
        if before.as_deref() != Some(error) {
            tracing::error!(
                version = self.version(),
                "policies NOT reloaded, the last good set stays: {error}"
            );
        }
        self.set(State {
            loaded,
            error: Some(error.to_owned()),
        });
    }

    fn remind(&self) {
        if let Some(error) = self.state().error {
            tracing::error!(
                version = self.version(),
                "policies are still not reloaded: {error}"
            );
        }
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}
