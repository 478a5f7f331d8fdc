//! The way up: which changes would close the gates of the next stage, in order, each tried on the
//! snapshot first, with what it takes away, how it is taken back, and what it makes of the grade.

mod control_plane;
pub mod diff;
pub mod files;
mod gate;
pub mod manifest;
mod policies;
pub mod pull_request;
mod rollout;

use std::collections::{BTreeMap, BTreeSet};

use kubestile_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::Stage;
use crate::exception::Exceptions;
use crate::facts::Facts;
use crate::score::{Assessment, Finding, assess};
use crate::snapshot::{ObjectRef, Snapshot};
use crate::verdict::{Change, Fix, Outcome};
use gate::Draft;

pub use gate::{Engine, Replay};
pub use policies::{PROTECTED, TRIAL};
pub use rollout::{Rollout, at, object, reached};

/// The form of the document.
pub const VERSION: &str = "kubestile.dev/plan/v1";

/// An ordered set of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`VERSION`].
    pub version: String,
    /// When the snapshot was taken that it was made from.
    pub taken: Timestamp,
    /// The cluster's address: a plan is for no other.
    pub server: String,
    /// The stage that is reached now.
    pub from: Stage,
    /// The stage that is aimed at.
    pub aim: Stage,
    /// The stage that would be reached with all steps made.
    pub predicted: Stage,
    /// What a program can do, in order.
    pub steps: Vec<Step>,
    /// What only a person can do, or what cannot be foreseen.
    pub by_hand: Vec<ByHand>,
    /// Gates up to the aim that would still be open, by id.
    pub still_open: Vec<String>,
    /// Why each of them is, by id.
    #[serde(default)]
    pub why_open: BTreeMap<String, String>,
}

/// One finding mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The control that it is about.
    pub control: String,
    /// What is done, in words.
    pub text: String,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What takes them back, in the order in which to do it.
    pub rollback: Vec<Change>,
    /// Controls that pass with it and did not before, as the assessor judges the changed snapshot.
    pub flips: Vec<String>,
    /// What somebody loses or may run into, a line each.
    pub blast: Vec<String>,
    /// What the gate's log says of it, for policies of the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
}

/// Something for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ByHand {
    /// The controls that it is about.
    pub controls: Vec<String>,
    /// What to do.
    pub text: String,
    /// The changes, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// Why no program does it.
    pub why: String,
    /// Controls that would pass with it after all steps, as far as that can be foreseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flips: Vec<String>,
}

/// Somebody who must be able to do everything when all is done: the way in when the rest fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// The user's name, as the API server says.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
}

impl BreakGlass {
    /// Whether a subject of this kind and name is the person or a group of theirs.
    fn is(&self, kind: &str, name: &str) -> bool {
        match kind {
            "User" => name == self.user,
            "Group" => self.groups.iter().any(|g| g == name),
            _ => false,
        }
    }
}

/// What only the cluster's owner can say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// The way in: no change is planned that would take everything from it.
    pub keep: Option<&'a BreakGlass>,
    /// Who may say who people are.
    pub issuer: Option<&'a Issuer>,
    /// Where images may come from; anywhere if there is none.
    pub registries: &'a [String],
    /// The engine of the gate, if it is on this machine: without it no policy of the gate is written.
    pub engine: Option<&'a dyn Engine>,
}

/// An identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its address, `https://…`, as its tokens name it.
    pub url: String,
    /// What it calls this cluster, and no other.
    pub audience: String,
}

/// Lines of what is lost that are kept of a step.
const BLAST: usize = 20;

/// Plans the way to `aim`.
pub fn plan(snapshot: &Snapshot, exceptions: &Exceptions, aim: Stage, wishes: &Wishes<'_>) -> Plan {
    let before = assess(snapshot, exceptions);
    let keep = wishes.keep;
    let mut planner = Planner {
        now: snapshot.clone(),
        grade: before.clone(),
        exceptions,
        wishes,
        stands_on: keep.map_or_else(BTreeSet::new, |k| stands_on(snapshot, k)),
        steps: Vec::new(),
        by_hand: Vec::new(),
    };
    let mut findings: Vec<&Finding> = before
        .findings
        .iter()
        .filter(|f| f.stage <= aim && (f.verdict.outcome == Outcome::Fail || is_guard(snapshot, f)))
        .collect();
    // What only shows or refuses more comes before what takes rights away; low stages first. Nobody is left to ask for
    // grants (S4-01) before they are what they should be (S4-02) and a second person looks at what is dangerous (S4-03).
    let late = |f: &Finding| takes_away(f) || f.control == "S4-01";
    findings.sort_by_key(|f| (late(f), f.stage, !f.gate));
    for finding in findings {
        planner.mend(&finding.control);
    }
    let open = |f: &&Finding| {
        let closed = matches!(f.verdict.outcome, Outcome::Pass | Outcome::NotApplicable);
        f.gate && f.stage <= aim && !closed
    };
    planner.foresee();
    let still_open: Vec<&Finding> = planner.grade.findings.iter().filter(open).collect();
    Plan {
        version: VERSION.to_owned(),
        taken: snapshot.taken,
        server: snapshot.cluster.server.clone(),
        from: before.stage,
        aim,
        predicted: planner.grade.stage,
        still_open: still_open.iter().map(|f| f.control.clone()).collect(),
        why_open: still_open
            .iter()
            .map(|f| (f.control.clone(), f.verdict.summary.clone()))
            .collect(),
        steps: planner.steps,
        by_hand: planner.by_hand,
    }
}

