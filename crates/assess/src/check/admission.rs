//! What admission is set up to do, and what it lets through.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::access::{STARTS, want};
use crate::facts::{Facts, Want, Who};
use crate::snapshot::{
    Expression, Namespace, ObjectRef, Operations, Policy, PolicyBinding, Selector, Webhook,
    WebhookConfiguration, WebhookKind, is_of_cluster,
};
use crate::stock;
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Undecided, Verdict};

/// Longer than this and a slow webhook becomes an outage that somebody mends by `Ignore`.
const TIMEOUT: u32 = 10;

/// A rule set that refuses what breaks it.
struct Enforcing<'a> {
    object: ObjectRef,
    rules: &'a [Operations],
    /// What of these it leaves out again.
    excluded: Vec<&'a Operations>,
    /// In which namespaces.
    namespaces: Vec<&'a Selector>,
    /// For which objects.
    objects: Vec<&'a Selector>,
}

impl Enforcing<'_> {
    /// Whether it is asked about an operation, wherever the object is and whatever labels it has.
    fn matches(&self, operation: &str, group: &str, resource: &str) -> bool {
        let matching = |r: &Operations| r.matches(operation, group, resource);
        let of_all = |r: &&Operations| r.resource_names.is_empty();
        self.rules.iter().filter(of_all).any(matching)
            && !self.excluded.iter().any(|r| matching(r))
            // An object without labels is what whoever makes it likes it to be.
            && self.objects.iter().all(|s| s.selects(&BTreeMap::new()))
    }

    /// Whether it is asked in a namespace with these labels.
    fn looks_into(&self, labels: &BTreeMap<String, String>) -> bool {
        self.namespaces.iter().all(|s| s.selects(labels))
    }
}

/// Labels of the namespaces of people; of one without any where those are not known.
fn of_people(facts: &Facts<'_>) -> Vec<BTreeMap<String, String>> {
    let known = facts.snapshot.namespaces.known().into_iter().flatten();
    let theirs = known.filter(|n| !stock::is_system_namespace(&n.metadata.name));
    let mut found: Vec<BTreeMap<String, String>> = theirs.map(labels_of).collect();
    if found.is_empty() {
        found.push(BTreeMap::new());
    }
    found
}

/// With the label that the API server itself sets on each.
fn labels_of(namespace: &Namespace) -> BTreeMap<String, String> {
    let mut labels = namespace.metadata.labels.clone();
    labels.insert(NAME.to_owned(), namespace.metadata.name.clone());
    labels
}

/// Whether conditions let no request through at all.
fn never(conditions: &[Expression]) -> bool {
    conditions.iter().any(|c| c.expression.trim() == "false")
}

/// Whether a policy that is bound to `Deny` can refuse anything.
fn can_refuse(policy: &Policy) -> bool {
    let spec = &policy.spec;
    let says = |v: &Expression| v.expression.trim() != "true";
    let only_writes = spec.validations.is_empty() && !spec.audit_annotations.is_empty();
    let nothing = !spec.validations.is_empty() && !spec.validations.iter().any(says);
    !(only_writes || nothing || never(&spec.match_conditions))
}

/// Policies that a binding lets refuse, with that binding.
fn denying<'a>(facts: &Facts<'a>) -> Result<Vec<(&'a Policy, &'a PolicyBinding)>, Undecided> {
    let admission = &facts.snapshot.admission;
    let policies = admission.policies.get()?;
    let mut found = Vec::new();
    for binding in admission.policy_bindings.get()? {
        let denies = binding.spec.validation_actions.iter().any(|a| a == "Deny");
        let policy = policies
            .iter()
            .find(|p| p.metadata.name == binding.spec.policy_name);
        if let Some(policy) = policy.filter(|p| denies && can_refuse(p)) {
            found.push((policy, binding));
        }
    }
    Ok(found)
}

