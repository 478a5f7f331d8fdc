//! What a held request would do, for whoever has to approve it: the object as it is, what hangs on it, and
//! what a dry run says would change. Everything is looked up as the person who asks, and each look-up is
//! judged and recorded like a request of theirs; what they may not see stays unsaid.

mod changes;
mod dependents;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use kubestile_core::approval::Impact;
use kubestile_core::decision::Decision;
use kubestile_core::request_info::{RequestInfo, Resource};
use kubestile_core::{AccessId, Action, ActionKind, RequestId, kubectl_line};
use serde_json::Value;

use crate::body::ClientBody;
use crate::decide::decide;
use crate::forward::{Judged, forward};
use crate::gate::Gate;
use crate::gather::gather_again;
use crate::parse::UpstreamTarget;
use crate::record;

/// How long all look-ups for one access request may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How much one answer may hold.
const ANSWER_LIMIT: usize = 2 * 1024 * 1024;
/// Only who and whose, never what: so no Secret's data crosses the gate for this.
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// What is looked up for one access request.
pub(crate) struct Lookup<'a> {
    gate: &'a Arc<Gate>,
    judged: &'a Judged,
    access: AccessId,
}

/// The UID of the object that a request is about, if it names one that the person may see.
pub(crate) async fn uid(gate: &Arc<Gate>, judged: &Judged, access: AccessId) -> Option<String> {
    let lookup = Lookup {
        gate,
        judged,
        access,
    };
    tokio::time::timeout(PATIENCE, lookup.uid()).await.ok()?
}

/// What a held request would do, as far as it can be found out in a moment.
pub(crate) async fn of(
    gate: &Arc<Gate>,
    judged: &Judged,
    access: AccessId,
    headers: &HeaderMap,
    body: &Bytes,
) -> Option<Impact> {
    let lookup = Lookup {
        gate,
        judged,
        access,
    };
    let found = async {
        match judged.action.kind {
            ActionKind::Delete | ActionKind::DeleteCollection | ActionKind::Evict => {
                dependents::of(&lookup).await
            }
            ActionKind::Create | ActionKind::Update | ActionKind::Patch => {
                changes::of(&lookup, headers, body).await
            }
            _ => None,
        }
    };
    tokio::time::timeout(PATIENCE, found).await.ok()?
}

impl Lookup<'_> {
    async fn uid(&self) -> Option<String> {
        let resource = self.judged.action.resource()?;
        let path = object_path(resource)?;
        let object = self.get(&path, None, METADATA).await?;
        object.pointer("/metadata/uid")?.as_str().map(str::to_owned)
    }

    /// An object or list, read as the person.
    async fn get(&self, path: &str, query: Option<&str>, accept: &'static str) -> Option<Value> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        self.send(Method::GET, path, query, headers, Bytes::new())
            .await
    }

    /// Any request, judged and recorded as one of the person's.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Option<Value> {
        let info = RequestInfo::parse(method.as_str(), path, query).ok()?;
        let (gate, asked) = (self.gate, self.judged);
        let as_whom = asked.action.impersonates.clone();
        let action = Action::new(asked.cluster.name().clone(), info, as_whom);
        let id: RequestId = gate.new_request_id();
        let mut judged = Judged {
            id,
            started: Instant::now(),
            source: asked.source,
            cluster: asked.cluster.clone(),
            target: UpstreamTarget::new(path, query),
            who: asked.who.clone(),
            session: asked.session.clone(),
            action,
            upgrade: None,
            context: asked.context.clone(),
            policies: gate.policies.load_full(),
            place: None,
            looked_up_for: Some(self.access),
        };
        judged.context = gather_again(gate, &judged, asked.context.approval.clone());
        let policies = judged.policies.clone();
        let (who, action) = (&judged.who, &judged.action);
        let decision = decide(gate, &policies, id, who, action, &judged.context);
        let recorded = record::record(gate, &judged, &headers, &decision)
            .await
            .ok()?;
        let Decision::Allow(permit) = decision else {
            tracing::debug!(line = %kubectl_line::of(&judged.action), "not looked up");
            return None;
        };
        let mut request = Request::new(ClientBody::Whole(Some(body)));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let answer = forward(gate, permit, recorded, judged, request)
            .await
            .ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await;
        serde_json::from_slice(&body.ok()?.to_bytes()).ok()
    }
}

/// `/apis/apps/v1/namespaces/shop/deployments`.
fn collection_path(resource: &Resource) -> Option<String> {
    let plain = |text: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        !text.is_empty() && text.bytes().all(known) && text != "." && text != ".."
    };
    let fine = plain(&resource.version)
        && plain(&resource.resource)
        && (resource.group.is_empty() || plain(&resource.group))
        && (resource.namespace.is_empty() || plain(&resource.namespace))
        && (resource.name.is_empty() || plain(&resource.name));
    if !fine {
        return None;
    }
    let mut path = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    if !resource.namespace.is_empty() && resource.resource != "namespaces" {
        path.push_str(&format!("/namespaces/{}", resource.namespace));
    }
    path.push('/');
    path.push_str(&resource.resource);
    Some(path)
}

/// The same with the object's name; `None` for a collection.
fn object_path(resource: &Resource) -> Option<String> {
    let path = collection_path(resource)?;
    (!resource.name.is_empty()).then(|| format!("{path}/{}", resource.name))
}
