//! The roles that Kubernetes' own API server makes, by their exact names: whoever may write roles can make one that
//! only begins like them.

/// After `system:` (`bootstrappolicy/policy.go` of Kubernetes 1.36).
const OWN: &[&str] = &[
    "aggregate-to-admin",
    "aggregate-to-edit",
    "aggregate-to-view",
    "auth-delegator",
    "basic-user",
    "certificates.k8s.io:certificatesigningrequests:nodeclient",
    "certificates.k8s.io:certificatesigningrequests:selfnodeclient",
    "certificates.k8s.io:kube-apiserver-client-approver",
    "certificates.k8s.io:kube-apiserver-client-kubelet-approver",
    "certificates.k8s.io:kubelet-serving-approver",
    "certificates.k8s.io:legacy-unknown-approver",
    "discovery",
    "heapster",
    "kube-aggregator",
    "kube-controller-manager",
    "kube-dns",
    "kube-scheduler",
    "kubelet-api-admin",
    "monitoring",
    "node",
    "node-bootstrapper",
    "node-problem-detector",
    "node-proxier",
    "persistent-volume-provisioner",
    "public-info-viewer",
    "service-account-issuer-discovery",
    "volume-scheduler",
    // Of older releases.
    "csi-external-attacher",
    "csi-external-provisioner",
];
/// After `system:controller:` (`bootstrappolicy/controller_policy.go`).
const CONTROLLERS: &[&str] = &[
    "attachdetach-controller",
    "certificate-controller",
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemon-set-controller",
    "deployment-controller",
    "device-taint-eviction-controller",
    "disruption-controller",
    "endpoint-controller",
    "endpointslice-controller",
    "endpointslicemirroring-controller",
    "ephemeral-volume-controller",
    "expand-controller",
    "generic-garbage-collector",
    "horizontal-pod-autoscaler",
    "job-controller",
    "legacy-service-account-token-cleaner",
    "namespace-controller",
    "node-controller",
    "persistent-volume-binder",
    "pod-garbage-collector",
    "pv-protection-controller",
    "pvc-protection-controller",
    "replicaset-controller",
    "replication-controller",
    "resource-claim-controller",
    "resourcequota-controller",
    "root-ca-cert-publisher",
    "route-controller",
    "selinux-warning-controller",
    "service-account-controller",
    "service-cidrs-controller",
    "service-controller",
    "statefulset-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
    "validatingadmissionpolicy-status-controller",
    "volumeattributesclass-protection-controller",
];

/// Whether Kubernetes makes a role of this name.
pub(super) fn is_kubernetes(name: &str) -> bool {
    if matches!(name, "cluster-admin" | "admin" | "edit" | "view") {
        return true;
    }
    let Some(own) = name.strip_prefix("system:") else {
        return false;
    };
    match own.strip_prefix("controller:") {
        Some(controller) => CONTROLLERS.contains(&controller),
        None => OWN.contains(&own),
    }
}
