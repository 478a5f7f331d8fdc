//! From a question to what Cedar judges: principal, action, resource and context, each with only what
//! the policies can see.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression,
};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{Action, ActionKind, Known, Target};

use crate::attributes::Needs;
use crate::decide::Question;

/// Job functions of the starter pack that include another.
const INCLUDES: &[(&str, &str)] = &[("admin", "operator"), ("operator", "viewer")];

/// The roles that count for a request to `namespace` (empty: cluster-scoped) on the question's
/// cluster, those that they include added.
pub(crate) fn roles<'q>(question: &Question<'q>) -> Vec<&'q str> {
    let action = question.action;
    let mut roles: Vec<&str> = question
        .identity
        .functions
        .iter()
        .filter(|function| function.covers(&action.cluster, action.namespace()))
        .map(|function| function.role())
        .collect();
    for (role, included) in INCLUDES {
        if roles.contains(role) {
            roles.push(included);
        }
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// Whether having the role `role` means having `other` too.
pub(crate) fn includes(role: &str, other: &str) -> bool {
    role == other
        || INCLUDES
            .iter()
            .any(|(from, to)| *from == role && includes(to, other))
}

/// The entities that policies name. Nobody can tell whether a principal is in one that is not here, so
/// it is left out of the request.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    types: Types,
    actions: HashMap<ActionKind, Entity>,
    groups: HashMap<String, EntityUid>,
    roles: HashMap<String, EntityUid>,
    places: HashMap<String, EntityUid>,
}

#[derive(Debug)]
struct Types {
    user: EntityTypeName,
    pipeline: EntityTypeName,
    service_account: EntityTypeName,
    object: EntityUid,
    non_resource: EntityUid,
    subject: EntityUid,
}

impl Vocabulary {
    /// From the entities that the policies name and the schema's action entities. `None` if the schema
    /// has not got the types that this file builds, which a test excludes.
    pub(crate) fn new(
        named: impl Iterator<Item = EntityUid>,
        schema_actions: &Entities,
    ) -> Option<Self> {
        let kind = |name: &str| name.parse::<EntityTypeName>().ok();
        let request = |name: &str| {
            Some(EntityUid::from_type_name_and_id(
                kind(name)?,
                EntityId::new("request"),
            ))
        };
        let types = Types {
            user: kind("User")?,
            pipeline: kind("Pipeline")?,
            service_account: kind("ServiceAccount")?,
            object: request("Object")?,
            non_resource: request("NonResource")?,
            subject: request("Subject")?,
        };
        let mut vocabulary = Self {
            types,
            actions: HashMap::new(),
            groups: HashMap::new(),
            roles: HashMap::new(),
            places: HashMap::new(),
        };
        for entity in schema_actions.iter() {
            let uid = entity.uid();
            let id = uid.id().unescaped();
            if let Some(action) = ActionKind::ALL.iter().find(|k| k.as_str() == id) {
                vocabulary.actions.insert(*action, entity.clone());
            }
        }
        for uid in named {
            let id = uid.id().unescaped().to_owned();
            match uid.type_name().basename() {
                "Group" => vocabulary.groups.insert(id, uid),
                "JobFunction" => vocabulary.roles.insert(id, uid),
                "Cluster" | "Namespace" => vocabulary.places.insert(id, uid),
                _ => None,
            };
        }
        Some(vocabulary)
    }

