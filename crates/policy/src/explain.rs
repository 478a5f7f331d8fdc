//! How an answer came about: which policies matched, which nearly did, and on what they failed.

use std::fmt;
use std::sync::Arc;

use cedar_policy::pst;
use kubestile_core::kubectl_line;
use serde::Serialize;

use crate::attributes::Needs;
use crate::check::conjuncts;
use crate::decide::{Outcome, Question, parts};
use crate::entities::{Within, roles};
use crate::load::{Effect, Loaded, PolicySet};

/// Policies that an explanation shows, at most.
const MAX_SHOWN: usize = 64;

/// How an answer came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The request as a kubectl command.
    pub request: String,
    /// The action that policies see.
    pub action: String,
    /// The person.
    pub person: String,
    /// The job functions that count for this request, those that they include added.
    pub functions: Vec<String>,
    /// `allow`, `deny` or `hold`.
    pub decision: String,
    /// The policies that decided.
    pub decided_by: Vec<String>,
    /// What would let a held request go on.
    pub obligations: Vec<String>,
    /// What the person can do about a denial.
    pub remedy: Option<String>,
    /// The policies for this action, those that matched first.
    pub policies: Vec<Considered>,
    /// How many more there are.
    pub left_out: usize,
}

/// One policy that is for the action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// Its id.
    pub id: String,
    /// Its sentence.
    pub reason: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// The file that it stands in, and the line.
    pub place: String,
    /// Whether it matched.
    pub verdict: Verdict,
    /// On what it failed.
    pub failed: Vec<String>,
}

/// Whether a policy matched a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It matched.
    Matched,
    /// It could not be evaluated, which denies the request.
    Erred,
    /// It is for the action and for the person, but a condition failed.
    Nearly,
    /// It is for the action, but for other people, another place or other resources.
    OtherScope,
}

impl PolicySet {
    /// Explains the answer to a question.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let outcome = self.evaluate(question);
        let roles = roles(question);
        let mut policies = self.considered(question, &roles);
        // Where a policy was judged for several parts of the request, its best verdict counts.
        policies.sort_by(|a, b| (&a.id, a.verdict).cmp(&(&b.id, b.verdict)));
        policies.dedup_by(|a, b| a.id == b.id);
        policies.sort_by(|a, b| (a.verdict, &a.id).cmp(&(b.verdict, &b.id)));
        let left_out = policies.len().saturating_sub(MAX_SHOWN);
        policies.truncate(MAX_SHOWN);
        let texts = |ids: &[kubestile_core::PolicyRef]| {
            ids.iter().map(|policy| policy.id.to_string()).collect()
        };
        Explanation {
            request: kubectl_line::of(question.action),
            action: question.action.kind.to_string(),
            person: question.identity.name.clone(),
            functions: roles.iter().map(|role| (*role).to_owned()).collect(),
            decision: outcome.name().to_owned(),
            decided_by: texts(outcome.policies()),
            obligations: outcome
                .obligations()
                .iter()
                .map(|o| o.as_str().to_owned())
                .collect(),
            remedy: match &outcome {
                Outcome::Deny(denial) => denial.remedy.clone(),
                Outcome::Allow(_) | Outcome::Hold(_) => None,
            },
            policies,
            left_out,
        }
    }

    /// Every policy for the action, and for whom it asks to be, judged by itself.
    fn considered(&self, question: &Question<'_>, roles: &[&str]) -> Vec<Considered> {
        let principals = self.vocabulary.principals(question, roles);
        let places = self.vocabulary.places(question.action);
        let within = Within {
            principals: &principals,
            places: &places,
        };
        let mut all: Vec<Considered> = Vec::new();
        for part in parts(question.action) {
            let kind = part.kind(question.action);
            let asked = self
                .vocabulary
                .ask(question, part, within, Needs::ALL, |_| true);
            let Ok(asked) = asked else { continue };
            let asked = Asked {
                request: asked.request.into(),
                entities: asked.entities.into(),
            };
            let resource = part.resource(question.action);
            for policy in &self.policies {
                if policy.scope.actions.contains(&kind) {
                    all.push(consider(policy, &asked, resource));
                }
            }
        }
        all
    }
}

/// The request as Cedar's public interface takes it.
struct Asked {
    request: cedar_policy::Request,
    entities: cedar_policy::Entities,
}

fn consider(policy: &Loaded, asked: &Asked, resource: &str) -> Considered {
    let other = policy
        .scope
        .resources
        .as_ref()
        .is_some_and(|names| names.iter().all(|name| name != resource));
    let (verdict, failed) = match judge(policy.cedar.clone(), asked) {
        Some(true) => (Verdict::Matched, Vec::new()),
        None => (Verdict::Erred, failed_conditions(policy, asked)),
        Some(false) => match failed_scope(policy, asked) {
            scope if !scope.is_empty() => (Verdict::OtherScope, scope),
            _ if other => (Verdict::OtherScope, failed_conditions(policy, asked)),
            _ => (Verdict::Nearly, failed_conditions(policy, asked)),
        },
    };
    let summary = &policy.summary;
    Considered {
        id: summary.id.to_string(),
        reason: summary.reason.clone(),
        effect: summary.effect,
        place: format!("{}:{}", summary.file, summary.line),
        verdict,
        failed,
    }
}

