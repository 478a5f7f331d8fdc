//! `kubestile`: the one program. It wires every crate together; what it does is in [`command`].

mod args;
mod client;
mod clock;
mod command;
mod companion;
mod config;
mod credential;
mod exit;
mod files;
mod kubeconfig;
mod login;
mod output;
mod policies;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // kubectl calls us for every command: nothing else is built then.
    if let Some(dir) = credential::fast_arguments(&args) {
        return match credential::run(&dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fail) => {
                output::plugin_fail(&fail);
                fail.code()
            }
        };
    }
    let typed = args::command(&args)
        .try_get_matches_from(&args)
        .and_then(|matches| args::Cli::from_arg_matches(&matches));
    let cli = match typed {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    // One provider for the whole process; a second installation changes nothing.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            output::fail(&fail);
            fail.code()
        }
    }
}
