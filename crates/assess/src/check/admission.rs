//! What admission is set up to do, and what it lets through.

use serde_json::Value;

use crate::facts::{Facts, Who};
use crate::snapshot::{
    ObjectRef, Operations, Selector, Webhook, WebhookConfiguration, WebhookKind,
};
use crate::stock;
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Undecided, Verdict};

/// Longer than this and a slow webhook becomes an outage that somebody mends by `Ignore`.
const TIMEOUT: u32 = 10;

/// A rule set that refuses what breaks it.
struct Enforcing<'a> {
    object: ObjectRef,
    rules: &'a [Operations],
    /// What keeps it from seeing everything.
    selectors: Vec<&'a Selector>,
}

/// Everything that refuses: bound policies with `Deny`, validating webhooks.
fn enforcing<'a>(facts: &Facts<'a>) -> Result<Vec<Enforcing<'a>>, Undecided> {
    let admission = &facts.snapshot.admission;
    let policies = admission.policies.get()?;
    let mut found = Vec::new();
    for binding in admission.policy_bindings.get()? {
        let denies = binding.spec.validation_actions.iter().any(|a| a == "Deny");
        let policy = policies
            .iter()
            .find(|p| p.metadata.name == binding.spec.policy_name);
        let (true, Some(policy)) = (denies, policy) else {
            continue;
        };
        let constraints = &policy.spec.match_constraints;
        let bound = binding.spec.match_resources.as_ref();
        let selectors = [
            constraints.namespace_selector.as_ref(),
            constraints.object_selector.as_ref(),
            bound.and_then(|b| b.namespace_selector.as_ref()),
            bound.and_then(|b| b.object_selector.as_ref()),
        ];
        found.push(Enforcing {
            object: ObjectRef::new(
                "validatingadmissionpolicybinding",
                "",
                &binding.metadata.name,
            ),
            rules: &constraints.resource_rules,
            selectors: selectors.into_iter().flatten().collect(),
        });
    }
    for (configuration, webhook) in webhooks(facts)? {
        if configuration.kind == WebhookKind::Validating {
            let selectors = [
                webhook.namespace_selector.as_ref(),
                webhook.object_selector.as_ref(),
            ];
            found.push(Enforcing {
                object: object_of(configuration),
                rules: &webhook.rules,
                selectors: selectors.into_iter().flatten().collect(),
            });
        }
    }
    Ok(found)
}

fn webhooks<'a>(
    facts: &Facts<'a>,
) -> Result<Vec<(&'a WebhookConfiguration, &'a Webhook)>, Undecided> {
    let configurations = facts.snapshot.admission.webhooks.get()?;
    Ok(configurations
        .iter()
        .flat_map(|c| c.webhooks.iter().map(move |w| (c, w)))
        .collect())
}

fn object_of(configuration: &WebhookConfiguration) -> ObjectRef {
    let kind = match configuration.kind {
        WebhookKind::Validating => "validatingwebhookconfiguration",
        WebhookKind::Mutating => "mutatingwebhookconfiguration",
    };
    ObjectRef::new(kind, "", &configuration.metadata.name)
}

/// Objects that refuse any of these operations.
fn covering(
    facts: &Facts<'_>,
    wanted: &[(&str, &str, &str)],
) -> Result<(Vec<Evidence>, Vec<String>), Undecided> {
    let all = enforcing(facts)?;
    let mut evidence = Vec::new();
    let mut missing = Vec::new();
    for (operation, group, resource) in wanted {
        let matching = all.iter().find(|e| {
            e.rules
                .iter()
                .any(|r| r.matches(operation, group, resource))
        });
        match matching {
            Some(found) => {
                let text = format!("sees {operation} of {resource}");
                evidence.push(Evidence::object(&found.object, "", text));
            }
            None => missing.push(format!("{operation} of {resource}")),
        }
    }
    evidence.dedup();
    Ok((evidence, missing))
}

fn covered(facts: &Facts<'_>, wanted: &[(&str, &str, &str)], what: &str, mend: &str) -> Judged {
    let (evidence, missing) = covering(facts, wanted)?;
    if missing.is_empty() {
        return Ok(Verdict::pass(format!("admission sees {what}")).because(evidence));
    }
    Ok(
        Verdict::fail(format!("admission does not see {}", missing.join(", ")))
            .seen(Evidence::named(
                Class::Object,
                "validatingadmissionpolicybindings, validatingwebhookconfigurations",
                "",
                format!("none that refuses matches {}", missing.join(", ")),
            ))
            .mend(|| Fix::text(mend)),
    )
}

