//! With `escalate`, somebody may write rules that they do not hold. What that gives them depends on which roles
//! are bound to them.

use super::super::needs::N;
use super::super::{Confidence, Support, Technique};
use super::{Builder, From, everything_of};
use crate::policy::{Scope, StoredRole};

/// The rights to write roles of one kind, and where they must be held.
struct Writes<'s> {
    kind: &'static str,
    create: N,
    change: N,
    escalate: N,
    held_in: &'s Scope,
}

impl Builder<'_> {
    pub(super) fn escalate(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        let ways = escalations(self, from, scope);
        // What rights of the cluster give alone is drawn once, there.
        let is_known =
            *scope != Scope::Cluster && !escalations(self, from, &Scope::Cluster).is_empty();
        for (technique, needs) in ways.into_iter().filter(|_| !is_known) {
            let to = everything_of(scope);
            self.edge(from, to, technique, Confidence::Certain, needs);
        }
    }
}

fn escalations(
    builder: &Builder<'_>,
    from: &From<'_, '_, '_>,
    scope: &Scope,
) -> Vec<(Technique, Vec<Support>)> {
    let of_cluster = Writes {
        kind: "ClusterRole",
        create: N::CreateClusterRoles,
        change: N::ChangeClusterRoles,
        escalate: N::EscalateClusterRoles,
        held_in: &Scope::Cluster,
    };
    let of_namespace = Writes {
        kind: "Role",
        create: N::CreateRoles,
        change: N::ChangeRoles,
        escalate: N::EscalateRoles,
        held_in: scope,
    };
    let mut found = Vec::new();
    for writes in [of_cluster, of_namespace] {
        // A ClusterRoleBinding gives no Role.
        let is_nothing = writes.kind == "Role" && *scope == Scope::Cluster;
        if is_nothing || !from.rights.has(writes.escalate, writes.held_in) {
            continue;
        }
        let own = own(builder, from, scope, writes.kind);
        let needs = change(from, &writes, |name| {
            own.iter().any(|r| r.metadata.name == name)
        })
        .filter(|_| !own.is_empty())
        .or_else(|| awaited(builder, from, &writes, scope));
        found.extend(needs.map(|needs| (Technique::Escalate, needs)));
        let aggregated = own.iter().filter(|r| r.aggregated);
        let needs = aggregated
            .take(1)
            .find_map(|own| aggregate(builder, from, &writes, &own.metadata.name));
        found.extend(needs.map(|needs| (Technique::Aggregate, needs)));
    }
    found
}

/// The roles of this kind that are bound to it in exactly this scope.
fn own<'p>(
    builder: &Builder<'p>,
    from: &From<'_, '_, '_>,
    scope: &Scope,
    kind: &str,
) -> Vec<&'p StoredRole> {
    let holding = from.rights.scopes.get(scope).into_iter();
    holding
        .flat_map(|holding| &holding.roles)
        .filter_map(|(_, role)| builder.policy.role(*role))
        .filter(|role| role.kind() == kind)
        .collect()
}

/// The right to change a role that fits, and to write any rule into that very role.
fn change(
    from: &From<'_, '_, '_>,
    writes: &Writes<'_>,
    fits: impl Fn(&str) -> bool,
) -> Option<Vec<Support>> {
    let rights = from.rights;
    let whole = |n| rights.whole(n, writes.held_in);
    if let (Some(change), Some(escalate)) = (whole(writes.change), whole(writes.escalate)) {
        return Some(vec![change, escalate]);
    }
    let of = |n, name: &str| rights.fitting(n, writes.held_in, |held| held == name);
    [writes.change, writes.escalate]
        .iter()
        .flat_map(|n| rights.named(*n, writes.held_in))
        .map(|(name, _)| name)
        .filter(|name| fits(name))
        .find_map(|name| Some(vec![of(writes.change, &name)?, of(writes.escalate, &name)?]))
}

/// The right to create any role: what is created is judged without its name, also by `escalate`.
fn create(from: &From<'_, '_, '_>, writes: &Writes<'_>) -> Option<Vec<Support>> {
    let whole = |n| from.rights.whole(n, writes.held_in);
    Some(vec![whole(writes.create)?, whole(writes.escalate)?])
}

/// A binding in this scope waits for a role that it may create.
fn awaited(
    builder: &Builder<'_>,
    from: &From<'_, '_, '_>,
    writes: &Writes<'_>,
    scope: &Scope,
) -> Option<Vec<Support>> {
    let dangling = from.rights.scopes.get(scope)?.dangling.iter();
    let waits = dangling
        .filter_map(|id| builder.policy.binding(*id))
        .any(|binding| binding.role_ref.kind == writes.kind);
    waits.then(|| create(from, writes)).flatten()
}

/// The controller gives an aggregated role the rules of all that its selectors select, and whoever writes a role
/// chooses its labels.
fn aggregate(
    builder: &Builder<'_>,
    from: &From<'_, '_, '_>,
    writes: &Writes<'_>,
    own: &str,
) -> Option<Vec<Support>> {
    let is_other = |name: &str| name != own && builder.policy.cluster_role(name).is_some();
    create(from, writes).or_else(|| change(from, writes, is_other))
}
