//! `audit import`: what the API server saw while the gate was away, from its audit log into the gate's. The files
//! are read twice: to count and hash what will come before the marker is written, and to send it.

mod pick;
mod send;

use std::cell::Cell;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use kubestile_assess::traffic::Form;
use kubestile_assess::traffic::event::Event;
use kubestile_cluster::account;
use kubestile_cluster::audit_log::{self, Pass};
use kubestile_control::api::{BeginImport, ImportBegun, ImportEnded, SOURCES};
use kubestile_core::event::{Gap, LeftOut, Source};
use serde::Serialize;

use super::settle;
use crate::args::audit::Import;
use crate::clock;
use crate::command::admin;
use crate::exit::{Fail, Kind, Outcome, chain};
use crate::output::{self, Bar};
use pick::{Picker, Wanted};
use send::Sender;

/// What would be imported.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counted<'a> {
    sources: &'a [Source],
    records: u64,
    left_out: LeftOut,
}

/// Imports.
pub(super) fn run(args: &Import) -> Outcome {
    let wanted = wanted(args)?;
    let dir = args.state.path()?.join(crate::serve::AUDIT);
    settle(&dir);
    let mut picker = Picker::new(wanted, &dir)?;
    let progress = Progress::of(args);
    let passes = count(args, &mut picker, &progress)?;
    let (records, left_out) = picker.counted(passes.iter().map(|p| p.read.malformed).sum());
    let sources = sources(args, &passes);
    if args.dry_run {
        drop(progress);
        let format = args.output.format;
        return match format.is_data() {
            true => output::value(
                format,
                &Counted {
                    sources: &sources,
                    records,
                    left_out,
                },
            ),
            false => output::line(&format!("would import {}", words(records, &left_out))),
        };
    }
    let mut sender = Sender::new(admin(&args.state)?, args.cluster.clone())?;
    let begun = sender.begin(&BeginImport {
        from: picker.wanted().from,
        until: picker.wanted().until,
        reason: args.reason.clone(),
        named: args.person.clone().unwrap_or_default(),
        sources,
        records,
        left_out,
        again: args.again,
    })?;
    say_begun(&begun);
    let sent = send(args, &mut picker, &mut sender, &progress, &passes);
    drop(progress);
    if let Err(fail) = sent {
        // The marker says so, too; what failed first is what the reader wants to know.
        let _also_failed = sender.end(fail.message());
        return Err(fail.hint(format!(
            "what came of it is marked: kubestile audit search --import {}",
            begun.import
        )));
    }
    show(args, &sender.end("")?)
}

fn wanted(args: &Import) -> Outcome<Wanted> {
    if args.files.len() > SOURCES {
        return Err(Fail::usage(format!(
            "{SOURCES} files at most in one import"
        )));
    }
    let now = clock::now();
    let moment = |text: &str| clock::moment(text, now).map_err(Fail::usage);
    let (from, until) = (moment(&args.from)?, moment(&args.until)?);
    if from >= until {
        return Err(Fail::usage("--from is not before --until"));
    }
    let service_account = || {
        format!(
            "system:serviceaccount:{}:{}",
            account::NAMESPACE,
            account::NAME
        )
    };
    Ok(Wanted {
        cluster: args.cluster.clone(),
        from,
        until,
        gate: (!args.all).then(|| args.gate_account.clone().unwrap_or_else(service_account)),
        components: !args.without_components,
    })
}

/// The first reading.
fn count(args: &Import, picker: &mut Picker, progress: &Progress) -> Outcome<Vec<Pass>> {
    let mut passes = Vec::new();
    for file in &args.files {
        let mut full = None;
        let pass = progress.each(file, &mut |event| match picker.count(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(fail) => {
                full = Some(fail);
                ControlFlow::Break(())
            }
        })?;
        match (pass, full) {
            (Some(pass), None) => {
                say_problems(file, &pass);
                passes.push(pass);
            }
            (_, Some(fail)) => return Err(fail),
            (None, None) => return Err(Fail::failure("the reading was stopped")),
        }
    }
    Ok(passes)
}

