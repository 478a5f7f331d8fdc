//! The labelled corpus: for every control that a snapshot decides, cases that are findings and cases
//! that are none, each a few lines away from a stock kubeadm cluster. The labels are ours, written from
//! what Kubernetes does with such objects. Prints precision and recall per control.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, and its table is what it is for"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kubestile_assess::exception::Exceptions;
use kubestile_assess::facts::Facts;
use kubestile_assess::report;
use kubestile_assess::traffic::event::{Event, Target, Who};
use kubestile_assess::traffic::{Traffic, fold};
use kubestile_assess::{Outcome, Snapshot, assess};
use serde_json::{Value, json};

const STOCK: &str = include_str!("../testdata/kubeadm-1.36.json");

/// Controls that nothing in a cluster, its files or its log decides in both directions, each with why.
const UNDECIDED: &[(&str, &str)] = &[
    (
        "S4-10",
        "decided by a running gate alone, and then only in one direction",
    ),
    ("S4-13", "who changes policies, a gate knows"),
];

struct Case {
    control: String,
    name: String,
    expected: Outcome,
    snapshot: Value,
    /// What an audit log tells, a line each.
    events: Vec<String>,
}

fn stock() -> Value {
    serde_json::from_str(STOCK).unwrap()
}

fn cases() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/corpus");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut control = String::new();
        for line in text.lines() {
            if let Some(id) = line.strip_prefix("## ") {
                control = id.split(' ').next().unwrap().to_owned();
            } else if let Some((word, name)) = line.split_once(": ")
                && !line.starts_with([' ', '#'])
            {
                let expected = match word {
                    "fail" => Outcome::Fail,
                    "pass" => Outcome::Pass,
                    "unknown" => Outcome::Unknown,
                    "n/a" => Outcome::NotApplicable,
                    other => panic!("{}: `{other}`", file.display()),
                };
                cases.push(Case {
                    control: control.clone(),
                    name: name.to_owned(),
                    expected,
                    snapshot: stock(),
                    events: Vec::new(),
                });
            } else if let Some(event) = line.strip_prefix("  event ") {
                cases.last_mut().unwrap().events.push(event.to_owned());
            } else if let Some(step) = line.strip_prefix("  ") {
                apply(&mut cases.last_mut().unwrap().snapshot, step);
            }
        }
    }
    for case in &mut cases {
        if !case.events.is_empty() {
            let now = case.snapshot["taken"].as_i64().unwrap();
            let gate_log = case.events.iter().any(|e| e.contains("gate=known"));
            let traffic = traffic(&case.events, now, gate_log);
            case.snapshot["traffic"] = json!({ "known": traffic });
        }
    }
    cases
}

/// Seconds of `30d`, `12h`, `5m`.
fn seconds(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: i64 = number.parse().unwrap();
    number
        * [("d", 86_400), ("h", 3_600), ("m", 60)]
            .iter()
            .find(|(u, _)| *u == unit)
            .unwrap()
            .1
}

