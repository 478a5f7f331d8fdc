//! `cargo xtask cluster`: start, use and stop clusters of `kubestile-devcluster`.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use indicatif::ProgressBar;
use kubestile_devcluster::{self as devcluster, Cluster, Kubernetes, Name, Options, Progress};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster; the first time, build its programs from source
    Up {
        #[arg(default_value = "dev")]
        name: Name,
        /// Which line of Kubernetes
        #[arg(long, value_name = "VERSION", default_value_t)]
        kubernetes: Kubernetes,
        /// The control plane alone: no root, no containers, no pods
        #[arg(long)]
        no_node: bool,
    },
    /// Stop a cluster and remove all of it
    Down {
        #[arg(default_value = "dev")]
        name: Name,
        /// Every cluster
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Start the API server anew from manifests/kube-apiserver.yaml in the cluster's directory
    Restart {
        #[arg(default_value = "dev")]
        name: Name,
    },
    /// Print the shell lines that make kubectl use a cluster: eval "$(cargo xtask cluster env)"
    Env {
        #[arg(default_value = "dev")]
        name: Name,
    },
    /// Show all clusters
    List {
        #[arg(long, short, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Up {
            name,
            kubernetes,
            no_node,
        } => up(&Options {
            kubernetes,
            node: !no_node,
            ..Options::new(name)
        }),
        Command::Down { name, all } => down(name, all),
        Command::Restart { name } => Ok(devcluster::restart_api_server(&name)?),
        Command::Env { name } => print(&shell_lines(&devcluster::attach(&name)?)?),
        Command::List { output } => list(output),
    }
}

pub(crate) fn up(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut reporter = Reporter::new();
    let cluster = devcluster::up(options, &mut |progress| reporter.show(&progress))?;
    let (name, kubernetes) = (&cluster.name, cluster.kubernetes);
    let took = started.elapsed().as_secs_f64();
    reporter.end(&format!(
        "`{name}` (Kubernetes {kubernetes}) is ready after {took:.1} s"
    ));
    reporter.end(&format!(
        "to use it: eval \"$(cargo xtask cluster env {name})\""
    ));
    Ok(())
}

fn down(name: Name, all: bool) -> anyhow::Result<()> {
    let names = if all {
        devcluster::list()?
            .into_iter()
            .map(|summary| summary.name)
            .collect()
    } else {
        vec![name]
    };
    let mut reporter = Reporter::new();
    for name in names {
        devcluster::down(&name, &mut |progress| reporter.show(&progress))?;
        reporter.end(&format!("`{name}` is gone"));
    }
    Ok(())
}

fn list(output: Output) -> anyhow::Result<()> {
    let clusters = devcluster::list()?;
    if let Output::Json = output {
        return print(&(serde_json::to_string_pretty(&clusters)? + "\n"));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["NAME", "KUBERNETES", "NODE", "HEALTH", "SERVER"]);
    for cluster in clusters {
        table.add_row([
            cluster.name.to_string(),
            cluster.kubernetes.to_string(),
            if cluster.node { "yes" } else { "no" }.to_owned(),
            cluster.health.to_string(),
            cluster.server,
        ]);
    }
    print(&format!("{}\n", table.trim_fmt()))
}

/// For `eval` in any POSIX shell.
fn shell_lines(cluster: &Cluster) -> anyhow::Result<String> {
    let kubeconfig = cluster
        .kubeconfig
        .to_str()
        .context("the kubeconfig's path is not UTF-8")?;
    let programs = cluster.kubectl.parent().and_then(|dir| dir.to_str());
    let programs = programs.context("the programs' path is not UTF-8")?;
    Ok(format!(
        "export KUBECONFIG={}\nexport PATH={}:\"$PATH\"\n",
        quoted(kubeconfig),
        quoted(programs)
    ))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Who closed the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Shows progress on standard error: moving on a terminal, as plain lines elsewhere.
enum Reporter {
    Terminal(ProgressBar),
    /// When the last line about compiling was written.
    Lines(Option<Instant>),
}

impl Reporter {
    fn new() -> Self {
        if io::stderr().is_terminal() && env::var_os("CI").is_none() {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            Self::Terminal(bar)
        } else {
            Self::Lines(None)
        }
    }

    fn show(&mut self, progress: &Progress) {
        match self {
            Self::Terminal(bar) => bar.set_message(progress.to_string()),
            Self::Lines(last) => {
                // A build compiles thousands of packages: a line each would drown a log,
                // none at all would look like a hang.
                let often = matches!(progress, Progress::Compiled { .. });
                let recent = last.is_some_and(|at| at.elapsed() < Duration::from_secs(20));
                if often && recent {
                    return;
                }
                *last = Some(Instant::now());
                line(&progress.to_string());
            }
        }
    }

    fn end(&self, text: &str) {
        if let Self::Terminal(bar) = self {
            bar.finish_and_clear();
        }
        line(text);
    }
}

#[expect(clippy::print_stderr, reason = "the one place where progress is shown")]
fn line(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_path_does_not_end_the_shells_text() {
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
