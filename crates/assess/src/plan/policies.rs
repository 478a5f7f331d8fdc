//! ValidatingAdmissionPolicies that a plan brings: each with the one binding that turns it on. Whoever
//! is the way in when all else fails is exempt from all of them, and so are the cluster's own
//! controllers.

use serde_json::{Value, json};

use super::BreakGlass;
use crate::facts::Facts;
use crate::snapshot::Snapshot;
use crate::verdict::Change;

/// The extra key by which the API server knows that a request came through the gate.
const SESSION: &str = "kubestile.dev/session";
/// The annotation that keeps an object from being deleted by a slip.
pub const PROTECTED: &str = "kubestile.dev/protected";
/// The label of a pod that is made as a dry run, to see whether a policy would refuse it.
pub const TRIAL: &str = "kubestile.dev/trial";
/// The first minor version that has these policies for good.
const SINCE: u32 = 30;
/// Namespaces of the cluster itself.
const SYSTEM: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "kubestile-system",
];

/// What a policy is made of.
struct Draft {
    name: &'static str,
    rules: Vec<Value>,
    /// Whether it looks away from the namespaces of the cluster itself.
    people_only: bool,
    /// Name and expression: all must hold for the policy to look at a request.
    conditions: Vec<(&'static str, String)>,
    /// Expression and what is said when it does not hold.
    validations: Vec<(String, String)>,
}

/// The policies that would close a control, as changes; none if none would.
pub(super) fn of(
    control: &str,
    snapshot: &Snapshot,
    keep: Option<&BreakGlass>,
    registries: &[String],
) -> Option<(&'static str, Vec<Change>)> {
    if snapshot.minor().is_none_or(|minor| minor < SINCE) {
        return None;
    }
    let (text, drafts) = match control {
        "S3-01" => (
            "refuse pods that can take over their node: privileged, the host's namespaces, its files",
            vec![workloads(registries)],
        ),
        "S3-05" => (
            "refuse exec, attach, port-forward and proxy into the namespaces of the cluster itself",
            vec![enter()],
        ),
        "S3-06" => (
            "refuse to delete what is annotated with kubestile.dev/protected=true",
            vec![deletes()],
        ),
        "S3-07" => (
            "refuse bindings to everybody and to the gate's groups, and roles that are everything",
            vec![bindings(), roles()],
        ),
        // Without a gate it would shut everybody out.
        "S3-09" if Facts::new(snapshot).gate().is_ok() => (
            "refuse writes, exec and the like of people who do not come through the gate",
            vec![gate_only()],
        ),
        _ => return None,
    };
    let changes = drafts
        .iter()
        .flat_map(|draft| draft.changes(keep))
        .collect();
    Some((text, changes))
}

fn workloads(registries: &[String]) -> Draft {
    const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
    let every = |what: &str| {
        LISTS
            .map(|list| format!("object.spec.?{list}.orValue([]).all(c, {what})"))
            .join(" && ")
    };
    let mut validations = vec![
        (
            every("!c.?securityContext.?privileged.orValue(false)"),
            "a privileged container is root on its node".to_owned(),
        ),
        (
            ["hostNetwork", "hostPID", "hostIPC"]
                .map(|f| format!("!object.spec.?{f}.orValue(false)"))
                .join(" && "),
            "the host's network, processes and memory are not for pods".to_owned(),
        ),
        (
            "!object.spec.?volumes.orValue([]).exists(v, has(v.hostPath))".to_owned(),
            "a volume of a host path is the node's files".to_owned(),
        ),
    ];
    if !registries.is_empty() {
        let from = registries
            .iter()
            .map(|r| {
                let prefix = format!("{}/", r.trim_end_matches('/'));
                format!("c.image.startsWith({})", literal(&prefix))
            })
            .collect::<Vec<_>>()
            .join(" || ");
        validations.push((
            every(&format!("({from})")),
            format!("images come from {} only", registries.join(", ")),
        ));
    }
    Draft {
        name: "kubestile-workloads",
        rules: vec![
            rule("", &["CREATE"], &["pods"]),
            rule("", &["UPDATE"], &["pods/ephemeralcontainers"]),
        ],
        people_only: true,
        conditions: Vec::new(),
        validations,
    }
}

fn enter() -> Draft {
    let system = SYSTEM.map(literal).join(", ");
    Draft {
        name: "kubestile-enter",
        rules: vec![rule(
            "",
            &["CONNECT"],
            &["pods/exec", "pods/attach", "pods/portforward", "pods/proxy"],
        )],
        people_only: false,
        conditions: Vec::new(),
        validations: vec![(
            format!("!(request.namespace in [{system}])"),
            "a shell in a namespace of the cluster itself is the cluster".to_owned(),
        )],
    }
}

fn deletes() -> Draft {
    Draft {
        name: "kubestile-deletes",
        rules: vec![
            rule(
                "",
                &["DELETE"],
                &["namespaces", "persistentvolumes", "secrets"],
            ),
            rule(
                "apiextensions.k8s.io",
                &["DELETE"],
                &["customresourcedefinitions"],
            ),
            rule("apps", &["DELETE"], &["statefulsets"]),
        ],
        people_only: false,
        conditions: Vec::new(),
        validations: vec![(
            format!(
                "oldObject.metadata.?annotations[?{}].orValue('') != 'true'",
                literal(PROTECTED)
            ),
            format!("it is protected: remove the annotation {PROTECTED} first"),
        )],
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";
const WRITES: &[&str] = &["CREATE", "UPDATE"];

fn bindings() -> Draft {
    let subjects = "object.?subjects.orValue([])";
    Draft {
        name: "kubestile-bindings",
        rules: vec![rule(RBAC, WRITES, &["clusterrolebindings", "rolebindings"])],
        people_only: false,
        conditions: vec![("not-a-controller", not_a_controller())],
        validations: vec![
            (
                format!(
                    "!{subjects}.exists(s, s.name in ['system:masters', 'system:anonymous', 'system:unauthenticated', 'system:authenticated', 'system:serviceaccounts'])"
                ),
                "rights for everybody, or for a group that needs none".to_owned(),
            ),
            (
                format!(
                    "!{subjects}.exists(s, s.kind == 'Group' && s.name.startsWith('kubestile:'))"
                ),
                "groups of the gate are bound by `kubestile cluster add` only".to_owned(),
            ),
        ],
    }
}

fn roles() -> Draft {
    let rules = "object.?rules.orValue([])";
    let has = |field: &str, word: &str| format!("'{word}' in r.?{field}.orValue([])");
    Draft {
        name: "kubestile-roles",
        rules: vec![rule(RBAC, WRITES, &["clusterroles", "roles"])],
        people_only: false,
        conditions: vec![("not-a-controller", not_a_controller())],
        validations: vec![
            (
                format!(
                    "!{rules}.exists(r, {} && {} && {})",
                    has("verbs", "*"),
                    has("resources", "*"),
                    has("apiGroups", "*")
                ),
                "a role that is everything is a second cluster-admin".to_owned(),
            ),
            (
                format!(
                    "!{rules}.exists(r, {} && (!has(r.resourceNames) || r.resourceNames.size() == 0))",
                    has("verbs", "impersonate")
                ),
                "whoever may impersonate anybody is anybody: list whom by resourceNames".to_owned(),
            ),
        ],
    }
}

fn gate_only() -> Draft {
    Draft {
        name: "kubestile-gate-only",
        rules: vec![rule(
            "*",
            &["CREATE", "UPDATE", "DELETE", "CONNECT"],
            &["*/*"],
        )],
        people_only: false,
        // Components, nodes and service accounts do not come through the gate; asking what one may do is
        // no write.
        conditions: vec![
            (
                "a-person",
                "!request.userInfo.username.startsWith('system:')".to_owned(),
            ),
            (
                "no-review",
                "!(request.resource.group in ['authorization.k8s.io', 'authentication.k8s.io'])"
                    .to_owned(),
            ),
        ],
        validations: vec![(
            format!(
                "has(request.userInfo.extra) && {} in request.userInfo.extra",
                literal(SESSION)
            ),
            "it did not come through the gate: log in with `kubestile login`".to_owned(),
        )],
    }
}

fn not_a_controller() -> String {
    "!(request.userInfo.username in ['system:apiserver', 'system:kube-controller-manager'] || request.userInfo.username.startsWith('system:serviceaccount:kube-system:'))".to_owned()
}

fn rule(group: &str, operations: &[&str], resources: &[&str]) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": ["*"],
        "operations": operations,
        "resources": resources,
    })
}

