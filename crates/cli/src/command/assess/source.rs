//! What an assessment and its kin read: a saved snapshot, or a kubeconfig. Whatever is wrong with it ends at once, in one
//! sentence and what to do next.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use kubestile_assess::Snapshot;
use kubestile_assess::snapshot::{Source, Why};
use kubestile_cluster::{ClusterError, CredentialError, contexts};

use crate::exit::{Fail, Kind, Outcome, chain};

/// A snapshot of the largest clusters, with the counts of a quarter's log, is a tenth of it.
const LIMIT: u64 = 2 << 30;
const MADE_BY: &str = "one is made by: kubestile assess --save FILE";

/// Reads a saved snapshot.
pub(crate) fn read(path: &Path) -> Outcome<Snapshot> {
    let wrong =
        |why: &str| Fail::config(format!("cannot read `{}`: {why}", path.display())).hint(MADE_BY);
    let file = File::open(path).map_err(|error| wrong(&error.to_string()))?;
    let mut file = BufReader::new(file.take(LIMIT + 1));
    // Of a device, a picture or a log not more is read than shows what it is.
    let begins = file
        .fill_buf()
        .map_err(|error| wrong(&error.to_string()))?
        .iter()
        .copied()
        .find(|b| !b.is_ascii_whitespace());
    match begins {
        Some(b'{') => {}
        None => return Err(wrong("it is empty")),
        Some(_) => return Err(wrong("it is no snapshot, which begins with `{`")),
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)
        .map_err(|error| wrong(&error.to_string()))?;
    if text.len() as u64 > LIMIT {
        return Err(wrong("it is larger than 2 GiB"));
    }
    Snapshot::from_json(&text).map_err(|error| wrong(&error.to_string()))
}

/// The current context of the kubeconfig.
pub(crate) fn current(kubeconfig: Option<&Path>) -> Outcome<String> {
    let found = contexts(kubeconfig).map_err(|error| wrong_kubeconfig(&error))?;
    found.current.ok_or_else(|| {
        let names = found.names.join(", ");
        let fail = Fail::usage("your kubeconfig has no current context");
        match names.is_empty() {
            true => fail.hint("it has no context at all: name another file with --kubeconfig FILE"),
            false => fail.hint(format!("name one with --context: {names}")),
        }
    })
}

/// What is wrong with a kubeconfig, and what to do.
pub(crate) fn wrong_kubeconfig(error: &ClusterError) -> Fail {
    let fail = Fail::new(Kind::Config, chain(error));
    match error {
        ClusterError::NoKubeconfig | ClusterError::Read { .. } | ClusterError::Syntax { .. } => {
            fail.hint("name one with --kubeconfig FILE")
        }
        ClusterError::NoContext { .. } | ClusterError::Unknown { .. } => {
            fail.hint("name another with --context NAME, or another file with --kubeconfig FILE")
        }
        ClusterError::Credential(CredentialError::Plugin { .. }) => {
            fail.hint("log in again where the plugin logs in; `kubestile login` for a gate of ours")
        }
        _ => fail.hint("mend it, or name another with --context NAME or --kubeconfig FILE"),
    }
}

/// A cluster that says nothing of its roles is not looked at: everything would be unknown. `version` is what it says of
/// itself to everybody, if that was asked.
pub(crate) fn answers(snapshot: &Snapshot) -> Outcome {
    let server = &snapshot.cluster.server;
    let Source::Absent(absence) = &snapshot.rbac.cluster_roles else {
        return Ok(());
    };
    if snapshot.cluster.version.known().is_some() || absence.why == Why::Forbidden {
        return Ok(());
    }
    let context = &snapshot.cluster.name;
    let why = match absence.why {
        // Something answers, and knows nothing of what every API server has.
        Why::Unsupported => "what answers there is no Kubernetes API server",
        _ => &absence.text,
    };
    let fail = Fail::new(Kind::Unavailable, format!("{server} cannot be read: {why}"));
    Err(match ["401", "nauthorized", "expired", "ertificate"].iter().any(|w| why.contains(w)) {
        true => fail.hint(format!(
            "the credential of the context `{context}` may have expired: kubectl auth whoami --context {context}"
        )),
        false => fail.hint(format!(
            "is it there, and does nothing between drop packets? kubectl version --context {context}"
        )),
    })
}
