//! The companion of a kubectl, on a terminal of its own, with a gate that says what the test wants.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness fails by panicking"
)]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kubestile_authn::{
    Authority, CertificateRequest, ClientKey, ServerKeys, TlsVersion, server_tls,
};
use kubestile_core::{SessionId, Timestamp, Ttl};
use rustix::process::Pid;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

const SESSION: &str = "018f3f5e-7c1a-7000-8000-000000000001";

#[test]
fn each_thing_is_said_once_on_the_terminal_and_the_companion_ends_with_kubectl() {
    let gate = Gate::start();
    let terminal = Terminal::open();
    let kubectl = Kubectl::start(&gate, &terminal);
    let companion = eventually("a companion", || companion_of(kubectl.pid()));
    // Ctrl-C at kubectl does not reach it.
    eventually("a session of its own", || {
        (session_of(companion) == companion.as_raw_nonzero().get()).then_some(())
    });

    gate.say(&[entry("waiting", &[])]);
    let line = "kubestile: waiting for approval of \"delete deployments.apps/web -n shop\" \
                (request 7K2P-0000-0001, sre may approve): https://gate/r/7K2P-0000-0001  Ctrl-C gives up";
    eventually("the line", || terminal.text().contains(line).then_some(()));
    gate.say(&[entry("waiting", &[])]);
    gate.say(&[entry("approved", &["an\u{1b}a"])]);
    eventually("the approval", || {
        terminal
            .text()
            .contains("approved by an\\u{1b}a")
            .then_some(())
    });
    gate.say(&[entry("approved", &["an\u{1b}a"])]);
    kubectl.end();
    eventually("its end", || (!runs(companion)).then_some(()));
    assert_eq!(terminal.text().lines().count(), 2, "{}", terminal.text());
}

#[test]
fn a_request_of_before_kubectl_is_not_said() {
    let gate = Gate::start();
    let mut old = entry("waiting", &[]);
    old["created"] = "2020-01-01T00:00:00Z".into();
    gate.say(&[old.clone()]);
    let terminal = Terminal::open();
    let kubectl = Kubectl::start(&gate, &terminal);
    let mut new = entry("waiting", &[]);
    new["id"] = "7K2P-0000-0002".into();
    gate.say(&[new, old]);
    eventually("a line", || {
        terminal.text().contains("waiting").then_some(())
    });
    assert!(terminal.text().contains("request 7K2P-0000-0002"));
    assert!(!terminal.text().contains("request 7K2P-0000-0001"));
    kubectl.end();
}

#[test]
fn it_ends_with_kubectl_though_the_gate_does_not_answer() {
    let gate = Gate::start();
    gate.fall_silent();
    let terminal = Terminal::open();
    let kubectl = Kubectl::start(&gate, &terminal);
    let companion = eventually("a companion", || companion_of(kubectl.pid()));
    eventually("a call", || (gate.calls() > 0).then_some(()));
    kubectl.end();
    eventually("its end", || (!runs(companion)).then_some(()));
    assert_eq!(terminal.text(), "");
}

#[test]
fn on_a_raw_terminal_only_kubectl_is_spoken_for_and_ctrl_c_is_not_promised() {
    let gate = Gate::start();
    let info = ("KUBERNETES_EXEC_INFO", "{}");
    let (screen, terminal) = (Terminal::open(), Terminal::open());
    screen.make_raw();
    terminal.make_raw();
    let other = Kubectl::with(&gate, "k9s", screen.stdio(), &[info]);
    let kubectl = Kubectl::with(&gate, "kubectl", terminal.stdio(), &[info]);
    gate.say(&[entry("waiting", &[])]);
    let end = "to give up, elsewhere: kubestile approvals withdraw 7K2P-0000-0001\r\n";
    eventually("the line", || terminal.text().ends_with(end).then_some(()));
    // Both have been told by the gate, in whatever order, once each asks anew.
    let calls = gate.calls();
    gate.say(&[entry("waiting", &[])]);
    eventually("further calls", || {
        (gate.calls() >= calls + 2).then_some(())
    });
    assert_eq!(screen.text(), "");
    other.end();
    kubectl.end();
}

