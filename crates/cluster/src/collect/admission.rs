//! What admission is set up to do: Kubernetes' own policies and webhooks, Kyverno and Gatekeeper.

use kubestile_assess::snapshot::{
    Admission, Engine, Operations, Source, WebhookConfiguration, WebhookKind, Why,
};
use serde::Deserialize as _;
use serde_json::Value;

use super::get;
use super::list::Lists;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const GATEKEEPER: &str = "/apis/constraints.gatekeeper.sh/v1beta1";
/// Kinds of Gatekeeper constraints that are looked at.
const CONSTRAINTS: usize = 100;

pub(super) async fn collect(lists: &mut Lists<'_>) -> Admission {
    Admission {
        webhooks: webhooks(lists).await,
        policies: lists
            .if_there(&format!("{GROUP}/validatingadmissionpolicies"))
            .await,
        policy_bindings: lists
            .if_there(&format!("{GROUP}/validatingadmissionpolicybindings"))
            .await,
        engines: engines(lists).await,
    }
}

async fn webhooks(lists: &mut Lists<'_>) -> Source<Vec<WebhookConfiguration>> {
    let mut all = Vec::new();
    for (kind, resource) in [
        (WebhookKind::Validating, "validatingwebhookconfigurations"),
        (WebhookKind::Mutating, "mutatingwebhookconfigurations"),
    ] {
        match lists
            .all::<WebhookConfiguration>(&format!("{GROUP}/{resource}"))
            .await
        {
            Source::Known(found) => {
                all.extend(
                    found
                        .into_iter()
                        .map(|c| WebhookConfiguration { kind, ..c }),
                );
            }
            Source::Absent(absence) => return Source::Absent(absence),
        }
    }
    Source::Known(all)
}

async fn engines(lists: &mut Lists<'_>) -> Source<Vec<Engine>> {
    let mut all = Vec::new();
    for path in [
        "/apis/kyverno.io/v1/clusterpolicies",
        "/apis/kyverno.io/v1/policies",
    ] {
        match lists.if_there::<Value>(path).await {
            Source::Known(found) => all.extend(found.iter().map(kyverno)),
            Source::Absent(absence) => return Source::Absent(absence),
        }
    }
    match cel_policies(lists).await {
        Source::Known(found) => all.extend(found),
        Source::Absent(absence) => return Source::Absent(absence),
    }
    let kinds = match get(lists.upstream, GATEKEEPER).await {
        Ok(list) => constraint_kinds(&list),
        Err(error) if error.status() == Some(404) => Vec::new(),
        Err(error) => return super::absent(&error, "look for Gatekeeper's constraints"),
    };
    if kinds.len() > CONSTRAINTS {
        let text = format!("there are more than {CONSTRAINTS} kinds of Gatekeeper constraints");
        return Source::absent(Why::TooLarge, text);
    }
    for kind in kinds {
        match lists
            .if_there::<Value>(&format!("{GATEKEEPER}/{kind}"))
            .await
        {
            Source::Known(found) => all.extend(found.iter().map(gatekeeper)),
            Source::Absent(absence) => return Source::Absent(absence),
        }
    }
    Source::Known(all)
}

fn constraint_kinds(list: &Value) -> Vec<String> {
    let resources = list.get("resources").and_then(Value::as_array);
    let names = resources.into_iter().flatten();
    names
        .filter_map(|r| r.get("name").and_then(Value::as_str))
        // A name of a CRD is a DNS label; anything else is not put into a path.
        .filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        .map(str::to_owned)
        .collect()
}

fn name(object: &Value) -> String {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

/// Kinds from which pods come.
const WORKLOADS: [&str; 9] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "*",
];

/// Kyverno's policies in CEL, which are of a group of their own (1.14 and later).
async fn cel_policies(lists: &mut Lists<'_>) -> Source<Vec<Engine>> {
    const GROUP: &str = "/apis/policies.kyverno.io";
    let group = match get(lists.upstream, GROUP).await {
        Ok(group) => group,
        Err(error) if error.status() == Some(404) => return Source::Known(Vec::new()),
        Err(error) => return super::absent(&error, "look for Kyverno's policies"),
    };
    let version = group.pointer("/preferredVersion/version");
    let version = version.and_then(Value::as_str).unwrap_or_default();
    if version.is_empty() || !version.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Source::absent(Why::Failed, "the group policies.kyverno.io has no version");
    }
    let mut all = Vec::new();
    for resource in CEL {
        let path = format!("{GROUP}/{version}/{resource}");
        match lists.if_there::<Value>(&path).await {
            Source::Known(found) => all.extend(found.iter().map(cel)),
            Source::Absent(absence) => return Source::Absent(absence),
        }
    }
    Source::Known(all)
}

