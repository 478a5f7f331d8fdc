use std::fs;
use std::io::ErrorKind;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;

use serde::Serialize;

use crate::down::down;
use crate::error::{Error, IoContext as _};
use crate::kubernetes::Kubernetes;
use crate::layout::{self, Layout};
use crate::machine;
use crate::name::Name;
use crate::state::State;

/// A running cluster, as its users need it. Dropping it does not stop anything.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The name it was started under.
    pub name: Name,
    /// Its Kubernetes line.
    pub kubernetes: Kubernetes,
    /// The node's name, where there is one.
    pub node: Option<String>,
    /// Everything it has on disk. `pki/` in it holds the authorities' keys, so that a
    /// test can make certificates of its own.
    pub dir: PathBuf,
    /// For an administrator: a client certificate of the group `system:masters`.
    pub kubeconfig: PathBuf,
    /// The API server: `https://127.0.0.1:PORT`.
    pub server: String,
    /// The certificate authority of the API server and of its clients, in PEM.
    pub ca: PathBuf,
    /// One JSON event a line, level Metadata. An event may be written shortly after
    /// its response has been received.
    pub audit_log: PathBuf,
    /// The client of the same version.
    pub kubectl: PathBuf,
    /// Directories for PATH: kubectl is in the first.
    pub programs: Vec<PathBuf>,
}

impl Cluster {
    pub(crate) fn new(layout: &Layout, state: State) -> Self {
        let kubectl = state
            .programs
            .first()
            .map(|dir| dir.join("kubectl"))
            .unwrap_or_default();
        Self {
            node: state.node.then(|| state.name.node()),
            name: state.name,
            kubernetes: state.kubernetes,
            dir: layout.dir().to_owned(),
            kubeconfig: layout.kubeconfig(),
            server: state.server,
            ca: layout.pki("ca.crt"),
            audit_log: layout.audit_log(),
            kubectl,
            programs: state.programs,
        }
    }

    /// Ties the cluster's life to a value's.
    pub fn down_on_drop(self) -> DownOnDrop {
        DownOnDrop(self)
    }

    /// A kubectl that talks to this cluster as its administrator.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"))
            .env("PATH", machine::search_path(&self.programs));
        command
    }
}

/// A cluster that is taken down when this is dropped, as at the end of a test that
/// fails. A kill of the process leaves it up: `cargo xtask cluster down NAME`.
#[derive(Debug)]
pub struct DownOnDrop(Cluster);

impl Deref for DownOnDrop {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for DownOnDrop {
    fn drop(&mut self) {
        // There is nobody to tell; `list` still shows what could not be taken down.
        let _stays = down(&self.0.name, &mut |_| {});
    }
}

/// Finds a cluster that another process has started.
///
/// # Errors
///
/// If there is none of that name, or it does not run as a whole.
pub fn attach(name: &Name) -> Result<Cluster, Error> {
    let layout = Layout::of(name)?;
    let state = State::read(&layout)?.ok_or_else(|| Error::NotFound { name: name.clone() })?;
    match Health::of(&state) {
        Health::Ready => Ok(Cluster::new(&layout, state)),
        other => Err(Error::NotRunning {
            name: name.clone(),
            what: other.to_string(),
        }),
    }
}

/// All clusters of this user, sorted by name, whatever their health.
///
/// # Errors
///
/// If a directory or a cluster's state cannot be read.
pub fn list() -> Result<Vec<Summary>, Error> {
    let mut summaries: Vec<Summary> = states()?.into_iter().map(Summary::of).collect();
    summaries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(summaries)
}

pub(crate) fn states() -> Result<Vec<State>, Error> {
    let dir = layout::clusters()?;
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).on("read", &dir),
    };
    let mut states = Vec::new();
    for entry in entries {
        let file_name = entry.on("read", &dir)?.file_name();
        // Locks lie beside the clusters; their names are no cluster names.
        let Some(name) = file_name
            .to_str()
            .and_then(|text| text.parse::<Name>().ok())
        else {
            continue;
        };
        states.extend(State::read(&Layout::of(&name)?)?);
    }
    Ok(states)
}

/// One line of [`list`].
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The cluster.
    pub name: Name,
    /// Its Kubernetes line.
    pub kubernetes: Kubernetes,
    /// Whether it has a node.
    pub node: bool,
    /// Whether it runs.
    pub health: Health,
    /// The API server.
    pub server: String,
}

impl Summary {
    fn of(state: State) -> Self {
        Self {
            health: Health::of(&state),
            name: state.name,
            kubernetes: state.kubernetes,
            node: state.node,
            server: state.server,
        }
    }
}

/// Whether a cluster runs, judged by its processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It was seen ready and every process still runs.
    Ready,
    /// Starting just now, or given up before it was ready.
    Unfinished,
    /// These programs have ended.
    Ended(Vec<String>),
}

impl Health {
    pub(crate) fn of(state: &State) -> Self {
        let ended: Vec<String> = state
            .processes
            .iter()
            .filter(|process| !process.is_running())
            .map(|process| process.program.clone())
            .collect();
        if !ended.is_empty() {
            Self::Ended(ended)
        } else if state.ready {
            Self::Ready
        } else {
            Self::Unfinished
        }
    }
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::Ended(programs) => write!(f, "ended: {}", programs.join(", ")),
        }
    }
}
