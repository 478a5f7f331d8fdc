//! What a person sees in a real terminal while their command waits, with the real kubectl in tmux: the
//! companion's lines, then kubectl's own, and nothing is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use kubestile_tests::{Gate, Person, cluster, eventually};
use serde_json::{Value, json};

/// A terminal of its own, with a shell of this person's.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn open(person: &Person, name: &str) -> Self {
        let terminal = Self {
            socket: format!("kubestile-{name}-{}", std::process::id()),
        };
        let kubectl = person.kubectl();
        let mut tmux = terminal.tmux();
        tmux.args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "200",
            "-y",
            "50",
        ]);
        for (key, value) in kubectl.get_envs() {
            let value = value.expect("a value").to_str().expect("text");
            tmux.args(["-e", &format!("{}={value}", key.to_str().expect("text"))]);
        }
        let program = kubectl.get_program().to_str().expect("a path");
        tmux.args(["-e", &format!("K={program}"), "-e", "PS1=ready> "]);
        tmux.args(["bash", "--norc", "--noprofile"]);
        assert!(tmux.status().expect("tmux is installed").success());
        terminal.shows("ready>");
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.socket]);
        tmux
    }

    fn types(&self, text: &str) {
        let keys = ["send-keys", text, "Enter"];
        assert!(self.tmux().args(keys).status().unwrap().success());
    }

    fn presses(&self, key: &str) {
        assert!(
            self.tmux()
                .args(["send-keys", key])
                .status()
                .unwrap()
                .success()
        );
    }

    /// All that is on the screen, lines that were wrapped joined again.
    fn screen(&self) -> String {
        let seen = self
            .tmux()
            .args(["capture-pane", "-p", "-J"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&seen.stdout).into_owned()
    }

    fn shows(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no `{text}` in:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").status();
    }
}

fn waiting(gate: &Gate, bob: &Person) -> Value {
    eventually("a request waits", || {
        let (_, list) = bob.call(gate, "GET", "/v1/access?waiting", None);
        list["requests"].get(0).cloned()
    })
}

fn approve(gate: &Gate, bob: &Person, request: &Value) {
    let path = format!("/v1/access/{}/approve", request["id"].as_str().unwrap());
    let body = json!({"digest": request["digest"]});
    assert_eq!(bob.call(gate, "POST", &path, Some(&body)).0, 200);
}

/// Companions that belong to this person's terminal.
fn companions(person: &Person) -> usize {
    let home = format!("HOME={}", person.home().display());
    let mut found = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let (words, environment) = (read("cmdline"), read("environ"));
        let has = |bytes: &[u8], text: &str| {
            let text = text.as_bytes();
            bytes.split(|b| *b == 0).any(|word| word == text)
        };
        found += usize::from(has(&words, "companion") && has(&environment, &home));
    }
    found
}

#[test]
fn the_terminal_says_what_waits_and_kubectl_goes_on() {
    let gate = Gate::start_with(cluster(), &["--hold", "wait"]);
    let ana = gate.person("ana", &["viewer"]);
    let bob = gate.person("bob", &["viewer", "approver"]);
    let made = ["create", "configmap", "terminal", "-n", "shop"];
    cluster().kubectl().args(made).output().unwrap();

    let terminal = Terminal::open(&ana, "delete");
    terminal.types("$K delete configmap terminal -n shop");
    let request = waiting(&gate, &bob);
    let id = request["id"].as_str().unwrap();
    let line = format!(
        "kubestile: waiting for approval of \"delete configmaps/terminal -n shop\" (request {id}, approver \
         may approve): {}/r/{id}  Ctrl-C gives up",
        gate.url
    );
    terminal.shows(&line);
    approve(&gate, &bob, &request);
    terminal.shows("kubestile: approved by bob");
    let screen = terminal.shows("configmap \"terminal\" deleted");
    assert_eq!(
        screen.matches("waiting for approval").count(),
        1,
        "{screen}"
    );
    eventually("no companion is left", || {
        (companions(&ana) == 0).then_some(())
    });
}

#[test]
fn an_exec_waits_in_its_terminal_and_ctrl_c_gives_up_a_command() {
    let gate = Gate::start_with(cluster(), &["--hold", "wait"]);
    let ana = gate.person("ana", &["viewer"]);
    let bob = gate.person("bob", &["viewer", "approver"]);

    let terminal = Terminal::open(&ana, "exec");
    terminal.types("$K exec -n shop deploy/web -- echo from-the-pod");
    let request = waiting(&gate, &bob);
    terminal.shows(&format!("(request {}", request["id"].as_str().unwrap()));
    approve(&gate, &bob, &request);
    // Once as it was typed, once as the pod says it.
    eventually("the pod answers", || {
        (terminal.screen().matches("from-the-pod").count() > 2).then_some(())
    });

    terminal.types("clear; $K delete pod --all -n shop");
    waiting(&gate, &bob);
    terminal.shows("waiting for approval of");
    terminal.presses("C-c");
    eventually("it is taken back", || {
        let (_, list) = bob.call(&gate, "GET", "/v1/access?waiting", None);
        list["requests"]
            .as_array()
            .is_some_and(Vec::is_empty)
            .then_some(())
    });
    terminal.shows("ready>");
    eventually("no companion is left", || {
        (companions(&ana) == 0).then_some(())
    });
}
