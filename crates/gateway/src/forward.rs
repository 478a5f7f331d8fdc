//! Step 8: the request goes upstream as the person, and the answer comes back as it is. Nothing gets
//! here without a permit and the receipt that records it.

mod answer;
mod farewell;
pub(crate) mod origin;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use kubestile_core::AccessId;
use kubestile_core::action::{Action, ActionKind};
use kubestile_core::context::Context;
use kubestile_core::decision::Permit;
use kubestile_core::grant;
use kubestile_core::identity::VerifiedIdentity;
use kubestile_core::ids::RequestId;
use kubestile_core::impersonate::{self, Impersonation, Passage};
use kubestile_policy::PolicySet;
use kubestile_store::SessionHandle;

use self::answer::Answer;
use crate::body::{Body, ClientBody, Upload};
use crate::clusters::Cluster;
use crate::gate::Gate;
use crate::limits::Place;
use crate::parse::UpstreamTarget;
use crate::pool::PoolError;
use crate::record::{Ending, Recorded};
use crate::refusal::Refusal;
use crate::stream::over::Over;
use crate::stream::upgrade::Protocol;
use crate::stream::{Trust, upgrade};

/// A request with all that the steps before have found out about it.
pub struct Judged {
    /// Its id.
    pub id: RequestId,
    /// When it arrived.
    pub started: Instant,
    /// Where it came from.
    pub source: SocketAddr,
    /// The cluster it is for.
    pub cluster: Arc<Cluster>,
    /// What goes upstream, byte for byte.
    pub target: UpstreamTarget,
    /// Who asks.
    pub who: VerifiedIdentity,
    /// Their session, which may end at any time.
    pub session: SessionHandle,
    /// What is asked.
    pub action: Action,
    /// The protocol that it asks to switch to.
    pub upgrade: Option<Protocol>,
    /// Under which conditions.
    pub context: Context,
    /// The policies that judged it.
    pub policies: Arc<PolicySet>,
    /// Its place in the limits, held until the answer is complete; none while it waits.
    pub place: Option<Arc<Place>>,
    /// The access request for whose approver the gate looks this up.
    pub looked_up_for: Option<AccessId>,
}

impl Judged {
    /// As whom it goes upstream: the person, with the groups of the job functions that cover this
    /// request and no others; or whom the client asked to be, where a policy allows it.
    pub fn upstream_identity(&self) -> Impersonation {
        let extra = Impersonation::our_extra(self.who.session(), self.id);
        if let Some(target) = &self.action.impersonates {
            return Impersonation {
                user: target.user.clone(),
                uid: None,
                groups: target.groups.clone(),
                extra,
            };
        }
        let identity = self.who.identity();
        let (cluster, namespace) = (self.cluster.name(), self.action.namespace());
        // A self-review names its namespace in the body, and only asks: it is answered for all that
        // the person holds on this cluster. Each namespace's group is bound in that namespace alone.
        let all = is_self_review(&self.action);
        let mut groups: Vec<String> = identity
            .functions
            .iter()
            .filter(|f| !f.is_for_the_gate())
            .filter(|f| match f.namespace().filter(|_| all) {
                Some(own) => f.covers(cluster, own.as_str()),
                None => f.covers(cluster, namespace),
            })
            .map(|f| f.upstream_group())
            .collect();
        for grant in &self.context.grants {
            groups.extend(grant.upstream_groups(namespace));
            for own in grant.terms.namespaces.iter().filter(|_| all) {
                groups.extend(grant.upstream_groups(own.as_str()));
            }
        }
        let approved = self.context.approval.present();
        if let Some(function) = approved.and_then(|a| a.function.as_ref())
            && function.covers(cluster, namespace)
        {
            groups.extend(grant::groups_of_function(function, namespace));
        }
        groups.sort_unstable();
        groups.dedup();
        Impersonation {
            user: identity.name.clone(),
            uid: Some(identity.id.to_string()),
            groups,
            extra,
        }
    }

    /// Whether its cluster is still there and may be served.
    ///
    /// # Errors
    /// 404 or 503.
    pub fn check_cluster(&self, gate: &Gate) -> Result<(), Refusal> {
        let name = self.cluster.name();
        let now = gate.clusters.get(name);
        let same = now.filter(|now| Arc::ptr_eq(now, &self.cluster));
        let cluster = same.ok_or_else(|| Refusal::unknown_cluster(name.as_str()))?;
        crate::parse::check_served(&cluster)
    }

    fn is_proxied(&self) -> bool {
        self.action
            .resource()
            .is_some_and(|r| r.subresource == "proxy")
    }
}

