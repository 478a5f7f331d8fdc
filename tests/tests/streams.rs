//! Streams end within a second of losing what they stand on, and the client is told why.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use kubestile_tests::{Gate, Person, Running, cluster, eventually, eventually_within};

/// Far above the promise of one second, so that a busy machine does not fail the test, and far below
/// any other end that these streams could have.
const SOON: Duration = Duration::from_secs(15);

/// What a person is told.
const ENDED: &str = "the session was ended by";

struct Stream {
    child: Running,
}

impl Stream {
    fn start(person: &Person, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut kubectl = person.kubectl();
        kubectl.args(args).envs(env.iter().copied());
        kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            child: Running(kubectl.spawn().expect("kubectl runs")),
        }
    }

    /// Waits for the first byte of output: the stream is open.
    fn opened(mut self) -> Self {
        let mut byte = [0];
        let stdout = self.child.0.stdout.as_mut().expect("stdout");
        stdout.read_exact(&mut byte).expect("the stream opens");
        self
    }

    /// Waits for its end; gives exit code, the rest of stdout, and stderr.
    fn end(mut self, since: Instant) -> (i32, String, String) {
        let code = eventually("the stream ends", || {
            self.child.0.try_wait().expect("a status")
        });
        assert!(since.elapsed() < SOON, "ended after {:?}", since.elapsed());
        let (mut out, mut err) = (String::new(), String::new());
        self.child
            .0
            .stdout
            .take()
            .expect("stdout")
            .read_to_string(&mut out)
            .expect("text");
        self.child
            .0
            .stderr
            .take()
            .expect("stderr")
            .read_to_string(&mut err)
            .expect("text");
        (code.code().unwrap_or(-1), out, err)
    }
}

fn end_sessions(gate: &Gate, person: &Person) -> Instant {
    let since = Instant::now();
    gate.end_sessions(person);
    since
}

#[test]
fn an_ended_session_ends_watch_logs_and_exec_and_says_why() {
    let gate = Gate::start(cluster());
    let ana = gate.person("ana", &["viewer", "operator:shop"]);
    let watch = Stream::start(&ana, &["get", "pods", "-n", "shop", "-w"], &[]).opened();
    let logs = Stream::start(&ana, &["logs", "-f", "-n", "shop", "deploy/web"], &[]).opened();
    let talk = [
        "exec",
        "-n",
        "shop",
        "deploy/web",
        "--",
        "sh",
        "-c",
        "echo up; sleep 600",
    ];
    let exec = Stream::start(&ana, &talk, &[]).opened();
    let spdy = [("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")];
    let exec_spdy = Stream::start(&ana, &talk, &spdy).opened();

    let since = end_sessions(&gate, &ana);

    let (code, _, err) = exec.end(since);
    assert!(code != 0 && err.contains(ENDED), "exec: {code} {err}");
    let (code, _, err) = exec_spdy.end(since);
    assert!(
        code != 0 && err.contains(ENDED),
        "exec over SPDY: {code} {err}"
    );
    let (_, out, err) = watch.end(since);
    // kubectl shows the Status of an ERROR event as a row.
    assert!(out.contains(ENDED), "watch: {out} {err}");
    let (_, out, _) = logs.end(since);
    assert!(out.contains(ENDED), "logs: {out}");

    let refusal = ana.refused(&["get", "pods", "-n", "shop"]);
    assert!(refusal.contains("kubestile login"), "{refusal}");
}

#[test]
fn a_renewed_certificate_does_not_end_a_stream_and_an_expired_one_is_refused() {
    let gate = Gate::start(cluster()).restart_with_config("sessions: {certificate: 1m}");
    let ana = gate.person("ana", &["viewer", "operator:shop"]);
    let talk = [
        "exec",
        "-i",
        "-n",
        "shop",
        "deploy/web",
        "--",
        "sh",
        "-c",
        "echo up; cat",
    ];
    let mut exec = Stream::start(&ana, &talk, &[]).opened();

    let (certificate, key) = ana.identity();
    let mut raw =
        kubestile_tests::raw::Raw::connect(gate.address(), &gate.ca(), Some((&certificate, &key)));
    let get = "GET /clusters/dev/api/v1/namespaces/shop/pods HTTP/1.1";
    assert_eq!(raw.request(get, "").status, 200);
    // The connection stays open past the certificate's end: a new request on it is refused.
    let minute = Duration::from_secs(100);
    eventually_within(minute, "the certificate expires", || {
        let answer = raw.request(get, "");
        (answer.status == 401).then_some(())
    });

    use std::io::Write;
    let stdin = exec.child.0.stdin.as_mut().expect("stdin");
    stdin
        .write_all(b"still here\n")
        .expect("the stream is open");
    drop(exec.child.0.stdin.take());
    let (code, out, err) = exec.end(Instant::now());
    assert_eq!((code, out.contains("still here")), (0, true), "{out} {err}");
    // And kubectl renews by itself.
    assert!(ana.ok(&["get", "pods", "-n", "shop"]).contains("web-"));
}
