//! `kubestile advance`: plans the way to the next stage, makes its changes, takes them back.

use std::path::Path;

use kubestile_assess::plan::{BreakGlass, Plan, Step, plan};
use kubestile_assess::verdict::Change;
use kubestile_assess::{Snapshot, Stage, assess};
use kubestile_cluster::{Upstream, advance};
use serde::{Deserialize, Serialize};

use super::assess::{current, exceptions, snapshot};
use super::block_on;
use crate::args::advance::{Advance, Aim};
use crate::exit::{During as _, Fail, Kind, Outcome, chain};
use crate::files;
use crate::output::{self, Format};

/// What was done, so that it can be undone.
#[derive(Serialize, Deserialize, Default)]
struct Journal {
    /// The cluster's address.
    server: String,
    done: Vec<Done>,
}

#[derive(Serialize, Deserialize)]
struct Done {
    control: String,
    change: Change,
    back: Change,
}

/// Plans, applies or rolls back.
pub(super) fn run(args: Advance) -> Outcome {
    match args {
        Advance::Plan { aim, output } => {
            let (_snapshot, plan) = planned(&aim)?;
            match output.format.is_data() {
                true => output::value(output.format, &plan),
                false => show(&plan, output.format == Format::Wide),
            }
        }
        Advance::Apply {
            aim,
            only,
            journal,
            yes,
        } => apply(&aim, &only, &journal, yes),
        Advance::Rollback {
            journal,
            context,
            yes,
        } => block_on(roll_back(&journal, context.as_deref(), yes)),
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
    let plan = plan(&snapshot, &exceptions, to, keep.as_ref());
    Ok((snapshot, plan))
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
        .map_err(|e| Fail::new(Kind::Config, chain(&e)))
}

fn show(plan: &Plan, wide: bool) -> Outcome {
    output::line(&format!(
        "stage {} now; the aim is {} ({}); {} with these steps alone",
        plan.from,
        plan.aim,
        plan.aim.name(),
        plan.predicted
    ))?;
    for (index, step) in plan.steps.iter().enumerate() {
        output::line("")?;
        show_step(index + 1, step, wide)?;
    }
    if !plan.by_hand.is_empty() {
        output::line("")?;
        output::line("For you:")?;
    }
    for item in &plan.by_hand {
        output::line(&format!(" - {}  [{}]", item.text, item.controls.join(", ")))?;
        for command in &item.commands {
            output::line(&format!("   $ {command}"))?;
        }
        output::line(&format!("   not done here: {}", item.why))?;
    }
    if !plan.still_open.is_empty() {
        let open = plan.still_open.join(", ");
        output::line(&format!("still open up to stage {}: {open}", plan.aim))?;
    }
    Ok(())
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
        output::line(&format!("   $ {}", change.command()))?;
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

fn apply(aim: &Aim, only: &[String], journal: &Path, yes: bool) -> Outcome {
    if aim.break_glass.is_none() {
        return Err(Fail::usage("there is no way in when all else fails").hint(
            "name the context of one with --break-glass: it is tried, and no step may lock it out",
        ));
    }
    if aim.source.from.is_some() {
        return Err(Fail::usage(
            "a saved snapshot cannot be changed: leave out --from",
        ));
    }
    if journal.exists() {
        return Err(Fail::usage(format!("`{}` is there already", journal.display()))
            .hint("it says how to undo what was done before: keep it, and name another with --journal"));
    }
    let (snapshot, mut plan) = planned(aim)?;
    if !only.is_empty() {
        plan.steps
            .retain(|s| only.iter().any(|o| o.eq_ignore_ascii_case(&s.control)));
    }
    show(&plan, false)?;
    if plan.steps.is_empty() {
        return Ok(());
    }
    if !consent(&format!("Make {} step(s)?", plan.steps.len()), yes)? {
        return Err(Fail::failure("nothing was changed"));
    }
    block_on(make(aim, &snapshot, &plan, journal))
}

/// Asks; without a terminal only `--yes` is consent.
fn consent(question: &str, yes: bool) -> Outcome<bool> {
    if yes {
        return Ok(true);
    }
    output::ask(question)
        .ok_or_else(|| Fail::usage("there is no terminal to ask on").hint("pass --yes"))
}

async fn make(aim: &Aim, snapshot: &Snapshot, plan: &Plan, journal: &Path) -> Outcome {
    let context = match &aim.source.context {
        Some(context) => context.clone(),
        None => current(aim.source.kubeconfig.as_deref())?,
    };
    let upstream = reach(aim.source.kubeconfig.as_deref(), &context).await?;
    let mut log = Journal {
        server: snapshot.cluster.server.clone(),
        done: Vec::new(),
    };
    for step in &plan.steps {
        for change in &step.changes {
            let tried = advance::apply(&upstream, change, true).await;
            let back = match tried {
                Ok(back) => back,
                Err(error) => return Err(stopped(&log, journal, &chain(&error))),
            };
            // How to undo it is on disk before it is done.
            log.done.push(Done {
                control: step.control.clone(),
                change: change.clone(),
                back,
            });
            write(journal, &log)?;
            if let Err(error) = advance::apply(&upstream, change, false).await {
                log.done.pop();
                write(journal, &log)?;
                return Err(stopped(&log, journal, &chain(&error)));
            }
        }
        output::talk(&format!("{} {}", step.control, step.text));
        if let Some(way) = &aim.break_glass {
            way_in(aim, way)
                .await
                .map_err(|fail| stopped(&log, journal, &fail.to_string()))?;
        }
    }
    output::talk(&format!(
        "done; to undo it: kubestile advance rollback {}",
        journal.display()
    ));
    Ok(())
}

fn stopped(log: &Journal, journal: &Path, why: &str) -> Fail {
    let fail = Fail::failure(format!("stopped after {} change(s): {why}", log.done.len()));
    match log.done.is_empty() {
        true => fail,
        false => fail.hint(format!(
            "to undo them: kubestile advance rollback {}",
            journal.display()
        )),
    }
}

fn write(journal: &Path, log: &Journal) -> Outcome {
    files::replace(journal, &serde_json::to_vec_pretty(log)?)
}

async fn roll_back(path: &Path, context: Option<&str>, yes: bool) -> Outcome {
    let text = std::fs::read(path).during_with(|| format!("cannot read `{}`", path.display()))?;
    let mut log: Journal = serde_json::from_slice(&text).map_err(|_| {
        Fail::config(format!(
            "`{}` is no journal of `advance apply`",
            path.display()
        ))
    })?;
    let context = match context {
        Some(context) => context.to_owned(),
        None => current(None)?,
    };
    let upstream = reach(None, &context).await?;
    if upstream.server() != log.server {
        return Err(Fail::usage(format!(
            "the journal is of {}, and `{context}` is {}",
            log.server,
            upstream.server()
        ))
        .hint("name its context with --context"));
    }
    if !consent(&format!("Undo {} change(s)?", log.done.len()), yes)? {
        return Err(Fail::failure("nothing was changed"));
    }
    while let Some(last) = log.done.last() {
        advance::roll_back(&upstream, &last.back).await?;
        output::talk(&format!("undone: {}", last.change.command()));
        log.done.pop();
        write(path, &log)?;
    }
    Ok(())
}
