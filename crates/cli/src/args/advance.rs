//! The way to the next stage.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kubestile_assess::Stage;

use super::assess::Source;

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct Aim {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The stage to reach [default: the next one]
    #[arg(long, value_name = "STAGE")]
    pub(crate) to: Option<Stage>,
    /// Context of the way in when all else fails: tried, and never locked out
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) break_glass: Option<String>,
    /// Identity provider that people log in with: https://… as its tokens say
    #[arg(long, value_name = "URL", requires = "audience")]
    pub(crate) issuer: Option<String>,
    /// What the identity provider calls this cluster, and no other
    #[arg(long, value_name = "NAME", requires = "issuer")]
    pub(crate) audience: Option<String>,
    /// Let images come from here only; may be repeated
    #[arg(long = "registry", value_name = "PREFIX")]
    pub(crate) registries: Vec<String>,
}

/// What to make of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Table,
    /// For people, with everything
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
    /// A file for each change, and a script of kubectl commands
    Patches,
    /// An overlay for Kustomize
    Kustomize,
    /// The text of a pull request, as Markdown
    Pr,
}

/// How far a change that refuses something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// What it would refuse is written to the API server's audit log
    Audit,
    /// And whoever does it is warned
    Warn,
    /// It refuses
    Deny,
}

/// How the API server takes up changes of its files.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Shell command that starts the API server anew, where no kubelet does
    #[arg(long = "restart", value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// `kubestile advance`
#[derive(Debug, Subcommand)]
pub(crate) enum Advance {
    /// Show the changes that lead to the next stage, tried on a snapshot; changes nothing
    Plan {
        #[command(flatten)]
        aim: Aim,
        /// Output format
        #[arg(
            short = 'o',
            long = "output",
            value_enum,
            default_value_t,
            value_name = "FORMAT",
            hide_default_value = true
        )]
        form: Form,
        /// Where to write files (of patches and kustomize): a directory that is not there yet
        #[arg(
            long,
            value_name = "DIR",
            required_if_eq_any([("form", "patches"), ("form", "kustomize")])
        )]
        into: Option<PathBuf>,
    },
    /// Make the changes, one at a time, each tried by the API server first
    #[command(after_help = "\
Each step is made as a dry run, then for real, and written to the journal with what takes it back.
What refuses something (pod security, admission policies) goes one stage further each time, from audit
to warn to deny; what it would have refused is shown before. It goes no further while there is something.
The way in of --break-glass is tried before and after each change: it must be able to undo it.
To undo everything: kubestile advance rollback JOURNAL")]
    Apply {
        #[command(flatten)]
        aim: Aim,
        /// Only this control's step; may be repeated
        #[arg(long = "only", value_name = "CONTROL")]
        only: Vec<String>,
        /// Take what refuses something up to this stage, by the ones between [default: one further]
        #[arg(long, value_enum, value_name = "STAGE")]
        stage: Option<To>,
        /// Go on to deny although something would be refused
        #[arg(long)]
        accept_violations: bool,
        #[command(flatten)]
        restart: Restart,
        /// Where to write what was done and how to undo it
        #[arg(long, value_name = "FILE", default_value = "advance.json")]
        journal: PathBuf,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
    /// Take back what a journal says was done, last first
    Rollback {
        /// The journal
        journal: PathBuf,
        /// Only the last so many changes
        #[arg(long, value_name = "NUMBER")]
        last: Option<usize>,
        #[command(flatten)]
        restart: Restart,
        /// Context of the kubeconfig [default: the current one]
        #[arg(long, value_name = "NAME")]
        context: Option<String>,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}
