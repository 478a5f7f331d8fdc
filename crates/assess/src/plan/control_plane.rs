//! What a plan changes of the API server's own configuration: flags, and files of its own beside those
//! that are there. No file that somebody else wrote is changed: the flag that names it is.

use serde_json::{Value, json};

use super::Issuer;
use crate::snapshot::Snapshot;
use crate::verdict::Change;

/// Where kubeadm keeps the control plane's files.
const USUAL: &str = "/etc/kubernetes";
/// Paths that may be asked without a credential: whether the API server lives.
const HEALTH: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// Changes of flags and files that would close a control; none if none would.
pub(super) fn of(
    control: &str,
    snapshot: &Snapshot,
    issuer: Option<&Issuer>,
) -> Option<(&'static str, Vec<Change>)> {
    match control {
        "S0-13" => Some((
            "write what is asked of the API server to a log",
            audit_log(snapshot),
        )),
        "S3-12" => Some((
            "write down who asked for what, and the body of every change that matters",
            vec![audit_policy(snapshot)],
        )),
        "S1-01" | "S1-02" | "S1-03" | "S1-04" | "S1-05" => {
            let change = authentication(snapshot, Some(issuer?))?;
            Some((
                "let people log in through the issuer, with a second factor, for an hour, in no name of the cluster's own",
                vec![change],
            ))
        }
        "S1-12" => {
            let change = authentication(snapshot, issuer)?;
            Some((
                "answer nothing but health checks to requests without a credential",
                vec![change],
            ))
        }
        _ => None,
    }
}

fn own(snapshot: &Snapshot, file: &str) -> String {
    let dir = snapshot.control_plane.directory.as_deref();
    format!("{}/kubestile/{file}", dir.unwrap_or(USUAL))
}

fn audit_policy(snapshot: &Snapshot) -> Change {
    Change::File {
        flag: "audit-policy-file".to_owned(),
        path: own(snapshot, "audit-policy.yaml"),
        content: policy(),
    }
}

fn audit_log(snapshot: &Snapshot) -> Vec<Change> {
    let server = snapshot.control_plane.api_server.known();
    let has = |name: &str| server.is_some_and(|s| s.value(name).is_some());
    let mut changes = Vec::new();
    if !has("audit-log-path") && !has("audit-webhook-config-file") {
        for (name, value) in [
            ("audit-log-path", own(snapshot, "audit.log")),
            ("audit-log-maxage", "30".to_owned()),
            ("audit-log-maxbackup", "10".to_owned()),
            ("audit-log-maxsize", "100".to_owned()),
        ] {
            changes.push(Change::Flag {
                name: name.to_owned(),
                value: Some(value),
            });
        }
    }
    if !has("audit-policy-file") {
        changes.push(audit_policy(snapshot));
    }
    changes
}

/// The first rule that matches decides. Nothing is left out but what the control plane asks itself all
/// the time; of Secrets, tokens and reviews no body is ever written.
fn policy() -> Value {
    let group = |group: &str, resources: &[&str]| match resources {
        [] => json!({ "group": group }),
        resources => json!({ "group": group, "resources": resources }),
    };
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "None",
                "users": ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"],
                "verbs": ["get", "list", "watch"],
            },
            { "level": "None", "users": ["system:kube-controller-manager", "system:kube-scheduler"],
              "resources": [group("coordination.k8s.io", &["leases"])] },
            { "level": "None", "userGroups": ["system:nodes"],
              "resources": [group("coordination.k8s.io", &["leases"]), group("", &["nodes/status", "pods/status"])] },
            { "level": "None", "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*"] },
            // What they carry is a secret.
            { "level": "Metadata", "resources": [
                group("", &["secrets", "configmaps", "serviceaccounts/token"]),
                group("authentication.k8s.io", &[]),
            ] },
            { "level": "Request",
              "verbs": ["create", "update", "patch", "delete", "deletecollection"],
              "resources": [
                group("", &["pods", "pods/ephemeralcontainers", "pods/eviction", "namespaces", "nodes",
                    "persistentvolumes", "serviceaccounts", "services", "endpoints", "replicationcontrollers"]),
                group("apps", &[]),
                group("batch", &[]),
                group("rbac.authorization.k8s.io", &[]),
                group("certificates.k8s.io", &[]),
                group("admissionregistration.k8s.io", &[]),
                group("apiregistration.k8s.io", &[]),
                group("apiextensions.k8s.io", &[]),
                group("networking.k8s.io", &[]),
                group("policy", &[]),
            ] },
            { "level": "Metadata" },
        ],
    })
}

/// What is there, with anonymous requests for health checks alone, and with the issuer. None where the
/// flags say the same in a way that cannot stand beside the file, or the file is not known.
fn authentication(snapshot: &Snapshot, issuer: Option<&Issuer>) -> Option<Change> {
    const FLAG: &str = "authentication-config";
    let server = snapshot.control_plane.api_server.known()?;
    let excluded = |name: &str| name.starts_with("oidc-") || name == "anonymous-auth";
    if server.flags.iter().any(|f| excluded(&f.name)) {
        return None;
    }
    let mut content = match server.value(FLAG) {
        Some(_) => snapshot
            .control_plane
            .authentication
            .known()?
            .content
            .clone(),
        None => json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
        }),
    };
    let map = content.as_object_mut()?;
    let conditions: Vec<Value> = HEALTH.iter().map(|p| json!({ "path": p })).collect();
    map.insert(
        "anonymous".to_owned(),
        json!({ "enabled": true, "conditions": conditions }),
    );
    if let Some(issuer) = issuer {
        let list = map
            .entry("jwt")
            .or_insert_with(|| json!([]))
            .as_array_mut()?;
        let same = |j: &Value| {
            j.pointer("/issuer/url").and_then(Value::as_str) == Some(issuer.url.as_str())
        };
        list.retain(|j| !same(j));
        list.push(jwt(issuer));
    }
    let path = own(snapshot, "authentication.yaml");
    // What is so already mends nothing more: then something else decides the control, such as a gate.
    let now = snapshot.control_plane.authentication.known();
    if server.value(FLAG) == Some(path.as_str()) && now.is_some_and(|f| f.content == content) {
        return None;
    }
    Some(Change::File {
        flag: FLAG.to_owned(),
        path,
        content,
    })
}

fn jwt(issuer: &Issuer) -> Value {
    let refuse =
        |expression: &str, message: &str| json!({ "expression": expression, "message": message });
    json!({
        "issuer": { "url": issuer.url, "audiences": [issuer.audience] },
        "claimValidationRules": [
            refuse("claims.exp - claims.nbf <= 3600", "a token lives an hour at most"),
            refuse("has(claims.amr) && 'mfa' in claims.amr", "log in with a second factor"),
        ],
        "claimMappings": {
            "username": { "claim": "email", "prefix": "oidc:" },
            "groups": { "claim": "groups", "prefix": "oidc:" },
            "uid": { "claim": "sub" },
        },
        "userValidationRules": [
            refuse("!user.username.startsWith('system:')", "names of the cluster's own are not given"),
            refuse("user.groups.all(g, !g.startsWith('system:'))", "groups of the cluster's own are not given"),
        ],
    })
}
