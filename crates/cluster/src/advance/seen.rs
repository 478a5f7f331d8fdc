//! What a refusing change would hit, looked at before it goes one stage further.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use http::Method;
use kubestile_assess::plan::{Rollout, TRIAL, at};
use kubestile_assess::snapshot::ObjectRef;
use kubestile_assess::verdict::Change;
use kubestile_core::time::{Timestamp, Ttl};
use serde_json::{Value, json};

use super::{AdvanceError, body, dry, path};
use crate::call::Call;
use crate::error::CallError;
use crate::upstream::{Upstream, before, now};

/// How long API servers may take to take up a policy: they look each second, and may be busy.
const SETTLED: Duration = Duration::from_secs(10);
/// What was changed since then counts as new; clocks may differ by it.
const NEW: Ttl = Ttl::from_secs(300);
/// Pods that are tried.
const PODS: usize = 200;
/// Lines that are kept.
const LINES: usize = 50;
/// Of an audit log, the end is read.
const TAIL: u64 = 64 << 20;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// What the change would refuse, were it at its last stage: a line each.
    pub violations: Vec<String>,
    /// What else the API server says of it.
    pub notes: Vec<String>,
}

/// Asks the API server what a change would refuse of what is there now (as dry runs), and reads from an
/// audit log what it would have refused. Nothing is changed.
///
/// # Errors
/// [`AdvanceError`] if the API server does not answer.
pub async fn look(
    upstream: &Upstream,
    change: &Change,
    audit_log: Option<&Path>,
) -> Result<Seen, AdvanceError> {
    let mut seen = Seen::default();
    let failed = |source| AdvanceError::Call {
        change: change.command(),
        source,
    };
    match change {
        Change::Label { object, .. } => {
            let enforced = at(change, Rollout::Deny);
            seen.violations = labelled(upstream, &enforced).await.map_err(failed)?;
            from_log(&mut seen, audit_log, &|event| {
                event
                    .pointer("/objectRef/namespace")
                    .and_then(Value::as_str)
                    == Some(&object.name)
                    && annotation(event, "pod-security.kubernetes.io/audit-violations").is_some()
            });
        }
        Change::Apply { manifest } => {
            let name = manifest.pointer("/metadata/name").and_then(Value::as_str);
            let name = name.unwrap_or_default();
            policy(upstream, name, &mut seen).await.map_err(failed)?;
            from_log(&mut seen, audit_log, &|event| {
                annotation(
                    event,
                    "validation.policy.admission.k8s.io/validation_failure",
                )
                .is_some_and(|text| text.contains(&format!("\"{name}\"")))
            });
        }
        _ => {}
    }
    seen.violations.truncate(LINES);
    Ok(seen)
}

/// What the API server warns of when a namespace were labelled so.
async fn labelled(upstream: &Upstream, change: &Change) -> Result<Vec<String>, CallError> {
    let Change::Label { object, key, value } = change else {
        return Ok(Vec::new());
    };
    let Some(path) = path(object) else {
        return Ok(Vec::new());
    };
    let merge = json!({ "metadata": { "labels": { key: value } } });
    let call = body(Method::PATCH, &path, "application/merge-patch+json", &merge);
    let answer = upstream.call(&dry(call, true)).await?;
    Ok(answer.warnings)
}

