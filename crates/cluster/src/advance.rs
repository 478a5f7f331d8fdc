//! Makes the changes of a plan, one at a time: as a server-side dry run first, then for real, each with
//! what takes it back, made from the object as it was.

pub mod control_plane;
mod seen;

use bytes::Bytes;
use http::{HeaderMap, Method};
use kubestile_assess::plan::BreakGlass;
use kubestile_assess::snapshot::ObjectRef;
use kubestile_assess::verdict::Change;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::CallError;
use crate::upstream::Upstream;

pub use seen::{Seen, look};

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The API server did not take it, or did not answer.
    #[error("`{change}` was not made")]
    Call {
        /// The change.
        change: String,
        /// Why.
        source: CallError,
    },
    /// No request makes this change.
    #[error("`{change}` is not made by a request: it is for a person")]
    ByHand {
        /// The change.
        change: String,
    },
}

impl AdvanceError {
    /// Whether the change may have been made nevertheless: the answer was lost, and not the request.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Call { source, .. } => match source {
                CallError::Credential(_) | CallError::Connect { .. } => false,
                other => other.status().is_none_or(|status| status >= 500),
            },
            Self::ByHand { .. } => false,
        }
    }
}

/// Makes a change for real, or only tries it, and gives what takes it back.
///
/// # Errors
/// [`AdvanceError`]; a change that failed was not made, unless it [is in doubt](AdvanceError::is_in_doubt).
pub async fn apply(
    upstream: &Upstream,
    change: &Change,
    try_only: bool,
) -> Result<Change, AdvanceError> {
    let failed = |source| AdvanceError::Call {
        change: change.command(),
        source,
    };
    let by_hand = || AdvanceError::ByHand {
        change: change.command(),
    };
    let (call, back) = match change {
        Change::Delete(object) => {
            let path = path(object).ok_or_else(by_hand)?;
            let before = upstream.get_json(&path).await.map_err(failed)?;
            let uid = before.pointer("/metadata/uid").cloned().unwrap_or_default();
            let mut options = json!({ "preconditions": { "uid": uid } });
            if try_only {
                // With a body, the API server does not look at the query of a DELETE.
                options = json!({ "preconditions": { "uid": uid }, "dryRun": ["All"] });
            }
            (
                body(Method::DELETE, &path, "application/json", &options),
                restore(before),
            )
        }
        Change::Patch { object, patch } => {
            let path = path(object).ok_or_else(by_hand)?;
            let before = upstream.get_json(&path).await.map_err(failed)?;
            (
                body(Method::PATCH, &path, "application/json-patch+json", patch),
                restore(before),
            )
        }
        Change::Label { object, key, value } => {
            let path = path(object).ok_or_else(by_hand)?;
            let before = upstream.get_json(&path).await.map_err(failed)?;
            let labels = before.pointer("/metadata/labels");
            let was = labels
                .and_then(|l| l.get(key))
                .cloned()
                .unwrap_or(Value::Null);
            let merge = |value: &Value| json!({ "metadata": { "labels": { key: value } } });
            let back = Change::Patch {
                object: object.clone(),
                patch: merge(&was),
            };
            let call = body(
                Method::PATCH,
                &path,
                "application/merge-patch+json",
                &merge(&json!(value)),
            );
            (call, back)
        }
        Change::Apply { manifest } => {
            let object = object_of(manifest).ok_or_else(by_hand)?;
            let before = put(upstream, &object, manifest, try_only)
                .await
                .map_err(failed)?;
            return Ok(before.map_or(Change::Delete(object), restore));
        }
        Change::Flag { .. } | Change::File { .. } | Change::Policy { .. } | Change::Command(_) => {
            return Err(by_hand());
        }
    };
    let _answer: Value = upstream
        .request(&dry(call, try_only))
        .await
        .map_err(failed)?;
    Ok(back)
}