/// Counts events as a log would tell them: `WHO VERB [GROUP:]RESOURCE[/SUB] NAMESPACE NAME key=value…`, `-` for none.
/// `at` says how long before the snapshot; with `every`, again and again from there to `to`.
fn traffic(lines: &[String], now: i64, gate_log: bool) -> Traffic {
    let mut options = fold::Options::default();
    if gate_log {
        let known = std::collections::HashSet::from([options.request_hash("known")]);
        options.of_gate = Some(std::sync::Arc::new(known));
    }
    let mut fold = fold::Fold::new(options);
    let mut seen = std::collections::HashSet::new();
    let mut ids = 0_u32;
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [who, verb, what, namespace, name, ..] = words[..] else {
            panic!("{line}")
        };
        let dash = |w: &'static str, word| if word == "-" { w } else { word };
        let keys: BTreeMap<&str, &str> = words[5..]
            .iter()
            .map(|w| w.split_once('=').unwrap())
            .collect();
        let key = |k: &str| keys.get(k).copied().unwrap_or_default();
        let (group, what) = what.split_once(':').unwrap_or(("", what));
        let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
        let (mut at, to) = (
            seconds(keys["at"]),
            keys.get("to").map_or(0, |t| seconds(t)),
        );
        let user = Who {
            name: who,
            groups: key("groups").split(',').filter(|g| !g.is_empty()).collect(),
            credential: key("with"),
            of_pod: keys.contains_key("pod"),
            legacy: keys.contains_key("legacy"),
            policy: key("policy"),
            ..Who::default()
        };
        let (user, impersonated) = match keys.get("gate") {
            None => (user, None),
            Some(request) => (
                Who {
                    name: "system:serviceaccount:kubestile-system:kubestile-gate",
                    credential: "JTI=gate",
                    ..Who::default()
                },
                Some(Who { request, ..user }),
            ),
        };
        loop {
            ids += 1;
            let id = ids.to_string();
            let event = Event {
                id: &id,
                at: Some(now - at * 1_000_000),
                stage: "ResponseComplete",
                uri: "",
                verb,
                target: Target::Resource {
                    group,
                    resource,
                    subresource,
                    namespace: dash("", namespace),
                    name: dash("", name),
                },
                user: user.clone(),
                impersonated: impersonated.clone(),
                address: if key("from").is_empty() {
                    "10.0.0.7"
                } else {
                    key("from")
                },
                agent: match key("agent") {
                    "" => "kubectl/v1.36.0 (linux/amd64) kubernetes/abc",
                    agent => agent,
                },
                code: keys.get("code").map_or(200, |c| c.parse().unwrap()),
                authorized: Some(key("code") != "403"),
                command: None,
            };
            fold.add(&event, &mut |hash| seen.insert(hash));
            let Some(every) = keys.get("every") else {
                break;
            };
            at -= seconds(every);
            if at < to {
                break;
            }
        }
    }
    fold.finish(Vec::new())
}

fn push(snapshot: &mut Value, place: &str, item: Value) {
    let list = snapshot
        .pointer_mut(place)
        .unwrap_or_else(|| panic!("{place}"));
    list.as_array_mut().unwrap().push(item);
}

fn list(words: &str) -> Value {
    let items = words.split(',').map(|w| if w == "core" { "" } else { w });
    json!(items.collect::<Vec<_>>())
}

fn subjects(words: &[&str]) -> Value {
    let subject = |word: &&str| match word.split('/').collect::<Vec<_>>().as_slice() {
        ["sa", namespace, name] => {
            json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
        }
        ["user", name] => json!({ "kind": "User", "name": name }),
        ["group", name] => json!({ "kind": "Group", "name": name }),
        _ => panic!("{word}"),
    };
    words.iter().map(subject).collect()
}

fn rule(words: &[&str]) -> Value {
    json!({
        "verbs": list(words[0]),
        "apiGroups": list(words[1]),
        "resources": list(words[2]),
        "resourceNames": words.get(3).map_or(json!([]), |w| list(w)),
    })
}

