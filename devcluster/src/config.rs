//! What each program is told: flags and configuration files, as pure functions.
//!
//! Files are JSON where the reader takes YAML, since every JSON text is YAML.

use std::ffi::OsString;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::layout::Layout;
use crate::name::Name;
use crate::network::PodNetwork;

/// The first address of the service network, which is the API server's own service.
pub(crate) const SERVICE_ADDRESS: &str = "10.96.0.1";
const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// The API server's user at the kubelet.
pub(crate) const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// The only user whose identity headers the API server believes.
pub(crate) const FRONT_PROXY_CLIENT: &str = "front-proxy-client";

/// The loopback ports of the control plane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) api_server: u16,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
}

impl Ports {
    pub(crate) fn server(self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }
}

/// Builds `--name=value` lines.
#[derive(Default)]
struct Flags(Vec<OsString>);

impl Flags {
    fn text(mut self, name: &str, value: &str) -> Self {
        self.0.push(format!("--{name}={value}").into());
        self
    }

    fn path(mut self, name: &str, value: &Path) -> Self {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        self.0.push(flag);
        self
    }
}

pub(crate) fn etcd_flags(layout: &Layout, ports: Ports) -> Vec<OsString> {
    let client = format!("https://127.0.0.1:{}", ports.etcd);
    let peer = format!("https://127.0.0.1:{}", ports.etcd_peer);
    Flags::default()
        .text("name", "default")
        .path("data-dir", &layout.etcd_data())
        .text("listen-client-urls", &client)
        .text("advertise-client-urls", &client)
        .text("listen-peer-urls", &peer)
        .text("initial-advertise-peer-urls", &peer)
        .text("initial-cluster", &format!("default={peer}"))
        // A cluster for tests need not survive a power cut, and start-up is mostly syncs.
        .text("unsafe-no-fsync", "true")
        .text("client-cert-auth", "true")
        .path("cert-file", &layout.pki("etcd.crt"))
        .path("key-file", &layout.pki("etcd.key"))
        .path("trusted-ca-file", &layout.pki("etcd-ca.crt"))
        .text("peer-client-cert-auth", "true")
        .path("peer-cert-file", &layout.pki("etcd.crt"))
        .path("peer-key-file", &layout.pki("etcd.key"))
        .path("peer-trusted-ca-file", &layout.pki("etcd-ca.crt"))
        .0
}

/// The flags of kubeadm's API server, on loopback. `extra` comes last and so wins.
pub(crate) fn api_server_flags(layout: &Layout, ports: Ports, extra: &[String]) -> Vec<OsString> {
    let flags = Flags::default()
        .text("bind-address", "127.0.0.1")
        .text("advertise-address", "127.0.0.1")
        .text("secure-port", &ports.api_server.to_string())
        // An endpoint on loopback would be refused; nothing here needs it.
        .text("endpoint-reconciler-type", "none")
        .text("etcd-servers", &format!("https://127.0.0.1:{}", ports.etcd))
        .path("etcd-cafile", &layout.pki("etcd-ca.crt"))
        .path("etcd-certfile", &layout.pki("apiserver-etcd-client.crt"))
        .path("etcd-keyfile", &layout.pki("apiserver-etcd-client.key"))
        .path("tls-cert-file", &layout.pki("apiserver.crt"))
        .path("tls-private-key-file", &layout.pki("apiserver.key"))
        .path("client-ca-file", &layout.pki("ca.crt"))
        .text("authorization-mode", "Node,RBAC")
        .text("enable-admission-plugins", "NodeRestriction")
        .text("enable-bootstrap-token-auth", "true")
        .text("allow-privileged", "true")
        .text("service-cluster-ip-range", SERVICE_NETWORK)
        .text(
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local",
        )
        .path("service-account-key-file", &layout.pki("sa.pub"))
        .path("service-account-signing-key-file", &layout.pki("sa.key"))
        .text("kubelet-preferred-address-types", "InternalIP")
        .path(
            "kubelet-client-certificate",
            &layout.pki("apiserver-kubelet-client.crt"),
        )
        .path(
            "kubelet-client-key",
            &layout.pki("apiserver-kubelet-client.key"),
        )
        .path("kubelet-certificate-authority", &layout.pki("ca.crt"));
    let Flags(mut flags) = front_proxy_and_audit(flags, layout);
    flags.extend(extra.iter().map(OsString::from));
    flags
}

fn front_proxy_and_audit(flags: Flags, layout: &Layout) -> Flags {
    flags
        .path(
            "requestheader-client-ca-file",
            &layout.pki("front-proxy-ca.crt"),
        )
        .text("requestheader-allowed-names", FRONT_PROXY_CLIENT)
        .text("requestheader-username-headers", "X-Remote-User")
        .text("requestheader-group-headers", "X-Remote-Group")
        .text("requestheader-extra-headers-prefix", "X-Remote-Extra-")
        .path(
            "proxy-client-cert-file",
            &layout.pki("front-proxy-client.crt"),
        )
        .path(
            "proxy-client-key-file",
            &layout.pki("front-proxy-client.key"),
        )
        .path("audit-policy-file", &layout.config("audit-policy.json"))
        .path("audit-log-path", &layout.audit_log())
}

