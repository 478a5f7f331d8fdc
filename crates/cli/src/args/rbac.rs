//! Who may do what, and what they need.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;

/// `kubestile rbac COMMAND`
#[derive(Debug, Subcommand)]
pub(crate) enum Rbac {
    /// Say who may do something, by which binding and role
    WhoCan(WhoCan),
    /// List what somebody may do, by which binding
    Can(Can),
    /// Write the least roles and bindings that people really need
    Rightsize(Rightsize),
    /// Find job functions in what many people do
    Mine(Mine),
    /// Measure how much more people hold than they use
    Privilege(Privilege),
    /// List ways from somebody to everything, and what to cut
    Paths(Paths),
}

/// Which roles and bindings.
#[derive(Debug, Args)]
pub(crate) struct Rights {
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Kubeconfig [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Look into a saved snapshot instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["context", "kubeconfig"])]
    pub(crate) snapshot: Option<PathBuf>,
}

/// Where, as with kubectl.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Namespace [default: the context's, or `default` with --snapshot]
    #[arg(short = 'n', long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) namespace: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long = "all-namespaces")]
    pub(crate) all: bool,
}

/// Which audit logs.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// Audit log, also gzipped or from EKS, GKE, AKS; repeatable, - is stdin [default: the snapshot's]
    #[arg(long = "from", value_name = "FILE")]
    pub(crate) audit: Vec<PathBuf>,
    /// Directory of a gate's own log, as the second source
    #[arg(long, value_name = "DIR")]
    pub(crate) gate_log: Option<PathBuf>,
    /// The gate's name for this cluster, if its log is of several
    #[arg(long, value_name = "NAME", requires = "gate_log")]
    pub(crate) cluster: Option<String>,
    /// Count only what came in since then: 2h, 30d, or a time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}

/// `kubestile rbac who-can`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile rbac who-can delete secrets -n shop
  kubestile rbac who-can create pods/exec -A
  kubestile rbac who-can get deployments.apps web -n shop -o json
  kubestile rbac who-can get /metrics

It answers for RBAC, as the API server judges it; a cluster may have other authorizers beside it.")]
pub(crate) struct WhoCan {
    /// Verb, such as get, delete or impersonate
    pub(crate) verb: String,
    /// RESOURCE, RESOURCE.GROUP, RESOURCE/SUBRESOURCE, or a path
    pub(crate) resource: String,
    /// Name of the object [default: any]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) rights: Rights,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile rbac can`
#[derive(Debug, Args)]
pub(crate) struct Can {
    /// Who: user/NAME, group/NAME or serviceaccount/NAMESPACE/NAME
    pub(crate) subject: String,
    /// Groups that they are in beside
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) rights: Rights,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile rbac rightsize`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile rbac rightsize --from audit.log                     the roles people really need, as YAML
  kubestile rbac rightsize --from audit.log.gz --write roles/   a file for each, and a table
  kubestile rbac rightsize --from audit.log --subject user/alice --subject group/dev
  zcat audit-*.gz | kubestile rbac rightsize --from -

Rights hold only where they were used, and are never more than what is held today. What was refused is set
apart. For each subject it is proved that the new roles are within the old ones and that the whole log passes.")]
pub(crate) struct Rightsize {
    #[command(flatten)]
    pub(crate) from: From,
    /// Only these: user/NAME, group/NAME or serviceaccount/NAMESPACE/NAME; repeatable
    #[arg(long = "subject", value_name = "WHO")]
    pub(crate) subjects: Vec<String>,
    /// Roles for groups instead of the people in them
    #[arg(long)]
    pub(crate) groups: bool,
    /// Only what was done in this namespace
    #[arg(short = 'n', long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Write a file for each subject into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) rights: Rights,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile rbac mine`
#[derive(Debug, Args)]
pub(crate) struct Mine {
    #[command(flatten)]
    pub(crate) from: From,
    /// Log of a saved snapshot
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile rbac privilege`
#[derive(Debug, Args)]
pub(crate) struct Privilege {
    #[command(flatten)]
    pub(crate) from: From,
    #[command(flatten)]
    pub(crate) rights: Rights,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile rbac paths`
#[derive(Debug, Args)]
pub(crate) struct Paths {
    /// Only from this one: user/NAME, group/NAME or serviceaccount/NAMESPACE/NAME
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) rights: Rights,
    #[command(flatten)]
    pub(crate) output: Output,
}
