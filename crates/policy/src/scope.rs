//! What a policy's scope and first condition say about the requests that it can matter for.

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use kubestile_core::ActionKind;

/// For which requests a policy can matter. Wider than the truth is fine, narrower never.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// The actions that match.
    pub(crate) actions: Vec<ActionKind>,
    /// Who must be, or be in, this; `None` is anyone.
    pub(crate) principal: Option<EntityUid>,
    /// What must be in this cluster or namespace; `None` is anything.
    pub(crate) place: Option<EntityUid>,
    /// The resources that it is for; `None` may be any.
    pub(crate) resources: Option<Vec<String>>,
}

impl Scope {
    /// The scope of `policy`. `members` says which kinds an action or action group stands for.
    pub(crate) fn of(
        policy: &Policy,
        resources: Option<Vec<String>>,
        members: impl Fn(&EntityUid) -> Vec<ActionKind>,
    ) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::In(uid)
            | PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        };
        let place = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::In(uid)
            | ResourceConstraint::Eq(uid)
            | ResourceConstraint::IsIn(_, uid) => Some(uid),
        };
        let mut actions: Vec<ActionKind> = match policy.action_constraint() {
            ActionConstraint::Any => ActionKind::ALL.to_vec(),
            ActionConstraint::Eq(uid) => members(&uid),
            ActionConstraint::In(uids) => uids.iter().flat_map(members).collect(),
        };
        actions.sort_unstable();
        actions.dedup();
        Self {
            actions,
            principal,
            place,
            resources,
        }
    }
}
