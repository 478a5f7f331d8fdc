//! An audit policy judged as the API server does: the first rule that matches a request decides its
//! level (`audit/policy/checker.go`). A rule by name further down counts for nothing.

use serde_json::Value;

use crate::facts::Facts;
use crate::snapshot::ConfigFile;
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Undecided, Verdict};

use super::NEEDS_AUDIT;

/// How much of a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    fn of(text: Option<&str>) -> Self {
        match text {
            Some("Metadata") => Self::Metadata,
            Some("Request") => Self::Request,
            Some("RequestResponse") => Self::RequestResponse,
            _ => Self::None,
        }
    }
}

/// A request that must be written down, as some person would make it.
struct Probe {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    least: Level,
}

const fn probe(
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    least: Level,
) -> Probe {
    Probe {
        verb,
        group,
        resource,
        least,
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

const PROBES: &[Probe] = &[
    probe("get", "", "secrets", Level::Metadata),
    probe("list", "", "secrets", Level::Metadata),
    probe("watch", "", "secrets", Level::Metadata),
    probe("create", "", "secrets", Level::Metadata),
    probe("delete", "", "secrets", Level::Metadata),
    probe("create", "", "serviceaccounts/token", Level::Metadata),
    probe(
        "create",
        "authentication.k8s.io",
        "tokenreviews",
        Level::Metadata,
    ),
    probe("create", "", "pods/exec", Level::Metadata),
    probe("get", "", "pods/exec", Level::Metadata),
    probe("create", "", "pods/attach", Level::Metadata),
    probe("get", "", "pods/attach", Level::Metadata),
    probe("create", "", "pods/portforward", Level::Metadata),
    probe("get", "", "pods/portforward", Level::Metadata),
    probe("get", "", "pods/proxy", Level::Metadata),
    probe("get", "", "nodes/proxy", Level::Metadata),
    probe("get", "", "services/proxy", Level::Metadata),
    probe("patch", "", "pods/ephemeralcontainers", Level::Request),
    probe("get", "", "pods/log", Level::Metadata),
    probe("create", "", "pods", Level::Request),
    probe("create", "apps", "deployments", Level::Request),
    probe("patch", "apps", "deployments", Level::Request),
    probe("delete", "", "pods", Level::Metadata),
    probe("deletecollection", "", "pods", Level::Metadata),
    probe("delete", "", "namespaces", Level::Metadata),
    probe("patch", "", "namespaces", Level::Request),
    probe("delete", "", "persistentvolumes", Level::Metadata),
    probe("create", "", "persistentvolumes", Level::Request),
    probe("create", RBAC, "clusterroles", Level::Request),
    probe("update", RBAC, "clusterroles", Level::Request),
    probe("create", RBAC, "clusterrolebindings", Level::Request),
    probe("patch", RBAC, "clusterrolebindings", Level::Request),
    probe("create", RBAC, "rolebindings", Level::Request),
    probe(
        "create",
        "certificates.k8s.io",
        "certificatesigningrequests",
        Level::Request,
    ),
    probe(
        "update",
        "certificates.k8s.io",
        "certificatesigningrequests/approval",
        Level::Request,
    ),
    probe(
        "create",
        ADMISSION,
        "mutatingwebhookconfigurations",
        Level::Request,
    ),
    probe(
        "delete",
        ADMISSION,
        "validatingwebhookconfigurations",
        Level::Request,
    ),
    probe(
        "delete",
        ADMISSION,
        "validatingadmissionpolicybindings",
        Level::Request,
    ),
    probe(
        "create",
        "apiregistration.k8s.io",
        "apiservices",
        Level::Request,
    ),
    probe("patch", "", "nodes", Level::Request),
    probe("delete", "", "events", Level::Metadata),
];

/// Attack techniques of Stratus Red Team's Kubernetes set, and the requests that an alarm on them must see.
const TECHNIQUES: &[(&str, Probe)] = &[
    (
        "dump-secrets",
        probe("list", "", "secrets", Level::Metadata),
    ),
    (
        "steal-serviceaccount-token",
        probe("get", "", "pods/exec", Level::Metadata),
    ),
    (
        "create-admin-clusterrole",
        probe("create", RBAC, "clusterroles", Level::Request),
    ),
    (
        "create-client-certificate",
        probe(
            "create",
            "certificates.k8s.io",
            "certificatesigningrequests",
            Level::Request,
        ),
    ),
    (
        "create-token",
        probe("create", "", "serviceaccounts/token", Level::Metadata),
    ),
    (
        "hostpath-volume",
        probe("create", "", "pods", Level::Request),
    ),
    (
        "nodes-proxy",
        probe("get", "", "nodes/proxy", Level::Metadata),
    ),
    (
        "privileged-pod",
        probe("create", "", "pods", Level::Request),
    ),
];

/// How many techniques there are, and those that the audit log does not show well enough for an alarm.
///
/// # Errors
/// Why the policy is not known.
pub(super) fn unseen_techniques(facts: &Facts<'_>) -> Result<(usize, Vec<Evidence>), Undecided> {
    let server = facts.api_server()?;
    let set = |name: &str| server.value(name).is_some();
    let sink = set("audit-log-path") || set("audit-webhook-config-file");
    let known = match sink && set("audit-policy-file") {
        true => Some(facts.snapshot.control_plane.audit_policy.get()?),
        false => None,
    };
    let unseen = TECHNIQUES.iter().filter_map(|(name, probe)| {
        let Some(file) = known else {
            let text = format!("{name}: there is no audit log that would show it");
            let field = "--audit-policy-file";
            return Some(Evidence::named(Class::Flag, &server.place, field, text));
        };
        let (level, rule) = first_match(file, probe);
        let field = rule.map_or("rules".to_owned(), |r| format!("rules[{r}]"));
        let text = format!(
            "{name}: {} {} is written at {level:?}; {:?} is needed",
            probe.verb, probe.resource, probe.least
        );
        (level < probe.least).then(|| Evidence::named(Class::Config, &file.place, field, text))
    });
    Ok((TECHNIQUES.len(), unseen.collect()))
}

/// S3-12
pub(super) fn covers(facts: &Facts<'_>) -> Judged {
    let file = facts.snapshot.control_plane.audit_policy.get()?;
    let mut evidence = Vec::new();
    for probe in PROBES {
        let (level, rule) = first_match(file, probe);
        if level < probe.least {
            let field = rule.map_or("rules".to_owned(), |r| format!("rules[{r}]"));
            let text = format!(
                "{} {} is written at {level:?}; {:?} is needed",
                probe.verb, probe.resource, probe.least
            );
            evidence.push(Evidence::named(Class::Config, &file.place, field, text));
        }
    }
    let sure = if file.proved { 100 } else { 80 };
    Ok(Verdict::of(
        evidence,
        "the audit policy writes down every one of 40 requests that matter",
        |n| format!("the audit policy misses {n} of 40 requests that matter"),
    )
    .sure(sure)
    .mend(|| {
        Fix::text(
            "put a rule in front: level Request for writes of workloads, roles, admission and nodes; Metadata for all the rest",
        )
    }))
}

/// The level of a request by a person, and the rule that says so.
fn first_match(file: &ConfigFile, probe: &Probe) -> (Level, Option<usize>) {
    let rules = file.content.get("rules").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        if matches(rule, probe) {
            let level = rule.get("level").and_then(Value::as_str);
            let level = match is_omitted(&[&file.content, rule]) {
                true => Level::None,
                false => Level::of(level),
            };
            return (level, Some(index));
        }
    }
    (Level::None, None)
}

/// Whether every stage of a request that is answered is left out, by the policy or by the rule.
fn is_omitted(places: &[&Value]) -> bool {
    let omits = |stage: &str| {
        let lists = places
            .iter()
            .filter_map(|p| p.get("omitStages")?.as_array());
        lists.flatten().any(|s| s.as_str() == Some(stage))
    };
    ["RequestReceived", "ResponseStarted", "ResponseComplete"]
        .into_iter()
        .all(omits)
}

fn matches(rule: &Value, probe: &Probe) -> bool {
    let strings = |field: &str| -> Vec<&str> {
        let list = rule.get(field).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    // Nobody in particular, logged in, in a namespace of no particular name.
    let users = strings("users");
    let groups = strings("userGroups");
    let verbs = strings("verbs");
    let resources = rule.get("resources").and_then(Value::as_array);
    let of_paths = !strings("nonResourceURLs").is_empty();
    let somebody =
        users.is_empty() && (groups.is_empty() || groups.contains(&"system:authenticated"));
    somebody
        && strings("namespaces").is_empty()
        && (verbs.is_empty() || verbs.contains(&probe.verb))
        && !(of_paths && resources.is_none_or(Vec::is_empty))
        && resources
            .is_none_or(|list| list.is_empty() || list.iter().any(|r| of_resource(r, probe)))
}

fn of_resource(entry: &Value, probe: &Probe) -> bool {
    let strings = |field: &str| -> Vec<&str> {
        let list = entry.get(field).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    if entry
        .get("group")
        .and_then(Value::as_str)
        .unwrap_or_default()
        != probe.group
    {
        return false;
    }
    let resources = strings("resources");
    let names = strings("resourceNames");
    let (parent, sub) = probe
        .resource
        .split_once('/')
        .unwrap_or((probe.resource, ""));
    let named = resources.iter().any(|r| {
        *r == probe.resource
            || *r == "*"
            || (!sub.is_empty()
                && r.split_once('/')
                    .is_some_and(|(p, s)| (p == parent && s == "*") || (p == "*" && s == sub)))
    });
    names.is_empty() && (resources.is_empty() || named)
}

/// S3-13
pub(super) fn leaves_the_node(facts: &Facts<'_>) -> Judged {
    let server = facts.api_server()?;
    let number = |name: &str| server.value(name).and_then(|v| v.parse::<u64>().ok());
    if server.value("audit-webhook-config-file").is_some() {
        return Ok(Verdict::pass("audit events are sent off the node as they happen").sure(80));
    }
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    for (name, least) in [
        ("audit-log-maxage", 30),
        ("audit-log-maxbackup", 10),
        ("audit-log-maxsize", 100),
    ] {
        if number(name).is_none_or(|n| n < least) {
            let text = format!("less than {least}");
            evidence.push(Evidence::named(
                Class::Flag,
                &server.place,
                format!("--{name}"),
                text,
            ));
            changes.push(Change::Flag {
                name: name.to_owned(),
                value: Some(least.to_string()),
            });
        }
    }
    if evidence.is_empty() {
        return crate::verdict::undecided(format!(
            "the log is kept for 30 days on its node; whether it leaves the node, {NEEDS_AUDIT}"
        ));
    }
    Ok(
        Verdict::fail("the audit log is not kept for 30 days, and nothing sends it off the node")
            .because(evidence)
            .mend(|| {
                Fix::changes(
                    "keep it for 30 days, and send it to a store that its writer cannot change",
                    changes,
                )
            }),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn level(
        policy: &Value,
        verb: &'static str,
        group: &'static str,
        resource: &'static str,
    ) -> Level {
        let file = ConfigFile {
            place: "x".to_owned(),
            proved: false,
            content: policy.clone(),
        };
        first_match(&file, &probe(verb, group, resource, Level::None)).0
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = json!({ "rules": [
            { "level": "None", "users": ["system:kube-proxy"], "resources": [{ "group": "", "resources": ["secrets"] }] },
            { "level": "None", "verbs": ["watch"] },
            { "level": "None", "nonResourceURLs": ["/healthz*"] },
            { "level": "Request", "resources": [{ "group": "", "resources": ["pods"] }] },
            { "level": "Metadata", "resources": [{ "group": "", "resources": ["pods/*", "*/status"] }] },
            { "level": "RequestResponse", "resources": [{ "group": "apps" }] },
            { "level": "Metadata", "namespaces": ["kube-system"] },
        ]});
        assert_eq!(level(&policy, "get", "", "pods"), Level::Request);
        // `pods` does not match its sub-resources.
        assert_eq!(level(&policy, "create", "", "pods/exec"), Level::Metadata);
        assert_eq!(level(&policy, "watch", "", "pods"), Level::None);
        assert_eq!(
            level(&policy, "patch", "apps", "deployments"),
            Level::RequestResponse
        );
        assert_eq!(level(&policy, "get", "", "secrets"), Level::None);
        assert_eq!(level(&policy, "get", "", "nodes/status"), Level::Metadata);
    }

    #[test]
    fn there_are_40_probes() {
        assert_eq!(PROBES.len(), 40);
    }
}
