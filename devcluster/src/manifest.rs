//! The API server's command line as a file in kubeadm's place and form, and starting it anew from there:
//! what a kubelet does when a static pod's manifest changes, here when it is asked for.

use std::ffi::OsString;
use std::fs;

use crate::cluster::Health;
use crate::error::{Error, IoContext as _};
use crate::kubectl::Kubectl;
use crate::layout::Layout;
use crate::machine;
use crate::name::Name;
use crate::pki::write_secret;
use crate::process::{self, Launch};
use crate::programs;
use crate::state::State;
use crate::up::GRACE;
use crate::wait::Wait;

const PROGRAM: &str = "kube-apiserver";
const HEAD: &str = "\
# What the API server was started with. `cargo xtask cluster restart` starts it anew from here.
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
  namespace: kube-system
  labels:
    component: kube-apiserver
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
";

/// Writes the flags down, a line each.
pub(crate) fn write(layout: &Layout, flags: &[OsString]) -> Result<(), Error> {
    let lines = flags
        .iter()
        .map(|flag| format!("    - {}\n", flag.to_string_lossy()));
    write_secret(
        &layout.manifest(),
        &(HEAD.to_owned() + &lines.collect::<String>()),
    )
}

/// The flags of a manifest in the form in which it is written here.
fn flags(text: &str) -> Vec<OsString> {
    let lines = text.lines().map(str::trim);
    let flag = |line: &str| line.strip_prefix("- --").map(|rest| format!("--{rest}"));
    lines
        .filter_map(|line| flag(line).map(OsString::from))
        .collect()
}

/// Stops the API server of a running cluster and starts it as `manifests/kube-apiserver.yaml` in its
/// directory says now. With a manifest that it does not start from it stays down, and the cluster can
/// be mended by restarting it with another one.
///
/// # Errors
/// If there is no such cluster, or the API server does not come back in time: the end of its log is in
/// the message.
pub fn restart_api_server(name: &Name) -> Result<(), Error> {
    let layout = Layout::of(name)?;
    let _lock = programs::lock(layout.lock(), || {})?;
    let mut state = State::read(&layout)?.ok_or_else(|| Error::NotFound { name: name.clone() })?;
    let path = layout.manifest();
    let text = fs::read_to_string(&path).on("read", &path)?;
    let (old, others): (Vec<_>, Vec<_>) = state
        .processes
        .into_iter()
        .partition(|one| one.program == PROGRAM);
    state.processes = others;
    if let Health::Ended(programs) = Health::of(&state) {
        return Err(Error::NotRunning {
            name: name.clone(),
            what: Health::Ended(programs).to_string(),
        });
    }
    process::stop(&old, GRACE);
    let program = |name: &str| {
        let dirs = state.programs.iter().map(|dir| dir.join(name));
        dirs.into_iter().find(|path| path.is_file())
    };
    let missing = || Error::NotFound { name: name.clone() };
    let search_path = machine::search_path(&state.programs);
    let process = process::start(Launch {
        program: PROGRAM,
        path: &program(PROGRAM).ok_or_else(missing)?,
        args: flags(&text),
        search_path: &search_path,
        dir: layout.dir(),
        log: &layout.log(PROGRAM),
    })?;
    state.processes.push(process);
    state.write(&layout)?;
    let kubectl = Kubectl::new(program("kubectl").ok_or_else(missing)?, &layout);
    let wait = Wait {
        layout: &layout,
        processes: &state.processes,
        what: "answer from the API server",
        program: PROGRAM,
    };
    wait.until(|| kubectl.run(&["get", "--raw=/readyz"]).map(|_| true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_back_as_they_were_written() {
        let written = ["--a=b", "--c=https://x:1", "--d=/with space/e"];
        let lines: String = written.iter().map(|f| format!("    - {f}\n")).collect();
        let read = flags(&(HEAD.to_owned() + &lines));
        assert_eq!(read, written.map(OsString::from));
    }
}
