//! What needs an approval waits in the client's own terminal until somebody else approves exactly it; and
//! rights that exist only while a grant lives. With the real kubectl against a real Kubernetes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use kubestile_tests::gate::{NAME, Waiting};
use kubestile_tests::{Field, Gate, cluster, eventually};
use serde_json::{Value, json};

#[test]
fn a_command_waits_and_goes_on_by_itself_once_approved() {
    let field = Field::new();
    field.config_map("waits");
    let delete = field
        .ana
        .start(&["delete", "configmap", "waits", "-n", "shop"]);
    let request = field.waiting();
    assert_eq!(request["requester"], "ana");
    assert_eq!(request["what"], "kubectl delete configmaps/waits -n shop");
    assert_eq!(request["risk"], "R3");
    assert_eq!(
        request["impact"]["summary"],
        "nothing else is deleted with it"
    );
    assert!(field.exists("waits"), "nothing is forwarded before");

    // An approver works as everybody does; what only the gate knows does not go upstream.
    field.bob.ok(&["get", "pods", "-n", "shop"]);
    // Nobody but bob may, and bob only for what he was shown.
    let (status, own) = field.approve(&field.ana, &request);
    assert_eq!(status, 403, "{own}");
    let wrong = json!({"digest": "0".repeat(64)});
    let (status, other) = field.answer(&field.bob, &request, "approve", &wrong);
    assert_eq!(status, 409, "{other}");
    assert!(field.exists("waits"));

    let (status, approved) = field.approve(&field.bob, &request);
    assert_eq!(
        (status, &approved["state"]),
        (200, &json!("approved")),
        "{approved}"
    );
    let (code, said) = delete.ended();
    assert_eq!((code, said.contains("deleted")), (0, true), "{said}");
    assert!(!field.exists("waits"));
    let id = request["id"].as_str().unwrap();
    let story = eventually("the story is in the log", || {
        let text = field
            .gate
            .admin_ok(&["audit", "search", "--access", id, "-o", "json"]);
        let told = ["\"requested\"", "\"approved\"", "\"allow\""];
        told.iter().all(|step| text.contains(step)).then_some(text)
    });
    assert!(story.contains(request["digest"].as_str().unwrap()));
    field.gate.admin_ok(&["audit", "verify"]);
}

#[test]
fn a_denial_says_who_and_why() {
    let field = Field::new();
    field.config_map("denied");
    let delete = field
        .ana
        .start(&["delete", "configmap", "denied", "-n", "shop"]);
    let request = field.waiting();
    let reason = json!({"reason": "not during the sale"});
    let (status, denied) = field.answer(&field.bob, &request, "deny", &reason);
    assert_eq!(status, 200, "{denied}");
    let (code, said) = delete.ended();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("bob denied") && said.contains("not during the sale"),
        "{said}"
    );
    let (status, late) = field.approve(&field.bob, &request);
    assert_eq!(status, 409, "the first answer stays: {late}");
    assert!(field.exists("denied"));
}

#[test]
fn whoever_hangs_up_takes_the_request_back() {
    let field = Field::new();
    field.config_map("given-up");
    let delete = field
        .ana
        .start(&["delete", "configmap", "given-up", "-n", "shop"]);
    let request = field.waiting();
    delete.give_up();
    eventually("it is withdrawn", || {
        field.waiting_now().is_empty().then_some(())
    });
    let (status, late) = field.approve(&field.bob, &request);
    assert_eq!(status, 409, "{late}");
    assert!(field.exists("given-up"));
}

/// Nobody answers: the command ends when its patience does, is not forwarded later, and the log says so.
#[test]
fn what_nobody_answers_ends_with_its_time() {
    let gate = Gate::start(cluster()).restart_with_config("holds:\n  patience: 10s");
    let field = Field::of(gate);
    field.config_map("unanswered");
    let delete = field
        .ana
        .start(&["delete", "configmap", "unanswered", "-n", "shop"]);
    let request = field.waiting();
    let id = request["id"].as_str().unwrap();
    let (code, said) = delete.ended();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("Error from server (Approval") && said.contains(id),
        "{said}"
    );
    assert!(said.contains("nobody approved"), "{said}");
    assert!(field.waiting_now().is_empty());
    let (status, late) = field.approve(&field.bob, &request);
    assert_eq!(status, 409, "{late}");
    eventually("the log tells it", || {
        let search = ["audit", "search", "--access", id, "-o", "json"];
        field
            .gate
            .admin_ok(&search)
            .contains("\"expired\"")
            .then_some(())
    });
    assert!(field.exists("unanswered"));
}

/// One approval lets exactly one thing pass: not another object, not from another login.
#[test]
fn an_approval_is_for_what_was_asked() {
    let field = Field::new();
    field.config_map("first");
    field.config_map("second");
    let first = field
        .ana
        .start(&["delete", "configmap", "first", "-n", "shop"]);
    let request = field.waiting();
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    assert_eq!(first.ended().0, 0);
    let second = field
        .ana
        .start(&["delete", "configmap", "second", "-n", "shop"]);
    let other = field.waiting();
    assert_ne!(request["digest"], other["digest"]);
    assert!(
        field.exists("second"),
        "the first approval is no second one"
    );
    second.give_up();
    assert!(field.exists("second"));
}

