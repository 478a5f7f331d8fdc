//! The way to the next stage.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kubestile_assess::Stage;

use super::Output;
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
}

/// `kubestile advance`
#[derive(Debug, Subcommand)]
pub(crate) enum Advance {
    /// Show the changes that lead to the next stage, tried on a snapshot; changes nothing
    Plan {
        #[command(flatten)]
        aim: Aim,
        #[command(flatten)]
        output: Output,
    },
    /// Make the changes, one at a time, each tried by the API server first
    #[command(after_help = "\
Each step is made as a dry run, then for real, and written to the journal with what takes it back.
To undo everything: kubestile advance rollback JOURNAL")]
    Apply {
        #[command(flatten)]
        aim: Aim,
        /// Only this control's step; may be repeated
        #[arg(long = "only", value_name = "CONTROL")]
        only: Vec<String>,
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
        /// Context of the kubeconfig [default: the current one]
        #[arg(long, value_name = "NAME")]
        context: Option<String>,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
    },
}
