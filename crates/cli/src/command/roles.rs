//! `kubestile roles`.

use kubestile_cluster::account::{Mode, People, render};

use crate::args::admin::Roles;
use crate::exit::{Fail, Outcome};
use crate::output;

/// Prints the account, roles and bindings.
pub(super) fn run(args: Roles) -> Outcome {
    let Roles::Render {
        namespaces,
        constrained,
    } = args;
    let mode = if constrained {
        Mode::Constrained
    } else {
        Mode::Legacy
    };
    let text = render(&namespaces, mode, &People::default())
        .map_err(|_| Fail::failure("the roles cannot be written as YAML"))?;
    output::data(&text)
}
