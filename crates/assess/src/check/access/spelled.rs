//! A role without `*`: what it gives today among Kubernetes' own types, written out, and nothing that is added tomorrow.

use kubestile_rbac::Rule;
use serde_json::{Value, json};

use super::ANY;
use crate::snapshot::ObjectRef;
use crate::verdict::Change;

/// Kubernetes' own groups and their types. Left out, because they give power over others: `nodes/proxy`, `serviceaccounts/token`, and
/// approving certificates.
const TYPES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "namespaces/status",
            "nodes",
            "nodes/status",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "persistentvolumes",
            "persistentvolumes/status",
            "pods",
            "pods/attach",
            "pods/ephemeralcontainers",
            "pods/eviction",
            "pods/exec",
            "pods/log",
            "pods/portforward",
            "pods/proxy",
            "pods/resize",
            "pods/status",
            "podtemplates",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
            "services/status",
        ],
    ),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    (
        "batch",
        &["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
    ),
    (
        "autoscaling",
        &[
            "horizontalpodautoscalers",
            "horizontalpodautoscalers/status",
        ],
    ),
    (
        "networking.k8s.io",
        &[
            "ingressclasses",
            "ingresses",
            "ingresses/status",
            "ipaddresses",
            "networkpolicies",
            "servicecidrs",
            "servicecidrs/status",
        ],
    ),
    (
        "policy",
        &["poddisruptionbudgets", "poddisruptionbudgets/status"],
    ),
    (
        "rbac.authorization.k8s.io",
        &[
            "clusterrolebindings",
            "clusterroles",
            "rolebindings",
            "roles",
        ],
    ),
    (
        "storage.k8s.io",
        &[
            "csidrivers",
            "csinodes",
            "csistoragecapacities",
            "storageclasses",
            "volumeattachments",
            "volumeattachments/status",
            "volumeattributesclasses",
        ],
    ),
    ("coordination.k8s.io", &["leases"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    ("node.k8s.io", &["runtimeclasses"]),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicies/status",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    (
        "apiextensions.k8s.io",
        &[
            "customresourcedefinitions",
            "customresourcedefinitions/status",
        ],
    ),
    (
        "apiregistration.k8s.io",
        &["apiservices", "apiservices/status"],
    ),
    ("certificates.k8s.io", &["certificatesigningrequests"]),
    ("authentication.k8s.io", &["tokenreviews"]),
    (
        "authorization.k8s.io",
        &["localsubjectaccessreviews", "subjectaccessreviews"],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["flowschemas", "prioritylevelconfigurations"],
    ),
];

/// The role without `*`; none if what one of its rules means cannot be told, as with types of others.
pub(super) fn change(object: &ObjectRef, rules: &[Rule]) -> Option<Change> {
    let mut patch: Vec<Value> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if super::shape::wild(rule).is_none() {
            continue;
        }
        let new = spelled(rule)?;
        for (field, before, after) in [
            ("verbs", &rule.verbs, &new.verbs),
            ("apiGroups", &rule.api_groups, &new.api_groups),
            ("resources", &rule.resources, &new.resources),
        ] {
            let path = format!("/rules/{index}/{field}");
            patch.push(json!({ "op": "test", "path": path, "value": before }));
            if before != after {
                patch.push(json!({ "op": "replace", "path": path, "value": after }));
            }
        }
    }
    (!patch.is_empty()).then(|| Change::Patch {
        object: object.clone(),
        patch: Value::Array(patch),
    })
}

