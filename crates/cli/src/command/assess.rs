//! `kubestile assess`: collects within the rights of a kubeconfig's context, judges, reports.

mod diff;
mod explain;
mod gate;
pub(super) mod logs;
pub(super) mod source;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubestile_assess::exception::Exceptions;
use kubestile_assess::paths::{self, Asked};
use kubestile_assess::report::terminal::{self, Paint};
use kubestile_assess::report::{html, junit, ocsf, sarif};
use kubestile_assess::{Assessment, Snapshot};
use kubestile_cluster::Upstream;
use kubestile_cluster::collect::{self, Options, PROBES};

pub(super) use self::source::{current, read, wrong_kubeconfig};
use super::block_on;
use crate::args::assess::{Assess, Command, Report, Source};
use crate::clock::now;
use crate::exit::{During as _, Fail, Kind, Outcome};
use crate::output::{self, Format};

/// Assesses, explains or compares.
pub(super) fn run(args: Assess) -> Outcome {
    if args.show_permissions {
        let text = collect::permissions::render();
        return output::data(&text.map_err(|_| Fail::failure("the role cannot be written"))?);
    }
    match args.command {
        None => assess(&args),
        Some(Command::Explain {
            control,
            offline,
            source,
            output,
        }) => explain::run(&control, offline, &source, output.format),
        Some(Command::Diff {
            before,
            after,
            output,
        }) => diff::run(&before, &after, output.format),
    }
}

fn assess(args: &Assess) -> Outcome {
    let exceptions = exceptions(&args.source)?;
    let snapshot = snapshot(&args.source)?;
    if let Some(path) = &args.save {
        save(path, &snapshot)?;
    }
    let assessment = kubestile_assess::assess(&snapshot, &exceptions);
    print(&assessment, &snapshot, args.format)?;
    match args.fail_below {
        Some(stage) if assessment.is_below(stage) => Err(Fail::new(
            Kind::Below,
            format!(
                "{} stands at stage {}, below {stage}",
                assessment.cluster, assessment.stage
            ),
        )),
        _ => Ok(()),
    }
}

/// Prints an assessment.
fn print(assessment: &Assessment, snapshot: &Snapshot, format: Report) -> Outcome {
    match format {
        Report::Table => output::data(&terminal::summary(assessment, paint())),
        Report::Wide => {
            output::data(&terminal::summary(assessment, paint()))?;
            output::data(&("\n".to_owned() + &terminal::table(assessment, paint())))
        }
        Report::Json => output::value(Format::Json, assessment),
        Report::Yaml => output::value(Format::Yaml, assessment),
        Report::Sarif => {
            let document = sarif::document(assessment, env!("CARGO_PKG_VERSION"));
            output::value(Format::Json, &document)
        }
        Report::Ocsf => {
            let text = ocsf::lines(assessment, env!("CARGO_PKG_VERSION"));
            output::data(&output::escape_json(&text))
        }
        Report::Junit => output::data(&junit::document(assessment)),
        Report::Html => {
            let asked = Asked {
                most: Some(html::DRAWN),
                ..Asked::default()
            };
            let ways = paths::ways(snapshot, &asked);
            output::data(&html::page(assessment, &ways, sha256))
        }
    }
}

/// In base64, as a Content-Security-Policy has it.
fn sha256(text: &str) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

fn paint() -> Paint {
    Paint {
        colour: output::colour_of_stdout(),
        width: output::width(),
        escape: |text| output::escape(text).into_owned(),
    }
}

/// A saved snapshot, or a new one.
pub(super) fn snapshot(source: &Source) -> Outcome<Snapshot> {
    if let Some(dir) = source.control_plane_dir.as_ref().filter(|d| !d.is_dir()) {
        let text = format!("there is no directory `{}`", dir.display());
        return Err(Fail::config(text)
            .hint("--control-plane-dir is /etc/kubernetes on a node, or a copy of it"));
    }
    let mut snapshot = match &source.from {
        Some(path) => read(path)?,
        None => block_on(live(source))?,
    };
    if let Some(traffic) = logs::read(&source.logs, &snapshot, source.from.is_none())? {
        snapshot.traffic = kubestile_assess::snapshot::Source::Known(traffic);
    }
    Ok(snapshot)
}

async fn live(source: &Source) -> Outcome<Snapshot> {
    let kubeconfig = source.kubeconfig.as_deref();
    let context = match &source.context {
        Some(context) => context.clone(),
        None => current(kubeconfig)?,
    };
    let upstream = Upstream::from_kubeconfig(kubeconfig, Some(&context))
        .await
        .map_err(|error| wrong_kubeconfig(&error))?;
    let options = Options {
        kubeconfig: source.kubeconfig.clone(),
        control_plane: source.control_plane_dir.clone(),
        probes: !source.no_probes,
    };
    output::talk(&format!("reading {context}; nothing is changed"));
    if options.probes {
        for probe in PROBES {
            output::talk_below("  probe: ", probe);
        }
    }
    let mut progress = output::Progress::new();
    let mut say = |what: &str, count: usize| progress.show(what, count);
    let mut snapshot = collect::collect(&upstream, &context, &options, now(), &mut say).await;
    if let Err(silent) = source::answers(&snapshot) {
        progress.end();
        return Err(silent);
    }
    progress.show("the gate", 0);
    snapshot.gate = gate::collect(source.gate.as_deref(), &source.state).await;
    progress.end();
    Ok(snapshot)
}

pub(super) fn exceptions(source: &Source) -> Outcome<Exceptions> {
    let Some(path) = &source.exceptions else {
        return Ok(Exceptions::default());
    };
    const FORM: &str =
        "each has control, object, owner, reason and expires, under the key `exceptions`";
    let text =
        crate::files::read_existing(path).map_err(|fail| fail.kind(Kind::Config).hint(FORM))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        // Below its first line the parser draws the place.
        let words = error.to_string();
        let words = words.lines().next().unwrap_or_default();
        let words = words.strip_prefix("error: ").unwrap_or(words);
        Fail::config(format!(
            "`{}` is no list of exceptions: {words}",
            path.display()
        ))
        .hint(FORM)
    })
}

/// The snapshot says where the cluster is weak: it is its owner's alone.
fn save(path: &Path, snapshot: &Snapshot) -> Outcome {
    let mut text = serde_json::to_vec(snapshot)?;
    text.push(b'\n');
    crate::files::replace(path, &text)
        .during_with(|| format!("cannot write `{}`", path.display()))?;
    output::talk(&format!(
        "saved; it says where the cluster is weak: kubestile assess --from {}",
        path.display()
    ));
    Ok(())
}
