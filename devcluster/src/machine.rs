//! What the machine must provide: root, programs of the distribution, a place for layers.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Debian's packages for a node, in the words of the message that asks for them.
pub(crate) const NODE_PACKAGES: &str = "runc containernetworking-plugins busybox-static";

/// What a node needs from the distribution.
#[derive(Debug)]
pub(crate) struct NodeParts {
    pub(crate) runc: PathBuf,
    pub(crate) busybox: PathBuf,
    /// The directory of the CNI plugins.
    pub(crate) cni: PathBuf,
}

impl NodeParts {
    /// Finds everything or says what is missing, before anything is started.
    pub(crate) fn find() -> Result<Self, Error> {
        require_root()?;
        let missing = |program: &str| Error::Missing {
            program: program.to_owned(),
            packages: NODE_PACKAGES,
        };
        let runc = find("runc").ok_or_else(|| missing("runc"))?;
        let busybox = find("busybox").ok_or_else(|| missing("busybox"))?;
        let plugins = ["ptp", "host-local", "loopback"];
        let cni = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"]
            .into_iter()
            .map(PathBuf::from)
            .find(|dir| plugins.iter().all(|plugin| dir.join(plugin).is_file()))
            .ok_or_else(|| missing("the CNI plugins ptp, host-local, loopback"))?;
        Ok(Self { runc, busybox, cni })
    }
}

pub(crate) fn require_root() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Error::NeedsRoot)
    }
}

/// Overlay layers cannot lie on an overlay, which is what a container's own disk is.
pub(crate) fn snapshotter(dir: &Path) -> &'static str {
    const OVERLAYFS: u64 = 0x794c_7630;
    let overlay = rustix::fs::statfs(dir)
        .is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| kind == OVERLAYFS));
    if overlay { "native" } else { "overlayfs" }
}

/// The given directories, then the user's PATH, then where Debian keeps runc: the
/// last are not in every user's PATH.
pub(crate) fn search_path(first: &[PathBuf]) -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let all = first
        .iter()
        .cloned()
        .chain(env::split_paths(&own))
        .chain(system.into_iter().map(PathBuf::from));
    env::join_paths(all).unwrap_or(own)
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path(&[]))
        .map(|dir| dir.join(program))
        .find(|path| path.is_absolute() && path.is_file())
}
