//! The requests that one `kubectl` command makes together, so that a role made of what was seen does not
//! break the next run of the same command.

use super::{Operation, Options};
use crate::evaluate::{Attributes, ResourceTarget, Target};

/// Command → verbs on the object that it was called on.
const BUNDLES: [(&str, &[&str]); 19] = [
    ("annotate", &["get", "patch"]),
    ("apply", &["get", "create", "patch"]),
    ("autoscale", &["get"]),
    ("cordon", &["get", "patch"]),
    // A server-side dry run is judged as the write that it would be.
    ("diff", &["get", "create", "patch"]),
    // It waits until the object is gone.
    ("delete", &["get", "list", "watch", "delete"]),
    ("describe", &["get", "list"]),
    ("edit", &["get", "patch"]),
    ("expose", &["get"]),
    ("get", &["get", "list"]),
    ("label", &["get", "patch"]),
    ("patch", &["get", "patch"]),
    ("replace", &["get", "update"]),
    ("rollout", &["get", "list", "watch", "patch"]),
    ("scale", &["get", "patch"]),
    ("set", &["get", "patch"]),
    ("taint", &["get", "patch"]),
    ("uncordon", &["get", "patch"]),
    ("wait", &["get", "list", "watch"]),
];

/// Command → sub-resource of pods and its verbs; the pod itself is read first. A stream is opened with GET
/// or POST, by version.
const POD_COMMANDS: [(&str, &str, &[&str]); 6] = [
    ("attach", "attach", &["create", "get"]),
    ("cp", "exec", &["create", "get"]),
    ("debug", "ephemeralcontainers", &["patch"]),
    ("exec", "exec", &["create", "get"]),
    ("logs", "log", &["get"]),
    ("port-forward", "portforward", &["create", "get"]),
];

/// Sub-resources of pods that are streams.
const STREAMS: [&str; 3] = ["attach", "exec", "portforward"];

/// What an operation's command needs beside it, the operation's own resource in its own namespace.
pub(super) fn needed_with(operation: &Operation, options: Options) -> Vec<Attributes> {
    let Target::Resource(target) = &operation.attributes.target else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut add = |verb: &str, subresource: &str| {
        found.push(with(verb, subresource, target));
    };
    if options.list_implies_watch && operation.attributes.verb == "list" {
        add("watch", &target.subresource);
    }
    // Over WebSocket a stream is opened with GET, which is all that a log tells; from 1.35 on the API server asks
    // for `create` beside it.
    let on_pods = target.group.is_empty() && target.resource == "pods";
    if on_pods
        && STREAMS.contains(&target.subresource.as_str())
        && operation.attributes.verb == "get"
    {
        add("create", &target.subresource);
    }
    let Some(command) = operation.command.as_deref() else {
        return found;
    };
    // `kubectl rollout status`, as the header says it.
    let command = command.trim_start_matches("kubectl ");
    let command = command.split(' ').next().unwrap_or_default();
    for (_, verbs) in BUNDLES.iter().filter(|(name, _)| *name == command) {
        for verb in *verbs {
            add(verb, &target.subresource);
        }
    }
    let of_pods = POD_COMMANDS.iter().filter(|(name, ..)| *name == command);
    for (_, subresource, verbs) in of_pods.filter(|_| on_pods) {
        add("get", "");
        for verb in *verbs {
            add(verb, subresource);
        }
    }
    found
}

/// What the API server also asks whoever does this, of which no log tells; none if it asks nothing more.
#[must_use]
pub fn also_asked(attributes: &Attributes) -> Option<&'static str> {
    let Target::Resource(target) = &attributes.target else {
        return None;
    };
    let writes = matches!(attributes.verb.as_str(), "create" | "update" | "patch");
    let of = (
        target.group.as_str(),
        target.resource.as_str(),
        target.subresource.as_str(),
    );
    match of {
        _ if !writes => None,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings", "") => {
            Some("all that the bound role gives, or `bind` on it")
        }
        ("rbac.authorization.k8s.io", "roles" | "clusterroles", "") => {
            Some("all that is written into the role, or `escalate` on it")
        }
        ("certificates.k8s.io", "certificatesigningrequests", "approval") => {
            Some("`approve` on the signer")
        }
        ("certificates.k8s.io", "certificatesigningrequests", "status") => {
            Some("`sign` on the signer")
        }
        _ => None,
    }
}

/// The same object, but what is made or listed has no name of its own.
fn with(verb: &str, subresource: &str, target: &ResourceTarget) -> Attributes {
    let nameless = matches!(verb, "list" | "watch") || (verb == "create" && subresource.is_empty());
    let name = if nameless {
        String::new()
    } else {
        target.name.clone()
    };
    Attributes {
        verb: verb.to_owned(),
        target: Target::Resource(ResourceTarget {
            subresource: subresource.to_owned(),
            name,
            ..target.clone()
        }),
    }
}