/// `kubectl auth can-i`, with or without `--list`.
pub(crate) fn is_self_review(action: &Action) -> bool {
    action.kind == ActionKind::Create
        && action.resource().is_some_and(|r| {
            r.group == "authorization.k8s.io"
                && matches!(
                    r.resource.as_str(),
                    "selfsubjectaccessreviews" | "selfsubjectrulesreviews"
                )
        })
}

/// Sends the request upstream and streams the answer back.
///
/// # Errors
/// A refusal when there is no answer that may be passed on.
pub async fn forward(
    gate: &Arc<Gate>,
    permit: Permit,
    recorded: Recorded,
    judged: Judged,
    request: Request<ClientBody>,
) -> Result<Response<Body>, Refusal> {
    if permit.request() != judged.id || recorded.receipt.request() != judged.id {
        return Err(Refusal::unavailable(
            "a permit or receipt is for another request",
        ));
    }
    let long = judged.action.is_long_running();
    let mut ending = Ending::new(gate.clone(), &judged, long);
    let headers = upstream_headers(&judged, request.headers()).await?;
    if let Some(protocol) = judged.upgrade {
        let trust = Trust::new(gate, &judged);
        return upgrade::open(gate, judged, request, headers, protocol, trust, ending).await;
    }

    let limit = if judged.is_proxied() {
        u64::MAX
    } else {
        gate.settings.body_limit
    };
    check_length(request.headers(), limit, &mut ending)?;
    let (parts, body) = request.into_parts();
    let upload = Body::new(Upload::new(body, limit, ending.upload()));
    let mut upstream = Request::new(upload);
    *upstream.method_mut() = parts.method;
    *upstream.headers_mut() = headers;
    let target = judged.target.below(judged.cluster.upstream().base_path());
    let pool = judged.cluster.pool();
    ending.sending();
    let mut trust = None;
    let sent = if long {
        let mut standing = Trust::new(gate, &judged);
        let answer = standing.outlasts(pool.send_own(&target, upstream)).await;
        let answer = answer.map_err(|over| cut(&mut ending, &over))?;
        trust = Some(standing);
        answer.map(|answer| (answer, None))
    } else {
        let person = judged.who.identity().id;
        pool.send_shared(person, &target, upstream).await
    };
    let (response, in_flight) = sent.map_err(|e| unanswered(gate, &judged, &mut ending, &e))?;
    let (mut head, body) = response.into_parts();
    ending.answered(head.status.as_u16());
    check_our_credential(&judged, head.status, &mut ending)?;
    check_informational(&judged, head.status, &mut ending)?;
    check_redirect(&judged, &mut head, &mut ending)?;
    filter_answer_headers(&mut head.headers, &judged);

    let answer = Answer::new(&judged, &head.headers, body, ending, recorded.durability)
        .holding(judged.place.clone(), in_flight)
        .ending_with(trust);
    let answer = answer.durable_if_short().await?;
    Ok(Response::from_parts(answer_head(head), Body::new(answer)))
}

/// The client's headers without any identity, then ours, then the gate's own credential.
async fn upstream_headers(judged: &Judged, client: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let passage = if judged.is_proxied() {
        Passage::Proxied
    } else {
        Passage::Api
    };
    let mut headers = impersonate::strip(client, passage);
    origin::hide_cookies(&mut headers);
    let who = judged.upstream_identity();
    impersonate::set(&mut headers, &who, judged.id, judged.source.ip())
        .map_err(|e| Refusal::bad_request(&e.to_string()))?;
    let cluster = &judged.cluster;
    match cluster.upstream().authorization().await {
        Ok(Some(value)) => {
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(cluster = %cluster.name(), error = %error, "the gate's own credential failed");
            return Err(Refusal::bad_upstream(
                cluster.name().as_str(),
                "the gate's own credential for it could not be renewed; whoever runs the gate \
                 finds out with `kubestile cluster check`",
            ));
        }
    }
    Ok(headers)
}

fn check_length(headers: &HeaderMap, limit: u64, ending: &mut Ending) -> Result<(), Refusal> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<u64>().ok());
    if length.is_some_and(|l| l > limit) {
        ending.ended("refused", "the body is over the limit");
        return Err(Refusal::too_large(limit));
    }
    Ok(())
}

fn unanswered(gate: &Gate, judged: &Judged, ending: &mut Ending, error: &PoolError) -> Refusal {
    if ending.upload().load(std::sync::atomic::Ordering::Relaxed) > gate.settings.body_limit {
        ending.ended("refused", "the body grew over the limit");
        return Refusal::too_large(gate.settings.body_limit);
    }
    let cluster = judged.cluster.name().as_str();
    tracing::warn!(cluster, request = %judged.id, error = %error, "no answer from upstream");
    ending.ended("upstream-failed", &error.to_string());
    match error {
        // Addresses stay in the log; the person needs to know that it is not their request.
        PoolError::Connect { .. } => {
            Refusal::bad_upstream(cluster, "the API server cannot be reached")
        }
        PoolError::Broken(_) => {
            Refusal::bad_upstream(cluster, "the API server closed the connection")
        }
    }
}

