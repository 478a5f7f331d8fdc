//! `kubestile assess`: collects within the rights of a kubeconfig's context, judges, reports.

mod diff;
mod gate;
pub(super) mod logs;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubestile_assess::exception::Exceptions;
use kubestile_assess::paths::{self, Asked};
use kubestile_assess::report::terminal::{self, Paint};
use kubestile_assess::report::{html, junit, ocsf, sarif};
use kubestile_assess::{Assessment, Snapshot, catalog};
use kubestile_cluster::collect::{self, Options, PROBES};
use kubestile_cluster::{Upstream, contexts};

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
        }) => explain(&control, offline, &source),
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

fn explain(id: &str, offline: bool, source: &Source) -> Outcome {
    let Some(control) = catalog::control(id) else {
        return Err(Fail::usage(format!("there is no control `{id}`"))
            .hint("to see them all: kubestile assess -o wide"));
    };
    let assessment = match offline {
        true => None,
        false => {
            let exceptions = exceptions(source)?;
            match snapshot(source) {
                Ok(snapshot) => Some(kubestile_assess::assess(&snapshot, &exceptions)),
                Err(fail) => {
                    output::talk(&format!("how it stands is not known: {fail}"));
                    None
                }
            }
        }
    };
    let finding = assessment.as_ref().and_then(|a| a.finding(control.id));
    output::data(&terminal::explain(control, finding, paint()))
}

/// A saved snapshot, or a new one.
pub(super) fn snapshot(source: &Source) -> Outcome<Snapshot> {
    let mut snapshot = match &source.from {
        Some(path) => read(path)?,
        None => block_on(live(source))?,
    };
    if let Some(traffic) = logs::read(&source.logs, &snapshot, source.from.is_none())? {
        snapshot.traffic = kubestile_assess::snapshot::Source::Known(traffic);
    }
    Ok(snapshot)
}

/// Reads a saved snapshot.
pub(super) fn read(path: &Path) -> Outcome<Snapshot> {
    let during = || format!("cannot read `{}`", path.display());
    let text = std::fs::read(path).during_with(during)?;
    Snapshot::from_json(&text).map_err(|error| {
        Fail::config(format!("cannot read `{}`: {error}", path.display()))
            .hint("one is made by: kubestile assess --save FILE")
    })
}

async fn live(source: &Source) -> Outcome<Snapshot> {
    let kubeconfig = source.kubeconfig.as_deref();
    let context = match &source.context {
        Some(context) => context.clone(),
        None => current(kubeconfig)?,
    };
    let failed = |error| Fail::new(Kind::Config, crate::exit::chain(&error));
    let upstream = Upstream::from_kubeconfig(kubeconfig, Some(&context))
        .await
        .map_err(failed)?;
    let options = Options {
        kubeconfig: source.kubeconfig.clone(),
        control_plane: source.control_plane_dir.clone(),
        probes: !source.no_probes,
    };
    output::talk(&format!("reading {context}; nothing is changed"));
    if options.probes {
        for probe in PROBES {
            output::talk(&format!("  probe: {probe}"));
        }
    }
    let mut progress = output::Progress::new();
    let mut say = |what: &str, count: usize| progress.show(what, count);
    let mut snapshot = collect::collect(&upstream, &context, &options, now(), &mut say).await;
    progress.show("the gate", 0);
    snapshot.gate = gate::collect(source.gate.as_deref(), &source.state).await;
    progress.end();
    unreachable(&snapshot)?;
    Ok(snapshot)
}

pub(super) fn current(kubeconfig: Option<&Path>) -> Outcome<String> {
    let found = contexts(kubeconfig).map_err(|e| Fail::new(Kind::Config, e.to_string()))?;
    found.current.ok_or_else(|| {
        Fail::usage("your kubeconfig has no current context").hint("name one with --context")
    })
}

/// A cluster that answers nothing at all is not assessed: every control would be unknown.
fn unreachable(snapshot: &Snapshot) -> Outcome {
    let version = snapshot.cluster.version.get();
    let (Err(version), Err(_)) = (version, snapshot.rbac.cluster_roles.get()) else {
        return Ok(());
    };
    Err(Fail::new(
        Kind::Unavailable,
        format!("{} does not answer: {version}", snapshot.cluster.server),
    ))
}

pub(super) fn exceptions(source: &Source) -> Outcome<Exceptions> {
    let Some(path) = &source.exceptions else {
        return Ok(Exceptions::default());
    };
    let text = std::fs::read_to_string(path)
        .during_with(|| format!("cannot read `{}`", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        Fail::config(format!(
            "`{}` is no list of exceptions: {error}",
            path.display()
        ))
        .hint("each has control, object, owner, reason and expires, under the key `exceptions`")
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
