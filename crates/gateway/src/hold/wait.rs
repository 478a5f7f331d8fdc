//! From a hold to its answer: an access request is opened, its fate awaited, and what was approved judged
//! again before it goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use kubestile_core::approval::{
    About, AccessRequest, Attempt, Event, HeldRequest, Requester, Sort, State, Subject,
};
use kubestile_core::context::{Absence, Approved, Context, Known};
use kubestile_core::decision::{Decision, Hold};
use kubestile_core::event::{Accessed, Event as Written};
use kubestile_core::session::EndReason;
use kubestile_core::{AccessId, RiskClass, Timestamp, kubectl_line};
use kubestile_store::RequestHandle;

use super::waiting_body::WaitingBody;
use super::{Passed, digest, waiting_body};
use crate::body::ClientBody;
use crate::decide::decide;
use crate::forward::Judged;
use crate::gate::{Gate, HoldMode};
use crate::gather::gather_again;
use crate::impact;
use crate::record;
use crate::refusal::Refusal;

/// Waits for the approval of a held request, or finds the one that it has already.
pub(super) async fn for_approval(
    gate: &Arc<Gate>,
    mut judged: Judged,
    hold: Hold,
    request: Request<Incoming>,
) -> Result<Passed, Refusal> {
    let place = gate
        .limits
        .wait(judged.who.identity().id, judged.cluster.name())?;
    // Others of this person may go on meanwhile.
    judged.place = None;
    let (parts, body) = request.into_parts();
    let body = waiting_body::read(gate, judged.who.identity().id, body).await?;
    let digest = digest::of(&judged, &parts.headers, &body.bytes);
    let sort = Sort::of(&judged.action);
    let attempt = attempt(&judged, &digest, &sort);
    let approved = match gate.store.approval_for(&attempt, gate.now()) {
        Some(approved) => approved,
        None => wait(gate, &judged, &hold, &digest, &parts.headers, &body.bytes).await?,
    };
    drop(place);
    go_on(gate, judged, &approved, Request::from_parts(parts, body)).await
}

fn attempt<'a>(judged: &'a Judged, digest: &'a str, sort: &'a Sort) -> Attempt<'a> {
    let invocation = judged.context.invocation.present();
    Attempt {
        person: judged.who.identity().id,
        session: judged.who.session(),
        digest,
        invocation: invocation.map(|i| i.session.as_str()),
        sort,
    }
}

/// Asks, and waits for the answer. What this joined may be taken back in the same moment, because the client's
/// last try went away: then it asks anew.
async fn wait(
    gate: &Arc<Gate>,
    judged: &Judged,
    hold: &Hold,
    digest: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Arc<AccessRequest>, Refusal> {
    loop {
        let asked = ask(gate, judged, hold, digest, headers, body).await?;
        let (joined, handle) = (asked.joined, asked.handle.clone());
        let answer = answer(gate, judged, asked).await;
        let taken_back =
            matches!(&handle.current().state, State::Withdrawn { why, .. } if why == GONE);
        if answer.is_ok() || !joined || !taken_back {
            return answer;
        }
    }
}

/// Why a request is taken back that nobody waits for any more.
const GONE: &str = "the client went away";

/// An access request that waits, withdrawn when the last client that waits for it goes away first.
struct Asked {
    gate: Arc<Gate>,
    id: AccessId,
    handle: RequestHandle,
    line: String,
    /// Whether it was there already.
    joined: bool,
    /// Why it is taken back when this is dropped; cleared once it has its answer.
    withdraws: Option<String>,
    /// What became of it, as it is counted.
    outcome: &'static str,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.gate.metrics.held(-1);
        self.gate.metrics.hold_ended(self.outcome);
        let last = self.gate.waiters.leave(self.id);
        if let Some(why) = self.withdraws.take().filter(|_| last) {
            let (gate, id) = (self.gate.clone(), self.id);
            self.gate.open.spawn(async move {
                withdraw(&gate, id, &why).await;
            });
        }
    }
}

