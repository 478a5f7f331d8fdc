//! `kubestile advance`: plans the way to the next stage, makes its changes, takes them back.

mod apply;
mod gate;
mod journal;
mod write;

use std::path::Path;

use kubestile_assess::plan::{BreakGlass, Issuer, Plan, Step, Wishes, plan};
use kubestile_assess::verdict::{Change, prompt};
use kubestile_assess::{Snapshot, Stage, assess};
use kubestile_cluster::advance::control_plane::{Edit, Plane};
use kubestile_cluster::{Upstream, advance};

use super::assess::{exceptions, snapshot, wrong_kubeconfig};
use super::block_on;
use crate::args::advance::{Advance, Aim, Form};
use crate::exit::{Fail, Outcome, chain};
use crate::output::{self, Format};

/// Plans, applies or rolls back.
pub(super) fn run(args: Advance) -> Outcome {
    match args {
        Advance::Plan { aim, form, into } => {
            let (snapshot, plan) = planned(&aim)?;
            match form {
                Form::Table | Form::Wide => {
                    show(&aim, &plan, form == Form::Wide)?;
                    next(&aim, &plan)
                }
                Form::Json => output::value(Format::Json, &plan),
                Form::Yaml => output::value(Format::Yaml, &plan),
                Form::Pr => {
                    output::line_by_line(&kubestile_assess::plan::pull_request::body(&plan))
                }
                Form::Patches | Form::Kustomize => {
                    let edit = on_disk(&aim, &plan)?;
                    write::run(form, into.as_deref(), &plan, &snapshot, edit.as_ref())
                }
            }
        }
        Advance::Apply {
            aim,
            only,
            stage,
            accept_violations,
            restart,
            journal,
            yes,
        } => {
            let how = apply::How {
                only: &only,
                stage,
                accept_violations,
                restart: restart.command.as_deref(),
                journal: &journal,
                yes,
            };
            apply::run(&aim, &how)
        }
        Advance::Rollback {
            journal,
            last,
            restart,
            context,
            yes,
        } => block_on(journal::roll_back(
            &journal,
            last,
            restart.command.as_deref(),
            context.as_deref(),
            yes,
        )),
    }
}

fn planned(aim: &Aim) -> Outcome<(Snapshot, Plan)> {
    let keep = match &aim.break_glass {
        Some(context) => Some(block_on(way_in(aim, context))?),
        None => None,
    };
    let exceptions = exceptions(&aim.source)?;
    let snapshot = snapshot(&aim.source)?;
    let stage = assess(&snapshot, &exceptions).stage;
    let to = aim.to.or(stage.next()).unwrap_or(Stage::LAST);
    let issuer = aim.issuer.as_ref().zip(aim.audience.as_ref());
    let issuer = match issuer {
        Some((url, _)) if !url.starts_with("https://") => {
            return Err(Fail::usage(format!("`{url}` is no address of https")));
        }
        Some((url, audience)) => Some(Issuer {
            url: url.clone(),
            audience: audience.clone(),
        }),
        None => None,
    };
    let engine = block_on(gate::Own::of(&snapshot))?;
    let wishes = Wishes {
        keep: keep.as_ref(),
        issuer: issuer.as_ref(),
        registries: &aim.registries,
        engine: engine.as_ref().map(|e| e as _),
    };
    let plan = plan(&snapshot, &exceptions, to, &wishes);
    Ok((snapshot, plan))
}

/// What a plan would make of the control plane's files; none if there are none at hand.
fn on_disk(aim: &Aim, plan: &Plan) -> Outcome<Option<Edit>> {
    let changes: Vec<Change> = plan.steps.iter().flat_map(|s| s.changes.clone()).collect();
    let (Some(dir), true) = (
        &aim.source.control_plane_dir,
        changes.iter().any(is_of_plane),
    ) else {
        return Ok(None);
    };
    let plane = Plane::open(dir).map_err(|e| Fail::config(chain(&e)))?;
    let edit = plane.edit(&changes).map_err(|e| Fail::failure(chain(&e)))?;
    Ok(Some(edit))
}

fn is_of_plane(change: &Change) -> bool {
    matches!(change, Change::Flag { .. } | Change::File { .. })
}

const fn is_of_gate(change: &Change) -> bool {
    matches!(change, Change::Policy { .. })
}

/// The way in when all else fails: it must work now.
async fn way_in(aim: &Aim, context: &str) -> Outcome<BreakGlass> {
    let upstream = reach(aim.source.kubeconfig.as_deref(), context).await?;
    advance::break_glass(&upstream).await?.ok_or_else(|| {
        Fail::failure(format!(
            "the context `{context}` is no way in: it may not do everything"
        ))
        .hint("name one that may; it is tried with a SelfSubjectAccessReview, nothing is changed")
    })
}