pub(crate) fn controller_manager_flags(layout: &Layout) -> Vec<OsString> {
    Flags::default()
        .path(
            "kubeconfig",
            &layout.config("controller-manager.kubeconfig"),
        )
        .text("leader-elect", "false")
        .text("secure-port", "0")
        .text(
            "controllers",
            "*,bootstrap-signer-controller,token-cleaner-controller",
        )
        .text("use-service-account-credentials", "true")
        .path("service-account-private-key-file", &layout.pki("sa.key"))
        .path("root-ca-file", &layout.pki("ca.crt"))
        .path("cluster-signing-cert-file", &layout.pki("ca.crt"))
        .path("cluster-signing-key-file", &layout.pki("ca.key"))
        .0
}

pub(crate) fn scheduler_flags(layout: &Layout) -> Vec<OsString> {
    Flags::default()
        .path("kubeconfig", &layout.config("scheduler.kubeconfig"))
        .text("leader-elect", "false")
        .text("secure-port", "0")
        .0
}

pub(crate) fn kubelet_flags(layout: &Layout, name: &Name) -> Vec<OsString> {
    Flags::default()
        .path("config", &layout.config("kubelet.json"))
        .path("kubeconfig", &layout.config("kubelet.kubeconfig"))
        .path("root-dir", &layout.kubelet())
        .path("cert-dir", &layout.kubelet().join("pki"))
        .text("hostname-override", &name.node())
        // So that it does not guess an address of the machine: the node's address is
        // set to loopback by `up`.
        .text("cloud-provider", "external")
        .0
}

/// Every request with who, what and which answer; no bodies.
pub(crate) fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    })
}

/// A kubeconfig that holds its certificates, so that it can be moved and passed on.
pub(crate) fn kubeconfig(server: &str, ca: &str, cert: &str, key: &str, names: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": names,
            "cluster": { "server": server, "certificate-authority-data": BASE64.encode(ca) },
        }],
        "users": [{
            "name": names,
            "user": {
                "client-certificate-data": BASE64.encode(cert),
                "client-key-data": BASE64.encode(key),
            },
        }],
        "contexts": [{ "name": names, "context": { "cluster": names, "user": names } }],
        "current-context": names,
    })
}

/// Lets the API server speak to the kubelet, as kubeadm's does by a group.
pub(crate) fn kubelet_client_binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": KUBELET_CLIENT },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:kubelet-api-admin",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "User",
            "name": KUBELET_CLIENT,
        }],
    })
}

pub(crate) fn kubelet(layout: &Layout, port: u16) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": port,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": layout.pki("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": layout.pki("kubelet-server.crt"),
        "tlsPrivateKeyFile": layout.pki("kubelet-server.key"),
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket().display()),
        "podLogsDir": layout.pod_logs(),
        // A node among a machine's other work, not its owner: no control groups of its own, no
        // reservation, no firewall rules, no eviction for a disk that others fill.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "makeIPTablesUtilChains": false,
        "oomScoreAdj": 0,
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
        "imageGCHighThresholdPercent": 100,
    })
}

pub(crate) fn cni(name: &Name, pods: PodNetwork, layout: &Layout) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": machine_wide_name(name),
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": layout.cni().join("addresses"),
                "ranges": [[{ "subnet": pods.to_string() }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    })
}

/// The cluster's name wherever the machine's clusters share a space: the CNI library's
/// results, contexts of a merged kubeconfig.
pub(crate) fn machine_wide_name(name: &Name) -> String {
    format!("kubestile-{name}")
}

/// What differs between one containerd and another.
#[derive(Debug)]
pub(crate) struct Containerd<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) snapshotter: &'static str,
    pub(crate) cni_plugins: &'a Path,
    pub(crate) runc: &'a Path,
    pub(crate) pause_image: &'static str,
}

impl Containerd<'_> {
    pub(crate) fn render(&self) -> String {
        let layout = self.layout;
        format!(
            r#"version = 3
root = {root}
state = {state}
# They would use directories or sockets that all containerds of a machine share.
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]

[grpc]
address = {socket}

[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{cni_plugins}]
conf_dir = {cni_config}

[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
snapshotter = "{snapshotter}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = {runc}
Root = {runc_root}
SystemdCgroup = false
"#,
            root = toml_text(&layout.containerd("root")),
            state = toml_text(&layout.containerd("state")),
            socket = toml_text(&layout.containerd_socket()),
            snapshotter = self.snapshotter,
            pause = self.pause_image,
            cni_plugins = toml_text(self.cni_plugins),
            cni_config = toml_text(&layout.cni()),
            runc = toml_text(self.runc),
            runc_root = toml_text(&layout.runc()),
        )
    }
}

/// A JSON string is a TOML basic string.
fn toml_text(path: &Path) -> String {
    Value::from(path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests;