/// Twelve objects of one command are one question, if the approver says so.
#[test]
fn the_rest_of_a_command_passes_with_its_first_request() {
    let field = Field::new();
    let names: Vec<String> = (0..12).map(|i| format!("many-{i}")).collect();
    names.iter().for_each(|name| field.config_map(name));
    let mut args = vec!["delete", "configmap", "-n", "shop"];
    args.extend(names.iter().map(String::as_str));
    let delete = field.ana.start(&args);
    let request = field.waiting();
    let body = json!({"digest": request["digest"], "commandSeconds": 60});
    let (status, approved) = field.answer(&field.bob, &request, "approve", &body);
    assert_eq!(status, 200, "{approved}");
    let (code, said) = delete.ended();
    assert_eq!((code, said.matches("deleted").count()), (0, 12), "{said}");
    // Another run of kubectl is another command.
    field.config_map("many-12");
    let next = field
        .ana
        .start(&["delete", "configmap", "many-12", "-n", "shop"]);
    field.waiting();
    next.give_up();
    assert!(field.exists("many-12"));
}

#[test]
fn an_object_that_was_replaced_meanwhile_is_not_touched() {
    let field = Field::new();
    field.config_map("replaced");
    let delete = field
        .ana
        .start(&["delete", "configmap", "replaced", "-n", "shop"]);
    let request = field.waiting();
    let gone = cluster()
        .kubectl()
        .args(["delete", "configmap", "replaced", "-n", "shop"])
        .output()
        .unwrap();
    assert!(gone.status.success());
    field.config_map("replaced");
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (code, said) = delete.ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("not the one that was approved"), "{said}");
    assert!(field.exists("replaced"));
}

/// Whoever loses what they had while they wait gets nothing, whatever was approved.
#[test]
fn a_session_that_ends_ends_its_waiting() {
    let field = Field::new();
    field.config_map("session");
    let delete = field
        .ana
        .start(&["delete", "configmap", "session", "-n", "shop"]);
    field.waiting();
    field.gate.end_sessions(&field.ana);
    let (code, said) = delete.ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("kubestile login"), "{said}");
    assert!(field.exists("session"));
}

#[test]
fn exec_waits_too_and_goes_on_over_either_protocol() {
    let field = Field::new();
    let exec = ["exec", "-n", "shop", "deploy/web", "--", "echo", "inside"];
    let run = field.ana.start(&exec);
    let request = field.waiting();
    assert!(
        request["what"].as_str().unwrap().contains("echo inside"),
        "{request}"
    );
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (code, said) = run.ended();
    assert_eq!((code, said.contains("inside")), (0, true), "{said}");
}

/// Deletes as many config maps as there are names, each by a command of its own, until all wait.
fn all_wait(field: &Field, names: &[String]) -> (Vec<Waiting>, Vec<Value>) {
    names.iter().for_each(|name| field.config_map(name));
    let delete = |name| {
        field
            .ana
            .start(&["delete", "configmap", name, "-n", "shop"])
    };
    let commands = names.iter().map(|name| delete(name.as_str())).collect();
    let requests = eventually("all wait", || {
        Some(field.waiting_now()).filter(|all| all.len() == names.len())
    });
    (commands, requests)
}

/// Nothing of this waits or passes any more, and the objects are there.
fn all_is_over(field: &Field, names: &[String], requests: &[Value]) {
    assert!(field.waiting_now().is_empty());
    for request in requests {
        assert_eq!(field.approve(&field.bob, request).0, 409);
    }
    assert!(names.iter().all(|name| field.exists(name)));
}

/// Whoever waits while the gate is restarted is told so, and nothing is forwarded later.
#[test]
fn a_restart_refuses_whatever_waits() {
    let names: Vec<String> = (0..10).map(|i| format!("restart-{i}")).collect();
    let mut field = Field::new();
    let (commands, requests) = all_wait(&field, &names);
    field.gate.terminate();
    for command in commands {
        let (code, said) = command.ended();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("the gate is shutting down"), "{said}");
    }
    field.gate = field.gate.restart_with_config("");
    all_is_over(&field, &names, &requests);
}

/// A gate that dies withdraws whatever waited when it comes back.
#[test]
fn a_crash_withdraws_whatever_waits() {
    let names: Vec<String> = (0..3).map(|i| format!("crash-{i}")).collect();
    let mut field = Field::new();
    let (commands, requests) = all_wait(&field, &names);
    field.gate = field.gate.restart_with_config("");
    for command in commands {
        assert_eq!(command.ended().0, 1);
    }
    all_is_over(&field, &names, &requests);
}

