//! `cargo xtask quickstart`: from nothing to a person whose kubectl goes through the gate, in one
//! command, on a real Kubernetes.

mod scene;

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use kubestile_devcluster as devcluster;

use crate::workspace::{self, say};

/// Which Kubernetes, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the scene, take everything down, and exit
    #[arg(long)]
    once: bool,
    /// Put the gate before the cluster of this kubeconfig context, not before a new one
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

/// The cluster that the gate is put before.
struct Target {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    kubectl: PathBuf,
    ours: Option<devcluster::Name>,
}

/// Runs it.
///
/// # Errors
/// What is missing on this machine, or which step failed.
pub(crate) fn run(args: &Args) -> Result<()> {
    say("building kubestile (the first time takes some minutes) …");
    workspace::run("cargo", &["build", "--workspace", "--locked"])?;
    let target = choose(args)?;
    let home = tempfile::tempdir().context("no temporary directory")?;
    let shown = scene_and_wait(args, &target, home.path());
    if let Some(name) = &target.ours
        && args.once
    {
        say("taking the cluster down …");
        devcluster::down(name, &mut |_| {})?;
    }
    shown
}

fn scene_and_wait(args: &Args, target: &Target, home: &Path) -> Result<()> {
    if target.ours.is_some() {
        scene::furnish(target)?;
    }
    let gate = Gate::start(target, home)?;
    let person = scene::log_in(&gate, home)?;
    scene::play(target, &gate, &person)?;
    if args.once {
        return Ok(());
    }
    scene::invite(target, &gate, &person);
    gate.wait()
}

/// The user's own cluster where they name it, or say yes to it; else a new one on this machine.
fn choose(args: &Args) -> Result<Target> {
    if let Some(context) = &args.context {
        return own(context.clone());
    }
    if !args.once
        && let Some(context) = current_context()
        && agrees(&format!(
            "kubectl's current context `{context}` answers. Put the gate before that cluster? \
             (it installs an account and job functions; `no` starts a new Kubernetes here)"
        ))?
    {
        return own(context);
    }
    let name: devcluster::Name = "quickstart".parse()?;
    let options = devcluster::Options::new(name.clone());
    crate::cluster::up(&options)?;
    let cluster = devcluster::attach(&name)?;
    Ok(Target {
        kubeconfig: Some(cluster.kubeconfig.clone()),
        context: None,
        kubectl: cluster.kubectl.clone(),
        ours: Some(name),
    })
}

fn own(context: String) -> Result<Target> {
    let found = Command::new("kubectl")
        .arg("version")
        .arg("--client")
        .output()
        .is_ok();
    if !found {
        bail!("kubectl is not on the PATH: install it, or leave out --context");
    }
    Ok(Target {
        kubeconfig: None,
        context: Some(context),
        kubectl: "kubectl".into(),
        ours: None,
    })
}

/// kubectl's current context, if its API server answers within three seconds.
fn current_context() -> Option<String> {
    let output = Command::new("kubectl")
        .args(["config", "current-context"])
        .output()
        .ok()?;
    let context = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    if context.is_empty() {
        return None;
    }
    let version = ["version", "--request-timeout=3s"];
    let answers = Command::new("kubectl")
        .args(version)
        .output()
        .ok()?
        .status
        .success();
    answers.then_some(context)
}

fn agrees(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// A running `kubestile up`, ended when dropped.
struct Gate {
    child: Child,
    /// What to log in with: the words after `kubestile login`.
    login: Vec<String>,
    state: PathBuf,
}

impl Gate {
    fn start(target: &Target, home: &Path) -> Result<Self> {
        let state = home.join("gate");
        let mut up = program();
        up.args([
            "up",
            "--listen",
            "127.0.0.1:0",
            "--cluster",
            "dev",
            "--person",
            "ana",
            "--function",
            "viewer",
            "--function",
            "operator:shop",
            "--dir",
        ])
        .arg(&state)
        .stdout(Stdio::piped());
        if target.ours.is_some() {
            up.arg("--yes");
        }
        if let Some(kubeconfig) = &target.kubeconfig {
            up.env("KUBECONFIG", kubeconfig);
        }
        if let Some(context) = &target.context {
            up.args(["--context", context]);
        }
        // Its own talk goes to a file, so that the scene is readable; the file is named on failure.
        let log = home.join("gate.log");
        if target.ours.is_some() {
            up.stderr(std::fs::File::create(&log)?);
        }
        let mut child = up.spawn().context("kubestile could not be started")?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        // The one line on stdout is the command to log in with.
        let login: Vec<String> = line.split_whitespace().skip(2).map(str::to_owned).collect();
        if !line.starts_with("kubestile login ") {
            let _ = child.kill();
            let talk = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("the gate did not start:\n{talk}");
        }
        Ok(Self {
            child,
            login,
            state,
        })
    }

    /// A `kubestile` command for the local administrator.
    fn admin(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).arg("--dir").arg(&self.state);
        command
    }

    /// Serves until it is stopped.
    fn wait(mut self) -> Result<()> {
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            bail!("the gate ended with {status}")
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Command {
    // Built at the start of the task; a missing one is reported when it is started.
    Command::new(workspace::binary("kubestile").unwrap_or_else(|_| "kubestile".into()))
}
