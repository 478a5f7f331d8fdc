//! Step 6: the decision is written down before it takes effect; allow, deny and hold alike. No
//! receipt, no forward.

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{Context as Sha, SHA256};
use http::{HeaderMap, header};
use kubestile_core::decision::{Decision, Receipt};
use kubestile_core::event::{Actor, Completion, Decided, Event, Invoked, Record, Upstream, clip};
use kubestile_core::identity::VerifiedIdentity;
use kubestile_core::ids::RequestId;
use kubestile_store::audit::Durability;

use crate::accept::Connection;
use crate::forward::Judged;
use crate::gate::Gate;
use crate::refusal::Refusal;

/// The receipt of a decision; for reads, with what must be awaited before the last byte of the answer.
pub struct Recorded {
    /// The receipt.
    pub receipt: Receipt,
    /// Set when the record is in the log's queue but not durable yet.
    pub durability: Option<Durability>,
}

/// Why nothing is forwarded when the log cannot be written.
const NO_LOG: &str = "the decision could not be recorded, so nothing was forwarded. Next: tell \
                      whoever runs this gate; its log says why";

/// Records a decision.
///
/// Writes and streams wait until the record is durable; reads go on at once and wait for it before the
/// last byte of their answer.
///
/// # Errors
/// 503 when the record cannot be written.
pub async fn record(
    gate: &Gate,
    judged: &Judged,
    headers: &HeaderMap,
    decision: &Decision,
) -> Result<Recorded, Refusal> {
    let record = Record::new(
        gate.now(),
        Event::Decision(Box::new(describe(judged, headers, decision))),
    );
    let unrecorded = |error: kubestile_store::audit::AuditError| {
        tracing::error!(request = %judged.id, error = %error, "a decision could not be recorded");
        Refusal::unavailable(NO_LOG)
    };
    let pending = gate.audit.append(judged.id, &record).map_err(unrecorded)?;
    // A Secret's first byte is as good as its last.
    let secret = judged
        .action
        .resource()
        .is_some_and(|r| r.resource == "secrets");
    let reads = judged.action.kind.is_read() && !secret && matches!(decision, Decision::Allow(_));
    if reads {
        let (receipt, durability) = pending.early();
        return Ok(Recorded {
            receipt,
            durability: Some(durability),
        });
    }
    let waited = Instant::now();
    let receipt = pending.durable().await.map_err(unrecorded)?;
    gate.metrics.recorded(waited.elapsed().as_secs_f64());
    Ok(Recorded {
        receipt,
        durability: None,
    })
}

fn describe(judged: &Judged, headers: &HeaderMap, decision: &Decision) -> Decided {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let actor = Actor::new(&judged.who, judged.source.ip(), agent);
    let mut decided = Decided::new(
        judged.id,
        actor,
        &judged.action,
        digest(judged),
        decision,
        judged.policies.version(),
    );
    decided.invocation = judged.context.invocation.present().map(|i| Invoked {
        session: clip(&i.session),
        command: clip(&i.command),
    });
    decided.approval = judged.context.approval.present().map(|a| a.access);
    decided.grants = judged.context.grants.iter().map(|g| g.id).collect();
    decided.looked_up_for = judged.looked_up_for;
    if matches!(decision, Decision::Allow(_)) {
        let upstream = judged.upstream_identity();
        decided.upstream = Some(Upstream {
            user: upstream.user,
            groups: upstream.groups,
        });
    }
    decided
}