/// What the API server says of a policy's expressions, and, once its binding warns, of pods that are
/// there: each is made once more as a dry run.
async fn policy(upstream: &Upstream, name: &str, seen: &mut Seen) -> Result<(), CallError> {
    let object = ObjectRef::new("validatingadmissionpolicy", "", name);
    let Some(path) = path(&object) else {
        return Ok(());
    };
    let live = match upstream.get_json(&path).await {
        Err(error) if error.status() == Some(404) => return Ok(()),
        other => other?,
    };
    let warnings = live.pointer("/status/typeChecking/expressionWarnings");
    for warning in warnings.and_then(Value::as_array).into_iter().flatten() {
        let text = |field: &str| {
            warning
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        seen.notes
            .push(format!("{}: {}", text("fieldRef"), text("warning")));
    }
    let rules = live.pointer("/spec/matchConstraints/resourceRules");
    let of_pods = rules.and_then(Value::as_array).is_some_and(|list| {
        list.iter().any(|r| {
            let has = |f: &str, w: &str| {
                let list = r.get(f).and_then(Value::as_array);
                list.is_some_and(|l| l.iter().any(|v| v == w || v == "*" || v == "*/*"))
            };
            has("operations", "CREATE") && has("resources", "pods")
        })
    });
    if of_pods && settled(upstream, name, &live).await? {
        pods(upstream, name, seen).await?;
    }
    Ok(())
}

/// Waits until API servers have taken up a policy and its binding, if they are new; whether the binding warns, so
/// that a trial shows anything. A trial that comes too early finds nothing, and what it would have found is refused.
async fn settled(upstream: &Upstream, name: &str, policy: &Value) -> Result<bool, CallError> {
    let object = ObjectRef::new("validatingadmissionpolicybinding", "", name);
    let Some(path) = path(&object) else {
        return Ok(false);
    };
    let binding = match upstream.get_json(&path).await {
        Err(error) if error.status() == Some(404) => return Ok(false),
        other => other?,
    };
    let actions = binding.pointer("/spec/validationActions");
    let mut actions = actions.and_then(Value::as_array).into_iter().flatten();
    if !actions.any(|a| a == "Warn" || a == "Deny") {
        return Ok(false);
    }
    let new_since = before(now(), NEW.as_micros());
    if [policy, &binding]
        .into_iter()
        .any(|o| is_newer(o, new_since))
    {
        tokio::time::sleep(SETTLED).await;
    }
    Ok(true)
}

/// Whether somebody has changed an object since then, as its managed fields say.
fn is_newer(object: &Value, since: Timestamp) -> bool {
    // The server writes whole seconds: as far as they go, texts are ordered as the times are.
    let since: String = since.rfc3339().chars().take(19).collect();
    let fields = object.pointer("/metadata/managedFields");
    let fields = fields.and_then(Value::as_array).into_iter().flatten();
    let mut times = fields.filter_map(|f| f.get("time")?.as_str()?.get(..19));
    times.any(|time| time >= since.as_str())
}

async fn pods(upstream: &Upstream, policy: &str, seen: &mut Seen) -> Result<(), CallError> {
    let list = upstream
        .get_json(&format!("/api/v1/pods?limit={PODS}"))
        .await?;
    if list
        .pointer("/metadata/continue")
        .and_then(Value::as_str)
        .is_some_and(|c| !c.is_empty())
    {
        seen.notes
            .push(format!("only the first {PODS} pods were tried"));
    }
    let mark = format!("ValidatingAdmissionPolicy '{policy}'");
    for pod in list
        .get("items")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let text = |path: &str| {
            pod.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let copy = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "generateName": "kubestile-trial-", "labels": { TRIAL: "true" } },
            "spec": copied(pod.get("spec")),
        });
        let call = Call::post(format!("/api/v1/namespaces/{namespace}/pods"), &copy);
        let answer = upstream.call(&dry(call, true)).await?;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        let refused = (!answer.status.is_success() && said.contains(&mark)).then_some(said);
        let warned = answer.warnings.into_iter().filter(|w| w.contains(&mark));
        for text in warned.chain(refused) {
            let text: String = text.chars().take(300).collect();
            seen.violations
                .push(format!("pod/{name} in {namespace}: {text}"));
        }
    }
    Ok(())
}

/// A pod's specification as its maker could have written it.
fn copied(spec: Option<&Value>) -> Value {
    let mut spec = spec.cloned().unwrap_or_default();
    if let Some(map) = spec.as_object_mut() {
        map.remove("nodeName");
        map.remove("priority");
        map.remove("ephemeralContainers");
        // Its own token's volume is added again.
        let is_token = |v: &Value| {
            v.get("name")
                .and_then(Value::as_str)
                .is_some_and(|n| n.starts_with("kube-api-access-"))
        };
        let lists = ["containers", "initContainers"];
        if let Some(volumes) = map.get_mut("volumes").and_then(Value::as_array_mut) {
            volumes.retain(|v| !is_token(v));
        }
        for list in lists {
            let containers = map.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                if let Some(mounts) = container
                    .get_mut("volumeMounts")
                    .and_then(Value::as_array_mut)
                {
                    mounts.retain(|m| !is_token(m));
                }
            }
        }
    }
    spec
}

fn annotation<'e>(event: &'e Value, key: &str) -> Option<&'e str> {
    event.get("annotations")?.get(key)?.as_str()
}

/// What an audit log has of it: who did what.
fn from_log(seen: &mut Seen, log: Option<&Path>, is_it: &dyn Fn(&Value) -> bool) {
    let Some(log) = log else {
        return;
    };
    let Ok(text) = tail(log) else {
        seen.notes
            .push(format!("`{}` cannot be read", log.display()));
        return;
    };
    for line in text.lines().filter(|l| {
        l.contains("admission.k8s.io/validation_failure") || l.contains("audit-violations")
    }) {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        // A dry run is this program's own question, or hurts nobody.
        let dry = event
            .get("requestURI")
            .and_then(Value::as_str)
            .is_some_and(|u| u.contains("dryRun"));
        if dry || !is_it(&event) || seen.violations.len() >= LINES {
            continue;
        }
        let text = |path: &str| {
            event
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let line = format!(
            "{}: {} {} {} {}/{}",
            text("/requestReceivedTimestamp"),
            text("/user/username"),
            text("/verb"),
            text("/objectRef/resource"),
            text("/objectRef/namespace"),
            text("/objectRef/name")
        );
        if !seen.violations.contains(&line) {
            seen.violations.push(line);
        }
    }
}

fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_a_moment_ago_is_new_whatever_part_of_it() {
        let now = Timestamp::from_secs(1_795_600_000); // 2026-11-25T09:46:40Z
        let object = |times: &[&str]| {
            let fields: Vec<Value> = times.iter().map(|t| json!({ "time": t })).collect();
            json!({ "metadata": { "managedFields": fields } })
        };
        let since = before(now, NEW.as_micros());
        assert!(since.rfc3339().starts_with("2026-11-25T09:41:40"));
        for new in [
            "2026-11-25T09:46:39Z",
            "2026-11-25T09:41:40Z",
            "2026-11-25T10:30:00Z",
        ] {
            assert!(
                is_newer(&object(&["2026-11-20T00:00:00Z", new]), since),
                "{new}"
            );
        }
        assert!(!is_newer(&object(&["2026-11-25T09:41:39Z"]), since));
        assert!(!is_newer(&json!({}), since));
    }
}
