//! How long an open stream outlives what it stands on: measured with the real kubectl, printed, and never a
//! failure unless it is far from the promise. `cargo test --test stream_end -- --nocapture` shows the figures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::Write as _;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kubestile_tests::gate::{NAME, Waiting};
use kubestile_tests::{Field, Gate, Person, Services, cluster};
use serde_json::{Value, json};

/// How often each end is measured.
const ROUNDS: usize = 20;
/// What is promised.
const GOAL: Duration = Duration::from_secs(1);
/// Far above the promise, so that a busy machine does not fail the test.
const SOON: Duration = Duration::from_secs(10);

/// One measurement at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open `kubectl`, which is waited for beside the test.
struct Open(JoinHandle<(Instant, SystemTime, String)>);

impl Open {
    fn stream(person: &Person, args: &[&str]) -> Self {
        let mut open = person.start(args);
        open.has_begun();
        Self(std::thread::spawn(move || Self::end(open)))
    }

    fn end(open: Waiting) -> (Instant, SystemTime, String) {
        let (_, said) = open.ended();
        (Instant::now(), SystemTime::now(), said)
    }

    fn exec(person: &Person) -> Self {
        let shell = ["sh", "-c", "echo up; exec sleep 120"];
        let exec = ["exec", "-n", "shop", "deploy/web", "--"];
        Self::stream(person, &[&exec[..], &shell[..]].concat())
    }

    fn watch(person: &Person) -> Self {
        let path = format!(
            "/api/v1/namespaces/shop/pods?watch=1&timeoutSeconds={}",
            120
        );
        Self::stream(person, &["get", "--raw", &path])
    }

    /// From `since` until kubectl had ended, which must say this.
    fn outlived(self, since: Instant, why: &str) -> Duration {
        let (ended, _, said) = self.0.join().unwrap();
        assert!(said.contains(why), "{why}: {said}");
        ended - since
    }

    /// When kubectl had ended, in microseconds since 1970.
    fn ended_at(self, why: &str) -> i128 {
        let (_, ended, said) = self.0.join().unwrap();
        assert!(said.contains(why), "{why}: {said}");
        let since = ended.duration_since(UNIX_EPOCH).unwrap();
        i128::try_from(since.as_micros()).unwrap()
    }
}

/// Says the figures, past what keeps the output of tests that pass.
fn report(what: &str, mut lives: Vec<Duration>) {
    lives.sort();
    let (half, most) = (lives[lives.len() / 2], lives[lives.len() - 1]);
    let line = format!(
        "stream-end: {what}: p50 {} ms, max {} ms of {} (goal {} ms: {})\n",
        half.as_millis(),
        most.as_millis(),
        lives.len(),
        GOAL.as_millis(),
        if most <= GOAL { "met" } else { "NOT met" },
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(most < SOON, "{line}");
}

/// Asks for the job function `operator` in `shop`, which bob gives; the grant as it is shown.
fn grant(field: &Field, person: &Person, seconds: u32, ticket: Option<&str>) -> Value {
    let mut ask = json!({"role": "operator", "cluster": NAME, "namespaces": ["shop"], "seconds": seconds,
        "reason": "to be measured"});
    if let Some(ticket) = ticket {
        ask["ticket"] = ticket.into();
    }
    let (status, asked) = person.call(&field.gate, "POST", "/v1/access", Some(&ask));
    assert_eq!(status, 200, "{asked}");
    let request = &asked["request"];
    assert_eq!(field.approve(&field.bob, request).0, 200);
    let path = format!("/v1/grants/G-{}", request["id"].as_str().unwrap());
    let (status, grant) = person.call(&field.gate, "GET", &path, None);
    assert_eq!(status, 200, "{grant}");
    grant
}

/// From the start of the administrator's command.
#[test]
fn after_its_session_was_ended() {
    let _alone = alone();
    let gate = Gate::start(cluster());
    gate.person("ana", &["viewer", "operator:shop"]);
    let (mut execs, mut watches) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let ana = gate.again("ana");
        let (exec, watch) = (Open::exec(&ana), Open::watch(&ana));
        let since = Instant::now();
        gate.end_sessions(&ana);
        let why = "the session was ended by";
        execs.push(exec.outlived(since, why));
        watches.push(watch.outlived(since, why));
    }
    report("exec, session ended", execs);
    report("watch, session ended", watches);
}

/// From the moment at which the revocation is sent.
#[test]
fn after_its_grant_was_revoked() {
    let _alone = alone();
    let field = Field::new();
    let mut lives = Vec::new();
    for _ in 0..ROUNDS {
        let grant = grant(&field, &field.ana, 600, None);
        let exec = Open::exec(&field.ana);
        let path = format!("/v1/grants/{}/revoke", grant["id"].as_str().unwrap());
        let mut connection = field.bob.connect(&field.gate);
        let since = Instant::now();
        let why = json!({"reason": "measured"});
        let (status, ended) = connection.call("POST", &path, Some(&why));
        assert_eq!(status, 200, "{ended}");
        lives.push(exec.outlived(since, "revoked by bob"));
    }
    report("exec, grant revoked", lives);
}

/// From the moment at which the ticket system sends its message; the gate then asks it what has changed.
#[test]
fn after_its_ticket_was_closed() {
    let _alone = alone();
    let services = Services::start();
    let gate = Gate::start(cluster()).restart_with_config(&services.config());
    let field = Field::of(gate);
    let mut lives = Vec::new();
    for round in 1..=ROUNDS {
        let key = format!("OPS-{round}");
        let labels = ["namespace-shop"];
        services.ticket(&key, "In Progress", "indeterminate", "ana", &labels);
        grant(&field, &field.ana, 600, Some(&key));
        let exec = Open::exec(&field.ana);
        services.ticket(&key, "Done", "done", "ana", &labels);
        let since = Instant::now();
        assert_eq!(services.send_webhook(&field.gate, &key, None).status, 202);
        lives.push(exec.outlived(since, "was closed"));
    }
    report("exec, ticket closed by webhook", lives);
}

/// From the expiry as the grant shows it; never before it.
#[test]
fn after_its_grant_expired() {
    let _alone = alone();
    let field = Field::new();
    let open = |number: usize| {
        let person = field.gate.person(&format!("p{number}"), &["viewer"]);
        let grant = grant(&field, &person, 60, None);
        (grant, Open::exec(&person))
    };
    let all: Vec<_> = (0..ROUNDS).map(open).collect();
    let late = |(grant, exec): (Value, Open)| {
        let expires = micros_of(grant["expires"].as_str().unwrap());
        let late = exec.ended_at("expired") - expires;
        Duration::from_micros(u64::try_from(late).expect("not before its time"))
    };
    report("exec, grant expired", all.into_iter().map(late).collect());
}

/// Microseconds since 1970 of a time in RFC 3339.
fn micros_of(time: &str) -> i128 {
    let date = Command::new("date").args(["-d", time, "+%s%6N"]).output();
    let text = String::from_utf8(date.unwrap().stdout).unwrap();
    text.trim().parse().unwrap()
}
