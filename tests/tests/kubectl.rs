//! kubectl's own commands, directly and through the gate: the same output, byte for byte where it has
//! no names and ages in it. Directly is the cluster's administrator in the namespace `bank`; through
//! the gate is an operator in `shop`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use kubestile_tests::{Gate, Person, cluster, eventually};

struct Sides {
    _gate: Gate,
    ana: Person,
}

fn sides() -> &'static Sides {
    static SIDES: OnceLock<Sides> = OnceLock::new();
    SIDES.get_or_init(|| {
        let gate = Gate::start(cluster());
        let ana = gate.person("ana", &["viewer", "operator:shop"]);
        Sides { _gate: gate, ana }
    })
}

fn feed(mut command: Command, stdin: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl runs");
    // A kubectl that ends early closes its stdin; what it says is looked at below.
    let _ = child
        .stdin
        .take()
        .expect("stdin")
        .write_all(stdin.as_bytes());
    child.wait_with_output().expect("kubectl ends")
}

/// Runs the same words on both sides, with `NS` for the namespace; gives the output of both.
fn both(words: &[&str], stdin: &str) -> [Output; 2] {
    let fill = |namespace: &str| -> Vec<String> {
        words.iter().map(|w| w.replace("NS", namespace)).collect()
    };
    let mut direct = cluster().kubectl();
    direct.args(fill("bank"));
    let mut gate = sides().ana.kubectl();
    gate.args(fill("shop"));
    [
        feed(direct, &stdin.replace("NS", "bank")),
        feed(gate, &stdin.replace("NS", "shop")),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .replace("bank", "NS")
        .replace("shop", "NS")
}

/// The same exit code, stdout and stderr.
fn same(words: &[&str], stdin: &str) -> String {
    let [direct, gate] = both(words, stdin);
    assert_eq!(
        text(&gate.stderr),
        text(&direct.stderr),
        "stderr of kubectl {words:?}"
    );
    assert_eq!(
        text(&gate.stdout),
        text(&direct.stdout),
        "stdout of kubectl {words:?}"
    );
    assert_eq!(
        gate.status.code(),
        direct.status.code(),
        "kubectl {words:?}"
    );
    text(&gate.stdout)
}

#[test]
fn reading_is_the_same() {
    for words in [
        &["version"][..],
        &["api-resources"],
        &["api-versions"],
        &["explain", "deployment.spec.strategy"],
        &["get", "namespaces", "shop", "-o", "yaml"],
        &["get", "nodes", "-o", "name"],
        &["get", "configmap", "prices", "-n", "shop", "-o", "json"],
        &[
            "get",
            "deployment",
            "web",
            "-n",
            "shop",
            "-o",
            "jsonpath={.spec.replicas}",
        ],
        &["get", "clusterroles", "view", "-o", "yaml"],
        &["get", "pods", "no-such-pod", "-n", "shop"],
        &["get", "nosuchthing"],
        &["get", "--raw", "/api/v1/namespaces/shop/configmaps/prices"],
        &["get", "--raw", "/readyz"],
        &["describe", "configmap", "prices", "-n", "shop"],
        &["get", "all", "-n", "no-such-namespace"],
    ] {
        let direct = cluster()
            .kubectl()
            .args(words)
            .output()
            .expect("kubectl runs");
        let gate = sides()
            .ana
            .kubectl()
            .args(words)
            .output()
            .expect("kubectl runs");
        let shown = |o: &Output| {
            format!(
                "{:?}\n{}{}",
                o.status.code(),
                text(&o.stdout),
                text(&o.stderr)
            )
        };
        assert_eq!(shown(&gate), shown(&direct), "kubectl {words:?}");
    }
}

const APP: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: menu, namespace: NS, labels: {set: kubectl}}
data: {soup: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: NS, labels: {set: kubectl}}
spec:
  replicas: 1
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: app, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent,
         command: ["sh", "-c", "echo one; echo two; exec sleep 100000"]}
"#;

