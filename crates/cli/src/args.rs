//! The command line as it is typed. Nothing here looks at the machine: that is the commands' work.

pub(crate) mod access;
pub(crate) mod admin;
pub(crate) mod advance;
pub(crate) mod assess;
pub(crate) mod audit;
pub(crate) mod break_glass;
pub(crate) mod client;
mod codes;
pub(crate) mod policy;
pub(crate) mod rbac;
pub(crate) mod server;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::exit::{CODES, Outcome};
use crate::files;
use crate::output::Format;

/// What the program says of itself.
const ABOUT: &str = "\
A zero-trust gate for kubectl: it knows who is asking, judges every request by policy, and writes \
down what it decided";

const START: &str = "\
Start here:
  kubestile assess                      where the current context's cluster stands; changes nothing
  kubestile rbac who-can delete secrets -n shop    and by which binding
  kubestile up                          put a gate before the current context's cluster
  kubestile login URL --code CODE       log in; kubectl, helm and k9s then just work
  kubestile access                      what you have, and what you may ask for
  kubestile approvals                   what waits for an approval
  kubestile audit search --since 1h     what was asked, and what was decided
  kubestile audit verify                prove that nobody altered the log

As a plugin: ln -s \"$(command -v kubestile)\" ~/.local/bin/kubectl-stile; then `kubectl stile …`";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "kubestile",
    version,
    about = ABOUT,
    after_help = START,
    after_long_help = format!("{START}\n\n{CODES}"),
    max_term_width = 100,
    propagate_version = false,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put a gate before a cluster: one process, nothing to set up
    Up(server::Up),
    /// Run a gate from a configuration file
    Server(server::Server),
    /// Check a configuration file
    #[command(subcommand)]
    Config(server::Config),
    /// Log in at a gate and write its contexts to your kubeconfig
    Login(client::Login),
    /// End your session and remove its contexts
    Logout(client::Logout),
    /// Show who you are to the gate
    Whoami(client::Whoami),
    /// List or end sessions
    #[command(subcommand)]
    Sessions(client::Sessions),
    /// Print the credential of a login, for kubectl
    Credential(client::Credential),
    /// Say what a kubectl waits for; `kubestile credential` starts it
    #[command(hide = true)]
    Companion(client::Companion),
    /// List what waits for an approval
    Approvals(access::Approvals),
    /// Approve a request, after a look at it
    Approve(access::Approve),
    /// Deny a request, with a reason
    Deny(access::Deny),
    /// Ask for a job function for a while, and wait for the answer
    Request(access::Request),
    /// List, end, extend and review grants
    #[command(subcommand)]
    Grants(access::Grants),
    /// Show what you have, until when, and what you may ask for
    Access(access::Access),
    /// Take rights in an emergency, before everybody's eyes
    BreakGlass(access::BreakGlass),
    /// Add people, give them job functions and login codes
    #[command(subcommand)]
    People(admin::People),
    /// Put clusters behind the gate
    #[command(subcommand)]
    Cluster(admin::Cluster),
    /// Job functions as Kubernetes roles
    #[command(subcommand)]
    Roles(admin::Roles),
    /// Check, test and explain policies
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Verify and search the log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Say where a cluster stands in the maturity model, and what to change
    Assess(Box<assess::Assess>),
    /// Who may do what, and what they really need
    #[command(subcommand)]
    Rbac(Box<rbac::Rbac>),
    /// Plan, make and undo the changes that lead to the next stage
    #[command(subcommand)]
    Advance(Box<advance::Advance>),
    /// Print a completion script for your shell
    Completion(client::Completion),
    /// Write the manual pages to a directory
    Man {
        /// Where to
        dir: PathBuf,
    },
    /// Show the version
    Version {
        #[command(flatten)]
        output: Output,
    },
    /// Print the command line's reference as Markdown
    #[command(hide = true)]
    GenerateDocs,
}

/// How to print a listing.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Output format
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_default_value = true
    )]
    pub(crate) format: Format,
}

/// Which gate on this machine.
#[derive(Debug, Args)]
pub(crate) struct StateDir {
    /// State directory of the gate [default: ~/.local/state/kubestile]
    #[arg(
        long,
        env = "KUBESTILE_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub(crate) dir: Option<PathBuf>,
}

impl StateDir {
    /// The directory.
    pub(crate) fn path(&self) -> Outcome<PathBuf> {
        match &self.dir {
            Some(dir) => Ok(std::path::absolute(dir)?),
            None => files::default_state_dir(),
        }
    }
}

/// The name under which kubectl finds its plugins.
const PLUGIN: &str = "kubectl-stile";

/// The arguments as clap is to see them, and the name to say in usage lines: as a kubectl plugin we
/// are `kubectl stile`.
pub(crate) fn command(args: &[OsString]) -> clap::Command {
    let name = args.first().map(Path::new).and_then(Path::file_name);
    let command = codes::document(Cli::command());
    if name.is_some_and(|name| name == PLUGIN) {
        return command.name(PLUGIN).bin_name("kubectl stile");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_is_terse_and_every_argument_has_one() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let about = command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(!about.is_empty() && about.len() <= 120, "{path}: `{about}`");
            assert!(!about.ends_with('.'), "{path}: `{about}`");
            for argument in command.get_arguments().filter(|a| !a.is_hide_set()) {
                if argument.get_id() == "format" {
                    assert_eq!(argument.get_short(), Some('o'), "{path}");
                }
                let help = argument
                    .get_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(!help.is_empty(), "{path} {}", argument.get_id());
                assert!(help.len() <= 120, "{path} {}: `{help}`", argument.get_id());
            }
            for sub in command.get_subcommands() {
                check(sub, &path);
            }
        }
        let mut command = Cli::command();
        command.build();
        for sub in command.get_subcommands() {
            check(sub, "kubestile");
        }
    }

    /// What reports tell people to run, as the assessor's tests collect it, and what stands in capitals filled in.
    #[test]
    fn every_command_that_an_assessment_shows_is_one_of_ours() {
        let all = include_str!("../../assess/testdata/commands.txt");
        assert!(all.lines().count() > 10);
        for line in all.lines() {
            // A reason at the end, in quotes, is one word.
            let line = match line.split_once('\'') {
                Some((before, _)) => format!("{before}text"),
                None => line.to_owned(),
            };
            let words = line.split(' ').map(|word| match word {
                "URL" => "https://gate.example.com",
                "CODE" => "7K2P-9QXD-M4TC",
                "GRANT" | "g-1" => "G-7K2P-9QXD-M4TC",
                "NAME" => "name",
                word => word,
            });
            if let Err(error) = command(&[]).try_get_matches_from(words) {
                panic!("`{line}`: {error}");
            }
        }
    }

    #[test]
    fn as_a_plugin_we_are_kubectl_stile() {
        let usage = |argv0: &str| command(&[argv0.into()]).render_usage().to_string();
        assert!(
            usage("/x/kubectl-stile").contains("kubectl stile"),
            "{}",
            usage("kubectl-stile")
        );
        assert!(usage("/x/kubestile").contains("kubestile"));
        assert!(!usage("/kubectl-stile/kubestile").contains("kubectl"));
    }
}
