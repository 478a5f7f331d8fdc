//! The log.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kubestile_core::{AccessId, ClusterName, GrantId, ImportId, RequestId, SessionId};

use super::{Output, StateDir};

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct Log {
    #[command(flatten)]
    pub(crate) state: StateDir,
    /// Directory of a log, or of a copy of one [default: audit in the state directory]
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    pub(crate) log: Option<PathBuf>,
}

/// `kubestile audit`
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Verify the whole log: every record, every hash, the signed checkpoint
    #[command(after_help = "\
Examples:
  kubestile audit verify
  kubestile audit verify --log /mnt/copy --key 'gate.example.com/…+530d903a+AekyeRrm…'
  kubestile audit verify --since-checkpoint yesterday.checkpoint

The format is C2SP tlog-tiles: other tools can verify it too.")]
    Verify {
        #[command(flatten)]
        log: Log,
        /// Key to verify with (vkey) [default: log.vkey beside the log]
        #[arg(long, value_name = "VKEY")]
        key: Option<String>,
        /// An older checkpoint that the log must still contain; may be repeated
        #[arg(long = "since-checkpoint", value_name = "FILE")]
        older: Vec<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// Write a proof that a record is in the log, to be checked offline
    Prove {
        /// The request, or the record's index
        #[arg(value_name = "REQUEST|INDEX")]
        record: String,
        #[command(flatten)]
        log: Log,
        /// Key of the log (vkey) [default: log.vkey beside the log]
        #[arg(long, value_name = "VKEY")]
        key: Option<String>,
        /// Where to [default: standard output]
        #[arg(long, short = 'O', value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a proof made by `audit prove`, without the log
    Check {
        /// The proof (.tlog-proof)
        proof: PathBuf,
        /// Key of the log (vkey), as its owner gave it to you
        #[arg(long, value_name = "VKEY")]
        key: String,
        #[command(flatten)]
        output: Output,
    },
    /// Search the log
    #[command(after_help = "\
Examples:
  kubestile audit search --since 1h --decision deny
  kubestile audit search --person ana --kind pods -n shop --verb exec
  kubestile audit search --request 0199c3e2-… -o yaml")]
    Search(Search),
    /// Take in what an API server's own audit log says of a time without the gate
    #[command(after_help = "\
Examples:
  kubestile audit import --cluster prod --from 2026-11-24T08:00:00Z --until 2026-11-24T09:30:00Z \\
      --reason 'the gate was dead, INC-7' audit.log audit-2026-11-24.log.gz
  kubestile audit search --import 0199c3e2-…

After a sealed way in was opened (`kubestile break-glass open`). A marker begins and ends the gap: from when,
until when, why, the files' SHA-256, how many records. The records are marked as imported and never look like
the gate's own. Left out is what came through the gate: its account's requests that the gate's log knows.
Files are lines as API servers write them, or of EKS, GKE and AKS; gzipped or not; of one cluster. They are
read twice and must not change meanwhile. Doing it again doubles nothing.")]
    Import(Import),
    /// Follow the log
    Tail {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        log: Log,
        #[command(flatten)]
        output: Output,
        /// Show this many records that are there already
        #[arg(long, short = 'l', value_name = "N", default_value_t = 10)]
        lines: usize,
        /// Verify that what comes continues the signed log
        #[arg(long)]
        verify: bool,
    },
}

/// `kubestile audit import`
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Audit logs of the cluster's API servers
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Cluster, as the gate calls it
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: ClusterName,
    /// From when the gate was away: a time, a date, or how long ago (2h)
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Until when
    #[arg(long, value_name = "TIME")]
    pub(crate) until: String,
    /// Why the gate was away
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who you are: it stands in the marker as your own word
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// Also what came through the gate, which has its own records of it
    #[arg(long)]
    pub(crate) all: bool,
    /// Without what the cluster's own components read; the marker counts it
    #[arg(long)]
    pub(crate) without_components: bool,
    /// User of the gate's account in the cluster [default: its service account]
    #[arg(long, value_name = "USER", conflicts_with = "all")]
    pub(crate) gate_account: Option<String>,
    /// Also a file that was imported for this time already: what is missing is added
    #[arg(long)]
    pub(crate) again: bool,
    /// Only count what would be imported
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) state: StateDir,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `kubestile audit search`
#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) filter: Filter,
    #[command(flatten)]
    pub(crate) log: Log,
    #[command(flatten)]
    pub(crate) output: Output,
    /// From then: a time, a date, or how long ago (2h)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Until then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most this many, the latest
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
}

/// Which records.
#[derive(Debug, Default, Args)]
pub(crate) struct Filter {
    /// Of this person
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Option<String>,
    /// With this verb or action (get, delete, exec, cp …)
    #[arg(long, value_name = "VERB")]
    pub(crate) verb: Option<String>,
    /// On this kind of resource (pods, deployments.apps …)
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// In this namespace
    #[arg(long, short, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// On this object
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// On this cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
    /// With this decision (allow, deny, hold), `refused` before one, or `imported` without one
    #[arg(long, value_name = "DECISION")]
    pub(crate) decision: Option<String>,
    /// Of this run of kubectl
    #[arg(long, value_name = "ID")]
    pub(crate) invocation: Option<String>,
    /// This request, with how it ended
    #[arg(long, value_name = "REQUEST")]
    pub(crate) request: Option<RequestId>,
    /// Of this session
    #[arg(long, value_name = "SESSION")]
    pub(crate) session: Option<SessionId>,
    /// Of this access request: asked, answered, and the request that it let pass
    #[arg(long, value_name = "ID")]
    pub(crate) access: Option<AccessId>,
    /// Of this grant, from its asking to its end, with every request that it covered
    #[arg(long, value_name = "ID")]
    pub(crate) grant: Option<GrantId>,
    /// Of this import of an API server's log, with the marker of its gap
    #[arg(long, value_name = "ID")]
    pub(crate) import: Option<ImportId>,
    /// Discovery too, which every kubectl run does
    #[arg(long)]
    pub(crate) discovery: bool,
}
