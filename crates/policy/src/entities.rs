//! From a question to what Cedar judges: principal, action, resource and context, each with only what
//! the policies can see.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cedar_policy::pst::SmolStr;
use cedar_policy_core::ast::{
    Context as CedarContext, Entity, EntityUID, EntityUIDEntry, PartialValue, Request, Value,
};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use kubestile_core::approval::About;
use kubestile_core::{Action, ActionKind, Known, Target};

use crate::attributes::Needs;
use crate::decide::Question;
use crate::vocabulary::{Name, Vocabulary};

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
    let grants = question.context.grants.iter();
    roles.extend(grants.map(|grant| grant.terms.role.as_str()));
    let approved = question.context.approval.present();
    roles.extend(approved.and_then(|a| a.function.as_ref()).map(|f| f.role()));
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

/// What is judged: the request itself, or one of those whom the client asks to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Judged<'q> {
    /// The action.
    Action,
    /// `--as` (kind `User` or `ServiceAccount`) or `--as-group` (kind `Group`).
    Subject { kind: &'static str, name: &'q str },
    /// An access request: asking for it, or answering it.
    Ask { kind: ActionKind, about: &'q About },
}

impl<'q> Judged<'q> {
    /// The kind of action that it is judged as.
    pub(crate) fn kind(self, action: &Action) -> ActionKind {
        match self {
            Self::Action => action.kind,
            Self::Subject { .. } => ActionKind::Impersonate,
            Self::Ask { kind, .. } => kind,
        }
    }

