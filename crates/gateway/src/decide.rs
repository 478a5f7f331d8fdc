//! Step 5: may it go on. Pure: identity, action and context in, decision out; the policies live in
//! `kubestile-policy`.

use std::time::Instant;

use kubestile_core::action::Action;
use kubestile_core::context::Context;
use kubestile_core::decision::Decision;
use kubestile_core::identity::VerifiedIdentity;
use kubestile_core::ids::RequestId;
use kubestile_policy::PolicySet;

use crate::gate::Gate;

/// Whether a decision carries a score of its session's risk. It carries the class of its request (`RiskClass`), which
/// is the same for everybody: whoever adds a score says so here, and assessments believe it.
pub const SCORED: bool = false;

/// The decision of the policies in force.
pub fn decide(
    gate: &Gate,
    policies: &PolicySet,
    id: RequestId,
    who: &VerifiedIdentity,
    action: &Action,
    context: &Context,
) -> Decision {
    let started = Instant::now();
    let decision = policies.decide(id, who, action, context);
    gate.metrics.decided(
        action.cluster.as_str(),
        action.kind.as_str(),
        decision.name(),
        started.elapsed().as_secs_f64(),
    );
    decision
}