    /// The roles that policies name.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.keys().map(String::as_str)
    }

    /// Who asks: themselves first, then what they are in.
    pub(crate) fn principals(&self, question: &Question<'_>, roles: &[&str]) -> Vec<EntityUid> {
        let identity = question.identity;
        let kind = match identity.kind {
            IdentityKind::Person => &self.types.user,
            IdentityKind::Pipeline => &self.types.pipeline,
            IdentityKind::ServiceAccount => &self.types.service_account,
        };
        let uid = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(&identity.name));
        let mut all = vec![uid];
        all.extend(
            roles
                .iter()
                .filter_map(|role| self.roles.get(*role).cloned()),
        );
        all.extend(
            identity
                .groups
                .iter()
                .filter_map(|g| self.groups.get(g).cloned()),
        );
        all
    }

    /// The named places that the request goes to: its cluster and its namespace. A cluster's name has
    /// no `/`, so that the two cannot be mistaken for each other.
    pub(crate) fn places(&self, action: &Action) -> Vec<EntityUid> {
        let mut all = Vec::new();
        if self.places.is_empty() {
            return all;
        }
        let cluster = action.cluster.as_str();
        all.extend(self.places.get(cluster).cloned());
        if !action.namespace().is_empty() {
            let id = format!("{cluster}/{}", action.namespace());
            all.extend(self.places.get(&id).cloned());
        }
        all
    }
}

/// What is judged: the request itself, or one of those whom the client asks to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Judged<'q> {
    /// The action.
    Action,
    /// `--as` (kind `User` or `ServiceAccount`) or `--as-group` (kind `Group`).
    Subject { kind: &'static str, name: &'q str },
}

impl<'q> Judged<'q> {
    /// The kind of action that it is judged as.
    pub(crate) fn kind(self, action: &Action) -> ActionKind {
        match self {
            Self::Action => action.kind,
            Self::Subject { .. } => ActionKind::Impersonate,
        }
    }

