//! Streams: what outlives its request, and must end with the trust it was opened in.

pub mod over;
pub mod relay;
pub mod spdy;
pub mod upgrade;
pub mod websocket;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use kubestile_core::action::Action;
use kubestile_core::context::{Absence, Context as Conditions, Known};
use kubestile_core::identity::VerifiedIdentity;
use kubestile_core::session::EndReason;
use kubestile_core::time::Timestamp;
use kubestile_policy::{Outcome, Question};

use crate::forward::Judged;
use crate::gate::Gate;
use crate::gather::grants;
use crate::stream::over::Over;

/// What a stream stands on. It ends, with a reason for the person, when the session is ended or expires,
/// when it would not be allowed any more (a grant that ended, a job function or policy that changed), or
/// when the gate shuts down. It does not end because the certificate that opened it was renewed.
pub struct Trust(Pin<Box<dyn Future<Output = Over> + Send>>);

/// How long a stream goes on before it is judged again in any case: policies may look at the clock.
pub const JUDGED_AGAIN: Duration = Duration::from_secs(30);
/// Whether what passes in a stream is kept. [`relay`] counts bytes and looks at frames, and keeps nothing: whoever
/// adds a recorder says so here, and assessments believe it.
pub const RECORDED: bool = false;

impl Trust {
    /// Of a request that is about to be forwarded.
    pub fn new(gate: &Arc<Gate>, judged: &Judged) -> Self {
        let mut session = judged.session.clone();
        let mut rights = gate.store.rights();
        let mut policies = gate.replaced.subscribe();
        let standing = Standing {
            gate: gate.clone(),
            who: judged.who.clone(),
            action: judged.action.clone(),
            context: judged.context.clone(),
        };
        Self(Box::pin(async move {
            loop {
                // First at once: what changed since the decision is seen by nobody else.
                if let Err(why) = standing.judge() {
                    return why;
                }
                tokio::select! {
                    reason = session.ended() => return reason.into(),
                    () = tokio::time::sleep(standing.next_look()) => {}
                    _ = rights.changed() => {}
                    _ = policies.changed() => {}
                    () = standing.gate.closing.cancelled() => return Over::Shutdown,
                }
            }
        }))
    }

    /// Ready with why, once the trust has ended.
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        self.0.as_mut().poll(cx)
    }

    /// The result of `work`, if the trust lasts until it is there; else why the trust ended. After
    /// that the trust must not be asked again.
    ///
    /// # Errors
    /// Why the trust ended.
    pub async fn outlasts<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Over> {
        tokio::select! {
            done = work => Ok(done),
            why = self.0.as_mut() => Err(why),
        }
    }

    /// Waits until the trust has ended, and says why.
    pub async fn ended(self) -> Over {
        self.0.await
    }
}

/// An open stream, as it was when it was judged last.
struct Standing {
    gate: Arc<Gate>,
    who: VerifiedIdentity,
    action: Action,
    context: Conditions,
}

impl Standing {
    fn next_look(&self) -> Duration {
        let grants = self.context.grants.iter().map(|g| g.expires);
        next_look(self.gate.now(), grants.chain([self.who.session_expires()]))
    }

    /// Whether the stream would be allowed now; if not, why not.
    fn judge(&self) -> Result<(), Over> {
        let gate = &*self.gate;
        let now = gate.now();
        if now >= self.who.session_expires() {
            return Err(EndReason::Expired.into());
        }
        let Some(identity) = gate.store.person(self.who.identity().id) else {
            return Err(EndReason::PersonRemoved.into());
        };
        let context = Conditions {
            now,
            grants: grants(gate, &self.who, &self.action, now),
            ..self.context.clone()
        };
        let policies = gate.policies.load();
        let evaluate = |context: &Conditions| {
            policies.evaluate(&Question {
                identity: &identity,
                session_age_s: now.since(self.who.session_created()).as_secs(),
                assurance: self.who.assurance(),
                action: &self.action,
                context,
            })
        };
        let mut outcome = evaluate(&context);
        if let (Outcome::Allow(_), Some(asking)) = (&outcome, without_given(&context)) {
            let asked = evaluate(&asking);
            if matches!(asked, Outcome::Deny(_)) {
                outcome = asked;
            }
        }
        if let Outcome::Allow(_) = outcome {
            return Ok(());
        }
        let why = self.lost_grant(now);
        Err(Over::Access(why.unwrap_or_else(|| not_allowed(&outcome))))
    }

