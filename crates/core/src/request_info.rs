//! Which action a request is: the one parser of Kubernetes API requests, exactly as kube-apiserver's
//! RequestInfo resolver reads them (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).
//!
//! What could be read in two ways is refused ([`ParseError`], answered with 400); whatever is accepted
//! means the same to kube-apiserver, and the bytes that were judged are the bytes that are forwarded.

mod options;
mod path;
mod percent;
pub mod query;
mod selector;
#[cfg(test)]
mod tests;

use std::fmt;

pub use query::Query;

use path::Segments;

/// The longest path and query together, in bytes. (64 KiB is also what one HTTP/2 header block and
/// hyper's URI type carry; kubectl's longest requests are exec commands.)
pub const MAX_REQUEST_TARGET: usize = 64 * 1024;

/// The verb of a request, as RBAC knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// GET or HEAD of one object, or of a non-resource path.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection or object with `watch`, or the legacy `/watch/` prefix.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
    /// The legacy `/proxy/` prefix.
    Proxy,
    /// Verbs of non-resource paths that are not above: `post`, `put`, `options`, `head`.
    Post,
    /// PUT of a non-resource path.
    Put,
    /// HEAD of a non-resource path.
    Head,
    /// OPTIONS of a non-resource path.
    Options,
    /// The empty verb: a resource request with a method that has none. Always denied.
    None,
}

impl Verb {
    /// As kube-apiserver writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Proxy => "proxy",
            Self::Post => "post",
            Self::Put => "put",
            Self::Head => "head",
            Self::Options => "options",
            Self::None => "",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An API object or collection.
    Resource(Box<Resource>),
    /// Any other path (`/version`, `/apis/apps/v1`, `/openapi/v3`), percent-decoded.
    NonResource {
        /// The decoded path.
        path: String,
    },
}

/// The parts of a resource request; empty where the request has none, as in kube-apiserver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// `api` or `apis`.
    pub prefix: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Namespace; empty for cluster-scoped requests and for all namespaces.
    pub namespace: String,
    /// Resource (`pods`), always plural and lower case in Kubernetes.
    pub resource: String,
    /// Subresource (`exec`), without the rest of the path.
    pub subresource: String,
    /// Name; also taken from a `metadata.name=X` field selector of a list or watch.
    pub name: String,
    /// All path segments from the resource on: `[resource, name, subresource, rest…]`.
    pub parts: Vec<String>,
    /// Field selector of a list, watch or deletecollection, raw.
    pub field_selector: String,
    /// Label selector of a list, watch or deletecollection, raw.
    pub label_selector: String,
}

impl Resource {
    /// `deployments.apps`, `pods`, `pods/exec`: group-qualified, with the subresource.
    pub fn qualified(&self) -> String {
        let mut text = self.resource.clone();
        if !self.group.is_empty() {
            text.push('.');
            text.push_str(&self.group);
        }
        if !self.subresource.is_empty() {
            text.push('/');
            text.push_str(&self.subresource);
        }
        text
    }
}

/// A parsed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// The HTTP method, upper case.
    pub method: String,
    /// The verb.
    pub verb: Verb,
    /// What it is about.
    pub target: Target,
    /// The query, decoded as Go's `URL.Query()` does.
    pub query: Query,
}

impl RequestInfo {
    /// The resource, if it is a resource request.
    pub fn resource(&self) -> Option<&Resource> {
        match &self.target {
            Target::Resource(resource) => Some(resource),
            Target::NonResource { .. } => None,
        }
    }

    /// The namespace; empty for non-resource and cluster-scoped requests.
    pub fn namespace(&self) -> &str {
        self.resource().map_or("", |r| &r.namespace)
    }

    /// Parses a request from its method, its raw path (percent-encoded, `/clusters/<name>` taken off)
    /// and its raw query (without `?`).
    ///
    /// # Errors
    /// [`ParseError`] for whatever kube-apiserver and a reader might understand differently.
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, ParseError> {
        parse(method, path, query)
    }
}

/// Why a request cannot be judged. Answered with 400; the text is for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    reason: String,
}

