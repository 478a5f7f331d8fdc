//! Audit logs that were named, counted: an API server's, and a gate's own.

mod of_gate;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kubestile_assess::Snapshot;
use kubestile_assess::traffic::fold::Options;
use kubestile_assess::traffic::{Form, Read, Traffic};
use kubestile_cluster::audit_log;

use crate::args::assess::Logs;
use crate::clock;
use crate::exit::{Fail, Outcome, chain};
use crate::output;

const WHICH: &str = "name what the API server writes to --audit-log-path, or what EKS, GKE or AKS export of it; plain or gzipped";

/// How long ago an API server that keeps a log must have written to it.
const FRESH: Duration = Duration::from_secs(120);

/// Reads what was named; without it, the log of an API server on this machine, if it can be read. None if there is
/// nothing to read.
pub(crate) fn read(logs: &Logs, snapshot: &Snapshot, live: bool) -> Outcome<Option<Traffic>> {
    let mut audit = logs.audit.clone();
    if audit.is_empty() && logs.gate_log.is_none() && live {
        audit.extend(own(snapshot));
    }
    if audit.is_empty() && logs.gate_log.is_none() {
        return Ok(None);
    }
    let now = clock::now();
    let since = match &logs.audit_since {
        Some(text) => Some(clock::moment(text, now).map_err(Fail::usage)?),
        None => None,
    };
    let mut options = Options {
        since,
        ..Options::default()
    };
    let gate = match &logs.gate_log {
        Some(dir) => {
            let known = of_gate::told(logs.cluster.as_deref(), snapshot)?;
            let (cluster, ids) = of_gate::requests(dir, &options, known)?;
            options.of_gate = Some(Arc::new(ids));
            Some((dir, cluster))
        }
        None => None,
    };
    let bar = output::Bar::start("reading audit logs");
    let result = audit_log::read(&audit, &options, &mut |done, total| bar.show(done, total));
    drop(bar);
    let (mut fold, mut sources) =
        result.map_err(|error| Fail::config(chain(&error)).hint(WHICH))?;
    // A picture, or another program's log: nothing of it is evidence.
    if let Some(other) = sources.iter().find(|s| s.events == 0 && s.malformed > 0) {
        return Err(Fail::config(format!(
            "`{}` is no audit log: none of its {} line(s) was understood",
            other.name, other.lines
        ))
        .hint(WHICH));
    }
    if let Some((dir, cluster)) = gate {
        let records = of_gate::count(dir, cluster.as_ref(), &mut fold, audit.is_empty())?;
        sources.push(Read {
            name: dir.display().to_string(),
            form: Some(Form::Gate),
            bytes: 0,
            lines: records,
            events: records,
            other: 0,
            malformed: 0,
            problems: Vec::new(),
        });
    }
    let traffic = fold.finish(sources);
    say(&traffic);
    Ok(Some(traffic))
}

/// The log that this cluster's API server writes on this machine. A file of this name may be another's: it counts only
/// if the API server is here too, and has written to it just now.
fn own(snapshot: &Snapshot) -> Option<PathBuf> {
    let server = &snapshot.cluster.server;
    let here = ["https://127.0.0.1:", "https://localhost:", "https://[::1]:"];
    if !here.iter().any(|h| server.starts_with(h)) {
        return None;
    }
    let flags = snapshot.control_plane.api_server.known()?;
    let path = PathBuf::from(flags.value("audit-log-path")?);
    let modified = std::fs::metadata(&path).and_then(|m| m.modified()).ok()?;
    let age = SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default();
    (path.is_absolute() && age < FRESH && std::fs::File::open(&path).is_ok()).then_some(path)
}

/// What was read, and what of it was not understood or too much.
fn say(traffic: &Traffic) {
    output::talk_below("read ", &traffic.span());
    for source in &traffic.sources {
        let form = source.form.map_or("unknown", Form::words);
        if source.malformed > 0 {
            output::talk(&format!(
                "  {}: {} of {} lines not understood (form: {form})",
                source.name, source.malformed, source.lines
            ));
        }
        for problem in &source.problems {
            output::talk(&format!("    line {}: {}", problem.line, problem.why));
        }
    }
    let over = &traffic.overflow;
    if !over.is_empty() {
        output::talk(&format!(
            "  not kept: requests of {} subjects' and {} uses' kinds beyond the limits, {} of credentials or places; {} not checked for having been read before",
            over.of_subjects, over.of_uses, over.of_credentials, over.unchecked
        ));
    }
}