/// A string of CEL: JSON's escapes are among CEL's.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// What the groups of a sealed way in begin with (`kubestile break-glass seal`). Only who controls the cluster gives
/// somebody such a group.
const SEALED: &str = "kubestile-break-glass:";

/// Nobody who holds a way in is judged: a policy that errs must not shut it.
fn not_break_glass(keep: Option<&BreakGlass>) -> String {
    let masters = |k: &BreakGlass| k.groups.iter().any(|g| g == "system:masters");
    let user = keep
        .filter(|k| !masters(k))
        .map(|k| format!(" || request.userInfo.username == {}", literal(&k.user)));
    format!(
        "!(request.userInfo.?groups.orValue([]).exists(g, g == 'system:masters' || g.startsWith({})){})",
        literal(SEALED),
        user.unwrap_or_default()
    )
}

impl Draft {
    fn changes(&self, keep: Option<&BreakGlass>) -> [Change; 2] {
        let mut constraints = json!({ "resourceRules": self.rules });
        if self.people_only
            && let Some(map) = constraints.as_object_mut()
        {
            // The one label of a namespace that nobody can change.
            let out = json!({
                "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": SYSTEM,
            });
            map.insert(
                "namespaceSelector".to_owned(),
                json!({ "matchExpressions": [out] }),
            );
        }
        let condition =
            |name: &str, expression: &str| json!({ "name": name, "expression": expression });
        let mut exempt = not_break_glass(keep);
        if self.people_only {
            // Who is exempt is who asks what the policy would refuse: such a pod is made by nobody.
            exempt.push_str(&format!(
                " || (request.?dryRun.orValue(false) && object.metadata.?labels[?{}].orValue('') == 'true')",
                literal(TRIAL)
            ));
        }
        let mut conditions = vec![condition("not-break-glass", &exempt)];
        conditions.extend(self.conditions.iter().map(|(n, e)| condition(n, e)));
        let validations: Vec<Value> = self
            .validations
            .iter()
            .map(|(expression, message)| json!({ "expression": expression, "message": message }))
            .collect();
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": self.name, "labels": labels() },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": constraints,
                "matchConditions": conditions,
                "validations": validations,
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": self.name, "labels": labels() },
            "spec": {
                "policyName": self.name,
                "validationActions": super::Rollout::Deny.actions(),
            },
        });
        [policy, binding].map(|manifest| Change::Apply { manifest })
    }
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/managed-by": "kubestile-advance" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_an_expression() {
        let keep = BreakGlass {
            user: "x\" || true || \"".to_owned(),
            groups: Vec::new(),
        };
        let text = not_break_glass(Some(&keep));
        assert!(text.contains(r#"== "x\" || true || \"""#), "{text}");
        let masters = BreakGlass {
            groups: vec!["system:masters".to_owned()],
            ..keep
        };
        assert!(!not_break_glass(Some(&masters)).contains("username"));
        assert!(not_break_glass(None).contains("system:masters"));
    }
}
