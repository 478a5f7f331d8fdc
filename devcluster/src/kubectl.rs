use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Error, IoContext as _};
use crate::layout::Layout;

/// The administrator's client, for the few calls that start and stop a cluster.
pub(crate) struct Kubectl {
    pub(crate) program: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, layout: &Layout) -> Self {
        Self {
            program,
            kubeconfig: layout.kubeconfig(),
            cache: layout.kubectl_cache(),
        }
    }

    /// Runs one command and gives what it printed.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String, Error> {
        self.run_with(args, "")
    }

    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Result<String, Error> {
        let mut child = Command::new(&self.program)
            .args(args)
            // A server that hangs must not hang its watcher.
            .arg("--request-timeout=5s")
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .on("run", &self.program)?;
        if let Some(mut pipe) = child.stdin.take() {
            // A command that does not read has its reason in its own message.
            let _unread = pipe.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().on("run", &self.program)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Command {
            command: format!("kubectl {}", args.join(" ")),
            output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
