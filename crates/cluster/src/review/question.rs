//! The table of what the account must not do and what it must, as questions.

use kubestile_core::impersonate::{EXTRA_GRANT, EXTRA_REQUEST, EXTRA_SESSION};
use serde_json::{Value, json};

use crate::account::probe::NOBODY;
use crate::account::{Mode, NAME, NAMESPACE, qualified};

/// A group that nobody gives.
const NO_GROUP: &str = "kubestile-review-no-such-group";
const AUTHENTICATION: &str = "authentication.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";

/// One question to the API server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Question {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    namespace: &'static str,
    name: &'static str,
}

impl Question {
    /// `spec` of a SelfSubjectAccessReview.
    pub(super) fn attributes(&self) -> Value {
        if self.resource.starts_with('/') {
            return json!({ "nonResourceAttributes": { "verb": self.verb, "path": self.resource } });
        }
        json!({ "resourceAttributes": {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }})
    }

    /// `create pods`, `impersonate groups system:masters`, `create serviceaccounts/token in kube-system`.
    pub(super) fn words(&self) -> String {
        let resource = match self.subresource {
            "" => self.resource.to_owned(),
            subresource => format!("{}/{subresource}", self.resource),
        };
        let mut words = format!("{} {}", self.verb, qualified(&resource, self.group));
        if !self.name.is_empty() {
            words.push(' ');
            words.push_str(self.name);
        }
        if !self.namespace.is_empty() {
            words.push_str(" in ");
            words.push_str(self.namespace);
        }
        words
    }

    const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    const fn within(self, namespace: &'static str) -> Self {
        Self { namespace, ..self }
    }
}

/// A question about a resource (`pods`, `pods/exec`) in all namespaces.
fn ask(verb: &'static str, group: &'static str, resource: &'static str) -> Question {
    let (resource, subresource) = match resource.starts_with('/') {
        true => (resource, ""),
        false => resource.split_once('/').unwrap_or((resource, "")),
    };
    Question {
        verb,
        group,
        resource,
        subresource,
        ..Question::default()
    }
}

/// An administrator.
pub(super) fn everything() -> Question {
    ask("*", "*", "*")
}

/// If one of them is answered with yes, the account impersonates in this mode.
pub(super) fn mode_questions(mode: Mode) -> [Question; 2] {
    [
        ask(verb(mode), AUTHENTICATION, "uids").named(NOBODY),
        ask(verb(mode), home(mode), "groups").named("kubestile:viewer"),
    ]
}

const fn verb(mode: Mode) -> &'static str {
    match mode {
        Mode::Legacy => "impersonate",
        Mode::Constrained => "impersonate:user-info",
    }
}

/// Where users and groups are, for the mode's verb.
const fn home(mode: Mode) -> &'static str {
    match mode {
        Mode::Legacy => "",
        Mode::Constrained => AUTHENTICATION,
    }
}

/// Without these the gate cannot work.
pub(super) fn needed(mode: Mode) -> Vec<Question> {
    let verb = verb(mode);
    let mut needed = vec![
        ask(verb, home(mode), "groups").named("kubestile:viewer"),
        ask(verb, AUTHENTICATION, "uids").named(NOBODY),
        ask("create", "", "serviceaccounts/token")
            .named(NAME)
            .within(NAMESPACE),
    ];
    needed.extend(
        [EXTRA_GRANT, EXTRA_REQUEST, EXTRA_SESSION].map(|key| Question {
            verb,
            group: AUTHENTICATION,
            resource: "userextras",
            subresource: key,
            name: NOBODY,
            ..Question::default()
        }),
    );
    if mode == Mode::Constrained {
        needed.extend([
            ask("impersonate-on:user-info:get", "", "pods"),
            ask("impersonate-on:user-info:list", "", "pods"),
            ask("impersonate-on:user-info:watch", "", "pods"),
            ask("impersonate-on:user-info:create", "", "pods/exec"),
            ask("impersonate-on:user-info:update", "apps", "deployments"),
            ask("impersonate-on:user-info:patch", "apps", "deployments"),
            ask("impersonate-on:user-info:delete", "apps", "deployments"),
            ask("impersonate-on:user-info:get", "", "/apis"),
        ]);
    }
    needed
}

