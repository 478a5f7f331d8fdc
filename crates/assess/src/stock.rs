//! What a fresh cluster has before anybody did anything: its bindings, and who is bound by them. Only
//! what stands here *as it stands here* is stock: the same name with another subject or role is not,
//! and a label that says so counts for nothing, because anybody can write one.

mod managed;
mod roles;

use crate::snapshot::{Binding, Distribution, Subject};

/// A stock binding: where, name, role, subjects.
struct Row {
    /// Namespace; empty for the whole cluster.
    namespace: &'static str,
    name: &'static str,
    role: &'static str,
    subjects: &'static [&'static str],
}

const fn row(
    namespace: &'static str,
    name: &'static str,
    role: &'static str,
    subjects: &'static [&'static str],
) -> Row {
    Row {
        namespace,
        name,
        role,
        subjects,
    }
}

/// Of every Kubernetes (`bootstrappolicy`), beside `system:controller:*`.
const KUBERNETES: &[Row] = &[
    row(
        "",
        "cluster-admin",
        "cluster-admin",
        &["Group system:masters"],
    ),
    row(
        "",
        "system:basic-user",
        "system:basic-user",
        &["Group system:authenticated"],
    ),
    row(
        "",
        "system:discovery",
        "system:discovery",
        &["Group system:authenticated"],
    ),
    row(
        "",
        "system:public-info-viewer",
        "system:public-info-viewer",
        &["Group system:authenticated", "Group system:unauthenticated"],
    ),
    row(
        "",
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        &["Group system:serviceaccounts"],
    ),
    row(
        "",
        "system:kube-controller-manager",
        "system:kube-controller-manager",
        &["User system:kube-controller-manager"],
    ),
    row(
        "",
        "system:kube-scheduler",
        "system:kube-scheduler",
        &["User system:kube-scheduler"],
    ),
    row(
        "",
        "system:volume-scheduler",
        "system:volume-scheduler",
        &["User system:kube-scheduler"],
    ),
    row(
        "",
        "system:kube-dns",
        "system:kube-dns",
        &["kube-system/kube-dns"],
    ),
    row(
        "",
        "system:monitoring",
        "system:monitoring",
        &["Group system:monitoring"],
    ),
    row("", "system:node", "system:node", &["Group system:nodes"]),
    // The API server's own way to kubelets where its certificate is in no group of administrators: without it there are
    // no logs and no exec.
    row(
        "",
        "kube-apiserver-kubelet-client",
        "system:kubelet-api-admin",
        &["User kube-apiserver-kubelet-client"],
    ),
    row(
        "",
        "system:node-proxier",
        "system:node-proxier",
        &["User system:kube-proxy"],
    ),
    row(
        "kube-system",
        "system::extension-apiserver-authentication-reader",
        "extension-apiserver-authentication-reader",
        &[
            "User system:kube-controller-manager",
            "User system:kube-scheduler",
        ],
    ),
    row(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        "system::leader-locking-kube-controller-manager",
        &[
            "User system:kube-controller-manager",
            "kube-system/kube-controller-manager",
            "kube-system/leader-election-controller",
        ],
    ),
    row(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        "system::leader-locking-kube-scheduler",
        &["User system:kube-scheduler", "kube-system/kube-scheduler"],
    ),
];

/// What kubeadm adds.
const KUBEADM: &[Row] = &[
    row(
        "",
        "kubeadm:cluster-admins",
        "cluster-admin",
        &["Group kubeadm:cluster-admins"],
    ),
    row(
        "",
        "kubeadm:get-nodes",
        "kubeadm:get-nodes",
        &["Group system:bootstrappers:kubeadm:default-node-token"],
    ),
    row(
        "",
        "kubeadm:kubelet-bootstrap",
        "system:node-bootstrapper",
        &["Group system:bootstrappers:kubeadm:default-node-token"],
    ),
    row(
        "",
        "kubeadm:node-autoapprove-bootstrap",
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &["Group system:bootstrappers:kubeadm:default-node-token"],
    ),
    row(
        "",
        "kubeadm:node-autoapprove-certificate-rotation",
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &["Group system:nodes"],
    ),
    row(
        "",
        "kubeadm:node-proxier",
        "system:node-proxier",
        &["kube-system/kube-proxy"],
    ),
    row(
        "",
        "system:coredns",
        "system:coredns",
        &["kube-system/coredns"],
    ),
    row(
        "kube-public",
        "kubeadm:bootstrap-signer-clusterinfo",
        "kubeadm:bootstrap-signer-clusterinfo",
        &["User system:anonymous"],
    ),
    row(
        "kube-system",
        "kube-proxy",
        "kube-proxy",
        &["Group system:bootstrappers:kubeadm:default-node-token"],
    ),
    row(
        "kube-system",
        "kubeadm:kubelet-config",
        "kubeadm:kubelet-config",
        &[
            "Group system:nodes",
            "Group system:bootstrappers:kubeadm:default-node-token",
        ],
    ),
    row(
        "kube-system",
        "kubeadm:nodes-kubeadm-config",
        "kubeadm:nodes-kubeadm-config",
        &[
            "Group system:nodes",
            "Group system:bootstrappers:kubeadm:default-node-token",
        ],
    ),
];

