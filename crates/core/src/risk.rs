//! How dangerous a request is: six classes, from what the API server would do and never from what the
//! client says of itself. A pure function of the judged action. What a class leads to (a grant, an
//! approval, two) is policy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionKind};
use crate::request_info::Resource;

/// The class of a request.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub enum RiskClass {
    /// Reads nothing that matters: pods, deployments, discovery.
    #[default]
    R0,
    /// Reads what may matter: logs, config maps, whole clusters.
    R1,
    /// Changes workloads as a matter of routine: apply, scale, label.
    R2,
    /// Dangerous within one namespace: exec, Secrets, deletes.
    R3,
    /// Changes who controls what: RBAC, admission, nodes, namespaces, collections at once.
    R4,
    /// The crown jewels: what gives away a cluster or loses it.
    R5,
}

impl RiskClass {
    /// Every class, from the least dangerous on.
    pub const ALL: [Self; 6] = [Self::R0, Self::R1, Self::R2, Self::R3, Self::R4, Self::R5];

    /// 0 to 5: what policies compare.
    pub const fn level(self) -> i64 {
        match self {
            Self::R0 => 0,
            Self::R1 => 1,
            Self::R2 => 2,
            Self::R3 => 3,
            Self::R4 => 4,
            Self::R5 => 5,
        }
    }

    /// `R0` to `R5`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::R0 => "R0",
            Self::R1 => "R1",
            Self::R2 => "R2",
            Self::R3 => "R3",
            Self::R4 => "R4",
            Self::R5 => "R5",
        }
    }

    /// What the class means, in a few words for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::R0 => "reads nothing that matters",
            Self::R1 => "reads what may matter",
            Self::R2 => "routine change in a namespace",
            Self::R3 => "dangerous within a namespace",
            Self::R4 => "changes who controls what",
            Self::R5 => "can give away or lose the cluster",
        }
    }

    /// The class of a request: the most dangerous reading of it.
    pub fn of(action: &Action) -> Self {
        let of_target = match action.resource() {
            Some(resource) => of_resource(action, resource),
            None => of_path(action),
        };
        of_target.max(of_impersonation(action))
    }
}

impl fmt::Display for RiskClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn of_path(action: &Action) -> RiskClass {
    match action.kind {
        ActionKind::Discover => RiskClass::R0,
        ActionKind::NonResource if action.info.verb.as_str() == "get" => RiskClass::R1,
        // Nothing that people need is written below a path that is not a resource.
        _ => RiskClass::R4,
    }
}

/// Acting as somebody else is control; acting as Kubernetes itself, or as whom the gate vouches for,
/// is everything.
fn of_impersonation(action: &Action) -> RiskClass {
    let Some(asked) = &action.impersonates else {
        return RiskClass::R0;
    };
    let ours = |name: &str| name.starts_with("system:") || name.starts_with("kubestile:");
    if ours(&asked.user) || asked.groups.iter().any(|g| ours(g)) {
        RiskClass::R5
    } else {
        RiskClass::R4
    }
}

fn of_resource(action: &Action, resource: &Resource) -> RiskClass {
    match action.kind {
        ActionKind::Get | ActionKind::List | ActionKind::Watch | ActionKind::Log => {
            of_read(action, resource)
        }
        ActionKind::Create
        | ActionKind::Update
        | ActionKind::Patch
        | ActionKind::Delete
        | ActionKind::DeleteCollection
        | ActionKind::Evict => of_write(action, resource),
        ActionKind::Exec
        | ActionKind::Attach
        | ActionKind::Copy
        | ActionKind::PortForward
        | ActionKind::Debug
        | ActionKind::Proxy
            if is_system(&resource.namespace) =>
        {
            RiskClass::R4
        }
        ActionKind::Exec
        | ActionKind::Attach
        | ActionKind::Copy
        | ActionKind::PortForward
        | ActionKind::Debug
        | ActionKind::Proxy
        | ActionKind::Token => RiskClass::R3,
        ActionKind::Discover => RiskClass::R0,
        ActionKind::NodeProxy
        | ActionKind::Approve
        | ActionKind::Impersonate
        | ActionKind::NonResource
        | ActionKind::Ask
        | ActionKind::Answer
        | ActionKind::Unknown => RiskClass::R5,
    }
}

fn of_read(action: &Action, resource: &Resource) -> RiskClass {
    let everywhere = resource.namespace.is_empty() && resource.name.is_empty();
    match resource.resource.as_str() {
        "secrets" if everywhere => RiskClass::R5,
        "secrets" => RiskClass::R3,
        "configmaps" => RiskClass::R1,
        _ if action.kind == ActionKind::Log || everywhere => RiskClass::R1,
        _ => RiskClass::R0,
    }
}

fn of_write(action: &Action, resource: &Resource) -> RiskClass {
    let class = of_written_kind(action, resource)
        .max(of_place(resource))
        .max(of_amount(action));
    // The answer to a dry run shows what is there, so that Secrets stay what they are.
    if action.dry_run && resource.resource != "secrets" {
        RiskClass::R1
    } else {
        class
    }
}

