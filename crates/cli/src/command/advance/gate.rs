//! The gate's part of a plan: its own engine judges what the plan writes, its own log says what that would have done
//! to people, and its own directory takes it.

mod replay;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubestile_assess::Snapshot;
use kubestile_assess::facts::Facts;
use kubestile_assess::plan::{Engine, Replay};
use kubestile_assess::snapshot::{PolicyEffect, PolicyFacts};
use kubestile_control::api::Status;
use kubestile_core::{ClusterName, Obligation};
use kubestile_policy::{PolicySet, Source, base_sources};

use crate::client::Door;
use crate::clock::now;
use crate::exit::{During as _, Fail, Kind, Outcome};
use crate::output;
use crate::policies::{self, PolicyFiles};
use crate::serve::{ADMIN_SOCKET, AUDIT, Process};

/// How long a gate may take to take up its policies; it looks every other second.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it has.
const TICK: Duration = Duration::from_millis(200);

/// The engine and the log of the gate on this machine.
#[derive(Debug)]
pub(super) struct Own {
    cluster: ClusterName,
    /// The policies of the gate as they are on disk.
    sources: Vec<Source>,
    /// What was allowed of late; none if the log cannot be read.
    asked: Option<Vec<replay::Asked>>,
}

impl Own {
    /// That of the gate that the snapshot shows; none if it is on another machine, does not serve the cluster, or has
    /// no directory for policies.
    pub(super) async fn of(snapshot: &Snapshot) -> Outcome<Option<Self>> {
        let facts = Facts::new(snapshot);
        let (Ok(gate), Ok(cluster)) = (facts.gate(), facts.gate_cluster()) else {
            return Ok(None);
        };
        if gate.remote || gate.policies.is_none() {
            return Ok(None);
        }
        let Ok(name) = cluster.name.parse::<ClusterName>() else {
            return Ok(None);
        };
        let place = Path::new(&gate.place);
        let sources = files(&status(place).await?).policies()?;
        let log = gate.log.as_ref().filter(|log| log.verified);
        let asked = log.and_then(|log| replay::read(&place.join(AUDIT), log.size, &name));
        Ok(Some(Self {
            cluster: name,
            sources,
            asked,
        }))
    }
}

impl Engine for Own {
    fn with(&self, files: &[(String, String)]) -> Result<PolicyEffect, String> {
        let is_ours = |source: &Source| files.iter().any(|(name, _)| *name == source.name);
        let mut sources: Vec<Source> = self.sources.clone();
        sources.retain(|source| !is_ours(source));
        sources.extend(files.iter().map(|(name, text)| Source::new(name, text)));
        let set = policies::load(&sources).map_err(|fail| {
            let first = fail.hints().first().cloned().unwrap_or_default();
            format!("the gate would not load it: {}; {first}", fail.message())
        })?;
        Ok(effect(&set, &self.cluster))
    }

    fn has(&self, name: &str, text: &str) -> bool {
        let mut all = self.sources.iter();
        all.any(|source| source.name == name && source.text == text)
    }

    fn replay(&self, name: &str, text: &str) -> Option<Replay> {
        replay::judge(self.asked.as_ref()?, &self.cluster, name, text)
    }
}

/// As the gate's facts have it.
fn effect(set: &PolicySet, cluster: &ClusterName) -> PolicyEffect {
    let base: Vec<String> = base_sources().into_iter().map(|s| s.name).collect();
    let all: Vec<_> = set.policies().collect();
    let holds = all
        .iter()
        .filter(|p| p.satisfy.contains(&Obligation::Approval));
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let own = all.iter().filter(|p| !base.contains(&p.file)).count();
    let tried = set.trial(cluster, now());
    let word = |login| {
        let value = serde_json::to_value(login).unwrap_or_default();
        value.as_str().map(str::to_owned)
    };
    PolicyEffect {
        policies: PolicyFacts {
            version: set.version().to_owned(),
            count: count(all.len()),
            own: count(own),
            context: set.context().map(str::to_owned).collect(),
            holds: holds.map(|p| p.id.to_string()).collect(),
            holds_more: 0,
        },
        trials: count(tried.dangerous),
        unheld: tried.unheld,
        weakest_login: tried.weakest_login.and_then(word),
        standing: Some(tried.standing),
        loose: Some(tried.loose),
    }
}