/// The guard behind the gate is worth having before a log can show that everybody comes through it.
fn is_guard(snapshot: &Snapshot, finding: &Finding) -> bool {
    finding.control == "S3-09"
        && finding.verdict.outcome == Outcome::Unknown
        && Facts::new(snapshot).gate().is_ok()
}

fn takes_away(finding: &Finding) -> bool {
    let fix = finding.verdict.fix.as_ref();
    fix.is_some_and(|f| {
        f.changes
            .iter()
            .any(|c| matches!(c, Change::Delete(_) | Change::Patch { .. }))
    })
}

struct Planner<'a> {
    now: Snapshot,
    grade: Assessment,
    exceptions: &'a Exceptions,
    wishes: &'a Wishes<'a>,
    /// What the way in stands on: a change to anything else cannot lock it out.
    stands_on: BTreeSet<ObjectRef>,
    steps: Vec<Step>,
    by_hand: Vec<ByHand>,
}

impl Planner<'_> {
    /// Mends one control, as far as it still fails after the steps so far.
    fn mend(&mut self, control: &str) {
        let Some(finding) = self.grade.finding(control).cloned() else {
            return;
        };
        if finding.verdict.outcome == Outcome::Pass {
            return;
        }
        let (fix, replay) = self.fix(&finding);
        let Some(fix) = fix else {
            return;
        };
        if fix.changes.is_empty() {
            self.leave(control, &fix.text, None, "it needs a decision of yours");
            return;
        }
        let mut trial = self.now.clone();
        let mut done = Vec::new();
        for change in &fix.changes {
            if let Err(why) = self.attempt(&mut trial, change, &mut done) {
                self.leave(control, &fix.text, Some(change.command()), &why);
            }
        }
        if !done.is_empty() {
            self.take(&finding, &fix, replay, trial, done);
        }
    }

    /// What would mend it: what a plan knows to write, or what the control itself says.
    fn fix(&mut self, finding: &Finding) -> (Option<Fix>, Option<Replay>) {
        let (control, wishes) = (finding.control.as_str(), self.wishes);
        let own = finding.verdict.fix.clone();
        if let Some((what, why)) = gate::lacks(control, &self.now) {
            self.leave(control, what, None, why);
        }
        match gate::draft(control, &self.now, wishes.engine, self.files()) {
            Draft::Write(text, mut changes, replay) => {
                changes.extend(beside_policies(own).map_or_else(Vec::new, |f| f.changes));
                return (Some(Fix::changes(text, changes)), Some(replay));
            }
            Draft::Done => return (beside_policies(own), None),
            Draft::Not(text, why) => {
                self.leave(control, &text, None, &why);
                return (None, None);
            }
            Draft::None => {}
        }
        let known = control_plane::of(control, &self.now, wishes.issuer)
            .or_else(|| policies::of(control, &self.now, wishes.keep, wishes.registries))
            .map(|(text, changes)| Fix::changes(text, changes));
        (known.or(own), None)
    }

    /// The policy files of the gate that the steps so far write.
    fn files(&self) -> Vec<(String, String)> {
        let changes = self.steps.iter().flat_map(|s| &s.changes);
        let files = changes.filter_map(|c| match c {
            Change::Policy {
                path,
                content: Some(content),
                ..
            } => {
                let name = path.rsplit('/').next().unwrap_or_default();
                Some((name.to_owned(), content.clone()))
            }
            _ => None,
        });
        files.collect()
    }

    /// Tries a change on a copy; says why it is not a program's.
    fn attempt(
        &self,
        trial: &mut Snapshot,
        change: &Change,
        done: &mut Vec<(Change, Change)>,
    ) -> Result<(), String> {
        match change {
            Change::Flag { .. } | Change::File { .. }
                if self.now.control_plane.directory.is_none() =>
            {
                return Err(
                    "the control plane's files are not at hand: name their directory with --control-plane-dir"
                        .to_owned(),
                );
            }
            Change::Flag {
                name,
                value: Some(_),
            } if name.ends_with("-config") || name == "audit-policy-file" => {
                return Err("the file that it names is yours to write; with --issuer and --audience it is written for you".to_owned());
            }
            Change::Delete(object) if object.kind == "secret" => {
                return Err("a deleted Secret cannot be brought back".to_owned());
            }
            Change::Command(_) => return Err("it is done by a person".to_owned()),
            _ => {}
        }
        let back = match self.wishes.keep {
            Some(keep) if self.concerns(change) => {
                let mut next = trial.clone();
                let back = next.edit(change).map_err(|e| e.to_string())?;
                if may_everything(trial, keep) && !may_everything(&next, keep) {
                    return Err(format!(
                        "it would lock out `{}`, the way in when all else fails",
                        keep.user
                    ));
                }
                *trial = next;
                back
            }
            _ => trial.edit(change).map_err(|e| e.to_string())?,
        };
        done.push((change.clone(), back));
        Ok(())
    }

    /// Whether a change may touch what the way in stands on. What an object becomes that is written anew
    /// is not known from its name.
    fn concerns(&self, change: &Change) -> bool {
        match change {
            Change::Delete(object)
            | Change::Patch { object, .. }
            | Change::Label { object, .. } => self.stands_on.contains(object),
            Change::Apply { .. } => true,
            Change::Flag { .. }
            | Change::File { .. }
            | Change::Policy { .. }
            | Change::Command(_) => false,
        }
    }

    fn take(
        &mut self,
        finding: &Finding,
        fix: &Fix,
        replay: Option<Replay>,
        trial: Snapshot,
        done: Vec<(Change, Change)>,
    ) {
        let after = assess(&trial, self.exceptions);
        let flips = passing(&self.grade, &after);
        let (changes, mut rollback): (Vec<Change>, Vec<Change>) = done.into_iter().unzip();
        rollback.reverse();
        let blast = finding.verdict.evidence.iter().take(BLAST);
        self.steps.push(Step {
            control: finding.control.clone(),
            text: fix.text.clone(),
            changes,
            rollback,
            flips,
            blast: blast.map(|e| e.text.clone()).collect(),
            replay,
        });
        self.now = trial;
        self.grade = after;
    }

    /// What would pass if somebody did by hand what is left, each alone.
    fn foresee(&mut self) {
        for item in &mut self.by_hand {
            let mut trial = self.now.clone();
            for control in &item.controls {
                gate::foresee(control, &mut trial);
            }
            if trial != self.now {
                item.flips = passing(&self.grade, &assess(&trial, self.exceptions));
            }
        }
    }

    fn leave(&mut self, control: &str, text: &str, command: Option<String>, why: &str) {
        let same = |b: &&mut ByHand| b.text == text && b.why == why;
        if let Some(known) = self.by_hand.iter_mut().find(same) {
            if !known.controls.iter().any(|c| c == control) {
                known.controls.push(control.to_owned());
            }
            known
                .commands
                .extend(command.filter(|c| !known.commands.contains(c)));
            return;
        }
        self.by_hand.push(ByHand {
            controls: vec![control.to_owned()],
            text: text.to_owned(),
            commands: command.into_iter().collect(),
            why: why.to_owned(),
            flips: Vec::new(),
        });
    }
}

