//! The sealed way in, on a real cluster and without a gate: made, tried, opened by two of three shares, and dead
//! with the next one; and what was done with it, taken into a gate's log afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::{Command, Output};

use kubestile_devcluster::{DownOnDrop, Kubernetes, Options};
use kubestile_tests::eventually;
use kubestile_tests::gate::{Gate, NAME, binary};
use serde_json::Value;

/// A cluster of its own: what is tried here may do everything.
struct Place {
    cluster: DownOnDrop,
    dir: tempfile::TempDir,
}

impl Place {
    fn up(name: &str) -> Self {
        let mut options = Options::new(name.parse().unwrap());
        options.kubernetes = Kubernetes::V1_36;
        options.node = false;
        Self {
            cluster: kubestile_devcluster::up(&options, &mut |_| {})
                .unwrap()
                .down_on_drop(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(["break-glass"])
            .args(args)
            .current_dir(self.dir.path())
            .env("KUBECONFIG", &self.cluster.kubeconfig)
            .env("HOME", self.dir.path())
            .output()
            .unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?} went through");
        String::from_utf8(output.stderr).unwrap()
    }

    fn seal(&self, into: &str) {
        std::fs::create_dir(self.dir.path().join(into)).unwrap();
        self.ok(&["seal", "prod", "--out", into, "--valid", "2h", "--yes"]);
    }

    fn kubectl(&self, kubeconfig: &str, args: &[&str]) -> (bool, String) {
        let path = self.dir.path().join(kubeconfig);
        let mut kubectl = self.cluster.kubectl();
        let output = kubectl.env("KUBECONFIG", path).args(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }
}

const REASON: &str = "the gate is gone";

fn opening<'a>(files: &'a [String; 3], kubeconfig: &'a str) -> Vec<&'a str> {
    vec![
        "open",
        &files[0],
        "--share",
        &files[1],
        "--share",
        &files[2],
        "--as",
        "ana",
        "--reason",
        REASON,
        "--for",
        "10m",
        "--kubeconfig",
        kubeconfig,
    ]
}

fn files(dir: &str, first: u8, second: u8) -> [String; 3] {
    [
        format!("{dir}/prod.sealed"),
        format!("{dir}/prod.share-{first}"),
        format!("{dir}/prod.share-{second}"),
    ]
}

#[test]
fn two_of_three_shares_open_it_without_a_gate_and_the_next_seal_ends_it() {
    let place = Place::up("glass");
    place.seal("first");
    for path in ["first/prod.sealed", "first/prod.share-2"] {
        assert_private(&place.dir.path().join(path));
    }

    let tried = files("first", 1, 3);
    let said = place.ok(&[
        "drill", &tried[0], "--share", &tried[1], "--share", &tried[2], "--as", "bo",
    ]);
    assert!(said.contains("the way into prod works"), "{said}");
    let (_, drilled) = place.kubectl(
        place.cluster.kubeconfig.to_str().unwrap(),
        &[
            "get",
            "clusterrolebinding",
            "kubestile-break-glass",
            "-o",
            "jsonpath={.metadata.annotations}",
        ],
    );
    assert!(
        drilled.contains("kubestile.dev/break-glass-drilled"),
        "{drilled}"
    );

    let one = place.refused(&[
        "open", &tried[0], "--share", &tried[1], "--as", "ana", "--reason", REASON,
    ]);
    assert!(
        one.contains("2 different shares open it, and 1 were given"),
        "{one}"
    );
    place.ok(&opening(&files("first", 2, 3), "open.kubeconfig"));
    assert_private(&place.dir.path().join("open.kubeconfig"));
    let (_, me) = place.kubectl("open.kubeconfig", &["auth", "whoami"]);
    assert!(me.contains("kubestile-break-glass:person:ana"), "{me}");
    let (may, said) = place.kubectl("open.kubeconfig", &["create", "namespace", "mended"]);
    assert!(may, "{said}");
    written_first(
        &std::fs::read_to_string(place.dir.path().join("first/prod.sealed.log")).unwrap(),
    );

    place.seal("second");
    let (may, said) = place.kubectl("open.kubeconfig", &["get", "namespaces"]);
    assert!(
        !may && said.contains("forbidden"),
        "an opened one outlives its seal: {said}"
    );
    let old = place.refused(&opening(&files("first", 1, 2), "old.kubeconfig"));
    assert!(old.contains("is it the latest seal"), "{old}");
    place.ok(&opening(&files("second", 1, 2), "new.kubeconfig"));

    place.ok(&["unseal", "--yes"]);
    let (may, _) = place.kubectl("new.kubeconfig", &["get", "namespaces"]);
    assert!(!may);
}

/// The sealed user, had somebody opened the file by other means: short certificates of its own, and nothing else.
#[test]
fn what_is_sealed_is_limited_by_the_cluster() {
    let place = Place::up("glass-limits");
    place.seal("seal");
    let admin = place.cluster.kubeconfig.to_str().unwrap().to_owned();
    let (_, user) = place.kubectl(
        &admin,
        &[
            "get",
            "clusterrolebinding",
            "kubestile-break-glass-seal",
            "-o",
            "jsonpath={.subjects[0].name}",
        ],
    );
    let user = user.trim();
    assert!(user.starts_with("kubestile-break-glass:seal:"), "{user}");
    let as_seal = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--as", user]);
        place.kubectl(&admin, &all)
    };
    for (verb, resource, may) in [
        (
            "create",
            "certificatesigningrequests.certificates.k8s.io",
            true,
        ),
        ("list", "secrets", false),
        (
            "create",
            "clusterrolebindings.rbac.authorization.k8s.io",
            false,
        ),
        (
            "delete",
            "certificatesigningrequests.certificates.k8s.io",
            false,
        ),
    ] {
        assert_eq!(
            as_seal(&["auth", "can-i", verb, resource, "-A"]).0,
            may,
            "{verb} {resource}"
        );
    }
    for (name, seconds, may) in [
        ("short", Some(600), true),
        ("long", Some(90_000), false),
        ("ever", None, false),
    ] {
        let path = place.dir.path().join(format!("{name}.yaml"));
        std::fs::write(&path, request(name, seconds)).unwrap();
        let (made, said) = as_seal(&["create", "-f", path.to_str().unwrap()]);
        assert_eq!(made, may, "{name}: {said}");
        if !may {
            assert!(said.contains("8 hours at most"), "{said}");
        }
    }
    // Somebody else's request.
    let path = place.dir.path().join("theirs.yaml");
    std::fs::write(&path, request("theirs", Some(600))).unwrap();
    assert!(
        place
            .kubectl(&admin, &["create", "-f", path.to_str().unwrap()])
            .0
    );
    let (approved, said) = as_seal(&["certificate", "approve", "theirs"]);
    assert!(!approved && said.contains("its own requests"), "{said}");
    let (approved, said) = as_seal(&["certificate", "approve", "short"]);
    assert!(approved, "{said}");
}

fn request(name: &str, seconds: Option<u32>) -> String {
    let key = kubestile_authn::ClientKey::generate().unwrap();
    let csr = key.csr_pem_for("somebody", None).unwrap();
    let seconds = seconds.map_or_else(String::new, |s| format!("  expirationSeconds: {s}\n"));
    format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  \
         request: {}\n  signerName: kubernetes.io/kube-apiserver-client\n{seconds}  usages: [digital signature, client auth]\n",
        base64(csr.as_bytes())
    )
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn assert_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{}", path.display());
}

