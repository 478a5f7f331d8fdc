//! What is shown: allowed, refused, a command inside a pod, and the log that others verify.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: canary, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: canary}}
  template:
    metadata: {labels: {app: canary}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: canary, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent,
         command: ["sleep", "infinity"]}
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
    say(&format!("\n$ kubestile login {}", gate.login.join(" ")));
    log_in_as("ana", &gate.login, home, true)
}

/// Bob: reads everything, approves what others ask for.
fn log_in_bob(gate: &Gate, home: &Path) -> Result<Person> {
    let add = [
        "people",
        "add",
        "bob",
        "--function",
        "viewer",
        "--function",
        "approver",
    ];
    let said = gate.admin(&add).stderr(Stdio::null()).output()?.stdout;
    let said = String::from_utf8(said)?;
    let login = said
        .lines()
        .find_map(|l| l.strip_prefix("kubestile login "));
    let login = login.context("no login code for bob")?;
    let words: Vec<String> = login.split_whitespace().map(str::to_owned).collect();
    log_in_as("bob", &words, home, false)
}

fn log_in_as(name: &str, login: &[String], home: &Path, shown: bool) -> Result<Person> {
    let person = Person {
        kubeconfig: home.join(format!("{name}.kubeconfig")),
        home: home.join(name),
    };
    std::fs::create_dir_all(&person.home)?;
    let mut command = person.command(program());
    command.arg("login").args(login);
    if !shown {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    ensure!(command.status()?.success(), "the login of {name} failed");
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
        kubectl(&["delete", "namespace", "shop"], false)?;
        approve(target, gate, person)?;
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

/// What needs a second person: ana's command waits, bob looks and approves, and it goes on by itself.
fn approve(target: &Target, gate: &Gate, ana: &Person) -> Result<()> {
    let home = ana.home.parent().context("a home")?;
    let bob = log_in_bob(gate, home)?;
    let delete = ["delete", "deployment", "canary", "-n", "shop"];
    say(&format!(
        "\n$ kubectl {}     # ana: it waits",
        delete.join(" ")
    ));
    let waiting = ana
        .command(Command::new(&target.kubectl))
        .args(delete)
        .stdout(Stdio::piped())
        .spawn()?;
    let id = waiting_id(&bob)?;
    say(&format!(
        "\n$ kubestile approvals show {id}     # bob, in another terminal"
    ));
    let show = ["approvals", "show", &id];
    say(text(bob.command(program()).args(show))?.trim_end());
    say(&format!("\n$ kubestile approve {id}"));
    let approve = ["approve", &id, "--yes"];
    say(text(bob.command(program()).args(approve))?.trim_end());
    let ended = waiting.wait_with_output()?;
    ensure!(
        ended.status.success(),
        "the approved command ended with {}",
        ended.status
    );
    say("\n# and ana's command goes on:");
    say(String::from_utf8_lossy(&ended.stdout).trim_end());
    Ok(())
}

/// The id of the request that waits for bob.
fn waiting_id(bob: &Person) -> Result<String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let list = text(bob.command(program()).args(["approvals", "-o", "json"]))?;
        let list: serde_json::Value = serde_json::from_str(&list)?;
        let first = list.pointer("/requests/0/id").and_then(|id| id.as_str());
        if let Some(id) = first {
            return Ok(id.to_owned());
        }
        ensure!(
            Instant::now() < deadline,
            "the command does not wait for an approval"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
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