/// What k3s adds.
const K3S: &[Row] = &[
    row(
        "",
        "k3s-cloud-controller-manager",
        "k3s-cloud-controller-manager",
        &["User k3s-cloud-controller-manager"],
    ),
    row(
        "",
        "kube-apiserver-kubelet-admin",
        "system:kubelet-api-admin",
        &["User kube-apiserver"],
    ),
    row(
        "",
        "system:k3s-controller",
        "system:k3s-controller",
        &["User system:k3s-controller"],
    ),
    row(
        "",
        "clustercidrs-node",
        "clustercidrs-node",
        &["Group system:nodes"],
    ),
    row(
        "",
        "helm-kube-system-traefik",
        "cluster-admin",
        &["kube-system/helm-traefik"],
    ),
    row(
        "",
        "helm-kube-system-traefik-crd",
        "cluster-admin",
        &["kube-system/helm-traefik-crd"],
    ),
    row(
        "",
        "k3s-cloud-controller-manager-auth-delegator",
        "system:auth-delegator",
        &["User k3s-cloud-controller-manager"],
    ),
    row(
        "kube-system",
        "k3s-cloud-controller-manager-authentication-reader",
        "extension-apiserver-authentication-reader",
        &["User k3s-cloud-controller-manager"],
    ),
    row(
        "",
        "metrics-server:system:auth-delegator",
        "system:auth-delegator",
        &["kube-system/metrics-server"],
    ),
    row(
        "",
        "system:metrics-server",
        "system:metrics-server",
        &["kube-system/metrics-server"],
    ),
    row(
        "kube-system",
        "metrics-server-auth-reader",
        "extension-apiserver-authentication-reader",
        &["kube-system/metrics-server"],
    ),
    row(
        "",
        "traefik-kube-system",
        "traefik-kube-system",
        &["kube-system/traefik"],
    ),
    row("", "coredns", "system:coredns", &["kube-system/coredns"]),
    row(
        "",
        "system:coredns",
        "system:coredns",
        &["kube-system/coredns"],
    ),
    row(
        "",
        "local-path-provisioner-bind",
        "local-path-provisioner-role",
        &["kube-system/local-path-provisioner-service-account"],
    ),
];

/// Whether this subject of this binding is stock.
pub(crate) fn is_stock(distribution: Distribution, binding: &Binding, subject: &Subject) -> bool {
    let meta = &binding.metadata;
    let who = identity(&meta.namespace, subject);
    let role = &binding.role_ref.name;
    if let Some(controller) = meta.name.strip_prefix("system:controller:") {
        let everywhere = meta.namespace.is_empty();
        let place = everywhere || matches!(meta.namespace.as_str(), "kube-system" | "kube-public");
        return place && *role == meta.name && who == format!("kube-system/{controller}");
    }
    let extra = match distribution {
        Distribution::Kubeadm => KUBEADM,
        Distribution::K3s => K3S,
        Distribution::Eks => managed::EKS,
        Distribution::Gke => managed::GKE,
        Distribution::Aks => managed::AKS,
    };
    in_table(KUBERNETES, binding, &who) || in_table(extra, binding, &who)
}

fn in_table(table: &[Row], binding: &Binding, who: &str) -> bool {
    let meta = &binding.metadata;
    table.iter().any(|row| {
        row.namespace == meta.namespace
            && row.name == meta.name
            && row.role == binding.role_ref.name
            && row.subjects.contains(&who)
    })
}

/// `kind name`, or `namespace/name` for a service account.
fn identity(namespace: &str, subject: &Subject) -> String {
    if subject.kind != "ServiceAccount" {
        return format!("{} {}", subject.kind, subject.name);
    }
    let namespace = match subject.namespace.is_empty() {
        true => namespace,
        false => &subject.namespace,
    };
    format!("{namespace}/{}", subject.name)
}

/// Whether a role of this name is part of Kubernetes or its distribution. A provider's roles are not all known: there,
/// what is named as its own is.
pub(crate) fn is_stock_role(distribution: Distribution, name: &str) -> bool {
    let prefixes: &[&str] = match distribution {
        Distribution::Kubeadm => &["kubeadm:"],
        Distribution::K3s => &["system:k3s-"],
        Distribution::Eks => &["eks:"],
        Distribution::Gke => &["gce:", "system:gke-", "system:gcp-"],
        Distribution::Aks => &["aks-", "system:azure-"],
    };
    roles::is_kubernetes(name) || prefixes.iter().any(|p| name.starts_with(p))
}

/// Whether a user or group of this name is part of every control plane (`user.go`, `bootstrappolicy`), its nodes and
/// whoever is in `system:masters` anyway.
pub(crate) fn is_control_plane(name: &str) -> bool {
    matches!(
        name,
        "system:masters"
            | "system:apiserver"
            | "system:kube-apiserver"
            | "system:kube-controller-manager"
            | "system:kube-scheduler"
            | "system:kube-proxy"
            | "system:kube-aggregator"
            | "system:cloud-controller-manager"
            | "system:volume-scheduler"
            | "system:monitoring"
    ) || name.starts_with("system:node:")
        || name.starts_with("system:k3s-")
}

/// Whether people do not work in this namespace: it is the control plane's own.
pub(crate) fn is_system_namespace(name: &str) -> bool {
    matches!(
        name,
        "kube-system" | "kube-public" | "kube-node-lease" | "kubestile-system"
    ) || ["gke-managed-", "gmp-", "aks-"]
        .iter()
        .any(|p| name.starts_with(p))
}