/// SHA-256 over cluster, method, path and query, each preceded by its length so that no two requests
/// share it.
fn digest(judged: &Judged) -> String {
    let mut sha = Sha::new(&SHA256);
    for part in [
        judged.cluster.name().as_str(),
        judged.action.info.method.as_str(),
        judged.target.path(),
        judged.target.query().unwrap_or_default(),
    ] {
        sha.update(&(part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    hex(sha.finish().as_ref())
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let halves = |b: &u8| [b >> 4, b & 15];
    let digits = bytes.iter().flat_map(halves);
    digits
        .filter_map(|half| char::from_digit(u32::from(half), 16))
        .collect()
}

/// Records a step that belongs to no decision, durably.
///
/// # Errors
/// 503 when the record cannot be written.
pub(crate) async fn change(gate: &Gate, event: Event) -> Result<(), Refusal> {
    let unrecorded = |error: kubestile_store::audit::AuditError| {
        tracing::error!(error = %error, "a step could not be recorded");
        Refusal::unavailable(NO_LOG)
    };
    let record = Record::new(gate.now(), event);
    let pending = gate.audit.append_change(&record).map_err(unrecorded)?;
    pending.wait().await.map_err(unrecorded)
}

/// Records a step that takes nothing away from anybody if its record comes later.
pub(crate) fn change_later(gate: &Gate, event: Event) {
    if let Err(error) = gate.audit.append_later(&Record::new(gate.now(), event)) {
        tracing::error!(error = %error, "a step could not be recorded");
    }
}

/// Records a refusal that came before a decision, and gives it back. It is not waited for: nothing
/// takes effect. Refusals to strangers are recorded only so often, and counted always.
/// What cannot be recorded is said in the gate's own log.
pub fn refused(
    gate: &Gate,
    connection: &Connection,
    who: Option<&VerifiedIdentity>,
    id: RequestId,
    refusal: Refusal,
) -> Refusal {
    if who.is_none() && !gate.limits.may_record_stranger() {
        return refusal;
    }
    let source = connection.peer().ip();
    let event = Event::Refusal {
        request: id,
        source: source.to_string(),
        actor: who.map(|who| Box::new(Actor::new(who, source, ""))),
        status: refusal.status().as_u16(),
        reason: clip(refusal.message()),
    };
    if let Err(error) = gate.audit.append_later(&Record::new(gate.now(), event)) {
        tracing::warn!(request = %id, error = %error, "a refusal could not be recorded");
    }
    refusal
}

/// Records why a request that was held and then approved is refused all the same, and gives it back.
pub(crate) fn refused_again(gate: &Gate, judged: &Judged, refusal: Refusal) -> Refusal {
    let source = judged.source.ip();
    let event = Event::Refusal {
        request: judged.id,
        source: source.to_string(),
        actor: Some(Box::new(Actor::new(&judged.who, source, ""))),
        status: refusal.status().as_u16(),
        reason: clip(refusal.message()),
    };
    change_later(gate, event);
    refusal
}

/// Writes the completion record of a forwarded request when it is dropped, however it ended.
pub struct Ending {
    gate: Arc<Gate>,
    started: Instant,
    completion: Completion,
    upload: Arc<std::sync::atomic::AtomicU64>,
    long: bool,
}

impl Ending {
    /// Of the request that is being forwarded now.
    pub fn new(gate: Arc<Gate>, judged: &Judged, long: bool) -> Self {
        if long {
            gate.metrics.streams(1);
        }
        Self {
            gate,
            started: judged.started,
            completion: Completion {
                request: judged.id,
                status: 0,
                bytes_in: 0,
                bytes_out: 0,
                duration_micros: 0,
                end: "refused".to_owned(),
                detail: String::new(),
            },
            upload: Arc::default(),
            long,
        }
    }

    /// The counter of bytes from the client.
    pub fn upload(&self) -> Arc<std::sync::atomic::AtomicU64> {
        self.upload.clone()
    }

    /// It is being sent upstream: from now on an early end is the client's.
    pub fn sending(&mut self) {
        self.ended("client-closed", "");
    }

    /// The upstream answered with `status`.
    pub fn answered(&mut self, status: u16) {
        self.completion.status = status;
        self.gate.metrics.answered(status);
    }

    /// `bytes` more went to the client.
    pub fn sent(&mut self, bytes: u64) {
        self.completion.bytes_out = self.completion.bytes_out.saturating_add(bytes);
    }

    /// How it ended; what is said last stays.
    pub fn ended(&mut self, end: &str, detail: &str) {
        self.completion.end = end.to_owned();
        self.completion.detail = clip(detail);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut completion = self.completion.clone();
        completion.bytes_in = self.upload.load(std::sync::atomic::Ordering::Relaxed);
        completion.duration_micros =
            u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.gate
            .metrics
            .moved(completion.bytes_in, completion.bytes_out);
        if self.long {
            self.gate.metrics.streams(-1);
        }
        let id = completion.request;
        let record = Record::new(self.gate.now(), Event::Completion(completion));
        if let Err(error) = self.gate.audit.append_later(&record) {
            tracing::error!(request = %id, error = %error, "a completion could not be recorded");
        }
    }
}