/// Whether one policy matches; `None` when it errs.
fn judge(policy: cedar_policy::Policy, asked: &Asked) -> Option<bool> {
    let set = cedar_policy::PolicySet::from_policies([policy]).ok()?;
    let authorizer = cedar_policy::Authorizer::new();
    let response = authorizer.is_authorized(&asked.request, &set, &asked.entities);
    let diagnostics = response.diagnostics();
    diagnostics
        .errors()
        .next()
        .is_none()
        .then(|| diagnostics.reason().next().is_some())
}

/// Whether a policy with this scope and these clauses would match; the effect does not matter.
fn holds(
    asked: &Asked,
    principal: pst::PrincipalConstraint,
    resource: pst::ResourceConstraint,
    clause: Option<pst::Clause>,
) -> Option<bool> {
    let id = pst::PolicyID("part".into());
    let any = pst::ActionConstraint::Any;
    let template = pst::Template::new(id, pst::Effect::Permit, principal, any, resource)
        .try_with_clauses(clause)
        .ok()?;
    let policy = pst::StaticPolicy::try_from(template).ok()?;
    let policy = cedar_policy::Policy::from_pst(pst::Policy::Static(policy)).ok()?;
    judge(policy, asked)
}

/// The parts of the scope that do not fit.
fn failed_scope(policy: &Loaded, asked: &Asked) -> Vec<String> {
    use pst::{PrincipalConstraint as Principal, ResourceConstraint as Resource};
    let Ok(pst) = policy.cedar.to_pst() else {
        return Vec::new();
    };
    let body = pst.body();
    let mut failed = Vec::new();
    if holds(asked, body.principal.clone(), Resource::Any, None) == Some(false) {
        failed.push(format!("principal {}", body.principal));
    }
    if holds(asked, Principal::Any, body.resource.clone(), None) == Some(false) {
        failed.push(format!("resource {}", body.resource));
    }
    failed
}

/// The conditions that are false, or cannot be evaluated.
fn failed_conditions(policy: &Loaded, asked: &Asked) -> Vec<String> {
    use pst::{PrincipalConstraint as Principal, ResourceConstraint as Resource};
    let Ok(pst) = policy.cedar.to_pst() else {
        return Vec::new();
    };
    let mut failed = Vec::new();
    for clause in pst.body().clauses() {
        let (parts, wanted) = match clause {
            pst::Clause::When(expr) => {
                let mut parts = Vec::new();
                conjuncts(expr, &mut parts);
                (parts, true)
            }
            pst::Clause::Unless(expr) => (vec![&**expr], false),
        };
        for part in parts {
            let when = pst::Clause::When(Arc::new(part.clone()));
            match holds(asked, Principal::Any, Resource::Any, Some(when)) {
                Some(value) if value == wanted => {}
                Some(_) if wanted => failed.push(format!("when {part}")),
                Some(_) => failed.push(format!("unless {part}")),
                None => failed.push(format!("cannot be evaluated: {part}")),
            }
            // A later part may rest on an earlier one (`has`), so that only the first says something.
            if !failed.is_empty() {
                return failed;
            }
        }
    }
    failed
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions = match self.functions.is_empty() {
            true => "no job function here".to_owned(),
            false => self.functions.join(", "),
        };
        writeln!(f, "{}", self.request)?;
        writeln!(
            f,
            "  by {} ({functions}), action {}",
            self.person, self.action
        )?;
        write!(f, "  {}", self.decision)?;
        if !self.decided_by.is_empty() {
            write!(f, " by {}", self.decided_by.join(", "))?;
        }
        if !self.obligations.is_empty() {
            write!(f, "; needs {}", self.obligations.join(", "))?;
        }
        writeln!(f)?;
        if self.decision == "deny" && self.decided_by.is_empty() {
            writeln!(f, "  no policy permits it")?;
        }
        if let Some(remedy) = &self.remedy {
            writeln!(f, "  what to do: {remedy}")?;
        }
        for (verdict, title) in [
            (Verdict::Matched, "matched"),
            (Verdict::Erred, "could not be evaluated"),
            (Verdict::Nearly, "did not match, but could have"),
        ] {
            self.group(f, verdict, title)?;
        }
        self.others(f)?;
        if self.left_out > 0 {
            writeln!(f, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn group(&self, f: &mut fmt::Formatter<'_>, verdict: Verdict, title: &str) -> fmt::Result {
        let mut title = Some(title);
        for policy in self.policies.iter().filter(|p| p.verdict == verdict) {
            if let Some(title) = title.take() {
                writeln!(f, "\n{title}:")?;
            }
            writeln!(f, "  {} {}  ({})", policy.effect, policy.id, policy.place)?;
            writeln!(f, "    {}", policy.reason)?;
            for failed in &policy.failed {
                writeln!(f, "    failed: {failed}")?;
            }
        }
        Ok(())
    }

    /// Who or what else the action is permitted to, where it was not permitted.
    fn others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.decision != "deny" {
            return Ok(());
        }
        let mut title = Some("permits for others");
        let others = self
            .policies
            .iter()
            .filter(|p| p.verdict == Verdict::OtherScope);
        for policy in others.filter(|p| p.effect == Effect::Permit) {
            if let Some(title) = title.take() {
                writeln!(f, "\n{title}:")?;
            }
            writeln!(f, "  {}: {}", policy.id, policy.failed.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
