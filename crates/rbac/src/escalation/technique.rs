//! The techniques, with their MITRE ATT&CK ids.

use serde::Serialize;

/// How an attacker takes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Technique {
    /// Holds every verb on everything.
    Everything,
    /// Is, or contains, what it steps to.
    Includes,
    /// Binds a role to itself that it may `bind`.
    Bind,
    /// Writes rules into a role that is bound to it, or that its binding waits for, with `escalate`.
    Escalate,
    /// Writes rules, with `escalate`, into a role from which one that is bound to it gets its own.
    Aggregate,
    /// Acts as somebody else by impersonation headers.
    Impersonate,
    /// Asks for a token of a service account.
    Token,
    /// Creates a Secret that the controller fills with a token, and reads it.
    SecretMint,
    /// Reads Secrets.
    SecretRead,
    /// Runs a pod as any service account of the namespace.
    Workload,
    /// Runs a pod that takes over its node.
    PrivilegedPod,
    /// Mounts the node's disk through a volume that admission of pods does not look into.
    HostVolume,
    /// Lifts the limits on pods of a namespace, then runs one.
    RelaxNamespace,
    /// Runs a command in a pod that is there.
    Exec,
    /// Reaches the kubelet through the API server, past audit and admission.
    Kubelet,
    /// Has a client certificate signed for any name.
    Certificate,
    /// Changes what others write, or sees it, by admission.
    Admission,
    /// Makes pods move to a node that it owns.
    StealPods,
    /// Maps a cloud identity to any user.
    AwsAuth,
    /// Makes a bootstrap token and joins as a node.
    BootstrapToken,
    /// Stands between clients and what they call.
    Intercept,
    /// Has an operator act for it.
    Deputy,
}

impl Technique {
    /// Its MITRE ATT&CK technique.
    #[must_use]
    pub const fn mitre(self) -> &'static str {
        match self {
            Self::Everything | Self::Includes => "T1078",
            Self::Bind | Self::Escalate | Self::Aggregate | Self::AwsAuth => "T1098.006",
            Self::Impersonate => "T1134",
            Self::Token | Self::SecretMint => "T1550.001",
            Self::SecretRead => "T1552.007",
            Self::Workload | Self::Deputy => "T1610",
            Self::PrivilegedPod | Self::HostVolume | Self::StealPods => "T1611",
            Self::RelaxNamespace => "T1562",
            Self::Exec | Self::Kubelet => "T1609",
            Self::Certificate => "T1649",
            Self::Admission => "T1546",
            Self::BootstrapToken => "T1136",
            Self::Intercept => "T1557",
        }
    }

    /// One line for people.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Everything => "may do everything",
            Self::Includes => "includes",
            Self::Bind => "binds a role that it may bind",
            Self::Escalate => "writes any rule into a role of its own",
            Self::Aggregate => "writes any rule into a role that one of its own takes rules from",
            Self::Impersonate => "impersonates",
            Self::Token => "asks for a token",
            Self::SecretMint => "makes a token Secret and reads it",
            Self::SecretRead => "reads Secrets",
            Self::Workload => "runs a pod as any service account of the namespace",
            Self::PrivilegedPod => "runs a privileged pod",
            Self::HostVolume => "mounts the node's disk by a PersistentVolume",
            Self::RelaxNamespace => "lifts the limits on pods of the namespace",
            Self::Exec => "runs commands in running pods",
            Self::Kubelet => "commands the kubelet through nodes/proxy",
            Self::Certificate => "has a client certificate signed for any name",
            Self::Admission => "changes or sees what others write",
            Self::StealPods => "makes pods move to a node of its own",
            Self::AwsAuth => "maps a cloud identity to any user",
            Self::BootstrapToken => "makes a bootstrap token",
            Self::Intercept => "stands between others and what they call",
            Self::Deputy => "has an operator act for it",
        }
    }
}
