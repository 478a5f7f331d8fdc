//! What to look for.

use kubestile_core::event::{Accessed, Decided, Event, Gap, Granted, Imported, Kube, Record};
use kubestile_core::{AccessId, ClusterName, GrantId, ImportId, RequestId, SessionId, Timestamp};

/// What to look for: everything that is set must match. Nothing set: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The name of the person who asked, or whom a change is about.
    pub person: Option<String>,
    /// The action, as policies name it (`exec`, `delete`).
    pub action: Option<String>,
    /// The RBAC verb (`get`, `create`).
    pub verb: Option<String>,
    /// The kind of object: `pods`, `deployments.apps`, `pods/exec`.
    pub resource: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The cluster.
    pub cluster: Option<ClusterName>,
    /// `allow`, `deny`, `hold`, `refusal` for what was refused before it was judged, or `imported` for
    /// what the API server says of a time without a gate.
    pub decision: Option<String>,
    /// The run of kubectl (`Kubectl-Session`).
    pub invocation: Option<String>,
    /// The request.
    pub request: Option<RequestId>,
    /// The session.
    pub session: Option<SessionId>,
    /// The access request: its asking, its answer, and the request that it let pass.
    pub access: Option<AccessId>,
    /// The grant: its asking, its answer, its life, and every request that it covered.
    pub grant: Option<GrantId>,
    /// The import of an API server's audit log: its markers, and its records.
    pub import: Option<ImportId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is one that is looked for. Completions never are: they belong to what they
    /// complete.
    pub fn matches(&self, record: &Record) -> bool {
        self.matcher().matches(record)
    }

    pub(super) fn matcher(&self) -> Matcher {
        Matcher {
            needles: needles(self),
            since: self.since.map(Timestamp::rfc3339),
            until: self.until.map(Timestamp::rfc3339),
            filter: self.clone(),
        }
    }

    /// Whether it asks for what only a judged request has.
    fn is_about_requests(&self) -> bool {
        self.action.is_some()
            || self.verb.is_some()
            || self.resource.is_some()
            || self.name.is_some()
            || self.namespace.is_some()
            || self.cluster.is_some()
            || self.invocation.is_some()
    }
}

/// A filter made ready for many records.
#[derive(Debug)]
pub(super) struct Matcher {
    filter: Filter,
    /// Texts that the canonical bytes of every match contain.
    needles: Vec<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Matcher {
    /// A quick look at the bytes, which spares parsing nearly all that does not match.
    pub(super) fn may_match(&self, bytes: &[u8]) -> bool {
        // What is not text is no record: parsing it says so.
        let Ok(text) = std::str::from_utf8(bytes) else {
            return true;
        };
        !is_completion(bytes) && self.needles.iter().all(|needle| text.contains(needle))
    }

    pub(super) fn matches(&self, record: &Record) -> bool {
        let filter = &self.filter;
        // What was imported is looked for where it happened, not where it was imported.
        let time = match &record.event {
            Event::Imported(imported) => &imported.at,
            _ => &record.time,
        };
        // Times all have the same form, in which text order is time order.
        let in_time = self.since.as_ref().is_none_or(|t| time >= t)
            && self.until.as_ref().is_none_or(|t| time < t);
        // A gap is where it was, too.
        let in_time = in_time
            || matches!(&record.event, Event::Gap(gap)
                if self.since.as_ref().is_none_or(|t| gap.until >= *t)
                    && self.until.as_ref().is_none_or(|t| gap.from < *t));
        in_time
            && (filter.import.is_none()
                || matches!(record.event, Event::Gap(_) | Event::Imported(_)))
            && match &record.event {
                Event::Decision(decided) => self.matches_decision(decided),
                Event::Completion(_) => false,
                Event::Access(accessed) => self.matches_access(accessed),
                Event::Grant(granted) => self.matches_grant(granted),
                Event::Gap(gap) => self.matches_gap(gap),
                Event::Imported(imported) => self.matches_imported(imported),
                Event::Refusal { request, actor, .. } => {
                    !filter.is_about_requests()
                        && filter.access.is_none()
                        && filter.grant.is_none()
                        && is(&filter.decision, "refusal")
                        && filter.request.is_none_or(|r| r == *request)
                        && filter.person.as_ref().is_none_or(|person| {
                            actor.as_ref().is_some_and(|actor| actor.name == *person)
                        })
                        && filter.session.is_none_or(|session| {
                            actor.as_ref().is_some_and(|actor| actor.session == session)
                        })
                }
                Event::Session {
                    session, person, ..
                } => {
                    self.is_about_state()
                        && is(&filter.person, person)
                        && filter.session.is_none_or(|s| s == *session)
                }
                Event::Change { by, name, .. } => {
                    self.is_about_state()
                        && filter.session.is_none()
                        && filter
                            .person
                            .as_ref()
                            .is_none_or(|person| person == by || person == name)
                }
            }
    }

    fn matches_decision(&self, decided: &Decided) -> bool {
        let filter = &self.filter;
        let kube = &decided.kube;
        let invocation = decided.invocation.as_ref().map(|i| i.session.as_str());
        is(&filter.person, &decided.actor.name)
            && is(&filter.action, &kube.action)
            && is(&filter.verb, &kube.verb)
            && is(&filter.name, &kube.name)
            && is(&filter.namespace, &kube.namespace)
            && is(&filter.decision, &decided.decision)
            && filter.cluster.as_ref().is_none_or(|c| *c == kube.cluster)
            && filter.request.is_none_or(|r| r == decided.request)
            && filter.session.is_none_or(|s| s == decided.actor.session)
            && (filter.invocation.is_none() || filter.invocation.as_deref() == invocation)
            && (filter.resource.as_deref()).is_none_or(|r| is_resource(kube, r))
            && filter.access.is_none_or(|a| decided.approval == Some(a))
            && filter.grant.is_none_or(|g| decided.grants.contains(&g))
    }

    fn matches_access(&self, accessed: &Accessed) -> bool {
        let filter = &self.filter;
        self.is_about_answers()
            && filter
                .person
                .as_ref()
                .is_none_or(|p| *p == accessed.requester || *p == accessed.by)
            && is_cluster(&filter.cluster, &accessed.cluster)
            && filter.request.is_none_or(|r| accessed.request == Some(r))
            && filter.session.is_none_or(|s| accessed.session == Some(s))
            && filter.access.is_none_or(|a| a == accessed.access)
            && filter
                .grant
                .is_none_or(|g| g == GrantId::of(accessed.access))
    }

    fn matches_grant(&self, granted: &Granted) -> bool {
        let filter = &self.filter;
        self.is_about_answers()
            && filter.request.is_none()
            && filter.session.is_none()
            && filter
                .person
                .as_ref()
                .is_none_or(|p| *p == granted.holder || *p == granted.by)
            && is_cluster(&filter.cluster, &granted.cluster)
            && filter.access.is_none_or(|a| granted.access == Some(a))
            && filter.grant.is_none_or(|g| g == granted.grant)
    }

    fn matches_gap(&self, gap: &Gap) -> bool {
        let filter = &self.filter;
        self.is_about_answers()
            && (filter.person.as_ref()).is_none_or(|p| *p == gap.by || *p == gap.named)
            && filter.cluster.as_ref().is_none_or(|c| *c == gap.cluster)
            && (filter.import).is_none_or(|i| i == gap.import || Some(i) == gap.after)
            && filter.request.is_none()
            && filter.session.is_none()
            && filter.access.is_none()
            && filter.grant.is_none()
    }

    fn matches_imported(&self, imported: &Imported) -> bool {
        let filter = &self.filter;
        let kube = &imported.kube;
        filter.person.as_ref().is_none_or(|p| imported.is_of(p))
            && filter.import.is_none_or(|i| i == imported.import)
            && is(&filter.action, &kube.action)
            && is(&filter.verb, &kube.verb)
            && is(&filter.name, &kube.name)
            && is(&filter.namespace, &kube.namespace)
            && is(&filter.decision, "imported")
            && filter.cluster.as_ref().is_none_or(|c| *c == kube.cluster)
            && (filter.resource.as_deref()).is_none_or(|r| is_resource(kube, r))
            && filter.request.is_none()
            && filter.session.is_none()
            && filter.invocation.is_none()
            && filter.access.is_none()
            && filter.grant.is_none()
    }

    /// Whether access requests and grants can match at all: they have no verb, object or decision.
    fn is_about_answers(&self) -> bool {
        let filter = &self.filter;
        filter.action.is_none()
            && filter.verb.is_none()
            && filter.resource.is_none()
            && filter.name.is_none()
            && filter.namespace.is_none()
            && filter.invocation.is_none()
            && filter.decision.is_none()
    }

    /// Whether changes of sessions and of state can match at all.
    fn is_about_state(&self) -> bool {
        let filter = &self.filter;
        !filter.is_about_requests()
            && filter.decision.is_none()
            && filter.request.is_none()
            && filter.access.is_none()
            && filter.grant.is_none()
    }
}

fn is_cluster(wanted: &Option<ClusterName>, found: &Option<ClusterName>) -> bool {
    wanted.is_none() || wanted == found
}

fn is(wanted: &Option<String>, found: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == found)
}

