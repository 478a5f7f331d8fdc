//! What was done, on disk before it is done, so that it can be undone.

use std::path::{Path, PathBuf};

use kubestile_assess::verdict::Change;
use kubestile_cluster::advance;
use kubestile_cluster::advance::control_plane::{Edit, Plane};
use serde::{Deserialize, Serialize};

use super::super::assess::current;
use super::{apply, consent, gate, reach};
use crate::exit::{During as _, Fail, Kind, Outcome, chain};
use crate::files;
use crate::output;

/// What was done, so that it can be undone.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Journal {
    /// The cluster's address.
    server: String,
    /// The directory of the control plane's files, if any was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control_plane: Option<PathBuf>,
    /// The state directory of the gate whose policies were changed, if any was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gate: Option<PathBuf>,
    /// What was done, first to last.
    done: Vec<Done>,
    #[serde(skip)]
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Done {
    control: String,
    change: Change,
    #[serde(flatten)]
    back: Back,
}

/// What takes it back.
#[derive(Serialize, Deserialize)]
pub(super) enum Back {
    /// A change of an object.
    #[serde(rename = "back")]
    Change(Change),
    /// Files of the control plane.
    #[serde(rename = "files")]
    Files(Edit),
}

impl Journal {
    /// The one at `path`, to be gone on with, or a new one.
    pub(super) fn open(path: &Path, server: &str) -> Outcome<Self> {
        if !path.exists() {
            return Ok(Self {
                server: server.to_owned(),
                path: path.to_owned(),
                ..Self::default()
            });
        }
        let journal = Self::read(path)?;
        if journal.server != server {
            return Err(Fail::usage(format!(
                "the journal `{}` is of another cluster, {}",
                path.display(),
                journal.server
            ))
            .hint("it says how to undo what was done there: name another with --journal"));
        }
        Ok(journal)
    }

    fn read(path: &Path) -> Outcome<Self> {
        const HINT: &str = "`advance apply` writes one, `advance.json` if not told otherwise";
        let text = std::fs::read(path)
            .during_with(|| format!("cannot read `{}`", path.display()))
            .map_err(|fail| fail.kind(Kind::Config).hint(HINT))?;
        let journal: Self = serde_json::from_slice(&text).map_err(|_| {
            let text = format!("`{}` is no journal of `advance apply`", path.display());
            Fail::config(text).hint(HINT)
        })?;
        Ok(Self {
            path: path.to_owned(),
            ..journal
        })
    }

    /// Writes down what is about to be done.
    pub(super) fn push(&mut self, control: &str, change: &Change, back: Back) -> Outcome {
        self.done.push(Done {
            control: control.to_owned(),
            change: change.clone(),
            back,
        });
        self.write()
    }

    /// Writes down that the last was not done, or is undone.
    pub(super) fn pop(&mut self) -> Outcome {
        self.done.pop();
        self.write()
    }

    pub(super) fn plane(&mut self, dir: &Path) {
        self.control_plane = Some(dir.to_owned());
    }

    pub(super) fn gate(&mut self, state: &Path) {
        self.gate = Some(state.to_owned());
    }

    pub(super) const fn len(&self) -> usize {
        self.done.len()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self) -> Outcome {
        files::replace(&self.path, &serde_json::to_vec_pretty(self)?)
    }
}

/// Takes back what a journal says was done, last first.
pub(super) async fn roll_back(
    path: &Path,
    last: Option<usize>,
    restart: Option<&str>,
    context: Option<&str>,
    yes: bool,
) -> Outcome {
    let mut journal = Journal::read(path)?;
    let context = match context {
        Some(context) => context.to_owned(),
        None => current(None)?,
    };
    let upstream = reach(None, &context).await?;
    if upstream.server() != journal.server {
        return Err(Fail::usage(format!(
            "the journal is of {}, and `{context}` is {}",
            journal.server,
            upstream.server()
        ))
        .hint("name its context with --context"));
    }
    let count = last.unwrap_or(usize::MAX).min(journal.len());
    if !consent(&format!("Undo {count} change(s)?"), yes)? {
        return Err(Fail::failure("nothing was changed"));
    }
    let restart = apply::Restarter(restart.map(str::to_owned));
    for _ in 0..count {
        let Some(done) = journal.done.last() else {
            break;
        };
        match &done.back {
            Back::Change(Change::Policy { path, content, .. }) => {
                let file = gate::PolicyFile {
                    state: journal.gate.as_deref().unwrap_or(Path::new("")),
                    path: Path::new(path),
                };
                let made = match &done.change {
                    Change::Policy { content, .. } => content.clone(),
                    _ => None,
                };
                if file.content()? != made {
                    return Err(Fail::failure(format!(
                        "`{path}` is not as it was written: somebody has changed it since"
                    ))
                    .hint("take it back by hand, then leave this change out of the journal"));
                }
                file.put(content.as_deref()).await?;
            }
            Back::Change(back) => advance::roll_back(&upstream, back).await?,
            Back::Files(edit) => {
                let dir = journal.control_plane.as_deref().unwrap_or(Path::new(""));
                let plane = Plane::open(dir).map_err(|e| Fail::config(chain(&e)))?;
                let start = || restart.start();
                let start = restart.is_set().then_some(&start as _);
                plane.make(&upstream, edit, start).await?;
            }
        }
        output::talk(&format!(
            "undone: {} {}",
            done.control,
            done.change.command()
        ));
        journal.pop()?;
    }
    Ok(())
}
