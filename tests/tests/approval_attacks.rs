//! What somebody may try to get past an approval, each against the real gate and a real Kubernetes: an
//! approval lets exactly what was approved pass, from the login that asked, once it is judged again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use kubestile_tests::raw::{Answer, Raw};
use kubestile_tests::{Field, Gate, Person, cluster, eventually};
use serde_json::{Value, json};

/// A gate that refuses at once and lets the same request pass once approved: the easiest to replay at.
fn refusing() -> Field {
    Field::of(Gate::start_with(cluster(), &["--hold", "refuse"]))
}

/// Deletes a config map as this person, with exactly these bytes; a path is below the cluster's.
fn delete(field: &Field, person: &Person, target: &str, headers: &str, body: &str) -> Answer {
    let (certificate, key) = person.identity();
    let gate = &field.gate;
    let mut raw = Raw::connect(gate.address(), &gate.ca(), Some((&certificate, &key)));
    let head = format!(
        "DELETE {target} HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw.send(head.as_bytes());
    raw.answer()
}

fn path(cluster: &str, name: &str) -> String {
    format!("/clusters/{cluster}/api/v1/namespaces/shop/configmaps/{name}")
}

/// The answer is a refusal that names another access request than this one.
fn is_asked_anew(answer: &Answer, request: &Value) {
    let text = answer.text();
    assert_eq!(answer.status, 403, "{text}");
    assert!(text.contains("approval required"), "{text}");
    let id = request["id"].as_str().unwrap();
    assert!(
        !text.contains(id),
        "the approved request is not this one: {text}"
    );
}

const BODY: &str = r#"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}"#;

#[test]
fn an_approval_is_of_exactly_these_bytes() {
    let field = refusing();
    field.config_map("bytes");
    field.config_map("bytes-2");
    let target = path("dev", "bytes");
    let run = "Kubectl-Session: 6f9619ff-8b86-d011-b42d-00c04fc964ff\r\n";
    let first = delete(&field, &field.ana, &target, run, BODY);
    assert_eq!(first.status, 403, "{}", first.text());
    let request = field.waiting();
    assert_eq!(field.approve(&field.bob, &request).0, 200);

    let swapped = BODY.replace("Background", "Orphan");
    let query = format!("{target}?gracePeriodSeconds=0");
    let other = path("dev", "bytes-2");
    let spaced = BODY.replace(":", ": ");
    for (target, headers, body) in [
        (&target, run, swapped.as_str()),
        (&target, run, spaced.as_str()),
        (&target, run, ""),
        (&query, run, BODY),
        (&other, run, BODY),
    ] {
        let answer = delete(&field, &field.ana, target, headers, body);
        is_asked_anew(&answer, &request);
    }
    // What names it otherwise is not what was approved, or is refused outright.
    let kind = "Content-Type: application/yaml\r\n";
    let answer = delete(&field, &field.ana, &target, kind, BODY);
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    assert!(field.exists("bytes") && field.exists("bytes-2"));

    let same = delete(&field, &field.ana, &target, run, BODY);
    assert_eq!(same.status, 200, "{}", same.text());
    assert!(!field.exists("bytes") && field.exists("bytes-2"));
}

#[test]
fn an_approval_used_once_does_not_touch_what_comes_after_it() {
    let field = refusing();
    field.config_map("replay");
    let target = path("dev", "replay");
    delete(&field, &field.ana, &target, "", BODY);
    let request = field.waiting();
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    assert_eq!(delete(&field, &field.ana, &target, "", BODY).status, 200);
    field.config_map("replay");
    let again = delete(&field, &field.ana, &target, "", BODY);
    assert!(
        again.status == 403 || again.status == 409,
        "{}",
        again.text()
    );
    assert!(field.exists("replay"), "the new one stands");
    // Nor does the answer count twice.
    assert_eq!(field.approve(&field.bob, &request).0, 409);
    let deny = json!({"reason": "on second thoughts"});
    assert_eq!(field.answer(&field.bob, &request, "deny", &deny).0, 409);
}

#[test]
fn an_approval_is_for_the_login_that_asked() {
    let field = refusing();
    field.config_map("login");
    let carl = field.gate.person("carl", &["viewer"]);
    let elsewhere = field.gate.again("ana");
    // The widest answer that there is, and its very invocation claimed by others.
    let run = "Kubectl-Command: kubectl delete\r\n\
               Kubectl-Session: 0a0c7e5e-0000-4000-8000-000000000001\r\n";
    let target = path("dev", "login");
    delete(&field, &field.ana, &target, run, BODY);
    let request = field.waiting();
    let wide = json!({"digest": request["digest"], "commandSeconds": 300});
    assert_eq!(field.answer(&field.bob, &request, "approve", &wide).0, 200);
    for thief in [&carl, &elsewhere] {
        let answer = delete(&field, thief, &target, run, BODY);
        is_asked_anew(&answer, &request);
    }
    // Herself in the same command, but of another kind or in another place.
    field.config_map("login-2");
    let secret = "/clusters/dev/api/v1/namespaces/shop/secrets/none";
    let bank = "/clusters/dev/api/v1/namespaces/bank/configmaps/none";
    for target in [secret, bank] {
        let answer = delete(&field, &field.ana, target, run, BODY);
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
    }
    let forged = "Kubectl-Command: kubectl delete\r\n\
                  Kubectl-Session: 0a0c7e5e-0000-4000-8000-000000000002\r\n";
    let other = path("dev", "login-2");
    is_asked_anew(&delete(&field, &field.ana, &other, forged, BODY), &request);
    assert!(field.exists("login") && field.exists("login-2"));
    let rest = delete(&field, &field.ana, &other, run, BODY);
    assert_eq!(rest.status, 200, "the rest of the command: {}", rest.text());
}

#[test]
fn nobody_approves_their_own_request_from_a_second_login() {
    let field = Field::new();
    field.config_map("own");
    field
        .gate
        .admin_ok(&["people", "functions", "ana", "viewer", "approver"]);
    let second = field.gate.again("ana");
    let held = field
        .ana
        .start(&["delete", "configmap", "own", "-n", "shop"]);
    let request = field.waiting();
    for login in [&second, &field.ana] {
        let (status, said) = field.approve(login, &request);
        assert!(status == 403 || status == 409, "{status} {said}");
    }
    let id = request["id"].as_str().unwrap();
    let typed = second
        .kubestile()
        .args(["approve", id, "--yes"])
        .output()
        .unwrap();
    assert!(!typed.status.success(), "{typed:?}");
    assert_eq!(field.waiting()["id"], request["id"], "it still waits");
    assert!(field.exists("own"));
    held.give_up();
}

#[test]
fn an_approval_for_one_cluster_is_none_for_another() {
    let gate = Gate::start(cluster());
    let context = cluster()
        .kubectl()
        .args(["config", "current-context"])
        .output()
        .unwrap();
    let context = String::from_utf8(context.stdout).unwrap();
    // The same Kubernetes under another name: all else is the same.
    let config = format!(
        "clusters: [{{name: other, kubeconfig: {}, context: {}}}]\n\
         accounts: {{serveDespiteExcessRights: [other]}}\nholds: {{mode: refuse}}",
        cluster().kubeconfig.display(),
        context.trim()
    );
    let field = Field::of(gate.restart_with_config(&config));
    field.config_map("swapped");
    eventually("the other one is served", || {
        let (status, text) = kubestile_tests::raw::plain_get(&field.gate.health, "/readyz")?;
        (status == 200 && text.contains("[!] cluster other")).then_some(())
    });
    delete(&field, &field.ana, &path("dev", "swapped"), "", BODY);
    let request = field.waiting();
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let answer = delete(&field, &field.ana, &path("other", "swapped"), "", BODY);
    is_asked_anew(&answer, &request);
    assert!(field.exists("swapped"));
    let asked = delete(&field, &field.ana, &path("dev", "swapped"), "", BODY);
    assert_eq!(asked.status, 200, "{}", asked.text());
}

/// What the requester, or the policies, have lost while it waited is lost whatever was approved.
#[test]
fn a_requester_who_lost_everything_meanwhile_gets_nothing() {
    let field = Field::new();
    field.config_map("lost");
    let held = field
        .ana
        .start(&["delete", "configmap", "lost", "-n", "shop"]);
    let request = field.waiting();
    field
        .gate
        .admin_ok(&["people", "functions", "ana", "--none"]);
    field.approve(&field.bob, &request);
    let (code, said) = held.ended();
    assert_eq!(code, 1, "{said}");
    assert!(field.exists("lost"), "{said}");
}

#[test]
fn a_policy_that_came_meanwhile_counts() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().to_str().unwrap();
    let flags = ["--hold", "wait", "--policies", policies];
    let field = Field::of(Gate::start_with(cluster(), &flags));
    field.config_map("frozen");
    let held = field
        .ana
        .start(&["delete", "configmap", "frozen", "-n", "shop"]);
    let request = field.waiting();
    let freeze = "@id(\"freeze\")\n@reason(\"nothing is deleted during the sale\")\n\
                  forbid(principal, action == Action::\"delete\", resource);\n";
    let loaded = field.gate.log().matches("policies loaded").count();
    std::fs::write(dir.path().join("freeze.cedar"), freeze).unwrap();
    eventually("the policy is loaded", || {
        (field.gate.log().matches("policies loaded").count() > loaded).then_some(())
    });
    let (status, approved) = field.approve(&field.bob, &request);
    assert_eq!(status, 200, "{approved}");
    let (code, said) = held.ended();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("nothing is deleted during the sale"),
        "{said}"
    );
    assert!(field.exists("frozen"));
}
