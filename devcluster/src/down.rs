//! Taking a cluster away: pods, programs, containers, mounts, files, in this order.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};

use crate::config;
use crate::containerd::{self, Ctr};
use crate::error::{Error, IoContext as _};
use crate::kubectl::Kubectl;
use crate::layout::Layout;
use crate::machine;
use crate::name::Name;
use crate::process::{self, Recorded};
use crate::programs;
use crate::progress::Progress;
use crate::state::State;
use crate::up::GRACE;

/// Stops what was started under that name, and removes all that it has left on the
/// machine. Nothing else is touched.
///
/// # Errors
///
/// If there is no such cluster, root is needed, or something cannot be removed; what
/// is left can be taken down by a later call.
pub fn down(name: &Name, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
    let layout = Layout::of(name)?;
    if !layout.dir().exists() {
        return Err(Error::NotFound { name: name.clone() });
    }
    let _lock = programs::lock(layout.lock(), || {
        progress(Progress::Waiting {
            what: format!("another use of `{name}`"),
        });
    })?;
    take_down(name, &layout, progress)
}

/// As [`down`], for the holder of the lock; fine with a cluster that is half there or
/// not at all.
pub(crate) fn take_down(
    name: &Name,
    layout: &Layout,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    if let Some(state) = State::read(layout)? {
        if state.node {
            machine::require_root()?;
        }
        progress(Progress::step(format!("stopping `{name}`")));
        let left = stop_everything(&state, layout);
        if !left.is_empty() {
            return Err(Error::LeftBehind {
                name: name.clone(),
                what: left.join(", "),
            });
        }
        if state.node {
            unmount_below(layout.dir())?;
            remove_traces(name, layout);
        }
    }
    match fs::remove_dir_all(layout.dir()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).on("remove", layout.dir()),
        _ => Ok(()),
    }
}

/// Returns the programs that would not end.
fn stop_everything(state: &State, layout: &Layout) -> Vec<String> {
    let of = |names: &[&str]| -> Vec<&Recorded> {
        let wanted = |process: &&Recorded| names.contains(&process.program.as_str());
        state.processes.iter().filter(wanted).collect()
    };
    // First those who would make new pods.
    process::stop(of(&["kube-controller-manager", "kube-scheduler"]), GRACE);
    let ctr = node_client(state, layout);
    if let Some(ctr) = &ctr {
        delete_pods(state, layout, ctr);
    }
    process::stop(of(&["kubelet"]), GRACE);
    process::stop(of(&["kube-apiserver"]), GRACE);
    process::stop(of(&["etcd"]), GRACE);
    if let Some(ctr) = &ctr {
        for task in ctr.tasks().unwrap_or_default() {
            // What stays is ended below, without containerd.
            let _failed = ctr.remove_task(&task);
        }
    }
    process::stop(of(&["containerd"]), GRACE);
    let mut left = Vec::new();
    if state.node {
        containerd::remove_containers(layout);
        left = containerd::stop_shims(layout);
    }
    let still = process::stop(&state.processes, GRACE);
    left.extend(still.into_iter().map(|process| process.program.clone()));
    left
}

fn node_client<'a>(state: &State, layout: &'a Layout) -> Option<Ctr<'a>> {
    let runs = state
        .processes
        .iter()
        .any(|one| one.program == "containerd" && one.is_running());
    let program = state
        .programs
        .iter()
        .map(|dir| dir.join("ctr"))
        .find(|path| path.is_file())?;
    (state.node && runs).then_some(Ctr { program, layout })
}

/// Lets the kubelet end the pods, which also gives back their addresses. Only a
/// courtesy: the steps after it manage without.
fn delete_pods(state: &State, layout: &Layout, ctr: &Ctr<'_>) {
    const PATIENCE: Duration = Duration::from_secs(10);
    let runs = |name: &str| {
        state
            .processes
            .iter()
            .any(|one| one.program == name && one.is_running())
    };
    let Some(programs) = state.programs.first() else {
        return;
    };
    if !runs("kubelet") || !runs("kube-apiserver") {
        return;
    }
    let kubectl = Kubectl::new(programs.join("kubectl"), layout);
    let delete = [
        "delete",
        "pods",
        "--all",
        "--all-namespaces",
        "--wait=false",
    ];
    let now = ["--force", "--grace-period=0"];
    if kubectl.run(&[delete.as_slice(), &now].concat()).is_err() {
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && ctr.tasks().is_ok_and(|tasks| !tasks.is_empty()) {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Unmounts layers, volumes and network namespaces, the innermost first.
fn unmount_below(dir: &Path) -> Result<(), Error> {
    let table = fs::read("/proc/self/mountinfo").on("read", Path::new("/proc/self/mountinfo"))?;
    for path in mounts_below(dir, &table) {
        unmount(&path, UnmountFlags::DETACH)
            .map_err(Into::into)
            .on("unmount", &path)?;
    }
    Ok(())
}

/// The mount points of the kernel's table below a directory, last mounted first.
fn mounts_below(dir: &Path, table: &[u8]) -> Vec<PathBuf> {
    let mut mounts: Vec<PathBuf> = table
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(|field| PathBuf::from(std::ffi::OsString::from_vec(unescape(field))))
        .filter(|path| path.starts_with(dir))
        .collect();
    mounts.reverse();
    mounts
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() {
            tail.get(3..).unwrap_or_default()
        } else {
            tail
        };
    }
    bytes
}

/// Removes what programs keep in places that all clusters of a machine share, as far
/// as it is this cluster's.
fn remove_traces(name: &Name, layout: &Layout) {
    // The CNI library's results, named by network.
    let prefix = format!("{}-", config::network_name(name));
    remove_where(Path::new("/var/lib/cni/results"), |path| {
        path.file_name()
            .is_some_and(|file| file.to_string_lossy().starts_with(&prefix))
    });
    // The kubelet's links to pod logs.
    remove_where(Path::new("/var/log/containers"), |path| {
        fs::read_link(path).is_ok_and(|target| target.starts_with(layout.dir()))
    });
}

fn remove_where(dir: &Path, ours: impl Fn(&Path) -> bool) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| ours(path)) {
        // A stale small file is no reason to fail.
        let _stays = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_directory_and_innermost_first() {
        let table = b"1 0 8:1 / / rw - ext4 a rw\n\
            2 1 0:1 / /c/dev/rootfs rw - overlay b rw\n\
            3 2 0:2 / /c/dev/rootfs/in\\040ner rw - tmpfs c rw\n\
            4 1 0:3 / /c/dev2/rootfs rw - overlay d rw\n";
        assert_eq!(
            mounts_below(Path::new("/c/dev"), table),
            [
                PathBuf::from("/c/dev/rootfs/in ner"),
                PathBuf::from("/c/dev/rootfs")
            ]
        );
    }

    #[test]
    fn odd_escapes_stay_as_they_are() {
        assert_eq!(unescape(br"a\134b"), br"a\b");
        assert_eq!(unescape(br"a\9"), br"a\9");
        assert_eq!(unescape(br"a\"), br"a\");
    }
}