/// `pods`, `deployments.apps`, `pods/exec`: what is not said is not asked.
fn is_resource(kube: &Kube, wanted: &str) -> bool {
    let (wanted, subresource) = match wanted.split_once('/') {
        Some((wanted, subresource)) => (wanted, Some(subresource)),
        None => (wanted, None),
    };
    let (resource, group) = match wanted.split_once('.') {
        Some((resource, group)) => (resource, Some(group)),
        None => (wanted, None),
    };
    kube.resource == resource
        && group.is_none_or(|group| kube.group == group)
        && subresource.is_none_or(|subresource| kube.subresource == subresource)
}

/// Whether the bytes are those of a completion: only canonical bytes of one hold this, since in a
/// text every quotation mark is escaped.
pub(super) fn is_completion(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains(r#""kind":"completion""#))
}

fn needles(filter: &Filter) -> Vec<String> {
    let mut needles = Vec::new();
    let mut add = |key: &str, value: &str| {
        if let Ok(value) = serde_json::to_string(value) {
            needles.push(format!("\"{key}\":{value}"));
        }
    };
    let fields = [
        ("action", &filter.action),
        ("verb", &filter.verb),
        ("name", &filter.name),
        ("namespace", &filter.namespace),
        ("session", &filter.invocation),
    ];
    for (key, value) in fields {
        if let Some(value) = value {
            add(key, value);
        }
    }
    if let Some(cluster) = &filter.cluster {
        add("cluster", cluster.as_str());
    }
    if let Some(request) = &filter.request {
        add("request", &request.to_string());
    }
    if let Some(session) = &filter.session {
        add("session", &session.to_string());
    }
    // An access request and its grant have the same characters.
    needles.extend(filter.access.map(|access| access.to_string()));
    needles.extend(
        filter
            .grant
            .map(|grant| grant.to_string().replacen("G-", "", 1)),
    );
    needles.extend(filter.import.map(|import| import.to_string()));
    // A person is named under more than one key, and may have a prefix that says how they came in.
    let person = filter.person.as_ref();
    let person = person.and_then(|person| serde_json::to_string(person).ok());
    needles.extend(person.and_then(|p| p.strip_prefix('"').map(ToOwned::to_owned)));
    needles
}
