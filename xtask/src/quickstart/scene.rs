//! What is shown: allowed, refused, a command inside a pod, and the log that others verify.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{Gate, Target, program};
use crate::workspace::{self, say};

/// Somebody who has logged in.
pub(super) struct Person {
    kubeconfig: PathBuf,
    home: PathBuf,
}

/// What the scene needs in a new cluster.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: web, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent,
         command: ["sh", "-c", "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"]}
"#;

/// Something to look at in a new cluster.
pub(super) fn furnish(target: &Target) -> Result<()> {
    let mut apply = admin_kubectl(target)
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    apply
        .stdin
        .take()
        .context("no stdin")?
        .write_all(SHOP.as_bytes())?;
    ensure!(
        apply.wait()?.success(),
        "the example deployment could not be created"
    );
    let rollout = [
        "rollout",
        "status",
        "deployment/web",
        "-n",
        "shop",
        "--timeout=120s",
    ];
    let ready = admin_kubectl(target)
        .args(rollout)
        .stdout(Stdio::null())
        .status()?;
    ensure!(ready.success(), "the example deployment did not start");
    Ok(())
}

fn admin_kubectl(target: &Target) -> Command {
    let mut kubectl = Command::new(&target.kubectl);
    if let Some(kubeconfig) = &target.kubeconfig {
        kubectl.env("KUBECONFIG", kubeconfig);
    }
    if let Some(context) = &target.context {
        kubectl.args(["--context", context]);
    }
    kubectl
}

/// Ana: reads everything, operates the shop.
pub(super) fn log_in(gate: &Gate, home: &Path) -> Result<Person> {
    let person = Person {
        kubeconfig: home.join("ana.kubeconfig"),
        home: home.join("ana"),
    };
    std::fs::create_dir_all(&person.home)?;
    say(&format!("\n$ kubestile login {}", gate.login.join(" ")));
    let status = person
        .command(program())
        .arg("login")
        .args(&gate.login)
        .status()?;
    ensure!(status.success(), "the login failed");
    Ok(person)
}

impl Person {
    fn command(&self, mut command: Command) -> Command {
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("KUBECACHEDIR", self.home.join("cache"));
        command
    }
}

/// The commands, each as it would be typed, with what kubectl prints.
pub(super) fn play(target: &Target, gate: &Gate, person: &Person) -> Result<()> {
    let kubectl = |words: &[&str], allowed: bool| -> Result<()> {
        say(&format!("\n$ kubectl {}", words.join(" ")));
        let status = person
            .command(Command::new(&target.kubectl))
            .args(words)
            .status()?;
        ensure!(
            status.success() == allowed,
            "`kubectl {}` ended with {status}",
            words.join(" ")
        );
        Ok(())
    };
    let scope: &[&str] = if target.ours.is_some() {
        &["-n", "shop"]
    } else {
        &["-A"]
    };
    kubectl(&[&["get", "pods"], scope].concat(), true)?;
    if target.ours.is_some() {
        kubectl(&["delete", "deployment", "web", "-n", "shop"], false)?;
        kubectl(
            &[
                "exec",
                "-n",
                "shop",
                "deploy/web",
                "--",
                "echo",
                "hello from inside",
            ],
            true,
        )?;
    }
    say("\n$ kubestile audit search --person ana --verb delete");
    say(
        text(&mut gate.admin(&["audit", "search", "--person", "ana", "--verb", "delete"]))?
            .trim_end(),
    );
    say("\n$ kubestile audit verify");
    say(text(&mut gate.admin(&["audit", "verify"]))?.trim_end());
    verify_with_go(gate)
}

/// The same log, read by Go's own transparency log library.
fn verify_with_go(gate: &Gate) -> Result<()> {
    let log = gate.state.join("audit");
    let key = std::fs::read_to_string(log.join("log.vkey"))?;
    say(
        "\n$ go run ./tests/golog audit/ \"$(cat audit/log.vkey)\"     # golang.org/x/mod/sumdb, not ours",
    );
    let output = Command::new("go")
        .args(["run", "."])
        .arg(&log)
        .arg(key.trim())
        .current_dir(workspace::root()?.join("tests/golog"))
        .output();
    match output {
        Ok(output) if output.status.success() => {
            say(String::from_utf8_lossy(&output.stdout).trim_end());
            Ok(())
        }
        Ok(output) => bail!(
            "the log did not verify: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(_) => {
            say("Go is not installed here, so this check is left out");
            Ok(())
        }
    }
}

/// What to try while it stays up.
pub(super) fn invite(target: &Target, gate: &Gate, person: &Person) {
    say("\nThe gate stays up until Ctrl-C. In another terminal:\n");
    say(&format!(
        "  export KUBECONFIG={}",
        person.kubeconfig.display()
    ));
    say(&format!("  export HOME={}", person.home.display()));
    let program = workspace::root().unwrap_or_default().join("target/debug");
    let mut path = program.display().to_string();
    let folder = target.kubectl.parent();
    if let Some(folder) = folder.filter(|f| !f.as_os_str().is_empty()) {
        path.push_str(&format!(":{}", folder.display()));
    }
    say(&format!("  export PATH={path}:$PATH"));
    say("  kubectl get pods -A             # allowed: ana reads everything but Secrets");
    say("  kubectl get secrets -n shop     # refused, with the policy and what to do");
    say("  kubectl logs -f -n shop deploy/web");
    say(&format!(
        "  kubestile audit tail --dir {}",
        gate.state.display()
    ));
    say(&format!(
        "  kubestile sessions list --all --dir {}   # and `sessions end ID --all`: streams end at once",
        gate.state.display()
    ));
    if target.ours.is_some() {
        say(
            "\nThe Kubernetes stays when the gate ends; `cargo xtask cluster down quickstart` removes it.",
        );
    }
}

fn text(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