/// Its kinds that refuse.
pub(super) const CEL: [&str; 3] = [
    "validatingpolicies",
    "namespacedvalidatingpolicies",
    "imagevalidatingpolicies",
];

fn cel(policy: &Value) -> Engine {
    let actions = policy.pointer("/spec/validationActions");
    let mut actions = actions.and_then(Value::as_array).into_iter().flatten();
    let admits = policy.pointer("/spec/evaluation/admission/enabled");
    let rules = policy.pointer("/spec/matchConstraints/resourceRules");
    let rules: Vec<Operations> = rules
        .and_then(|r| Vec::deserialize(r).ok())
        .unwrap_or_default();
    let workloads = rules
        .iter()
        .any(|r| r.matches("CREATE", "", "pods") || r.matches("CREATE", "apps", "deployments"));
    Engine {
        engine: "kyverno".to_owned(),
        policy: name(policy),
        enforces: workloads
            && actions.any(|a| a.as_str() == Some("Deny"))
            && admits.and_then(Value::as_bool) != Some(false),
    }
}

/// Whether a policy refuses workloads: by one of its rules that validates them or their images, whose own action goes
/// before the policy's.
fn kyverno(policy: &Value) -> Engine {
    let enforce = |v: &Value| {
        v.as_str()
            .is_some_and(|s| s.eq_ignore_ascii_case("enforce"))
    };
    let admits = policy.pointer("/spec/admission").and_then(Value::as_bool);
    let overrides = policy.pointer("/spec/validationFailureActionOverrides");
    let mut overrides = overrides.and_then(Value::as_array).into_iter().flatten();
    let whole = policy
        .pointer("/spec/validationFailureAction")
        .is_some_and(enforce)
        || overrides.any(|o| o.get("action").is_some_and(enforce));
    let refuses = |rule: &Value| {
        let images = rule.get("verifyImages").and_then(Value::as_array);
        let parts = rule.get("validate").into_iter();
        let mut parts = parts.chain(images.into_iter().flatten());
        parts.any(|p| p.get("failureAction").map_or(whole, enforce)) && matches_workloads(rule)
    };
    let rules = policy.pointer("/spec/rules").and_then(Value::as_array);
    Engine {
        engine: "kyverno".to_owned(),
        policy: name(policy),
        enforces: admits != Some(false) && rules.into_iter().flatten().any(refuses),
    }
}

fn matches_workloads(rule: &Value) -> bool {
    let blocks = ["any", "all"].into_iter().filter_map(|word| {
        let list = rule.get("match")?.get(word)?;
        list.as_array()
    });
    let blocks = blocks.flatten().chain(rule.get("match"));
    let kinds = blocks.filter_map(|b| b.pointer("/resources/kinds")?.as_array());
    kinds.flatten().filter_map(Value::as_str).any(|kind| {
        // `apps/v1/Deployment`; of `Pod/exec` the last part is no kind.
        let last = kind.rsplit('/').next().unwrap_or_default();
        WORKLOADS.contains(&last)
    })
}

