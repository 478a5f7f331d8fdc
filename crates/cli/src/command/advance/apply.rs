//! Makes the changes of a plan, one at a time, each tried first and undoable by the way in.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use kubestile_assess::Snapshot;
use kubestile_assess::plan::{Plan, Rollout, Step, at, object, reached};
use kubestile_assess::verdict::Change;
use kubestile_cluster::advance::control_plane::Plane;
use kubestile_cluster::{Upstream, advance};

use super::super::assess::current;
use super::journal::{Back, Journal};
use super::{consent, gate, is_of_gate, is_of_plane, planned, reach, show, way_in};
use crate::args::advance::{Aim, To};
use crate::exit::{Fail, Outcome, chain};
use crate::output;

/// How to go about it.
pub(super) struct How<'a> {
    pub(super) only: &'a [String],
    pub(super) stage: Option<To>,
    pub(super) accept_violations: bool,
    pub(super) restart: Option<&'a str>,
    pub(super) journal: &'a Path,
    pub(super) yes: bool,
}

pub(super) fn run(aim: &Aim, how: &How<'_>) -> Outcome {
    let Some(break_glass) = &aim.break_glass else {
        return Err(Fail::usage("there is no way in when all else fails").hint(
            "name the context of one with --break-glass: it is tried, and no step may lock it out",
        ));
    };
    if aim.source.from.is_some() {
        return Err(Fail::usage(
            "a saved snapshot cannot be changed: leave out --from",
        ));
    }
    let (snapshot, mut plan) = planned(aim)?;
    if !how.only.is_empty() {
        plan.steps
            .retain(|s| how.only.iter().any(|o| o.eq_ignore_ascii_case(&s.control)));
    }
    show(aim, &plan, false)?;
    if plan.steps.is_empty() {
        return Ok(());
    }
    if !consent(&format!("Make {} step(s)?", plan.steps.len()), how.yes)? {
        return Err(Fail::failure("nothing was changed"));
    }
    super::block_on(async {
        let mut maker = Maker::new(aim, how, &snapshot, break_glass).await?;
        match maker.make(&plan).await {
            Ok(()) => maker.done(),
            Err(fail) => Err(maker.stopped(&fail)),
        }
    })
}

struct Maker<'a> {
    aim: &'a Aim,
    how: &'a How<'a>,
    upstream: Upstream,
    /// The way in: it must be able to undo each change.
    way: Upstream,
    break_glass: &'a str,
    journal: Journal,
    /// How many changes the journal had when this began.
    begun: usize,
    audit_log: Option<PathBuf>,
    /// The state directory of the gate on this machine.
    gate: Option<PathBuf>,
    waiting: usize,
}

impl<'a> Maker<'a> {
    async fn new(
        aim: &'a Aim,
        how: &'a How<'a>,
        snapshot: &Snapshot,
        break_glass: &'a str,
    ) -> Outcome<Self> {
        let kubeconfig = aim.source.kubeconfig.as_deref();
        let context = match &aim.source.context {
            Some(context) => context.clone(),
            None => current(kubeconfig)?,
        };
        let upstream = reach(kubeconfig, &context).await?;
        let way = reach(kubeconfig, break_glass).await?;
        if way.server() != upstream.server() {
            return Err(Fail::usage(format!(
                "`{break_glass}` is a way into {}, not into {}",
                way.server(),
                upstream.server()
            )));
        }
        let server = snapshot.control_plane.api_server.known();
        let log = server.and_then(|s| s.value("audit-log-path"));
        let journal = Journal::open(how.journal, &snapshot.cluster.server)?;
        Ok(Self {
            aim,
            how,
            upstream,
            way,
            break_glass,
            begun: journal.len(),
            journal,
            audit_log: log.map(PathBuf::from).filter(|p| p.is_file()),
            gate: snapshot.gate.known().map(|g| PathBuf::from(&g.place)),
            waiting: 0,
        })
    }

    async fn make(&mut self, plan: &Plan) -> Outcome {
        for step in &plan.steps {
            if self.waits_for_people(step) {
                continue;
            }
            for change in step.changes.iter().filter(|c| is_of_gate(c)) {
                self.policy(step, change).await?;
            }
            let rest = step.changes.iter();
            for change in rest.filter(|c| !is_of_plane(c) && !is_of_gate(c)) {
                match object(change) {
                    Some(_) => self.by_stages(step, change).await?,
                    None => self.one(step, change).await?,
                }
            }
            self.files(step).await?;
            output::talk(&format!("{} {}", step.control, step.text));
            way_in(self.aim, self.break_glass).await?;
        }
        Ok(())
    }

    /// Takes a refusing change one stage further, or up to the one that was asked for.
    async fn by_stages(&mut self, step: &Step, change: &Change) -> Outcome {
        let Some(object) = object(change) else {
            return Ok(());
        };
        let live = advance::live(&self.upstream, &object).await?;
        let mut stage = live.and_then(|l| reached(change, &l));
        let first = stage.map_or(Some(Rollout::Audit), Rollout::next);
        let aim = match self.how.stage {
            Some(To::Audit) => Some(Rollout::Audit),
            Some(To::Warn) => Some(Rollout::Warn),
            Some(To::Deny) => Some(Rollout::Deny),
            None => first,
        };
        while let Some(next) = stage.map_or(Some(Rollout::Audit), Rollout::next) {
            if aim.is_none_or(|aim| next > aim) {
                break;
            }
            let log = self.audit_log.as_deref();
            let seen = advance::look(&self.upstream, change, log).await?;
            for note in &seen.notes {
                output::talk(&format!("  {object}: {note}"));
            }
            for line in &seen.violations {
                output::talk(&format!("  {object} would refuse: {line}"));
            }
            if next == Rollout::Deny && !seen.violations.is_empty() && !self.how.accept_violations {
                self.waiting += 1;
                output::talk(&format!(
                    "  {object} stays at {}: mend these, or pass --accept-violations",
                    stage.map_or("nothing", Rollout::word)
                ));
                return Ok(());
            }
            self.one(step, &at(change, next)).await?;
            output::talk(&format!("  {object}: {}", next.word()));
            stage = Some(next);
        }
        if stage != Some(Rollout::Deny) {
            self.waiting += 1;
        }
        Ok(())
    }

