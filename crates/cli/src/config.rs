//! The configuration of a gate: what a file says ([`raw`]), made into what the server is built from.
//! A file is read as a whole and strictly: an unknown key, a double key or a wrong value is an error.

mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubestile_authn::TlsVersion;
use kubestile_control::OutsideConfig;
use kubestile_core::ClusterName;
use kubestile_gateway::Settings;

use crate::client::GateUrl;
use crate::exit::{Fail, Outcome};
use crate::files;
use crate::policies::PolicyFiles;

pub(crate) use raw::{LogFormat, RawConfig, RawMode};

/// A configuration whose every value is in range and of its type.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where clients connect. Port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The address that people use, if it is not the one listened on.
    pub(crate) public_url: Option<GateUrl>,
    /// Further names and addresses in the server certificate.
    pub(crate) names: Vec<String>,
    /// Keys, people, sessions and the log; 0700.
    pub(crate) state_dir: PathBuf,
    /// Where `/healthz`, `/readyz` and `/metrics` are.
    pub(crate) health: Option<SocketAddr>,
    /// The lowest version of TLS.
    pub(crate) tls: TlsVersion,
    /// How long sessions, certificates and login codes last.
    pub(crate) lifetimes: Lifetimes,
    /// Live sessions of one person.
    pub(crate) sessions_per_person: usize,
    /// The policies that apply.
    pub(crate) policies: PolicyFiles,
    /// Clusters that the file names, beside those added with `cluster add`.
    pub(crate) clusters: Vec<StaticCluster>,
    /// Clusters that are served although the gate's account can do more than it should.
    pub(crate) despite_excess: Vec<ClusterName>,
    /// How often accounts are checked.
    pub(crate) check_every: Duration,
    /// Limits of the data plane.
    pub(crate) settings: Settings,
    /// Tickets, notifications and pipelines.
    pub(crate) outside: OutsideConfig,
    /// The server's own log: its form and its filter.
    pub(crate) logging: (LogFormat, String),
}

/// How long things last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    /// A session.
    pub(crate) session: Duration,
    /// A client certificate.
    pub(crate) certificate: Duration,
    /// A login code.
    pub(crate) code: Duration,
}

/// A cluster that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticCluster {
    /// Its name behind the gate.
    pub(crate) name: ClusterName,
    /// How it is reached.
    pub(crate) source: ClusterSource,
}

/// How a cluster of the configuration is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClusterSource {
    /// A context of a kubeconfig.
    Context {
        /// The file.
        kubeconfig: PathBuf,
        /// The context; `None` takes the file's current one.
        context: Option<String>,
    },
    /// The cluster that the gate runs in, as its own service account.
    InCluster,
}

impl Config {
    /// Reads a configuration file.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        RawConfig::parse(&files::read_existing(path)?)
            .and_then(RawConfig::resolve)
            .map_err(|error| {
                Fail::config(format!("`{}`: {error}", path.display()))
                    .hint("`kubestile config check FILE` shows what is understood")
            })
    }

    /// All defaults, in a state directory.
    pub(crate) fn defaults(state_dir: PathBuf) -> Outcome<Self> {
        let raw = RawConfig {
            state_directory: Some(state_dir),
            ..RawConfig::default()
        };
        raw.resolve().map_err(Fail::config)
    }
}
