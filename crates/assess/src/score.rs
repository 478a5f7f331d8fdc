//! From verdicts to a stage. A stage is reached when every gate of it and of the stages below passes,
//! no gate of stage 0 is open, and the weighted score of each of them is at least 80 %.

use kubestile_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::catalog::{Control, Stage, controls};
use crate::exception::{Exceptions, Remark};
use crate::facts::Facts;
use crate::snapshot::{Distribution, Snapshot};
use crate::verdict::{Outcome, Severity, Verdict};

/// The form of the document.
pub const VERSION: &str = "kubestile.dev/assessment/v1";
/// The score that a stage needs, in percent.
pub const NEEDED: u32 = 80;

/// Where a cluster stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assessment {
    /// [`VERSION`].
    pub version: String,
    /// When the snapshot was taken.
    pub taken: Timestamp,
    /// The cluster's name.
    pub cluster: String,
    /// Its address.
    pub server: String,
    /// Its Kubernetes version, if known.
    pub kubernetes: Option<String>,
    /// Whose Kubernetes it is.
    pub distribution: Distribution,
    /// The stage that is reached.
    pub stage: Stage,
    /// Each stage's score.
    pub stages: Vec<StageScore>,
    /// Every control with its verdict, in the catalogue's order.
    pub findings: Vec<Finding>,
    /// What is wrong with exceptions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Remark>,
}

/// The score of one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageScore {
    /// Which.
    pub stage: Stage,
    /// Its name.
    pub name: String,
    /// Weight that passed, in percent of all that applies.
    pub score: u32,
    /// Gates that pass.
    pub gates_passed: usize,
    /// Gates that apply.
    pub gates: usize,
    /// Controls that pass.
    pub passed: usize,
    /// Controls that fail.
    pub failed: usize,
    /// Controls that cannot be decided.
    pub unknown: usize,
    /// Gates that do not pass, by id.
    pub open_gates: Vec<String>,
}

impl StageScore {
    /// Whether it would be reached, were the stages below.
    pub fn holds(&self) -> bool {
        self.open_gates.is_empty() && self.score >= NEEDED
    }
}

/// A control with its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The control's id.
    pub control: String,
    /// Its title.
    pub title: String,
    /// Whether it is a gate of its stage.
    pub gate: bool,
    /// Its stage.
    pub stage: Stage,
    /// How much it weighs.
    pub severity: Severity,
    /// What was concluded.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Judges a snapshot. Exceptions are measured against the time when it was taken.
pub fn assess(snapshot: &Snapshot, exceptions: &Exceptions) -> Assessment {
    let facts = Facts::new(snapshot);
    let mut used = Vec::new();
    let judge = |control: &'static Control| {
        let verdict = control.judge(&facts);
        let (verdict, matched) = exceptions.apply(control.id, verdict, snapshot.taken);
        used.extend(matched);
        Finding {
            control: control.id.to_owned(),
            title: control.title.to_owned(),
            gate: control.gate,
            stage: control.stage(),
            severity: control.severity,
            verdict,
        }
    };
    let findings: Vec<Finding> = controls().map(judge).collect();
    let stages: Vec<StageScore> = Stage::ALL.iter().map(|s| score(*s, &findings)).collect();
    Assessment {
        version: VERSION.to_owned(),
        taken: snapshot.taken,
        cluster: snapshot.cluster.name.clone(),
        server: snapshot.cluster.server.clone(),
        kubernetes: snapshot.cluster.version.known().cloned(),
        distribution: snapshot.cluster.distribution,
        stage: reached(&stages),
        stages,
        findings,
        exceptions: exceptions.remarks(&used, snapshot.taken),
    }
}

fn score(stage: Stage, findings: &[Finding]) -> StageScore {
    let mine = || {
        findings
            .iter()
            .filter(|f| f.stage == stage && f.verdict.outcome != Outcome::NotApplicable)
    };
    let passes = |f: &&Finding| f.verdict.outcome == Outcome::Pass;
    let count = |outcome| mine().filter(|f| f.verdict.outcome == outcome).count();
    let weight = |f: &Finding| f.severity.weight();
    let all: u32 = mine().map(weight).sum();
    let passed: u32 = mine().filter(passes).map(weight).sum();
    let open = mine().filter(|f| f.gate && !passes(f));
    StageScore {
        stage,
        name: stage.name().to_owned(),
        score: (passed * 100).checked_div(all).unwrap_or(100),
        gates_passed: mine().filter(|f| f.gate).filter(passes).count(),
        gates: mine().filter(|f| f.gate).count(),
        passed: count(Outcome::Pass),
        failed: count(Outcome::Fail),
        unknown: count(Outcome::Unknown),
        open_gates: open.map(|f| f.control.clone()).collect(),
    }
}