async fn reach(kubeconfig: Option<&Path>, context: &str) -> Outcome<Upstream> {
    Upstream::from_kubeconfig(kubeconfig, Some(context))
        .await
        .map_err(|e| wrong_kubeconfig(&e))
}

fn show(aim: &Aim, plan: &Plan, wide: bool) -> Outcome {
    output::line(&format!(
        "stage {} now; the aim is {} ({}); {} with these steps alone",
        plan.from,
        plan.aim,
        plan.aim.name(),
        plan.predicted
    ))?;
    if plan.steps.is_empty() {
        output::line("")?;
        output::line(
            "no step that a program makes, with what it was told; what is for you stands below",
        )?;
    }
    for (index, step) in plan.steps.iter().enumerate() {
        output::line("")?;
        show_step(index + 1, step, wide)?;
    }
    if let Some(edit) = on_disk(aim, plan)? {
        output::line("")?;
        output::line("The control plane's files:")?;
        output::line_by_line(&edit.diff())?;
    }
    if !plan.by_hand.is_empty() {
        output::line("")?;
        output::line("For you:")?;
    }
    for item in &plan.by_hand {
        output::line(&format!(" - {}  [{}]", item.text, item.controls.join(", ")))?;
        for command in &item.commands {
            output::line(&format!("   {} {command}", prompt(command)))?;
        }
        output::line(&format!("   not done here: {}", item.why))?;
        if !item.flips.is_empty() {
            output::line(&format!("   with it would pass: {}", item.flips.join(", ")))?;
        }
    }
    if !plan.still_open.is_empty() {
        let open = plan.still_open.join(", ");
        output::line("")?;
        output::line(&format!("still open up to stage {}: {open}", plan.aim))?;
        for (control, why) in &plan.why_open {
            output::line(&format!("   {control} {why}"))?;
        }
    }
    Ok(())
}

/// What to add or to run to get on.
fn next(aim: &Aim, plan: &Plan) -> Outcome {
    let open = |id: &str| plan.still_open.iter().any(|c| c == id);
    let mut all: Vec<String> = Vec::new();
    let mut say = |when: bool, what: &str| {
        if when {
            all.push(what.to_owned());
        }
    };
    let files = plan.by_hand.iter();
    let mut files = files.filter(|b| b.why.contains("--control-plane-dir"));
    say(
        files.next().is_some(),
        "the API server's flags and files: on its machine, add --control-plane-dir /etc/kubernetes",
    );
    say(
        aim.issuer.is_none() && open("S1-01"),
        "how people log in: add --issuer URL --audience NAME of your identity provider, beside its files",
    );
    say(
        open("S3-08"),
        "each request decided and recorded: kubestile up, then plan again",
    );
    say(
        aim.break_glass.is_none(),
        "to try a way in that no step may lock out: add --break-glass CONTEXT",
    );
    say(
        plan.aim < Stage::LAST,
        "to look further than the next stage: add --to 4",
    );
    say(
        !plan.steps.is_empty(),
        "to make these steps, each tried first and undone by one command: kubestile advance apply, with the same flags",
    );
    if !all.is_empty() {
        output::line("")?;
        output::line("To get on:")?;
    }
    all.iter()
        .try_for_each(|what| output::line(&format!(" - {what}")))
}

fn show_step(number: usize, step: &Step, wide: bool) -> Outcome {
    let flips = match step.flips.is_empty() {
        true => "a part of it".to_owned(),
        false => step.flips.join(", "),
    };
    output::line(&format!(
        "{number}. {} {}  [mends {flips}]",
        step.control, step.text
    ))?;
    for change in &step.changes {
        let command = change.command();
        output::line(&format!("   {} {command}", prompt(&command)))?;
    }
    if let Some(replay) = &step.replay {
        output::line(&format!("   seen: {}", replay.words()))?;
        for line in &replay.lines {
            output::line(&format!("   seen: {line}"))?;
        }
    }
    if wide {
        for change in &step.changes {
            if let Change::Policy {
                content: Some(text),
                ..
            } = change
            {
                let added: String = text.lines().map(|l| format!("   + {l}\n")).collect();
                output::line_by_line(&added)?;
            }
        }
    }
    let most = if wide { usize::MAX } else { 3 };
    for line in step.blast.iter().take(most) {
        output::line(&format!("   now: {line}"))?;
    }
    let more = step.blast.len().saturating_sub(most);
    if more > 0 {
        output::line(&format!("   and {more} more (-o wide)"))?;
    }
    Ok(())
}

/// Asks; without a terminal only `--yes` is consent.
fn consent(question: &str, yes: bool) -> Outcome<bool> {
    if yes {
        return Ok(true);
    }
    output::ask(question)
        .ok_or_else(|| Fail::usage("there is no terminal to ask on").hint("pass --yes"))
}