/// S3-01
pub(super) fn engine(facts: &Facts<'_>) -> Judged {
    let pods = |r: &Operations| {
        r.matches("CREATE", "", "pods") || r.matches("CREATE", "apps", "deployments")
    };
    let mut evidence: Vec<Evidence> = enforcing(facts)?
        .iter()
        .filter(|e| e.rules.iter().any(pods))
        .map(|e| Evidence::object(&e.object, "", "refuses writes of workloads that break it"))
        .collect();
    if let Ok(engines) = facts.snapshot.admission.engines.get() {
        evidence.extend(engines.iter().filter(|e| e.enforces).map(|e| {
            Evidence::named(
                Class::Object,
                format!("{}/{}", e.engine, e.policy),
                "",
                "enforces",
            )
        }));
    }
    Ok(match evidence.is_empty() {
        false => Verdict::pass("a policy engine refuses workloads that break its rules")
            .because(evidence)
            .sure(90),
        true => Verdict::fail("nothing checks workloads against policy")
            .seen(Evidence::named(
                Class::Object,
                "validatingadmissionpolicybindings",
                "spec.validationActions",
                "no binding denies, and no validating webhook sees pods",
            ))
            .mend(|| {
                Fix::text(
                    "start with ValidatingAdmissionPolicies bound to Audit, then Warn, then Deny",
                )
            }),
    })
}

/// S3-02
pub(super) fn pod_security(facts: &Facts<'_>) -> Judged {
    const LABEL: &str = "pod-security.kubernetes.io/enforce";
    let namespaces = facts.snapshot.namespaces.get()?;
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    let theirs = |name: &str| !stock::is_system_namespace(name);
    for namespace in namespaces.iter().filter(|n| theirs(&n.metadata.name)) {
        let level = namespace.metadata.labels.get(LABEL).map(String::as_str);
        if matches!(level, Some("baseline" | "restricted")) {
            continue;
        }
        let object = ObjectRef::new("namespace", "", &namespace.metadata.name);
        let text = match level {
            None => "pods may do everything to their node: nothing is enforced".to_owned(),
            Some(other) => format!("`{other}` lets pods do everything to their node"),
        };
        evidence.push(Evidence::object(
            &object,
            format!("metadata.labels[{LABEL}]"),
            text,
        ));
        changes.push(Change::Label {
            object,
            key: LABEL.to_owned(),
            value: "baseline".to_owned(),
        });
    }
    Ok(Verdict::of(
        evidence,
        "pod security is enforced in every namespace of people",
        |n| format!("{n} namespace(s) let pods do everything to their node"),
    )
    .sure(90)
    .mend(|| {
        Fix::changes(
            "enforce baseline; with --dry-run=server kubectl first says what would break",
            changes,
        )
    }))
}

/// S3-03
pub(super) fn fail_closed(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    let mut seen = 0_usize;
    for (configuration, webhook) in webhooks(facts)? {
        if configuration.kind == WebhookKind::Mutating {
            continue;
        }
        seen += 1;
        let object = object_of(configuration);
        let index = configuration
            .webhooks
            .iter()
            .position(|w| std::ptr::eq(w, webhook));
        let field = |name: &str| format!("webhooks[{}].{name}", index.unwrap_or(0));
        if webhook.failure_policy.as_deref() == Some("Ignore") {
            let text = format!(
                "`{}` lets everything through while it is down",
                webhook.name
            );
            evidence.push(Evidence::object(&object, field("failurePolicy"), text));
            changes.push(Change::Patch {
                object: object.clone(),
                patch: serde_json::json!([{
                    "op": "replace",
                    "path": format!("/webhooks/{}/failurePolicy", index.unwrap_or(0)),
                    "value": "Fail",
                }]),
            });
        }
        if webhook.timeout_seconds.is_some_and(|t| t > TIMEOUT) {
            let text = format!("`{}` may take longer than {TIMEOUT} s", webhook.name);
            evidence.push(Evidence::object(&object, field("timeoutSeconds"), text));
        }
    }
    for policy in facts.snapshot.admission.policies.get()? {
        seen += 1;
        if policy.spec.failure_policy.as_deref() == Some("Ignore") {
            let object = ObjectRef::new("validatingadmissionpolicy", "", &policy.metadata.name);
            let text = "an expression that errs lets the request through";
            evidence.push(Evidence::object(&object, "spec.failurePolicy", text));
            changes.push(Change::Patch {
                object,
                patch: serde_json::json!([
                    { "op": "replace", "path": "/spec/failurePolicy", "value": "Fail" }
                ]),
            });
        }
    }
    if seen == 0 {
        return Ok(Verdict::fail("there is no check that could fail closed")
            .seen(Evidence::named(
                Class::Object,
                "validatingadmissionpolicies, validatingwebhookconfigurations",
                "",
                "there is none",
            ))
            .mend(|| Fix::text("see S3-01")));
    }
    Ok(
        Verdict::of(evidence, "what cannot be checked is refused", |n| {
            format!("{n} check(s) let requests through when they fail")
        })
        .mend(|| Fix::changes("refuse what cannot be checked", changes)),
    )
}