    /// Why a grant that the stream stood on gives nothing any more.
    fn lost_grant(&self, now: Timestamp) -> Option<String> {
        let ids = self.context.grants.iter().map(|g| g.id);
        let mut ends = ids.filter_map(|id| match self.gate.store.grant(id) {
            Some(grant) => grant.check(now).err().map(|why| (id, why.to_string())),
            None => Some((id, "the grant is gone".to_owned())),
        });
        ends.next().map(|(id, why)| format!("{why} ({id})"))
    }
}

/// Until the next of `ends` that matters to the second. What is over already ended nothing: the stream
/// stands on something else, too.
fn next_look(now: Timestamp, ends: impl Iterator<Item = Timestamp>) -> Duration {
    let left = ends.filter(|end| *end > now).map(|end| end.since(now));
    let left = left.min().map(|left| left.as_micros());
    let left = left.and_then(|micros| u64::try_from(micros).ok());
    left.map_or(JUDGED_AGAIN, Duration::from_micros)
        .min(JUDGED_AGAIN)
}

/// The same conditions without the approval, where it gave a job function: it gives that only to somebody who may
/// still ask for it, who is held and not denied without it.
fn without_given(context: &Conditions) -> Option<Conditions> {
    context.approval.present()?.function.as_ref()?;
    Some(Conditions {
        approval: Known::Absent(Absence::NotNeeded),
        ..context.clone()
    })
}

fn not_allowed(outcome: &Outcome) -> String {
    let forbids = match outcome {
        Outcome::Hold(hold) => match &hold.function {
            // Its policies say who may ask for the job function, not what became of the stream.
            Some(function) => {
                return format!(
                    "no policy permits it any more without the job function {function}"
                );
            }
            None => &hold.policies,
        },
        Outcome::Deny(denial) => &denial.policies,
        Outcome::Allow(_) => return "no policy permits it any more".to_owned(),
    };
    match forbids.first() {
        Some(policy) => format!("{} (policy {})", policy.reason, policy.id),
        None => "no policy permits it any more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kubestile_core::decision::{Denial, Hold, Obligation, PolicyRef};

    use super::*;

    #[test]
    fn the_end_names_what_forbids_it_and_not_who_might_ask() {
        let hold = |function: Option<&str>| Hold {
            policies: vec![PolicyRef {
                id: "p".to_owned().into(),
                reason: "somebody must approve".to_owned(),
            }],
            obligations: vec![Obligation::Approval],
            approvals: 1,
            function: function.map(|f| f.parse().unwrap()),
        };
        let said = |function| not_allowed(&Outcome::Hold(hold(function)));
        assert_eq!(said(None), "somebody must approve (policy p)");
        let needed = "no policy permits it any more without the job function operator:shop";
        assert_eq!(said(Some("operator:shop")), needed);
        let nothing = Denial {
            policies: Vec::new(),
            remedy: None,
        };
        let said = not_allowed(&Outcome::Deny(nothing));
        assert_eq!(said, "no policy permits it any more");
    }

    #[test]
    fn a_grant_that_is_over_does_not_make_a_stream_that_goes_on_spin() {
        let at = Timestamp::from_secs;
        let look = |ends: &[i64]| next_look(at(100), ends.iter().map(|s| at(*s)));
        assert_eq!(look(&[50, 100, 110]), Duration::from_secs(10));
        assert_eq!(look(&[50, 100]), JUDGED_AGAIN);
        assert_eq!(look(&[10_000]), JUDGED_AGAIN);
        assert_eq!(look(&[]), JUDGED_AGAIN);
    }
}
