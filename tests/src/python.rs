//! The official Python client of Kubernetes, in an environment of its own below `target/`.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::Person;

/// Every package with its version and its hashes.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/requirements.txt");
/// Is written last: an environment without it is not complete.
const DONE: &str = "requirements.txt";

/// A script of a person's, run by Python with the client that their kubeconfig makes: the variables `core`,
/// `apps`, `stream` and `ApiException` are there.
pub fn script(person: &Person, lines: &str) -> Command {
    let mut python = Command::new(interpreter());
    python
        .args(["-c", &format!("{PRELUDE}\n{lines}")])
        .env("HOME", person.home())
        .env("XDG_STATE_HOME", person.home().join("xdg-state"))
        .env("XDG_CONFIG_HOME", person.home().join("config"))
        .env("KUBECONFIG", person.kubeconfig());
    python
}

const PRELUDE: &str = "
import json
from kubernetes import client, config
from kubernetes.stream import stream
from kubernetes.client.rest import ApiException
config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
";

/// Python with the client; whoever comes first installs it, as the requirements say and nothing else.
fn interpreter() -> PathBuf {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let binary = crate::gate::binary();
        let target = binary.ancestors().nth(2).expect("the target folder");
        let dir = target.join("python-client");
        std::fs::create_dir_all(&dir).expect("a directory");
        let lock = File::create(dir.join(".lock")).expect("a lock");
        lock.lock().expect("the lock");
        let wanted = std::fs::read_to_string(REQUIREMENTS).expect("the requirements");
        let python = dir.join("bin/python");
        let done = std::fs::read_to_string(dir.join(DONE)).unwrap_or_default();
        if done != wanted || !python.exists() {
            let mut make = Command::new("python3");
            make.args(["-m", "venv", "--clear"]).arg(&dir);
            succeeds(make);
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--require-hashes"]);
            install.args(["--only-binary=:all:", "-r", REQUIREMENTS]);
            succeeds(install);
            std::fs::write(dir.join(DONE), wanted).expect("a mark");
        }
        python
    })
    .clone()
}

fn succeeds(mut command: Command) {
    let output = command.output().expect("python3 with venv is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