/// The second, which must find the same bytes.
fn send(
    args: &Import,
    picker: &mut Picker,
    sender: &mut Sender,
    progress: &Progress,
    passes: &[Pass],
) -> Outcome {
    for (file, first) in args.files.iter().zip(passes) {
        let mut failed = None;
        let pass = progress.each(file, &mut |event| {
            let sent = match picker.pick(event) {
                Some(key) => sender.add(key, event),
                None => sender.stay(),
            };
            match sent {
                Ok(()) => ControlFlow::Continue(()),
                Err(fail) => {
                    failed = Some(fail);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(fail) = failed {
            return Err(fail);
        }
        if pass.is_none_or(|pass| pass.sha256 != first.sha256) {
            let text = format!("`{}` changed while it was read", file.display());
            return Err(
                Fail::new(Kind::Verification, text).hint("import a copy that nobody writes to")
            );
        }
    }
    sender.flush()
}

fn sources(args: &Import, passes: &[Pass]) -> Vec<Source> {
    let files = args.files.iter().zip(passes);
    let source = |(path, pass): (&PathBuf, &Pass)| Source {
        name: Source::named(&name(path)),
        sha256: pass.sha256.clone(),
        bytes: pass.bytes,
    };
    files.map(source).collect()
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(OsStr::new("file"));
    name.to_string_lossy().into_owned()
}

/// How far both readings are, where somebody looks.
struct Progress {
    bar: Bar,
    total: u64,
    before: Cell<u64>,
}

impl Progress {
    fn of(args: &Import) -> Self {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
        let readings = if args.dry_run { 1 } else { 2 };
        Self {
            bar: Bar::start("reading audit logs"),
            total: args.files.iter().map(size).sum::<u64>() * readings,
            before: Cell::new(0),
        }
    }

    fn each(
        &self,
        file: &Path,
        with: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Outcome<Option<Pass>> {
        let before = self.before.get();
        let mut told = |bytes| {
            self.before.set(before + bytes);
            self.bar.show(before + bytes, self.total);
        };
        audit_log::each(file, &mut told, with).map_err(|error| Fail::failure(chain(&error)))
    }
}

fn say_problems(file: &Path, pass: &Pass) {
    let read = &pass.read;
    if read.malformed == 0 && (read.form.is_some() || read.lines == 0) {
        return;
    }
    let form = read.form.map_or("unknown", Form::words);
    output::talk(&format!(
        "{}: {} of {} lines not understood (form: {form}); they are left out, and the marker counts them",
        file.display(),
        read.malformed,
        read.lines
    ));
    for problem in &read.problems {
        output::talk(&format!("  line {}: {}", problem.line, problem.why));
    }
}

fn say_begun(begun: &ImportBegun) {
    for name in &begun.changed {
        output::talk(&format!(
            "`{name}` is not what it was when it was imported for an overlapping time: \
             what is in the log already is left out, and stays as it was"
        ));
    }
    if let Some(id) = begun.cut_short {
        output::talk(&format!("the import {id} never ended; the log says so now"));
    }
    if let Some(id) = begun.after {
        output::talk(&format!(
            "an earlier import is of an overlapping time: {id}"
        ));
    }
}

fn show(args: &Import, ended: &ImportEnded) -> Outcome {
    let gap = &ended.gap;
    let format = args.output.format;
    if format.is_data() {
        output::value(format, gap)?;
    } else {
        output::line(&format!(
            "import {}: {}",
            gap.import,
            words(gap.records, &gap.left_out)
        ))?;
    }
    if gap.change != Gap::ENDED {
        return Err(Fail::failure(format!(
            "the import is {}: {}",
            gap.change, gap.detail
        )));
    }
    output::talk(&format!(
        "see them: kubestile audit search --import {}",
        gap.import
    ));
    Ok(())
}

/// `12 records; left out: 30 of another time, 2 that came through the gate`
fn words(records: u64, left_out: &LeftOut) -> String {
    let parts = [
        (left_out.malformed, "not understood"),
        (left_out.outside, "of another time"),
        (left_out.through_gate, "that came through the gate"),
        (left_out.components, "of the cluster's components"),
        (left_out.duplicates, "there already"),
        (left_out.other_stages, "of earlier stages"),
    ];
    let said: Vec<String> = (parts.iter().filter(|(count, _)| *count > 0))
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    match said.is_empty() {
        true => format!("{records} records"),
        false => format!("{records} records; left out: {}", said.join(", ")),
    }
}