/// What a control itself says beside policies of the gate, such as rights in the cluster.
fn beside_policies(own: Option<Fix>) -> Option<Fix> {
    let mut own = own?;
    own.changes.retain(|c| !matches!(c, Change::Command(_)));
    (!own.changes.is_empty()).then_some(own)
}

/// Controls that pass after and did not before.
fn passing(before: &Assessment, after: &Assessment) -> Vec<String> {
    let passes = |a: &Assessment, id: &str| {
        a.finding(id)
            .is_some_and(|f| f.verdict.outcome == Outcome::Pass)
    };
    let ids = after.findings.iter().map(|f| f.control.as_str());
    ids.filter(|id| passes(after, id) && !passes(before, id))
        .map(str::to_owned)
        .collect()
}

/// The bindings that give somebody everything, and their roles.
fn stands_on(snapshot: &Snapshot, who: &BreakGlass) -> BTreeSet<ObjectRef> {
    let facts = Facts::new(snapshot);
    let all = facts.grants().unwrap_or_default().iter();
    all.filter(|g| g.is_admin() && who.is(&g.subject.kind, &g.subject.name))
        .flat_map(|g| {
            let role = ObjectRef::new("clusterrole", "", &g.binding.role_ref.name);
            [g.object(), role]
        })
        .collect()
}

/// Whether somebody may do everything in the cluster, by a binding or by system:masters.
fn may_everything(snapshot: &Snapshot, who: &BreakGlass) -> bool {
    if who.groups.iter().any(|g| g == "system:masters") {
        return true;
    }
    let facts = Facts::new(snapshot);
    facts.grants().is_ok_and(|all| {
        all.iter()
            .any(|g| g.is_admin() && who.is(&g.subject.kind, &g.subject.name))
    })
}

#[cfg(test)]
mod tests;