/// One story, in order: the same objects are changed on both sides.
#[test]
fn writing_is_the_same() {
    let set = [
        "delete",
        "deployment,configmap",
        "-n",
        "shop",
        "-l",
        "set=kubectl",
        "--ignore-not-found",
    ];
    cluster()
        .kubectl()
        .args(set)
        .output()
        .expect("kubectl runs");
    let mut bank = set;
    bank[3] = "bank";
    cluster()
        .kubectl()
        .args(bank)
        .output()
        .expect("kubectl runs");

    assert!(same(&["apply", "-f", "-"], APP).contains("created"));
    same(&["apply", "-f", "-"], APP);
    same(&["diff", "-f", "-"], APP);
    let [direct, gate] = both(&["diff", "-f", "-"], &APP.replace("\"1\"", "\"2\""));
    assert_eq!(gate.status.code(), direct.status.code());
    assert!(
        text(&gate.stdout).contains("+  soup: \"2\""),
        "{}",
        text(&gate.stdout)
    );
    same(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &APP.replace("\"1\"", "\"3\""),
    );
    same(
        &[
            "get",
            "configmap",
            "menu",
            "-n",
            "NS",
            "-o",
            "jsonpath={.data}",
        ],
        "",
    );
    same(&["label", "configmap", "menu", "-n", "NS", "fresh=yes"], "");
    same(
        &["annotate", "configmap", "menu", "-n", "NS", "by=hand"],
        "",
    );
    same(
        &[
            "patch",
            "configmap",
            "menu",
            "-n",
            "NS",
            "--type=json",
            "-p",
            r#"[{"op":"add","path":"/data/tea","value":"2"}]"#,
        ],
        "",
    );
    same(
        &["scale", "deployment", "app", "-n", "NS", "--replicas=2"],
        "",
    );
    same(&["rollout", "restart", "deployment/app", "-n", "NS"], "");
    let [_, gate] = both(
        &[
            "rollout",
            "status",
            "deployment/app",
            "-n",
            "NS",
            "--timeout=120s",
        ],
        "",
    );
    assert!(
        text(&gate.stdout).contains("successfully rolled out"),
        "{}",
        text(&gate.stderr)
    );
    same(
        &[
            "wait",
            "deployment/app",
            "-n",
            "NS",
            "--for=condition=Available",
            "--timeout=60s",
        ],
        "",
    );
    same(
        &["set", "env", "deployment/app", "-n", "NS", "MODE=fast"],
        "",
    );
    same(&["rollout", "undo", "deployment/app", "-n", "NS"], "");
    same(&["create", "configmap", "menu", "-n", "NS"], "");
    same(
        &[
            "run",
            "guest",
            "-n",
            "NS",
            "--image=docker.io/library/busybox:latest",
            "--image-pull-policy=IfNotPresent",
            "--restart=Never",
            "--dry-run=server",
            "--",
            "true",
        ],
        "",
    );
}

#[test]
fn streams_are_the_same() {
    let ana = &sides().ana;
    let exec = |words: &[&str], stdin: &str| {
        let mut command = ana.kubectl();
        command.args(words);
        feed(command, stdin)
    };
    let pod = ana.ok(&[
        "get",
        "pods",
        "-n",
        "shop",
        "-l",
        "app=web",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ]);
    for websockets in ["true", "false"] {
        let mut command = ana.kubectl();
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        command.args([
            "exec",
            "-i",
            "-n",
            "shop",
            &pod,
            "--",
            "sh",
            "-c",
            "cat; echo bad >&2; exit 7",
        ]);
        let out = feed(command, "through and through\n");
        assert_eq!(
            String::from_utf8_lossy(&out.stdout),
            "through and through\n"
        );
        assert!(String::from_utf8_lossy(&out.stderr).contains("bad"));
        assert_eq!(
            out.status.code(),
            Some(7),
            "the exit code of the command ({websockets})"
        );
    }
    let logs = exec(&["logs", "-n", "shop", &pod], "");
    assert_eq!(String::from_utf8_lossy(&logs.stdout), "open\n");

    let home = ana.home();
    let (sent, back) = (home.join("sent"), home.join("back"));
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&sent, &body).unwrap();
    ana.ok(&[
        "cp",
        sent.to_str().unwrap(),
        &format!("shop/{pod}:/tmp/copied"),
    ]);
    ana.ok(&[
        "cp",
        &format!("shop/{pod}:/tmp/copied"),
        back.to_str().unwrap(),
    ]);
    assert!(
        std::fs::read(&back).unwrap() == body,
        "what comes back is what went in"
    );

    let run = [
        "run",
        "talk",
        "-n",
        "shop",
        "-i",
        "--rm",
        "--restart=Never",
        "--image=docker.io/library/busybox:latest",
        "--image-pull-policy=IfNotPresent",
        "--",
        "sh",
        "-c",
        "sleep 3; cat",
    ];
    let attached = exec(&run, "over attach\n");
    let said = String::from_utf8_lossy(&attached.stdout).into_owned();
    assert!(said.contains("over attach"), "{attached:?}");

    let attach = exec(
        &[
            "debug",
            "-n",
            "shop",
            &pod,
            "--image=docker.io/library/busybox:latest",
            "--image-pull-policy=IfNotPresent",
            "--attach=false",
            "--",
            "true",
        ],
        "",
    );
    assert!(
        attach.status.success(),
        "{}",
        String::from_utf8_lossy(&attach.stderr)
    );
}