fn files(process: &Process) -> PolicyFiles {
    PolicyFiles {
        base: process.base_policies,
        replace: process.replaced_policies.clone(),
        dirs: process.policy_directories.clone(),
    }
}

async fn status(state: &Path) -> Outcome<Process> {
    let status: Status = Door::Admin(state.join(ADMIN_SOCKET))
        .get("/v1/status")
        .await?;
    Ok(serde_json::from_value(status.process)?)
}

/// A policy file of a gate on this machine.
pub(super) struct PolicyFile<'a> {
    /// The gate's state directory.
    pub(super) state: &'a Path,
    /// Where the gate reads it.
    pub(super) path: &'a Path,
}

impl PolicyFile<'_> {
    /// Its content; none if it is not there.
    pub(super) fn content(&self) -> Outcome<Option<String>> {
        let cannot = || format!("cannot read `{}`", self.path.display());
        match std::fs::symlink_metadata(self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).during_with(cannot),
            Ok(meta) if meta.is_file() => std::fs::read_to_string(self.path)
                .during_with(cannot)
                .map(Some),
            Ok(_) => Err(Fail::failure(format!(
                "`{}` is no file of its own: it is left as it is",
                self.path.display()
            ))
            .hint("where policies come from a mount or a link, put the file where they are kept")),
        }
    }

    /// Writes it, or removes it if there is no content, and sees the gate take it up. If it does not, what was there
    /// is put back.
    pub(super) async fn put(&self, content: Option<&str>) -> Outcome {
        let before = self.content()?;
        if self.path.extension().is_none_or(|e| e != "cedar") {
            return Err(self.is_none_of_its());
        }
        let running = match self.state.join(ADMIN_SOCKET).exists() {
            true => Some(status(self.state).await?),
            false => None,
        };
        if let Some(process) = &running {
            self.is_in_place(process)?;
        }
        self.write(content)?;
        let Some(process) = running else {
            output::talk(&format!(
                "no gate runs in `{}`: it takes its policies up when it starts",
                self.state.display()
            ));
            return Ok(());
        };
        let taken = self.taken_up(&process).await;
        if taken.is_err() {
            self.write(before.as_deref())?;
        }
        taken
    }

    /// A journal that somebody else wrote reaches nothing but where the gate reads policies.
    fn is_in_place(&self, process: &Process) -> Outcome {
        let dir = self.path.parent().map(PathBuf::from).unwrap_or_default();
        match process.policy_directories.contains(&dir) {
            true => Ok(()),
            false => Err(self.is_none_of_its()),
        }
    }

    fn is_none_of_its(&self) -> Fail {
        Fail::failure(format!(
            "`{}` is no policy file of the gate in `{}`",
            self.path.display(),
            self.state.display()
        ))
    }

    fn write(&self, content: Option<&str>) -> Outcome {
        match content {
            Some(text) => crate::files::replace(self.path, text.as_bytes()),
            None => match std::fs::remove_file(self.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).during_with(|| format!("cannot remove `{}`", self.path.display()))
                }
                _ => Ok(()),
            },
        }
    }

    /// Waits until the gate says that what is on disk is in force.
    async fn taken_up(&self, process: &Process) -> Outcome {
        let wanted = files(process).load()?.version().to_owned();
        let wait = async {
            loop {
                let now = status(self.state).await?;
                if now.policy_version == wanted {
                    return Ok(());
                }
                if let Some(error) = now.policy_error {
                    return Err(Fail::failure(format!("the gate does not load it: {error}")));
                }
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| {
            Fail::new(
                Kind::Unavailable,
                format!("the gate did not take up `{}` in time", self.path.display()),
            )
        })?
    }
}

#[cfg(test)]
mod tests;
