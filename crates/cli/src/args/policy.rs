//! Policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kubestile_core::{ClusterName, JobFunction};

use super::Output;

/// Which policies.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// Directory of further policies (*.cedar); may be repeated
    #[arg(
        long = "policies",
        short = 'p',
        value_name = "DIR",
        env = "KUBESTILE_POLICIES"
    )]
    pub(crate) dirs: Vec<PathBuf>,
    /// Leave out the policies that come with Kubestile
    #[arg(long)]
    pub(crate) no_base: bool,
    /// Id of one of them whose place a policy of the same id takes; may be repeated
    #[arg(long, value_name = "ID", conflicts_with = "no_base")]
    pub(crate) replace: Vec<String>,
}

/// `kubestile policy`
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check that policies load: syntax, schema, ids and reasons
    Check {
        #[command(flatten)]
        sources: Sources,
    },
    /// Run the tests that stand beside policies in Markdown (*.md)
    Test {
        #[command(flatten)]
        sources: Sources,
        /// Only tests whose name contains this
        #[arg(value_name = "WORD")]
        filter: Option<String>,
    },
    /// Say what would be decided about a command, by which policy, and why
    #[command(after_help = "\
Examples:
  kubestile policy explain --function viewer -- kubectl delete deployment web -n shop
  kubestile policy explain --as-person ana --function operator:shop -- exec -n shop web -- sh
  kubestile policy explain --function viewer -- GET /api/v1/namespaces/shop/secrets")]
    Explain(Explain),
    /// List policies
    List {
        #[command(flatten)]
        sources: Sources,
        #[command(flatten)]
        output: Output,
    },
}

/// `kubestile policy explain`
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// Who would ask
    #[arg(long, value_name = "NAME", default_value = "somebody")]
    pub(crate) as_person: String,
    /// Job function of theirs; may be repeated
    #[arg(long = "function", value_name = "FUNCTION")]
    pub(crate) functions: Vec<JobFunction>,
    /// Group of theirs; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// On which cluster
    #[arg(long, value_name = "NAME", default_value = "cluster")]
    pub(crate) cluster: ClusterName,
    #[command(flatten)]
    pub(crate) output: Output,
    /// A kubectl command, or METHOD and path
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<String>,
}
