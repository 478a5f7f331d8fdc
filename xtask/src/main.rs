//! `cargo xtask`: the tasks of this repository, one module each.

mod bench;
mod cluster;
mod quickstart;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of this repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// The gate beside nginx, haproxy and direct access, as figures
    Bench(bench::Args),
    /// A real Kubernetes on this machine
    Cluster(cluster::Args),
    /// From nothing to a person whose kubectl goes through the gate
    Quickstart(quickstart::Args),
    /// Install what the tests need and run every test, cheapest first
    Test(test::Args),
    /// The checks of this repository that no compiler makes
    Tidy,
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::Cluster(args) => cluster::run(args),
        Task::Quickstart(args) => quickstart::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// The whole chain on standard error; standard output is for data only.
#[expect(
    clippy::print_stderr,
    reason = "the one place where a task's failure is shown"
)]
fn report(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
