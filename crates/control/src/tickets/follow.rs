//! The tickets of live grants are looked at again and again. A grant ends with its ticket, and when the
//! ticket's system has been silent for too long.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kubestile_core::grant::GrantEndReason;
use kubestile_core::{GrantId, Timestamp};
use kubestile_outbound::ticket::{Poll, Ticket, TicketError, TicketId};
use tokio::task::JoinSet;

use super::{Flaw, carries};
use crate::grants;
use crate::state::App;

/// How often it is looked whether some ticket is due.
const TICK: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1_000 });
/// As many systems' answers are waited for at once.
const ASKING: usize = 16;

/// A ticket, and the person whom it must name.
type Hook = (TicketId, String);
type Answer = (Hook, Result<Ticket, TicketError>);

/// What hangs on one hook.
struct Hung {
    grants: Vec<GrantId>,
    poll: Poll,
    asking: bool,
    /// A webhook came while the question was under way: its answer may be older than that.
    again: bool,
}

/// Follows the tickets of live grants, for ever.
pub(crate) async fn follow(app: &App) {
    if app.outside.tickets.is_empty() {
        return;
    }
    let mut rights = app.store.rights();
    rights.mark_changed();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut hooks = Hooks::default();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = app.outside.nudges.wait() => {}
            () = tokio::time::sleep(hooks.next_due(app.now())) => {}
            Some(answered) = hooks.asking.join_next() => {
                match answered {
                    Ok((hook, answer)) => hooks.settle(app, hook, answer).await,
                    // Its ticket stays without an answer, and so its grants end in time.
                    Err(error) => tracing::error!(%error, "a ticket could not be asked for"),
                }
            }
        }
        if rights.has_changed().unwrap_or(true) {
            rights.mark_unchanged();
            hooks.gather(app).await;
        }
        hooks.nudge(&app.outside.nudges.take(), app.now());
        hooks.end_silent(app).await;
        hooks.ask(app);
    }
}

#[derive(Default)]
struct Hooks {
    all: HashMap<Hook, Hung>,
    asking: JoinSet<Answer>,
}

impl Hooks {
    /// Finds out which grants hang on which tickets now.
    async fn gather(&mut self, app: &App) {
        let now = app.now();
        for hung in self.all.values_mut() {
            hung.grants.clear();
        }
        for grant in app.store.grants() {
            let Some(ticket) = grant.ticket.as_ref().filter(|_| grant.check(now).is_ok()) else {
                continue;
            };
            let tickets = &app.outside.tickets;
            match tickets.parse(ticket) {
                Ok(id) => {
                    let fresh = || Hung {
                        grants: Vec::new(),
                        // Looked at soon: it may have changed since it was asked for, or while the gate
                        // was not running.
                        poll: tickets.poll(&id, now).nudged(now),
                        asking: false,
                        again: false,
                    };
                    let hook = (id.clone(), grant.holder_name.clone());
                    let hung = self.all.entry(hook).or_insert_with(fresh);
                    hung.grants.push(grant.id);
                }
                // Its system is not set up any more: nobody vouches for it.
                Err(why) => end(app, grant.id, lost(why.to_string())).await,
            }
        }
        self.all.retain(|_, hung| !hung.grants.is_empty());
    }

    fn nudge(&mut self, tickets: &HashSet<TicketId>, now: Timestamp) {
        for ((ticket, _), hung) in &mut self.all {
            if tickets.contains(ticket) {
                hung.poll = hung.poll.nudged(now);
                hung.again = hung.asking;
            }
        }
    }

    /// How long until the next ticket is due, so that a message need not wait for a look at the clock.
    fn next_due(&self, now: Timestamp) -> Duration {
        if self.asking.len() >= ASKING {
            return TICK;
        }
        let idle = self.all.values().filter(|hung| !hung.asking);
        let left = idle.map(|hung| hung.poll.next().since(now).as_micros());
        let left = left.min().and_then(|micros| u64::try_from(micros).ok());
        left.map_or(TICK, Duration::from_micros).min(TICK)
    }

    /// Asks for what is due.
    fn ask(&mut self, app: &App) {
        let now = app.now();
        for ((ticket, person), hung) in &mut self.all {
            if self.asking.len() >= ASKING {
                return;
            }
            if hung.asking || !hung.poll.is_due(now) {
                continue;
            }
            hung.asking = true;
            app.outside.counts.tickets_asked.fetch_add(1, Relaxed);
            let tickets = app.outside.tickets.clone();
            let hook = (ticket.clone(), person.clone());
            self.asking.spawn(async move {
                let answer = tickets.check(&hook.0, &hook.1).await;
                (hook, answer)
            });
        }
    }

    async fn settle(&mut self, app: &App, hook: Hook, answer: Result<Ticket, TicketError>) {
        let now = app.now();
        let Some(hung) = self.all.get_mut(&hook) else {
            return;
        };
        hung.asking = false;
        let again = std::mem::take(&mut hung.again);
        let (ticket, person) = &hook;
        let unclear = match &answer {
            Ok(_) => None,
            Err(error) => (!says_no(error)).then_some(error),
        };
        hung.poll = match unclear {
            None if again => hung.poll.answered(now).nudged(now),
            None => hung.poll.answered(now),
            Some(error) => {
                app.outside.counts.tickets_unclear.fetch_add(1, Relaxed);
                tracing::warn!(%ticket, %error, "a ticket that a grant hangs on gave no clear answer");
                hung.poll.failed(now, error.retry_after())
            }
        };
        if unclear.is_some() {
            return;
        }
        for id in hung.grants.clone() {
            let why = match &answer {
                Err(error) => lost(error.to_string()),
                Ok(found) => match verdict(app, id, found, person) {
                    Ok(()) => continue,
                    Err(Flaw::Closed(_)) => GrantEndReason::TicketClosed(ticket.to_string()),
                    Err(flaw) => lost(flaw.to_string()),
                },
            };
            end(app, id, why).await;
        }
    }

    /// Ends what hangs on tickets whose systems have been silent for too long.
    async fn end_silent(&self, app: &App) {
        let most = app.outside.ticket_silence;
        let now = app.now();
        let silent = self.all.values().filter(|h| h.poll.silence(now) >= most);
        for id in silent.flat_map(|hung| &hung.grants) {
            let why = format!("its system has given no clear answer for {most}");
            end(app, *id, lost(why)).await;
        }
    }
}

/// Whether an error is an answer: the ticket is gone, or no longer says what it is for.
fn says_no(error: &TicketError) -> bool {
    matches!(
        error,
        TicketError::NotFound { .. } | TicketError::Scope { .. } | TicketError::Unknown { .. }
    )
}

fn verdict(app: &App, id: GrantId, ticket: &Ticket, person: &str) -> Result<(), Flaw> {
    match app.store.grant(id) {
        Some(grant) => carries(ticket, person, &grant.terms),
        None => Ok(()),
    }
}

fn lost(why: String) -> GrantEndReason {
    GrantEndReason::TicketLost(why)
}

/// Ends a grant that still lives. What fails is tried again with the next answer.
async fn end(app: &App, id: GrantId, why: GrantEndReason) {
    let Some(grant) = app.store.grant(id) else {
        return;
    };
    if grant.check(app.now()).is_err() {
        return;
    }
    if let Err(error) = grants::end(app, &grant, why, "the gate").await {
        tracing::error!(grant = %id, %error, "the end of a grant whose ticket no longer holds");
    }
}
