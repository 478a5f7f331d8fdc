//! What is written down about a cluster, so that another process can find and end it.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext as _};
use crate::kubernetes::Kubernetes;
use crate::layout::Layout;
use crate::name::Name;
use crate::network::PodNetwork;
use crate::process::Recorded;
use crate::traces::Setting;

/// The content of `cluster.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) name: Name,
    pub(crate) kubernetes: Kubernetes,
    pub(crate) node: bool,
    pub(crate) api_server_flags: Vec<String>,
    pub(crate) server: String,
    /// `None` without a node.
    pub(crate) pods: Option<PodNetwork>,
    /// For the last node that leaves the machine.
    pub(crate) settings_before: Vec<Setting>,
    /// The directories of the built programs, for PATH.
    pub(crate) programs: Vec<PathBuf>,
    /// False until `up` has seen everything ready.
    pub(crate) ready: bool,
    /// In the order they were started.
    pub(crate) processes: Vec<Recorded>,
}

impl State {
    /// `None` where there is no such file.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.state();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| Error::State { path, source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).on("read", &path),
        }
    }

    /// Replaces the file as a whole: a reader sees the old state or the new one.
    pub(crate) fn write(&self, layout: &Layout) -> Result<(), Error> {
        let path = layout.state();
        let partial = path.with_extension("json.partial");
        let text = serde_json::to_vec_pretty(self).map_err(|source| Error::State {
            path: path.clone(),
            source,
        })?;
        fs::File::create(&partial)
            .and_then(|mut file| file.write_all(&text))
            .on("write", &partial)?;
        fs::rename(&partial, &path).on("replace", &path)
    }

    /// The settings in a user's words, for a message.
    pub(crate) fn settings(&self) -> String {
        let node = if self.node {
            "with a node"
        } else {
            "without a node"
        };
        match self.api_server_flags.as_slice() {
            [] => format!("Kubernetes {}, {node}", self.kubernetes),
            flags => format!(
                "Kubernetes {}, {node}, {}",
                self.kubernetes,
                flags.join(" ")
            ),
        }
    }
}
