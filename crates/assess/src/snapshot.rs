//! What the assessor knows: one document with everything that was collected, and for everything that
//! was not, the reason. It can be saved and judged again later, without the cluster. It holds no
//! secret: of credentials only what they are, never what proves them.

mod cloud;
mod control_plane;
mod edit;
mod gate;
mod machine;
mod objects;
mod rights;

use std::fmt;

use kubestile_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::traffic::Traffic;

pub use cloud::{AwsAuth, CloudMap};
pub use control_plane::{ApiServer, ConfigFile, ControlPlane, Flag, Probe};
pub use edit::EditError;
pub use gate::{
    ClusterFacts, Gate, GateCluster, GateFacts, GateLog, GateRequests, GrantFacts, GrantFault,
    PolicyEffect, PolicyFacts, SessionFacts, StandingFacts,
};
pub use machine::{
    Certificate, ClusterEntry, Context, Credential, Exec, Kubeconfig, Kuberc, Machine, Token,
    UserEntry,
};
pub(crate) use objects::is_of_cluster;
pub use objects::{
    Binding, Csr, CsrCondition, CsrSpec, CsrStatus, DRILL_DAYS, DRILLED, Engine, Expression,
    MatchResources, Meta, NamedRules, Namespace, ObjectRef, Operations, Policy, PolicyBinding,
    PolicyBindingSpec, PolicySpec, Role, RoleRef, SecretMeta, Selector, ServiceAccount, Subject,
    Webhook, WebhookConfiguration, WebhookKind,
};

/// The form of the document; another one is refused.
pub const VERSION: &str = "kubestile.dev/snapshot/v1";

/// Everything that was collected at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// [`VERSION`].
    pub version: String,
    /// When it was taken, in microseconds since the Unix epoch.
    pub taken: Timestamp,
    /// Which cluster.
    pub cluster: Cluster,
    /// Roles and their bindings.
    pub rbac: Rbac,
    /// Service accounts of all namespaces.
    pub service_accounts: Source<Vec<ServiceAccount>>,
    /// Secrets that hold tokens (of service accounts, of bootstrapping): metadata, never data.
    pub token_secrets: Source<Vec<SecretMeta>>,
    /// Certificate signing requests that still exist.
    pub csrs: Source<Vec<Csr>>,
    /// What admission is set up to do.
    pub admission: Admission,
    /// Namespaces with their labels.
    pub namespaces: Source<Vec<Namespace>>,
    /// Flags and files of the control plane.
    pub control_plane: ControlPlane,
    /// The map `aws-auth` from AWS's identities to the cluster's; none if there is no such object.
    #[serde(default = "not_collected")]
    pub aws_auth: Source<Option<AwsAuth>>,
    /// What a request without any credential gets.
    pub anonymous: Source<Vec<Probe>>,
    /// Whether somebody with no rights at all may do something drastic, as the authorizers say.
    pub nobody: Source<bool>,
    /// Kubeconfigs and settings of kubectl on the machine that took this.
    pub machine: Machine,
    /// The gate on the machine that took this.
    pub gate: Source<Gate>,
    /// What was really done, as audit logs tell.
    #[serde(default = "no_traffic")]
    pub traffic: Source<Traffic>,
}

/// Of snapshots that were taken before there was this field.
fn not_collected<T>() -> Source<T> {
    Source::absent(Why::NotAsked, "it was not collected")
}

/// Of snapshots that were taken without a log, and before there was this field.
fn no_traffic() -> Source<Traffic> {
    Source::absent(
        Why::NotAsked,
        "no audit log was given to this assessment (--audit-log FILE)",
    )
}

/// Which cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// How the person calls it: the kubeconfig's context.
    pub name: String,
    /// Its address.
    pub server: String,
    /// `v1.36.3`, as the API server says.
    pub version: Source<String>,
    /// Whose Kubernetes it is.
    pub distribution: Distribution,
}

/// Whose Kubernetes it is; decides what counts as stock, and what nobody can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// kubeadm, or processes with kubeadm's flags.
    #[default]
    Kubeadm,
    /// Amazon EKS.
    Eks,
    /// Google GKE.
    Gke,
    /// Azure AKS.
    Aks,
    /// k3s and RKE2.
    K3s,
}

impl Distribution {
    /// Whether somebody else runs the control plane, so that its flags cannot be seen.
    pub const fn is_managed(self) -> bool {
        matches!(self, Self::Eks | Self::Gke | Self::Aks)
    }

    /// From the API server's version (`v1.33.1-eks-…`, `-gke.…`, `+k3s1`), which managed clusters mark.
    pub fn of_version(version: &str) -> Self {
        let marks = [
            ("-eks-", Self::Eks),
            ("-gke.", Self::Gke),
            ("+k3s", Self::K3s),
            ("+rke2", Self::K3s),
        ];
        let found = marks.iter().find(|(mark, _)| version.contains(mark));
        found.map_or(Self::Kubeadm, |(_, distribution)| *distribution)
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubeadm => "kubeadm",
            Self::Eks => "EKS",
            Self::Gke => "GKE",
            Self::Aks => "AKS",
            Self::K3s => "k3s",
        })
    }
}