#[test]
fn there_is_none_without_a_terminal_or_without_kubectl_or_when_it_is_switched_off() {
    let gate = Gate::start();
    let terminal = Terminal::open();
    let info = ("KUBERNETES_EXEC_INFO", "{}");
    let off = ("KUBESTILE_COMPANION", "off");
    for (stderr, env) in [
        (Stdio::piped(), vec![info]),
        (terminal.stdio(), vec![]),
        (terminal.stdio(), vec![info, off]),
    ] {
        let kubectl = Kubectl::with(&gate, "sh", stderr, &env);
        assert_eq!(companion_of(kubectl.pid()), None, "{env:?}");
        kubectl.end();
    }
}

fn entry(state: &str, approved_by: &[&str]) -> Value {
    json!({
        "id": "7K2P-0000-0001", "state": state, "requester": "ben", "source": "192.0.2.1:40000",
        "kind": "request", "what": "kubectl delete deployments.apps/web -n shop",
        "risk": "R3", "riskMeaning": "", "policies": [], "approvers": ["sre"], "quorum": 1,
        "approvedBy": approved_by, "created": now().rfc3339(),
        "expires": now().plus(Ttl::from_secs(900)).rfc3339(),
        "own": true, "mayAnswer": false, "url": "https://gate/r/7K2P-0000-0001",
    })
}

/// What stands in for kubectl: a shell that runs the plugin as kubectl does, and then stays until its
/// input ends.
struct Kubectl {
    child: Child,
}

impl Kubectl {
    fn start(gate: &Gate, terminal: &Terminal) -> Self {
        let info = ("KUBERNETES_EXEC_INFO", "{}");
        Self::with(gate, "sh", terminal.stdio(), &[info])
    }

    fn with(gate: &Gate, name: &str, stderr: Stdio, env: &[(&str, &str)]) -> Self {
        // The kernel knows a program by the name that it is started under.
        let program = gate.home.path().join(name);
        let _there_already = std::os::unix::fs::symlink("/bin/sh", &program);
        let script = "\"$0\" credential --login \"$1\"; echo; while read -r line; do :; done";
        let mut child = Command::new(program)
            .args(["-c", script])
            .arg(env!("CARGO_BIN_EXE_kubestile"))
            .arg(gate.login())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", gate.home.path())
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut credential = String::new();
        out.read_line(&mut credential).unwrap();
        assert!(credential.contains("ExecCredential"), "{credential}");
        // The empty line after it: the plugin has ended.
        out.read_line(&mut credential).unwrap();
        Self { child }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Drop for Kubectl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that belongs to this kubectl.
fn companion_of(kubectl: Pid) -> Option<Pid> {
    let mark = format!("--parent={}\0", kubectl.as_raw_nonzero());
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.contains("\0companion\0") && line.contains(&mark))
        })
        .and_then(Pid::from_raw)
}

/// The session of a process (proc_pid_stat(5)); 0 if its leader is outside of our PID namespace.
fn session_of(pid: Pid) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(3).unwrap().parse().unwrap()
}

/// Whether it runs and is not only waited for by nobody.
fn runs(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.contains(") Z "))
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

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
}

/// A pseudo-terminal, and what was written to it.
struct Terminal {
    inside: OwnedFd,
    text: Arc<Mutex<String>>,
}

