//! Asking for access, and answering.

use std::time::Duration;

use clap::{Args, Subcommand};
use kubestile_core::grant::ObjectPattern;
use kubestile_core::{AccessId, ClusterName, GrantId, Namespace};

use super::Output;
use super::break_glass;
use super::client::Gate;
use crate::clock::duration;

/// `kubestile approvals`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  kubestile approvals                    what waits, and you may see
  kubestile approvals -w                 as it comes
  kubestile approvals show 7K2P-…        all about one, with what would be lost
  kubestile approvals --open             the same in a browser

Answer with `kubestile approve` or `kubestile deny`."
)]
pub(crate) struct Approvals {
    #[command(subcommand)]
    pub(crate) command: Option<ApprovalsCommand>,
    #[command(flatten)]
    pub(crate) list: ApprovalsList,
}

/// What of approvals.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List what waits; with --all what was answered too
    List(ApprovalsList),
    /// Show one request: who, what, where from, what would be lost
    Show {
        /// The request
        #[arg(value_name = "ID")]
        id: AccessId,
        /// Open it in the browser, signed in by this session
        #[arg(long, conflicts_with = "format")]
        open: bool,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        output: Output,
    },
    /// Take back what you asked for
    Withdraw {
        /// The request
        #[arg(value_name = "ID")]
        id: AccessId,
        #[command(flatten)]
        gate: Gate,
    },
    /// Show how long people wait, and how many are denied
    Stats {
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        output: Output,
    },
}

/// Which requests.
#[derive(Debug, Args)]
pub(crate) struct ApprovalsList {
    /// Those that are over, too
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Go on and print what changes
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// Open them in the browser, signed in by this session
    #[arg(long, conflicts_with_all = ["all", "watch", "format"])]
    pub(crate) open: bool,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile approve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile approve 7K2P-9QXD-M4TC               shows it, and asks
  kubestile approve 7K2P-9QXD-M4TC --command     the rest of the same command too, for 5 minutes
  kubestile approve 7K2P-9QXD-M4TC --command=15m --yes

An approval is for exactly what was shown: cluster, request, body. Nobody approves their own.")]
pub(crate) struct Approve {
    /// The request
    #[arg(value_name = "ID")]
    pub(crate) id: AccessId,
    /// The rest of the same command too: same session, verb, kind and namespace [for 5m if not said]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5m"
    )]
    pub(crate) command: Option<Duration>,
    /// All requests that `kubestile approvals` shows in one row with it, each as shown
    #[arg(long, conflicts_with = "command")]
    pub(crate) group: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile deny`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  kubestile deny 7K2P-9QXD-M4TC --reason 'not before the backup is done'")]
pub(crate) struct Deny {
    /// The request
    #[arg(value_name = "ID")]
    pub(crate) id: AccessId,
    /// Why; the requester is shown it
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) gate: Gate,
}

/// What a grant is to give.
#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// Job function's role
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,
    /// Namespace; may be repeated [default: the whole cluster]
    #[arg(long = "namespace", short = 'n', value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<Namespace>,
    /// Cluster [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// Kind, or kind and name; may be repeated [default: all]
    #[arg(long = "object", value_name = "OBJECT")]
    pub(crate) objects: Vec<ObjectPattern>,
    /// For how long: `2h`, `90m`
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) length: Duration,
    /// Ticket that it is for
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<String>,
}

/// `kubestile request`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubestile request --role operator -n shop --for 2h --ticket OPS-12 --reason 'stuck rollout'
  kubestile request --role operator -n shop -n cart --for 30m --reason 'config typo'
  kubestile request --role operator -n shop --object deployments.apps/web --for 1h --reason … --no-wait

Waits for the approval, if one is needed, and then prints the grant; Ctrl-C takes the request back.
`kubestile access` says what you may ask for.")]
pub(crate) struct Request {
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// Why; most policies want to know
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) reason: String,
    /// Do not wait: print the request and end
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile grants`
#[derive(Debug, Subcommand)]
pub(crate) enum Grants {
    /// List your grants; with --all everybody's, if you may see them
    List {
        /// Everybody's
        #[arg(long, short)]
        all: bool,
        /// Only those that cover this namespace
        #[arg(long, short, value_name = "NAMESPACE")]
        namespace: Option<Namespace>,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        output: Output,
    },
    /// Show one grant
    Show {
        /// The grant
        #[arg(value_name = "GRANT")]
        id: GrantId,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        output: Output,
    },
    /// End a grant: open streams that live by it end within a second
    #[command(after_help = "\
Example:
  kubestile grants revoke G-7K2P-9QXD-M4TC --reason 'done earlier'")]
    Revoke {
        /// The grant
        #[arg(value_name = "GRANT")]
        id: GrantId,
        /// Why; the holder is shown it
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        gate: Gate,
    },
    /// Ask for the same once more, from now on
    #[command(after_help = "\
Example:
  kubestile grants extend G-7K2P-9QXD-M4TC --for 1h")]
    Extend {
        /// The grant
        #[arg(value_name = "GRANT")]
        id: GrantId,
        /// For how long from now: `1h`, `30m`
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        length: Duration,
        /// Do not wait: print the request and end
        #[arg(long)]
        no_wait: bool,
        #[command(flatten)]
        gate: Gate,
        #[command(flatten)]
        output: Output,
    },
    /// Say what you found when you looked at a break-glass grant
    #[command(after_help = "\
Example:
  kubestile grants review G-7K2P-9QXD-M4TC --note 'restarted web, nothing else; see INC-7'")]
    Review {
        /// The grant
        #[arg(value_name = "GRANT")]
        id: GrantId,
        /// What you found
        #[arg(long, value_name = "TEXT")]
        note: String,
        #[command(flatten)]
        gate: Gate,
    },
}

/// `kubestile access`
#[derive(Debug, Args)]
#[command(after_help = "\
What you have, until when, and what you may ask for; and the reviews that wait for you.")]
pub(crate) struct Access {
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile break-glass`
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  kubestile break-glass --role admin -n shop --for 30m --reason 'checkout is down, nobody answers'
  kubestile break-glass seal prod --context admin@prod      for the day the gate is dead
  kubestile break-glass open prod.sealed --reason 'the gate is gone' --share a --share b
  kubestile audit import --cluster prod --help              afterwards: what was done without the gate

At once and without an approval, for people whom a policy names. Everybody is told, all that you do is
recorded, and somebody else must review it within 24 hours."
)]
pub(crate) struct BreakGlass {
    #[command(subcommand)]
    pub(crate) without_gate: Option<break_glass::WithoutGate>,
    // What is required is so without a subcommand only; clap's `Option` of flattened arguments works where these
    // flatten nothing themselves.
    #[command(flatten)]
    pub(crate) terms: Option<Terms>,
    /// Why; everybody is told
    #[arg(long, value_name = "TEXT", required = true)]
    pub(crate) reason: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) gate: Gate,
    #[command(flatten)]
    pub(crate) output: Output,
}
