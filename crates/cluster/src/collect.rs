//! Reads everything that the assessor judges, as far as the caller's rights go. Nothing is changed, and
//! no Secret's data is asked for. What cannot be read is left out with its reason, so that a control is
//! then unknown and never passed.

mod admission;
mod cloud;
mod control_plane;
mod k3s;
mod list;
pub mod permissions;
mod probes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubestile_assess::snapshot::{Csr, Distribution, Namespace, SecretMeta, Snapshot, Source, Why};
use kubestile_core::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::error::{CallError, chain};
use crate::kubeconfig;
use crate::upstream::Upstream;

pub(crate) use control_plane::{flags, hex, uses_file};
use list::Lists;

/// What to collect beside the API's objects.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The kubeconfig that was named; the usual ones otherwise.
    pub kubeconfig: Option<PathBuf>,
    /// A directory with the control plane's files (`/etc/kubernetes` of its node, or a copy).
    pub control_plane: Option<PathBuf>,
    /// Whether to send the probes that [`PROBES`] announces.
    pub probes: bool,
}

/// What the probes do, to be said before they are sent: each of them is a request in the audit log.
pub const PROBES: &[&str] = &[
    "GET /api, /version, /livez without a credential",
    "GET /metrics, for the hashes of the configuration files in use, if there are such files",
    "ask whether an invented user without any binding may delete nodes (SubjectAccessReview)",
];

/// How long the first answer may take, which says little.
const PATIENCE: Duration = Duration::from_secs(15);

/// Collects. `say` hears what is being read, and how much of it there is so far.
pub async fn collect(
    upstream: &Upstream,
    name: &str,
    options: &Options,
    now: Timestamp,
    say: &mut (dyn FnMut(&str, usize) + Send),
) -> Snapshot {
    let mut snapshot = Snapshot::empty(now, name, &upstream.server());
    snapshot.cluster.version = version(upstream).await;
    snapshot.cluster.distribution = distribution(upstream, &snapshot);
    if is_silent(&mut snapshot) {
        return snapshot;
    }
    let mut lists = Lists::new(upstream, say);
    objects(&mut lists, &mut snapshot).await;
    snapshot.admission = admission::collect(&mut lists).await;
    snapshot.aws_auth = cloud::aws_auth(upstream).await;
    say("control plane", 0);
    let distribution = snapshot.cluster.distribution;
    let files = options.control_plane.as_deref();
    snapshot.control_plane =
        control_plane::collect(upstream, distribution, files, options.probes).await;
    if options.probes {
        say("probes", 0);
        snapshot.anonymous = probes::anonymous(upstream).await;
        snapshot.nobody = probes::nobody(upstream).await;
    } else {
        let text = "probes were turned off";
        snapshot.anonymous = Source::absent(Why::NotAsked, text);
        snapshot.nobody = Source::absent(Why::NotAsked, text);
    }
    say("kubeconfigs", 0);
    snapshot.machine = kubeconfig::machine(options.kubeconfig.as_deref());
    snapshot
}

/// Collects roles, bindings and what their escalation depends on, and nothing else.
pub async fn rights(
    upstream: &Upstream,
    name: &str,
    now: Timestamp,
    say: &mut (dyn FnMut(&str, usize) + Send),
) -> Snapshot {
    let mut snapshot = Snapshot::empty(now, name, &upstream.server());
    snapshot.cluster.version = version(upstream).await;
    snapshot.cluster.distribution = distribution(upstream, &snapshot);
    if !is_silent(&mut snapshot) {
        objects(&mut Lists::new(upstream, say), &mut snapshot).await;
    }
    snapshot
}

/// Whether the API server does not even say its version, as it does to everybody whose credential it knows: nothing else is
/// asked then, since each question would take as long. Why stands where roles would be, too.
fn is_silent(snapshot: &mut Snapshot) -> bool {
    let Source::Absent(absence) = &snapshot.cluster.version else {
        return false;
    };
    if absence.why != Why::Failed {
        return false;
    }
    snapshot.rbac.cluster_roles = Source::Absent(absence.clone());
    true
}

/// The kubeconfigs and settings of this machine alone, for a snapshot without a cluster.
pub fn machine(kubeconfig: Option<&Path>) -> kubestile_assess::snapshot::Machine {
    kubeconfig::machine(kubeconfig)
}

async fn objects(lists: &mut Lists<'_>, snapshot: &mut Snapshot) {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let rbac = &mut snapshot.rbac;
    rbac.cluster_roles = lists.all(&format!("{RBAC}/clusterroles")).await;
    rbac.cluster_role_bindings = lists.all(&format!("{RBAC}/clusterrolebindings")).await;
    rbac.roles = lists.all(&format!("{RBAC}/roles")).await;
    rbac.role_bindings = lists.all(&format!("{RBAC}/rolebindings")).await;
    snapshot.service_accounts = lists.all("/api/v1/serviceaccounts").await;
    snapshot.namespaces = lists.all::<Namespace>("/api/v1/namespaces").await;
    snapshot.token_secrets = token_secrets(lists).await;
    snapshot.csrs = csrs(lists).await;
}

