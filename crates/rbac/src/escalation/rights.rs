//! What somebody holds, as sets of the rights that techniques need.

use std::collections::{BTreeMap, BTreeSet};

use super::Support;
use super::needs::{ALL, N, Need};
use crate::evaluate::Grant;
use crate::model::Rule;
use crate::policy::{BindingId, Policy, RoleId, Scope};

/// Which rights each role gives, but for those that give everything. Made once, so that the rules of a
/// role are not read again for everybody who has it.
pub(super) struct Roles<'p> {
    policy: &'p Policy,
    given: Vec<Given>,
}

/// What one role gives.
#[derive(Default)]
struct Given {
    set: u64,
    /// Which rule gives which right.
    rules: Vec<(N, u32)>,
    /// The first rule that gives everything.
    everything: Option<u32>,
}

impl Given {
    fn new(rules: &[Rule]) -> Self {
        let everything = (0..).zip(rules).find(|(_, r)| r.is_everything());
        // One step says what whoever may do everything may do.
        if let Some((position, _)) = everything {
            return Self {
                everything: Some(position),
                ..Self::default()
            };
        }
        let mut given = Self::default();
        for n in ALL {
            let need = n.need();
            for (position, _) in (0..).zip(rules).filter(|(_, r)| need.is_given_by(r)) {
                given.set |= n.bit();
                given.rules.push((*n, position));
            }
        }
        given
    }
}

impl<'p> Roles<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        let given = policy.roles().map(|(_, r)| Given::new(&r.rules)).collect();
        Self { policy, given }
    }

    fn given(&self, role: RoleId) -> Option<&Given> {
        self.given.get(role.position())
    }

    fn gives(&self, role: RoleId) -> u64 {
        self.given(role).map_or(0, |given| given.set)
    }

    /// What these bindings give, by scope; what holds in the cluster is not repeated in namespaces.
    pub(super) fn of(&self, bindings: &[BindingId]) -> Rights<'_, 'p> {
        let mut scopes: BTreeMap<Scope, Holding> = BTreeMap::new();
        for &id in bindings {
            let Some(binding) = self.policy.binding(id) else {
                continue;
            };
            let holding = scopes.entry(binding.scope()).or_default();
            let Some(role) = binding.role else {
                holding.dangling.push(id);
                continue;
            };
            holding.roles.push((id, role));
            holding.set |= self.gives(role);
        }
        Rights {
            roles: self,
            scopes,
        }
    }
}

impl<'p> Roles<'p> {
    /// What one role gives, as if it were bound.
    pub(super) fn of_role(&self, role: RoleId, scope: Scope) -> Rights<'_, 'p> {
        let holding = Holding {
            roles: vec![(BindingId::NONE, role)],
            set: self.gives(role),
            dangling: Vec::new(),
        };
        Rights {
            roles: self,
            scopes: [(scope, holding)].into(),
        }
    }

    /// A need that is not in the table, in whatever scope.
    pub(super) fn support(&self, need: &Need, rights: &Rights<'_, '_>) -> Option<Support> {
        let mut grants = Vec::new();
        let holdings = rights.scopes.values();
        for &(binding, role) in holdings.flat_map(|holding| &holding.roles) {
            let rules = self.policy.role(role).map_or(&[][..], |r| &r.rules);
            let given = (0..).zip(rules).filter(|(_, r)| need.is_given_by(r));
            grants.extend(given.map(|(rule, _)| Grant {
                binding,
                role,
                rule,
            }));
        }
        let right = need.says;
        (!grants.is_empty()).then_some(Support { right, grants })
    }
}

/// The roles that somebody has in one scope.
#[derive(Default, Clone)]
pub(super) struct Holding {
    pub(super) roles: Vec<(BindingId, RoleId)>,
    set: u64,
    /// Bindings to roles that are not there.
    pub(super) dangling: Vec<BindingId>,
}

/// The rights of one identity.
pub(super) struct Rights<'r, 'p> {
    roles: &'r Roles<'p>,
    pub(super) scopes: BTreeMap<Scope, Holding>,
}

impl Rights<'_, '_> {
    /// Whether a right is held in a scope, also by what holds in the cluster. Fast, and blind to names.
    pub(super) fn has(&self, n: N, scope: &Scope) -> bool {
        self.has_in(n, scope) || self.has_in(n, &Scope::Cluster)
    }

    /// Whether something in exactly this scope gives a right.
    pub(super) fn has_in(&self, n: N, scope: &Scope) -> bool {
        let holding = self.scopes.get(scope);
        holding.is_some_and(|h| h.set & n.bit() != 0)
    }

    /// The right in a scope, for whatever names.
    pub(super) fn any(&self, n: N, scope: &Scope) -> Option<Support> {
        self.select(n, scope, |_| true)
    }

    /// The right for every name.
    pub(super) fn whole(&self, n: N, scope: &Scope) -> Option<Support> {
        self.select(n, scope, |rule| rule.resource_names.is_empty())
    }

    /// The right for every name, or for one that fits.
    pub(super) fn fitting(
        &self,
        n: N,
        scope: &Scope,
        fits: impl Fn(&str) -> bool,
    ) -> Option<Support> {
        self.select(n, scope, |rule| {
            rule.resource_names.is_empty() || rule.resource_names.iter().any(|name| fits(name))
        })
    }

    /// The names for which a right is held by name.
    pub(super) fn named(&self, n: N, scope: &Scope) -> Vec<(String, Support)> {
        let mut names = BTreeSet::new();
        let _all = self.select(n, scope, |rule| {
            names.extend(rule.resource_names.iter().cloned());
            true
        });
        names
            .into_iter()
            .filter_map(|name| {
                let support = self.select(n, scope, |rule| rule.resource_names.contains(&name))?;
                Some((name, support))
            })
            .collect()
    }

    /// Every rule that gives the right in a scope and is wanted; none if there is none.
    fn select(
        &self,
        n: N,
        scope: &Scope,
        mut wanted: impl FnMut(&Rule) -> bool,
    ) -> Option<Support> {
        if !self.has(n, scope) {
            return None;
        }
        let mut grants = Vec::new();
        let mut scopes = vec![&Scope::Cluster];
        if *scope != Scope::Cluster {
            scopes.push(scope);
        }
        let holdings = scopes.into_iter().filter_map(|s| self.scopes.get(s));
        for &(binding, role) in holdings.flat_map(|holding| &holding.roles) {
            let Some(given) = self.roles.given(role).filter(|g| g.set & n.bit() != 0) else {
                continue;
            };
            let rules = self.roles.policy.role(role).map_or(&[][..], |r| &r.rules);
            for (_, rule) in given.rules.iter().filter(|(given, _)| *given == n) {
                let found = usize::try_from(*rule).ok().and_then(|i| rules.get(i));
                if found.is_some_and(&mut wanted) {
                    grants.push(Grant {
                        binding,
                        role,
                        rule: *rule,
                    });
                }
            }
        }
        let right = n.need().says;
        (!grants.is_empty()).then_some(Support { right, grants })
    }

    /// What gives every verb on everything, in exactly this scope.
    pub(super) fn everything(&self, scope: &Scope) -> Option<Support> {
        let roles = self.scopes.get(scope).map_or(&[][..], |h| &h.roles);
        let grants: Vec<Grant> = roles
            .iter()
            .filter_map(|&(binding, role)| {
                Some(Grant {
                    binding,
                    role,
                    rule: self.roles.given(role)?.everything?,
                })
            })
            .collect();
        let right = "every verb on everything";
        (!grants.is_empty()).then_some(Support { right, grants })
    }
}
