//! A real gate in front of the shared cluster, and people who have logged in to it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use kubestile_devcluster::Cluster;

/// The name under which the shared cluster stands behind every test's gate.
pub const NAME: &str = "dev";

/// A running `kubestile up` with a state directory of its own.
pub struct Gate {
    child: Child,
    home: Option<tempfile::TempDir>,
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// Where its health and metrics are: `127.0.0.1:PORT`.
    pub health: String,
}

impl Gate {
    /// Starts a gate before `cluster`, on ports that the kernel picks, and waits until it serves.
    pub fn start(cluster: &Cluster) -> Self {
        Self::start_with(cluster, &[])
    }

    /// The same with more flags for `kubestile up`.
    pub fn start_with(cluster: &Cluster, flags: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut up = program(home.path());
        up.args([
            "up",
            "--yes",
            "--listen",
            "127.0.0.1:0",
            "--health",
            "127.0.0.1:0",
        ])
        .args(["--cluster", NAME, "--person", "root"])
        .args(flags)
        .env("KUBECONFIG", &cluster.kubeconfig);
        // Most tests have nobody who approves.
        if !flags.contains(&"--hold") {
            up.args(["--hold", "refuse"]);
        }
        Self::spawn(up, home)
    }

    /// Stops it and starts it again from a configuration file with these further lines.
    pub fn restart_with_config(mut self, yaml: &str) -> Self {
        self.stop();
        let home = self.home.take().expect("a directory");
        let file = home.path().join("gate.yaml");
        let text = format!(
            "listen: 127.0.0.1:0\nhealthListen: 127.0.0.1:0\nstateDirectory: {}\n{yaml}\n",
            home.path().join("state").display()
        );
        std::fs::write(&file, text).expect("a configuration");
        let mut server = program(home.path());
        server.args(["server", "--config"]).arg(&file);
        Self::spawn(server, home)
    }

    /// Starts it and waits until its log says where it listens.
    fn spawn(command: Command, home: tempfile::TempDir) -> Self {
        let log = home.path().join("gate.log");
        let mut command = ending_with_us(&command);
        command
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log"));
        let child = command.spawn().expect("kubestile runs");
        let mut gate = Self {
            child,
            home: Some(home),
            url: String::new(),
            health: String::new(),
        };
        let (url, health) = crate::eventually("the gate serves", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = gate.child.try_wait().expect("a status") {
                panic!("kubestile ended with {status}:\n{text}");
            }
            let said = text
                .lines()
                .find(|l| l.starts_with("gate  ") || l.starts_with("kubestile serves "))?;
            let url = word_with(said, "https://127.0.0.1:")?;
            let health = word_with(&text, "http://127.0.0.1:")?;
            Some((url, health))
        });
        gate.url = url;
        gate.health = health;
        gate.wait_ready();
        gate
    }

    /// Waits until `/readyz` says that the cluster is served.
    fn wait_ready(&self) {
        crate::eventually("the cluster is served", || {
            let (status, text) = crate::raw::plain_get(&self.health, "/readyz")?;
            (status == 200 && text.contains(&format!("[+] cluster {NAME}"))).then_some(())
        });
    }

    /// Ends it as an operating system does, with SIGTERM, and waits until it has gone.
    pub fn terminate(&mut self) {
        let kill = ["-TERM", &self.pid().to_string()];
        let status = Command::new("kill").args(kill).status();
        assert!(status.expect("kill runs").success());
        // To wait for it closes its standard input, which kills it.
        crate::eventually("the gate has gone", || {
            self.child.try_wait().expect("a status")
        });
    }

    fn stop(&mut self) {
        // Closing its standard input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }

    fn home(&self) -> &Path {
        self.home.as_ref().expect("a directory").path()
    }

    /// The process id, for signals.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("https://")
    }

    /// The state directory.
    pub fn dir(&self) -> PathBuf {
        self.home().join("state")
    }

    /// The gate's certificate authority, PEM.
    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.dir().join("authority.pem")).expect("the CA")
    }

    /// What the gate has said on stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home().join("gate.log")).unwrap_or_default()
    }

    /// A `kubestile` command for the local administrator.
    pub fn admin(&self, args: &[&str]) -> Output {
        program(self.home())
            .args(args)
            .output()
            .expect("kubestile runs")
    }

    /// The same, which must succeed; gives its stdout.
    pub fn admin_ok(&self, args: &[&str]) -> String {
        text_of(self.admin(args), &format!("kubestile {}", args.join(" ")))
    }

    /// Adds a person with these job functions and logs them in.
    pub fn person(&self, name: &str, functions: &[&str]) -> Person {
        let mut add = vec!["people", "add", name, "-o", "json"];
        for function in functions {
            add.extend(["--function", function]);
        }
        let code: serde_json::Value =
            serde_json::from_str(&self.admin_ok(&add)).expect("a code as JSON");
        self.logged_in(name, code["code"].as_str().expect("a code"))
    }

    /// A person at another terminal: a further login of theirs.
    pub fn again(&self, name: &str) -> Person {
        let text = self.admin_ok(&["people", "code", name, "-o", "json"]);
        let code: serde_json::Value = serde_json::from_str(&text).expect("a code as JSON");
        self.logged_in(name, code["code"].as_str().expect("a code"))
    }

    fn logged_in(&self, name: &str, code: &str) -> Person {
        let person = Person::stranger(name);
        let mut login = person.login(self);
        let login = login.args(["--code", code]).output();
        text_of(login.expect("kubestile runs"), "kubestile login");
        person
    }

    /// Ends all sessions of a person.
    pub fn end_sessions(&self, person: &Person) {
        self.admin_ok(&["sessions", "end", "--all", "--person", &person.name]);
    }
}

