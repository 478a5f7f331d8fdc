//! `kubestile version`.

use serde::Serialize;

use crate::exit::Outcome;
use crate::output::{self, Format};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    audit_schema: &'static str,
}

/// Shows the version.
pub(super) fn run(format: Format) -> Outcome {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        audit_schema: kubestile_core::event::SCHEMA,
    };
    if format.is_data() {
        return output::value(format, &version);
    }
    output::line(&format!("kubestile {}", version.version))
}