/// One step away from stock.
fn apply(snapshot: &mut Value, step: &str) {
    let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
    let words: Vec<&str> = rest.split(' ').collect();
    match word {
        // clusterrole NAME VERBS GROUPS RESOURCES [NAMES]; again for a further rule
        "clusterrole" => add_rule(snapshot, "/rbac/clusterRoles/known", "", &words),
        // role NAMESPACE NAME VERBS GROUPS RESOURCES [NAMES]
        "role" => add_rule(snapshot, "/rbac/roles/known", words[0], &words[1..]),
        // crb NAME ROLE SUBJECT…
        "crb" => {
            let binding = json!({
                "metadata": { "name": words[0] },
                "roleRef": { "kind": "ClusterRole", "name": words[1] },
                "subjects": subjects(&words[2..]),
            });
            push(snapshot, "/rbac/clusterRoleBindings/known", binding);
        }
        // rb NAMESPACE NAME ROLE SUBJECT…, where a ROLE may be `Role/x`
        "rb" => {
            let (kind, role) = match words[2].strip_prefix("Role/") {
                Some(role) => ("Role", role),
                None => ("ClusterRole", words[2]),
            };
            let binding = json!({
                "metadata": { "namespace": words[0], "name": words[1] },
                "roleRef": { "kind": kind, "name": role },
                "subjects": subjects(&words[3..]),
            });
            push(snapshot, "/rbac/roleBindings/known", binding);
        }
        "account" => {
            let account = json!({
                "metadata": { "namespace": words[0], "name": words[1] },
                "automountServiceAccountToken": words.get(2).map(|w| *w == "true"),
            });
            push(snapshot, "/serviceAccounts/known", account);
        }
        "flag" => {
            let (name, value) = rest.split_once('=').unwrap();
            let flag = json!({ "name": name, "value": value, "line": 99 });
            push(snapshot, "/controlPlane/apiServer/known/flags", flag);
        }
        // A credential in place of the kubeconfig's.
        "credential" => {
            let credential: Value = serde_json::from_str(rest).unwrap();
            *snapshot
                .pointer_mut("/machine/kubeconfigs/known/0/users/0/credentials")
                .unwrap() = json!([credential]);
        }
        // A whole map from AWS's identities.
        "aws-auth" => {
            snapshot["awsAuth"] = json!({ "known": serde_json::from_str::<Value>(rest).unwrap() });
        }
        // Another provider's cluster, of which nobody sees the control plane.
        "of" => {
            snapshot["cluster"]["distribution"] = json!(words[0]);
            let hidden = json!({ "absent": { "why": "hidden", "text": "the provider's" } });
            for part in [
                "apiServer",
                "authentication",
                "authorization",
                "auditPolicy",
            ] {
                snapshot["controlPlane"][part] = hidden.clone();
            }
        }
        // A configuration file: authentication, authorization or auditPolicy.
        "config" => {
            let content: Value = serde_json::from_str(&words[1..].join(" ")).unwrap();
            snapshot["controlPlane"][words[0]] = json!({ "known": { "place": "/etc/kubernetes/x.yaml", "proved": true, "content": content } });
            let flag = match words[0] {
                "authentication" => "authentication-config",
                "authorization" => "authorization-config",
                _ => "audit-policy-file",
            };
            apply(snapshot, &format!("flag {flag}=/etc/kubernetes/x.yaml"));
        }
        // A gate that serves this cluster, with these facts of its own.
        "gate" => {
            let facts: Value = serde_json::from_str(rest).unwrap();
            let server = snapshot["cluster"]["server"].clone();
            let mut facts = facts;
            if let Some(cluster) = facts.get("clusters").and_then(|c| c.get(0)) {
                let mut cluster = cluster.clone();
                cluster["server"] = server.clone();
                facts["clusters"] = json!([cluster]);
            }
            snapshot["gate"] = json!({ "known": {
                "clusters": [{ "name": "c", "server": server, "served": true }],
                "facts": facts,
            } });
        }
        // A sealed way in, and when it was last tried.
        "sealed" => {
            let mut meta = json!({ "name": "kubestile-break-glass" });
            if !rest.is_empty() {
                meta["annotations"] = json!({ "kubestile.dev/break-glass-drilled": rest, "other": { "not": "kept" } });
            }
            let binding = json!({
                "metadata": meta,
                "roleRef": { "kind": "ClusterRole", "name": "cluster-admin" },
                "subjects": [{ "kind": "Group", "name": "kubestile-break-glass:opened:00112233" }],
            });
            push(snapshot, "/rbac/clusterRoleBindings/known", binding);
        }
        // The latest requests in that gate's log.
        "requests" => {
            let requests: Value = serde_json::from_str(rest).unwrap();
            apply(snapshot, "gate {}");
            snapshot["gate"]["known"]["log"] =
                json!({ "size": 9, "verified": true, "requests": requests });
        }
        "add" => push(
            snapshot,
            words[0],
            serde_json::from_str(&words[1..].join(" ")).unwrap(),
        ),
        "set" => {
            let value: Value = serde_json::from_str(&words[1..].join(" ")).unwrap();
            let (parent, key) = words[0].rsplit_once('/').unwrap();
            let parent = snapshot
                .pointer_mut(parent)
                .unwrap_or_else(|| panic!("{parent}"));
            match parent {
                Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
                parent => parent[key] = value,
            }
        }
        other => panic!("there is no step `{other}`"),
    }
}