    /// The resource by which policies are indexed; empty where there is none.
    pub(crate) fn resource(self, action: &'q Action) -> &'q str {
        match self {
            Self::Action => action.resource().map_or("", |r| &r.resource),
            Self::Subject { .. } => "",
        }
    }
}

/// A request in Cedar's words.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// Why a request could not be put into Cedar's words. The request is denied.
#[derive(Debug)]
pub(crate) struct Unaskable;

impl Vocabulary {
    /// Builds the request with the attributes in `needs`.
    pub(crate) fn ask(
        &self,
        question: &Question<'_>,
        judged: Judged<'_>,
        principals: &[EntityUid],
        places: &[EntityUid],
        needs: Needs,
    ) -> Result<Asked, Unaskable> {
        let kind = judged.kind(question.action);
        let action = self.actions.get(&kind).ok_or(Unaskable)?;
        let (principal, parents) = principals.split_first().ok_or(Unaskable)?;
        let principal_entity = entity(
            principal.clone(),
            principal_attributes(question, needs),
            parents,
        )?;
        let (resource, attributes) = match (judged, &question.action.info.target) {
            (Judged::Subject { kind, name }, _) => {
                let uid = self.types.subject.clone();
                (uid, subject_attributes(question, kind, name, needs))
            }
            (Judged::Action, Target::Resource(_)) => {
                let uid = self.types.object.clone();
                (uid, object_attributes(question.action, needs)?)
            }
            (Judged::Action, Target::NonResource { path }) => {
                let uid = self.types.non_resource.clone();
                (uid, path_attributes(question.action, path, needs))
            }
        };
        let resource_entity = entity(resource.clone(), attributes, places)?;
        let context =
            cedar_policy::Context::from_pairs(context(question, needs)).map_err(|_| Unaskable)?;
        let request = Request::new(principal.clone(), action.uid(), resource, context, None)
            .map_err(|_| Unaskable)?;
        let entities =
            Entities::from_entities([principal_entity, resource_entity, action.clone()], None)
                .map_err(|_| Unaskable)?;
        Ok(Asked { request, entities })
    }
}

type Attributes = Vec<(&'static str, RestrictedExpression)>;

fn entity(
    uid: EntityUid,
    attributes: Attributes,
    parents: &[EntityUid],
) -> Result<Entity, Unaskable> {
    let parents: HashSet<EntityUid> = parents.iter().cloned().collect();
    if attributes.is_empty() {
        return Ok(Entity::new_no_attrs(uid, parents));
    }
    let attributes = attributes
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
    Entity::new(uid, attributes, parents).map_err(|_| Unaskable)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn principal_attributes(question: &Question<'_>, needs: Needs) -> Attributes {
    if !needs.has(Needs::PRINCIPAL) {
        return Vec::new();
    }
    let identity = question.identity;
    vec![
        ("name", text(&identity.name)),
        ("uid", text(&identity.id.to_string())),
    ]
}

/// Collects the attributes that are needed.
struct Wanted {
    needs: Needs,
    attributes: Attributes,
}

impl Wanted {
    fn new(needs: Needs) -> Self {
        Self {
            needs,
            attributes: Vec::new(),
        }
    }

    fn add(
        &mut self,
        need: Needs,
        name: &'static str,
        value: impl FnOnce() -> RestrictedExpression,
    ) {
        if self.needs.has(need) {
            self.attributes.push((name, value()));
        }
    }

    /// An attribute that is absent when it is empty.
    fn add_text(&mut self, need: Needs, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.add(need, name, || text(value));
        }
    }
}

fn object_attributes(action: &Action, needs: Needs) -> Result<Attributes, Unaskable> {
    let resource = action.resource().ok_or(Unaskable)?;
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::CLUSTER, "cluster", || text(action.cluster.as_str()));
    wanted.add_text(Needs::NAMESPACE, "namespace", &resource.namespace);
    wanted.add(Needs::API_GROUP, "apiGroup", || text(&resource.group));
    wanted.add(Needs::API_VERSION, "apiVersion", || text(&resource.version));
    wanted.add(Needs::RESOURCE, "resource", || text(&resource.resource));
    wanted.add(Needs::SUBRESOURCE, "subresource", || {
        text(&resource.subresource)
    });
    if !matches!(action.kind, ActionKind::Proxy | ActionKind::NodeProxy) {
        wanted.add_text(Needs::NAME, "name", &resource.name);
        return Ok(wanted.attributes);
    }
    let target = proxy_target(&resource.name).ok_or(Unaskable)?;
    wanted.add_text(Needs::NAME, "name", target.name);
    wanted.add_text(Needs::SCHEME, "scheme", target.scheme);
    wanted.add_text(Needs::PORT, "port", target.port);
    // The legacy prefix `/proxy/` has no subresource: [resource, name, rest…].
    let rest = if resource.subresource.is_empty() {
        2
    } else {
        3
    };
    let path = resource.parts.get(rest..).unwrap_or_default().join("/");
    wanted.add_text(Needs::PROXY_PATH, "proxyPath", &path);
    Ok(wanted.attributes)
}

/// The parts of the name segment of a proxy request.
#[derive(Debug, PartialEq, Eq)]
struct ProxyTarget<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

/// `[http:|https:]name[:port]` as kube-apiserver splits it (`SplitSchemeNamePort` of
/// `apimachinery/pkg/util/net/port_split.go`); a scheme only together with a port.
fn proxy_target(segment: &str) -> Option<ProxyTarget<'_>> {
    let parts: Vec<&str> = segment.splitn(4, ':').collect();
    let target = match parts.as_slice() {
        [name] => ProxyTarget {
            scheme: "",
            name,
            port: "",
        },
        [name, port] => ProxyTarget {
            scheme: "",
            name,
            port,
        },
        [scheme, name, port] => ProxyTarget { scheme, name, port },
        _ => return None,
    };
    let known = matches!(target.scheme, "" | "http" | "https");
    (known && !target.name.is_empty()).then_some(target)
}

fn path_attributes(action: &Action, path: &str, needs: Needs) -> Attributes {
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::CLUSTER, "cluster", || text(action.cluster.as_str()));
    wanted.add(Needs::PATH, "path", || text(path));
    wanted.attributes
}