/// Opens the access request, or joins the one that waits for the same thing.
async fn ask(
    gate: &Arc<Gate>,
    judged: &Judged,
    hold: &Hold,
    digest: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Asked, Refusal> {
    let line = kubectl_line::of(&judged.action);
    let sort = Sort::of(&judged.action);
    let waits = gate.settings.holds.mode(judged.cluster.name()) == HoldMode::Wait;
    let asked = |handle: RequestHandle, joined: bool| {
        gate.metrics.held(1);
        let id = handle.current().id;
        gate.waiters.join(id);
        Asked {
            gate: gate.clone(),
            id,
            handle,
            line: line.clone(),
            joined,
            withdraws: waits.then(|| GONE.to_owned()),
            outcome: if waits { "withdrawn" } else { "refused" },
        }
    };
    let same = gate
        .store
        .waiting_for(&attempt(judged, digest, &sort), gate.now());
    if let Some(handle) = same.and_then(|r| gate.store.request(r.id)) {
        return Ok(asked(handle, true));
    }
    let mut request = access_request(gate, judged, hold, digest.to_owned(), sort, waits);
    if let Subject::Request(held) = &mut request.subject
        && held.invocation.is_none()
    {
        held.client = client(headers);
    }
    let (uid, impact) = tokio::join!(
        impact::uid(gate, judged, request.id),
        impact::of(gate, judged, request.id, headers, body)
    );
    if let Subject::Request(held) = &mut request.subject {
        held.uid = uid;
        held.impact = impact;
    }
    let mut written = Accessed::new("requested", &judged.who.identity().name, &request);
    written.session = Some(judged.who.session());
    written.detail = format!("waits for {}", request.approvers.join(", "));
    record::change(gate, Written::Access(Box::new(written))).await?;
    let handle = gate.store.open_request(request).await.map_err(|error| {
        tracing::warn!(request = %judged.id, error = %error, "a request could not be held");
        Refusal::cannot_hold(&error.to_string())
    })?;
    Ok(asked(handle, false))
}

fn access_request(
    gate: &Gate,
    judged: &Judged,
    hold: &Hold,
    digest: String,
    sort: Sort,
    waits: bool,
) -> AccessRequest {
    let now = gate.now();
    let identity = judged.who.identity();
    let policies: Vec<_> = hold.policies.iter().map(|p| p.id.clone()).collect();
    let role = hold.function.as_ref().map_or("", |f| f.role());
    let about = About {
        policies: policies.clone(),
        ..About::of_action(&judged.action, role, &identity.name)
    };
    let resource = judged.action.resource();
    AccessRequest {
        id: gate.new_access_id(),
        requester: Requester {
            id: identity.id,
            name: identity.name.clone(),
            session: judged.who.session(),
            key_digest: judged.session.session().key_digest.clone(),
            behind: None,
            source: judged.source.to_string(),
        },
        subject: Subject::Request(Box::new(HeldRequest {
            request: judged.id,
            digest,
            kubectl: kubectl_line::of(&judged.action),
            sort,
            name: resource.map_or_else(String::new, |r| r.name.clone()),
            invocation: judged
                .context
                .invocation
                .present()
                .map(|i| i.session.clone()),
            client: None,
            uid: None,
            impact: None,
            function: hold.function.clone(),
            waits,
        })),
        risk: RiskClass::of(&judged.action),
        ticket: judged.context.grants.iter().find_map(|g| g.ticket.clone()),
        reason: None,
        quorum: hold.approvals.max(1),
        approvers: judged
            .policies
            .approvers(&about, now, judged.context.source),
        policies,
        created: now,
        expires: now.plus(gate.settings.holds.patience),
        approvals: Vec::new(),
        state: State::Waiting,
    }
}

/// What a client says that it is: a hint, bounded, never trusted.
fn client(headers: &HeaderMap) -> Option<String> {
    const LONGEST: usize = 256;
    let text = headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
}

/// Waits for the answer, where the client can wait.
async fn answer(
    gate: &Arc<Gate>,
    judged: &Judged,
    mut asked: Asked,
) -> Result<Arc<AccessRequest>, Refusal> {
    let mode = gate.settings.holds.mode(judged.cluster.name());
    if mode != HoldMode::Wait {
        let retry = (mode == HoldMode::RetryAfter).then_some(RETRY_SECS);
        let request = asked.handle.current();
        return Err(Refusal::waits(
            &asked.line,
            &request,
            &gate.link(request.id),
            retry,
        ));
    }
    let mut session = judged.session.clone();
    loop {
        let current = asked.handle.current();
        let now = gate.now();
        match current.state_at(now) {
            State::Waiting => {}
            State::Approved { .. } => {
                asked.withdraws = None;
                asked.outcome = current.state.name();
                // What is said beside kubectl in the terminal is to come before kubectl's own words.
                tokio::time::sleep(NEWS_FIRST).await;
                return Ok(current);
            }
            over => {
                asked.withdraws = None;
                asked.outcome = over.name();
                if over != current.state {
                    settle_expired(gate, current.id).await;
                }
                return Err(Refusal::not_approved(&asked.line, &current, &over));
            }
        }
        let left = until(current.expires, now);
        let session_left = until(judged.who.session_expires(), now);
        tokio::select! {
            changed = asked.handle.changed() => {
                if changed.is_none() {
                    return Err(Refusal::cannot_hold("the gate has forgotten it"));
                }
            }
            () = tokio::time::sleep(left) => {}
            why = session.ended() => return Err(asked.lost(&why)),
            () = tokio::time::sleep(session_left) => return Err(asked.lost(&EndReason::Expired)),
            () = gate.draining.cancelled() => {
                let why = "the gate is shutting down";
                asked.withdraws = Some(why.to_owned());
                return Err(Refusal::cannot_hold(why));
            }
        }
    }
}

/// How long the news of an approval has to reach the terminal before the request goes on.
const NEWS_FIRST: Duration = Duration::from_millis(400);

/// How soon a client is told to come again.
const RETRY_SECS: u32 = 10;

impl Asked {
    /// The session that asked is over.
    fn lost(&mut self, why: &EndReason) -> Refusal {
        self.withdraws = Some(why.to_string());
        Refusal::unauthenticated(&format!(
            "{why} while the request waited: run `kubestile login`"
        ))
    }
}

fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(then.since(now).as_micros()).unwrap_or(0))
}

