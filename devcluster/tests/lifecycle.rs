//! Real clusters, started and taken down: `KUBESTILE_DEVCLUSTER=1 cargo test -p
//! kubestile-devcluster`. Without the variable only a line says that it was skipped,
//! since the first build of the programs takes minutes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test helpers: a failure here is a failed test, and output explains it"
)]

use std::fs;
use std::process::Command;

use kubestile_devcluster::{
    Cluster, DownOnDrop, Error, Health, Kubernetes, Name, Options, attach, down, list, up,
};

#[test]
fn two_clusters_live_side_by_side_and_leave_nothing() {
    if std::env::var_os("KUBESTILE_DEVCLUSTER").is_none() {
        println!("skipped: set KUBESTILE_DEVCLUSTER=1 to start real clusters");
        return;
    }
    let is_root = fs::metadata("/proc/self").unwrap();
    let node = std::os::unix::fs::MetadataExt::uid(&is_root) == 0;
    if !node {
        println!("skipped in part: a node needs root");
    }
    for kubernetes in Kubernetes::ALL {
        let first = start(&format!("t1-{}", std::process::id()), kubernetes, node);
        let second = start(&format!("t2-{}", std::process::id()), kubernetes, node);
        assert_ne!(first.server, second.server);
        if node {
            for cluster in [&first, &second] {
                runs_a_pod(cluster);
            }
        }
        writes_an_audit_log(&first);
        makes_tokens(&second);
        again_is_the_same(&first);
        survives_the_crash_of(if node { "containerd" } else { "etcd" }, &first);
        for cluster in [first, second] {
            down(&cluster.name, &mut |_| {}).unwrap();
            left_nothing(&cluster);
        }
    }
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    if std::env::var_os("KUBESTILE_DEVCLUSTER").is_none() {
        println!("skipped: set KUBESTILE_DEVCLUSTER=1 to start real clusters");
        return;
    }
    let fail = |flag: String| {
        let name: Name = format!("t3-{}", std::process::id()).parse().unwrap();
        let options = Options {
            node: false,
            api_server_flags: vec![flag],
            ..Options::new(name)
        };
        let mut steps = Vec::new();
        let error = up(&options, &mut |progress| steps.push(progress.to_string())).unwrap_err();
        assert!(matches!(attach(&options.name), Err(Error::NotFound { .. })));
        assert!(matches!(
            down(&options.name, &mut |_| {}),
            Err(Error::NotFound { .. })
        ));
        (error.to_string(), steps)
    };
    let (error, _) = fail("--no-such-flag".to_owned());
    assert!(
        error.starts_with("kube-apiserver ended") && error.contains("no-such-flag"),
        "{error}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (error, steps) = fail(format!(
        "--secure-port={}",
        taken.local_addr().unwrap().port()
    ));
    assert!(error.contains("address already in use"), "{error}");
    let again = steps
        .iter()
        .filter(|step| step.contains("trying again"))
        .count();
    assert_eq!(again, 2, "{steps:?}");
}

fn start(name: &str, kubernetes: Kubernetes, node: bool) -> DownOnDrop {
    let name: Name = name.parse().unwrap();
    let options = Options {
        kubernetes,
        node,
        ..Options::new(name)
    };
    let cluster = up(&options, &mut |progress| println!("{progress}"))
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cluster.kubernetes, kubernetes);
    assert!(kubectl(&cluster, &["version"]).contains(&format!("Server Version: v{kubernetes}.")));
    cluster.down_on_drop()
}

fn runs_a_pod(cluster: &Cluster) {
    let name = cluster.name.as_str();
    let script = format!("echo logged by {name}; exec sleep 3600");
    kubectl(
        cluster,
        &["run", "pod", "--image=busybox:1", "--", "sh", "-c", &script],
    );
    kubectl(
        cluster,
        &["wait", "--for=condition=Ready", "pod/pod", "--timeout=60s"],
    );
    // Ready may come before the first line.
    let mut logs = kubectl(cluster, &["logs", "pod"]);
    while logs.is_empty() {
        logs = kubectl(cluster, &["logs", "pod"]);
    }
    assert_eq!(logs, format!("logged by {name}\n"));
    assert_eq!(
        kubectl(cluster, &["exec", "pod", "--", "hostname"]),
        "pod\n"
    );
}

fn writes_an_audit_log(cluster: &Cluster) {
    let log = fs::read_to_string(&cluster.audit_log).unwrap();
    assert!(log.contains("/readyz"));
}

/// The controller manager has made the account, and the issuer is configured.
fn makes_tokens(cluster: &Cluster) {
    assert_eq!(
        kubectl(cluster, &["create", "token", "default"])
            .split('.')
            .count(),
        3
    );
}

fn again_is_the_same(cluster: &Cluster) {
    let node = cluster.node.is_some();
    let same = Options {
        kubernetes: cluster.kubernetes,
        node,
        ..Options::new(cluster.name.clone())
    };
    assert_eq!(up(&same, &mut |_| {}).unwrap().server, cluster.server);
    let other = Options {
        api_server_flags: vec!["--v=3".to_owned()],
        ..same
    };
    assert!(matches!(
        up(&other, &mut |_| {}),
        Err(Error::Differs { .. })
    ));
}

/// The pods of a dead containerd still run: `down` must end them all the same.
fn survives_the_crash_of(program: &str, cluster: &Cluster) {
    let state = fs::read_to_string(cluster.dir.join("cluster.json")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let processes = state["processes"].as_array().unwrap();
    let crashed = processes
        .iter()
        .find(|process| process["program"] == program)
        .unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", &crashed["pid"].to_string()])
        .status();
    assert!(killed.unwrap().success());
    while attach(&cluster.name).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let summaries = list().unwrap();
    let summary = summaries
        .iter()
        .find(|summary| summary.name == cluster.name)
        .unwrap();
    assert_eq!(summary.health, Health::Ended(vec![program.to_owned()]));
}

fn left_nothing(cluster: &Cluster) {
    let dir = cluster.dir.to_str().unwrap();
    assert!(!cluster.dir.exists());
    assert!(
        !fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(dir),
        "a mount is left"
    );
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&format!("{dir}/"))
    });
    assert_eq!(processes.count(), 0, "a process is left");
    let own = format!("kubestile-{}", cluster.name);
    let results = fs::read_dir("/var/lib/cni/results")
        .into_iter()
        .flatten()
        .flatten();
    let left = results.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own));
    assert_eq!(left.count(), 0, "a network's result is left");
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> String {
    let output = cluster.kubectl().args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
