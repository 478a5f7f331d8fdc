//! Talking to the cluster's containerd, and finding what it has started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, IoContext as _};
use crate::layout::Layout;
use crate::process::{self, Recorded};

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

/// Ends the shims that still wait for this cluster's containers.
pub(crate) fn stop_shims(layout: &Layout) -> Vec<String> {
    let shims = shims(&layout.containerd_socket());
    let left = process::stop(&shims, Duration::from_secs(2));
    left.into_iter().map(|shim| shim.program.clone()).collect()
}

/// A shim tells by its arguments which containerd it belongs to, so none of another
/// cluster can be meant.
fn shims(socket: &Path) -> Vec<Recorded> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            is_shim_of(&arguments, socket)
        })
        .filter_map(|pid| Recorded::running("containerd-shim-runc-v2", pid))
        .collect()
}

fn is_shim_of(arguments: &[u8], socket: &Path) -> bool {
    let arguments: Vec<&[u8]> = arguments.split(|&byte| byte == 0).collect();
    let socket = socket.as_os_str().as_encoded_bytes();
    arguments
        .first()
        .is_some_and(|program| program.ends_with(b"/containerd-shim-runc-v2"))
        && arguments
            .windows(2)
            .any(|pair| pair == [b"-address".as_slice(), socket])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shims_of_this_very_socket_match() {
        let socket = Path::new("/c/dev/containerd.sock");
        let shim = |address: &str| {
            format!("/p/containerd-shim-runc-v2\0-namespace\0k8s.io\0-address\0{address}\0")
        };
        assert!(is_shim_of(
            shim("/c/dev/containerd.sock").as_bytes(),
            socket
        ));
        assert!(!is_shim_of(
            shim("/c/dev2/containerd.sock").as_bytes(),
            socket
        ));
        assert!(!is_shim_of(
            b"vi\0-address\0/c/dev/containerd.sock\0",
            socket
        ));
        assert!(!is_shim_of(b"", socket));
    }
}