/// The same command in a shell that ends it once its standard input is closed: also when this process
/// dies, or keeps the gate in a static that is never dropped.
fn ending_with_us(command: &Command) -> Command {
    const SCRIPT: &str =
        r#"exec 3<&0; (cat <&3 >/dev/null; kill -9 $$) 2>/dev/null & exec "$@" </dev/null 3<&-"#;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", SCRIPT, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::piped());
    shell
}

/// Scheme, host and port of the first address in `text` that starts with `prefix`; of a plain one only
/// host and port.
fn word_with(text: &str, prefix: &str) -> Option<String> {
    let rest = &text[text.find(prefix)?..];
    let digits = rest[prefix.len()..]
        .chars()
        .take_while(char::is_ascii_digit)
        .count();
    let word = &rest[..prefix.len() + digits];
    Some(word.trim_start_matches("http://").to_owned())
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A person at a terminal of their own: a home, a kubeconfig, a login.
pub struct Person {
    home: tempfile::TempDir,
    /// Their name.
    pub name: String,
}

impl Person {
    /// Their home directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Somebody whom no gate knows yet.
    pub fn stranger(name: &str) -> Self {
        Self {
            home: tempfile::tempdir().expect("a directory"),
            name: name.to_owned(),
        }
    }

    /// `kubestile login` to a gate, to be completed.
    pub fn login(&self, gate: &Gate) -> Command {
        let mut login = self.kubestile();
        login
            .args(["login", &gate.url, "--ca"])
            .arg(gate.dir().join("authority.pem"));
        login
    }

    /// Runs `kubestile` with these arguments, which must succeed; gives stdout.
    pub fn does(&self, args: &[&str]) -> String {
        let output = self.kubestile().args(args).stdin(Stdio::null()).output();
        let what = format!("kubestile {}", args.join(" "));
        text_of(output.expect("kubestile runs"), &what)
    }

    /// A `kubestile` command of theirs.
    pub fn kubestile(&self) -> Command {
        let mut command = program(self.home.path());
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// Their kubeconfig, which holds no secret.
    pub fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    /// A `kubectl` command of theirs, through the gate.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&crate::cluster().kubectl);
        command
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.home.path().join("cache"));
        command
    }

    /// Runs `kubectl` with these arguments; gives exit code, stdout and stderr.
    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self
            .kubectl()
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("kubectl runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// The same, which must succeed; gives stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!(code, 0, "kubectl {args:?}: {stdout}{stderr}");
        stdout
    }

    /// The same, which must be refused; gives stderr.
    pub fn refused(&self, args: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(args);
        assert_eq!(
            code, 1,
            "kubectl {args:?} must be refused: {stdout}{stderr}"
        );
        stderr
    }

    /// A call of the gate's own interface as this person; status and JSON.
    pub fn call(
        &self,
        gate: &Gate,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> (u16, serde_json::Value) {
        self.connect(gate).call(method, path, body)
    }

    /// A connection to the gate as this person, for calls of its own interface.
    pub fn connect(&self, gate: &Gate) -> crate::raw::Raw {
        let (certificate, key) = self.identity();
        crate::raw::Raw::connect(gate.address(), &gate.ca(), Some((&certificate, &key)))
    }

    /// Starts `kubectl` and does not wait for it.
    pub fn start(&self, args: &[&str]) -> Waiting {
        let mut kubectl = self.kubectl();
        kubectl.args(args);
        Waiting::spawn(kubectl)
    }

    /// Certificate and key as the exec plugin gives them, PEM.
    pub fn identity(&self) -> (String, String) {
        let output = self
            .kubestile()
            .arg("credential")
            .env("KUBERNETES_EXEC_INFO", EXEC_INFO)
            .output()
            .expect("kubestile runs");
        let json = text_of(output, "kubestile credential");
        let credential: serde_json::Value = serde_json::from_str(&json).expect("an ExecCredential");
        let text = |key: &str| credential["status"][key].as_str().expect("PEM").to_owned();
        (text("clientCertificateData"), text("clientKeyData"))
    }
}

/// A command that was started; it is ended with the test if it has not ended by itself.
pub struct Waiting(Option<Child>);

impl Waiting {
    /// Starts a command with all its streams in pipes.
    pub fn spawn(mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        Self(Some(child))
    }

    /// The process id, for signals.
    pub fn pid(&self) -> u32 {
        self.0.as_ref().expect("a child").id()
    }

    /// Waits for the first byte of its output.
    pub fn has_begun(&mut self) {
        let stdout = self.0.as_mut().expect("a child").stdout.as_mut();
        let read = stdout.expect("stdout").read_exact(&mut [0]);
        read.expect("it says something");
    }

    /// Types this and ends the input.
    pub fn says(&mut self, text: &str) {
        let mut stdin = self.0.as_mut().and_then(|child| child.stdin.take());
        let stdin = stdin.as_mut().expect("stdin");
        stdin.write_all(text.as_bytes()).expect("it reads");
    }

    /// Waits for its end: exit code, stdout and stderr together.
    pub fn ended(mut self) -> (i32, String) {
        let output = self.0.take().expect("a child").wait_with_output();
        let output = output.expect("its output");
        let text = [output.stdout, output.stderr].concat();
        let code = output.status.code().unwrap_or(-1);
        (code, String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        let child = self.0.as_mut().expect("a child");
        child.try_wait().expect("a status").is_none()
    }

    /// Ends it, as Ctrl-C does.
    pub fn give_up(mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const EXEC_INFO: &str = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}"#;

/// The binary under test with a home of its own; nothing of the machine's user is read or written.
fn program(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .env("HOME", home)
        .env("KUBESTILE_DIR", home.join("state"))
        .env("XDG_STATE_HOME", home.join("xdg-state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_CACHE_HOME", home.join("xdg-cache"))
        .env_remove("KUBECONFIG");
    command
}

/// `target/debug/kubestile`, beside the test binaries' folder.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let folder = test.ancestors().nth(2).expect("the target folder");
    let binary = folder.join("kubestile");
    assert!(
        binary.exists(),
        "{} is missing: cargo build --workspace",
        binary.display()
    );
    binary
}

fn text_of(output: Output, what: &str) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {stdout}{stderr}");
    stdout
}