fn add_rule(snapshot: &mut Value, place: &str, namespace: &str, words: &[&str]) {
    let roles = snapshot.pointer_mut(place).unwrap().as_array_mut().unwrap();
    let meta = json!({ "name": words[0], "namespace": namespace });
    let same = |r: &&mut Value| {
        r["metadata"]["name"] == words[0]
            && r["metadata"]["namespace"].as_str().unwrap_or("") == namespace
    };
    match roles.iter_mut().find(same) {
        Some(role) => role["rules"]
            .as_array_mut()
            .unwrap()
            .push(rule(&words[1..])),
        None => roles.push(json!({ "metadata": meta, "rules": [rule(&words[1..])] })),
    }
}

fn judged(snapshot: &Value) -> kubestile_assess::Assessment {
    let snapshot = Snapshot::from_json(snapshot.to_string().as_bytes()).unwrap();
    assess(&snapshot, &Exceptions::default())
}

#[derive(Default)]
struct Score {
    hits: u32,
    misses: u32,
    false_alarms: u32,
    right_silences: u32,
}

#[test]
fn every_label_holds_and_every_decided_control_has_three_of_each() {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let snapshot = Snapshot::from_json(case.snapshot.to_string().as_bytes()).unwrap();
        let control = kubestile_assess::catalog::control(&case.control).unwrap();
        let verdict = control.judge(&Facts::new(&snapshot));
        let score = scores.entry(case.control.clone()).or_default();
        match (
            case.expected == Outcome::Fail,
            verdict.outcome == Outcome::Fail,
        ) {
            (true, true) => score.hits += 1,
            (true, false) => score.misses += 1,
            (false, true) => score.false_alarms += 1,
            (false, false) => score.right_silences += 1,
        }
        if verdict.outcome != case.expected {
            wrong.push(format!("{} `{}`: {verdict:?}", case.control, case.name));
        }
        let told = !verdict.evidence.is_empty() && verdict.fix.is_some();
        if verdict.outcome == Outcome::Fail && !told {
            wrong.push(format!(
                "{} `{}` has no evidence or no fix: {verdict:?}",
                case.control, case.name
            ));
        }
    }
    println!("control  findings  others  precision  recall");
    for (control, s) in &scores {
        let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        println!(
            "{control}    {:>8}  {:>6}  {:>9.2}  {:>6.2}",
            s.hits + s.misses,
            s.false_alarms + s.right_silences,
            share(s.hits, s.hits + s.false_alarms),
            share(s.hits, s.hits + s.misses)
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for control in kubestile_assess::catalog::controls() {
        let enough = scores
            .get(control.id)
            .is_some_and(|s| s.hits >= 3 && s.right_silences >= 3);
        assert!(
            enough
                != UNDECIDED
                    .iter()
                    .any(|(id, why)| *id == control.id && !why.is_empty()),
            "{}: three findings and three others, or a place among the undecided with its reason",
            control.id
        );
    }
}

#[test]
fn a_stock_kubeadm_cluster_raises_no_false_alarm() {
    let assessment = judged(&stock());
    let shown = report::first(&assessment, 10);
    let ids: Vec<&str> = shown.iter().map(|f| f.control.as_str()).collect();
    // Each of these is true of every fresh kubeadm cluster.
    let is_true = [
        "S0-13", "S1-01", "S1-07", "S1-11", "S1-12", "S2-23", "S3-01", "S3-02", "S3-03", "S3-05",
        "S3-08", "S3-13",
    ];
    for id in &ids {
        assert!(is_true.contains(id), "{id} of {ids:?}");
    }
    // Nothing that RBAC decides fails, beside tokens that are mounted by default.
    for finding in assessment.findings.iter().filter(|f| f.stage.number() == 2) {
        let fails = finding.verdict.outcome == Outcome::Fail;
        assert!(!fails || finding.control == "S2-23", "{finding:?}");
    }
}

/// What each provider's fresh cluster has, and what is true of it.
const PROFILES: &[(&str, &str)] = &[
    ("eks", include_str!("../testdata/eks-1.33.json")),
    ("gke", include_str!("../testdata/gke-1.33.json")),
    ("aks", include_str!("../testdata/aks-1.33.json")),
    ("k3s", include_str!("../testdata/k3s-1.33.json")),
];

#[test]
fn a_stock_cluster_of_a_provider_is_no_noise() {
    for (name, text) in PROFILES {
        let stock: Value = serde_json::from_str(text).unwrap();
        let assessment = judged(&stock);
        for finding in report::first(&assessment, 10) {
            for evidence in &finding.verdict.evidence {
                let of_people = evidence.object.starts_with("namespace/default");
                let binding =
                    evidence.object.contains("binding/") || evidence.object.contains("role/");
                assert!(of_people || !binding, "{name}: {finding:?}");
            }
        }
        for finding in assessment
            .findings
            .iter()
            .filter(|f| f.verdict.outcome == Outcome::Fail)
        {
            let flags = finding
                .verdict
                .evidence
                .iter()
                .any(|e| e.field.starts_with("--"));
            assert!(!flags, "{name}: what nobody can see fails: {finding:?}");
            assert!(
                finding.stage.number() != 2 || finding.control == "S2-23",
                "{name}: {finding:?}"
            );
        }
    }
}

/// The name of something stock makes nothing stock.
#[test]
fn a_stock_name_with_another_subject_or_role_is_a_finding() {
    let bindings = [
        ("eks", "eks:addon-manager"),
        ("gke", "gce:cloud-provider"),
        ("aks", "system:azure-cloud-provider"),
        ("k3s", "local-path-provisioner-bind"),
    ];
    for ((name, text), (of, binding)) in PROFILES.iter().zip(bindings) {
        assert_eq!(*name, of);
        let outcome = |snapshot: &Value, control: &str| {
            judged(snapshot).finding(control).unwrap().verdict.outcome
        };
        // Three people behind the provider's name.
        let mut hostile: Value = serde_json::from_str(text).unwrap();
        assert_eq!(outcome(&hostile, "S0-11"), Outcome::Pass, "{name}");
        let list = hostile["rbac"]["clusterRoleBindings"]["known"]
            .as_array_mut()
            .unwrap();
        let found = list
            .iter_mut()
            .find(|b| b["metadata"]["name"] == binding)
            .unwrap();
        let role = found["roleRef"]["name"].as_str().unwrap().to_owned();
        found["subjects"] = subjects(&["user/mallory", "user/eve", "user/trent"]);
        found["roleRef"]["name"] = json!("cluster-admin");
        assert_eq!(
            outcome(&hostile, "S0-11"),
            Outcome::Fail,
            "{name}: another role"
        );
        // The provider's own subjects and one more, with the provider's own role, which now reads Secrets.
        let mut hostile: Value = serde_json::from_str(text).unwrap();
        let roles = hostile["rbac"]["clusterRoles"]["known"]
            .as_array_mut()
            .unwrap();
        let found = roles
            .iter_mut()
            .find(|r| r["metadata"]["name"] == *role)
            .unwrap();
        found["rules"]
            .as_array_mut()
            .unwrap()
            .push(rule(&["get,list", "core", "secrets"]));
        assert_eq!(outcome(&hostile, "S2-04"), Outcome::Pass, "{name}");
        let list = hostile["rbac"]["clusterRoleBindings"]["known"]
            .as_array_mut()
            .unwrap();
        let found = list
            .iter_mut()
            .find(|b| b["metadata"]["name"] == binding)
            .unwrap();
        found["subjects"]
            .as_array_mut()
            .unwrap()
            .push(subjects(&["user/mallory"])[0].clone());
        assert_eq!(
            outcome(&hostile, "S2-04"),
            Outcome::Fail,
            "{name}: another subject"
        );
    }
}

/// The words of a command as a POSIX shell splits them; none if a quote stays open. Operators stay words.
fn shell(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if !quoted => word.get_or_insert_default().push(chars.next()?),
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

/// Whether a reader may paste it into a shell: a program that is known, with what that program takes.
fn can_be_run(command: &str) -> bool {
    let Some(words) = shell(command) else {
        return false;
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["kubectl", "delete" | "edit", kind, name] => !kind.is_empty() && !name.is_empty(),
        ["kubectl", "delete" | "edit", _, _, "-n", namespace] => !namespace.is_empty(),
        ["kubectl", "label", "--overwrite", _, _, label, ..] => label.contains('='),
        ["kubectl", "patch", _, name, more @ ..] => {
            let patch = match more {
                ["-n", _, "--type=json" | "--type=merge", "-p", patch]
                | ["--type=json" | "--type=merge", "-p", patch] => patch,
                _ => return false,
            };
            !name.is_empty() && serde_json::from_str::<Value>(patch).is_ok()
        }
        [
            "kubectl",
            "config",
            "--kubeconfig",
            file,
            "delete-user",
            user,
        ] => !file.is_empty() && !user.is_empty(),
        ["kubectl", "get", "secrets", "-A", "--field-selector", _] => true,
        ["kubectl", "config", "set-cluster", ..] => true,
        ["chmod", mode, path] => *mode == "600" && !path.is_empty(),
        ["chmod", "-R", "go-w", "POLICIES"] => true,
        ["sudoedit", path] => path.starts_with('/'),
        ["${EDITOR:-vi}", path] => !path.is_empty(),
        ["printf", r"%s\n", .., ">" | ">>", to] => {
            to.starts_with("POLICIES/") || to.ends_with("kuberc")
        }
        ["kubeadm", "kubeconfig", "user", ..]
        | ["sudo", "iptables", ..]
        | ["aws", "eks", "update-cluster-config", ..]
        | ["gcloud", "container", "clusters", "update", ..]
        | ["az", "aks", "update", ..]
        | ["stratus", "detonate", _] => true,
        ["kubestile", ..] => true,
        _ => false,
    }
}

/// The commands of our own are in `testdata/commands.txt`, which `crates/cli` parses by the program's definitions.
/// `UPDATE=1 cargo test --workspace --test corpus` writes it anew.
#[test]
fn each_of_the_first_findings_says_where_it_is_and_the_one_command_to_run() {
    let mut ours = BTreeSet::new();
    let mut wrong = BTreeSet::new();
    for case in cases().iter().filter(|c| c.expected == Outcome::Fail) {
        let assessment = judged(&case.snapshot);
        for finding in report::first(&assessment, report::FIRST) {
            let place = finding.verdict.evidence.first().map(|e| e.place());
            if place.is_none_or(|p| p.trim().is_empty()) {
                wrong.insert(format!("{} has no place: {}", finding.control, case.name));
            }
            if report::command(finding).starts_with("kubestile advance plan") {
                wrong.insert(format!("{} has no command of its own", finding.control));
            }
        }
        for finding in assessment.failures() {
            let command = report::command(finding);
            if !can_be_run(&command) || command.contains('\n') {
                wrong.insert(format!("{}: `{command}`", finding.control));
            }
            let changes = finding.verdict.fix.iter().flat_map(|f| &f.changes);
            for change in changes.filter(|c| c.runs()) {
                let command = change.command();
                if !can_be_run(&command) {
                    wrong.insert(format!("{}: `{command}`", finding.control));
                }
            }
            if command.starts_with("kubestile ") {
                ours.insert(command);
            }
        }
    }
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let text: String = ours.iter().map(|c| format!("{c}\n")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/commands.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn what_is_missing_makes_unknown_and_never_a_pass() {
    let whole = judged(&stock());
    for place in [
        "/rbac/clusterRoles",
        "/rbac/clusterRoleBindings",
        "/rbac/roles",
        "/rbac/roleBindings",
        "/serviceAccounts",
        "/tokenSecrets",
        "/csrs",
        "/admission/webhooks",
        "/admission/policies",
        "/admission/policyBindings",
        "/namespaces",
        "/controlPlane/apiServer",
        "/machine/kubeconfigs",
    ] {
        let mut snapshot = stock();
        *snapshot.pointer_mut(place).unwrap() =
            json!({ "absent": { "why": "forbidden", "text": format!("no right to {place}") } });
        let partial = judged(&snapshot);
        let mut lost = 0;
        for (before, after) in whole.findings.iter().zip(&partial.findings) {
            let (b, a) = (before.verdict.outcome, after.verdict.outcome);
            assert!(
                a != Outcome::Pass || b == Outcome::Pass,
                "{place}: {}",
                after.control
            );
            lost += u32::from(b != Outcome::Unknown && a == Outcome::Unknown);
        }
        assert!(lost > 0, "{place} decides nothing");
    }
}
