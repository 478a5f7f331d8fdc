//! One request as an audit log tells of it, whoever wrote the log, cut down to what is needed: who, what,
//! from where, and what the API server said. No body is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::{Text, micros, or_default};

/// A request, at one of its stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its id; a client may have chosen it.
    pub id: &'a str,
    /// When it came in, in microseconds since the Unix epoch.
    pub at: Option<i64>,
    /// `RequestReceived`, `ResponseStarted`, `ResponseComplete` or `Panic`.
    pub stage: &'a str,
    /// Path and query; empty where the log has none.
    pub uri: &'a str,
    /// The API verb.
    pub verb: &'a str,
    /// On what.
    pub target: Target<'a>,
    /// Whose credential it came with.
    pub user: Who<'a>,
    /// Whom they were for this request, if somebody else.
    pub impersonated: Option<Who<'a>>,
    /// The address that connected to the API server.
    pub address: &'a str,
    /// The client's own words on itself.
    pub agent: &'a str,
    /// The HTTP status of the answer; 0 if there is none.
    pub code: u16,
    /// Whether it was authorized, if the log says so.
    pub authorized: Option<bool>,
    /// The `kubectl` command it was part of, if known: the client's word.
    pub command: Option<&'a str>,
}

impl Event<'_> {
    /// Whether it was answered: a request has several stages, and the first says nothing yet.
    pub fn is_answered(&self) -> bool {
        matches!(self.stage, "ResponseStarted" | "ResponseComplete")
    }
}

/// On what something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// On a resource.
    Resource {
        /// The API group.
        group: &'a str,
        /// Plural, lower case.
        resource: &'a str,
        /// Empty for the resource itself.
        subresource: &'a str,
        /// Empty for what belongs to the cluster, and for all namespaces.
        namespace: &'a str,
        /// Empty where the request has none.
        name: &'a str,
    },
    /// On a path that is none, without its query.
    Path(&'a str),
}

/// Somebody as the API server knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who<'a> {
    /// The user name.
    pub name: &'a str,
    /// The groups.
    pub groups: Vec<&'a str>,
    /// `X509SHA256=…` or `JTI=…`: which credential it was.
    pub credential: &'a str,
    /// Whether the credential belongs to a pod.
    pub of_pod: bool,
    /// Whether it is a token of a Secret, which never ends.
    pub legacy: bool,
    /// The gate's request, if the gate impersonates.
    pub request: &'a str,
    /// For somebody who is impersonated: their uid, if one was named.
    pub uid: &'a str,
    /// For somebody who is impersonated: keys and values beside.
    pub extras: Vec<(&'a str, &'a str)>,
    /// For somebody who is impersonated: the verb that lets it, such as `impersonate:user-info`, if it lets only what
    /// is named beside; empty for the plain right to be them.
    pub constraint: &'a str,
    /// The access policy of EKS that allowed the request, if one did: it is in no object of the cluster.
    pub policy: &'a str,
}

/// Under this key the gate says which of its requests it forwards.
const GATE_REQUEST: &str = "kubestile.dev/request";

/// One `audit.k8s.io/v1` Event, in part.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Native<'a> {
    /// `Event`, or it is something else.
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow, rename = "auditID")]
    id: Text<'a>,
    #[serde(borrow)]
    stage: Text<'a>,
    #[serde(borrow, rename = "requestURI")]
    uri: Text<'a>,
    #[serde(borrow)]
    verb: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    user: NativeUser<'a>,
    #[serde(borrow)]
    impersonated_user: Option<Impersonated<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    authentication_metadata: AuthenticationMetadata<'a>,
    #[serde(borrow, rename = "sourceIPs", deserialize_with = "or_default")]
    addresses: Vec<Text<'a>>,
    #[serde(borrow)]
    user_agent: Text<'a>,
    #[serde(borrow)]
    object_ref: Option<ObjectRef<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    response_status: Status<'a>,
    #[serde(borrow)]
    request_received_timestamp: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    annotations: Annotations<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NativeUser<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    groups: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    extra: Extra<'a>,
}

/// Every key counts: each was asked for, and took a right.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Impersonated<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    groups: Vec<Text<'a>>,
    #[serde(borrow, deserialize_with = "or_default")]
    extra: BTreeMap<Cow<'a, str>, Vec<Text<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthenticationMetadata<'a> {
    #[serde(borrow)]
    impersonation_constraint: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extra<'a> {
    #[serde(
        borrow,
        rename = "authentication.kubernetes.io/credential-id",
        deserialize_with = "or_default"
    )]
    credential: Vec<Text<'a>>,
    #[serde(
        borrow,
        rename = "authentication.kubernetes.io/pod-name",
        deserialize_with = "or_default"
    )]
    pod: Vec<Text<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef<'a> {
    #[serde(borrow)]
    api_group: Text<'a>,
    #[serde(borrow)]
    resource: Text<'a>,
    #[serde(borrow)]
    subresource: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status<'a> {
    code: u16,
    #[serde(borrow)]
    message: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow, rename = "authorization.k8s.io/decision")]
    decision: Text<'a>,
    #[serde(borrow, rename = "authentication.k8s.io/legacy-token")]
    legacy: Text<'a>,
    /// As it stands there: most reasons are of no interest, and have quotation marks.
    #[serde(borrow, rename = "authorization.k8s.io/reason")]
    reason: Option<&'a RawValue>,
}

/// The policy in `EKS Access Policy: allowed by … "…:cluster-access-policy/AmazonEKSViewPolicy" …`; empty if it is
/// another reason.
fn policy(reason: &str) -> &str {
    let of_eks = reason.strip_prefix("\"EKS Access Policy: allowed by ");
    let named = of_eks.and_then(|r| r.split_once(":cluster-access-policy/"));
    let name = named.and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
    name.unwrap_or_default()
}

