//! One file per command: each turns what was typed into calls, and what came back into output.

mod access;
mod advance;
mod approvals;
mod assess;
mod audit;
mod break_glass;
mod browser;
mod cluster;
mod completion;
mod config;
mod credential;
mod docs;
mod grants;
mod login;
mod logout;
mod people;
mod policy;
mod rbac;
mod request;
mod roles;
mod server;
mod sessions;
mod up;
mod version;
mod whoami;

use crate::args::client::Gate;
use crate::args::{Command, StateDir};
use crate::client::Door;
use crate::exit::Outcome;
use crate::login::Login;

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
        Command::Companion(args) => {
            crate::companion::run(&args);
            Ok(())
        }
        Command::Approvals(args) => approvals::run(args),
        Command::Approve(args) => approvals::approve(&args),
        Command::Deny(args) => approvals::deny(&args),
        Command::Request(args) => request::run(&args),
        Command::Grants(args) => grants::run(&args),
        Command::Access(args) => access::run(&args),
        Command::BreakGlass(args) => break_glass::run(&args),
        Command::People(args) => people::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Roles(args) => roles::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Advance(args) => advance::run(*args),
        Command::Assess(args) => assess::run(*args),
        Command::Rbac(args) => rbac::run(*args),
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

/// The gate as the person who is logged in.
async fn own(gate: &Gate) -> Outcome<Door> {
    let login = Login::find(gate.url.as_ref())?;
    let certificate = crate::credential::current(&login).await?;
    login.door(Some(&certificate))
}

/// How long ago, as kubectl shows ages.
fn age(at: kubestile_core::Timestamp) -> String {
    crate::clock::now().since(at).to_string()
}

/// How long still; `15m`, not `14m59s`, for what has just begun.
fn left(until: kubestile_core::Timestamp) -> String {
    round(until.since(crate::clock::now()))
}

/// To the nearest half minute where minutes are what matters.
fn round(ttl: kubestile_core::Ttl) -> String {
    let secs = ttl.as_secs();
    if secs < 120 {
        return ttl.to_string();
    }
    let minutes = u32::try_from((secs + 30) / 60).unwrap_or(u32::MAX);
    let text = kubestile_core::Ttl::from_secs(minutes.saturating_mul(60)).to_string();
    text.strip_suffix("0s")
        .or(text.strip_suffix("0m"))
        .filter(|t| t.ends_with(['m', 'h']))
        .unwrap_or(&text)
        .to_owned()
}

/// Items with commas between.
fn list<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_just_begun_is_said_in_round_numbers() {
        for (secs, text) in [
            (15 * 60 - 1, "15m"),
            (8 * 3600 - 1, "8h"),
            (3600 + 600, "1h10m"),
            (20 * 60, "20m"),
            (59, "59s"),
            (10 * 3600, "10h"),
            (86_400, "1d0h"),
        ] {
            assert_eq!(round(kubestile_core::Ttl::from_secs(secs)), text, "{secs}");
        }
    }
}