fn subject_attributes(question: &Question<'_>, kind: &str, name: &str, needs: Needs) -> Attributes {
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::CLUSTER, "cluster", || {
        text(question.action.cluster.as_str())
    });
    wanted.add(Needs::KIND, "kind", || text(kind));
    wanted.add(Needs::NAME, "name", || text(name));
    wanted.attributes
}

fn context(question: &Question<'_>, needs: Needs) -> Vec<(String, RestrictedExpression)> {
    let (action, conditions) = (question.action, question.context);
    let number = |value: i64| move || RestrictedExpression::new_long(value);
    let flag = |value: bool| move || RestrictedExpression::new_bool(value);
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::VERB, "verb", || text(action.info.verb.as_str()));
    wanted.add(Needs::METHOD, "method", || text(&action.info.method));
    wanted.add(Needs::DRY_RUN, "dryRun", flag(action.dry_run));
    if !action.command.is_empty() {
        wanted.add(Needs::COMMAND, "command", || {
            RestrictedExpression::new_set(action.command.iter().map(|word| text(word)))
        });
        wanted.add(Needs::COMMAND_LINE, "commandLine", || {
            text(&action.command.join(" "))
        });
    }
    wanted.add_text(
        Needs::CONTAINER,
        "container",
        action.container.as_deref().unwrap_or(""),
    );
    if let Some(resource) = action.resource() {
        wanted.add_text(
            Needs::FIELD_SELECTOR,
            "fieldSelector",
            &resource.field_selector,
        );
        wanted.add_text(
            Needs::LABEL_SELECTOR,
            "labelSelector",
            &resource.label_selector,
        );
    }
    wanted.add(
        Needs::SESSION_AGE,
        "sessionAge",
        number(question.session_age_s),
    );
    wanted.add(
        Needs::ASSURANCE,
        "assurance",
        number(question.assurance.level()),
    );
    wanted.add(Needs::SOURCE, "source", || {
        RestrictedExpression::new_ip(conditions.source.to_string())
    });
    let now = conditions.now.as_secs();
    wanted.add(Needs::NOW, "now", number(now));
    wanted.add(
        Needs::HOUR_UTC,
        "hourUtc",
        number(now.rem_euclid(86_400) / 3600),
    );
    wanted.add(Needs::WEEKDAY, "weekday", number(weekday(now)));
    let approved = matches!(conditions.approval, Known::Present(()));
    wanted.add(Needs::APPROVAL, "approval", flag(approved));
    if let Known::Present(invocation) = &conditions.invocation {
        wanted.add(Needs::INVOCATION, "invocation", || {
            let fields = [
                ("session", &invocation.session),
                ("command", &invocation.command),
            ];
            let fields = fields.map(|(name, value)| (name.to_owned(), text(value)));
            // The two names differ, so that this cannot fail; an empty record would make every policy
            // that reads it err, which denies.
            RestrictedExpression::new_record(fields).unwrap_or_else(|_| text(""))
        });
    }
    let pairs = wanted.attributes.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The day of the week in UTC: Monday is 1. 1970-01-01 was a Thursday.
