//! `kubestile credential`, when it is not kubectl that calls it.

use crate::args::client::Credential;
use crate::exit::Outcome;
use crate::login::Login;
use crate::{credential, login};

/// Prints an ExecCredential.
pub(super) fn run(args: &Credential) -> Outcome {
    match (&args.login, &args.gate.url) {
        (Some(dir), _) => credential::run(dir),
        (None, Some(url)) => credential::run(&Login::directory(url)?),
        (None, None) => credential::run(login::Login::find(None)?.dir()),
    }
}