/// Takes back what [`apply`] did: restores an object, or a label.
///
/// # Errors
/// [`AdvanceError`].
pub async fn roll_back(upstream: &Upstream, back: &Change) -> Result<(), AdvanceError> {
    undo(upstream, back, false).await
}

/// Tries as a server-side dry run whether a credential could take a change back: what the way in is for.
///
/// # Errors
/// [`AdvanceError`]: it could not.
pub async fn try_roll_back(upstream: &Upstream, back: &Change) -> Result<(), AdvanceError> {
    undo(upstream, back, true).await
}

async fn undo(upstream: &Upstream, back: &Change, try_only: bool) -> Result<(), AdvanceError> {
    match back {
        // A label goes back by a merge, in which `null` removes.
        Change::Patch { object, patch } if patch.is_object() => {
            let by_hand = || AdvanceError::ByHand {
                change: back.command(),
            };
            let path = path(object).ok_or_else(by_hand)?;
            let call = body(Method::PATCH, &path, "application/merge-patch+json", patch);
            let answer: Result<Value, CallError> = upstream.request(&dry(call, try_only)).await;
            answer.map(drop).map_err(|source| AdvanceError::Call {
                change: back.command(),
                source,
            })
        }
        other => apply(upstream, other, try_only).await.map(drop),
    }
}

/// The live object; none if it is not there (yet).
///
/// # Errors
/// [`AdvanceError`] when there is no answer.
pub async fn live(upstream: &Upstream, object: &ObjectRef) -> Result<Option<Value>, AdvanceError> {
    let Some(path) = path(object) else {
        return Ok(None);
    };
    match upstream.get_json(&path).await {
        Ok(live) => Ok(Some(live)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(source) => Err(AdvanceError::Call {
            change: format!("read {object}"),
            source,
        }),
    }
}

/// Who the credential is, if the API server says now that it may do everything.
///
/// # Errors
/// [`CallError`] when there is no answer.
pub async fn break_glass(upstream: &Upstream) -> Result<Option<BreakGlass>, CallError> {
    let everything = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": "*", "group": "*", "resource": "*" } },
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review: Value = upstream.request(&Call::post(path, &everything)).await?;
    if review.pointer("/status/allowed").and_then(Value::as_bool) != Some(true) {
        return Ok(None);
    }
    let who = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review: Value = upstream.request(&Call::post(path, &who)).await?;
    let info = review
        .pointer("/status/userInfo")
        .cloned()
        .unwrap_or_default();
    let groups = info.get("groups").and_then(Value::as_array);
    Ok(Some(BreakGlass {
        user: info
            .get("username")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        groups: groups
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }))
}

fn body(method: Method, path: &str, content_type: &'static str, value: &Value) -> Call {
    Call {
        method,
        path: path.to_owned(),
        headers: HeaderMap::new(),
        body: Some((content_type, Bytes::from(value.to_string()))),
    }
}

fn dry(mut call: Call, try_only: bool) -> Call {
    if try_only {
        let join = if call.path.contains('?') { '&' } else { '?' };
        call.path.push_str(&format!("{join}dryRun=All"));
    }
    call
}

/// Makes an object, or brings it to this state; gives what was there before.
async fn put(
    upstream: &Upstream,
    object: &ObjectRef,
    manifest: &Value,
    try_only: bool,
) -> Result<Option<Value>, CallError> {
    let Some(path) = path(object) else {
        return Ok(None);
    };
    match upstream.get_json(&path).await {
        Ok(live) => {
            let mut wanted = manifest.clone();
            if let Some(meta) = wanted.get_mut("metadata").and_then(Value::as_object_mut)
                && let Some(version) = live.pointer("/metadata/resourceVersion")
            {
                meta.insert("resourceVersion".to_owned(), version.clone());
            }
            let call = body(Method::PUT, &path, "application/json", &wanted);
            let _answer: Value = upstream.request(&dry(call, try_only)).await?;
            Ok(Some(live))
        }
        Err(error) if error.status() == Some(404) => {
            let collection = path.rsplit_once('/').map_or(path.as_str(), |(c, _)| c);
            let call = Call::post(collection, manifest);
            let _answer: Value = upstream.request(&dry(call, try_only)).await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The object as it was, without what the API server itself writes.
fn restore(mut object: Value) -> Change {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            meta.remove(field);
        }
    }
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    Change::Apply { manifest: object }
}

/// Kinds that changes are about: singular, plural, and where they are.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "clusterrolebinding",
        "clusterrolebindings",
        "/apis/rbac.authorization.k8s.io/v1",
    ),
    (
        "rolebinding",
        "rolebindings",
        "/apis/rbac.authorization.k8s.io/v1",
    ),
    (
        "clusterrole",
        "clusterroles",
        "/apis/rbac.authorization.k8s.io/v1",
    ),
    ("role", "roles", "/apis/rbac.authorization.k8s.io/v1"),
    ("serviceaccount", "serviceaccounts", "/api/v1"),
    ("namespace", "namespaces", "/api/v1"),
    (
        "validatingadmissionpolicy",
        "validatingadmissionpolicies",
        "/apis/admissionregistration.k8s.io/v1",
    ),
    (
        "validatingadmissionpolicybinding",
        "validatingadmissionpolicybindings",
        "/apis/admissionregistration.k8s.io/v1",
    ),
    (
        "validatingwebhookconfiguration",
        "validatingwebhookconfigurations",
        "/apis/admissionregistration.k8s.io/v1",
    ),
];

