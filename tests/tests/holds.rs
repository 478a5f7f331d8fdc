//! Many requests that wait at once: what they cost in memory, and that each ends as it should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use kubestile_tests::raw::{Raw, plain_get};
use kubestile_tests::{Field, Gate, cluster, eventually, eventually_within};
use serde_json::{Value, json};

/// Requests that wait at once, by people of whom each may hold so many.
const HOLDS: usize = 500;
const EACH: usize = 50;
/// What the body of each is filled up to, in bytes.
const BODY: usize = 16 * 1024;
/// What one may cost beside its body, in bytes: a TLS connection with its buffers, the request, what was
/// looked up for it. Measured in a debug build: some 100 KiB.
const COST: u64 = 192 * 1024;
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// `VmRSS` of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

fn held(gate: &Gate) -> u64 {
    metric(gate, "kubestile_held_requests").unwrap_or(0)
}

/// A client library that tries again joins what its last try has asked for, and is not taken down with it.
#[test]
fn what_somebody_else_still_waits_for_is_not_taken_back() {
    let field = Field::new();
    field.config_map("tried-twice");
    let delete = ["delete", "configmap", "tried-twice", "-n", "shop"];
    let first = field.ana.start(&delete);
    let request = field.waiting();
    let second = field.ana.start(&delete);
    eventually("both wait", || (held(&field.gate) == 2).then_some(()));
    assert_eq!(field.waiting_now().len(), 1, "it is one question");
    first.give_up();
    eventually("one waits", || (held(&field.gate) == 1).then_some(()));
    assert_eq!(field.waiting_now()[0]["id"], request["id"]);
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (code, said) = second.ended();
    assert_eq!(code, 0, "{said}");
    assert!(!field.exists("tried-twice"));
}

/// The value of a line of `/metrics`.
fn metric(gate: &Gate, name: &str) -> Option<u64> {
    let (_, text) = plain_get(&gate.health, "/metrics")?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn five_hundred_that_wait_cost_little_and_all_end_as_they_should() {
    let field = Field::of(Gate::start_with(cluster(), &["--hold", "wait"]));
    let gate = &field.gate;
    let people: Vec<_> = (0..HOLDS / EACH)
        .map(|i| gate.person(&format!("person-{i}"), &["viewer"]))
        .collect();
    let identities: Vec<_> = people.iter().map(|person| person.identity()).collect();
    let ca = gate.ca();
    let body = format!("{{}}{}", " ".repeat(BODY - 2));
    let ask = |name: usize| {
        let (certificate, key) = &identities[name / EACH];
        let mut raw = Raw::connect(gate.address(), &ca, Some((certificate, key)));
        let head = format!(
            "DELETE /clusters/dev/api/v1/namespaces/shop/configmaps/none-{name} HTTP/1.1\r\n\
             Host: gate\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        raw.send(head.as_bytes());
        raw
    };
    // One of each makes what is made once.
    let first = ask(0);
    eventually_within(PATIENCE, "the first waits", || {
        (held(gate) == 1).then_some(())
    });
    let before = resident(gate.pid());
    let mut waiting: Vec<Raw> = vec![first];
    waiting.extend((1..HOLDS).map(ask));
    eventually_within(PATIENCE, "all wait", || {
        (held(gate) == HOLDS as u64).then_some(())
    });
    let requests = field.waiting_now();
    assert_eq!(requests.len(), HOLDS);

    let grown = resident(gate.pid()).saturating_sub(before);
    let each = grown / (HOLDS as u64 - 1);
    println!("{HOLDS} requests with a body of {BODY} bytes wait: {grown} bytes, {each} each");
    assert!(
        each < BODY as u64 + COST,
        "{each} bytes for each that waits"
    );

    // One more of a person's is one too many.
    let (certificate, key) = &identities[0];
    let mut raw = Raw::connect(gate.address(), &ca, Some((certificate, key)));
    let line = "DELETE /clusters/dev/api/v1/namespaces/shop/configmaps/one-more HTTP/1.1";
    let answer = raw.request(line, "Content-Length: 0\r\n");
    assert_eq!(answer.status, 429, "{}", answer.text());

    // One of each person is approved, one denied; whoever hangs up takes the rest back.
    let of = |person: usize, nth: usize| -> &Value {
        let name = format!("configmaps/none-{} ", person * EACH + nth);
        let mut all = requests.iter();
        all.find(|r| r["what"].as_str().unwrap().contains(&name))
            .unwrap()
    };
    for person in 0..people.len() {
        assert_eq!(field.approve(&field.bob, of(person, 0)).0, 200);
        let why = json!({"reason": "not now"});
        assert_eq!(field.answer(&field.bob, of(person, 1), "deny", &why).0, 200);
    }
    for person in 0..people.len() {
        // Approved, it is forwarded, and there is nothing of that name.
        let passed = waiting[person * EACH].answer();
        assert_eq!(passed.status, 404, "{}", passed.text());
        let denied = waiting[person * EACH + 1].answer();
        assert_eq!(denied.status, 403, "{}", denied.text());
    }
    drop(waiting);
    eventually_within(PATIENCE, "nothing waits", || {
        (held(gate) == 0).then_some(())
    });
    eventually_within(PATIENCE, "all is withdrawn", || {
        field.waiting_now().is_empty().then_some(())
    });
    let people = people.len() as u64;
    let ended = |outcome: &str| {
        metric(
            gate,
            &format!("kubestile_holds_ended_total{{outcome=\"{outcome}\"}}"),
        )
    };
    assert_eq!(ended("approved"), Some(people));
    assert_eq!(ended("denied"), Some(people));
    assert_eq!(ended("withdrawn"), Some(HOLDS as u64 - 2 * people));
    let state = |name: &str| {
        metric(
            gate,
            &format!("kubestile_access_requests{{state=\"{name}\"}}"),
        )
    };
    assert_eq!(state("waiting"), None, "none is left");
    assert_eq!(state("withdrawn"), Some(HOLDS as u64 - 2 * people));
}
