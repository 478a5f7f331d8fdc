//! Where everything lies: the cache, the clusters, and each file of one cluster.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::name::Name;

/// `KUBESTILE_CACHE`, else the user's cache directory.
fn cache() -> Result<PathBuf, Error> {
    let set = |key: &str| {
        env::var_os(key)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("KUBESTILE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("kubestile")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/kubestile")))
        .filter(|dir| dir.is_absolute())
        .ok_or(Error::NoCacheDirectory)
}

/// Built programs: kept across clusters, safe to delete while none is up.
pub(crate) fn builds() -> Result<PathBuf, Error> {
    Ok(cache()?.join("devcluster"))
}

/// The parent of all clusters: `KUBESTILE_CLUSTERS`, else below the cache.
pub(crate) fn clusters() -> Result<PathBuf, Error> {
    match env::var_os("KUBESTILE_CLUSTERS").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() => Ok(dir),
        _ => Ok(cache()?.join("clusters")),
    }
}

/// Taken while something is decided that all clusters share.
pub(crate) fn shared_lock() -> Result<PathBuf, Error> {
    Ok(clusters()?.join(".lock"))
}

/// One cluster's directory and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
    lock: PathBuf,
}

impl Layout {
    /// The longest socket below the directory is the kubelet's for pod resources,
    /// with a temporary name while it is being made; the kernel allows 107 bytes.
    const LONGEST_SOCKET: usize = "/kubelet/pod-resources/kubelet.sock.123456".len();
    const SOCKET_LIMIT: usize = 107;

    pub(crate) fn of(name: &Name) -> Result<Self, Error> {
        let parent = clusters()?;
        // The kernel's tables know no symbolic links, and `down` compares with them.
        let parent = fs::canonicalize(&parent).unwrap_or(parent);
        Ok(Self {
            dir: parent.join(name),
            lock: parent.join(format!(".{name}.lock")),
        })
    }

    /// Fails where a node's sockets would not fit into the kernel's limit.
    pub(crate) fn check_length(&self) -> Result<(), Error> {
        let (length, limit) = (
            self.dir.as_os_str().len(),
            Self::SOCKET_LIMIT - Self::LONGEST_SOCKET,
        );
        if length > limit {
            return Err(Error::PathTooLong {
                path: self.dir.clone(),
                length,
                limit,
            });
        }
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Beside the directory, so that it outlives its removal.
    pub(crate) fn lock(&self) -> &Path {
        &self.lock
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("cluster.json")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    pub(crate) fn log(&self, program: &str) -> PathBuf {
        self.dir.join("log").join(format!("{program}.log"))
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki").join(file)
    }

    pub(crate) fn config(&self, file: &str) -> PathBuf {
        self.dir.join("config").join(file)
    }

    /// The API server's, in the place and form that kubeadm gives it.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("manifests").join("kube-apiserver.yaml")
    }

    pub(crate) fn cni(&self) -> PathBuf {
        self.dir.join("cni")
    }

    pub(crate) fn etcd_data(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    pub(crate) fn kubectl_cache(&self) -> PathBuf {
        self.dir.join("kubectl-cache")
    }

    pub(crate) fn kubelet(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.dir.join("pod-logs")
    }

    pub(crate) fn containerd(&self, part: &str) -> PathBuf {
        self.dir.join("containerd").join(part)
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.dir.join("containerd.sock")
    }

    pub(crate) fn runc(&self) -> PathBuf {
        self.dir.join("runc")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_directory_is_refused_before_anything_starts() {
        let layout = |length: usize| Layout {
            dir: PathBuf::from(format!("/{}", "d".repeat(length - 1))),
            lock: PathBuf::new(),
        };
        assert!(layout(65).check_length().is_ok());
        assert!(layout(66).check_length().is_err());
    }
}