fn weekday(now: i64) -> i64 {
    (now.div_euclid(86_400) + 3).rem_euclid(7) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_targets_split_as_in_kubernetes() {
        let of = |scheme, name, port| Some(ProxyTarget { scheme, name, port });
        assert_eq!(proxy_target("web"), of("", "web", ""));
        assert_eq!(proxy_target("web:80"), of("", "web", "80"));
        assert_eq!(proxy_target("https:web:443"), of("https", "web", "443"));
        assert_eq!(proxy_target("https:web:"), of("https", "web", ""));
        assert_eq!(proxy_target(":web:80"), of("", "web", "80"));
        // Two parts are a name and a port, so that `https` is a name here.
        assert_eq!(proxy_target("https:web"), of("", "https", "web"));
        for bad in [
            "",
            ":80",
            "ftp:web:80",
            "https::443",
            "a:b:c:d",
            "https:web:80:x",
        ] {
            assert_eq!(proxy_target(bad), None, "{bad}");
        }
    }

    #[test]
    fn weekdays_count_from_monday() {
        assert_eq!(weekday(0), 4);
        // Tuesday, 24 November 2026.
        assert_eq!(weekday(1_795_478_400), 2);
        assert_eq!(weekday(-1), 3);
    }

    #[test]
    fn starter_roles_include_each_other() {
        assert!(includes("admin", "viewer") && includes("viewer", "viewer"));
        assert!(!includes("viewer", "operator") && !includes("auditor", "viewer"));
    }
    /// Requests as they are built, with everything in them, are what the schema says.
    #[test]
    fn requests_conform_to_the_schema() {
        use crate::decide::tests::{action, context, identity, question};
        use kubestile_core::context::Invocation;
        let schema: cedar_policy::Schema = crate::SCHEMA.parse().unwrap();
        let named = [
            "JobFunction::\"operator\"",
            "Group::\"dev\"",
            "Cluster::\"prod\"",
            "Namespace::\"prod/shop\"",
        ];
        let named = named.map(|uid| uid.parse().unwrap()).into_iter();
        let vocabulary = Vocabulary::new(named, &schema.action_entities().unwrap()).unwrap();
        let mut identity = identity(&["operator"]);
        identity.groups = vec!["dev".to_owned(), "other".to_owned()];
        let mut context = context();
        context.invocation = Known::Present(Invocation {
            session: "s".to_owned(),
            command: "kubectl".to_owned(),
        });
        let subject = Judged::Subject {
            kind: "Group",
            name: "dev",
        };
        for (line, judged) in [
            ("kubectl exec a -c b -n shop -- sh -c x", Judged::Action),
            (
                "kubectl get pods -l a=b --field-selector c=d -n shop",
                Judged::Action,
            ),
            (
                "GET /api/v1/namespaces/shop/services/https:a:443/proxy/x/y",
                Judged::Action,
            ),
            ("GET /version", Judged::Action),
            ("GET /version", subject),
            ("kubectl certificate approve a", Judged::Action),
        ] {
            let action = action(line);
            let question = question(&identity, &action, &context);
            let principals = vocabulary.principals(&question, &roles(&question));
            let places = vocabulary.places(&action);
            assert_eq!(principals.len(), 3, "{line}");
            let asked = vocabulary.ask(&question, judged, &principals, &places, Needs::ALL);
            let Ok(Asked { request, entities }) = asked else {
                panic!("{line} cannot be asked");
            };
            let part = |uid: Option<&EntityUid>| uid.unwrap().clone();
            let checked = Request::new(
                part(request.principal()),
                part(request.action()),
                part(request.resource()),
                request.context().unwrap().clone(),
                Some(&schema),
            );
            assert!(checked.is_ok(), "{line}: {checked:?}");
            let entities = Entities::from_entities(entities.iter().cloned(), Some(&schema));
            assert!(entities.is_ok(), "{line}: {entities:?}");
        }
    }

    /// Each attribute that is built is one that policies can read.
    #[test]
    fn proxied_paths_are_attributes() {
        use crate::decide::tests::action;
        let attribute = |line: &str, name: &str| {
            let attributes = object_attributes(&action(line), Needs::ALL).ok().unwrap();
            attributes
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| format!("{v:?}"))
        };
        let behind = "GET /api/v1/namespaces/shop/services/https:a:443/proxy/x/y";
        assert!(attribute(behind, "proxyPath").unwrap().contains("x/y"));
        assert!(attribute(behind, "port").unwrap().contains("443"));
        let legacy = "GET /api/v1/proxy/namespaces/shop/services/a/x/y";
        assert!(attribute(legacy, "proxyPath").unwrap().contains("x/y"));
        let plain = "kubectl get service a -n shop";
        assert_eq!(attribute(plain, "proxyPath"), None);
        assert_eq!(attribute("kubectl get pods -A", "namespace"), None);
    }
}
