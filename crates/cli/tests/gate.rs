//! A running gate without a cluster, and people who log in to it: real processes, real files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running `kubestile server`.
struct Gate {
    child: Child,
    home: tempfile::TempDir,
    url: String,
}

impl Gate {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("policies")).unwrap();
        Self::start_in(home)
    }

    fn start_in(home: tempfile::TempDir) -> Self {
        let dir = home.path().display();
        let config = format!(
            "listen: 127.0.0.1:0\nstateDirectory: {dir}/state\npolicies: {{directories: [{dir}/policies]}}\n"
        );
        std::fs::write(home.path().join("gate.yaml"), config).unwrap();
        let mut child = program(home.path())
            .args(["server", "--config"])
            .arg(home.path().join("gate.yaml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("kubestile serves ")
            .unwrap_or_else(|| {
                panic!("the gate says: {line}");
            });
        let url = url.to_owned();
        // The pipe must stay open and be read, or the gate would wait for it.
        std::thread::spawn(move || std::io::copy(&mut talk, &mut std::io::sink()));
        Self { child, home, url }
    }

    fn admin(&self, args: &[&str]) -> Output {
        program(self.home.path())
            .args(args)
            .args(["--dir"])
            .arg(self.state())
            .output()
            .unwrap()
    }

    fn admin_json(&self, args: &[&str]) -> Value {
        let output = self.admin(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&ok(&output)).unwrap()
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Adds a person and logs them in by fingerprint.
    fn person(&self, name: &str) -> Person {
        let code = self.admin_json(&["people", "add", name]);
        let person = Person {
            home: tempfile::tempdir().unwrap(),
        };
        let fingerprint = format!("sha256:{}", code["authority"].as_str().unwrap());
        let code = code["code"].as_str().unwrap();
        let login = [
            "login",
            &self.url,
            "--code",
            code,
            "--ca-fingerprint",
            &fingerprint,
        ];
        ok(&person.run(&login));
        person
    }

    /// How many records of this kind there are.
    fn count(&self, change: &str) -> usize {
        let found = self.admin_json(&["audit", "search"]);
        let all = found.as_array().unwrap().iter();
        all.filter(|row| row["record"]["change"] == change).count()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody's own home directory.
struct Person {
    home: tempfile::TempDir,
}

impl Person {
    fn run(&self, args: &[&str]) -> Output {
        program(self.home.path()).args(args).output().unwrap()
    }

    fn login_dir(&self) -> PathBuf {
        let gates = self.home.path().join(".config/kubestile/gates");
        std::fs::read_dir(gates)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    }

    /// Makes the certificate at hand look as if it had expired.
    fn let_expire(&self) {
        let file = self.login_dir().join("certificate.json");
        let mut certificate: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        certificate["notAfter"] = certificate["received"].clone();
        std::fs::write(file, certificate.to_string()).unwrap();
    }

    fn credential(&self) -> Command {
        let mut command = program(self.home.path());
        command
            .args(["credential", "--login"])
            .arg(self.login_dir());
        command
    }
}

fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubestile"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

fn ok(output: &Output) -> String {
    let (out, err) = texts(output);
    assert!(output.status.success(), "{:?}: {out}{err}", output.status);
    out
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_person_logs_in_is_known_and_logs_out() {
    let gate = Gate::start();
    let ana = gate.person("ana");
    let me: Value = serde_json::from_str(&ok(&ana.run(&["whoami", "-o", "json"]))).unwrap();
    assert_eq!(me["person"], "ana");
    assert_eq!(me["functions"], serde_json::json!(["viewer"]));
    let kubeconfig = std::fs::read_to_string(ana.home.path().join(".kube/config")).unwrap();
    assert!(
        kubeconfig.contains("credential") && !kubeconfig.contains("PRIVATE"),
        "{kubeconfig}"
    );

    let dir = ana.login_dir();
    ok(&ana.run(&["logout"]));
    assert!(!dir.exists(), "the key is gone");
    let output = ana.run(&["whoami"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(texts(&output).1.contains("not logged in"));
    let sessions = gate.admin_json(&["sessions", "list", "--all"]);
    assert_eq!(sessions["sessions"][0]["ended"], "the person logged out");
}

#[test]
fn processes_that_find_the_certificate_expired_renew_it_once() {
    let gate = Gate::start();
    let ana = gate.person("ana");
    ana.let_expire();
    let children: Vec<Child> = (0..8).map(|_| ana.credential().spawn().unwrap()).collect();
    let mut answers: Vec<String> = children
        .into_iter()
        .map(|c| ok(&c.wait_with_output().unwrap()))
        .collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "all give the same certificate");
    assert_eq!(gate.count("renewed"), 1);
}

#[test]
fn an_ended_session_is_not_renewed_and_says_what_to_do() {
    let gate = Gate::start();
    let ana = gate.person("ana");
    ok(&gate.admin(&["sessions", "end", "--all", "--person", "ana"]));
    ana.let_expire();
    let (out, err) = texts(&ana.credential().stderr(Stdio::piped()).output().unwrap());
    assert_eq!(out, "");
    assert!(err.starts_with("kubestile: session ended: "), "{err}");
    assert!(
        err.contains(&format!("run: kubestile login {}", gate.url)),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_gate_that_is_away_does_not_take_a_good_certificate_away() {
    let gate = Gate::start();
    let ana = gate.person("ana");
    // In its last quarter it should be renewed, and it still holds.
    let file = ana.login_dir().join("certificate.json");
    let mut certificate: Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let received = certificate["received"].as_i64().unwrap();
    certificate["received"] = (received - 3600 * 1_000_000 * 9).into();
    std::fs::write(file, certificate.to_string()).unwrap();
    drop(gate);
    ok(&ana.credential().output().unwrap());
    ana.let_expire();
    let output = ana.credential().stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", texts(&output).1);
}

#[test]
fn another_gate_is_not_taken_for_this_one() {
    let (gate, other) = (Gate::start(), Gate::start());
    let code = gate.admin_json(&["people", "add", "ana"]);
    let theirs = format!("sha256:{}", code["authority"].as_str().unwrap());
    let ana = Person {
        home: tempfile::tempdir().unwrap(),
    };
    let output = ana.run(&[
        "login",
        &other.url,
        "--code",
        "x",
        "--ca-fingerprint",
        &theirs,
    ]);
    assert_eq!(output.status.code(), Some(65), "{}", texts(&output).1);
    assert!(texts(&output).1.contains("not the gate you expect"));
    assert!(
        !ana.home.path().join(".config/kubestile").exists(),
        "nothing is kept"
    );
}

#[test]
fn a_state_directory_has_one_gate() {
    let gate = Gate::start();
    let second = program(gate.home.path())
        .args(["server", "--config"])
        .arg(gate.home.path().join("gate.yaml"))
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(69), "{}", texts(&second).1);
}

#[test]
fn policies_are_reloaded_whole_or_not_at_all() {
    let gate = Gate::start();
    let status = |wanted: &dyn Fn(&str) -> bool| {
        eventually("the policies are as they should be", || {
            let found = gate.admin_json(&["audit", "search"]);
            let last = found.as_array().unwrap().iter().rev().find(|row| {
                row["record"]["what"] == "policies loaded"
                    || row["record"]["what"] == "gate started"
            });
            // The log is sealed once a second: right after the start there may be nothing yet.
            let detail = last?["record"]["name"].as_str().unwrap().to_owned();
            wanted(&detail).then_some(detail)
        })
    };
    let file = gate.home.path().join("policies/mine.cedar");
    std::fs::write(&file, "permit (").unwrap();
    gate.signal("-HUP");
    let good = "@id(\"no-logs\") @reason(\"nobody reads logs\")\n\
                forbid (principal, action == Action::\"log\", resource);\n";
    std::fs::write(&file, good).unwrap();
    gate.signal("-HUP");
    let version = status(&|name| !name.starts_with("https://"));
    assert_eq!(version.len(), 12, "one load, of the good file: {version}");
}

#[test]
fn a_stopped_gate_leaves_a_log_that_verifies_and_starts_again() {
    let mut gate = Gate::start();
    let ana = gate.person("ana");
    gate.signal("-TERM");
    let status = eventually("it stops", || gate.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let verified = gate.admin_json(&["audit", "verify"]);
    assert_eq!(verified["good"], true);
    assert!(!gate.state().join("admin.sock").exists());

    // One byte of one record.
    let entries = gate.state().join("audit/tile/entries");
    let size = verified["size"].as_u64().unwrap();
    let bundle = entries.join(format!("000.p/{size}"));
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&bundle, &bytes).unwrap();
    assert_eq!(gate.admin(&["audit", "verify"]).status.code(), Some(65));
    bytes[100] ^= 1;
    std::fs::write(&bundle, &bytes).unwrap();

    let home = std::mem::replace(&mut gate.home, tempfile::tempdir().unwrap());
    let again = Gate::start_in(home);
    let people = again.admin_json(&["people", "list"]);
    assert_eq!(people["people"][0]["name"], "ana");
    assert_eq!(again.admin_json(&["audit", "verify"])["good"], true);
    drop(ana);
}

#[test]
fn a_person_sees_what_they_have_and_what_waits() {
    let gate = Gate::start();
    let ana = gate.person("ana");
    let rights: Value = serde_json::from_str(&ok(&ana.run(&["access", "-o", "json"]))).unwrap();
    assert_eq!(rights["person"], "ana");
    assert!(ok(&ana.run(&["access"])).contains("always          viewer"));
    for (args, said) in [
        (vec!["approvals"], "nothing waits"),
        (vec!["approvals", "list", "--all"], "nothing waits"),
        (vec!["grants", "list", "-n", "shop"], "no grants"),
    ] {
        let output = ana.run(&args);
        assert_eq!(ok(&output), "", "{args:?}");
        assert!(texts(&output).1.contains(said), "{args:?}");
    }
    // A gate named in the environment is no argument beside a subcommand.
    let mut stats = program(ana.home.path());
    stats.args(["approvals", "stats", "-o", "json"]);
    stats.env("KUBESTILE_GATE", &gate.url);
    let stats: Value = serde_json::from_str(&ok(&stats.output().unwrap())).unwrap();
    assert_eq!(stats["asked"], 0);
    for args in [
        vec!["approvals", "show", "7K2P-9QXD-M4TC"],
        vec!["approve", "7K2P-9QXD-M4TC", "--yes"],
        vec!["deny", "7K2P-9QXD-M4TC", "--reason", "no"],
        vec!["approvals", "withdraw", "7K2P-9QXD-M4TC"],
    ] {
        let output = ana.run(&args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = texts(&output).1;
        assert!(
            said.contains("there is no such request"),
            "{args:?}: {said}"
        );
    }
    let address = ok(&ana.run(&["approvals", "--open"]));
    let entrance = format!("{}/enter#", gate.url);
    assert!(address.starts_with(&entrance), "no screen here: {address}");
    let asked = ["--role", "operator", "-n", "shop", "--for", "1h"];
    let output = ana.run(&[["request"].as_slice(), &asked].concat());
    assert_eq!(output.status.code(), Some(1), "{}", texts(&output).1);
    let glass = [["break-glass", "--reason", "down"].as_slice(), &asked].concat();
    let output = ana.run(&glass);
    assert_eq!(output.status.code(), Some(2), "nobody to ask");
    assert!(texts(&output).1.contains("EVERYBODY IS TOLD"));
}
