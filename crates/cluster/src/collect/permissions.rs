//! The least that a snapshot needs, as a role.

use serde_json::{Value, json};

/// What is listed, by API group.
const LISTED: &[(&str, &[&str])] = &[
    ("", &["namespaces", "nodes", "serviceaccounts"]),
    (
        "rbac.authorization.k8s.io",
        &[
            "clusterroles",
            "clusterrolebindings",
            "roles",
            "rolebindings",
        ],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
        ],
    ),
    ("certificates.k8s.io", &["certificatesigningrequests"]),
    ("kyverno.io", &["clusterpolicies", "policies"]),
    ("policies.kyverno.io", &super::admission::CEL),
    ("constraints.gatekeeper.sh", &["*"]),
];

const NAME: &str = "kubestile:assessor";

const HEAD: &str = "\
# The least that `kubestile assess` needs to decide every control that the cluster's objects decide,
# written by `kubestile assess --show-permissions`. It reads; it changes nothing.
#
# Not in it: `list secrets`. The assessor asks for the metadata of token Secrets only, but Kubernetes has
# no right to a Secret's metadata alone, and whoever may list Secrets may read them. Without it S0-12 and
# S1-10 stay unknown; an administrator who has it anyway decides them by running the assessment once.
";

/// The role as YAML, to be bound to whoever assesses.
///
/// # Errors
/// [`std::fmt::Error`] if the text cannot be written, which a text in memory always can.
pub fn render() -> Result<String, std::fmt::Error> {
    let mut text = HEAD.to_owned();
    for object in objects() {
        let document = serde_saphyr::to_string(&crate::account::sorted(&object))
            .map_err(|_| std::fmt::Error)?;
        text.push_str("---\n");
        text.push_str(document.trim_start_matches("---\n"));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

fn objects() -> Vec<Value> {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
    let mut rules: Vec<Value> = LISTED.iter().map(|(g, r)| rule(g, r, &["list"])).collect();
    // Whether a user without any binding may do something drastic: asked, not done.
    rules.push(rule(
        "authorization.k8s.io",
        &["subjectaccessreviews"],
        &["create"],
    ));
    rules.push(json!({ "nonResourceURLs": ["/metrics"], "verbs": ["get"] }));
    let meta = |name: &str| json!({ "name": name });
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": meta(NAME),
            "rules": rules,
        }),
        // The API server's flags stand in its mirror pod, AWS's identities in a ConfigMap.
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": { "name": NAME, "namespace": "kube-system" },
            "rules": [
                rule("", &["pods"], &["list"]),
                json!({ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["aws-auth"], "verbs": ["get"] }),
            ],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1 cargo test -p kubestile-cluster` writes it anew.
    #[test]
    fn the_shipped_role_is_the_one_that_is_printed() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../deploy/rbac/assessor.yaml");
        let text = render().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text);
        assert!(!text.contains("- secrets") && !text.contains("watch"));
    }
}
