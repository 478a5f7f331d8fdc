//! The assessment.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kubestile_assess::Stage;

use super::StateDir;

/// How an assessment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Report {
    /// The five steps, and what matters most
    #[default]
    Table,
    /// The same, then every control on a line
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// OCSF 1.9.0 Compliance Findings, a line each, for what collects findings
    Ocsf,
    /// JUnit XML, for pipelines
    Junit,
    /// One page for a browser that needs nothing else
    Html,
}

/// What is assessed.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Kubeconfig [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Assess a saved snapshot instead of a cluster
    #[arg(long, value_name = "FILE", conflicts_with_all = ["context", "kubeconfig"])]
    pub(crate) from: Option<PathBuf>,
    /// Directory with the control plane's files, such as /etc/kubernetes
    #[arg(long, value_name = "DIR")]
    pub(crate) control_plane_dir: Option<PathBuf>,
    /// Send no probes; what only they decide is then unknown
    #[arg(long)]
    pub(crate) no_probes: bool,
    #[command(flatten)]
    pub(crate) logs: Logs,
    /// Accepted findings, each with owner, reason and end (YAML)
    #[arg(long, value_name = "FILE")]
    pub(crate) exceptions: Option<PathBuf>,
    /// The gate before it: its state directory, or the URL of a login [default: that of --dir]
    #[arg(long, value_name = "DIR|URL", conflicts_with = "from")]
    pub(crate) gate: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateDir,
}

/// What was really done.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Audit log of the API server, also gzipped or from EKS, GKE, AKS; repeatable, - is stdin
    #[arg(long = "audit-log", value_name = "FILE")]
    pub(crate) audit: Vec<PathBuf>,
    /// Directory of a gate's own log, as the second source
    #[arg(long, value_name = "DIR")]
    pub(crate) gate_log: Option<PathBuf>,
    /// The gate's name for this cluster, if its log is of several
    #[arg(long, value_name = "NAME", requires = "gate_log")]
    pub(crate) cluster: Option<String>,
    /// Count only what came in since then: 2h, 30d, or a time
    #[arg(long, value_name = "TIME")]
    pub(crate) audit_since: Option<String>,
}

/// `kubestile assess`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  kubestile assess                              where the current context's cluster stands
  kubestile assess -o html > report.html
  kubestile assess --save monday.json           and later: kubestile assess --from monday.json
  kubestile assess --audit-log /var/log/kubernetes/audit.log    and how people really came
  kubestile assess --gate https://gate.example.com    and what the gate before it shows of itself
  kubestile assess explain S0-04
  kubestile assess diff monday.json friday.json
  kubestile assess --fail-below 1 -o junit      in a pipeline

It reads, and changes nothing. What your rights do not reach is unknown, and unknown is never a pass."
)]
pub(crate) struct Assess {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// Output format
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_default_value = true
    )]
    pub(crate) format: Report,
    /// Save what was collected, to be assessed again later
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) save: Option<PathBuf>,
    /// Exit with 3 below this stage (0 to 4)
    #[arg(long, value_name = "STAGE")]
    pub(crate) fail_below: Option<Stage>,
    /// Print the least rights that an assessment needs, as a role
    #[arg(long)]
    pub(crate) show_permissions: bool,
}

/// `kubestile assess COMMAND`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what a control asks for, why, and how it stands
    Explain {
        /// Its id, such as S0-04
        #[arg(value_name = "CONTROL")]
        control: String,
        /// Only what it asks for, without looking at a cluster
        #[arg(long)]
        offline: bool,
        #[command(flatten)]
        source: Box<Source>,
        #[command(flatten)]
        output: super::Output,
    },
    /// Say what has changed between two saved snapshots
    Diff {
        /// The older one
        before: PathBuf,
        /// The newer one
        after: PathBuf,
        #[command(flatten)]
        output: super::Output,
    },
}
