//! The account as YAML, for GitOps.

use kubestile_core::ids::Namespace;
use serde_json::Value;

use super::object::desired;
use super::{Mode, People};

/// Everything that [`install`](super::install) would make, as a stream of YAML documents, with the job
/// functions of `namespaces`.
///
/// With [`Mode::Constrained`] on a server without it the gate can act as nobody; with [`Mode::Legacy`]
/// on a server that has constrained impersonation the account has more than it needs, and the review
/// says so.
///
/// # Errors
/// [`std::fmt::Error`] if the text cannot be written, which a text in memory always can.
pub fn render(
    namespaces: &[Namespace],
    mode: Mode,
    people: &People,
) -> Result<String, std::fmt::Error> {
    let mut names: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    let mut text = format!("{HEAD}# Impersonation: {mode}.\n");
    for object in desired(&names, mode, people) {
        let document =
            serde_saphyr::to_string(&sorted(&object.body)).map_err(|_| std::fmt::Error)?;
        text.push_str("---\n");
        text.push_str(document.trim_start_matches("---\n"));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

/// The same value with its keys in order, whether or not serde_json keeps the order of insertion
/// (another crate of the build decides that).
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            pairs
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

const HEAD: &str = "\
# The gate's own account and the starter job functions, written by `kubestile roles render`.
#
# The groups that begin with `kubestile:` are added by the gate, one request at a time. No person,
# certificate or token issuer may ever carry one.
";