impl ParseError {
    /// From a sentence without a full stop, which must not repeat secrets of the query.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// The two verbs of a method: on a resource and on any other path.
fn verbs(method: &str) -> Result<(Verb, Verb), ParseError> {
    Ok(match method {
        "GET" => (Verb::Get, Verb::Get),
        "HEAD" => (Verb::Get, Verb::Head),
        "POST" => (Verb::Create, Verb::Post),
        "PUT" => (Verb::Update, Verb::Put),
        "PATCH" => (Verb::Patch, Verb::Patch),
        "DELETE" => (Verb::Delete, Verb::Delete),
        "OPTIONS" => (Verb::None, Verb::Options),
        _ => {
            return Err(ParseError::new(
                "the method is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            ));
        }
    })
}

fn parse(method: &str, path: &str, query: Option<&str>) -> Result<RequestInfo, ParseError> {
    let raw_query = query.unwrap_or_default();
    if path.len().saturating_add(raw_query.len()) > MAX_REQUEST_TARGET {
        return Err(ParseError::new(
            "the path and query are longer than 64 KiB together",
        ));
    }
    let (on_resource, elsewhere) = verbs(method)?;
    let segments = path::read(path)?;
    let query = Query::parse(raw_query)?;
    let (verb, target) = match resource(&segments, on_resource)? {
        Some((resource, via_prefix)) => judge_query(resource, via_prefix, on_resource, &query)?,
        None => (
            elsewhere,
            Target::NonResource {
                path: segments.join(),
            },
        ),
    };
    Ok(RequestInfo {
        method: method.to_owned(),
        verb,
        target,
        query,
    })
}

/// The resource that a path names, and the verb that a legacy `watch` or `proxy` prefix gives; `None`
/// if it names none. `NewRequestInfo` line by line, up to where the query comes in.
fn resource(
    segments: &Segments<'_>,
    verb: Verb,
) -> Result<Option<(Resource, Option<Verb>)>, ParseError> {
    let names = segments.names();
    let (prefix, group, version, rest) = match names {
        [prefix, version, rest @ ..] if prefix == "api" && !rest.is_empty() => {
            (prefix, "", version, rest)
        }
        [prefix, group, version, rest @ ..] if prefix == "apis" && !rest.is_empty() => {
            (prefix, group.as_ref(), version, rest)
        }
        _ => return Ok(None),
    };
    if segments.trailing_slash() {
        return Err(ParseError::new(
            "the path of a resource ends with a slash: leave it out",
        ));
    }
    let (via_prefix, rest) = match rest {
        [word, rest @ ..] if word == "watch" => (Some(Verb::Watch), rest),
        [word, rest @ ..] if word == "proxy" => (Some(Verb::Proxy), rest),
        _ => (None, rest),
    };
    let (namespace, parts) = match rest {
        [word, namespace, status, ..]
            if word == "namespaces" && (status == "status" || status == "finalize") =>
        {
            (namespace.as_ref(), rest)
        }
        [word, namespace, parts @ ..] if word == "namespaces" && !parts.is_empty() => {
            (namespace.as_ref(), parts)
        }
        [word, namespace] if word == "namespaces" => (namespace.as_ref(), rest),
        _ => ("", rest),
    };
    let Some(resource) = parts.first() else {
        return Err(ParseError::new(
            "the path ends after `watch` or `proxy`, without a resource",
        ));
    };
    let text = |part: Option<&std::borrow::Cow<'_, str>>| {
        part.map_or_else(String::new, |part| part.as_ref().to_owned())
    };
    let takes_subresource = via_prefix.unwrap_or(verb) != Verb::Proxy;
    Ok(Some((
        Resource {
            prefix: prefix.as_ref().to_owned(),
            group: group.to_owned(),
            version: version.as_ref().to_owned(),
            namespace: namespace.to_owned(),
            resource: resource.as_ref().to_owned(),
            subresource: text(parts.get(2).filter(|_| takes_subresource)),
            name: text(parts.get(1)),
            parts: parts.iter().map(|part| part.as_ref().to_owned()).collect(),
            ..Resource::default()
        },
        via_prefix,
    )))
}

/// The verb of a resource request and what its query adds to it; refuses a query that the API server
/// would refuse or that two readers could understand differently.
fn judge_query(
    mut resource: Resource,
    via_prefix: Option<Verb>,
    on_resource: Verb,
    query: &Query,
) -> Result<(Verb, Target), ParseError> {
    let mut verb = via_prefix.unwrap_or(on_resource);
    let is_proxied = verb == Verb::Proxy || path::is_proxied(&resource);
    if resource.name.is_empty() && via_prefix.is_none() {
        verb = match verb {
            Verb::Get if query.flag("watch") => Verb::Watch,
            Verb::Get => Verb::List,
            Verb::Delete => Verb::DeleteCollection,
            other => other,
        };
    }
    // The query of a proxied request is the application's: its meaning is not ours to judge.
    if !is_proxied {
        options::refuse_conflicts(query)?;
    }
    options::check_dry_run(verb, &resource, query)?;
    if matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
        let selected = options::check_list(query)?;
        if via_prefix.is_none() {
            resource.field_selector = query.first("fieldSelector").unwrap_or_default().to_owned();
            resource.label_selector = query.first("labelSelector").unwrap_or_default().to_owned();
            if let Some(name) = selected
                && verb != Verb::DeleteCollection
            {
                resource.name = name;
            }
        }
    }
    Ok((verb, Target::Resource(Box::new(resource))))
}