/// The rule without `*`. What it gives is covered by what it gave.
fn spelled(rule: &Rule) -> Option<Rule> {
    let star = |list: &[String]| list.iter().any(|l| l == "*");
    let every_group = star(&rule.api_groups);
    let groups: Vec<&(&str, &[&str])> = match every_group {
        true => TYPES.iter().collect(),
        false => {
            let known = |g: &String| TYPES.iter().find(|(name, _)| name == g);
            rule.api_groups.iter().map(known).collect::<Option<_>>()?
        }
    };
    let mut resources: Vec<String> = Vec::new();
    for wanted in &rule.resources {
        let of_all = || groups.iter().flat_map(|(_, types)| types.iter());
        let found: Vec<String> = match wanted.strip_prefix("*/") {
            _ if wanted == "*" => of_all().map(|t| (*t).to_owned()).collect(),
            Some(sub) => {
                let has = |t: &&&str| t.rsplit_once('/').is_some_and(|(_, s)| s == sub);
                of_all().filter(has).map(|t| (*t).to_owned()).collect()
            }
            // With every group, a type of others could be meant.
            None if every_group && !of_all().any(|t| t == wanted) => return None,
            None => vec![wanted.clone()],
        };
        resources.extend(found);
    }
    resources.sort_unstable();
    resources.dedup();
    let has_one = |types: &[&str]| types.iter().any(|t| resources.iter().any(|r| r == t));
    let groups = groups
        .iter()
        .filter(|(_, types)| !every_group || has_one(types));
    let verbs = match star(&rule.verbs) {
        // The verbs that give power over others (`bind`, `escalate`, `impersonate`, `approve`, `sign`) are never meant
        // by a `*`: whoever needs one asks for it by name.
        true => ANY.iter().map(|verb| (*verb).to_owned()).collect(),
        false => rule.verbs.clone(),
    };
    (!resources.is_empty()).then(|| Rule {
        verbs,
        api_groups: groups.map(|(g, _)| (*g).to_owned()).collect(),
        resources: resources.clone(),
        ..rule.clone()
    })
}

#[cfg(test)]
mod tests {
    use kubestile_rbac::covers::covers;

    use super::*;

    #[test]
    fn what_is_written_out_is_less_and_has_no_star() {
        for (verbs, groups, resources) in [
            (["*"], ["apps"], ["deployments"]),
            (["get"], [""], ["*"]),
            (["get"], ["*"], ["pods"]),
            (["update"], ["*"], ["*/scale"]),
            (["*"], ["*"], ["*"]),
        ] {
            let old = Rule::resources(&verbs, &groups, &resources);
            let new = spelled(&old).unwrap();
            assert_eq!(super::super::shape::wild(&new), None, "{new:?}");
            assert!(
                covers(std::slice::from_ref(&old), std::slice::from_ref(&new)),
                "{old:?} {new:?}"
            );
            let all = [&new.verbs, &new.resources].into_iter().flatten();
            for word in all {
                let power = [
                    "impersonate",
                    "bind",
                    "nodes/proxy",
                    "serviceaccounts/token",
                ];
                assert!(!power.contains(&word.as_str()), "{word}");
            }
        }
        let pods = spelled(&Rule::resources(&["get"], &["*"], &["pods"])).unwrap();
        assert_eq!(
            (pods.api_groups, pods.resources),
            (vec![String::new()], vec!["pods".to_owned()])
        );
        let scale = spelled(&Rule::resources(&["get"], &["apps"], &["*/scale"])).unwrap();
        assert_eq!(scale.resources.len(), 3);
    }

    #[test]
    fn types_of_others_are_for_a_person() {
        assert_eq!(
            spelled(&Rule::resources(&["get"], &["shop.example.com"], &["*"])),
            None
        );
        assert_eq!(
            spelled(&Rule::resources(&["get"], &["*"], &["carts"])),
            None
        );
        let object = ObjectRef::new("clusterrole", "", "r");
        let plain = Rule::resources(&["get"], &[""], &["pods"]);
        assert_eq!(change(&object, std::slice::from_ref(&plain)), None);
        let wild = Rule::resources(&["*"], &[""], &["pods"]);
        let Some(Change::Patch { patch, .. }) = change(&object, &[plain, wild]) else {
            panic!()
        };
        assert_eq!(
            patch[0],
            json!({ "op": "test", "path": "/rules/1/verbs", "value": ["*"] })
        );
    }
}
