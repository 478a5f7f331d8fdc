//! The documented checks of a signature, on what the gate really signed; and the documented message of a ticket
//! system, to a real gate. What stands in `docs/integrations.md` is what runs here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use kubestile_tests::gate::NAME;
use kubestile_tests::services::Signed;
use kubestile_tests::{Gate, Services, cluster, eventually};
use serde_json::json;

const TEXT: &str = include_str!("../../docs/integrations.md");

/// The one block of this kind.
fn block(kind: &str) -> &'static str {
    let start = format!("```{kind}\n");
    let mut blocks = TEXT.split(&start).skip(1);
    let text = blocks.next().expect(kind);
    assert!(blocks.next().is_none(), "{kind}");
    text.split("```").next().unwrap()
}

/// Whether a program takes a body on its standard input.
fn takes(mut program: Command, body: &[u8]) -> bool {
    program.stdin(Stdio::piped());
    let mut child = program.spawn().expect("it runs");
    // One that refuses by the time alone does not read.
    let _ = child.stdin.take().expect("stdin").write_all(body);
    child.wait().expect("it ends").success()
}

/// What the documented shell script says.
fn shell(key: &Path, message: &Signed) -> bool {
    let mut sh = Command::new("sh");
    sh.args(["-c", block("sh verify"), "check.sh"]);
    sh.arg(key).args([&message.time, &message.signature]);
    takes(sh, &message.body)
}

/// What the documented function in Python says.
fn python(key: &Path, message: &Signed) -> bool {
    let ask = "
import sys
key = open(sys.argv[1], 'rb').readline().strip()
sys.exit(0 if holds(key, sys.argv[2], sys.argv[3], sys.stdin.buffer.read()) else 1)
";
    let mut python = Command::new("python3");
    python.args(["-c", &format!("{}{ask}", block("python verify"))]);
    python.arg(key).args([&message.time, &message.signature]);
    takes(python, &message.body)
}

#[test]
fn the_documented_checks_take_what_the_gate_signed_and_nothing_else() {
    let services = Services::start();
    let gate = Gate::start(cluster()).restart_with_config(&services.config());
    let ana = gate.person("ana", &["viewer"]);
    let ask = json!({"role": "operator", "cluster": NAME, "namespaces": ["shop"], "seconds": 600,
        "reason": "a \"quoted\" reason, with an é and 100 %s"});
    let (status, asked) = ana.call(&gate, "POST", "/v1/access", Some(&ask));
    assert_eq!(status, 200, "{asked}");
    let honest = eventually("a message comes", || services.signed().pop());
    let text = String::from_utf8(honest.body.clone()).unwrap();
    assert!(text.contains("with an é and 100 %s"), "{text}");

    let mut body = honest.body.clone();
    body[text.find("ana").unwrap()] ^= 1;
    let mut longer = honest.body.clone();
    longer.push(b'\n');
    let now: u64 = honest.time.parse().unwrap();
    let with = |time: &str, signature: &str, body: &[u8]| Signed {
        time: time.to_owned(),
        signature: signature.to_owned(),
        body: body.to_owned(),
    };
    let (time, signature) = (honest.time.as_str(), honest.signature.as_str());
    let old = (now - 1000).to_string();
    let early = (now + 1000).to_string();
    let wrong = format!("v1={}", "0".repeat(64));
    let both = format!("{wrong},{signature}");
    let lost = format!("{signature}0");
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), "hunter3\n").unwrap();
    let key = services.secret_file();
    for check in [shell, python] {
        assert!(check(key, &honest));
        assert!(check(key, &with(time, &both, &honest.body)), "one of two");
        assert!(!check(other.path(), &honest), "another key");
        for (what, forged) in [
            ("a changed byte", with(time, signature, &body)),
            ("a line break more", with(time, signature, &longer)),
            ("no body", with(time, signature, b"")),
            (
                "another time",
                with(&(now - 1).to_string(), signature, &honest.body),
            ),
            (
                "old",
                with(&old, &services.sign(&old, &honest.body), &honest.body),
            ),
            (
                "early",
                with(&early, &services.sign(&early, &honest.body), &honest.body),
            ),
            ("no time", with("", signature, &honest.body)),
            ("words", with("now", signature, &honest.body)),
            ("another signature", with(time, &wrong, &honest.body)),
            ("an empty one", with(time, "v1=", &honest.body)),
            ("none", with(time, "", &honest.body)),
            ("a longer one", with(time, &lost, &honest.body)),
            ("no version", with(time, &signature[3..], &honest.body)),
        ] {
            assert!(!check(key, &forged), "{what}");
        }
    }
}

/// Runs the documented message to this gate; the status of the answer.
fn send(gate: &Gate, services: &Services, change: (&str, &str)) -> String {
    let script = block("sh send")
        .replace(
            "/etc/kubestile/desk-webhook",
            services.secret_file().to_str().unwrap(),
        )
        .replace(
            "gate-ca.pem",
            gate.dir().join("authority.pem").to_str().unwrap(),
        )
        .replace("gate.example.com:8443", gate.address())
        .replace(
            "--fail",
            "--silent --output /dev/null --write-out '%{http_code}'",
        );
    let changed = script.replace(change.0, change.1);
    assert!(change.0.is_empty() || changed != script, "{change:?}");
    let output = Command::new("sh").args(["-c", &changed]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_documented_message_of_a_ticket_system_is_taken_and_a_changed_byte_is_not() {
    let services = Services::start();
    let gate = Gate::start(cluster()).restart_with_config(&services.config());
    for change in [
        ("--data-binary \"$body\"", "--data-binary \"$body \""),
        ("--data-binary \"$body\"", "--data-binary \"{}\""),
        ("v1=$mac", "v1=0$mac"),
        ("Timestamp: $time", "Timestamp: 1$time"),
        ("hmac \"$key\"", "hmac \"x$key\""),
        ("date +%s", "echo 1764064800"),
        ("webhooks/desk", "webhooks/other"),
    ] {
        assert_eq!(send(&gate, &services, change), "403", "{change:?}");
    }
    assert_eq!(send(&gate, &services, ("", "")), "202");
    let log = gate.log();
    assert!(log.contains("not signed as configured"), "{log}");
}
