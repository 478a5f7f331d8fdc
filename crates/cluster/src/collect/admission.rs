//! What admission is set up to do: Kubernetes' own policies and webhooks, Kyverno and Gatekeeper.

use kubestile_assess::snapshot::{
    Admission, Engine, Source, WebhookConfiguration, WebhookKind, Why,
};
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

fn kyverno(policy: &Value) -> Engine {
    let enforce = |v: &Value| {
        v.as_str()
            .is_some_and(|s| s.eq_ignore_ascii_case("enforce"))
    };
    let whole = policy.pointer("/spec/validationFailureAction");
    let rules = policy.pointer("/spec/rules").and_then(Value::as_array);
    let mut by_rule = rules
        .into_iter()
        .flatten()
        .filter_map(|r| r.pointer("/validate/failureAction"));
    Engine {
        engine: "kyverno".to_owned(),
        policy: name(policy),
        enforces: whole.is_some_and(enforce) || by_rule.any(enforce),
    }
}

fn gatekeeper(constraint: &Value) -> Engine {
    let action = constraint
        .pointer("/spec/enforcementAction")
        .and_then(Value::as_str);
    Engine {
        engine: "gatekeeper".to_owned(),
        policy: name(constraint),
        enforces: matches!(action, None | Some("deny")),
    }
}