/// What only an administrator, a controller or a node does. None of it is the gate's.
pub(super) fn forbidden(mode: Option<Mode>) -> Vec<Question> {
    let mut forbidden = impersonations(mode);
    forbidden.extend(
        [
            // data and workloads
            ("get", "", "secrets"),
            ("list", "", "secrets"),
            ("watch", "", "secrets"),
            ("create", "", "secrets"),
            ("create", "", "pods"),
            ("create", "", "pods/exec"),
            ("get", "", "pods/exec"),
            ("create", "", "pods/attach"),
            ("create", "", "pods/portforward"),
            ("patch", "", "pods/ephemeralcontainers"),
            ("create", "apps", "deployments"),
            ("create", "apps", "daemonsets"),
            ("create", "batch", "jobs"),
            ("update", "", "configmaps"),
            // nodes
            ("get", "", "nodes/proxy"),
            ("create", "", "nodes/proxy"),
            ("patch", "", "nodes"),
            ("create", "", "persistentvolumes"),
            // credentials
            ("create", "", "serviceaccounts"),
            ("create", "", "serviceaccounts/token"),
            ("create", CERTIFICATES, "certificatesigningrequests"),
            (
                "update",
                CERTIFICATES,
                "certificatesigningrequests/approval",
            ),
            ("update", CERTIFICATES, "certificatesigningrequests/status"),
            ("approve", CERTIFICATES, "signers"),
            ("sign", CERTIFICATES, "signers"),
            ("attest", CERTIFICATES, "signers"),
            // rights
            ("escalate", RBAC, "clusterroles"),
            ("bind", RBAC, "clusterroles"),
            ("create", RBAC, "clusterroles"),
            ("patch", RBAC, "clusterroles"),
            ("escalate", RBAC, "roles"),
            ("bind", RBAC, "roles"),
            ("create", RBAC, "roles"),
            ("patch", RBAC, "roles"),
            ("create", RBAC, "clusterrolebindings"),
            ("patch", RBAC, "clusterrolebindings"),
            ("create", RBAC, "rolebindings"),
            ("patch", RBAC, "rolebindings"),
            // what judges requests
            ("create", ADMISSION, "mutatingwebhookconfigurations"),
            ("patch", ADMISSION, "validatingwebhookconfigurations"),
            ("delete", ADMISSION, "validatingwebhookconfigurations"),
            ("patch", ADMISSION, "validatingadmissionpolicybindings"),
            ("delete", ADMISSION, "validatingadmissionpolicybindings"),
            ("create", "apiregistration.k8s.io", "apiservices"),
            ("patch", "apiregistration.k8s.io", "apiservices"),
            (
                "create",
                "apiextensions.k8s.io",
                "customresourcedefinitions",
            ),
            // namespaces, and paths that are no resources
            ("create", "", "namespaces"),
            ("delete", "", "namespaces"),
            ("patch", "", "namespaces"),
            ("get", "", "/metrics"),
            ("get", "", "/logs/"),
            ("get", "", "/debug/pprof/"),
        ]
        .map(|(verb, group, resource)| ask(verb, group, resource)),
    );
    // A token of another account of its own namespace: the right must name the account.
    forbidden.push(
        ask("create", "", "serviceaccounts/token")
            .named("default")
            .within(NAMESPACE),
    );
    forbidden
}

fn impersonations(mode: Option<Mode>) -> Vec<Question> {
    let mut forbidden = vec![
        ask("impersonate", "", "serviceaccounts")
            .named("default")
            .within("kube-system"),
        ask(
            "impersonate:serviceaccount",
            AUTHENTICATION,
            "serviceaccounts",
        )
        .named("default")
        .within("kube-system"),
        ask("impersonate:arbitrary-node", AUTHENTICATION, "nodes").named(NOBODY),
        ask("impersonate:associated-node", AUTHENTICATION, "nodes").named("*"),
    ];
    for mode in [Mode::Legacy, Mode::Constrained] {
        for group in [
            "system:masters",
            "system:nodes",
            "system:serviceaccounts",
            NO_GROUP,
        ] {
            forbidden.push(ask(verb(mode), home(mode), "groups").named(group));
        }
        forbidden.push(ask(verb(mode), AUTHENTICATION, "userextras/scopes").named(NOBODY));
    }
    // Where constrained impersonation works, the plain one would be a way round its limits.
    if mode == Some(Mode::Constrained) {
        forbidden.push(ask("impersonate", "", "users").named(NOBODY));
        forbidden.push(ask("impersonate", AUTHENTICATION, "uids").named(NOBODY));
    }
    forbidden
}