/// Writes down that nobody answered in time.
async fn settle_expired(gate: &Gate, id: AccessId) {
    let Ok(expired) = gate.store.change_request(id, Event::Tick, gate.now()).await else {
        return;
    };
    let written = Accessed::new("expired", "the gate", &expired);
    record::change_later(gate, Written::Access(Box::new(written)));
}

/// Takes a request back that nobody waits for any more.
async fn withdraw(gate: &Gate, id: AccessId, why: &str) {
    // Somebody may have joined since.
    if !gate.waiters.none(id) {
        return;
    }
    let event = Event::Withdraw {
        why: why.to_owned(),
    };
    // It may have had its answer in the same moment: then it is over anyhow.
    let Ok(withdrawn) = gate.store.change_request(id, event, gate.now()).await else {
        return;
    };
    let mut written = Accessed::new("withdrawn", "the gate", &withdrawn);
    written.detail = why.to_owned();
    record::change_later(gate, Written::Access(Box::new(written)));
}

/// The decision on what was approved. A job function that comes with an approval is given only to somebody who
/// may still ask for it: without the approval, they would be held and not denied.
fn judge_again(gate: &Gate, judged: &Judged) -> Decision {
    let (policies, who, action) = (&judged.policies, &judged.who, &judged.action);
    let approved = judged.context.approval.present();
    if approved.is_some_and(|approved| approved.function.is_some()) {
        let asking = Context {
            approval: Known::Absent(Absence::NotNeeded),
            ..judged.context.clone()
        };
        let decision = policies.decide(judged.id, who, action, &asking);
        if matches!(decision, Decision::Deny(_)) {
            return decision;
        }
    }
    decide(gate, policies, judged.id, who, action, &judged.context)
}

/// What was approved is judged again, as everything stands now: session, job functions, grants, policies,
/// the cluster, and whether the object is still the same one.
async fn go_on(
    gate: &Arc<Gate>,
    mut judged: Judged,
    approved: &AccessRequest,
    request: Request<WaitingBody>,
) -> Result<Passed, Refusal> {
    let line = kubectl_line::of(&judged.action);
    judged.check_cluster(gate)?;
    judged.who = crate::authenticate::again(gate, &judged.who)?;
    let held = approved.held();
    let known = Approved {
        access: approved.id,
        count: u8::try_from(approved.approvals.len()).unwrap_or(u8::MAX),
        function: held.and_then(|h| h.function.clone()),
    };
    judged.context = gather_again(gate, &judged, Known::Present(known));
    judged.policies = gate.policies.load_full();
    let long = judged.action.is_long_running();
    judged.place = Some(gate.limits.enter(
        judged.who.identity().id,
        judged.cluster.name(),
        long,
        judged.upgrade.is_some(),
    )?);
    // The rest of a command is about other objects; what was looked at is what must not have changed.
    let name = judged.action.resource().map(|r| r.name.as_str());
    let looked_at = held.filter(|h| Some(h.name.as_str()) == name);
    if let Some(uid) = looked_at.and_then(|h| h.uid.as_deref())
        && impact::uid(gate, &judged, approved.id).await.as_deref() != Some(uid)
    {
        let refusal = Refusal::object_replaced(&line, approved.id);
        return Err(record::refused_again(gate, &judged, refusal));
    }
    let decision = judge_again(gate, &judged);
    let recorded = record::record(gate, &judged, request.headers(), &decision).await?;
    match decision {
        Decision::Allow(permit) => Ok(Passed {
            permit,
            recorded,
            judged,
            request: request.map(|body| ClientBody::Whole(Some(body.bytes))),
        }),
        Decision::Deny(denial) => Err(Refusal::denied(&line, &denial)),
        Decision::Hold(hold) => Err(Refusal::held(&line, &hold)),
    }
}
