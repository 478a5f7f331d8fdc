//! Names that try to steer a terminal, in everything that says something of a cluster: none of them does. And what programs
//! read is the same in each form.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test harness fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const STOCK: &str = include_str!("../../assess/testdata/kubeadm-1.36.json");

/// Clears the screen, writes its title, reorders what follows, begins lines of its own, and is long.
fn names() -> Vec<String> {
    vec![
        "\u{1b}[2J\u{1b}]0;owned\u{7}x".to_owned(),
        "a\u{202e}b\u{2066}c\u{200f}d".to_owned(),
        "one\nTWO   allow   you are here\r\n$ kubectl delete everything".to_owned(),
        "c1\u{9b}31m\u{85}\u{7f}\u{8}\u{feff}\u{2028}".to_owned(),
        "`$(touch /tmp/pwned)`; rm -rf '\"".to_owned(),
        "L".repeat(10_240),
    ]
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// A snapshot and a log of a cluster where everything is called so.
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let mut snapshot: Value = serde_json::from_str(STOCK).unwrap();
        let mut push = |at: &str, item: Value| {
            let list = snapshot.pointer_mut(at).unwrap();
            list.as_array_mut().unwrap().push(item);
        };
        let mut log = String::new();
        for name in names() {
            let rules = json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]);
            push(
                "/rbac/clusterRoles/known",
                json!({ "metadata": { "name": name }, "rules": rules }),
            );
            let subjects = json!([{ "kind": "User", "name": name }, { "kind": "Group", "name": name },
                { "kind": "ServiceAccount", "namespace": name, "name": name }]);
            let role = json!({ "kind": "ClusterRole", "name": name });
            push(
                "/rbac/clusterRoleBindings/known",
                json!({ "metadata": { "name": name }, "roleRef": role, "subjects": subjects }),
            );
            push(
                "/rbac/roleBindings/known",
                json!({ "metadata": { "name": name, "namespace": name },
                    "roleRef": { "kind": "ClusterRole", "name": "edit" }, "subjects": subjects }),
            );
            let event = json!({
                "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
                "auditID": name, "verb": "delete", "requestURI": "/api/v1/namespaces/shop/secrets/x",
                "user": { "username": name, "groups": [name, "system:authenticated"] },
                "sourceIPs": [name], "userAgent": name,
                "objectRef": { "resource": "secrets", "namespace": name, "name": name, "apiVersion": "v1" },
                "responseStatus": { "code": 200 }, "requestReceivedTimestamp": "2026-11-20T00:00:00.000000Z",
                "stageTimestamp": "2026-11-20T00:00:00.000000Z",
                "annotations": { "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": name },
            });
            log.push_str(&format!("{event}\n"));
        }
        snapshot["cluster"]["name"] = json!(names().concat());
        std::fs::write(place.path("snapshot.json"), snapshot.to_string()).unwrap();
        std::fs::write(place.path("stock.json"), STOCK).unwrap();
        std::fs::write(place.path("audit.log"), log).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        run(self.dir.path(), args)
    }
}

fn run(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubestile"))
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// C0, C1 and DEL but the end of a line, and what reorders text (Unicode TR 36).
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

#[test]
fn no_name_steers_a_terminal_or_makes_a_line_of_its_own() {
    let place = Place::new();
    let evil = &names()[0];
    let who = format!("user/{evil}");
    let commands: &[&[&str]] = &[
        &["assess", "--from", "snapshot.json"],
        &[
            "assess",
            "--from",
            "snapshot.json",
            "-o",
            "wide",
            "--audit-log",
            "audit.log",
        ],
        &["assess", "--from", "snapshot.json", "-o", "junit"],
        &["assess", "--from", "snapshot.json", "-o", "html"],
        &["assess", "diff", "stock.json", "snapshot.json"],
        &["assess", "explain", "S0-11", "--from", "snapshot.json"],
        &["assess", "explain", evil],
        &["advance", "plan", "--from", "snapshot.json"],
        &["advance", "plan", "--from", "snapshot.json", "-o", "wide"],
        &["advance", "plan", "--from", "snapshot.json", "-o", "pr"],
        &[
            "rbac",
            "who-can",
            "delete",
            "secrets",
            "-A",
            "--snapshot",
            "snapshot.json",
        ],
        &[
            "rbac",
            "who-can",
            "delete",
            "secrets",
            "-A",
            "-o",
            "wide",
            "--snapshot",
            "snapshot.json",
        ],
        &[
            "rbac",
            "who-can",
            evil,
            evil,
            evil,
            "--snapshot",
            "snapshot.json",
        ],
        &[
            "rbac",
            "can",
            &who,
            "--snapshot",
            "snapshot.json",
            "-o",
            "wide",
        ],
        &["rbac", "paths", "--snapshot", "snapshot.json"],
        &["rbac", "mine", "--from", "audit.log"],
        &[
            "rbac",
            "privilege",
            "--from",
            "audit.log",
            "--snapshot",
            "snapshot.json",
        ],
        &[
            "rbac",
            "rightsize",
            "--from",
            "audit.log",
            "--snapshot",
            "snapshot.json",
        ],
        &["assess", "--from", evil],
        &["audit", "verify", "--log", evil],
        &["assess", "--from", "snapshot.json", "--fail-below", "1"],
    ];
    for args in commands {
        let output = place.run(args);
        assert!(output.status.code().is_some(), "{args:?}");
        for bytes in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(bytes);
            let found = text.find(steers).map(|at| {
                text.char_indices()
                    .skip_while(|(i, _)| *i + 60 < at)
                    .map(|(_, c)| c)
                    .take(90)
                    .collect::<String>()
            });
            assert!(found.is_none(), "{args:?}: {found:?}");
            // In markup a line of its own is none of a reader's.
            let markup = args.contains(&"junit") || args.contains(&"html");
            let own = text.lines().any(|l| l.starts_with("TWO"));
            assert!(markup || !own, "{args:?}");
        }
    }
    assert!(!Path::new("/tmp/pwned").exists());
}