/// S3-04
pub(super) fn exemptions(facts: &Facts<'_>) -> Judged {
    let all = enforcing(facts)?;
    let relabel = facts.holders(
        Who::is_human,
        &[crate::facts::Want {
            verbs: &["update", "patch"],
            group: "",
            resources: &["namespaces"],
            cluster: false,
        }],
    )?;
    let mut evidence = Vec::new();
    for rules in &all {
        let by_label = |s: &&&Selector| !s.is_everything() && !is_by_name(s);
        if rules.selectors.iter().any(|s| by_label(&s)) && !relabel.is_empty() {
            let text = "it passes over namespaces or objects by a label that people can set";
            evidence.push(Evidence::object(
                &rules.object,
                "namespaceSelector, objectSelector",
                text,
            ));
        }
    }
    if all.is_empty() {
        return Ok(Verdict::not_applicable(
            "there is no check that could be passed by",
        ));
    }
    Ok(
        Verdict::of(evidence, "no check can be passed by with a label", |n| {
            format!("{n} check(s) can be passed by with a label")
        })
        .sure(70)
        .mend(|| {
            Fix::text("select namespaces by kubernetes.io/metadata.name, which nobody can change")
        }),
    )
}

/// The one label of a namespace that the API server writes itself.
fn is_by_name(selector: &Selector) -> bool {
    const NAME: &str = "kubernetes.io/metadata.name";
    selector.match_labels.keys().all(|k| k == NAME)
        && selector
            .match_expressions
            .iter()
            .all(|e| e.get("key").and_then(Value::as_str) == Some(NAME))
}

/// S3-05
pub(super) fn connect(facts: &Facts<'_>) -> Judged {
    if let Ok(gate) = facts.gate() {
        let text = "the gate judges exec, attach, port-forward and proxy";
        return Ok(super::gate::vouched(gate, Verdict::pass(text).sure(70)));
    }
    covered(
        facts,
        &[
            ("CONNECT", "", "pods/exec"),
            ("CONNECT", "", "pods/attach"),
            ("CONNECT", "", "pods/portforward"),
            ("CONNECT", "", "pods/proxy"),
        ],
        "exec, attach, port-forward and proxy",
        "put a gate before the cluster (`kubestile up`), or match CONNECT in a ValidatingAdmissionPolicy",
    )
}

/// S3-06
pub(super) fn delete(facts: &Facts<'_>) -> Judged {
    if let Ok(gate) = facts.gate() {
        let text = "the gate judges every delete";
        return Ok(super::gate::vouched(gate, Verdict::pass(text).sure(70)));
    }
    covered(
        facts,
        &[
            ("DELETE", "", "namespaces"),
            ("DELETE", "", "persistentvolumes"),
            (
                "DELETE",
                "apiextensions.k8s.io",
                "customresourcedefinitions",
            ),
            ("DELETE", "apps", "statefulsets"),
            ("DELETE", "", "secrets"),
        ],
        "deletes of what cannot be brought back",
        "put a gate before the cluster (`kubestile up`), or match DELETE in a ValidatingAdmissionPolicy",
    )
}

/// S3-07
pub(super) fn rbac_writes(facts: &Facts<'_>) -> Judged {
    const RBAC: &str = "rbac.authorization.k8s.io";
    covered(
        facts,
        &[
            ("CREATE", RBAC, "clusterrolebindings"),
            ("UPDATE", RBAC, "clusterrolebindings"),
            ("CREATE", RBAC, "rolebindings"),
            ("UPDATE", RBAC, "clusterroles"),
        ],
        "changes of roles and bindings",
        "validate roles and bindings: no system:masters, no `kubestile:` groups, an end for each",
    )
}
