//! The program as it is typed: exit codes, what goes to stdout and what to stderr. No gate is needed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness fails by panicking"
)]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with a home of its own.
fn kubestile(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubestile"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    kubestile(home.path()).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_kind_of_an_error_is_its_exit_code() {
    for (args, code) in [
        (vec!["version"], 0),
        (vec!["--help"], 0),
        (vec!["no-such-command"], 2),
        (vec!["login", "http://gate"], 2),
        (vec!["login", "https://127.0.0.1:1", "--code", "x"], 2),
        (
            vec![
                "login",
                "https://127.0.0.1:1",
                "--code",
                "x",
                "--ca-fingerprint",
                "sha256:1",
            ],
            2,
        ),
        (vec!["server", "--config", "/no/such/file"], 64),
        (vec!["policy", "check", "-p", "/no/such/directory"], 1),
        (vec!["whoami"], 1),
        (vec!["people", "list"], 69),
        (vec!["audit", "verify"], 1),
        (vec!["up"], 1),
    ] {
        let output = run(&args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            stderr(&output)
        );
        if code != 0 {
            assert!(output.stdout.is_empty(), "{args:?}: {}", stdout(&output));
        }
    }
}

#[test]
fn errors_are_one_line_and_hints() {
    for args in [
        vec!["whoami"],
        vec!["people", "list"],
        vec!["up"],
        vec!["audit", "search"],
    ] {
        let output = run(&args);
        let text = stderr(&output);
        let mut lines = text.lines();
        let first = lines.next().unwrap();
        assert!(
            first.starts_with("error: ") && !first.ends_with('.'),
            "{args:?}: {text}"
        );
        assert!(text.contains("\nhint: "), "{args:?}: {text}");
        assert!(lines.all(|l| l.starts_with("hint: ")), "{args:?}: {text}");
        assert!(
            !text.contains('\u{1b}'),
            "no colour without a terminal: {text}"
        );
    }
}

#[test]
fn without_a_fingerprint_nobody_is_trusted() {
    let output = run(&["login", "https://127.0.0.1:1", "--code", "K7QF"]);
    assert!(
        stderr(&output).contains("does not know the gate"),
        "{}",
        stderr(&output)
    );
    assert!(
        stderr(&output).contains("--ca-fingerprint"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_configuration_is_shown_with_its_defaults_and_reads_back() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("gate.yaml");
    std::fs::write(&file, "listen: 127.0.0.1:0\nsessions: {lifetime: 30m}\n").unwrap();
    let check = |file: &Path| {
        kubestile(home.path())
            .args(["config", "check"])
            .arg(file)
            .output()
            .unwrap()
    };
    let first = check(&file);
    assert!(first.status.success(), "{}", stderr(&first));
    assert!(
        stdout(&first).contains("certificate: 1800s"),
        "{}",
        stdout(&first)
    );
    let again = home.path().join("again.yaml");
    std::fs::write(&again, &first.stdout).unwrap();
    let second = check(&again);
    assert_eq!(stdout(&second), stdout(&first), "{}", stderr(&second));

    std::fs::write(&file, "lisen: 127.0.0.1:0\n").unwrap();
    let wrong = check(&file);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(stderr(&wrong).contains("lisen"), "{}", stderr(&wrong));
}

#[test]
fn policies_are_checked_tested_and_explained_without_a_gate() {
    let check = run(&["policy", "check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    let test = run(&["policy", "test"]);
    assert!(test.status.success(), "{}{}", stdout(&test), stderr(&test));
    let explain = |function: &str, words: &[&str]| {
        let mut args = vec![
            "policy",
            "explain",
            "--function",
            function,
            "-o",
            "json",
            "--",
        ];
        args.extend(words);
        let output = run(&args);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            output.status.code(),
            value["decision"].as_str().unwrap().to_owned(),
        )
    };
    let get = ["kubectl", "get", "pods", "-n", "shop"];
    assert_eq!(explain("viewer", &get), (Some(0), "allow".to_owned()));
    let secret = ["GET", "/api/v1/namespaces/shop/secrets"];
    assert_eq!(explain("viewer", &secret), (Some(1), "deny".to_owned()));
}

#[test]
fn a_broken_policy_is_a_configuration_error_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("policies");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("mine.cedar"), "permit (principal, action,").unwrap();
    let output = kubestile(home.path())
        .args(["policy", "check", "-p"])
        .arg(&dir)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(
        stderr(&output).contains("mine.cedar"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn as_a_kubectl_plugin_it_says_so() {
    let home = tempfile::tempdir().unwrap();
    let output = kubestile(home.path())
        .arg0("/x/kubectl-stile")
        .arg("--help")
        .output()
        .unwrap();
    assert!(
        stdout(&output).contains("Usage: kubectl stile"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let mut child = kubestile(home.path())
        .args(["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

/// A login as `kubestile login` leaves it, whose certificate holds for `left` more seconds of 3600.
fn login(home: &Path, left: i64) -> std::path::PathBuf {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_micros()).unwrap();
    let dir = home.join("gates").join("127.0.0.1_1");
    std::fs::create_dir_all(&dir).unwrap();
    let session_end = now + (left + 7200) * 1_000_000;
    let login = serde_json::json!({
        "url": "https://127.0.0.1:1",
        "authority": "PEM",
        "session": "018f3f5e-7c1a-7000-8000-000000000001",
        "person": "ana",
        "expires": session_end,
        "contextPrefix": "kubestile-",
        "kubeconfig": "/k",
    });
    let certificate = serde_json::json!({
        "pem": "CERTIFICATE",
        "received": now - (3600 - left) * 1_000_000,
        "notAfter": now + left * 1_000_000,
        "sessionExpires": session_end,
    });
    std::fs::write(dir.join("login.json"), login.to_string()).unwrap();
    std::fs::write(dir.join("certificate.json"), certificate.to_string()).unwrap();
    std::fs::write(dir.join("key.pem"), "KEY").unwrap();
    dir
}

#[test]
fn a_fresh_certificate_is_given_without_asking_anybody() {
    let home = tempfile::tempdir().unwrap();
    let dir = login(home.path(), 3000);
    let output = kubestile(home.path())
        .args(["credential", "--login"])
        .arg(&dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["kind"], "ExecCredential");
    assert_eq!(value["status"]["clientCertificateData"], "CERTIFICATE");
    assert_eq!(value["status"]["clientKeyData"], "KEY");
    assert_eq!(stderr(&output), "");
}

#[test]
fn an_ended_session_is_one_line_that_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let dir = login(home.path(), -8000);
    let output = kubestile(home.path())
        .args(["credential", "--login"])
        .arg(&dir)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "");
    assert_eq!(
        stderr(&output),
        "kubestile: session ended: its time is up; run: kubestile login https://127.0.0.1:1\n"
    );
}