    /// The resource by which policies are indexed; empty where there is none.
    pub(crate) fn resource(self, action: &'q Action) -> &'q str {
        match self {
            Self::Action => action.resource().map_or("", |r| &r.resource),
            Self::Subject { .. } => "",
            Self::Ask { about, .. } => &about.resource,
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

/// What the principal and the resource are in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Within<'n> {
    pub(crate) principals: &'n [Name],
    pub(crate) places: &'n [Name],
}

impl Vocabulary {
    /// Builds the request with the attributes in `needs`, in the entities for which `mentioned` holds.
    pub(crate) fn ask(
        &self,
        question: &Question<'_>,
        judged: Judged<'_>,
        within: Within<'_>,
        needs: Needs,
        mentioned: impl Fn(Name) -> bool,
    ) -> Result<Asked, Unaskable> {
        let parents = |names: &[Name]| -> HashSet<EntityUID> {
            self.uids(names.iter().copied().filter(|name| mentioned(*name)))
                .collect()
        };
        let action = self.action(judged.kind(question.action)).ok_or(Unaskable)?;
        let principal = self.principal(question);
        let (resource, attributes) = match (judged, &question.action.info.target) {
            (Judged::Ask { about, .. }, _) => (self.access_request(), ask_attributes(about)),
            (Judged::Subject { kind, name }, _) => (
                self.subject(),
                subject_attributes(question, kind, name, needs),
            ),
            (Judged::Action, Target::Resource(_)) => {
                (self.object(), object_attributes(question.action, needs)?)
            }
            (Judged::Action, Target::NonResource { path }) => (
                self.non_resource(),
                path_attributes(question.action, path, needs),
            ),
        };
        let themselves = principal_attributes(question, needs);
        let entities = [
            entity(principal.clone(), themselves, parents(within.principals)),
            entity(resource.clone(), attributes, parents(within.places)),
            action.clone(),
        ];
        // Nothing that they are in is in anything else here: each is named among the parents itself.
        let entities = Entities::new()
            .add_entities(
                entities,
                None::<&NoEntitiesSchema>,
                TCComputation::AssumeAlreadyComputed,
                Extensions::all_available(),
            )
            .map_err(|_| Unaskable)?;
        let request = Request::new_unchecked(
            EntityUIDEntry::known(principal, None),
            EntityUIDEntry::known(action.uid().clone(), None),
            EntityUIDEntry::known(resource, None),
            Some(CedarContext::Value(Arc::new(context(question, needs)?))),
        );
        Ok(Asked { request, entities })
    }
}

type Attributes = Vec<(SmolStr, Value)>;

fn entity(uid: EntityUID, attributes: Attributes, parents: HashSet<EntityUID>) -> Arc<Entity> {
    let attributes = attributes
        .into_iter()
        .map(|(name, value)| (name, PartialValue::from(value)));
    let none = HashSet::new();
    Arc::new(Entity::new_with_attr_partial_value(
        uid,
        attributes,
        none,
        parents,
        [],
    ))
}

fn principal_attributes(question: &Question<'_>, needs: Needs) -> Attributes {
    if !needs.has(Needs::PRINCIPAL) {
        return Vec::new();
    }
    let identity = question.identity;
    vec![
        (
            SmolStr::new_static("name"),
            Value::from(identity.name.as_str()),
        ),
        (
            SmolStr::new_static("uid"),
            Value::from(identity.id.to_string()),
        ),
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

    fn add<V: Into<Value>>(&mut self, need: Needs, name: &'static str, value: impl FnOnce() -> V) {
        if self.needs.has(need) {
            let name = SmolStr::new_static(name);
            self.attributes.push((name, value().into()));
        }
    }

    /// An attribute that is absent when it is empty.
    fn add_text(&mut self, need: Needs, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.add(need, name, || value);
        }
    }
}

fn object_attributes(action: &Action, needs: Needs) -> Result<Attributes, Unaskable> {
    let resource = action.resource().ok_or(Unaskable)?;
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::CLUSTER, "cluster", || action.cluster.as_str());
    wanted.add_text(Needs::NAMESPACE, "namespace", &resource.namespace);
    wanted.add(Needs::API_GROUP, "apiGroup", || resource.group.as_str());
    wanted.add(Needs::API_VERSION, "apiVersion", || {
        resource.version.as_str()
    });
    wanted.add(Needs::RESOURCE, "resource", || resource.resource.as_str());
    wanted.add(Needs::SUBRESOURCE, "subresource", || {
        resource.subresource.as_str()
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
    wanted.add(Needs::CLUSTER, "cluster", || action.cluster.as_str());
    wanted.add(Needs::PATH, "path", || path);
    wanted.attributes
}

fn subject_attributes(question: &Question<'_>, kind: &str, name: &str, needs: Needs) -> Attributes {
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::CLUSTER, "cluster", || {
        question.action.cluster.as_str()
    });
    wanted.add(Needs::KIND, "kind", || kind);
    wanted.add(Needs::NAME, "name", || name);
    wanted.attributes
}

/// Access requests are rare, so that all of it is built whatever is needed.
fn ask_attributes(about: &About) -> Attributes {
    let mut wanted = Wanted::new(Needs::ALL);
    wanted.add(Needs::KIND, "kind", || about.kind);
    wanted.add(Needs::CLUSTER, "cluster", || about.cluster.as_str());
    if let Some(namespace) = &about.namespace {
        wanted.add(Needs::NAMESPACE, "namespace", || namespace.as_str());
    }
    wanted.add(Needs::ASK_ROLE, "role", || about.role.as_str());
    wanted.add(Needs::ASK_ACTION, "action", || about.action.as_str());
    wanted.add(Needs::API_GROUP, "apiGroup", || about.group.as_str());
    wanted.add(Needs::RESOURCE, "resource", || about.resource.as_str());
    wanted.add(Needs::ASK_RISK, "risk", || about.risk.level());
    wanted.add(Needs::ASK_DURATION, "duration", || about.duration.as_secs());
    wanted.add(Needs::ASK_TICKET, "ticket", || about.ticket);
    wanted.add(Needs::ASK_REASON, "reason", || about.reason);
    wanted.add(Needs::ASK_REQUESTER, "requester", || {
        about.requester.as_str()
    });
    let policies = about.policies.iter().map(|id| Value::from(id.as_str()));
    wanted.add(Needs::ASK_POLICIES, "policies", || {
        Value::set(policies, None)
    });
    wanted.attributes
}

fn context(question: &Question<'_>, needs: Needs) -> Result<BTreeMap<SmolStr, Value>, Unaskable> {
    let (action, conditions) = (question.action, question.context);
    let mut wanted = Wanted::new(needs);
    wanted.add(Needs::VERB, "verb", || action.info.verb.as_str());
    wanted.add(Needs::METHOD, "method", || action.info.method.as_str());
    wanted.add(Needs::DRY_RUN, "dryRun", || action.dry_run);
    if !action.command.is_empty() {
        wanted.add(Needs::COMMAND, "command", || {
            Value::set(action.command.iter().map(|w| Value::from(w.as_str())), None)
        });
        wanted.add(Needs::COMMAND_LINE, "commandLine", || {
            action.command.join(" ")
        });
    }
    let container = action.container.as_deref().unwrap_or_default();
    wanted.add_text(Needs::CONTAINER, "container", container);
    if let Some(resource) = action.resource() {
        let (fields, labels) = (&resource.field_selector, &resource.label_selector);
        wanted.add_text(Needs::FIELD_SELECTOR, "fieldSelector", fields);
        wanted.add_text(Needs::LABEL_SELECTOR, "labelSelector", labels);
    }
    wanted.add(Needs::SESSION_AGE, "sessionAge", || question.session_age_s);
    wanted.add(Needs::ASSURANCE, "assurance", || question.assurance.level());
    if needs.has(Needs::SOURCE) {
        let source = address(conditions.source).ok_or(Unaskable)?;
        wanted.add(Needs::SOURCE, "source", || source);
    }
    let now = conditions.now.as_secs();
    wanted.add(Needs::NOW, "now", || now);
    wanted.add(Needs::HOUR_UTC, "hourUtc", || now.rem_euclid(86_400) / 3600);
    wanted.add(Needs::WEEKDAY, "weekday", || weekday(now));
    let approvals = conditions.approval.present().map_or(0, |a| a.count);
    wanted.add(Needs::APPROVAL, "approval", || approvals > 0);
    wanted.add(Needs::APPROVALS, "approvals", || i64::from(approvals));
    wanted.add(Needs::RISK, "risk", || question.risk().level());
    let grants = &conditions.grants;
    wanted.add(Needs::GRANTED, "granted", || !grants.is_empty());
    wanted.add(Needs::TICKET, "ticket", || {
        grants.iter().any(|grant| grant.ticket.is_some())
    });
    wanted.add(Needs::REASON, "reason", || {
        grants.iter().any(|grant| !grant.reason.is_empty())
    });
    if let Known::Present(invocation) = &conditions.invocation {
        wanted.add(Needs::INVOCATION, "invocation", || {
            let fields = [
                ("session", Value::from(invocation.session.as_str())),
                ("command", Value::from(invocation.command.as_str())),
            ];
            Value::record(fields, None)
        });
    }
    Ok(wanted.attributes.into_iter().collect())
}

/// An address as the extension type `ipaddr`, which only Cedar itself can make.
fn address(address: std::net::IpAddr) -> Option<Value> {
    let made = cedar_policy::RestrictedExpression::new_ip(address.to_string());
    let context = cedar_policy::Context::from_pairs([(String::new(), made)]).ok()?;
    match context.as_ref() {
        CedarContext::Value(fields) => fields.values().next().cloned(),
        CedarContext::RestrictedResidual(_) => None,
    }
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
            assert_eq!(
                (principals.len(), places.len() > 1),
                (2, line.contains("shop"))
            );
            let within = Within {
                principals: &principals,
                places: &places,
            };
            let asked = vocabulary.ask(&question, judged, within, Needs::ALL, |_| true);
            let Ok(Asked { request, entities }) = asked else {
                panic!("{line} cannot be asked");
            };
            let request = cedar_policy::Request::from(request);
            let part = |uid: Option<&cedar_policy::EntityUid>| uid.unwrap().clone();
            let checked = cedar_policy::Request::new(
                part(request.principal()),
                part(request.action()),
                part(request.resource()),
                request.context().unwrap().clone(),
                Some(&schema),
            );
            assert!(checked.is_ok(), "{line}: {checked:?}");
            let entities = cedar_policy::Entities::from(entities);
            let entities =
                cedar_policy::Entities::from_entities(entities.iter().cloned(), Some(&schema));
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
