//! Stage 2, Granular Authorization.

use crate::catalog::Control;
use crate::facts::Facts;
use crate::verdict::Severity::{Critical, High, Medium};
use crate::verdict::{Class, Evidence, Fix, Judged, Verdict, undecided};

use super::{access, authentication, traffic};

pub(super) const CONTROLS: &[Control] = &[
    Control {
        id: "S2-01",
        gate: true,
        severity: Critical,
        title: "Authorization is RBAC and Node, and known",
        requires: "authorizers are RBAC, Node and webhooks that are known; no ABAC",
        why: "rights that nobody sees",
        remedy: "an AuthorizationConfiguration",
        maps: &["CIS 1.2.7", "CIS 1.2.8", "OWASP K02"],
        check: authorizers,
    },
    Control {
        id: "S2-02",
        gate: true,
        severity: High,
        title: "Roles name what they give",
        requires: "no `*` in verbs, resources or groups of roles in use",
        why: "what is added tomorrow is given today",
        remedy: "write them out",
        maps: &["CIS 5.1.3"],
        check: access::wildcards,
    },
    Control {
        id: "S2-03",
        gate: true,
        severity: Critical,
        title: "People's rights are given in namespaces",
        requires: "95 % of what people may change is given by RoleBindings",
        why: "one lost credential is every namespace",
        remedy: "RoleBindings where the work is",
        maps: &["OWASP K02", "CISA Access"],
        check: access::namespaced,
    },
    Control {
        id: "S2-04",
        gate: true,
        severity: Critical,
        title: "Secrets are read by few",
        requires: "no person reads the Secrets of the whole cluster",
        why: "a Secret of kube-system is the cluster",
        remedy: "by name, or from an external store",
        maps: &["CIS 5.1.2", "MS TA9025", "ATT&CK T1552.007"],
        check: access::secrets,
    },
    Control {
        id: "S2-05",
        gate: true,
        severity: Critical,
        title: "Nobody can raise their own rights",
        requires: "nobody has bind or escalate together with writes of roles or bindings",
        why: "they can have everything",
        remedy: "take the verbs away",
        maps: &["CIS 5.1.8"],
        check: access::bind_escalate,
    },
    Control {
        id: "S2-06",
        gate: true,
        severity: Critical,
        title: "Nobody can act as anybody else",
        requires: "impersonation is by name, or constrained, or the gate's",
        why: "they are whoever they like",
        remedy: "resourceNames, or constrained impersonation",
        maps: &["CIS 5.1.8", "ATT&CK T1134", "KEP-5284"],
        check: access::impersonation,
    },
    Control {
        id: "S2-07",
        gate: true,
        severity: Critical,
        title: "Starting workloads gives nothing more",
        requires: "no service account of a namespace may do more than those who start pods there",
        why: "a pod is a way to every account of its namespace",
        remedy: "separate namespaces",
        maps: &["CIS 5.1.4", "ATT&CK T1610"],
        check: access::takeover,
    },
    Control {
        id: "S2-08",
        gate: false,
        severity: High,
        title: "Entering pods is not a standing right",
        requires: "no person has exec, attach, port-forward or ephemeral containers at all times",
        why: "a shell holds what the pod holds",
        remedy: "for a time, when asked for",
        maps: &["MS TA9006", "ATT&CK T1609"],
        check: access::shells,
    },
    Control {
        id: "S2-09",
        gate: true,
        severity: Critical,
        title: "Nobody has nodes/proxy",
        requires: "no verb of nodes/proxy is given, not even get",
        why: "a shell in every pod, past audit and admission",
        remedy: "the fine-grained subresources of 1.36",
        maps: &["CIS 5.1.10", "MS TA9030", "ATT&CK T1611"],
        check: access::nodes_proxy,
    },
    Control {
        id: "S2-10",
        gate: false,
        severity: High,
        title: "Tokens of service accounts are made by name",
        requires: "serviceaccounts/token only with resourceNames",
        why: "they are any account of the namespace",
        remedy: "resourceNames",
        maps: &["CIS 5.1.13", "ATT&CK T1528"],
        check: access::mint_tokens,
    },
    Control {
        id: "S2-11",
        gate: false,
        severity: High,
        title: "Certificates are given out by controllers",
        requires: "nobody may approve or sign",
        why: "they are whoever they write into the request",
        remedy: "controllers only",
        maps: &["CIS 5.1.11"],
        check: access::sign_certificates,
    },
    Control {
        id: "S2-12",
        gate: false,
        severity: Critical,
        title: "Admission is changed by few",
        requires: "no person below the administrators may write webhooks or admission policies",
        why: "they can turn every check off, or read and change every write",
        remedy: "the platform's own group, or GitOps",
        maps: &["CIS 5.1.12", "MS TA9015"],
        check: access::admission_writers,
    },
    Control {
        id: "S2-13",
        gate: false,
        severity: High,
        title: "Nobody can stand in between",
        requires: "no person writes APIServices, CRDs, endpoints or services/status",
        why: "they see and change what others send",
        remedy: "controllers only",
        maps: &["MS TA9035", "ATT&CK T1557"],
        check: access::interception,
    },
    Control {
        id: "S2-14",
        gate: false,
        severity: Medium,
        title: "Volumes are made by drivers",
        requires: "no person makes PersistentVolumes or StorageClasses",
        why: "a volume of a host path is the node",
        remedy: "CSI drivers only",
        maps: &["CIS 5.1.9"],
        check: access::volumes,
    },
    Control {
        id: "S2-15",
        gate: false,
        severity: High,
        title: "Namespaces are not relabelled",
        requires: "no person may update or patch namespaces",
        why: "labels lift pod security and select policies",
        remedy: "refuse label changes by admission",
        maps: &["RBAC good practices"],
        check: access::relabel_namespaces,
    },
    Control {
        id: "S2-16",
        gate: false,
        severity: Medium,
        title: "Built-in roles are not widened",
        requires: "no role of others aggregates Secrets, roles or everything into view, edit or admin",
        why: "all their holders get it, unseen",
        remedy: "own roles, bound where needed",
        maps: &["OWASP K02"],
        check: access::aggregation,
    },
    Control {
        id: "S2-17",
        gate: true,
        severity: High,
        title: "People have job functions, not edit or admin",
        requires: "no person or group is bound to the built-in edit or admin",
        why: "edit includes every service account and Secret of the namespace",
        remedy: "roles of your own",
        maps: &["OWASP K02"],
        check: access::built_in_roles,
    },
    Control {
        id: "S2-18",
        gate: false,
        severity: Medium,
        title: "Bindings point at what exists",
        requires: "role and accounts of every binding exist",
        why: "whoever makes them again inherits the rights",
        remedy: "delete the binding",
        maps: &["RBAC good practices"],
        check: access::dangling,
    },
    Control {
        id: "S2-19",
        gate: false,
        severity: Medium,
        title: "People are bound by group",
        requires: "90 % of people's bindings are to groups",
        why: "who changes jobs keeps the old rights",
        remedy: "bind groups of the identity provider",
        maps: &["CISA Stores"],
        check: access::groups,
    },
    Control {
        id: "S2-20",
        gate: true,
        severity: Critical,
        title: "No path leads to everything",
        requires: "nobody below the administrators can become one in some steps",
        why: "rights that look small add up",
        remedy: "cut the path where it costs least",
        maps: &["ATT&CK T1098"],
        check: access::paths,
    },
    Control {
        id: "S2-21",
        gate: true,
        severity: High,
        title: "Rights are used",
        requires: "at most 30 % of what people hold was unused over 30 days",
        why: "what nobody needs is only good for thieves",
        remedy: "write roles from what is used",
        maps: &["CISA Visibility"],
        check: traffic::unused,
    },
    Control {
        id: "S2-22",
        gate: false,
        severity: High,
        title: "Roles fit jobs",
        requires: "90 % of people are covered by few roles at 90 % precision",
        why: "roles that fit nobody grow",
        remedy: "mine roles from what is used",
        maps: &["model text"],
        check: traffic::job_functions,
    },
    Control {
        id: "S2-23",
        gate: false,
        severity: Medium,
        title: "Pods get no token unless they ask",
        requires: "automountServiceAccountToken: false on default accounts",
        why: "every broken pod has an identity",
        remedy: "turn it off, and ask where needed",
        maps: &["CIS 5.1.6"],
        check: access::token_mount,
    },
    Control {
        id: "S2-24",
        gate: false,
        severity: High,
        title: "Maps from cloud to cluster are reviewed",
        requires: "aws-auth, access entries, GKE IAM, AKS local accounts name nobody as masters",
        why: "the cloud's administrators are the cluster's",
        remedy: "remove the maps to masters",
        maps: &["OWASP K08", "MS TA9001"],
        check: cloud_maps,
    },
];

/// S2-01
fn authorizers(facts: &Facts<'_>) -> Judged {
    let modes = authentication::authorizers(facts)?;
    let has = |mode: &str| modes.iter().any(|m| m == mode);
    let list = modes.join(", ");
    if has("ABAC") || has("AlwaysAllow") || !has("RBAC") || !has("Node") {
        let seen = Evidence::named(Class::Flag, "kube-apiserver", "--authorization-mode", list);
        return Ok(
            Verdict::fail("requests are judged by something else than RBAC and Node")
                .seen(seen)
                .mend(|| Fix::text("set --authorization-mode=Node,RBAC")),
        );
    }
    Ok(Verdict::pass(format!("requests are judged by {list}")))
}

/// S2-24
fn cloud_maps(facts: &Facts<'_>) -> Judged {
    let distribution = facts.snapshot.cluster.distribution;
    match distribution.is_managed() {
        true => undecided(format!(
            "{distribution} keeps its maps outside the cluster: export them from the cloud"
        )),
        false => Ok(Verdict::not_applicable(
            "no cloud gives identities to this cluster",
        )),
    }
}