fn of_written_kind(action: &Action, resource: &Resource) -> RiskClass {
    let deletes = matches!(
        action.kind,
        ActionKind::Delete | ActionKind::DeleteCollection
    );
    match resource.resource.as_str() {
        "clusterroles" | "clusterrolebindings" => RiskClass::R5,
        _ if resource.group == "admissionregistration.k8s.io" && deletes => RiskClass::R5,
        _ if resource.group == "admissionregistration.k8s.io" => RiskClass::R4,
        "namespaces" if deletes && is_system(&resource.name) => RiskClass::R5,
        "persistentvolumes" if action.kind == ActionKind::DeleteCollection => RiskClass::R5,
        "selfsubjectaccessreviews" | "selfsubjectrulesreviews" | "selfsubjectreviews" => {
            RiskClass::R1
        }
        "roles"
        | "rolebindings"
        | "namespaces"
        | "customresourcedefinitions"
        | "apiservices"
        | "persistentvolumes"
        | "nodes"
        | "certificatesigningrequests"
        | "clustertrustbundles"
        | "podcertificaterequests"
        | "storageclasses"
        | "csidrivers"
        | "priorityclasses"
        | "runtimeclasses"
        | "flowschemas"
        | "prioritylevelconfigurations" => RiskClass::R4,
        "secrets" => RiskClass::R3,
        _ if deletes || action.kind == ActionKind::Evict => RiskClass::R3,
        _ => RiskClass::R2,
    }
}

/// Writing where Kubernetes itself lives is control; two config maps there are the cluster's name
/// service and, on EKS, its door.
fn of_place(resource: &Resource) -> RiskClass {
    if !is_system(&resource.namespace) {
        return RiskClass::R0;
    }
    match (resource.resource.as_str(), resource.name.as_str()) {
        ("configmaps", "coredns" | "aws-auth") => RiskClass::R5,
        _ => RiskClass::R4,
    }
}

fn of_amount(action: &Action) -> RiskClass {
    if action.kind == ActionKind::DeleteCollection {
        RiskClass::R4
    } else {
        RiskClass::R0
    }
}

/// `kube-system`, `kube-public`, `kube-node-lease`: reserved by Kubernetes.
fn is_system(namespace: &str) -> bool {
    namespace.starts_with("kube-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Impersonates;
    use crate::request_info::RequestInfo;

    fn of(method: &str, target: &str) -> RiskClass {
        RiskClass::of(&action(method, target))
    }

    fn action(method: &str, target: &str) -> Action {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(p, q)| (p, Some(q)));
        let info = RequestInfo::parse(method, path, query).unwrap();
        Action::new("prod".parse().unwrap(), info, None)
    }

    #[test]
    fn classes_follow_what_the_api_server_would_do() {
        use RiskClass::*;
        let shop = "/api/v1/namespaces/shop";
        let apps = "/apis/apps/v1/namespaces/shop/deployments";
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        for (method, target, class) in [
            ("GET", format!("{shop}/pods"), R0),
            ("GET", "/apis/apps/v1".into(), R0),
            ("GET", "/metrics".into(), R1),
            ("GET", "/api/v1/pods".into(), R1),
            ("GET", format!("{shop}/pods/a/log"), R1),
            ("GET", format!("{shop}/configmaps/a"), R1),
            ("PATCH", format!("{apps}/web"), R2),
            ("PUT", format!("{apps}/web/scale"), R2),
            ("PATCH", format!("{apps}/web?dryRun=All"), R1),
            ("DELETE", format!("{apps}/web"), R3),
            ("DELETE", format!("{apps}/web?dryRun=All"), R3),
            ("GET", format!("{shop}/secrets/a"), R3),
            ("PATCH", format!("{shop}/secrets/a?dryRun=All"), R3),
            ("POST", format!("{shop}/pods/a/exec?command=sh"), R3),
            ("POST", format!("{shop}/pods/a/eviction"), R3),
            ("POST", format!("{shop}/serviceaccounts/a/token"), R3),
            ("DELETE", apps.into(), R4),
            ("DELETE", "/api/v1/namespaces/shop".into(), R4),
            ("POST", format!("{rbac}/namespaces/shop/rolebindings"), R4),
            ("PATCH", "/api/v1/nodes/a".into(), R4),
            ("POST", "/api/v1/namespaces/kube-system/pods".into(), R4),
            (
                "GET",
                "/api/v1/namespaces/kube-system/pods/a/exec?command=sh".into(),
                R4,
            ),
            ("DELETE", "/api/v1/namespaces/kube-system".into(), R5),
            (
                "PATCH",
                "/api/v1/namespaces/kube-system/configmaps/coredns".into(),
                R5,
            ),
            ("POST", format!("{rbac}/clusterrolebindings"), R5),
            ("GET", "/api/v1/secrets".into(), R5),
            ("GET", "/api/v1/nodes/a/proxy/pods".into(), R5),
            (
                "DELETE",
                "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/a".into(),
                R5,
            ),
            (
                "PUT",
                "/apis/certificates.k8s.io/v1/certificatesigningrequests/a/approval".into(),
                R5,
            ),
            ("OPTIONS", format!("{shop}/pods"), R5),
        ] {
            assert_eq!(of(method, &target), class, "{method} {target}");
        }
    }

    #[test]
    fn acting_as_somebody_else_is_never_routine() {
        let mut read = action("GET", "/api/v1/namespaces/shop/pods");
        let mut as_whom = |user: &str, groups: &[&str]| {
            read.impersonates = Some(Impersonates {
                user: user.to_owned(),
                groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            });
            RiskClass::of(&read)
        };
        assert_eq!(as_whom("bob", &[]), RiskClass::R4);
        assert_eq!(as_whom("bob", &["system:masters"]), RiskClass::R5);
        assert_eq!(as_whom("system:serviceaccount:a:b", &[]), RiskClass::R5);
    }
}
