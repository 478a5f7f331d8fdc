use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::name::Name;

/// Why a cluster could not be built, started, found or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No home, no cache directory: nowhere to put anything.
    #[error("no cache directory: set KUBESTILE_CACHE, XDG_CACHE_HOME or HOME")]
    NoCacheDirectory,
    /// Go is not installed.
    #[error("Go is missing: install golang 1.26 or newer and put `go` in PATH")]
    GoMissing,
    /// Go is installed but cannot use the module.
    #[error("the installed Go does not fit, install golang 1.26 or newer:\n{output}")]
    GoUnfit {
        /// What `go` said.
        output: String,
    },
    /// The Go build failed.
    #[error("building {component} failed; the last lines of `go build`:\n{output}")]
    Build {
        /// The group of programs.
        component: String,
        /// The end of the compiler's output.
        output: String,
    },
    /// A program that the distribution provides is not installed.
    #[error("{program} is missing: apt-get install {packages} (or this distribution's equivalent)")]
    Missing {
        /// The program.
        program: String,
        /// Debian's packages to install.
        packages: &'static str,
    },
    /// The busybox found is linked against libraries that an image would not have.
    #[error("`{path}` is not statically linked: apt-get install busybox-static")]
    BusyboxNotStatic {
        /// The program found.
        path: PathBuf,
    },
    /// A node means containers, and containers mean root.
    #[error("starting or stopping a node needs root; use --no-node for the control plane alone")]
    NeedsRoot,
    /// Unix sockets below the directory would exceed the kernel's limit.
    #[error(
        "`{path}` is too long a path for the sockets below it ({length} bytes, at most {limit}): \
         set KUBESTILE_CLUSTERS to a shorter directory"
    )]
    PathTooLong {
        /// The cluster's directory.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// The longest that works.
        limit: usize,
    },
    /// A cluster of that name runs with other settings.
    #[error("cluster `{name}` is up with other settings ({settings}): take it down first")]
    Differs {
        /// The cluster.
        name: Name,
        /// The settings it runs with.
        settings: String,
    },
    /// There is no cluster of that name.
    #[error("no cluster `{name}`")]
    NotFound {
        /// The name asked for.
        name: Name,
    },
    /// The cluster's directory is there, but not everything runs.
    #[error("cluster `{name}` is not running ({what}): take it down, or start it anew with `up`")]
    NotRunning {
        /// The cluster.
        name: Name,
        /// What is wrong with it.
        what: String,
    },
    /// A program of the cluster ended while it was still needed.
    #[error("{program} ended while waiting for {what}; the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// What was waited for.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// Something did not become ready in time.
    #[error("no {what} after {}s{last}\nthe end of {program}'s log:\n{log}", waited.as_secs())]
    NotInTime {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// The last failure seen, if any, as `: text`.
        last: String,
        /// The program that would have made it so.
        program: String,
        /// The end of its log.
        log: String,
    },
    /// A command needed on the way failed.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The command, shortened to what a reader needs.
        command: String,
        /// What it printed to standard error.
        output: String,
    },
    /// Something of the cluster could not be taken away.
    #[error("cluster `{name}` left something behind: {what}")]
    LeftBehind {
        /// The cluster.
        name: Name,
        /// What is left.
        what: String,
    },
    /// No free network is left for the pods.
    #[error("no free pod network below 10.0.0.0/8")]
    NoPodNetwork,
    /// Making a key or certificate failed.
    #[error("cannot make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// Reading or writing a file failed.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A state file is not what this version writes.
    #[error(
        "cannot understand `{path}`: made by another version? remove it after stopping its processes"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// Attaches what was tried, and on which file, to an IO failure.
pub(crate) trait IoContext<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn on(self, doing: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.to_owned(),
            source,
        })
    }
}

impl From<rcgen::Error> for Error {
    fn from(source: rcgen::Error) -> Self {
        Self::Certificate(source)
    }
}
