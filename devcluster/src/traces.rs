//! What a node leaves outside of its directory, and taking it away again.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster;
use crate::config;
use crate::error::Error;
use crate::layout::{self, Layout};
use crate::programs;
use crate::state::State;

/// Kernel settings that the kubelet changes on the machine it runs on.
const KUBELET_SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// A kernel setting as it was before the first node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    name: String,
    value: String,
}

/// Reads the settings; the caller holds the lock that all clusters share. With another
/// node on the machine they are changed already, so its record is taken over.
pub(crate) fn settings_before(others: &[State]) -> Vec<Setting> {
    if let Some(other) = others.iter().find(|state| state.node) {
        return other.settings_before.clone();
    }
    let read = |name: &str| {
        let value = fs::read_to_string(setting_path(name)).ok()?;
        Some(Setting {
            name: name.to_owned(),
            value: value.trim().to_owned(),
        })
    };
    KUBELET_SETTINGS.into_iter().filter_map(read).collect()
}

/// Removes the traces of a node whose processes have ended. What cannot be removed is
/// empty or stale, and no reason to fail.
pub(crate) fn remove(state: &State, layout: &Layout) -> Result<(), Error> {
    remove_network_results(
        &config::machine_wide_name(&state.name),
        Path::new("/var/lib/cni/results"),
    );
    // The kubelet's links to pod logs.
    remove_files(Path::new("/var/log/containers"), |path| {
        fs::read_link(path).is_ok_and(|target| target.starts_with(layout.dir()))
    });
    let _lock = programs::lock(&layout::shared_lock()?, || {})?;
    let others = cluster::states()?;
    if !others
        .iter()
        .any(|other| other.node && other.name != state.name)
    {
        leave_machine(&state.settings_before);
    }
    Ok(())
}

/// The last node is gone: the machine becomes as it was before the first.
fn leave_machine(settings: &[Setting]) {
    for setting in settings {
        let path = setting_path(&setting.name);
        let changed = fs::read_to_string(&path).is_ok_and(|now| now.trim() != setting.value);
        if changed {
            let _refused = fs::write(path, &setting.value);
        }
    }
    // A socket that answers belongs to a kubelet which is not ours.
    let socket = Path::new("/var/lib/kubelet/device-plugins/kubelet.sock");
    if socket.exists() && UnixStream::connect(socket).is_err() {
        let _stays = fs::remove_file(socket);
    }
    for group in control_groups("k8s.io") {
        remove_empty_tree(&group);
    }
    const SHARED: [&str; 7] = [
        "/var/lib/kubelet/device-plugins",
        "/var/lib/kubelet",
        "/var/lib/cni/results",
        "/var/lib/cni",
        "/run/containerd/s",
        "/run/containerd",
        "/var/log/containers",
    ];
    for dir in SHARED {
        // Only an empty one goes.
        let _in_use = fs::remove_dir(dir);
    }
}

fn setting_path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

/// The CNI library writes a file per network and pod, `NETWORK-POD-INTERFACE`. A pod's
/// loopback is in one that does not name the cluster's network, but it names the pod.
fn remove_network_results(network: &str, dir: &Path) {
    let pods: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let (pod, _) = file
                .strip_prefix(network)?
                .strip_prefix('-')?
                .split_once('-')?;
            Some(format!("-{pod}-"))
        })
        // Of a network whose name merely begins the same, this would be no pod.
        .filter(|pod| pod.len() > 60)
        .collect();
    remove_files(dir, |path| {
        let file = path
            .file_name()
            .map(|file| file.to_string_lossy())
            .unwrap_or_default();
        pods.iter().any(|pod| file.contains(pod.as_str()))
    });
}

fn remove_files(dir: &Path, ours: impl Fn(&Path) -> bool) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| ours(path)) {
        let _stays = fs::remove_file(path);
    }
}

/// The group of that name in the one hierarchy of version 2, or in each of version 1.
fn control_groups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    [root.to_owned()]
        .into_iter()
        .chain(hierarchies)
        .map(|hierarchy| hierarchy.join(name))
        .filter(|group| group.is_dir())
        .collect()
}

/// Groups are directories whose files cannot be removed: only `rmdir` works, from the
/// leaves up, and only where no process is left.
fn remove_empty_tree(group: &Path) {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty_tree(&entry.path());
    }
    let _in_use = fs::remove_dir(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_with_a_file_in_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (empty, full) = (dir.path().join("empty"), dir.path().join("full"));
        for tree in [&empty, &full] {
            fs::create_dir_all(tree.join("a/b")).unwrap();
        }
        fs::write(full.join("a/file"), "").unwrap();
        remove_empty_tree(&empty);
        remove_empty_tree(&full);
        assert!(!empty.exists());
        assert!(full.join("a/file").exists());
    }

    #[test]
    fn only_own_results_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, other) = ("a".repeat(64), "b".repeat(64));
        let networks = [("kubestile-dev", &mine), ("kubestile-dev-2", &other)];
        for (network, pod) in networks {
            fs::write(dir.path().join(format!("{network}-{pod}-eth0")), "").unwrap();
            fs::write(dir.path().join(format!("cni-loopback-{pod}-lo")), "").unwrap();
        }
        remove_network_results("kubestile-dev", dir.path());
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let expected = [
            format!("cni-loopback-{other}-lo"),
            format!("kubestile-dev-2-{other}-eth0"),
        ];
        assert_eq!(left, expected);
    }
}