    /// One change of an object: tried, written down, made; then the way in tries to undo it.
    async fn one(&mut self, step: &Step, change: &Change) -> Outcome {
        let back = advance::apply(&self.upstream, change, true).await?;
        // How to undo it is on disk before it is done.
        self.journal
            .push(&step.control, change, Back::Change(back.clone()))?;
        if let Err(error) = advance::apply(&self.upstream, change, false).await {
            if error.is_in_doubt() {
                return Err(Fail::from(error)
                    .hint("no answer came: it may have been made, and stays in the journal"));
            }
            self.journal.pop()?;
            return Err(error.into());
        }
        if let Err(error) = advance::try_roll_back(&self.way, &back).await {
            advance::roll_back(&self.upstream, &back).await?;
            self.journal.pop()?;
            return Err(Fail::failure(format!(
                "`{}` could not undo `{}`, so it was undone at once: {}",
                self.break_glass,
                change.command(),
                chain(&error)
            )));
        }
        Ok(())
    }

    /// A policy of the gate is in force at once: its log stands for what the other stages would have shown.
    fn waits_for_people(&mut self, step: &Step) -> bool {
        let seen = step.replay.as_ref().filter(|r| r.held + r.denied > 0);
        let Some(replay) = seen.filter(|_| !self.how.accept_violations) else {
            return false;
        };
        self.waiting += 1;
        for line in &replay.lines {
            output::talk(&format!("  {} would have {line}", step.control));
        }
        output::talk(&format!(
            "  {} waits: tell these people, or pass --accept-violations",
            step.control
        ));
        true
    }

    /// A policy of the gate: written down, written, and seen to be in force.
    async fn policy(&mut self, step: &Step, change: &Change) -> Outcome {
        let (Change::Policy { path, content, .. }, Some(state)) = (change, self.gate.clone())
        else {
            return Ok(());
        };
        let file = gate::PolicyFile {
            state: &state,
            path: Path::new(path),
        };
        let back = Change::Policy {
            path: path.clone(),
            content: file.content()?,
            shows: Box::default(),
        };
        self.journal.gate(&state);
        self.journal
            .push(&step.control, change, Back::Change(back))?;
        if let Err(fail) = file.put(content.as_deref()).await {
            self.journal.pop()?;
            return Err(fail);
        }
        Ok(())
    }

    /// The step's changes of the control plane's files, all at once: each restart is a pause for all.
    async fn files(&mut self, step: &Step) -> Outcome {
        let changes: Vec<Change> = step
            .changes
            .iter()
            .filter(|c| is_of_plane(c))
            .cloned()
            .collect();
        let (Some(first), Some(dir)) = (changes.first(), &self.aim.source.control_plane_dir) else {
            return Ok(());
        };
        let plane = Plane::open(dir).map_err(|e| Fail::config(chain(&e)))?;
        let edit = plane.edit(&changes).map_err(|e| Fail::failure(chain(&e)))?;
        self.journal.plane(plane.dir());
        let was = step.rollback.iter().filter_map(|c| match c {
            Change::Flag { name, value } => Some((name.clone(), value.clone())),
            Change::File { flag, path, .. } => Some((flag.clone(), Some(path.clone()))),
            _ => None,
        });
        let back = edit.reverse(was.collect());
        self.journal.push(&step.control, first, Back::Files(back))?;
        let restart = Restarter(self.how.restart.map(str::to_owned));
        let start = || restart.start();
        let start = restart.is_set().then_some(&start as _);
        if let Err(error) = plane.make(&self.upstream, &edit, start).await {
            let fail = Fail::failure(chain(&error));
            if !edit.is_undone() {
                return Err(fail.hint("not all files are as they were: it stays in the journal"));
            }
            self.journal.pop()?;
            return Err(fail);
        }
        Ok(())
    }

    fn done(&self) -> Outcome {
        if self.waiting > 0 {
            output::talk(&format!(
                "{} change(s) do not refuse yet: watch what they write down, then apply again",
                self.waiting
            ));
        }
        output::talk(&format!(
            "done; to undo it: kubestile advance rollback {}",
            self.journal.path().display()
        ));
        Ok(())
    }

    fn stopped(&self, why: &Fail) -> Fail {
        let made = self.journal.len().saturating_sub(self.begun);
        let fail = Fail::failure(format!("stopped after {made} change(s): {why}"));
        match made {
            0 => fail,
            _ => fail.hint(format!(
                "to undo them: kubestile advance rollback {} --last {made}",
                self.journal.path().display()
            )),
        }
    }
}

/// Longer than any restart takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// The command that starts the API server anew, as its owner wrote it.
pub(super) struct Restarter(pub(super) Option<String>);

impl Restarter {
    pub(super) const fn is_set(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn start(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
        let command = self.0.clone().unwrap_or_default();
        Box::pin(async move {
            let mut child = tokio::process::Command::new("sh")
                .arg("-c")
                .arg(&command)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| e.to_string())?;
            match tokio::time::timeout(PATIENCE, child.wait()).await {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => Err(format!("`{command}` ended with {status}")),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("`{command}` does not end")),
            }
        })
    }
}