/// Secrets that hold tokens: their metadata, asked for as nothing else, so that no data is sent.
async fn token_secrets(lists: &mut Lists<'_>) -> Source<Vec<SecretMeta>> {
    let mut found = Vec::new();
    for kind in [
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    ] {
        let path = format!(
            "/api/v1/secrets?fieldSelector=type%3D{}",
            kind.replace('/', "%2F")
        );
        match lists.metadata::<Value>(&path).await {
            Source::Known(items) => found.extend(items.iter().map(|i| secret(kind, i))),
            Source::Absent(absence) => return Source::Absent(absence),
        }
    }
    Source::Known(found)
}

fn secret(kind: &str, item: &Value) -> SecretMeta {
    let account = item.pointer("/metadata/annotations/kubernetes.io~1service-account.name");
    SecretMeta {
        kind: kind.to_owned(),
        account: account.and_then(Value::as_str).map(str::to_owned),
        ..SecretMeta::deserialize(item).unwrap_or_default()
    }
}

async fn csrs(lists: &mut Lists<'_>) -> Source<Vec<Csr>> {
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    match lists.all::<Value>(path).await {
        Source::Known(items) => Source::Known(items.iter().map(csr).collect()),
        Source::Absent(absence) => Source::Absent(absence),
    }
}

/// With the names that the request asks for, which only the request itself says.
fn csr(item: &Value) -> Csr {
    use base64::Engine as _;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;
    let mut csr = Csr::deserialize(item).unwrap_or_default();
    let request = item.pointer("/spec/request").and_then(Value::as_str);
    let pem = request.and_then(|r| base64::engine::general_purpose::STANDARD.decode(r).ok());
    let Some(pem) = pem else { return csr };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else {
        return csr;
    };
    if let Ok((_, request)) = X509CertificationRequest::from_der(&pem.contents) {
        let subject = &request.certification_request_info.subject;
        let names = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect::<Vec<_>>();
        csr.spec.common_name = names(
            subject
                .iter_common_name()
                .filter_map(|a| a.as_str().ok())
                .collect(),
        )
        .pop();
        csr.spec.organizations = names(
            subject
                .iter_organization()
                .filter_map(|a| a.as_str().ok())
                .collect(),
        );
    }
    csr
}

async fn version(upstream: &Upstream) -> Source<String> {
    let asking = tokio::time::timeout(PATIENCE, upstream.get_json("/version"));
    let Ok(answer) = asking.await else {
        let text = format!("it did not answer within {} s", PATIENCE.as_secs());
        return Source::absent(Why::Failed, text);
    };
    match answer {
        Ok(value) => match value.get("gitVersion").and_then(Value::as_str) {
            Some(version) => Source::Known(version.chars().filter(|c| !c.is_control()).collect()),
            None => Source::absent(Why::Failed, "the API server does not say its version"),
        },
        Err(error) => absent(&error, "read the version"),
    }
}

/// By the version where the provider marks it, else by the address.
fn distribution(upstream: &Upstream, snapshot: &Snapshot) -> Distribution {
    let host = upstream.host();
    let version = snapshot.cluster.version.known();
    let by_version = version.map_or(Distribution::Kubeadm, |v| Distribution::of_version(v));
    match by_version {
        Distribution::Kubeadm if host.ends_with(".azmk8s.io") => Distribution::Aks,
        Distribution::Kubeadm if host.ends_with(".eks.amazonaws.com") => Distribution::Eks,
        other => other,
    }
}

/// Why a call did not give what was asked, with what would mend it.
fn absent<T>(error: &CallError, what: &str) -> Source<T> {
    match error.status() {
        // Not a right that is missing, but a person whom nobody knows: most often one whose certificate has expired.
        Some(401) => Source::absent(
            Why::Failed,
            "the API server does not know this credential (401 Unauthorized)",
        ),
        Some(403) => Source::absent(
            Why::Forbidden,
            format!("you may not {what}: see `kubestile assess --show-permissions`"),
        ),
        Some(404) => Source::absent(Why::Unsupported, format!("this cluster cannot {what}")),
        _ => Source::absent(
            Why::Failed,
            format!("it was not possible to {what}: {}", chain(error)),
        ),
    }
}

/// A GET of an object.
async fn get(upstream: &Upstream, path: &str) -> Result<Value, CallError> {
    upstream.request(&Call::get(path)).await
}

#[cfg(test)]
mod tests;
