//! Tests of policies, written in Markdown beside them: prose for people, and fenced blocks of `request`
//! in which each line is a request and the answer that it must get.
//!
//! ````text
//! ```request
//! who: ana
//! functions: operator:shop viewer
//! kubectl delete pod web-1 -n shop         => allow operator-deletes
//! kubectl delete deployment web -n shop    => hold delete-needs-approval (approval)
//! kubectl exec web-1 -n bank -- sh         => deny | job function `operator`
//! GET /api/v1/nodes/n/proxy/pods           => deny nodes-are-not-proxied
//! GET /api/v1/namespaces/a/pods/..         => 400
//! ```
//! ````
//!
//! After the decision stand the policies that must have decided, all of them; in brackets what a held
//! request needs; after `|` a part of what the person is told to do. The lines `key: value` above hold
//! for the rest of the block: `who`, `kind`, `groups`, `functions`, `cluster`, `session-age`,
//! `assurance`, `source`, `time`, `approval`, `invocation`, `as`, `as-group`.

mod parse;
mod setting;

use std::collections::BTreeSet;
use std::fmt;

use kubestile_core::PolicyId;
use serde::Serialize;

use crate::decide::Outcome;
use crate::kubectl_words::Typed;
use crate::load::PolicySet;
use crate::source::Source;

use parse::{Case, Expected};

/// What running tests showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed, and files that cannot be read as tests.
    pub failures: Vec<Failure>,
    /// Policies that no test expects to decide.
    pub untested: Vec<PolicyId>,
}

/// A test that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The request, or the text that cannot be read.
    pub request: String,
    /// What was expected and what came, or what is wrong with the line.
    pub text: String,
}

impl Report {
    /// Whether all tests passed and each policy has one.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.untested.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}\n  {}",
            self.file, self.line, self.request, self.text
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        for id in &self.untested {
            writeln!(
                f,
                "no test expects the policy `{id}` to decide; write one beside it"
            )?;
        }
        writeln!(f, "{} passed, {} failed", self.passed, self.failures.len())
    }
}

/// Runs the tests of the `.md` files among `sources`. A file without a test is passed over: it is
/// documentation.
pub fn run(set: &PolicySet, sources: &[Source]) -> Report {
    let mut report = Report {
        passed: 0,
        failures: Vec::new(),
        untested: Vec::new(),
    };
    let mut decided: BTreeSet<String> = BTreeSet::new();
    for source in sources.iter().filter(|source| source.is_tests()) {
        let (cases, failures) = parse::file(source);
        report.failures.extend(failures);
        for case in cases {
            match judge(set, &case) {
                Ok(()) => {
                    report.passed += 1;
                    decided.extend(case.expected.policies);
                }
                Err(text) => report.failures.push(Failure {
                    file: source.name.clone(),
                    line: case.line,
                    request: case.request,
                    text,
                }),
            }
        }
    }
    let untested = set
        .policies()
        .filter(|policy| !decided.contains(policy.id.as_str()));
    report.untested = untested.map(|policy| policy.id).collect();
    report
}

/// Whether a test passes; the error says why not.
fn judge(set: &PolicySet, case: &Case) -> Result<(), String> {
    let expected = &case.expected;
    if let Some(about) = case.setting.about(&case.request)? {
        let asking = case.setting.asking(&about);
        let outcome = match case.request.starts_with("ask ") {
            true => set.may_ask(&asking),
            false => set.may_answer(&asking),
        };
        return compare(expected, &outcome);
    }
    let mut typed = Typed::parse(&case.request).map_err(|error| error.to_string())?;
    if let Some(who) = &case.setting.impersonates {
        typed.impersonates = Some(who.clone());
    }
    let action = match typed.action(case.setting.cluster.clone()) {
        Ok(action) if expected.decision != "400" => action,
        Err(_) if expected.decision == "400" => return Ok(()),
        Ok(_) => return Err("expected 400, but the request can be read".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let outcome = set.evaluate(&case.setting.question(&action));
    compare(expected, &outcome)
}

fn compare(expected: &Expected, outcome: &Outcome) -> Result<(), String> {
    let policies: BTreeSet<String> = outcome
        .policies()
        .iter()
        .map(|policy| policy.id.to_string())
        .collect();
    let obligations: BTreeSet<String> = outcome
        .obligations()
        .iter()
        .map(|o| o.as_str().to_owned())
        .collect();
    let remedy = outcome.remedy().unwrap_or_default();
    let matches = expected.decision == outcome.name()
        && expected.policies == policies
        && expected
            .obligations
            .as_ref()
            .is_none_or(|wanted| *wanted == obligations)
        && expected
            .remedy
            .as_ref()
            .is_none_or(|part| remedy.contains(part.as_str()));
    if matches {
        return Ok(());
    }
    let came = Expected {
        decision: outcome.name().to_owned(),
        policies,
        obligations: Some(obligations).filter(|all| !all.is_empty()),
        remedy: outcome.remedy().map(str::to_owned),
    };
    Err(format!("expected {expected}, but came {came}"))
}

#[cfg(test)]
mod tests;
