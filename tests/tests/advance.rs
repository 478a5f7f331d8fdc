//! `kubestile advance` as a person uses it, on a real cluster of its own: what a fresh one lacks, each step
//! made by stages and taken back once, then all of them, and what is still missing said truthfully.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use kubestile_devcluster::{Cluster, Kubernetes};
use kubestile_tests::{Gate, eventually};
use serde_json::{Value, json};

/// Gates that objects of the cluster and its own files decide, and that people's habits left open. S0-08 is the same
/// flag as S2-01, and no API server here starts with it.
const GATES: &[&str] = &[
    "S0-07", "S0-09", "S0-10", "S0-11", "S0-13", "S1-01", "S1-02", "S1-03", "S1-05", "S2-01",
    "S2-02", "S2-03", "S2-04", "S2-05", "S2-06", "S2-07", "S2-09", "S2-17", "S2-20", "S3-01",
    "S3-02", "S3-03", "S3-05", "S3-12",
];
/// Gates that the cluster, its files and the gate cannot close: people and their habits do, or a sink for the log.
const NOT_OURS: &[&str] = &[
    "S0-04", "S1-08", "S1-09", "S1-15", "S3-13", "S4-04", "S4-05", "S4-06",
];
/// Controls beside the gates that flip with them.
const OTHERS: &[&str] = &["S1-04", "S1-11", "S1-12", "S2-23", "S3-06", "S3-07"];
/// What people were given over the years: name, words of `kubectl create clusterrole`, of the binding.
const HABITS: &[(&str, &[&str], &[&str])] = &[
    (
        "wide",
        &["--verb=*", "--resource=deployments.apps"],
        &["rolebinding", "-n", "shop", "--user=nia"],
    ),
    (
        "secrets",
        &["--verb=get,list,watch", "--resource=secrets"],
        &["clusterrolebinding", "--user=ola"],
    ),
    (
        "binder",
        &[
            "--verb=bind",
            "--resource=clusterroles.rbac.authorization.k8s.io",
        ],
        &["clusterrolebinding", "--user=pia"],
    ),
    (
        "bindings",
        &[
            "--verb=create",
            "--resource=clusterrolebindings.rbac.authorization.k8s.io",
        ],
        &["clusterrolebinding", "--user=pia"],
    ),
    (
        "actor",
        &["--verb=impersonate", "--resource=users"],
        &["clusterrolebinding", "--user=ria"],
    ),
    (
        "kubelets",
        &["--verb=get", "--resource=nodes/proxy"],
        &["clusterrolebinding", "--user=sia"],
    ),
];

#[test]
fn step_by_step_up_and_back_and_up() {
    let mut own = Own::up();
    let fresh = own.assess();
    assert_eq!(fresh["stage"], 0);
    assert_eq!(
        own.outcome(&fresh, "S0-04"),
        "fail",
        "system:masters is in daily use"
    );
    own.live_in();
    let lived_in = own.assess();
    let plan = own.plan();
    says_what_is_missing(&plan);
    written_as_files(&own);

    // Each step alone, up to where it refuses, and back.
    let controls: Vec<String> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["control"].as_str().unwrap().to_owned())
        .collect();
    for control in &controls {
        let journal = own.path(&format!("{control}.json"));
        own.apply(
            &journal,
            &["--only", control, "--stage", "deny", "--accept-violations"],
        );
        own.roll_back(&journal, &[]);
    }
    let back = own.assess();
    for (then, now) in findings(&lived_in).zip(findings(&back)) {
        assert_eq!(then["outcome"], now["outcome"], "{}", now["control"]);
    }

    // All of them, one stage further each time.
    let journal = own.path("all.json");
    for stage in ["audit", "warn"] {
        own.apply(&journal, &[]);
        own.refuses_nothing_yet(stage);
    }
    own.waits_for_what_it_would_refuse(&journal);
    own.apply(&journal, &[]);
    let up = own.assess();
    for control in GATES.iter().chain(OTHERS) {
        assert_eq!(own.outcome(&up, control), "pass", "{control}");
    }
    own.refuses();
    says_what_is_missing(&own.plan());
    nobody_passes_the_gate_by(&mut own);
}