impl Terminal {
    fn open() -> Self {
        use rustix::fs::{Mode, OFlags};
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let name = ptsname(&outside, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let inside = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let text = Arc::new(Mutex::new(String::new()));
        let into = text.clone();
        std::thread::spawn(move || {
            let mut outside = File::from(outside);
            let mut buffer = [0; 4096];
            while let Ok(n) = outside.read(&mut buffer) {
                let more = String::from_utf8_lossy(&buffer[..n]).into_owned();
                into.lock().unwrap().push_str(&more);
            }
        });
        Self { inside, text }
    }

    fn stdio(&self) -> Stdio {
        self.inside.try_clone().unwrap().into()
    }

    /// As `kubectl exec -it` does, and programs that fill the screen.
    fn make_raw(&self) {
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
        let mut modes = tcgetattr(&self.inside).unwrap();
        modes.make_raw();
        tcsetattr(&self.inside, OptionalActions::Now, &modes).unwrap();
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

/// A gate that answers one path: what waits.
struct Gate {
    home: tempfile::TempDir,
    state: Arc<(Mutex<Answers>, Condvar)>,
}

struct Answers {
    requests: Vec<Value>,
    seen: u64,
    silent: bool,
    calls: usize,
}

impl Gate {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::create(now()).unwrap();
        let day = Ttl::from_secs(86_400);
        let certificate = authority
            .issue_server(&["127.0.0.1".to_owned()], now(), day)
            .unwrap();
        let keys = ServerKeys::new(certificate).unwrap();
        let config = server_tls(&authority, keys, TlsVersion::Tls13, Arc::new(now)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Answers {
            requests: Vec::new(),
            seen: 1,
            silent: false,
            calls: 0,
        };
        let state = Arc::new((Mutex::new(answers), Condvar::new()));
        let gate = Self { home, state };
        write_login(&gate.login(), &authority, port);
        let state = gate.state.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (config, state) = (config.clone(), state.clone());
                std::thread::spawn(move || serve(connection.unwrap(), config, &state));
            }
        });
        gate
    }

    fn login(&self) -> PathBuf {
        self.home.path().join("login")
    }

    fn say(&self, requests: &[Value]) {
        let mut answers = self.state.0.lock().unwrap();
        answers.requests = requests.to_vec();
        answers.seen += 1;
        self.state.1.notify_all();
    }

    fn fall_silent(&self) {
        self.state.0.lock().unwrap().silent = true;
    }

    fn calls(&self) -> usize {
        self.state.0.lock().unwrap().calls
    }
}

/// Answers one request; a client that has gone is no failure.
fn serve(tcp: TcpStream, config: Arc<ServerConfig>, state: &(Mutex<Answers>, Condvar)) {
    let tls = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(tls, tcp));
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "\r\n") {
        let mut line = String::new();
        if stream.read_line(&mut line).is_err() || line.is_empty() {
            return;
        }
        lines.push(line);
    }
    assert!(lines[0].starts_with("GET /v1/access?mine"), "{}", lines[0]);
    let after: Option<u64> = lines[0]
        .split_once("&after=")
        .map(|(_, rest)| rest.split('&').next().unwrap().parse().unwrap());
    let mut answers = state.0.lock().unwrap();
    answers.calls += 1;
    while answers.silent || Some(answers.seen) == after {
        answers = state.1.wait(answers).unwrap();
    }
    let body = json!({"requests": answers.requests, "seen": answers.seen, "truncated": false});
    drop(answers);
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let _gone = stream.get_mut().write_all(answer.as_bytes());
    let _gone = stream.get_mut().flush();
}

fn write_login(dir: &Path, authority: &Authority, port: u16) {
    let key = ClientKey::generate().unwrap();
    let request = CertificateRequest::read(&key.csr_pem().unwrap()).unwrap();
    let session: SessionId = SESSION.parse().unwrap();
    let end = now().plus(Ttl::from_secs(3600));
    let issued = authority
        .issue_client(&request, "ben", session, now(), end)
        .unwrap();
    std::fs::create_dir(dir).unwrap();
    let login = json!({
        "url": format!("https://127.0.0.1:{port}"), "authority": authority.pem(),
        "session": SESSION, "person": "ben", "expires": end, "contextPrefix": "",
        "kubeconfig": "/nowhere",
    });
    let certificate = json!({
        "pem": issued.certificate_pem, "received": now(), "notAfter": end, "sessionExpires": end,
    });
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
    };
    write("login.json", &login.to_string());
    write("certificate.json", &certificate.to_string());
    write("key.pem", key.key_pem().expose());
}
