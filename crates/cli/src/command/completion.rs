//! `kubestile completion`.

use crate::args::{self, client::Completion};
use crate::exit::Outcome;
use crate::output;

/// Prints a completion script.
pub(super) fn run(args: &Completion) -> Outcome {
    let mut command = args::command(&[]);
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "kubestile", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}