/// Roles and their bindings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rbac {
    /// Cluster-wide roles; the rules of aggregated ones as the controller filled them in.
    pub cluster_roles: Source<Vec<Role>>,
    /// Their bindings for the whole cluster.
    pub cluster_role_bindings: Source<Vec<Binding>>,
    /// Roles of namespaces.
    pub roles: Source<Vec<Role>>,
    /// Bindings in namespaces.
    pub role_bindings: Source<Vec<Binding>>,
}

/// What admission is set up to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// Validating and mutating webhook configurations.
    pub webhooks: Source<Vec<WebhookConfiguration>>,
    /// ValidatingAdmissionPolicies.
    pub policies: Source<Vec<Policy>>,
    /// Their bindings.
    pub policy_bindings: Source<Vec<PolicyBinding>>,
    /// Policies of Kyverno and Gatekeeper, as far as they enforce.
    pub engines: Source<Vec<Engine>>,
}

/// Something that was collected, or why it was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source<T> {
    /// It was collected, whole.
    Known(T),
    /// It was not.
    Absent(Absence),
}

impl<T> Source<T> {
    /// It, or the reason.
    ///
    /// # Errors
    /// Why it is not there.
    pub const fn get(&self) -> Result<&T, &Absence> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Absent(absence) => Err(absence),
        }
    }

    /// It, if it is there.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// It, to be changed.
    pub const fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// Not there, for this reason.
    pub fn absent(why: Why, text: impl Into<String>) -> Self {
        Self::Absent(Absence {
            why,
            text: text.into(),
        })
    }
}

/// Why something was not collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// In one word.
    pub why: Why,
    /// In a sentence, with what would mend it.
    pub text: String,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Kinds of absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A right is missing.
    Forbidden,
    /// This cluster has no such thing.
    Unsupported,
    /// It was not asked for.
    NotAsked,
    /// Somebody else holds it: the provider of a managed cluster.
    Hidden,
    /// It was asked for and the answer could not be used.
    Failed,
    /// There is more of it than is read.
    TooLarge,
}

/// Why a document is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not JSON of this form.
    #[error("it is not a snapshot of `kubestile assess --save`")]
    Form(#[source] serde_json::Error),
    /// It was written by another version.
    #[error("it has the form `{found}`, and this program reads `{VERSION}`: take it again")]
    Version {
        /// What it says.
        found: String,
    },
}

impl Snapshot {
    /// Reads a saved snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`] if it is none, or one of another version.
    pub fn from_json(text: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Head {
            version: String,
        }
        let head: Head = serde_json::from_slice(text).map_err(SnapshotError::Form)?;
        if head.version != VERSION {
            let found = head.version.chars().filter(|c| !c.is_control());
            return Err(SnapshotError::Version {
                found: found.take(100).collect(),
            });
        }
        serde_json::from_slice(text).map_err(SnapshotError::Form)
    }

    /// One of which nothing is known yet, for the collectors to fill.
    pub fn empty(taken: Timestamp, name: &str, server: &str) -> Self {
        fn none<T>() -> Source<T> {
            not_collected()
        }
        Self {
            version: VERSION.to_owned(),
            taken,
            cluster: Cluster {
                name: name.to_owned(),
                server: server.to_owned(),
                version: none(),
                distribution: Distribution::default(),
            },
            rbac: Rbac {
                cluster_roles: none(),
                cluster_role_bindings: none(),
                roles: none(),
                role_bindings: none(),
            },
            service_accounts: none(),
            token_secrets: none(),
            csrs: none(),
            admission: Admission {
                webhooks: none(),
                policies: none(),
                policy_bindings: none(),
                engines: none(),
            },
            namespaces: none(),
            control_plane: ControlPlane {
                api_server: none(),
                authentication: none(),
                authorization: none(),
                audit_policy: none(),
                directory: None,
            },
            aws_auth: none(),
            anonymous: none(),
            nobody: none(),
            machine: Machine {
                kubeconfigs: none(),
                kuberc: none(),
            },
            gate: none(),
            traffic: no_traffic(),
        }
    }

    /// The minor version of the API server: 36 of `v1.36.3`.
    pub fn minor(&self) -> Option<u32> {
        let version = self.cluster.version.known()?;
        let mut parts = version.trim_start_matches('v').split('.');
        let _major = parts.next()?;
        let minor: String = parts
            .next()?
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        minor.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back_and_another_form_is_refused() {
        let snapshot = Snapshot::empty(Timestamp::from_secs(1), "c", "https://c");
        let text = serde_json::to_vec(&snapshot).unwrap();
        assert_eq!(Snapshot::from_json(&text).unwrap(), snapshot);
        let error = Snapshot::from_json(br#"{"version":"other"}"#).unwrap_err();
        assert!(error.to_string().contains("`other`"), "{error}");
        assert!(Snapshot::from_json(b"[]").is_err());
    }

    #[test]
    fn versions_say_whose_kubernetes_it_is() {
        for (version, distribution) in [
            ("v1.36.3", Distribution::Kubeadm),
            ("v1.33.1-eks-7c5d3d2", Distribution::Eks),
            ("v1.32.2-gke.1182001", Distribution::Gke),
            ("v1.33.1+k3s1", Distribution::K3s),
        ] {
            assert_eq!(Distribution::of_version(version), distribution);
        }
        let mut snapshot = Snapshot::empty(Timestamp::from_secs(1), "c", "https://c");
        assert_eq!(snapshot.minor(), None);
        snapshot.cluster.version = Source::Known("v1.36+.3".to_owned());
        assert_eq!(snapshot.minor(), Some(36));
    }
}