/// With a gate before the cluster its gates pass, too, and a policy keeps people from going past it.
fn nobody_passes_the_gate_by(own: &mut Own) {
    let gate = Gate::start(&own.cluster);
    own.state = gate.dir();
    let behind = own.assess();
    for control in ["S3-05", "S3-08", "S3-14", "S3-19"] {
        assert_eq!(own.outcome(&behind, control), "pass", "{control}");
    }
    policies_of_the_gate(own);
    let binding = [
        "create",
        "rolebinding",
        "ana",
        "-n",
        "shop",
        "--role=runner",
        "--user=ana",
    ];
    own.kubectl(&binding);
    let past = |own: &Own| {
        let mut create = own.cluster.kubectl();
        create.args([
            "run",
            "y",
            "-n",
            "shop",
            "--image=busybox:1",
            "--dry-run=server",
            "--as=ana",
        ]);
        create.output().unwrap()
    };
    // Her binding, and the account of the new namespace, take a moment.
    eventually("a pod past the gate", || {
        past(own).status.success().then_some(())
    });
    let journal = own.path("gate.json");
    let said = own.apply(&journal, &["--only", "S3-09", "--stage", "deny"]);
    assert!(said.contains("kubestile-gate-only: deny"), "{said}");
    // An API server looks at its policies from time to time.
    eventually("the way past the gate is shut", || {
        let output = past(own);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.contains("it did not come through the gate")
            .then_some(())
    });
    let ben = gate.person("ben", &["viewer", "operator:shop"]);
    let mut through = Command::new(&own.cluster.kubectl);
    through
        .args([
            "create",
            "configmap",
            "z",
            "-n",
            "shop",
            "--from-literal=a=b",
        ])
        .env("KUBECONFIG", ben.kubeconfig())
        .env("HOME", ben.home())
        .env("XDG_CONFIG_HOME", ben.home().join("config"));
    text(through.output().unwrap(), "kubectl through the gate");
    own.roll_back(&journal, &[]);
    eventually("the way past the gate is open again", || {
        past(own).status.success().then_some(())
    });
}

/// The gate's own policies: written, in force, and taken back. What stays open is said.
fn policies_of_the_gate(own: &mut Own) {
    let journal = own.path("policies.json");
    let only = ["--only", "S3-11", "--only", "S4-02", "--only", "S4-03"];
    own.apply(&journal, &only);
    let after = own.assess();
    for (control, outcome) in [("S3-11", "pass"), ("S4-03", "pass"), ("S4-02", "fail")] {
        assert_eq!(own.outcome(&after, control), outcome, "{control}");
    }
    let plan = own.plan();
    let why = |control: &str| plan["whyOpen"][control].as_str().unwrap().to_owned();
    assert!(why("S4-02").contains("ticket"), "{}", why("S4-02"));
    let standing = plan["steps"].as_array().unwrap().iter();
    let standing = standing.filter(|s| s["control"] == "S4-01");
    assert!(
        standing
            .map(Value::to_string)
            .any(|s| s.contains("changes-need-a-grant")),
        "{plan}"
    );
    own.roll_back(&journal, &[]);
    assert_eq!(own.outcome(&own.assess(), "S4-03"), "fail");
}