/// The highest stage below which nothing is open. Stage 0 is where everybody begins; its own gates must
/// pass, its score need not: what it asks for is absence of the worst.
fn reached(stages: &[StageScore]) -> Stage {
    let mut reached = Stage::FIRST;
    for score in stages {
        let holds = match score.stage == Stage::FIRST {
            true => score.open_gates.is_empty(),
            false => score.holds(),
        };
        if !holds {
            break;
        }
        reached = score.stage;
    }
    reached
}

impl Assessment {
    /// Whether it stands below `stage`.
    pub fn is_below(&self, stage: Stage) -> bool {
        self.stage < stage
    }

    /// What fails, the most pressing first: what keeps the next stage from being reached, then by weight
    /// and certainty, lower stages first.
    pub fn failures(&self) -> Vec<&Finding> {
        let aim = self.stage.next().unwrap_or(Stage::LAST);
        let mut failures: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|f| f.verdict.outcome == Outcome::Fail)
            .collect();
        failures.sort_by_key(|f| {
            let blocks = f.gate && f.stage <= aim;
            let near = if f.stage <= aim { 0 } else { f.stage.number() };
            let weight = f.severity.weight();
            (
                near,
                !blocks,
                std::cmp::Reverse(weight * u32::from(f.verdict.confidence)),
                f.stage,
            )
        });
        failures
    }

    /// The finding of a control.
    pub fn finding(&self, control: &str) -> Option<&Finding> {
        self.findings.iter().find(|f| f.control == control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(outcomes: &[(&str, bool, Severity, Outcome)]) -> Vec<Finding> {
        outcomes
            .iter()
            .map(|(id, gate, severity, outcome)| Finding {
                control: (*id).to_owned(),
                title: String::new(),
                gate: *gate,
                stage: id.get(1..2).unwrap().parse().unwrap(),
                severity: *severity,
                verdict: Verdict {
                    outcome: *outcome,
                    ..Verdict::pass("")
                },
            })
            .collect()
    }

    fn stage(outcomes: &[(&str, bool, Severity, Outcome)]) -> u8 {
        let findings = findings(outcomes);
        let stages: Vec<StageScore> = Stage::ALL.iter().map(|s| score(*s, &findings)).collect();
        reached(&stages).number()
    }

    use Outcome::{Fail, NotApplicable, Pass, Unknown};
    use Severity::{Critical, High, Low};

    #[test]
    fn an_open_gate_of_stage_0_caps_everything() {
        let rest = [
            ("S1-01", true, Critical, Pass),
            ("S2-01", true, Critical, Fail),
        ];
        for (outcome, expected) in [(Pass, 1), (Fail, 0), (Unknown, 0), (NotApplicable, 1)] {
            let mut all = vec![("S0-01", true, Critical, outcome)];
            all.extend(rest);
            assert_eq!(stage(&all), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_stage_needs_its_gates_and_80_percent_by_weight() {
        let with = |extra| {
            let mut all = vec![
                ("S1-01", true, Critical, Pass),
                ("S2-01", true, Critical, Fail),
            ];
            all.push(extra);
            stage(&all)
        };
        assert_eq!(with(("S1-04", false, Low, Fail)), 1); // 10 of 11
        assert_eq!(with(("S1-04", false, High, Fail)), 0); // 10 of 16
        assert_eq!(with(("S1-04", false, High, Unknown)), 0);
        assert_eq!(with(("S1-04", false, High, NotApplicable)), 1);
        assert_eq!(with(("S1-05", true, Low, Unknown)), 0);
    }

    #[test]
    fn nothing_collected_is_stage_0_and_nothing_passes() {
        let snapshot = Snapshot::empty(Timestamp::from_secs(1), "c", "https://c");
        let assessment = assess(&snapshot, &Exceptions::default());
        assert_eq!(assessment.stage, Stage::FIRST);
        for finding in &assessment.findings {
            assert!(
                matches!(finding.verdict.outcome, Unknown | NotApplicable),
                "{}: {:?}",
                finding.control,
                finding.verdict
            );
            assert!(!finding.verdict.summary.is_empty(), "{}", finding.control);
        }
    }
}
