//! Step 3: what is asked. The cluster is taken from the path's head; the rest is read exactly as
//! kube-apiserver would read it, and goes upstream byte for byte.

use std::sync::Arc;

use http::{HeaderMap, Request, Uri, Version, header};
use kubestile_core::action::{Action, Impersonates};
use kubestile_core::ids::ClusterName;
use kubestile_core::request_info::RequestInfo;

use crate::clusters::{Cluster, ClusterState};
use crate::forward::origin::SERVICE_WORKER;
use crate::gate::Gate;
use crate::refusal::Refusal;
use crate::stream::upgrade::{self, Protocol};

/// Where requests to clusters start.
pub const PREFIX: &str = "/clusters/";

/// What of a request's URI goes upstream, as received: the path after `/clusters/<name>`, and the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTarget {
    path: String,
    query: Option<String>,
}

impl UpstreamTarget {
    /// Of a request that the gate makes for a person.
    pub(crate) fn new(path: &str, query: Option<&str>) -> Self {
        Self {
            path: path.to_owned(),
            query: query.map(str::to_owned),
        }
    }

    /// The raw path, starting with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The raw query, without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Path and query as one, below `base` (`""` for most API servers).
    pub fn below(&self, base: &str) -> String {
        match &self.query {
            Some(query) => format!("{base}{}?{query}", self.path),
            None => format!("{base}{}", self.path),
        }
    }
}

/// The cluster that a request is for, if it may be served, and what goes to it.
///
/// # Errors
/// 404 for an unknown cluster, 503 for one that must not be served.
pub fn route(gate: &Gate, uri: &Uri) -> Result<(Arc<Cluster>, UpstreamTarget), Refusal> {
    let rest = uri
        .path()
        .strip_prefix(PREFIX)
        .ok_or_else(|| Refusal::unknown_cluster(""))?;
    let (name, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let shown: String = name.chars().take(63).collect();
    let known = name
        .parse::<ClusterName>()
        .ok()
        .and_then(|n| gate.clusters.get(&n));
    let cluster = known.ok_or_else(|| Refusal::unknown_cluster(&shown))?;
    check_served(&cluster)?;
    let target = UpstreamTarget {
        path: path.to_owned(),
        query: uri.query().map(str::to_owned),
    };
    Ok((cluster, target))
}

/// Whether a cluster may be served now.
///
/// # Errors
/// 503 with the reason why not.
pub fn check_served(cluster: &Cluster) -> Result<(), Refusal> {
    match &*cluster.state() {
        ClusterState::Serving | ClusterState::ServingDespite(_) => Ok(()),
        ClusterState::Unchecked => Err(Refusal::unavailable(
            "this cluster has not been checked yet; try again in a moment",
        )),
        ClusterState::Refused(why) => Err(Refusal::unavailable(why)),
    }
}

/// The action that a request is, and the protocol that it asks to switch to.
///
/// # Errors
/// 400 for whatever two programs could read differently.
pub fn parse<B>(
    cluster: &ClusterName,
    request: &Request<B>,
    target: &UpstreamTarget,
) -> Result<(Action, Option<Protocol>), Refusal> {
    check_framing(request)?;
    if request.headers().contains_key(SERVICE_WORKER) {
        return Err(Refusal::bad_request(
            "a browser asks for a service worker, and none may be installed below this gate",
        ));
    }
    let upgrade = upgrade::requested(request.headers())?;
    let info = RequestInfo::parse(request.method().as_str(), target.path(), target.query())
        .map_err(|e| Refusal::unreadable(&e))?;
    let impersonates = impersonates(request.headers())?;
    let action = Action::new(cluster.clone(), info, impersonates);
    if upgrade.is_some() && !action.may_upgrade() {
        return Err(Refusal::bad_request(
            "this path cannot be upgraded to another protocol",
        ));
    }
    Ok((action, upgrade))
}

/// What hyper lets through, but two programs could frame differently.
fn check_framing<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    if request.version() <= Version::HTTP_11
        && (request.uri().scheme().is_some() || request.uri().authority().is_some())
    {
        return Err(Refusal::bad_request(
            "the request target is an absolute URL",
        ));
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH)
    {
        return Err(Refusal::bad_request(
            "it has both Transfer-Encoding and Content-Length",
        ));
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(Refusal::bad_request(
            "it has several Content-Length headers",
        ));
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Refusal::bad_request("it has several Host headers"));
    }
    if let Some(host) = headers.get(header::HOST)
        && let Some(authority) = request.uri().authority()
        && host.as_bytes() != authority.as_str().as_bytes()
    {
        return Err(Refusal::bad_request(
            "its Host header is not its :authority",
        ));
    }
    Ok(())
}

/// Whom the client asks to be (`kubectl --as`): the one user, the groups. Everything else of the
/// family, and every unusual spelling of it, is refused.
fn impersonates(headers: &HeaderMap) -> Result<Option<Impersonates>, Refusal> {
    let mut user: Option<String> = None;
    let mut groups = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        if !name.replace('_', "-").starts_with("impersonate") {
            continue;
        }
        let text = value
            .to_str()
            .map_err(|_| Refusal::bad_request("an Impersonate header is not plain text"))?;
        match name {
            "impersonate-user" if user.is_none() && !text.is_empty() => {
                user = Some(text.to_owned());
            }
            "impersonate-group" if groups.len() < 32 => groups.push(text.to_owned()),
            _ => {
                return Err(Refusal::bad_request(
                    "of the Impersonate headers only one Impersonate-User and Impersonate-Group \
                     are understood here",
                ));
            }
        }
    }
    match user {
        Some(user) => Ok(Some(Impersonates { user, groups })),
        None if groups.is_empty() => Ok(None),
        None => Err(Refusal::bad_request(
            "Impersonate-Group without Impersonate-User",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(headers: &[(&str, &str)]) -> Result<Option<Impersonates>, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, value.parse().unwrap());
        }
        impersonates(&map)
    }

    #[test]
    fn only_one_form_of_impersonation_is_read() {
        assert_eq!(parsed(&[("accept", "*/*")]).unwrap(), None);
        let both = parsed(&[("Impersonate-User", "bob"), ("Impersonate-Group", "dev")]).unwrap();
        assert_eq!(both.unwrap().groups, ["dev"]);
        for bad in [
            &[("Impersonate-Group", "system:masters")][..],
            &[("Impersonate-User", "a"), ("Impersonate-User", "b")],
            &[("Impersonate_User", "a")],
            &[("Impersonate-Uid", "1")],
            &[("Impersonate-Extra-a%2fb", "1")],
            &[("Impersonate-User", "")],
        ] {
            assert_eq!(parsed(bad).unwrap_err().status(), 400, "{bad:?}");
        }
    }
}