#[test]
fn a_grant_gives_a_job_function_while_it_lives_and_its_streams_end_with_it() {
    let field = Field::new();
    let ask = json!({"role": "operator", "cluster": NAME, "namespaces": ["shop"], "seconds": 600,
        "reason": "look into the shop"});
    let (status, asked) = field
        .ana
        .call(&field.gate, "POST", "/v1/access", Some(&ask));
    assert_eq!(status, 200, "{asked}");
    let request = field.waiting();
    assert_eq!(request["id"], asked["request"]["id"]);
    assert_eq!(field.approve(&field.bob, &request).0, 200);

    // Operators enter pods without asking again, here and nowhere else.
    let grant = format!("G-{}", request["id"].as_str().unwrap());
    let said = field
        .ana
        .ok(&["exec", "-n", "shop", "deploy/web", "--", "echo", "granted"]);
    assert_eq!(said, "granted\n");
    let can = field
        .ana
        .run(&["auth", "can-i", "create", "pods", "-n", "bank"]);
    assert_eq!(can.1.trim(), "no", "{can:?}");

    let mut open = field
        .ana
        .start(&["exec", "-n", "shop", "deploy/web", "--", "sleep", "600"]);
    eventually("the exec is in the log", || {
        let text = field
            .gate
            .admin_ok(&["audit", "search", "--grant", &grant, "-o", "json"]);
        text.contains("sleep 600").then_some(())
    });
    assert!(open.runs());
    let path = format!("/v1/grants/{grant}/revoke");
    let why = json!({"reason": "that is enough"});
    let revoked = Instant::now();
    let (status, ended) = field.bob.call(&field.gate, "POST", &path, Some(&why));
    assert_eq!(status, 200, "{ended}");
    let (code, said) = open.ended();
    assert!(
        revoked.elapsed() < Duration::from_secs(10),
        "it ends at once"
    );
    assert_ne!(code, 0, "{said}");
    assert!(
        said.contains("revoked by bob") && said.contains("that is enough"),
        "{said}"
    );

    let story = eventually("the story is in the log", || {
        let text = field
            .gate
            .admin_ok(&["audit", "search", "--grant", &grant, "-o", "json"]);
        let told = [
            "\"requested\"",
            "\"approved\"",
            "\"started\"",
            "\"ended\"",
            "echo granted",
        ];
        told.iter().all(|step| text.contains(step)).then_some(text)
    });
    assert!(story.contains("look into the shop"));
    // Nothing of it is left: the next exec waits.
    let next = field
        .ana
        .start(&["exec", "-n", "shop", "deploy/web", "--", "true"]);
    field.waiting();
    next.give_up();
}

/// An approver who is none any more answers nothing.
#[test]
fn an_approver_who_lost_the_right_answers_nothing() {
    let field = Field::new();
    field.config_map("late");
    let delete = field
        .ana
        .start(&["delete", "configmap", "late", "-n", "shop"]);
    let request = field.waiting();
    field
        .gate
        .admin_ok(&["people", "functions", "bob", "viewer"]);
    let (status, refused) = field.approve(&field.bob, &request);
    assert_eq!(status, 404, "{refused}");
    assert!(field.exists("late"));
    delete.give_up();
}

/// Clients that cannot wait come again.
#[test]
fn where_nobody_waits_the_same_command_passes_once_it_is_approved() {
    let field = Field::of(Gate::start_with(cluster(), &["--hold", "refuse"]));
    field.config_map("again");
    let args = ["delete", "configmap", "again", "-n", "shop"];
    let refusal = field.ana.refused(&args);
    let request = field.waiting();
    let id = request["id"].as_str().unwrap();
    assert!(
        refusal.contains(id) && refusal.contains(&format!("/r/{id}")),
        "{refusal}"
    );
    let again = field.ana.refused(&args);
    assert!(again.contains(id), "the same request: {again}");
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    assert!(field.ana.ok(&args).contains("deleted"));
    assert!(!field.exists("again"));
}

#[test]
fn break_glass_is_for_those_who_were_agreed_on_and_must_be_reviewed() {
    let field = Field::new();
    let ask = json!({"role": "operator", "cluster": NAME, "namespaces": ["shop"], "seconds": 600,
        "reason": "the shop is down"});
    let (status, refused) = field
        .ana
        .call(&field.gate, "POST", "/v1/break-glass", Some(&ask));
    assert_eq!(status, 403, "{refused}");
    let eve = field.gate.person("eve", &["viewer", "break-glass"]);
    let (status, grant) = eve.call(&field.gate, "POST", "/v1/break-glass", Some(&ask));
    assert_eq!(
        (status, &grant["needsReview"]),
        (200, &json!(true)),
        "{grant}"
    );
    let said = eve.ok(&["exec", "-n", "shop", "deploy/web", "--", "echo", "open"]);
    assert_eq!(said, "open\n");
    let (_, rights) = field.bob.call(&field.gate, "GET", "/v1/rights", None);
    assert_eq!(rights["toReview"][0]["id"], grant["id"], "{rights}");
    let path = format!("/v1/grants/{}/review", grant["id"].as_str().unwrap());
    let note = json!({"note": "it was right"});
    assert_eq!(eve.call(&field.gate, "POST", &path, Some(&note)).0, 403);
    assert_eq!(
        field.bob.call(&field.gate, "POST", &path, Some(&note)).0,
        200
    );
}
