//! The row of whole commands: a real kubectl on a real Kubernetes, directly, through the gate with
//! its credential plugin, and through `kubectl proxy`. No core is anybody's here: it is as a person
//! has it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kubestile_devcluster as devcluster;
use kubestile_devcluster::{Cluster, DownOnDrop};

use super::gate::Person;
use super::machine;
use super::peer::{Kind, Stage};
use super::process::Running;
use super::progress::Progress;
use super::rows::Plan;
use super::sample::Sample;

/// Starts the cluster, the gate and the proxy; takes all of it down again.
pub(super) fn run(
    stage: &Stage,
    plan: &Plan,
    kinds: &[Kind],
    progress: &Progress,
) -> Result<Vec<(Kind, Vec<Sample>)>> {
    progress.step("starting a Kubernetes");
    // What this thread starts would be kept on its core.
    machine::use_both(stage.cores)?;
    let ready = Ready::start(stage, kinds, progress)?;
    let mut all: Vec<(Kind, Vec<Sample>)> = kinds.iter().map(|k| (*k, Vec::new())).collect();
    // The first runs fill kubectl's own discovery cache.
    for kind in kinds {
        ready.once(*kind)?;
    }
    for round in 0..plan.commands {
        progress.step(&format!("run {} of {}", round + 1, plan.commands));
        for at in 0..all.len() {
            let turn = (at + round) % all.len();
            if let Some((kind, samples)) = all.get_mut(turn) {
                samples.push(Sample::from([("ms", ready.once(*kind)?)]));
            }
        }
    }
    Ok(all)
}

/// Everything that answers. Fields are dropped from the top: the cluster last.
struct Ready {
    person: Person,
    proxied: PathBuf,
    _proxy: Running,
    _gate: Running,
    cluster: DownOnDrop,
}

impl Ready {
    fn start(stage: &Stage, kinds: &[Kind], progress: &Progress) -> Result<Self> {
        let name = "bench".parse()?;
        let mut show = |step: devcluster::Progress| progress.step(&step.to_string());
        let cluster = devcluster::up(&devcluster::Options::new(name), &mut show)?.down_on_drop();
        ensure!(kinds.contains(&Kind::Direct), "nothing to compare with");
        furnish(&cluster)?;
        let home = stage.dir().join("commands");
        std::fs::create_dir_all(&home)?;
        let (gate, person) = gate(stage, &cluster, &home)?;
        let mut command = cluster.kubectl();
        command.args(["proxy", "--port=0"]);
        let mut proxy = Running::start("kubectl proxy", command, &home.join("proxy.log"))?;
        let address = proxy.word_after("Starting to serve on ")?;
        let proxied = home.join("proxied.kubeconfig");
        std::fs::write(&proxied, PROXIED.replace("ADDRESS", &address))?;
        Ok(Self {
            person,
            proxied,
            _proxy: proxy,
            _gate: gate,
            cluster,
        })
    }

    /// Milliseconds from start to end of one command.
    fn once(&self, kind: Kind) -> Result<f64> {
        let mut command = self.cluster.kubectl();
        match kind {
            Kind::Gate => self.person.at_home(&mut command),
            Kind::KubectlProxy => {
                command.env("KUBECONFIG", &self.proxied);
                command.env("KUBECACHEDIR", self.proxied.with_extension("cache"));
            }
            Kind::Direct | Kind::Nginx | Kind::Haproxy => {}
        }
        command.args(["get", "pods", "-n", "bench"]);
        command.stdin(Stdio::null());
        let began = Instant::now();
        let output = command.output()?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && said.contains("web-"),
            "kubectl get pods ({}): {said}{}",
            kind.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(took)
    }
}

/// A gate as `kubestile up` makes it, and a person who has logged in.
fn gate(stage: &Stage, cluster: &Cluster, home: &Path) -> Result<(Running, Person)> {
    let state = home.join("gate");
    let mut up = Command::new("setpriv");
    up.args(["--pdeathsig", "TERM"]).arg(&stage.kubestile);
    up.args([
        "up",
        "--yes",
        "--listen",
        "127.0.0.1:0",
        "--cluster",
        "bench",
    ])
    .args(["--person", "root", "--dir"])
    .arg(&state)
    .env("HOME", home)
    .env("KUBECONFIG", &cluster.kubeconfig);
    let mut gate = Running::start("gate", up, &home.join("gate.log"))?;
    let url = gate.word_after("gate       ")?;
    let person = Person::log_in(&stage.kubestile, &state, &url, home)?;
    Ok((gate, person))
}

/// Two pods that need not run: what is measured is asking for them.
fn furnish(cluster: &Cluster) -> Result<()> {
    use std::io::Write as _;
    let mut apply = cluster
        .kubectl()
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut input = apply.stdin.take().context("no stdin")?;
    input.write_all(PODS.as_bytes())?;
    drop(input);
    ensure!(apply.wait()?.success(), "the pods could not be made");
    let wait = [
        "wait",
        "--for=create",
        "pod",
        "-l",
        "app=web",
        "-n",
        "bench",
        "--timeout=60s",
    ];
    let made = cluster
        .kubectl()
        .args(wait)
        .stdout(Stdio::null())
        .status()?;
    ensure!(made.success(), "the pods did not appear");
    Ok(())
}

const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: bench}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: bench}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: web, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "1d"]}
"#;

const PROXIED: &str = "\
apiVersion: v1
kind: Config
current-context: proxied
contexts:
- name: proxied
  context: {cluster: proxied, user: nobody}
clusters:
- name: proxied
  cluster: {server: \"http://ADDRESS\"}
users:
- name: nobody
  user: {}
";
