//! The decision: deny by default, hold what can still be satisfied, allow the rest.

use cedar_policy_core::ast::{Literal, SlotEnv, Value, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use kubestile_core::{
    Action, ActionKind, Assurance, Context, Decision, Denial, Hold, Identity, Obligation, Permit,
    PolicyId, PolicyRef, RequestId, RiskClass, VerifiedIdentity,
};

use crate::attributes::Needs;
use crate::entities::{Asked, Judged, Within, roles};
use crate::load::{Effect, Loaded, PolicySet};
use crate::remedy;
use crate::slice::Bucket;

/// What the program itself denies, by the ids that refusals name.
pub(crate) const BUILT_IN: &[(&str, &str)] = &[
    (
        EVALUATION_ERROR,
        "a policy could not be evaluated for this request",
    ),
    (
        UNKNOWN_ACTION,
        "the request has a method that no Kubernetes verb stands for",
    ),
    (
        UNREADABLE_TARGET,
        "the request names a target that cannot be read in one way only",
    ),
];

pub(crate) const EVALUATION_ERROR: &str = "evaluation-error";
pub(crate) const UNKNOWN_ACTION: &str = "unknown-action";
pub(crate) const UNREADABLE_TARGET: &str = "unreadable-target";

/// Groups that one request may ask for with `--as-group`.
const MAX_SUBJECTS: usize = 32;

/// What is asked of the policies.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// Seconds since their session began.
    pub session_age_s: i64,
    /// How strongly they proved who they are.
    pub assurance: Assurance,
    /// What they ask for.
    pub action: &'a Action,
    /// Under which conditions.
    pub context: &'a Context,
}

/// The answer without its proof: for tests and explanations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It may go on; the permits that match.
    Allow(Vec<PolicyRef>),
    /// It may not.
    Deny(Denial),
    /// It may go on once its obligations are met.
    Hold(Hold),
}

impl Outcome {
    /// `allow`, `deny` or `hold`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
            Self::Hold(_) => "hold",
        }
    }

    /// The policies that decided, by id.
    pub fn policies(&self) -> &[PolicyRef] {
        match self {
            Self::Allow(policies) => policies,
            Self::Deny(denial) => &denial.policies,
            Self::Hold(hold) => &hold.policies,
        }
    }

    /// What would let the request go on.
    pub fn obligations(&self) -> &[Obligation] {
        match self {
            Self::Hold(hold) => &hold.obligations,
            Self::Allow(_) | Self::Deny(_) => &[],
        }
    }

    /// How many people must approve, and the job function that they give with it.
    pub fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Hold(hold) => Some(hold),
            Self::Allow(_) | Self::Deny(_) => None,
        }
    }

    /// What the person can do about a denial.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Deny(denial) => denial.remedy.as_deref(),
            Self::Allow(_) | Self::Hold(_) => None,
        }
    }

    fn built_in(id: &str) -> Self {
        let reason = BUILT_IN
            .iter()
            .find(|(name, _)| *name == id)
            .map_or("", |(_, reason)| reason);
        Self::Deny(Denial {
            policies: vec![PolicyRef {
                id: PolicyId::new(id),
                reason: reason.to_owned(),
            }],
            remedy: None,
        })
    }
}

impl Question<'_> {
    /// How dangerous what is asked for is.
    pub(crate) fn risk(&self) -> RiskClass {
        RiskClass::of(self.action)
    }
}

impl PolicySet {
    /// Decides a request, and proves an Allow by its [`Permit`].
    pub fn decide(
        &self,
        request: RequestId,
        who: &VerifiedIdentity,
        action: &Action,
        context: &Context,
    ) -> Decision {
        let question = Question {
            identity: who.identity(),
            session_age_s: context.now.since(who.session_created()).as_secs(),
            assurance: who.assurance(),
            action,
            context,
        };
        match self.evaluate(&question) {
            Outcome::Allow(policies) => Decision::Allow(Permit::assertion(request, policies)),
            Outcome::Deny(denial) => Decision::Deny(denial),
            Outcome::Hold(hold) => Decision::Hold(hold),
        }
    }

    /// The answer to a question, by the same logic as [`PolicySet::decide`] but without proof.
    pub fn evaluate(&self, question: &Question<'_>) -> Outcome {
        let found = self.findings(question, &roles(question));
        let no_permit = found.is_ok_and_no_permit();
        let outcome = conclude(found);
        match outcome {
            Outcome::Deny(denial) if no_permit && denial.policies.is_empty() => {
                match remedy::find(self, question) {
                    Some(found) => found.conclude(self, question),
                    None => Outcome::Deny(denial),
                }
            }
            outcome => outcome,
        }
    }
}

/// What Cedar found, or the id of what the program itself denies.
pub(crate) struct Findings<'p> {
    denied: Option<&'static str>,
    /// The permits that match, and whether each part of the request has one.
    permits: Vec<&'p Loaded>,
    permitted: bool,
    forbids: Vec<&'p Loaded>,
}

impl Findings<'_> {
    pub(crate) fn denied(id: &'static str) -> Self {
        Self {
            denied: Some(id),
            permits: Vec::new(),
            permitted: false,
            forbids: Vec::new(),
        }
    }

    fn is_ok_and_no_permit(&self) -> bool {
        self.denied.is_none() && !self.permitted
    }
}