/// Each opening was written down before it was one, with its reason; the certificate after it.
fn written_first(log: &str) {
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let what: Vec<&str> = lines.iter().map(|l| l["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["opening", "drilled", "opening", "opened"]);
    assert_eq!(lines[2]["reason"], REASON);
    assert!(lines[2]["serial"].is_null() && lines[3]["serial"].as_str().unwrap().len() > 8);
}

/// The API server's log of a time without a gate, and the gate that takes it in.
struct Afterwards {
    place: Place,
    gate: Gate,
    from: String,
    until: String,
}

impl Afterwards {
    fn import(&self, more: &[&str]) -> Output {
        let file = self.file();
        let mut args = vec!["audit", "import", file.to_str().unwrap(), "--cluster", NAME];
        args.extend(["--from", &self.from, "--until", &self.until]);
        args.extend(["--reason", REASON, "--as", "ana", "-o", "json"]);
        args.extend(more);
        self.gate.admin(&args)
    }

    fn imported(&self, more: &[&str]) -> (Value, String) {
        let output = self.import(more);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        (serde_json::from_slice(&output.stdout).unwrap(), said)
    }

    fn search(&self, more: &[&str]) -> Vec<Value> {
        let mut args = vec!["audit", "search", "-o", "json"];
        args.extend(more);
        let found: Vec<Value> = serde_json::from_str(&self.gate.admin_ok(&args)).unwrap();
        found.into_iter().map(|f| f["record"].clone()).collect()
    }

    fn file(&self) -> std::path::PathBuf {
        self.place.dir.path().join("audit.log")
    }
}

fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.unwrap().as_micros();
    kubestile_core::Timestamp::from_micros(micros.try_into().unwrap()).rfc3339()
}

/// Somebody reads through the gate, and somebody goes past it with the opened way in.
fn afterwards() -> Afterwards {
    let place = Place::up("glass-import");
    place.seal("seal");
    let gate = Gate::start(&place.cluster);
    let from = now();
    let bo = gate.person("bo", &["viewer"]);
    let mut kubectl = place.cluster.kubectl();
    kubectl
        .env("HOME", bo.home())
        .env("KUBECONFIG", bo.kubeconfig());
    let read = kubectl
        .args(["get", "configmaps", "-n", "default"])
        .output();
    assert!(read.unwrap().status.success());
    place.ok(&opening(&files("seal", 1, 3), "open.kubeconfig"));
    let (made, said) = place.kubectl("open.kubeconfig", &["create", "namespace", "mended"]);
    assert!(made, "{said}");
    let text = eventually("the API server has written it down", || {
        let text = std::fs::read_to_string(&place.cluster.audit_log).unwrap();
        let made = |l: &&str| l.contains("\"create\"") && l.contains("\"name\":\"mended\"");
        text.lines().any(|l| made(&l)).then_some(text)
    });
    // The API server goes on writing to its own, and may be in the middle of a line.
    let (whole, _) = text.rsplit_once('\n').unwrap();
    std::fs::write(place.dir.path().join("audit.log"), format!("{whole}\n")).unwrap();
    Afterwards {
        until: now(),
        place,
        gate,
        from,
    }
}

#[test]
fn what_was_done_without_the_gate_is_imported_once_marked_and_found() {
    let after = afterwards();
    let (first, said) = after.imported(&[]);
    assert_eq!(first["change"], "ended", "{said}");
    assert!(
        first["records"].as_u64().unwrap() > 0
            && first["leftOut"]["throughGate"].as_u64().unwrap() > 0
    );
    let id = first["import"].as_str().unwrap().to_owned();

    let records = after.search(&["--import", &id]);
    let kinds: Vec<&str> = records
        .iter()
        .map(|r| r["kind"].as_str().unwrap())
        .collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("gap", "gap"));
    assert_eq!(kinds.len() as u64, first["records"].as_u64().unwrap() + 2);
    assert_eq!(records[0]["reason"], REASON);
    let sha256 = records[0]["sources"][0]["sha256"].as_str().unwrap();
    let sum = Command::new("sha256sum")
        .arg(after.file())
        .output()
        .unwrap();
    assert!(String::from_utf8(sum.stdout).unwrap().starts_with(sha256));

    let found = after.search(&[
        "--person",
        "ana",
        "--cluster",
        NAME,
        "--name",
        "mended",
        "--since",
        &after.from,
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["kind"], "imported");
    assert_eq!(found[0]["user"], "kubestile-break-glass:person:ana");
    assert_eq!(found[0]["kube"]["verb"], "create");
    assert_eq!(found[0]["status"], 201);
    let configmaps = after.search(&[
        "--import",
        &id,
        "--kind",
        "configmaps",
        "--namespace",
        "default",
    ]);
    assert!(
        configmaps
            .iter()
            .all(|r| !r["user"].as_str().unwrap().contains("kubestile-gate")),
        "the gate has its own record of it: {configmaps:?}"
    );
    let shown = after.gate.admin_ok(&["audit", "search", "--import", &id]);
    assert!(
        shown.contains("gap began") && shown.contains("gap ended") && shown.contains("imported"),
        "{shown}"
    );
    after.gate.admin_ok(&["audit", "verify"]);

    let twice = after.import(&[]);
    let said = String::from_utf8(twice.stderr).unwrap();
    assert!(
        !twice.status.success()
            && said.contains(&format!("import {id}"))
            && said.contains("--again"),
        "{said}"
    );
    let (again, said) = after.imported(&["--again"]);
    assert_eq!(again["records"], 0, "{said}");
    assert_eq!(again["after"], id);
    changed_and_cut(&after);
}

/// A line more, of somebody who wants to steer the auditor's terminal, and the last one cut.
fn changed_and_cut(after: &Afterwards) {
    let file = after.file();
    let text = std::fs::read_to_string(&file).unwrap();
    let made = text
        .lines()
        .find(|l| l.contains("\"create\"") && l.contains("\"name\":\"mended\""));
    let mut hostile: Value = serde_json::from_str(made.unwrap()).unwrap();
    hostile["user"]["username"] = "eve\u{1b}[2J\u{202e}".into();
    hostile["kind"] = "Event".into();
    let (cut, _) = made.unwrap().split_at(100);
    std::fs::write(&file, format!("{text}{hostile}\n{cut}")).unwrap();
    let (third, said) = after.imported(&[]);
    assert!(said.contains("`audit.log` is not what it was"), "{said}");
    assert!(
        said.contains("audit.log: 1 of ") && said.contains("not understood"),
        "{said}"
    );
    assert_eq!(third["records"], 1, "{said}");
    assert_eq!(third["leftOut"]["malformed"], 1);
    let shown = after.gate.admin_ok(&[
        "audit",
        "search",
        "--import",
        third["import"].as_str().unwrap(),
    ]);
    assert!(
        shown.contains("eve") && !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
        "{shown}"
    );
    after.gate.admin_ok(&["audit", "verify"]);
}