/// A plan that reaches no stage yet says which gates stay open, and what a person has to do.
fn says_what_is_missing(plan: &Value) {
    let open: Vec<&str> = plan["stillOpen"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    // The daily credential is an administrator's certificate: no program takes it away.
    for gate in NOT_OURS {
        assert!(open.contains(gate), "{gate} of {open:?}");
        let why = plan["whyOpen"][gate].as_str().unwrap();
        assert!(!why.is_empty(), "{gate}");
    }
    assert_eq!(plan["predicted"], 0);
    let by_hand = plan["byHand"].as_array().unwrap();
    let of = |control: &str| {
        by_hand
            .iter()
            .any(|b| b["controls"].as_array().unwrap().contains(&json!(control)))
    };
    assert!(of("S0-04"), "{by_hand:?}");
    for gate in GATES {
        assert!(!open.contains(gate), "{gate} of {open:?}");
    }
}

fn written_as_files(own: &Own) {
    let dir = own.path("overlay");
    own.kubestile_ok(&[
        "advance",
        "plan",
        "--to",
        "4",
        "-o",
        "kustomize",
        "--into",
        dir.to_str().unwrap(),
    ]);
    let built = own.kubectl(&["kustomize", dir.to_str().unwrap()]);
    assert!(
        built.contains("pod-security.kubernetes.io/enforce: baseline"),
        "{built}"
    );
    assert!(built.contains("kind: ValidatingAdmissionPolicyBinding"));
    assert!(
        !built.contains("system:anonymous\n"),
        "a deleted binding is still there"
    );
    let diff = std::fs::read_to_string(dir.join("control-plane.diff")).unwrap();
    assert!(diff.contains("+    - --authentication-config="), "{diff}");
    let request = std::fs::read_to_string(dir.join("PULL_REQUEST.md")).unwrap();
    assert!(request.contains("**Rollback.**") && request.contains("S3-02"));
    let dir = own.path("patches");
    own.kubestile_ok(&[
        "advance",
        "plan",
        "--to",
        "4",
        "-o",
        "patches",
        "--into",
        dir.to_str().unwrap(),
    ]);
    let script = dir.join("commands.sh");
    let parsed = Command::new("sh").arg("-n").arg(&script).status().unwrap();
    assert!(parsed.success());
}

fn findings(assessment: &Value) -> impl Iterator<Item = &Value> {
    assessment["findings"].as_array().unwrap().iter()
}

struct Own {
    cluster: Cluster,
    dir: tempfile::TempDir,
    kubelet: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    /// The state directory of the gate on this machine.
    state: PathBuf,
}

impl Own {
    fn up() -> Self {
        let mut options = kubestile_devcluster::Options::new("advance".parse().unwrap());
        options.kubernetes = Kubernetes::V1_36;
        options.node = false;
        let cluster = kubestile_devcluster::up(&options, &mut |_| {}).unwrap();
        neglect(&cluster);
        let over = Arc::new(AtomicBool::new(false));
        let dir = tempfile::tempdir().unwrap();
        let own = Self {
            kubelet: Some(kubelet(&cluster, over.clone())),
            over,
            cluster,
            state: dir.path().join("no-gate"),
            dir,
        };
        own.daily();
        own
    }

    /// A context for daily work beside the one for emergencies, which is the only one that is in
    /// system:masters by nature; here both are.
    fn daily(&self) {
        let view = self.kubectl(&["config", "view", "--raw", "-o", "json"]);
        let mut config: Value = serde_json::from_str(&view).unwrap();
        let context = config["contexts"][0]["context"].clone();
        config["contexts"] = json!([
            { "name": "daily", "context": context },
            { "name": "emergency", "context": context },
        ]);
        config["current-context"] = json!("daily");
        std::fs::write(self.kubeconfig(), config.to_string()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.kubeconfig(), mode).unwrap();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn live_in(&self) {
        self.kubectl(&["create", "namespace", "shop"]);
        let admin = "--clusterrole=cluster-admin";
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "admins",
            admin,
            "--user=ana",
            "--user=bob",
            "--user=eve",
        ]);
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "anybody",
            "--clusterrole=view",
            "--user=system:anonymous",
        ]);
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "everybody",
            "--clusterrole=view",
            "--group=system:authenticated",
        ]);
        self.kubectl(&[
            "create",
            "rolebinding",
            "mia",
            "-n",
            "shop",
            "--clusterrole=edit",
            "--user=mia",
        ]);
        for (name, role, binding) in HABITS {
            let mut words = vec!["create", "clusterrole", name];
            words.extend(*role);
            self.kubectl(&words);
            let which = format!("--clusterrole={name}");
            let mut words = vec!["create", binding[0], name, &which];
            words.extend(&binding[1..]);
            self.kubectl(&words);
        }
        // No step takes this away: it is a job function, in one namespace.
        let verbs = "--verb=get,list,create";
        self.kubectl(&[
            "create",
            "role",
            "runner",
            "-n",
            "shop",
            verbs,
            "--resource=pods",
        ]);
        self.kubectl(&[
            "create",
            "rolebinding",
            "devs",
            "-n",
            "shop",
            "--role=runner",
            "--serviceaccount=shop:dev",
        ]);
        self.kubectl(&["create", "serviceaccount", "dev", "-n", "shop"]);
        eventually("the namespace's default account", || {
            let mut get = self.cluster.kubectl();
            get.args(["get", "serviceaccount", "default", "-n", "shop"]);
            get.output().unwrap().status.success().then_some(())
        });
        self.kubectl(&[
            "run",
            "root",
            "-n",
            "shop",
            "--image=busybox:1",
            r#"--overrides={"spec":{"hostPID":true}}"#,
        ]);
    }

    fn kubestile(&self, args: &[&str]) -> Output {
        let mut command = Command::new(kubestile_tests::gate::binary());
        command
            .args(args)
            .arg("--dir")
            .arg(&self.state)
            .arg("--control-plane-dir")
            .arg(&self.cluster.dir)
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        if args[0] == "advance" {
            command.args(["--break-glass", "emergency"]);
            command.args([
                "--issuer",
                "https://login.example.com",
                "--audience",
                "kubernetes",
            ]);
        }
        command.output().unwrap()
    }

    fn kubestile_ok(&self, args: &[&str]) -> String {
        text(self.kubestile(args), &format!("kubestile {args:?}"))
    }

    fn assess(&self) -> Value {
        serde_json::from_str(&self.kubestile_ok(&["assess", "-o", "json"])).unwrap()
    }

    fn plan(&self) -> Value {
        let text = self.kubestile_ok(&["advance", "plan", "--to", "4", "-o", "json"]);
        serde_json::from_str(&text).unwrap()
    }

    fn outcome<'a>(&self, assessment: &'a Value, control: &str) -> &'a str {
        let found = findings(assessment).find(|f| f["control"] == control);
        found.unwrap()["outcome"].as_str().unwrap()
    }

    fn apply(&self, journal: &Path, more: &[&str]) -> String {
        let mut args = vec![
            "advance",
            "apply",
            "--to",
            "4",
            "--yes",
            "--journal",
            journal.to_str().unwrap(),
        ];
        args.extend(more);
        let output = self.kubestile(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        text(output, &format!("kubestile {args:?}"));
        said
    }

    fn roll_back(&self, journal: &Path, more: &[&str]) {
        let mut command = Command::new(kubestile_tests::gate::binary());
        command
            .args(["advance", "rollback", "--yes"])
            .arg(journal)
            .args(more)
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::null());
        text(command.output().unwrap(), &format!("rollback {journal:?}"));
    }

    /// A pod that takes over its node passes, with a warning from the second stage on.
    fn refuses_nothing_yet(&self, stage: &str) {
        let output = self.dangerous();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stage}: {said}");
        assert_eq!(said.contains("Warning"), stage == "warn", "{stage}: {said}");
    }

    /// The running pod would be refused: it is named, and nothing refuses until it is gone.
    fn waits_for_what_it_would_refuse(&self, journal: &Path) {
        let said = self.apply(journal, &[]);
        assert!(
            said.contains("would refuse") && said.contains("root"),
            "{said}"
        );
        assert!(said.contains("stays at warn"), "{said}");
        let output = self.dangerous();
        let refused = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{refused}\n{said}");
        self.kubectl(&["delete", "pod", "root", "-n", "shop", "--force"]);
        // What the audit log has of it is as old as the trial; nobody waits for it to be forgotten.
        std::fs::write(self.cluster.dir.join("kubestile/audit.log"), "").unwrap();
    }

    fn refuses(&self) {
        // An API server looks at its policies from time to time.
        eventually("the pod is refused", || {
            let output = self.dangerous();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let why = said.contains("PodSecurity") && !said.contains("Warning")
                || said.contains("kubestile-workloads");
            (!output.status.success() && why).then_some(())
        });
    }

    /// As a developer, not as the way in, which no policy judges.
    fn dangerous(&self) -> Output {
        let mut run = self.cluster.kubectl();
        run.args([
            "run",
            "x",
            "-n",
            "shop",
            "--image=busybox:1",
            "--dry-run=server",
        ])
        .arg(r#"--overrides={"spec":{"hostPID":true}}"#)
        .arg("--as=system:serviceaccount:shop:dev");
        run.output().unwrap()
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().unwrap();
        text(output, &format!("kubectl {args:?}"))
    }
}

