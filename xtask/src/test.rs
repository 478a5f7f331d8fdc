//! `cargo xtask test`: installs what the tests need and runs every test, cheapest first.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use kubestile_devcluster as devcluster;

use crate::{tidy, workspace};

/// Debian packages that the tests and the node of their cluster need, each with a file that tells that it is there.
const PACKAGES: [(&str, &str); 5] = [
    ("runc", "/usr/sbin/runc"),
    ("tmux", "/usr/bin/tmux"),
    ("containernetworking-plugins", "/usr/lib/cni/ptp"),
    ("busybox-static", "/bin/busybox"),
    ("chromium", "/usr/bin/chromium"),
];

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Generated cases of the differential tests; RBAC, which asks a server each time, gets a quarter
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// Leave the test cluster running
    #[arg(long)]
    keep_cluster: bool,
}

/// Runs everything; stops at the first step that fails.
///
/// # Errors
/// What failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    install()?;
    workspace::run("cargo", &["fmt", "--all", "--check"])?;
    tidy::run()?;
    workspace::run(
        "cargo",
        &["build", "--workspace", "--all-targets", "--locked"],
    )?;
    let result = with_cluster(args);
    if !args.keep_cluster {
        take_down();
    }
    result?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    workspace::run("cargo", &clippy)?;
    workspace::say(&format!(
        "all checks passed in {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}

/// The cluster is started first, with progress, so that no test waits for a build of Kubernetes.
fn with_cluster(args: &Args) -> Result<()> {
    let options = devcluster::Options::new("e2e".parse()?);
    crate::cluster::up(&options)?;
    workspace::say("building helm, if it is not there yet (a minute) …");
    devcluster::helm(&mut |_| {})?;
    let kubestile = workspace::binary("kubestile")?;
    workspace::run(&kubestile.to_string_lossy(), &["policy", "test"])?;
    workspace::say(&format!(
        "$ cargo test --workspace (KUBESTILE_CASES={})",
        args.cases
    ));
    let status = Command::new("cargo")
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .env("KUBESTILE_CASES", args.cases.to_string())
        .env("KUBESTILE_RBAC_CASES", (args.cases / 4).to_string())
        .current_dir(workspace::root()?)
        .status()?;
    if !status.success() {
        bail!("tests failed");
    }
    Ok(())
}

fn take_down() {
    let Ok(name) = "e2e".parse() else { return };
    if let Err(error) = devcluster::down(&name, &mut |_| {}) {
        workspace::say(&format!(
            "the test cluster could not be taken down: {error}"
        ));
    }
}

/// Installs what is missing, where that is possible; says what to do where it is not.
fn install() -> Result<()> {
    let mut missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(_, file)| !std::path::Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    // Whichever Python there is will do, if it can make an environment of its own.
    let python = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output();
    if !python.is_ok_and(|output| output.status.success()) {
        missing.push("python3-venv");
    }
    if Command::new("go").arg("version").output().is_err() {
        bail!(
            "Go is missing: the tests build Kubernetes from its modules; install Go 1.26 or newer"
        );
    }
    if missing.is_empty() {
        return Ok(());
    }
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| {
        use std::os::unix::fs::MetadataExt;
        m.uid() == 0
    });
    if !is_root {
        bail!(
            "missing packages: run `sudo apt-get install {}`",
            missing.join(" ")
        );
    }
    workspace::run("apt-get", &["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    workspace::run("apt-get", &install)
}
