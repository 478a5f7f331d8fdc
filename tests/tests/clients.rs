//! Clients that are not kubectl, and that wait less patiently: the official Python client, and helm. Each is
//! the real program, against the real gate and a real Kubernetes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::process::Command;

use kubestile_tests::gate::Waiting;
use kubestile_tests::{Field, Gate, Person, cluster, eventually, python};
use serde_json::json;

/// Deletes a config map and says what came of it.
const DELETE: &str = "
import sys
try:
    core.delete_namespaced_config_map(NAME, 'shop', **MORE)
    print('deleted')
except ApiException as e:
    status = json.loads(e.body)
    print(e.status, status['kind'], status['reason'], status['message'])
except Exception as e:
    print('gave up:', type(e).__name__)
";

fn delete(person: &Person, name: &str, more: &str) -> Waiting {
    let lines = format!("NAME, MORE = '{name}', dict({more})\n{DELETE}");
    Waiting::spawn(python::script(person, &lines))
}

#[test]
fn a_python_client_waits_and_goes_on_once_approved() {
    let field = Field::new();
    field.config_map("python");
    let delete = delete(&field.ana, "python", "");
    let request = field.waiting();
    assert_eq!(request["what"], "kubectl delete configmaps/python -n shop");
    assert!(field.exists("python"));
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (code, said) = delete.ended();
    assert_eq!((code, said.trim()), (0, "deleted"), "{said}");
    assert!(!field.exists("python"));
}

#[test]
fn a_python_client_that_is_denied_is_told_by_a_status_of_ours() {
    let field = Field::new();
    field.config_map("python-denied");
    let delete = delete(&field.ana, "python-denied", "");
    let request = field.waiting();
    let reason = json!({"reason": "not during the sale"});
    assert_eq!(field.answer(&field.bob, &request, "deny", &reason).0, 200);
    let (_, said) = delete.ended();
    assert!(
        said.starts_with("403 Status ApprovalDenied kubestile"),
        "{said}"
    );
    assert!(
        said.contains("bob denied") && said.contains("not during the sale"),
        "{said}"
    );
    assert!(field.exists("python-denied"));
}

#[test]
fn a_python_client_that_runs_out_of_patience_takes_its_request_back() {
    let field = Field::new();
    field.config_map("python-late");
    let delete = delete(&field.ana, "python-late", "_request_timeout=5");
    let request = field.waiting();
    let (_, said) = delete.ended();
    assert!(said.contains("gave up:"), "{said}");
    let id = request["id"].as_str().unwrap();
    eventually("it is withdrawn", || {
        let search = ["audit", "search", "--access", id, "-o", "json"];
        let told = field.gate.admin_ok(&search).contains("\"withdrawn\"");
        (told && field.waiting_now().is_empty()).then_some(())
    });
    assert_eq!(field.approve(&field.bob, &request).0, 409);
    assert!(field.exists("python-late"));
}

#[test]
fn a_python_client_that_is_refused_at_once_passes_when_it_comes_again() {
    let field = Field::of(Gate::start_with(cluster(), &["--hold", "refuse"]));
    field.config_map("python-again");
    let (_, refused) = delete(&field.ana, "python-again", "").ended();
    let request = field.waiting();
    let id = request["id"].as_str().unwrap();
    assert!(
        refused.starts_with("403 Status ApprovalRequired") && refused.contains(id),
        "{refused}"
    );
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (_, said) = delete(&field.ana, "python-again", "").ended();
    assert_eq!(said.trim(), "deleted");
    assert!(!field.exists("python-again"));
}

#[test]
fn an_exec_of_a_python_client_waits_too() {
    let field = Field::new();
    let lines = "
pod = core.list_namespaced_pod('shop', label_selector='app=web').items[0].metadata.name
print(stream(core.connect_get_namespaced_pod_exec, pod, 'shop', command=['echo', 'from inside'],
    stdout=True, stderr=True, stdin=False, tty=False))
";
    let exec = Waiting::spawn(python::script(&field.ana, lines));
    let request = field.waiting();
    let what = request["what"].as_str().unwrap();
    assert!(
        what.contains("echo") && what.contains("from inside"),
        "{what}"
    );
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (code, said) = exec.ended();
    assert_eq!((code, said.trim()), (0, "from inside"), "{said}");
}

