//! A way in for the day on which the gate is dead.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use kubestile_core::ClusterName;

use super::Output;
use crate::clock::duration;

/// `kubestile break-glass seal` and what comes after it.
#[derive(Debug, Subcommand)]
pub(crate) enum WithoutGate {
    /// Seal a way into a cluster; some of its shares together open it
    Seal(Seal),
    /// Open a sealed way in, for a short time and without the gate
    Open(Open),
    /// Try a sealed way in from end to end, and throw away what it gave
    Drill(Drill),
    /// Take the way in out of the cluster
    Unseal(Unseal),
}

/// `kubestile break-glass seal`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  kubestile break-glass seal prod --context admin@prod --out /media/safe

Writes NAME.sealed and NAME.share-1, -2, …: give each share to another person, and the sealed file to all.
Any two of three open it (--shares, --needed); one alone says nothing. Whoever opens it has the cluster sign
client certificates of 8 hours at most, and is its administrator with them. Seal anew before it expires and when
somebody leaves: from then on the earlier file and what it gave give nothing.")]
pub(crate) struct Seal {
    /// Cluster, as you call it
    #[arg(value_name = "NAME")]
    pub(crate) name: ClusterName,
    /// Context of an administrator, used once [default: the current one]
    #[arg(long, value_name = "CTX")]
    pub(crate) context: Option<String>,
    /// Where to write the files [default: here]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How many shares
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=32))]
    pub(crate) shares: u8,
    /// How many of them open it
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=32))]
    pub(crate) needed: u8,
    /// How long the sealed way in can be opened; the cluster may shorten it
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "90d")]
    pub(crate) valid: Duration,
    /// Install without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// What opens it.
#[derive(Debug, Args)]
pub(crate) struct Shares {
    /// The sealed file
    #[arg(value_name = "FILE")]
    pub(crate) sealed: PathBuf,
    /// File with a share; may be repeated [default: they are asked for]
    #[arg(long = "share", value_name = "FILE")]
    pub(crate) shares: Vec<PathBuf>,
    /// Who opens it, by their own word; stands in the certificate, and so in the API server's log [default: $USER]
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) person: Option<String>,
}

/// `kubestile break-glass open`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  kubestile break-glass open prod.sealed --share prod.share-1 --share prod.share-3 --reason 'the gate is gone'

Needs neither the gate nor its disk. What is done then is in the API server's own audit log alone: afterwards,
`kubestile audit import` takes it into the gate's.")]
pub(crate) struct Open {
    #[command(flatten)]
    pub(crate) shares: Shares,
    /// Why; written to FILE.log before anything is opened
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// For how long: 10m to 8h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "1h")]
    pub(crate) length: Duration,
    /// Kubeconfig to write, with the key in it [default: NAME.kubeconfig beside the sealed file]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile break-glass drill`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  kubestile break-glass drill prod.sealed --share prod.share-1 --share prod.share-2

Has a real certificate signed and asks the API server what it may do, as `open` would. When it was last tried
stands beside the sealed file and on the ClusterRoleBinding kubestile-break-glass.")]
pub(crate) struct Drill {
    #[command(flatten)]
    pub(crate) shares: Shares,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile break-glass unseal`
#[derive(Debug, Args)]
pub(crate) struct Unseal {
    /// Context of an administrator [default: the current one]
    #[arg(long, value_name = "CTX")]
    pub(crate) context: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
