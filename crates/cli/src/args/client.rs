//! Logging in and out, and what kubectl calls.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;
use kubestile_core::SessionId;

use super::{Output, StateDir};
use crate::client::GateUrl;

/// `kubestile login`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile login https://127.0.0.1:8443 --code K7QF-2M9X-… --ca-fingerprint sha256:3f2a…
  kubestile login https://gate.example.com --ca gate-ca.pem
  kubestile login https://gate.example.com      while a session holds: only renew the contexts
  kubestile login https://gate.example.com --pipeline --ca gate-ca.pem     in a job of CI

The private key is made on this machine and never leaves it. The kubeconfig gets a context for each
cluster and holds no secret; kubectl asks `kubestile credential` for a certificate of one hour, which
is renewed silently while the session lasts. A gate that you have logged in at before is known by its
authority: no --ca is needed then.")]
pub(crate) struct Login {
    /// Address of the gate
    #[arg(value_name = "URL", env = "KUBESTILE_GATE")]
    pub(crate) url: GateUrl,
    /// One-time code [default: asked for on the terminal]
    #[arg(
        long,
        value_name = "CODE",
        env = "KUBESTILE_CODE",
        hide_env_values = true
    )]
    pub(crate) code: Option<String>,
    /// As the pipeline that this job belongs to, with the job's identity token
    #[arg(long, conflicts_with = "code")]
    pub(crate) pipeline: bool,
    /// File with the job's identity token [default: GitHub's is asked for, GitLab's is in
    /// KUBESTILE_ID_TOKEN]
    #[arg(
        long,
        value_name = "FILE",
        requires = "pipeline",
        conflicts_with = "token_env"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// Environment variable with the job's identity token
    #[arg(long, value_name = "NAME", requires = "pipeline")]
    pub(crate) token_env: Option<String>,
    /// Whom GitHub makes the token out to [default: the host of the gate's address]
    #[arg(long, value_name = "NAME", requires = "pipeline")]
    pub(crate) audience: Option<String>,
    /// File with the certificate of the gate's authority (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint")]
    pub(crate) ca: Option<PathBuf>,
    /// Fingerprint of the gate's authority, as `kubestile up` prints it
    #[arg(long, value_name = "sha256:HEX")]
    pub(crate) ca_fingerprint: Option<String>,
    /// What the names of the contexts start with
    #[arg(long, value_name = "PREFIX", default_value = "kubestile-")]
    pub(crate) context_prefix: String,
    /// Leave the current context as it is
    #[arg(long)]
    pub(crate) keep_context: bool,
}

/// Which login.
#[derive(Debug, Args)]
pub(crate) struct Gate {
    /// Address of the gate [default: that of the current context, or the only one]
    #[arg(long = "gate", value_name = "URL", env = "KUBESTILE_GATE")]
    pub(crate) url: Option<GateUrl>,
}

/// `kubestile logout`
#[derive(Debug, Args)]
pub(crate) struct Logout {
    #[command(flatten)]
    pub(crate) gate: Gate,
}

/// `kubestile whoami`
#[derive(Debug, Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile sessions`
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// List your sessions; with --all everybody's, on the gate's own machine
    List {
        /// Everybody's, through the admin socket
        #[arg(long, short)]
        all: bool,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        state: StateDir,
        #[command(flatten)]
        output: Output,
    },
    /// End a session: its streams end within a second
    #[command(after_help = "\
Examples:
  kubestile sessions end 0199c3e2-…             one of yours
  kubestile sessions end --all --person ana     everything of ana's, on the gate's own machine")]
    End {
        /// The session
        #[arg(value_name = "SESSION", required_unless_present = "person")]
        session: Option<SessionId>,
        /// Through the admin socket, whosever it is
        #[arg(long, short)]
        all: bool,
        /// All sessions of this person (with --all)
        #[arg(
            long,
            value_name = "NAME",
            requires = "all",
            conflicts_with = "session"
        )]
        person: Option<String>,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        state: StateDir,
    },
}

/// `kubestile credential`
#[derive(Debug, Args)]
#[command(after_help = "\
kubectl runs this itself: your kubeconfig names it as an exec credential plugin. It prints an
ExecCredential (client.authentication.k8s.io/v1) and nothing else. On a terminal it leaves a small
process that says when kubectl waits for an approval, and ends with kubectl; KUBESTILE_COMPANION=off
switches that off.")]
pub(crate) struct Credential {
    /// Directory of the login
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(crate) login: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) gate: Gate,
}

/// `kubestile companion`
#[derive(Debug, Args)]
pub(crate) struct Companion {
    /// Directory of the login
    #[arg(long, value_name = "DIR")]
    pub(crate) login: PathBuf,
    /// The kubectl to end with
    #[arg(long, value_name = "PID")]
    pub(crate) parent: i32,
    /// When it was started, in clock ticks since the machine was
    #[arg(long, value_name = "TICKS")]
    pub(crate) started: Option<u64>,
    /// Only requests since then, in microseconds since 1970
    #[arg(long, value_name = "MICROS")]
    pub(crate) since: i64,
}

/// `kubestile completion`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(kubestile completion bash)
  kubestile completion fish > ~/.config/fish/completions/kubestile.fish")]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}