fn text(output: Output, what: &str) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// An API server as somebody left it: tokens in a file, no Node authorizer, no audit log.
fn neglect(cluster: &Cluster) {
    let tokens = cluster.dir.join("tokens.csv");
    std::fs::write(&tokens, "a-token-of-no-use,bot,1\n").unwrap();
    let path = cluster.dir.join("manifests/kube-apiserver.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|l| !l.contains("- --audit-"))
        .map(|l| {
            l.replace(
                "--authorization-mode=Node,RBAC",
                "--authorization-mode=RBAC",
            )
        })
        .collect();
    let mode = lines
        .iter()
        .position(|l| l.contains("--authorization-mode=RBAC"));
    let mode = mode.unwrap();
    let flag = format!("--token-auth-file={}", tokens.display());
    lines.insert(
        mode,
        lines[mode].replace("--authorization-mode=RBAC", &flag),
    );
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    kubestile_devcluster::restart_api_server(&cluster.name).unwrap();
    eventually("the API server is back", || {
        let mut get = cluster.kubectl();
        get.args(["get", "--raw", "/readyz"]);
        get.output().unwrap().status.success().then_some(())
    });
}

/// What a kubelet does for a static pod: when its manifest changes, it is started anew.
fn kubelet(cluster: &Cluster, over: Arc<AtomicBool>) -> JoinHandle<()> {
    let (name, path) = (
        cluster.name.clone(),
        cluster.dir.join("manifests/kube-apiserver.yaml"),
    );
    std::thread::spawn(move || {
        let mut seen = std::fs::read(&path).unwrap_or_default();
        while !over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
            let now = std::fs::read(&path).unwrap_or_default();
            if now != seen && !now.is_empty() {
                // One that does not start is found out by whoever changed it.
                let _started = kubestile_devcluster::restart_api_server(&name);
                seen = now;
            }
        }
    })
}

impl Drop for Own {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(kubelet) = self.kubelet.take() {
            let _ended = kubelet.join();
        }
        let down = kubestile_devcluster::down(&self.cluster.name, &mut |_| {});
        if !std::thread::panicking() {
            down.unwrap();
        }
    }
}
