//! The index that keeps decisions flat in the number of policies.
//!
//! A policy can matter for a request only if its action matches, its principal scope is open or among
//! the principal and what it is in, its resource scope is open or among the cluster and namespace, and
//! its resource, where it begins with one, is the request's. Policies that agree in all four lie in one
//! bucket. A decision asks the few buckets that fit: nothing is assembled or cached per request.

use std::collections::HashMap;
use std::hash::Hash;

use kubestile_core::ActionKind;

use crate::attributes::Needs;
use crate::load::Loaded;
use crate::vocabulary::{Name, Vocabulary};

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Index {
    actions: HashMap<ActionKind, ByPrincipal>,
}

type ByPrincipal = By<Name, ByPlace>;
type ByPlace = By<Name, ByResource>;
type ByResource = By<String, Bucket>;

/// What is open for all, and what is for one.
#[derive(Debug)]
struct By<K, V> {
    open: V,
    of: HashMap<K, V>,
}

impl<K, V: Default> Default for By<K, V> {
    fn default() -> Self {
        Self {
            open: V::default(),
            of: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash, V: Default> By<K, V> {
    fn entry(&mut self, key: Option<K>) -> &mut V {
        match key {
            None => &mut self.open,
            Some(key) => self.of.entry(key).or_default(),
        }
    }
}

/// Policies that can matter for the same requests.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Their places in the set.
    pub(crate) policies: Vec<usize>,
    /// The attributes that they read.
    pub(crate) needs: Needs,
    /// The entities that they name, sorted.
    mentions: Vec<Name>,
}

impl Bucket {
    fn add(&mut self, at: usize, loaded: &Loaded, mentions: &[Name]) {
        if self.policies.last() == Some(&at) {
            return; // It names a resource twice.
        }
        self.policies.push(at);
        self.needs = self.needs.and(loaded.needs);
        self.mentions.extend(mentions);
        self.mentions.sort_unstable();
        self.mentions.dedup();
    }

    /// Whether some policy of the bucket names this entity.
    pub(crate) fn mentions(&self, name: Name) -> bool {
        self.mentions.binary_search(&name).is_ok()
    }
}

impl Index {
    pub(crate) fn new(policies: &[Loaded], vocabulary: &Vocabulary) -> Self {
        let mut index = Self::default();
        for (at, loaded) in policies.iter().enumerate() {
            let scope = &loaded.scope;
            let named = |uid: &Option<cedar_policy::EntityUid>| {
                uid.as_ref().and_then(|uid| vocabulary.name(uid))
            };
            let (principal, place) = (named(&scope.principal), named(&scope.place));
            let mentions: Vec<Name> = loaded
                .literals
                .iter()
                .filter_map(|uid| vocabulary.name(uid))
                .collect();
            for action in &scope.actions {
                let by_resource = index
                    .actions
                    .entry(*action)
                    .or_default()
                    .entry(principal)
                    .entry(place);
                match &scope.resources {
                    None => by_resource.entry(None).add(at, loaded, &mentions),
                    Some(names) => {
                        for name in names {
                            let bucket = by_resource.entry(Some(name.clone()));
                            bucket.add(at, loaded, &mentions);
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
        principals: &[Name],
        places: &[Name],
        resource: &str,
    ) -> Vec<&Bucket> {
        let mut found = Vec::with_capacity(8);
        let Some(by_principal) = self.actions.get(&action) else {
            return found;
        };
        let for_them = principals
            .iter()
            .filter_map(|name| by_principal.of.get(name));
        for by_place in std::iter::once(&by_principal.open).chain(for_them) {
            let there = places.iter().filter_map(|name| by_place.of.get(name));
            for by_resource in std::iter::once(&by_place.open).chain(there) {
                if !by_resource.open.policies.is_empty() {
                    found.push(&by_resource.open);
                }
                found.extend(by_resource.of.get(resource));
            }
        }
        found
    }
}