#[test]
fn ports_are_forwarded_over_websocket_and_spdy() {
    let ana = &sides().ana;
    for websockets in ["true", "false"] {
        let mut command = ana.kubectl();
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets);
        command.args(["port-forward", "-n", "shop", "deploy/web", ":8080"]);
        let forward = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut forward = kubestile_tests::Running(forward);
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(forward.0.stdout.take().unwrap()));
        let line = lines.next().expect("a line").expect("text");
        let port: u16 = line
            .split(':')
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|p| p.parse().ok())
            .unwrap_or_else(|| panic!("{line}"));
        for _ in 0..3 {
            let (status, text) = kubestile_tests::raw::plain_get(&format!("127.0.0.1:{port}"), "/")
                .expect("an answer");
            assert!(status == 200 && text.contains("hello"), "{text}");
        }
    }
}

#[test]
fn who_i_am_and_what_i_may_do() {
    let ana = &sides().ana;
    let who = ana.ok(&["auth", "whoami", "-o", "json"]);
    let who: serde_json::Value = serde_json::from_str(&who).unwrap();
    let info = &who["status"]["userInfo"];
    assert_eq!(info["username"], "ana");
    let groups = info["groups"].to_string();
    assert!(
        groups.contains("kubestile:viewer") && !groups.contains("operator"),
        "{groups}"
    );
    assert_eq!(
        ana.ok(&["auth", "can-i", "get", "pods", "-n", "shop"])
            .trim(),
        "yes"
    );
    // The namespace of a self-review stands in its body.
    assert_eq!(
        ana.ok(&["auth", "can-i", "delete", "pods", "-n", "shop"])
            .trim(),
        "yes"
    );
    for words in [&["delete", "nodes"][..], &["delete", "pods", "-n", "bank"]] {
        let (_, cannot, _) = ana.run(&[&["auth", "can-i"], words].concat());
        assert_eq!(cannot.trim(), "no", "{words:?}");
    }
}

#[test]
fn kubectl_proxy_goes_through_the_gate_too() {
    let ana = &sides().ana;
    let mut proxy = ana.kubectl();
    let proxy = proxy
        .args(["proxy", "--port=0", "--append-server-path"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl");
    let mut proxy = kubestile_tests::Running(proxy);
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(proxy.0.stdout.take().unwrap()));
    let line = lines.next().expect("a line").expect("text");
    let address = line.rsplit(' ').next().expect("an address").to_owned();
    let (status, text) = eventually("kubectl proxy answers", || {
        kubestile_tests::raw::plain_get(&address, "/api/v1/namespaces/shop/configmaps/prices")
    });
    assert!(
        status == 200 && text.contains("\"tea\": \"3\"") || text.contains("\"tea\":\"3\""),
        "{text}"
    );
    let (status, text) =
        kubestile_tests::raw::plain_get(&address, "/api/v1/namespaces/shop/secrets/till").unwrap();
    assert!(status == 403 && !text.contains("hunter2"), "{text}");
}