/// Where an object is; none for a kind or a name that no change is about.
fn path(object: &ObjectRef) -> Option<String> {
    let (_, plural, base) = KINDS.iter().find(|(kind, _, _)| *kind == object.kind)?;
    let name = segment(&object.name)?;
    match object.namespace.is_empty() {
        true => Some(format!("{base}/{plural}/{name}")),
        false => Some(format!(
            "{base}/namespaces/{}/{plural}/{name}",
            segment(&object.namespace)?
        )),
    }
}

/// A name as one segment of a path; RBAC names may hold nearly anything.
fn segment(name: &str) -> Option<String> {
    if matches!(name, "" | "." | "..") || name.contains(['/', '%']) {
        return None;
    }
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                text.push(char::from(byte));
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(text)
}

fn object_of(manifest: &Value) -> Option<ObjectRef> {
    let kind = manifest.get("kind")?.as_str()?.to_ascii_lowercase();
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str);
    let name = text("/metadata/name")?;
    let namespace = text("/metadata/namespace").unwrap_or_default();
    Some(ObjectRef::new(&kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        let at = |name: &str| path(&ObjectRef::new("rolebinding", "shop", name));
        let base = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings";
        assert_eq!(at("kubeadm:x"), Some(format!("{base}/kubeadm:x")));
        assert_eq!(at("a b?c#d"), Some(format!("{base}/a%20b%3Fc%23d")));
        for hostile in ["", "..", "../secrets", "a%2fb"] {
            assert_eq!(at(hostile), None, "{hostile}");
        }
        assert_eq!(path(&ObjectRef::new("secret", "shop", "x")), None);
    }

    #[test]
    fn what_is_brought_back_is_the_object_and_nothing_of_the_server_s() {
        let object = json!({
            "kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": { "name": "x", "namespace": "n", "uid": "1", "resourceVersion": "7", "annotations": { "a": "b" } },
            "subjects": [{ "kind": "User", "name": "ana" }],
        });
        let Change::Apply { manifest } = restore(object) else {
            panic!()
        };
        assert_eq!(
            manifest["metadata"],
            json!({ "name": "x", "namespace": "n", "annotations": { "a": "b" } })
        );
        assert_eq!(
            object_of(&manifest),
            Some(ObjectRef::new("rolebinding", "n", "x"))
        );
    }
}
