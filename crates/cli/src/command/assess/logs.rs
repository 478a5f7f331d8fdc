//! Audit logs that were named, counted: an API server's, and a gate's own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kubestile_assess::Snapshot;
use kubestile_assess::traffic::event::{Event as Asked, Target, Who};
use kubestile_assess::traffic::fold::{Fold, Options};
use kubestile_assess::traffic::{Form, Read, Traffic};
use kubestile_cluster::audit_log;
use kubestile_core::event::{Decided, Event};
use kubestile_store::audit::search::{self, Filter, Found, Outcome as Became};

use crate::args::assess::Logs;
use crate::clock;
use crate::exit::{Fail, Outcome, chain};
use crate::output;

/// Requests of a gate's log that are kept to be joined with an API server's.
const MOST: usize = 4_000_000;
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
    if let Some(dir) = &logs.gate_log {
        options.of_gate = Some(Arc::new(ids(dir, &options)?));
    }
    let bar = output::Bar::start("reading audit logs");
    let result = audit_log::read(&audit, &options, &mut |done, total| bar.show(done, total));
    drop(bar);
    let (mut fold, mut sources) = result.map_err(|error| Fail::failure(chain(&error)))?;
    if let Some(dir) = &logs.gate_log {
        let mut records = 0;
        each(dir, &mut |found, decided| {
            take(&mut fold, found, decided, audit.is_empty());
            records += 1;
            Ok(())
        })?;
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

/// The ids of the requests in a gate's log, hashed. The log is read once for them and once more to count: it may be
/// larger than the memory.
fn ids(dir: &Path, options: &Options) -> Outcome<HashSet<u64>> {
    let (mut found, mut cluster) = (HashSet::new(), None);
    each(dir, &mut |_, decided| {
        let first = cluster.get_or_insert_with(|| decided.kube.cluster.clone());
        if *first != decided.kube.cluster {
            return Err(Fail::usage(
                "the gate's log is of several clusters, which cannot be told apart here yet",
            ));
        }
        found.insert(options.request_hash(&decided.request.to_string()));
        match found.len() > MOST {
            true => Err(Fail::failure(
                "the gate's log has more requests than are read",
            )),
            false => Ok(()),
        }
    })?;
    Ok(found)
}

/// Every decision in a gate's log on what somebody asked for.
fn each(dir: &Path, with: &mut dyn FnMut(&Found, &Decided) -> Outcome) -> Outcome {
    let failed = |error| Fail::failure(chain(&error));
    for found in search::search(dir, &Filter::default()).map_err(failed)? {
        let found = found.map_err(failed)?;
        if let Event::Decision(decided) = &found.record.event
            && decided.looked_up_for.is_none()
        {
            with(&found, decided)?;
        }
    }
    Ok(())
}

fn take(fold: &mut Fold, found: &Found, decided: &Decided, is_alone: bool) {
    let kube = &decided.kube;
    let groups = decided.upstream.iter().flat_map(|u| &u.groups);
    let name = decided
        .upstream
        .as_ref()
        .map_or(&decided.actor.name, |u| &u.user);
    let code = match &found.outcome {
        Became::Completed { completion, .. } => completion.status,
        Became::NotForwarded => 403,
        Became::Open | Became::FarAway => 200,
    };
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(&found.record.time, format).ok();
    let micros = at.and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000).ok());
    let id = decided.request.to_string();
    let target = match kube.resource.is_empty() {
        true => Target::Path(&kube.path),
        false => Target::Resource {
            group: &kube.group,
            resource: &kube.resource,
            subresource: &kube.subresource,
            namespace: &kube.namespace,
            name: &kube.name,
        },
    };
    let event = Asked {
        id: &id,
        at: micros,
        verb: &kube.verb,
        target,
        user: Who {
            name,
            groups: groups.map(String::as_str).collect(),
            ..Who::default()
        },
        impersonated: None,
        address: "",
        agent: "",
        code,
        authorized: (decided.decision == "deny").then_some(false),
        command: decided.invocation.as_ref().map(|i| i.command.as_str()),
    };
    fold.add_of_gate(&event, is_alone);
}

/// What was read, and what of it was not understood or too much.
fn say(traffic: &Traffic) {
    output::talk(&format!("read {}", traffic.span()));
    for source in &traffic.sources {
        let form = source.form.map_or("unknown", Form::words);
        if source.malformed > 0 || source.form.is_none() {
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
