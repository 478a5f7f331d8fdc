//! What a plan does at the gate: it writes policies into the gate's own directory, each judged by the gate's engine
//! first. What no program writes there, its configuration and the policies of a gate on another machine, is for a
//! person; what that would turn is foreseen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::gate_policies::{self, GatePolicy};
use crate::snapshot::{ClusterFacts, Gate, GateCluster, GateFacts, PolicyEffect, Snapshot, Source};
use crate::verdict::Change;

/// The engine and the log of the gate on this machine, lent to a plan.
pub trait Engine: fmt::Debug {
    /// What the gate would show of its policies with these files, by name and text, beside those that it has.
    ///
    /// # Errors
    /// Why it would not load them.
    fn with(&self, files: &[(String, String)]) -> Result<PolicyEffect, String>;

    /// Whether the gate has exactly this file already.
    fn has(&self, name: &str, text: &str) -> bool;

    /// What this file alone would have made of the requests that the gate allowed of late; none if its log cannot be
    /// read.
    fn replay(&self, name: &str, text: &str) -> Option<Replay>;
}

/// Requests of a gate's log, judged again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Replay {
    /// How many had been allowed, and were judged again.
    pub requests: u64,
    /// How many of them would have waited for somebody.
    pub held: u64,
    /// How many would have been refused.
    pub denied: u64,
    /// Some of both, a line each: how often, who, what.
    pub lines: Vec<String>,
}

impl Replay {
    /// Adds what another policy would have made of the same requests.
    pub(super) fn add(&mut self, other: Self) {
        self.requests = self.requests.max(other.requests);
        self.held = self.held.saturating_add(other.held);
        self.denied = self.denied.saturating_add(other.denied);
        self.lines.extend(other.lines);
    }

    /// In a line.
    pub fn words(&self) -> String {
        match self.requests {
            0 => "the gate's log has no request that was allowed: nobody was seen to lose anything"
                .to_owned(),
            n => format!(
                "of the last {n} requests that the gate allowed it would have held {} and refused {}",
                self.held, self.denied
            ),
        }
    }
}

/// What a plan can write at the gate for a control.
pub(super) enum Draft {
    /// There is no such policy, or the gate is not on this machine.
    None,
    /// The gate has all of them that it can have.
    Done,
    /// The policies, judged, and what the log says of them.
    Write(String, Vec<Change>, Replay),
    /// What the gate lacks, or what its engine says against it.
    Not(String, String),
}

/// Drafts the policies for a control, beside the files that the plan writes before.
pub(super) fn draft(
    control: &str,
    snapshot: &Snapshot,
    engine: Option<&dyn Engine>,
    mut files: Vec<(String, String)>,
) -> Draft {
    let all: Vec<&GatePolicy> = gate_policies::of(control).collect();
    let facts = Facts::new(snapshot);
    let (Ok(gate), Ok(known), Some(engine)) = (facts.gate(), facts.gate_facts(), engine) else {
        return Draft::None;
    };
    let Some(dir) = gate.policies.as_deref().filter(|_| !all.is_empty()) else {
        return Draft::None;
    };
    let tickets = known.ticket_systems == Some(true);
    let usable = all.into_iter().filter(|p| tickets || !p.needs_tickets);
    let (mut says, mut changes) = (Vec::new(), Vec::new());
    let mut replay = Replay::default();
    for policy in usable {
        let file = (policy.file(), policy.text.to_owned());
        if files.contains(&file) || engine.has(&file.0, &file.1) {
            continue;
        }
        files.push(file);
        let shows = match engine.with(&files) {
            Ok(shows) => Box::new(shows),
            Err(why) => return Draft::Not(policy.says.to_owned(), why),
        };
        if let Some(more) = engine.replay(&policy.file(), policy.text) {
            replay.add(more);
        }
        says.push(policy.says);
        changes.push(Change::Policy {
            path: format!("{}/{}", dir.trim_end_matches('/'), policy.file()),
            content: Some(policy.text.to_owned()),
            shows,
        });
    }
    match changes.is_empty() {
        true => Draft::Done,
        false => Draft::Write(format!("at the gate: {}", says.join("; ")), changes, replay),
    }
}

/// What keeps a policy for the control from being written, in words: what to do, and why.
pub(super) fn lacks(control: &str, snapshot: &Snapshot) -> Option<(&'static str, &'static str)> {
    let facts = Facts::new(snapshot);
    let known = facts.gate_facts().ok()?;
    let needs = gate_policies::of(control).any(|p| p.needs_tickets);
    (needs && known.ticket_systems == Some(false)).then_some((
        "name the system that knows your tickets under `tickets` in the gate's configuration, then plan again",
        "without it no grant could name an open ticket, and nobody could be given one",
    ))
}

/// Does on the snapshot what mends the control at the gate, where that is known; nothing otherwise.
pub(super) fn foresee(control: &str, snapshot: &mut Snapshot) {
    if Facts::new(snapshot).gate().is_err() {
        if ["S3-05", "S3-06", "S3-08"].contains(&control) {
            put_before(snapshot);
        }
        return;
    }
    let server = snapshot.cluster.server.clone();
    let Some(facts) = snapshot.gate.known_mut().and_then(|g| g.facts.as_mut()) else {
        return;
    };
    match control {
        "S1-02" => of_cluster(facts, &server, |c| {
            c.weakest_login = Some("multi".to_owned())
        }),
        "S3-11" => {
            let names = ["sessionAge", "ticket", "risk"];
            facts.policies.context.extend(names.map(str::to_owned));
            facts.policies.context.sort_unstable();
            facts.policies.context.dedup();
        }
        "S4-01" => of_cluster(facts, &server, |c| c.standing = Some(Vec::new())),
        "S4-02" if facts.ticket_systems != Some(false) => {
            of_cluster(facts, &server, |c| c.loose = Some(Vec::new()));
        }
        "S4-03" => of_cluster(facts, &server, |c| c.unheld.clear()),
        _ => {}
    }
}

/// As somebody does with `kubestile up`. Of its policies nothing is foreseen.
fn put_before(snapshot: &mut Snapshot) {
    let cluster = GateCluster {
        server: snapshot.cluster.server.clone(),
        served: true,
        ..GateCluster::default()
    };
    snapshot.gate = Source::Known(Gate {
        clusters: vec![cluster],
        ..Gate::default()
    });
}

fn of_cluster(facts: &mut GateFacts, server: &str, change: impl Fn(&mut ClusterFacts)) {
    let this = |c: &&mut ClusterFacts| {
        [&c.server, &c.url]
            .iter()
            .any(|u| u.trim_end_matches('/') == server.trim_end_matches('/'))
    };
    facts.clusters.iter_mut().filter(this).for_each(change);
}
