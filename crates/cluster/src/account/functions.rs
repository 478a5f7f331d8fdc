//! The rules of the starter job functions. Written out, never `*`: what Kubernetes adds tomorrow is
//! given to nobody until somebody has looked at it.

use serde_json::{Value, json};

type Resources = (&'static str, &'static [&'static str]);

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];

/// What can be read in a namespace: everything but Secrets.
const NAMESPACED: &[Resources] = &[
    (
        "",
        &[
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "pods/log",
            "pods/status",
            "podtemplates",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "serviceaccounts",
            "services",
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
        "autoscaling",
        &[
            "horizontalpodautoscalers",
            "horizontalpodautoscalers/status",
        ],
    ),
    (
        "batch",
        &["cronjobs", "cronjobs/status", "jobs", "jobs/status"],
    ),
    ("coordination.k8s.io", &["leases"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("events.k8s.io", &["events"]),
    ("metrics.k8s.io", &["pods"]),
    (
        "networking.k8s.io",
        &["ingresses", "ingresses/status", "networkpolicies"],
    ),
    (
        "policy",
        &["poddisruptionbudgets", "poddisruptionbudgets/status"],
    ),
    ("rbac.authorization.k8s.io", &["rolebindings", "roles"]),
    (
        "resource.k8s.io",
        &[
            "resourceclaims",
            "resourceclaims/status",
            "resourceclaimtemplates",
        ],
    ),
    ("storage.k8s.io", &["csistoragecapacities"]),
];

/// What can be read beside the namespaces.
const CLUSTER: &[Resources] = &[
    (
        "",
        &[
            "componentstatuses",
            "namespaces",
            "namespaces/status",
            "nodes",
            "nodes/status",
            "persistentvolumes",
            "persistentvolumes/status",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ],
    ),
    ("apiextensions.k8s.io", &["customresourcedefinitions"]),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("certificates.k8s.io", &["certificatesigningrequests"]),
    (
        "flowcontrol.apiserver.k8s.io",
        &["flowschemas", "prioritylevelconfigurations"],
    ),
    ("metrics.k8s.io", &["nodes"]),
    (
        "networking.k8s.io",
        &["ingressclasses", "ipaddresses", "servicecidrs"],
    ),
    ("node.k8s.io", &["runtimeclasses"]),
    (
        "rbac.authorization.k8s.io",
        &["clusterrolebindings", "clusterroles"],
    ),
    ("resource.k8s.io", &["deviceclasses", "resourceslices"]),
    ("scheduling.k8s.io", &["priorityclasses"]),
    (
        "storage.k8s.io",
        &[
            "csidrivers",
            "csinodes",
            "storageclasses",
            "volumeattachments",
            "volumeattributesclasses",
        ],
    ),
];

/// What an operator changes: workloads and what they need, without secrets and without rights.
const OPERATED: &[Resources] = &[
    (
        "",
        &[
            "configmaps",
            "persistentvolumeclaims",
            "pods",
            "podtemplates",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "services",
        ],
    ),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("networking.k8s.io", &["ingresses"]),
    ("policy", &["poddisruptionbudgets"]),
];

/// What an administrator of a namespace changes beside that. The API server's guard against
/// escalation sees to it that no role gives more than its author has.
const ADMINISTERED: &[Resources] = &[
    ("", &["serviceaccounts"]),
    ("networking.k8s.io", &["networkpolicies"]),
    ("rbac.authorization.k8s.io", &["rolebindings", "roles"]),
];

/// Cluster-wide reading.
pub(crate) fn viewer() -> Vec<Value> {
    rules(CLUSTER, READ)
        .chain(rules(NAMESPACED, READ))
        .collect()
}

/// Running workloads in one namespace.
pub(crate) fn operator() -> Vec<Value> {
    rules(NAMESPACED, READ)
        .chain(rules(OPERATED, WRITE))
        .chain([
            // Kubernetes asks for get (WebSocket), create (SPDY), and since 1.35 create for both.
            rule(
                "",
                &["pods/attach", "pods/exec", "pods/portforward"],
                &["create", "get"],
            ),
            rule(
                "",
                &["pods/ephemeralcontainers", "pods/resize"],
                &["get", "patch", "update"],
            ),
            rule("", &["pods/eviction"], &["create"]),
            // A GET through the proxy can be an upgrade; what goes through it is policy's to judge.
            rule("", &["pods/proxy", "services/proxy"], &["get"]),
        ])
        .collect()
}

/// Everything in one namespace but minting tokens for its service accounts.
pub(crate) fn admin() -> Vec<Value> {
    let mut rules_of_admin = operator();
    rules_of_admin.extend(rules(ADMINISTERED, WRITE));
    rules_of_admin.push(rule("", &["secrets"], &[READ, WRITE].concat()));
    rules_of_admin
}

fn rules(
    table: &'static [Resources],
    verbs: &'static [&'static str],
) -> impl Iterator<Item = Value> {
    table
        .iter()
        .map(move |(group, resources)| rule(group, resources, verbs))
}

/// One PolicyRule.
pub(crate) fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}