/// Whether the log says that somebody may; none if it does not say.
pub(super) fn authorized(decision: &str) -> Option<bool> {
    match decision.trim() {
        "allow" => Some(true),
        "forbid" => Some(false),
        _ => None,
    }
}

impl Native<'_> {
    /// The request, at this stage.
    pub(super) fn event(&self) -> Event<'_> {
        let target = match &self.object_ref {
            Some(object) => Target::Resource {
                group: &object.api_group,
                resource: &object.resource,
                subresource: &object.subresource,
                namespace: &object.namespace,
                name: &object.name,
            },
            None => Target::Path(self.uri.split('?').next().unwrap_or_default()),
        };
        let decided = authorized(&self.annotations.decision);
        // Whoever may not impersonate is sent away before anything is authorized.
        let refused = match (decided, &self.impersonated_user, self.response_status.code) {
            (None, None, 403) => refused_impersonation(&self.response_status.message),
            _ => None,
        };
        let authorized = refused.as_ref().map_or(decided, |_| Some(false));
        let (verb, target) = refused.unwrap_or((&*self.verb, target));
        let policy = self.annotations.reason.map_or("", |r| policy(r.get()));
        let direct = self.impersonated_user.is_none();
        Event {
            id: &self.id,
            at: micros(&self.request_received_timestamp),
            stage: &self.stage,
            uri: &self.uri,
            verb,
            target,
            user: Who {
                legacy: !self.annotations.legacy.is_empty(),
                policy: if direct { policy } else { "" },
                ..self.user.who()
            },
            impersonated: self.impersonated_user.as_ref().map(|whom| Who {
                constraint: &self.authentication_metadata.impersonation_constraint,
                policy,
                ..whom.who()
            }),
            // All but the last are what the client says.
            address: self.addresses.last().map_or("", |a| a),
            agent: &self.user_agent,
            code: self.response_status.code,
            authorized,
            command: None,
        }
    }
}

impl NativeUser<'_> {
    fn who(&self) -> Who<'_> {
        Who {
            name: &self.username,
            groups: self.groups.iter().map(|g| &**g).collect(),
            credential: self.extra.credential.first().map_or("", |t| t),
            of_pod: self.extra.pod.first().is_some_and(|pod| !pod.is_empty()),
            ..Who::default()
        }
    }
}

impl Impersonated<'_> {
    fn who(&self) -> Who<'_> {
        let mut extras = Vec::new();
        for (key, values) in &self.extra {
            extras.extend(values.iter().map(|value| (&**key, &**value)));
        }
        let request = self.extra.get(GATE_REQUEST).and_then(|v| v.first());
        Who {
            name: &self.username,
            groups: self.groups.iter().map(|g| &**g).collect(),
            request: request.map_or("", |t| t),
            uid: &self.uid,
            extras,
            ..Who::default()
        }
    }
}

/// The right that was missing, as the API server says it: `users "bob" is forbidden: User "alice" cannot impersonate
/// resource "users" in API group "" at the cluster scope`. Of nothing else is there a word in this log.
fn refused_impersonation(message: &str) -> Option<(&str, Target<'_>)> {
    let (head, tail) = message.rsplit_once("\" cannot ")?;
    let (verb, tail) = tail.split_once(" resource \"")?;
    if !verb.starts_with("impersonate") {
        return None;
    }
    let (resource, tail) = tail.split_once("\" in API group \"")?;
    let (group, tail) = tail.split_once('"')?;
    let namespace = tail.strip_prefix(" in the namespace \"");
    let (object, _) = head.split_once(" is forbidden: User \"")?;
    let name = object
        .split_once(" \"")
        .and_then(|(_, name)| name.strip_suffix('"'));
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let target = Target::Resource {
        group,
        resource,
        subresource,
        namespace: namespace.map_or("", |n| n.trim_end_matches('"')),
        name: name.unwrap_or_default(),
    };
    Some((verb, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_impersonation_is_what_was_refused() {
        let cases = [
            (
                r#"users "zed" is forbidden: User "ana" cannot impersonate resource "users" in API group "" at the cluster scope"#,
                Some(("impersonate", "", "users", "", "", "zed")),
            ),
            (
                r#"serviceaccounts "x" is forbidden: User "a" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "shop""#,
                Some(("impersonate", "", "serviceaccounts", "", "shop", "x")),
            ),
            (
                r#"userextras.authentication.k8s.io "v" is forbidden: User "a" cannot impersonate resource "userextras/team" in API group "authentication.k8s.io" at the cluster scope"#,
                Some((
                    "impersonate",
                    "authentication.k8s.io",
                    "userextras",
                    "team",
                    "",
                    "v",
                )),
            ),
            (
                r#"secrets is forbidden: User "cam" cannot impersonate-on:user-info:list resource "secrets" in API group "" in the namespace "shop""#,
                Some((
                    "impersonate-on:user-info:list",
                    "",
                    "secrets",
                    "",
                    "shop",
                    "",
                )),
            ),
            (
                r#"secrets is forbidden: User "cam" cannot list resource "secrets" in API group "" in the namespace "shop""#,
                None,
            ),
            ("", None),
        ];
        for (message, expected) in cases {
            let found = refused_impersonation(message);
            let expected = expected.map(|(verb, group, resource, subresource, namespace, name)| {
                let target = Target::Resource {
                    group,
                    resource,
                    subresource,
                    namespace,
                    name,
                };
                (verb, target)
            });
            assert_eq!(found, expected, "{message}");
        }
    }
}
