//! The index that keeps decisions flat in the number of policies.
//!
//! A policy can matter for a request only if its action matches, its principal scope is open or among
//! the principal and what it is in, its resource scope is open or among the cluster and namespace, and
//! its resource, where it begins with one, is the request's. Policies that agree in all four lie in one
//! bucket, whose two Cedar sets are assembled at load. A decision asks the few buckets that fit: nothing
//! is assembled or cached per request.

use std::collections::HashMap;

use cedar_policy::EntityUid;
use kubestile_core::ActionKind;

use crate::attributes::Needs;
use crate::load::Loaded;

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Index {
    actions: HashMap<ActionKind, ByPrincipal>,
}

type ByPrincipal = HashMap<Option<EntityUid>, ByPlace>;
type ByPlace = HashMap<Option<EntityUid>, ByResource>;

#[derive(Debug, Default)]
struct ByResource {
    any: Bucket,
    named: HashMap<String, Bucket>,
}

/// Policies that can matter for the same requests, permits apart from forbids: Cedar names the permits
/// that match only where no forbid does, and a hold needs both.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) permits: cedar_policy::PolicySet,
    pub(crate) forbids: cedar_policy::PolicySet,
    pub(crate) needs: Needs,
}

impl Bucket {
    /// Puts a policy in. Its id is unique, so that nothing can clash.
    pub(crate) fn add(&mut self, loaded: &Loaded) {
        let set = match loaded.cedar.effect() {
            cedar_policy::Effect::Permit => &mut self.permits,
            cedar_policy::Effect::Forbid => &mut self.forbids,
        };
        if set.add(loaded.cedar.clone()).is_ok() {
            self.needs = self.needs.and(loaded.needs);
        }
    }

    fn is_empty(&self) -> bool {
        self.permits.is_empty() && self.forbids.is_empty()
    }
}

impl Index {
    pub(crate) fn new(policies: &[Loaded]) -> Self {
        let mut index = Self::default();
        for loaded in policies {
            let scope = &loaded.scope;
            for action in &scope.actions {
                let by_resource = index
                    .actions
                    .entry(*action)
                    .or_default()
                    .entry(scope.principal.clone())
                    .or_default()
                    .entry(scope.place.clone())
                    .or_default();
                match &scope.resources {
                    None => by_resource.any.add(loaded),
                    Some(names) => {
                        for name in names {
                            by_resource
                                .named
                                .entry(name.clone())
                                .or_default()
                                .add(loaded);
                        }
                    }
                }
            }
        }
        index
    }

    /// The buckets that can matter: `principals` and `places` are whatever the request's principal and
    /// object are or are in.
    pub(crate) fn buckets(
        &self,
        action: ActionKind,
        principals: &[EntityUid],
        places: &[EntityUid],
        resource: &str,
    ) -> Vec<&Bucket> {
        let mut found = Vec::with_capacity(8);
        let Some(by_principal) = self.actions.get(&action) else {
            return found;
        };
        let open = std::iter::once(None);
        for principal in open.clone().chain(principals.iter().cloned().map(Some)) {
            let Some(by_place) = by_principal.get(&principal) else {
                continue;
            };
            for place in open.clone().chain(places.iter().cloned().map(Some)) {
                let Some(by_resource) = by_place.get(&place) else {
                    continue;
                };
                if !by_resource.any.is_empty() {
                    found.push(&by_resource.any);
                }
                found.extend(by_resource.named.get(resource));
            }
        }
        found
    }
}