/// A chart of one config map with a value in it.
fn chart(dir: &Path) {
    std::fs::create_dir_all(dir.join("templates")).unwrap();
    let about = "apiVersion: v2\nname: tiny\nversion: 0.1.0\n";
    let values = "tea: '3'\n";
    let prices = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-prices'}\n\
                  data: {tea: '{{ .Values.tea }}'}\n";
    for (file, text) in [
        ("Chart.yaml", about),
        ("values.yaml", values),
        ("templates/prices.yaml", prices),
    ] {
        std::fs::write(dir.join(file), text).unwrap();
    }
}

/// The real helm as this person.
fn helm(person: &Person, args: &[&str]) -> Waiting {
    let helm = kubestile_devcluster::helm(&mut |_| {}).expect("helm");
    let mut command = Command::new(helm);
    for (name, value) in person.kubectl().get_envs() {
        command.env(name, value.expect("a value"));
    }
    command.env("HELM_DRIVER", "configmap");
    command.args(args).args(["-n", "shop"]);
    Waiting::spawn(command)
}

fn helm_ok(person: &Person, args: &[&str]) {
    let (code, said) = helm(person, args).ended();
    assert_eq!(code, 0, "helm {args:?}: {said}");
}

/// helm waits where kubectl would. Its records are kept in config maps here, since secrets are for admins.
#[test]
fn a_helm_release_is_installed_upgraded_and_uninstalled_once_approved() {
    let field = Field::new();
    let dora = field.gate.person("dora", &["viewer", "operator:shop"]);
    let dir = tempfile::tempdir().unwrap();
    chart(dir.path());
    let dir = dir.path().to_str().unwrap();
    forget_release("tiny");
    helm_ok(&dora, &["install", "tiny", dir]);
    assert!(field.exists("tiny-prices"));
    helm_ok(&dora, &["upgrade", "tiny", dir, "--set", "tea=4"]);
    assert!(field.waiting_now().is_empty());

    // Without --debug helm keeps to itself why it could not delete something.
    let mut denied = helm(&dora, &["uninstall", "tiny", "--debug"]);
    let request = field.waiting();
    let what = request["what"].as_str().unwrap();
    assert!(what.contains("delete configmaps/tiny-prices"), "{what}");
    assert!(denied.runs() && field.exists("tiny-prices"));
    let reason = json!({"reason": "not during the sale"});
    assert_eq!(field.answer(&field.bob, &request, "deny", &reason).0, 200);
    let (code, said) = denied.ended();
    assert_ne!(code, 0, "{said}");
    for part in ["kubestile", "bob denied", "not during the sale"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(field.exists("tiny-prices"));

    // Then what it deployed, then its records, one after the other.
    let mut uninstall = helm(&dora, &["uninstall", "tiny"]);
    eventually("helm ends", || {
        for request in field.waiting_now() {
            assert_eq!(field.approve(&field.bob, &request).0, 200);
        }
        (!uninstall.runs()).then_some(())
    });
    let (code, said) = uninstall.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("uninstalled"), "{said}");
    assert!(!field.exists("tiny-prices"));
}

/// What helm may not do at all waits as well, and helm's own error then carries the refusal.
#[test]
fn a_helm_install_that_is_denied_ends_in_our_words() {
    let field = Field::new();
    let dir = tempfile::tempdir().unwrap();
    chart(dir.path());
    forget_release("small");
    let install = helm(
        &field.ana,
        &["install", "small", dir.path().to_str().unwrap()],
    );
    let request = field.waiting();
    let reason = json!({"reason": "not during the sale"});
    assert_eq!(field.answer(&field.bob, &request, "deny", &reason).0, 200);
    let (code, said) = install.ended();
    assert_ne!(code, 0, "{said}");
    for part in [
        "Error: INSTALLATION FAILED",
        "kubestile",
        "bob denied",
        "not during the sale",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!field.exists("small-prices"));
}

/// Removes past the gate what an earlier run has left.
fn forget_release(name: &str) {
    let records = format!("owner=helm,name={name}");
    for args in [
        ["-l", records.as_str()],
        ["--field-selector", &format!("metadata.name={name}-prices")],
    ] {
        let mut delete = cluster().kubectl();
        delete
            .args(["delete", "configmap", "-n", "shop"])
            .args(args);
        assert!(delete.output().unwrap().status.success());
    }
}
