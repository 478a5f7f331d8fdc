//! One file per command: each turns what was typed into calls, and what came back into output.

mod audit;
mod cluster;
mod completion;
mod config;
mod credential;
mod docs;
mod login;
mod logout;
mod people;
mod policy;
mod roles;
mod server;
mod sessions;
mod up;
mod version;
mod whoami;

use crate::args::{Command, StateDir};
use crate::client::Door;
use crate::exit::Outcome;

/// Runs a command.
pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Up(args) => up::run(args),
        Command::Server(args) => server::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Login(args) => login::run(&args),
        Command::Logout(args) => logout::run(&args),
        Command::Whoami(args) => whoami::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Credential(args) => credential::run(&args),
        Command::People(args) => people::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Roles(args) => roles::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Completion(args) => completion::run(&args),
        Command::Man { dir } => docs::man(&dir),
        Command::Version { output } => version::run(output.format),
        Command::GenerateDocs => docs::reference(),
    }
}

/// Runs one task to its end, for commands that make a call or two.
fn block_on<T>(task: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(task)
}

/// The admin socket of the gate whose state is there.
fn admin(state: &StateDir) -> Outcome<Door> {
    Ok(Door::Admin(state.path()?.join(crate::serve::ADMIN_SOCKET)))
}

/// How long ago, as kubectl shows ages.
fn age(at: kubestile_core::Timestamp) -> String {
    crate::clock::now().since(at).to_string()
}

/// How long still.
fn left(until: kubestile_core::Timestamp) -> String {
    until.since(crate::clock::now()).to_string()
}

/// Items with commas between.
fn list<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
