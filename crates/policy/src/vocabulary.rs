//! The entities that policies name, by number. Nobody can tell whether a principal is in one that is not
//! named, so that a request is judged with the named ones only.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::EntityUid;
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{Action, ActionKind};

use crate::decide::Question;

/// The number of a named entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(u32);

/// The named entities, and what every request is built from.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    named: HashMap<EntityUid, Name>,
    uids: Vec<EntityUID>,
    users: HashMap<String, Name>,
    pipelines: HashMap<String, Name>,
    service_accounts: HashMap<String, Name>,
    groups: HashMap<String, Name>,
    roles: HashMap<String, Name>,
    places: HashMap<String, Name>,
    types: Types,
    actions: HashMap<ActionKind, Arc<Entity>>,
}

#[derive(Debug)]
struct Types {
    user: EntityType,
    pipeline: EntityType,
    service_account: EntityType,
    object: EntityUID,
    non_resource: EntityUID,
    subject: EntityUID,
    access_request: EntityUID,
}

impl Vocabulary {
    /// From the entities that the policies name and the schema's action entities. `None` if the schema
    /// has not got the types that requests are built of, which a test excludes.
    pub(crate) fn new(
        named: impl Iterator<Item = EntityUid>,
        schema_actions: &cedar_policy::Entities,
    ) -> Option<Self> {
        let kind = |name: &str| EntityType::from_normalized_str(name).ok();
        let request = |name: &str| {
            Some(EntityUID::from_components(
                kind(name)?,
                Eid::new("request"),
                None,
            ))
        };
        let mut vocabulary = Self {
            named: HashMap::new(),
            uids: Vec::new(),
            users: HashMap::new(),
            pipelines: HashMap::new(),
            service_accounts: HashMap::new(),
            groups: HashMap::new(),
            roles: HashMap::new(),
            places: HashMap::new(),
            types: Types {
                user: kind("User")?,
                pipeline: kind("Pipeline")?,
                service_account: kind("ServiceAccount")?,
                object: request("Object")?,
                non_resource: request("NonResource")?,
                subject: request("Subject")?,
                access_request: request("Ask")?,
            },
            actions: HashMap::new(),
        };
        for entity in schema_actions.iter() {
            let uid = entity.uid();
            let id = uid.id().unescaped();
            if let Some(action) = ActionKind::ALL.iter().find(|k| k.as_str() == id) {
                let entity: &Entity = entity.as_ref();
                vocabulary.actions.insert(*action, Arc::new(entity.clone()));
            }
        }
        for uid in named {
            vocabulary.add(uid)?;
        }
        Some(vocabulary)
    }

    fn add(&mut self, uid: EntityUid) -> Option<()> {
        if self.named.contains_key(&uid) {
            return Some(());
        }
        let name = Name(u32::try_from(self.uids.len()).ok()?);
        let id = uid.id().unescaped().to_owned();
        let by_id = match uid.type_name().basename() {
            "User" => Some(&mut self.users),
            "Pipeline" => Some(&mut self.pipelines),
            "ServiceAccount" => Some(&mut self.service_accounts),
            "Group" => Some(&mut self.groups),
            "JobFunction" => Some(&mut self.roles),
            // A cluster's name has no `/`, a namespace's id has one.
            "Cluster" | "Namespace" => Some(&mut self.places),
            _ => None,
        };
        if let Some(by_id) = by_id {
            by_id.insert(id, name);
        }
        let core: &EntityUID = uid.as_ref();
        self.uids.push(core.clone());
        self.named.insert(uid, name);
        Some(())
    }

    /// The number of an entity that a policy names.
    pub(crate) fn name(&self, uid: &EntityUid) -> Option<Name> {
        self.named.get(uid).copied()
    }

    /// The roles that policies name.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// Whoever asks, as an entity.
    pub(crate) fn principal(&self, question: &Question<'_>) -> EntityUID {
        let identity = question.identity;
        let kind = match identity.kind {
            IdentityKind::Person => &self.types.user,
            IdentityKind::Pipeline => &self.types.pipeline,
            IdentityKind::ServiceAccount => &self.types.service_account,
        };
        EntityUID::from_components(kind.clone(), Eid::new(identity.name.as_str()), None)
    }

    /// Whatever the person is or is in, as far as policies name it.
    pub(crate) fn principals(&self, question: &Question<'_>, roles: &[&str]) -> Vec<Name> {
        let identity = question.identity;
        let people = match identity.kind {
            IdentityKind::Person => &self.users,
            IdentityKind::Pipeline => &self.pipelines,
            IdentityKind::ServiceAccount => &self.service_accounts,
        };
        let mut all: Vec<Name> = people.get(&identity.name).copied().into_iter().collect();
        all.extend(roles.iter().filter_map(|role| self.roles.get(*role)));
        all.extend(
            identity
                .groups
                .iter()
                .filter_map(|group| self.groups.get(group)),
        );
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The request's cluster and namespace, as far as policies name them.
    pub(crate) fn places(&self, action: &Action) -> Vec<Name> {
        let mut all = Vec::new();
        if self.places.is_empty() {
            return all;
        }
        let cluster = action.cluster.as_str();
        all.extend(self.places.get(cluster).copied());
        if !action.namespace().is_empty() {
            let id = format!("{cluster}/{}", action.namespace());
            all.extend(self.places.get(&id).copied());
        }
        all
    }

    /// The entities behind numbers.
    pub(crate) fn uids(
        &self,
        names: impl Iterator<Item = Name>,
    ) -> impl Iterator<Item = EntityUID> {
        names.filter_map(|Name(at)| self.uids.get(at as usize).cloned())
    }

    pub(crate) fn action(&self, kind: ActionKind) -> Option<&Arc<Entity>> {
        self.actions.get(&kind)
    }

    pub(crate) fn object(&self) -> EntityUID {
        self.types.object.clone()
    }

    pub(crate) fn non_resource(&self) -> EntityUID {
        self.types.non_resource.clone()
    }

    pub(crate) fn subject(&self) -> EntityUID {
        self.types.subject.clone()
    }

    pub(crate) fn access_request(&self) -> EntityUID {
        self.types.access_request.clone()
    }
}
