//! Taking a cluster away: pods, programs, containers, mounts, files, in this order.

use std::fs;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use crate::containerd::{self, Ctr};
use crate::error::{Error, IoContext as _};
use crate::kubectl::Kubectl;
use crate::layout::Layout;
use crate::machine;
use crate::mounts;
use crate::name::Name;
use crate::process::{self, Recorded};
use crate::programs;
use crate::progress::Progress;
use crate::state::State;
use crate::traces;
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
    take_down(name, &layout, progress)?;
    fs::remove_file(layout.lock()).on("remove", layout.lock())
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
            // Before any removal: what is still mounted holds somebody else's files.
            mounts::unmount_below(layout.dir())?;
            traces::remove(&state, layout)?;
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
    if state.node {
        containerd::remove_containers(layout);
    }
    let strays = process::strays(&state.programs, layout.dir());
    let left = process::stop(state.processes.iter().chain(&strays), GRACE);
    left.into_iter()
        .map(|process| process.program.clone())
        .collect()
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
