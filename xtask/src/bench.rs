//! `cargo xtask bench`: the gate beside direct access, nginx, haproxy and `kubectl proxy`, in one run.
//! Nothing fails because a figure is bad: it is reported.

mod assess;
mod commands;
mod gate;
mod goals;
mod load;
mod machine;
mod origin;
mod peer;
mod process;
mod progress;
mod report;
mod reviews;
mod rows;
mod sample;
mod tls;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use self::machine::Facts;
use self::peer::{Kind, Stage};
use self::progress::Progress;
use self::rows::{Plan, Row};
use crate::workspace::{self, say};

/// Debian packages of the peers, each with the program that it brings.
const PACKAGES: [&str; 2] = ["nginx", "haproxy"];

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// A short run, to see that everything works; its figures mean little
    #[arg(long)]
    quick: bool,
    /// Only this row; may be repeated
    #[arg(long, value_enum, value_name = "ROW")]
    only: Vec<Row>,
    /// Rounds in which the peers take turns [default: 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Seconds of each measurement of a closed loop [default: 3]
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Watches that are held open [default: 5000]
    #[arg(long, value_name = "N")]
    watches: Option<usize>,
    /// Something that whoever reads the results should know; may be repeated
    #[arg(long, value_name = "TEXT")]
    remark: Vec<String>,
    /// Print the figures and write no files
    #[arg(long)]
    no_files: bool,
    /// Use the binaries beside this one, optimised or not
    #[arg(long, hide = true)]
    as_built: bool,
    /// Serve as the origin, from this directory
    #[arg(long, hide = true, value_name = "DIR")]
    origin: Option<PathBuf>,
}

/// What is measured beside the gate.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// The assessor, with a large cluster and its audit log
    Assess(assess::Args),
}

/// Runs it.
///
/// # Errors
/// What is missing on this machine, or which peer does not work.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(Other::Assess(args)) = &args.other {
        return assess::run(args);
    }
    if let Some(dir) = &args.origin {
        return origin::run(dir);
    }
    let root = workspace::root()?;
    if cfg!(debug_assertions) && !args.as_built {
        return build_and_run();
    }
    install()?;
    let measuring = || measure(args, &root);
    // A thread of its own, because it is kept on one core for the rest of its life.
    std::thread::scope(|scope| scope.spawn(measuring).join())
        .map_err(|_| anyhow::anyhow!("the bench panicked"))?
}

/// The load generator and the origin must not be what is slow: they are built as the gate is.
fn build_and_run() -> Result<()> {
    let build = [
        "build",
        "--workspace",
        "--release",
        "--locked",
        "--bin",
        "kubestile",
        "--bin",
        "xtask",
    ];
    workspace::run("cargo", &build)?;
    let optimised = target()?.join("release/xtask");
    let status = Command::new(&optimised)
        .args(std::env::args_os().skip(1))
        .status()
        .with_context(|| format!("`{}`", optimised.display()))?;
    ensure!(status.success(), "the bench did not end well");
    Ok(())
}

/// Where cargo puts what it builds, wherever that is: this program is one folder below.
fn target() -> Result<PathBuf> {
    let own = std::env::current_exe().context("no path of this program")?;
    let target = own.parent().and_then(Path::parent);
    Ok(target.context("this program lies in no folder")?.to_owned())
}

fn measure(args: &Args, root: &Path) -> Result<()> {
    let cores = machine::cores()?;
    let open_files = machine::raise_open_files();
    let plan = plan(args);
    let rows: Vec<Row> = match args.only.as_slice() {
        [] => Row::ALL.to_vec(),
        only => Row::ALL
            .into_iter()
            .filter(|row| only.contains(row))
            .collect(),
    };
    let mut remarks = args.remark.clone();
    if cfg!(debug_assertions) {
        remarks.push("NOT optimised: debug binaries".to_owned());
    }
    enough_files(&plan, open_files, &mut remarks)?;
    let without = missing(&mut remarks);
    let progress = Progress::new();
    let kubestile = std::env::current_exe()?.with_file_name("kubestile");
    let mut stage = Stage::set(&target()?, kubestile, cores)?;
    let facts = Facts::gather(root, stage.dir(), cores, open_files);
    let mut measured = Vec::new();
    for row in rows {
        progress.row(&row.title(&plan));
        match rows::run(row, &mut stage, &plan, &without, &progress) {
            Ok(done) => measured.push(done),
            // The other rows are worth having all the same.
            Err(error) => {
                let remark = format!("`{}` could not be measured: {error:#}", row.id());
                progress.line(&remark);
                let dir = stage.dir().display().to_string();
                remarks.push(remark.replace(&dir, "$DIR"));
            }
        }
    }
    drop(progress);
    let goals = goals::judge(&measured);
    let report = report::Report {
        facts: &facts,
        plan: &plan,
        command: command_line(),
        measured: &measured,
        goals: &goals,
        configurations: stage.configurations(),
        remarks,
    };
    std::io::stdout().write_all(report.text().as_bytes())?;
    if args.no_files {
        return Ok(());
    }
    for file in report.write(&root.join("bench/results"))? {
        let shown = file.strip_prefix(root).unwrap_or(&file);
        say(&format!("written: {}", shown.display()));
    }
    Ok(())
}

fn plan(args: &Args) -> Plan {
    let pick = |long, short| if args.quick { short } else { long };
    let rounds = args.rounds.unwrap_or(pick(5, 1)).max(1);
    Plan {
        rounds,
        memory_rounds: rounds.min(3),
        seconds: args.seconds.unwrap_or(pick(3, 1) as u64).max(1),
        lists: u32::try_from(pick(5, 1)).unwrap_or(1),
        watches: args.watches.unwrap_or(pick(5000, 200)).max(1),
        commands: pick(20, 3),
    }
}

/// A proxy has two files open for a watch, and some besides.
fn enough_files(plan: &Plan, open_files: u64, remarks: &mut Vec<String>) -> Result<()> {
    let needed = plan.watches as u64 * 2 + 500;
    if needed > open_files {
        bail!(
            "{} watches need {needed} open files and {open_files} are allowed: \
             run `ulimit -n {needed}` as root before, or give fewer --watches",
            plan.watches
        );
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        remarks.push("one core only: proxies and load generator share it".to_owned());
    }
    Ok(())
}

/// Peers that cannot be had here.
fn missing(remarks: &mut Vec<String>) -> Vec<Kind> {
    let needed = [
        (Kind::Nginx, "nginx"),
        (Kind::Haproxy, "haproxy"),
        (Kind::KubectlProxy, "kubectl"),
    ];
    let gone = needed
        .into_iter()
        .filter(|(_, name)| peer::program(name).is_err());
    gone.map(|(kind, name)| {
        remarks.push(format!(
            "without {}: `{name}` is not on this machine",
            kind.name()
        ));
        kind
    })
    .collect()
}

fn install() -> Result<()> {
    let gone: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|name| peer::program(name).is_err())
        .collect();
    if gone.is_empty() || !rustix::process::getuid().is_root() {
        return Ok(());
    }
    workspace::run("apt-get", &["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&gone);
    workspace::run("apt-get", &install).context("the peers could not be installed")
}

fn command_line() -> String {
    let mut words = vec!["cargo xtask".to_owned()];
    words.extend(std::env::args().skip(1));
    words.join(" ")
}