/// A 401 of the API server is about the gate's credential, not the person's: passed on, it would send
/// them to log in again for nothing.
pub(crate) fn check_our_credential(
    judged: &Judged,
    status: StatusCode,
    ending: &mut Ending,
) -> Result<(), Refusal> {
    if status != StatusCode::UNAUTHORIZED || judged.is_proxied() {
        return Ok(());
    }
    judged.cluster.upstream().invalidate();
    ending.ended(
        "upstream-failed",
        "the gate's own credential was not accepted",
    );
    let why = "it does not accept the gate's own credential, which is being renewed; try again, and \
               tell whoever runs this gate if it stays so";
    Err(Refusal::bad_upstream(judged.cluster.name().as_str(), why))
}

/// A switch of protocols that nobody asked for.
fn check_informational(
    judged: &Judged,
    status: StatusCode,
    ending: &mut Ending,
) -> Result<(), Refusal> {
    if !status.is_informational() {
        return Ok(());
    }
    ending.ended("upstream-failed", "an interim answer as the last one");
    let why = "it switched protocols without being asked";
    Err(Refusal::bad_upstream(judged.cluster.name().as_str(), why))
}

/// The refusal of a stream whose trust ended before it was open.
pub(crate) fn cut(ending: &mut Ending, over: &Over) -> Refusal {
    ending.ended(over.word(), &over.to_string());
    over.refusal()
}

/// A redirect is never followed, and is passed on only for what applications behind a `proxy`
/// subresource do themselves: to a path of the same API server, put back below the cluster's prefix
/// (CVE-2022-3172, CVE-2020-8559).
fn check_redirect(
    judged: &Judged,
    head: &mut http::response::Parts,
    ending: &mut Ending,
) -> Result<(), Refusal> {
    if !head.status.is_redirection() || head.status == StatusCode::NOT_MODIFIED {
        return Ok(());
    }
    let local = head
        .headers
        .get(header::LOCATION)
        .and_then(|v| v.to_str().ok())
        .filter(|to| judged.is_proxied() && to.starts_with('/') && !to.starts_with("//"))
        .filter(|to| !to.contains('\\'))
        .map(|to| format!("{}{}{to}", crate::parse::PREFIX, judged.cluster.name()));
    match local.and_then(|to| http::HeaderValue::from_str(&to).ok()) {
        Some(location) => {
            head.headers.insert(header::LOCATION, location);
            Ok(())
        }
        None => {
            ending.ended("upstream-failed", "a redirect was not followed");
            let why = "it answered with a redirect, which is not followed";
            Err(Refusal::bad_upstream(judged.cluster.name().as_str(), why))
        }
    }
}

/// What an answer may not carry to the client: what is about the upstream's connection, what names
/// identities, and what a browser would take for the gate's own.
fn filter_answer_headers(headers: &mut HeaderMap, judged: &Judged) {
    let listed: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .collect();
    let dropped: Vec<http::HeaderName> = headers
        .keys()
        .filter(|name| {
            let text = name.as_str();
            impersonate::is_hop_by_hop(text)
                || text.starts_with("impersonate-")
                || text.starts_with("x-remote-")
                || listed.iter().any(|l| l == text)
        })
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
    let (cluster, path) = (judged.cluster.name().as_str(), judged.target.path());
    let below = judged.is_proxied().then(|| origin::prefix(cluster, path));
    origin::restrict(headers, below.as_deref());
}

/// An answer after which the client's connection is closed: what follows an upgrade that failed is
/// never read as another request.
pub(crate) fn closing_answer(
    judged: &Judged,
    mut head: http::response::Parts,
    body: Incoming,
    trust: Trust,
    ending: Ending,
) -> Response<Body> {
    filter_answer_headers(&mut head.headers, judged);
    let answer = Answer::new(judged, &head.headers, body, ending, None)
        .holding(judged.place.clone(), None)
        .ending_with(Some(trust));
    head.headers
        .insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    Response::from_parts(answer_head(head), Body::new(answer))
}

/// Status and headers alone: the version is the client connection's.
fn answer_head(head: http::response::Parts) -> http::response::Parts {
    let mut answer = Response::new(()).into_parts().0;
    answer.status = head.status;
    answer.headers = head.headers;
    answer
}
