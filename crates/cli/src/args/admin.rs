//! Administering a gate, on its own machine through the admin socket.

use clap::{Args, Subcommand};
use kubestile_core::{ClusterName, JobFunction, Namespace};

use super::{Output, StateDir};

/// `kubestile people`
#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// Add a person and print a one-time login code
    #[command(after_help = "\
Examples:
  kubestile people add ana --function viewer
  kubestile people add ben@example.com --function viewer --function operator:shop@prod

A job function holds everywhere (viewer), in one namespace (operator:shop), or in one namespace of
one cluster (operator:shop@prod).")]
    Add {
        /// Name: letters, digits and . _ - @ +
        name: String,
        /// Job function; may be repeated [default: viewer]
        #[arg(long = "function", value_name = "FUNCTION")]
        functions: Vec<JobFunction>,
        /// Group that policies may speak of; may be repeated
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Make no login code
        #[arg(long)]
        no_code: bool,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        output: Output,
    },
    /// List people
    List {
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        output: Output,
    },
    /// Remove a person; their sessions end at once
    Remove {
        /// Name
        name: String,
        #[command(flatten)]
        state: StateDir,
    },
    /// Set a person's job functions, from the next request on
    #[command(after_help = "\
Examples:
  kubestile people functions ana viewer operator:shop
  kubestile people functions ana --none")]
    Functions {
        /// Name
        name: String,
        /// All the job functions that the person then has
        #[arg(value_name = "FUNCTION", required_unless_present = "none")]
        functions: Vec<JobFunction>,
        /// Take all away
        #[arg(long, conflicts_with = "functions")]
        none: bool,
        #[command(flatten)]
        state: StateDir,
    },
    /// Print a new one-time login code for a person
    Code {
        /// Name
        name: String,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        output: Output,
    },
}

/// `kubestile cluster`
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Put a cluster behind the gate: shows what it will install there, and asks
    #[command(after_help = "\
Examples:
  kubestile cluster add prod --context admin@prod
  kubestile cluster add prod --context admin@prod --dry-run     only show the plan

The context's administrator rights are used once. From then on the gate lives on short-lived tokens
of its own account, which may impersonate and nothing else.")]
    Add(ClusterAdd),
    /// Take a cluster away, and everything that was installed in it
    Remove {
        /// Name
        name: ClusterName,
        /// Context with the right to remove the account [default: the one it was added by]
        #[arg(long, value_name = "CONTEXT")]
        context: Option<String>,
        /// Leave what is installed in the cluster
        #[arg(long)]
        keep_account: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        state: StateDir,
    },
    /// List clusters and whether they are served
    List {
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        output: Output,
    },
    /// Bind the job functions in namespaces that are new since
    Sync {
        /// Name
        name: ClusterName,
        /// Context with the right to do so [default: the one it was added by]
        #[arg(long, value_name = "CONTEXT")]
        context: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        state: StateDir,
    },
    /// Check now that the gate's account can do no more than it should
    Check {
        /// Name
        name: ClusterName,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        output: Output,
    },
}

/// `kubestile cluster add`
#[derive(Debug, Args)]
pub(crate) struct ClusterAdd {
    /// Name of the cluster behind the gate
    pub(crate) name: ClusterName,
    /// Context of your kubeconfig with administrator rights [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Only show what would be installed
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) state: StateDir,
}

/// `kubestile roles`
#[derive(Debug, Subcommand)]
pub(crate) enum Roles {
    /// Print the account, roles and bindings as YAML, for GitOps
    #[command(after_help = "\
Example:
  kubestile roles render --namespace shop --namespace pay | kubectl apply -f -")]
    Render {
        /// Namespace to bind operator and admin in; may be repeated
        #[arg(long = "namespace", short, value_name = "NAMESPACE")]
        namespaces: Vec<Namespace>,
        /// Only constrained impersonation (Kubernetes 1.36 and later)
        #[arg(long)]
        constrained: bool,
    },
}
