//! Questions that only a live request answers. They change nothing; each is in the audit log.

use kubestile_assess::snapshot::{Probe, Source};
use serde_json::{Value, json};

use super::absent;
use crate::call::Call;
use crate::error::CallError;
use crate::upstream::Upstream;

/// What a request without any credential gets.
pub(super) async fn anonymous(upstream: &Upstream) -> Source<Vec<Probe>> {
    let mut found = Vec::new();
    for path in ["/api", "/version", "/livez"] {
        match upstream.call_as_nobody(&Call::get(path)).await {
            Ok(answer) => found.push(Probe {
                path: path.to_owned(),
                status: answer.status.as_u16(),
            }),
            Err(error) => return absent(&error, "ask without a credential"),
        }
    }
    Source::Known(found)
}

/// Whether somebody whom no binding names may do something drastic.
pub(super) async fn nobody(upstream: &Upstream) -> Source<bool> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "kubestile-probe-nobody",
            "resourceAttributes": { "verb": "delete", "resource": "nodes" },
        },
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer: Result<Value, CallError> = upstream.request(&Call::post(path, &review)).await;
    match answer {
        Ok(value) => {
            let allowed = value.pointer("/status/allowed").and_then(Value::as_bool);
            // Nothing said is a refusal, as for every authorizer.
            Source::Known(allowed.unwrap_or(false))
        }
        Err(error) => absent(&error, "create subjectaccessreviews"),
    }
}
