//! What the requester and the approver see of requests with `kubestile` itself: taken back by Ctrl-C, watched
//! as they come, counted, and break-glass that waits for its review.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use kubestile_tests::gate::{NAME, Waiting};
use kubestile_tests::{Field, Running, eventually};
use serde_json::{Value, json};

/// `kubestile request` of ana's, and the id of what it asks for once it waits.
fn ask(field: &Field) -> (Waiting, Value) {
    let mut ask = field.ana.kubestile();
    ask.args(["request", "--role", "operator", "-n", "shop", "--for", "1h"]);
    ask.args(["--reason", "the rollout is stuck"]);
    let asking = Waiting::spawn(ask);
    (asking, field.waiting())
}

fn interrupt(asking: &Waiting) {
    let pid = asking.pid().to_string();
    let status = Command::new("kill").args(["-INT", &pid]).status();
    assert!(status.expect("kill runs").success());
}

fn log_says(field: &Field, id: &str, word: &str) {
    eventually(&format!("the log says {word}"), || {
        let search = ["audit", "search", "--access", id, "-o", "json"];
        field.gate.admin_ok(&search).contains(word).then_some(())
    });
}

#[test]
fn ctrl_c_takes_back_what_was_asked_for() {
    let field = Field::new();
    let (asking, request) = ask(&field);
    let id = request["id"].as_str().unwrap();
    interrupt(&asking);
    let (code, said) = asking.ended();
    assert_eq!(code, 4, "{said}");
    assert!(field.waiting_now().is_empty());
    let shown = field.bob.does(&["approvals", "show", id]);
    assert!(shown.contains("withdrawn"), "{shown}");
    assert_eq!(field.approve(&field.bob, &request).0, 409);
    let access = field.ana.does(&["access"]);
    assert!(!access.contains(&format!("G-{id}")), "{access}");
    log_says(&field, id, "\"withdrawn\"");
}

#[test]
fn requests_are_watched_as_they_come_and_end() {
    let field = Field::new();
    let mut watch = field.bob.kubestile();
    watch.args(["approvals", "-w"]).stdout(Stdio::piped());
    let mut watch = Running(watch.spawn().expect("kubestile runs"));
    let lines = Arc::new(Mutex::new(Vec::<String>::new()));
    let (out, kept) = (watch.0.stdout.take().unwrap(), lines.clone());
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    let shows = |id: &str, state: &str| {
        eventually(&format!("{id} is shown as {state}"), || {
            let lines = lines.lock().unwrap();
            let mut of_it = lines.iter().filter(|line| line.contains(id));
            of_it.any(|line| line.contains(state)).then_some(())
        });
    };
    let (first, request) = ask(&field);
    let id = request["id"].as_str().unwrap();
    shows(id, "waiting");
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    shows(id, "approved");
    assert_eq!(first.ended().0, 0);
    let (second, request) = ask(&field);
    let id = request["id"].as_str().unwrap();
    shows(id, "waiting");
    interrupt(&second);
    shows(id, "withdrawn");
    assert!(watch.0.try_wait().unwrap().is_none(), "it goes on");
    drop(watch);
    reader.join().unwrap();
}

#[test]
fn the_figures_are_of_what_was_asked() {
    let field = Field::new();
    for answer in ["approve", "deny", "withdraw"] {
        let (asking, request) = ask(&field);
        match answer {
            "approve" => assert_eq!(field.approve(&field.bob, &request).0, 200),
            "deny" => {
                let why = json!({"reason": "not now"});
                assert_eq!(field.answer(&field.bob, &request, "deny", &why).0, 200);
            }
            _ => interrupt(&asking),
        }
        let code = if answer == "approve" { 0 } else { 4 };
        assert_eq!(asking.ended().0, code, "{answer}");
    }
    let (_waits, _) = ask(&field);
    let text = field.bob.does(&["approvals", "stats", "-o", "json"]);
    let stats: Value = serde_json::from_str(&text).unwrap();
    for (name, count) in [
        ("asked", 4),
        ("approved", 1),
        ("denied", 1),
        ("expired", 0),
        ("withdrawn", 1),
        ("waiting", 1),
    ] {
        assert_eq!(stats[name], count, "{name}: {stats}");
    }
    let text = field.bob.does(&["approvals", "stats"]);
    for part in ["4 in the last week", "1 (25 %)"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn break_glass_shows_as_a_review_that_is_due_until_it_was_reviewed() {
    let field = Field::new();
    let eve = field.gate.person("eve", &["viewer", "break-glass"]);
    let ask = json!({"role": "operator", "cluster": NAME, "namespaces": ["shop"], "seconds": 600,
        "reason": "the shop is down"});
    let (status, grant) = eve.call(&field.gate, "POST", "/v1/break-glass", Some(&ask));
    assert_eq!(status, 200, "{grant}");
    let id = grant["id"].as_str().unwrap();
    let shown = field.bob.does(&["access"]);
    let (_, due) = shown.split_once("wait for a review").expect("a review");
    assert!(due.contains(id) && due.contains("eve"), "{shown}");
    let own = eve.does(&["access"]);
    let due = own.split_once("wait for a review").map(|(_, due)| due);
    assert!(
        !due.is_some_and(|due| due.contains(id)),
        "not by herself: {own}"
    );
    field
        .bob
        .does(&["grants", "review", id, "--note", "it was right"]);
    let shown = field.bob.does(&["access"]);
    let due = shown.split_once("wait for a review").map(|(_, due)| due);
    assert!(!due.is_some_and(|due| due.contains(id)), "{shown}");
}