/// Everything that refuses: bound policies with `Deny`, validating webhooks.
fn enforcing<'a>(facts: &Facts<'a>) -> Result<Vec<Enforcing<'a>>, Undecided> {
    let mut found = Vec::new();
    for (policy, binding) in denying(facts)? {
        let constraints = &policy.spec.match_constraints;
        let bound = binding.spec.match_resources.as_ref();
        // A binding's own rules narrow the policy's; one that names some is not taken for the whole.
        let narrowed = bound.is_some_and(|b| !b.resource_rules.is_empty());
        let rules = bound.filter(|_| narrowed).unwrap_or(constraints);
        let left_out = bound.map_or(&[][..], |b| &b.exclude_resource_rules);
        found.push(Enforcing {
            object: ObjectRef::new(
                "validatingadmissionpolicybinding",
                "",
                &binding.metadata.name,
            ),
            rules: &rules.resource_rules,
            excluded: constraints
                .exclude_resource_rules
                .iter()
                .chain(left_out)
                .collect(),
            namespaces: [
                constraints.namespace_selector.as_ref(),
                bound.and_then(|b| b.namespace_selector.as_ref()),
            ]
            .into_iter()
            .flatten()
            .collect(),
            objects: [
                constraints.object_selector.as_ref(),
                bound.and_then(|b| b.object_selector.as_ref()),
            ]
            .into_iter()
            .flatten()
            .collect(),
        });
    }
    for (configuration, webhook) in webhooks(facts)? {
        if configuration.kind == WebhookKind::Validating && !never(&webhook.match_conditions) {
            found.push(Enforcing {
                object: object_of(configuration),
                rules: &webhook.rules,
                excluded: Vec::new(),
                namespaces: webhook.namespace_selector.iter().collect(),
                objects: webhook.object_selector.iter().collect(),
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
    let people = of_people(facts);
    let mut evidence = Vec::new();
    let mut missing = Vec::new();
    for (operation, group, resource) in wanted {
        // What is of the cluster is seen whatever namespaces are selected; all of people's must be seen.
        let everywhere = *resource != "namespaces" && is_of_cluster(group, resource);
        let matching = all.iter().find(|e| {
            e.matches(operation, group, resource)
                && (everywhere || people.iter().all(|labels| e.looks_into(labels)))
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
    let pods = |e: &&Enforcing<'_>| {
        e.matches("CREATE", "", "pods") || e.matches("CREATE", "apps", "deployments")
    };
    let people = of_people(facts);
    let mut evidence: Vec<Evidence> = enforcing(facts)?
        .iter()
        .filter(pods)
        .filter(|e| people.iter().any(|labels| e.looks_into(labels)))
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
    // One that is bound to warn or to write down refuses nothing that it could let through.
    let mut policies: Vec<&Policy> = denying(facts)?.into_iter().map(|(p, _)| p).collect();
    policies.sort_unstable_by_key(|p| &p.metadata.name);
    policies.dedup_by_key(|p| &p.metadata.name);
    for policy in policies {
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
    const RELABEL: &[Want] = &[want(&["update", "patch"], "", &["namespaces"])];
    const CREATE: &[Want] = &[want(&["create"], "", &["namespaces"])];
    let all = enforcing(facts)?;
    if all.is_empty() {
        return Ok(Verdict::not_applicable(
            "there is no check that could be passed by",
        ));
    }
    let relabel = !facts.holders(Who::is_human, RELABEL)?.is_empty();
    let create = !facts.holders(Who::is_human, CREATE)?.is_empty();
    let starts = facts.holders(Who::is_human, STARTS)?;
    let mut evidence = Vec::new();
    for check in &all {
        let mut say = |field: &str, text: String| {
            evidence.push(Evidence::object(&check.object, field, text));
        };
        let by_label = |s: &&&Selector| !s.is_everything() && !is_by_name(s);
        let new = |s: &Selector| create && !s.selects(&BTreeMap::new());
        if check
            .namespaces
            .iter()
            .any(|s| by_label(&s) && (relabel || new(s)))
        {
            let text = "it passes over namespaces by a label that people can set";
            say("namespaceSelector", text.to_owned());
        }
        // Whoever makes an object gives it its labels.
        let writes = relabel || !starts.is_empty();
        if check.objects.iter().any(|s| !s.is_everything()) && writes {
            let text = "it passes over objects by a label that people can set";
            say("objectSelector", text.to_owned());
        }
        let names = check.namespaces.iter().flat_map(|s| excluded_names(s));
        for name in names.collect::<BTreeSet<&str>>() {
            let mut there = starts
                .iter()
                .filter(|h| h.grant.namespace.is_none_or(|n| n == name));
            if let Some(hit) = there.next() {
                let who = hit.grant.subject_words();
                let text = format!("it passes over `{name}`, where {who} may start workloads");
                say("namespaceSelector", text);
            }
        }
    }
    Ok(
        Verdict::of(evidence, "no check can be passed by with a label", |n| {
            format!("{n} check(s) can be passed by")
        })
        .sure(70)
        .mend(|| {
            Fix::text("select namespaces by kubernetes.io/metadata.name, which nobody can change, and leave out only those where no person may start anything")
        }),
    )
}

/// Namespaces that a selector passes over by their name.
fn excluded_names(selector: &Selector) -> Vec<&str> {
    let by_name = |e: &&Value| {
        let is = |field: &str, word: &str| e.get(field).and_then(Value::as_str) == Some(word);
        is("key", NAME) && is("operator", "NotIn")
    };
    let values = selector.match_expressions.iter().filter(by_name);
    let values = values.filter_map(|e| e.get("values")?.as_array());
    values.flatten().filter_map(Value::as_str).collect()
}

/// The one label of a namespace that the API server writes itself.
const NAME: &str = "kubernetes.io/metadata.name";

fn is_by_name(selector: &Selector) -> bool {
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
