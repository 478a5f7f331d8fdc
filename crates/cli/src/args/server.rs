//! Running a gate.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use kubestile_core::{ClusterName, JobFunction};

use super::StateDir;
use crate::client::GateUrl;
use crate::config::RawMode;

/// `kubestile up`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile up                                 the current context's cluster, for you as a viewer
  kubestile up --context kind-dev --yes        no question asked
  kubestile up --function viewer --function operator:shop
  kubestile up --listen 0.0.0.0:8443 --public-url https://gate.example.com:8443

The first start shows what it will install in the cluster and asks. Later starts just serve.")]
pub(crate) struct Up {
    /// Context of your kubeconfig whose cluster goes behind the gate [default: the current one]
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// Name of the cluster behind the gate [default: made from the context's name]
    #[arg(long, alias = "cluster-name", value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    #[command(flatten)]
    pub(crate) state: StateDir,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// Address that people reach the gate by, if it is not the one it listens on
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<GateUrl>,
    /// Address for /healthz, /readyz and /metrics [default: none]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) health: Option<SocketAddr>,
    /// Name of the person to log in [default: your user name]
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// Job function of that person; may be repeated [default: viewer]
    #[arg(long = "function", value_name = "FUNCTION")]
    pub(crate) functions: Vec<JobFunction>,
    /// Directory of further policies (*.cedar) [default: `policies` in the state directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// What becomes of a request that needs an approval
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub(crate) hold: RawMode,
    /// Install the gate's account in the cluster without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `kubestile server`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile server --config /etc/kubestile/gate.yaml
  kill -HUP PID      reload policies and clusters
  kill -TERM PID     stop taking connections, let open requests end, then stop")]
pub(crate) struct Server {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// `kubestile config`
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a configuration file and show it with all defaults
    Check {
        /// Configuration file (YAML)
        file: PathBuf,
        /// Say nothing when it is fine
        #[arg(long, short)]
        quiet: bool,
    },
}