/// Whether a constraint refuses workloads at admission: by its own action, or by a scoped one for that point.
fn gatekeeper(constraint: &Value) -> Engine {
    let text = |v: &Value, field: &str| v.get(field).and_then(Value::as_str).map(str::to_owned);
    let list = |v: &Value, field: &str| {
        let list = v.get(field).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let spec = constraint.get("spec").cloned().unwrap_or_default();
    let at_admission = |action: &Value| {
        let points = list(action, "enforcementPoints");
        let here = |p: &Value| {
            let name = text(p, "name");
            matches!(name.as_deref(), Some("*" | "validation.gatekeeper.sh"))
        };
        text(action, "action").as_deref() == Some("deny") && points.iter().any(here)
    };
    let denies = match text(&spec, "enforcementAction").as_deref() {
        None | Some("deny" | "") => true,
        Some("scoped") => list(&spec, "scopedEnforcementActions")
            .iter()
            .any(at_admission),
        Some(_) => false,
    };
    let kinds = spec.pointer("/match/kinds").and_then(Value::as_array);
    let of_workloads = |k: &Value| {
        let kinds = list(k, "kinds");
        kinds.is_empty()
            || kinds
                .iter()
                .filter_map(Value::as_str)
                .any(|k| WORKLOADS.contains(&k))
    };
    // Nothing said is every kind.
    let workloads = kinds.is_none_or(|all| all.is_empty() || all.iter().any(of_workloads));
    Engine {
        engine: "gatekeeper".to_owned(),
        policy: name(constraint),
        enforces: denies && workloads,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(kind: &str, validate: Value) -> Value {
        json!({ "match": { "any": [{ "resources": { "kinds": [kind] } }] }, "validate": validate })
    }

    #[test]
    fn a_rules_own_action_goes_before_its_policys() {
        let policy = |whole: &str, rules: Value| {
            let spec = json!({ "validationFailureAction": whole, "rules": rules });
            kyverno(&json!({ "metadata": { "name": "p" }, "spec": spec })).enforces
        };
        assert!(policy("Enforce", json!([rule("Pod", json!({}))])));
        assert!(policy(
            "enforce",
            json!([rule("apps/v1/Deployment", json!({}))])
        ));
        assert!(!policy("Audit", json!([rule("Pod", json!({}))])));
        let audit = json!({ "failureAction": "Audit" });
        let enforce = json!({ "failureAction": "Enforce" });
        assert!(!policy("Enforce", json!([rule("Pod", audit.clone())])));
        assert!(policy(
            "Audit",
            json!([rule("Pod", audit), rule("Pod", enforce.clone())])
        ));
        // Of something else, or changing and not refusing.
        assert!(!policy(
            "Enforce",
            json!([rule("ConfigMap", enforce.clone())])
        ));
        assert!(!policy("Enforce", json!([rule("Pod/exec", enforce)])));
        let mutate = json!([{ "match": { "resources": { "kinds": ["Pod"] } }, "mutate": {} }]);
        assert!(!policy("Enforce", mutate));
        let old = json!([{ "match": { "resources": { "kinds": ["Pod"] } }, "validate": {} }]);
        assert!(policy("Enforce", old));
    }

    #[test]
    fn what_looks_in_the_background_refuses_nothing() {
        let rules = json!([rule("Pod", json!({ "failureAction": "Enforce" }))]);
        let spec = json!({ "admission": false, "rules": rules });
        assert!(!kyverno(&json!({ "spec": spec })).enforces);
        let one = json!([{ "action": "enforce", "namespaces": ["shop"] }]);
        let spec = json!({ "validationFailureAction": "Audit", "validationFailureActionOverrides": one, "rules": [rule("Pod", json!({}))] });
        assert!(kyverno(&json!({ "spec": spec })).enforces);
    }

    #[test]
    fn policies_in_cel_refuse_by_deny_alone() {
        let policy = |actions: Value, enabled: bool, resource: &str| {
            let rules =
                json!([{ "apiGroups": [""], "operations": ["CREATE"], "resources": [resource] }]);
            cel(&json!({ "spec": {
                "validationActions": actions,
                "evaluation": { "admission": { "enabled": enabled } },
                "matchConstraints": { "resourceRules": rules },
            } }))
            .enforces
        };
        assert!(policy(json!(["Deny"]), true, "pods"));
        assert!(!policy(json!(["Audit"]), true, "pods"));
        assert!(!policy(json!(["Deny"]), false, "pods"));
        assert!(!policy(json!(["Deny"]), true, "configmaps"));
    }

    #[test]
    fn scoped_actions_count_at_admission_only() {
        let constraint = |spec: Value| gatekeeper(&json!({ "spec": spec })).enforces;
        let scoped = |action: &str, point: &str| {
            let actions = json!([{ "action": action, "enforcementPoints": [{ "name": point }] }]);
            json!({ "enforcementAction": "scoped", "scopedEnforcementActions": actions })
        };
        assert!(constraint(json!({})));
        assert!(constraint(json!({ "enforcementAction": "deny" })));
        assert!(!constraint(json!({ "enforcementAction": "warn" })));
        assert!(!constraint(json!({ "enforcementAction": "dryrun" })));
        assert!(constraint(scoped("deny", "validation.gatekeeper.sh")));
        assert!(constraint(scoped("deny", "*")));
        assert!(!constraint(scoped("deny", "audit.gatekeeper.sh")));
        assert!(!constraint(scoped("warn", "*")));
        let kinds =
            |kind: &str| json!({ "match": { "kinds": [{ "apiGroups": [""], "kinds": [kind] }] } });
        assert!(constraint(kinds("Pod")));
        assert!(!constraint(kinds("Namespace")));
    }
}
