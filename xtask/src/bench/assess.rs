//! `cargo xtask bench assess`: how long the assessor takes for a large cluster, and how much memory.
//! The cluster is generated, the same one each time; nothing of it is real.

mod generate;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::machine::{self, Facts};
use super::sample::{Middle, middle};
use crate::workspace::{self, say};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Size of the audit log, in MiB
    #[arg(long, value_name = "N", default_value_t = 1024)]
    log: u64,
    /// Something that whoever reads the results should know; may be repeated
    #[arg(long, value_name = "TEXT")]
    remark: Vec<String>,
    /// Print the figures and write no files
    #[arg(long)]
    no_files: bool,
    /// Use the binary beside this one, optimised or not
    #[arg(long, hide = true)]
    as_built: bool,
}

/// What is asked of an assessment of such a cluster.
const SECONDS: f64 = 10.0;
const MIB: f64 = 1024.0;
/// Between two looks at the memory of a process.
const LOOK: Duration = Duration::from_millis(3);

/// One way to assess.
struct Case {
    id: &'static str,
    title: &'static str,
    arguments: Vec<String>,
}

/// What came out of it.
#[derive(Serialize)]
struct Figures {
    id: &'static str,
    title: &'static str,
    seconds: Middle,
    peak_mib: Middle,
    met: bool,
}

/// Runs it.
///
/// # Errors
/// What is missing on this machine, or that the assessor does not work.
pub(crate) fn run(args: &Args) -> Result<()> {
    let root = workspace::root()?;
    if cfg!(debug_assertions) && !args.as_built {
        return super::build_and_run();
    }
    let cores = machine::cores()?;
    machine::use_both(cores)?;
    let place = tempfile::tempdir().context("a directory")?;
    let (snapshot, log) = (
        place.path().join("snapshot.json"),
        place.path().join("audit.log"),
    );
    say("generating the cluster and its audit log");
    let stock = root.join("crates/assess/testdata/kubeadm-1.36.json");
    let size = generate::snapshot(&stock, &snapshot)?;
    generate::audit_log(&log, args.log << 20)?;
    let binary = std::env::current_exe()?.with_file_name("kubestile");
    let mut remarks = args.remark.clone();
    if cfg!(debug_assertions) {
        remarks.push("NOT optimised: debug binaries".to_owned());
    }
    let mut figures = Vec::new();
    for case in cases(&binary, &snapshot, &log, args.log, &mut remarks)? {
        say(case.title);
        figures.push(measure(&binary, &case, args.rounds.max(1))?);
    }
    let facts = Facts::gather(&root, place.path(), cores, machine::raise_open_files());
    let text = markdown(&facts, &figures, &size, args, &remarks);
    say(&text);
    if args.no_files {
        return Ok(());
    }
    let dir = root.join("bench/results");
    std::fs::create_dir_all(&dir)?;
    let day: String = facts.date.chars().take(10).collect();
    let name = format!("{day}-{}-assess", facts.commit.trim_end_matches('+'));
    let document = json!({
        "machine": facts, "cluster": size, "logMiB": args.log, "rounds": args.rounds,
        "remarks": remarks, "figures": figures,
    });
    std::fs::write(
        dir.join(format!("{name}.json")),
        serde_json::to_string_pretty(&document)? + "\n",
    )?;
    std::fs::write(dir.join(format!("{name}.md")), text)?;
    say(&format!("written: bench/results/{name}.md"));
    Ok(())
}

fn cases(
    binary: &Path,
    snapshot: &Path,
    log: &Path,
    mib: u64,
    remarks: &mut Vec<String>,
) -> Result<Vec<Case>> {
    let path = |p: &Path| p.display().to_string();
    let words = |more: &[&str]| -> Vec<String> {
        let mut all = vec!["--from".to_owned(), path(snapshot)];
        all.extend(more.iter().map(|w| (*w).to_owned()));
        all
    };
    let with = |head: &[&str], more: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = head.iter().map(|w| (*w).to_owned()).collect();
        all.extend(words(more));
        all
    };
    let mut cases = vec![
        Case {
            id: "assess",
            title: "kubestile assess, without an audit log",
            arguments: with(&["assess"], &["-o", "json"]),
        },
        Case {
            id: "plan",
            title: "kubestile advance plan",
            arguments: with(&["advance", "plan"], &["-o", "json"]),
        },
    ];
    let help = Command::new(binary).args(["assess", "--help"]).output()?;
    if String::from_utf8_lossy(&help.stdout).contains("--audit-log") {
        let log = path(log);
        cases.push(Case {
            id: "assess-log",
            title: "kubestile assess, with the audit log",
            arguments: with(&["assess"], &["--audit-log", &log, "-o", "json"]),
        });
    } else {
        remarks.push(format!(
            "the assessor reads no audit log: the {mib} MiB were not used"
        ));
    }
    Ok(cases)
}

fn measure(binary: &Path, case: &Case, rounds: usize) -> Result<Figures> {
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    // The first brings the files into the page cache, and is not counted.
    for round in 0..=rounds {
        let (took, peak) = once(binary, case)?;
        if round > 0 {
            seconds.push(took.as_secs_f64());
            peaks.push(peak as f64 / 1024.0);
        }
    }
    let seconds = middle(seconds).context("no round")?;
    let peak_mib = middle(peaks).context("no round")?;
    Ok(Figures {
        id: case.id,
        title: case.title,
        met: seconds.median <= SECONDS && peak_mib.median <= MIB,
        seconds,
        peak_mib,
    })
}

/// How long it took, and the peak of its memory in KiB.
fn once(binary: &Path, case: &Case) -> Result<(Duration, u64)> {
    let started = Instant::now();
    let home: PathBuf = std::env::temp_dir();
    let mut child = Command::new(binary)
        .args(&case.arguments)
        .env("KUBESTILE_DIR", home.join("no-gate"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("kubestile could not be started")?;
    let mut peak = 0;
    let status = loop {
        peak = machine::peak_kib(child.id()).max(peak);
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
    };
    let took = started.elapsed();
    ensure!(status.success(), "`{}` ended with {status}", case.title);
    Ok((took, peak))
}

fn markdown(
    facts: &Facts,
    figures: &[Figures],
    size: &generate::Size,
    args: &Args,
    remarks: &[String],
) -> String {
    let mut text = format!("# Assessor, {} at {}\n\n", facts.date, facts.commit);
    for line in facts.lines() {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(
        text,
        "- generated: {} nodes, {} bindings, {} roles, {} namespaces, {} people; snapshot {:.0} MiB, audit log {} MiB",
        size.nodes,
        size.bindings,
        size.roles,
        size.namespaces,
        size.people,
        size.bytes as f64 / f64::from(1 << 20),
        args.log
    );
    let _ = writeln!(
        text,
        "- {} rounds on two cores, files in the page cache; median, and from the first to the third quartile",
        args.rounds
    );
    for remark in remarks {
        let _ = writeln!(text, "- {remark}");
    }
    text.push_str("\n| | s | peak MiB | ≤ 10 s, ≤ 1024 MiB |\n|---|---|---|---|\n");
    for f in figures {
        let _ = writeln!(
            text,
            "| {} | {:.2} ({:.2}) | {:.0} ({:.0}) | {} |",
            f.title,
            f.seconds.median,
            f.seconds.spread,
            f.peak_mib.median,
            f.peak_mib.spread,
            if f.met { "met" } else { "NOT met" }
        );
    }
    text
}
