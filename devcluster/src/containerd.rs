//! Talking to the cluster's containerd, and ending its containers without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, IoContext as _};
use crate::layout::Layout;

/// The namespace that Kubernetes uses inside containerd.
const NAMESPACE: &str = "k8s.io";

/// A client of one cluster's containerd.
pub(crate) struct Ctr<'a> {
    pub(crate) program: PathBuf,
    pub(crate) layout: &'a Layout,
}

impl Ctr<'_> {
    pub(crate) fn answers(&self) -> Result<bool, Error> {
        self.run(&["version"]).map(|_| true)
    }

    pub(crate) fn import(&self, archive: &Path) -> Result<(), Error> {
        self.run(&["images", "import", "--local", &archive.to_string_lossy()])
            .map(drop)
    }

    /// Containers that run, pod sandboxes among them.
    pub(crate) fn tasks(&self) -> Result<Vec<String>, Error> {
        Ok(self
            .run(&["tasks", "list", "--quiet"])?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// Kills a container's processes and lets its shim end.
    pub(crate) fn remove_task(&self, id: &str) -> Result<(), Error> {
        self.run(&["tasks", "delete", "--force", id]).map(drop)
    }

    fn run(&self, args: &[&str]) -> Result<String, Error> {
        let output = Command::new(&self.program)
            .arg("--address")
            .arg(self.layout.containerd_socket())
            .args([
                "--namespace",
                NAMESPACE,
                "--connect-timeout=5s",
                "--timeout=30s",
            ])
            .args(args)
            .output()
            .on("run", &self.program)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Command {
            command: format!("ctr {}", args.join(" ")),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

/// Ends containers without containerd's help, as after it has crashed.
pub(crate) fn remove_containers(layout: &Layout) {
    let root = layout.runc().join(NAMESPACE);
    for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
        // What it cannot end shows up as a mount or a directory that stays.
        let _failed = Command::new("runc")
            .arg("--root")
            .arg(&root)
            .args(["delete", "--force"])
            .arg(entry.file_name())
            .env("PATH", crate::machine::search_path(&[]))
            .output();
    }
}