#[test]
fn json_and_yaml_are_the_same_value() {
    let place = Place::new();
    let evil = format!("user/{}", names()[2]);
    let commands: &[&[&str]] = &[
        &["assess", "--from", "snapshot.json", "--fail-below", "4"],
        &["assess", "diff", "stock.json", "snapshot.json"],
        &["assess", "explain", "S0-11", "--from", "snapshot.json"],
        &["assess", "explain", "S0-11", "--offline"],
        &["advance", "plan", "--from", "snapshot.json"],
        &[
            "rbac",
            "who-can",
            "delete",
            "secrets",
            "-A",
            "--snapshot",
            "snapshot.json",
        ],
        &["rbac", "can", &evil, "--snapshot", "snapshot.json"],
        &["rbac", "paths", "--snapshot", "snapshot.json"],
    ];
    for args in commands {
        let of = |form: &str| {
            let output = place.run(&[*args, &["-o", form]].concat());
            let below = args.contains(&"--fail-below");
            assert_eq!(
                output.status.code(),
                Some(if below { 3 } else { 0 }),
                "{args:?}"
            );
            String::from_utf8(output.stdout).unwrap()
        };
        let json: Value = serde_json::from_str(&of("json")).unwrap();
        let yaml: Value = serde_saphyr::from_str(&of("yaml")).unwrap();
        assert!(json == yaml, "{args:?}");
        assert!(json.is_object() || json.is_array(), "{args:?}");
    }
}

#[test]
fn what_cannot_be_read_is_said_in_one_sentence_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| std::fs::write(dir.path().join(name), content).unwrap();
    file(
        "picture",
        &[0x89, b'P', b'N', b'G', 0, 1, 2, 0xff, b'\n', 0xfe],
    );
    file("nothing", b"");
    file("other.json", b"{\"a\": 1}");
    file(
        "newer.json",
        b"{\"version\": \"kubestile.dev/snapshot/v9\"}",
    );
    file("stock.json", STOCK.as_bytes());
    file("broken.yaml", b"a: [");
    let nowhere = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
        clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}]\n\
        users: [{name: u, user: {token: t}}]\n";
    file("nowhere.yaml", nowhere.as_bytes());
    let snapshots = [
        "picture",
        "nothing",
        "other.json",
        "newer.json",
        "missing",
        ".",
        "/dev/zero",
    ];
    let mut commands: Vec<(Vec<&str>, i32)> = Vec::new();
    for snapshot in snapshots {
        commands.push((vec!["assess", "--from", snapshot], 64));
        commands.push((vec!["assess", "diff", "stock.json", snapshot], 64));
        commands.push((vec!["rbac", "paths", "--snapshot", snapshot], 64));
        commands.push((vec!["advance", "plan", "--from", snapshot], 64));
    }
    for kubeconfig in ["picture", "missing", ".", "broken.yaml"] {
        commands.push((vec!["assess", "--kubeconfig", kubeconfig], 64));
        commands.push((
            vec!["rbac", "who-can", "get", "pods", "--kubeconfig", kubeconfig],
            64,
        ));
        commands.push((vec!["advance", "plan", "--kubeconfig", kubeconfig], 64));
    }
    for args in [
        vec!["assess", "--kubeconfig", "nowhere.yaml"],
        vec!["rbac", "paths", "--kubeconfig", "nowhere.yaml"],
        vec!["advance", "plan", "--kubeconfig", "nowhere.yaml"],
    ] {
        commands.push((args, 69));
    }
    commands.push((
        vec![
            "assess",
            "--kubeconfig",
            "nowhere.yaml",
            "--context",
            "other",
        ],
        64,
    ));
    commands.push((vec!["assess"], 64));
    commands.push((vec!["assess", "--kubeconfig", "nothing"], 2));
    commands.push((vec!["assess", "explain", "S0-4"], 2));
    for log in ["picture", "missing", "."] {
        commands.push((
            vec!["assess", "--from", "stock.json", "--audit-log", log],
            64,
        ));
        commands.push((
            vec![
                "rbac",
                "rightsize",
                "--snapshot",
                "stock.json",
                "--from",
                log,
            ],
            64,
        ));
    }
    for exceptions in ["picture", "missing", "broken.yaml"] {
        commands.push((
            vec!["assess", "--from", "stock.json", "--exceptions", exceptions],
            64,
        ));
    }
    commands.push((
        vec![
            "assess",
            "--from",
            "stock.json",
            "--control-plane-dir",
            "missing",
        ],
        64,
    ));
    commands.push((vec!["advance", "rollback", "picture"], 64));
    commands.push((vec!["advance", "rollback", "missing"], 64));
    for (args, code) in commands {
        let output = run(dir.path(), &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let errors = said.lines().filter(|l| l.starts_with("error: ")).count();
        let hints = said.lines().filter(|l| l.starts_with("hint: ")).count();
        assert_eq!(errors, 1, "{args:?}: {said}");
        assert!((1..=4).contains(&hints), "{args:?}: {said}");
        assert!(
            said.lines().all(|l| l.chars().count() < 300),
            "{args:?}: {said}"
        );
    }
}