/// The rules by which findings become an answer.
pub(crate) fn conclude(found: Findings<'_>) -> Outcome {
    if let Some(id) = found.denied {
        return Outcome::built_in(id);
    }
    let unsatisfiable: Vec<&Loaded> = found
        .forbids
        .iter()
        .copied()
        .filter(|policy| policy.summary.satisfy.is_empty())
        .collect();
    if !unsatisfiable.is_empty() {
        return Outcome::Deny(Denial {
            remedy: unsatisfiable.iter().find_map(|p| p.summary.remedy.clone()),
            policies: references(&unsatisfiable),
        });
    }
    if !found.permitted {
        return Outcome::Deny(Denial {
            policies: Vec::new(),
            remedy: None,
        });
    }
    if found.forbids.is_empty() {
        return Outcome::Allow(references(&found.permits));
    }
    let mut obligations: Vec<Obligation> = found
        .forbids
        .iter()
        .flat_map(|policy| policy.summary.satisfy.iter().copied())
        .collect();
    obligations.sort_unstable();
    obligations.dedup();
    Outcome::Hold(Hold {
        policies: references(&found.forbids),
        obligations,
        approvals: approvals(&found.forbids),
        function: None,
    })
}

/// Whoever asks for most decides how many must approve.
fn approvals(forbids: &[&Loaded]) -> u8 {
    let counts = forbids.iter().map(|policy| policy.summary.approvals);
    counts.max().unwrap_or(0)
}

/// By id, so that the answer does not depend on the order of files.
fn references(policies: &[&Loaded]) -> Vec<PolicyRef> {
    let mut all: Vec<PolicyRef> = policies.iter().map(|p| p.summary.reference()).collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all.dedup();
    all
}

/// What is judged of a request: itself, and each of those whom the client asks to be.
pub(crate) fn parts(action: &Action) -> impl Iterator<Item = Judged<'_>> {
    let subjects = action.impersonates.iter().flat_map(|asked_for| {
        let service_account = asked_for.user.starts_with("system:serviceaccount:");
        let user = Judged::Subject {
            kind: if service_account {
                "ServiceAccount"
            } else {
                "User"
            },
            name: &asked_for.user,
        };
        let groups = asked_for.groups.iter();
        std::iter::once(user).chain(groups.map(|name| Judged::Subject {
            kind: "Group",
            name,
        }))
    });
    std::iter::once(Judged::Action).chain(subjects)
}

/// Judges every part of a request. Every part needs a permit; every forbid counts.
fn all_parts<'p>(
    action: &Action,
    mut judge: impl FnMut(Judged<'_>) -> Findings<'p>,
) -> Findings<'p> {
    if action.kind == ActionKind::Unknown {
        return Findings::denied(UNKNOWN_ACTION);
    }
    if let Some(asked_for) = &action.impersonates
        && (asked_for.user.is_empty() || asked_for.groups.len() > MAX_SUBJECTS)
    {
        return Findings::denied(UNREADABLE_TARGET);
    }
    let mut all = Findings {
        denied: None,
        permits: Vec::new(),
        permitted: true,
        forbids: Vec::new(),
    };
    for part in parts(action) {
        let part = judge(part);
        all.denied = all.denied.or(part.denied);
        all.permitted &= part.permitted;
        all.permits.extend(part.permits);
        all.forbids.extend(part.forbids);
    }
    all
}

impl PolicySet {
    /// What the policies say of a request of someone with `roles`.
    pub(crate) fn findings(&self, question: &Question<'_>, roles: &[&str]) -> Findings<'_> {
        let action = question.action;
        let principals = self.vocabulary.principals(question, roles);
        let places = self.vocabulary.places(action);
        let within = Within {
            principals: &principals,
            places: &places,
        };
        all_parts(action, |part| {
            let (kind, resource) = (part.kind(action), part.resource(action));
            let buckets = self.index.buckets(kind, &principals, &places, resource);
            let needs = buckets.iter().fold(Needs::NONE, |n, b| n.and(b.needs));
            let mentioned = |name| buckets.iter().any(|bucket| bucket.mentions(name));
            match self
                .vocabulary
                .ask(question, part, within, needs, mentioned)
            {
                Ok(asked) => self.judge(asked, &buckets),
                Err(_) => Findings::denied(UNREADABLE_TARGET),
            }
        })
    }

    /// Evaluates the conditions of the policies in `buckets`.
    ///
    /// This is Cedar's authorizer but for two things: permits are named beside forbids too, and a policy
    /// that errs, which Cedar would skip, denies. A property test holds it against Cedar's own.
    pub(crate) fn judge(&self, asked: Asked, buckets: &[&Bucket]) -> Findings<'_> {
        let mut permits = Vec::new();
        let mut forbids = Vec::new();
        let mut errors = false;
        let extensions = Extensions::all_available();
        let evaluator = Evaluator::new(asked.request, &asked.entities, extensions);
        let no_slots = SlotEnv::new();
        let policies = buckets.iter().flat_map(|bucket| &bucket.policies);
        for policy in policies.filter_map(|at| self.policies.get(*at)) {
            let value = evaluator.interpret(&policy.condition, &no_slots);
            match value.as_ref().map(Value::value_kind) {
                Ok(ValueKind::Lit(Literal::Bool(false))) => {}
                Ok(ValueKind::Lit(Literal::Bool(true))) => match policy.summary.effect {
                    Effect::Permit => permits.push(policy),
                    Effect::Forbid => forbids.push(policy),
                },
                _ => errors = true,
            }
        }
        Findings {
            denied: errors.then_some(EVALUATION_ERROR),
            permitted: !permits.is_empty(),
            permits,
            forbids,
        }
    }
}

#[cfg(test)]
mod prop_tests;
#[cfg(test)]
pub(crate) mod tests;
