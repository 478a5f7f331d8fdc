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

/// What a program asks at once is one row, and one answer that says what it is for; nothing later passes with it.
#[test]
fn what_a_python_client_asks_at_once_is_one_row_and_each_is_approved_by_itself() {
    let field = Field::new();
    let names = ["together-1", "together-2", "together-3"];
    names.iter().for_each(|name| field.config_map(name));
    field.config_map("together-4");
    let lines = "
from concurrent.futures import ThreadPoolExecutor
def delete(number):
    client.CoreV1Api(client.ApiClient()).delete_namespaced_config_map(f'together-{number}', 'shop')
with ThreadPoolExecutor(3) as pool:
    list(pool.map(delete, [1, 2, 3]))
print('three', flush=True)
delete(4)
";
    let mut script = Waiting::spawn(python::script(&field.ana, lines));
    let waiting = eventually("all wait", || {
        Some(field.waiting_now()).filter(|all| all.len() == 3)
    });
    let table = field.bob.does(&["approvals"]);
    assert!(
        table.contains("(and 2 more)") && table.lines().count() == 2,
        "{table}"
    );
    let id = waiting[0]["id"].as_str().unwrap();
    field.bob.does(&["approve", id, "--group", "--yes"]);
    script.has_begun();
    assert!(names.iter().all(|name| !field.exists(name)));
    let later = field.waiting();
    let what = later["what"].as_str().unwrap();
    assert!(
        what.contains("together-4") && field.exists("together-4"),
        "{what}"
    );
    script.give_up();
    assert!(field.exists("together-4"));
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

/// The real helm as this person, with its records in config maps.
fn helm(person: &Person, args: &[&str]) -> Waiting {
    let mut command = helm_in("shop", person, args);
    command.env("HELM_DRIVER", "configmap");
    Waiting::spawn(command)
}

/// The real helm as it is.
fn helm_in(namespace: &str, person: &Person, args: &[&str]) -> Command {
    let helm = kubestile_devcluster::helm(&mut |_| {}).expect("helm");
    let mut command = Command::new(helm);
    for (name, value) in person.kubectl().get_envs() {
        command.env(name, value.expect("a value"));
    }
    command.args(args).args(["-n", namespace]);
    command
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

const REPLACED: &str =
    "secrets-are-for-admins, secret-lists-need-approval, secret-writes-need-approval";

/// A namespace where helm keeps its releases in Secrets, with a Secret that is none, and a gate with the pack for
/// helm in a directory.
struct Moor {
    field: Field,
    policies: tempfile::TempDir,
    dora: Person,
}

impl Moor {
    fn new() -> Self {
        apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: moor}\n");
        apply(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: till, namespace: moor}\n\
             stringData: {pin: hunter2}\n",
        );
        let forget = ["delete", "secret,configmap", "-n", "moor", "-l"];
        admin(&[&forget[..], &["owner=helm"]].concat());
        admin(&[
            "delete",
            "configmap",
            "tiny-prices",
            "-n",
            "moor",
            "--ignore-not-found",
        ]);
        let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/helm");
        let rbac = std::fs::read_to_string(pack.join("rbac.yaml")).unwrap();
        let rbac = rbac.replace("NAMESPACE", "moor");
        apply(&rbac.replace(
            "metadata:\n  name: kubestile-helm-releases",
            "metadata:\n  namespace: moor\n  name: kubestile-helm-releases",
        ));
        let policies = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(pack).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), policies.path().join(file.file_name())).unwrap();
        }
        let directory = policies.path().display();
        let lines = format!("policies: {{directories: [{directory}], replace: [{REPLACED}]}}");
        let field = Field::of(Gate::start(cluster()).restart_with_config(&lines));
        let functions = ["viewer", "operator:moor", "deployer:moor"];
        let dora = field.gate.person("dora", &functions);
        Self {
            field,
            policies,
            dora,
        }
    }

    /// From now on the API server sees to what deployers create, and nobody needs to be asked.
    fn admit(&self) {
        let pack = self.policies.path();
        apply(&std::fs::read_to_string(pack.join("admission.yaml")).unwrap());
        std::fs::remove_file(pack.join("helm-release-creates-need-approval.cedar")).unwrap();
        eventually("the gate has taken it up", || {
            let log = self.field.gate.admin_ok(&["audit", "search", "-o", "json"]);
            log.contains("policies loaded").then_some(())
        });
        eventually("the API server sees to it", || {
            let probe = ["create", "secret", "generic", "probe", "-n", "moor"];
            let said = self
                .dora
                .run(&[&probe[..], &["--dry-run=server"]].concat())
                .2;
            said.contains("an operator's Secrets are").then_some(())
        });
    }

    fn helm(&self, args: &[&str]) -> Waiting {
        Waiting::spawn(helm_in("moor", &self.dora, args))
    }

    fn helm_ok(&self, args: &[&str]) -> String {
        let (code, said) = self.helm(args).ended();
        assert_eq!(code, 0, "helm {args:?}: {said}");
        said
    }

    /// What dora's kubectl says to a manifest, which must be refused.
    fn refused(&self, verb: &str, manifest: &str) -> String {
        let mut kubectl = self.dora.kubectl();
        kubectl.args([verb, "-n", "moor", "-f", "-"]);
        let mut open = Waiting::spawn(kubectl);
        open.says(manifest);
        let (code, said) = open.ended();
        assert_ne!(code, 0, "{verb} {manifest}: {said}");
        said
    }
}

impl Drop for Moor {
    fn drop(&mut self) {
        let all = "validatingadmissionpolicy,validatingadmissionpolicybinding";
        let names = [
            "kubestile-operators-write-helm-releases",
            "kubestile-owner-helm-is-a-release",
        ];
        let delete = ["delete", all, "--ignore-not-found"];
        admin(&[&delete[..], &names[..]].concat());
    }
}

/// helm with its usual driver: each revision of a release is a Secret.
#[test]
fn helm_keeps_its_releases_in_secrets_and_no_other_secret_is_seen() {
    let moor = Moor::new();
    let (field, dora) = (&moor.field, &moor.dora);
    let dir = tempfile::tempdir().unwrap();
    chart(dir.path());
    let dir = dir.path().to_str().unwrap();

    // What a new Secret is, the gate does not see: somebody is asked, once.
    let install = moor.helm(&["install", "tiny", dir]);
    let request = field.waiting();
    let what = request["what"].as_str().unwrap();
    assert!(what.contains("create secrets -n moor"), "{what}");
    assert_eq!(field.approve(&field.bob, &request).0, 200);
    let (code, said) = install.ended();
    assert_eq!(code, 0, "{said}");

    moor.admit();
    moor.helm_ok(&["upgrade", "tiny", dir, "--set", "tea=4"]);
    assert!(moor.helm_ok(&["list"]).contains("tiny"));
    assert!(moor.helm_ok(&["history", "tiny"]).contains("superseded"));
    moor.helm_ok(&["rollback", "tiny", "1"]);
    assert!(moor.helm_ok(&["status", "tiny"]).contains("deployed"));
    assert!(field.waiting_now().is_empty());
    let releases = dora.ok(&[
        "get",
        "secrets",
        "-n",
        "moor",
        "-l",
        "owner=helm",
        "-o",
        "name",
    ]);
    assert_eq!(
        releases.matches("secret/sh.helm.release.v1.tiny.v").count(),
        3,
        "{releases}"
    );
    assert_eq!(releases.lines().count(), 3, "{releases}");

    what_is_not_a_release(&moor);
    what_would_become_one(&moor);
}

/// By name, by selector, for ever, in pieces.
fn what_is_not_a_release(moor: &Moor) {
    let get = |args: &[&str]| {
        let said = moor.dora.run(&[&["get"], args].concat());
        assert!(!said.1.contains("till"), "{args:?}: {said:?}");
        said
    };
    for args in [
        &["secret", "till", "-n", "moor"][..],
        &["secrets", "-n", "moor"],
        &[
            "secrets",
            "-n",
            "moor",
            "--field-selector",
            "metadata.name=till",
        ],
        &["secrets", "-n", "moor", "-l", "owner in (helm,x)"],
        &["secrets", "-n", "moor", "-l", "owner notin (x)"],
        &["secrets", "-n", "moor", "-l", "owner!=x"],
        &["secrets", "-n", "moor", "-l", "!owner"],
        &["secrets", "-n", "shop", "-l", "owner=helm"],
        &["secrets", "-A", "-l", "owner=helm"],
        &["secrets", "-n", "moor", "-l", "owner=helm", "-w"],
    ] {
        let (code, _, said) = get(args);
        assert_eq!(code, 1, "{args:?}: {said}");
        assert!(
            said.contains("only the job function admin may read"),
            "{args:?}: {said}"
        );
    }
    // Of a selector that is sent twice, the API server reads the one that was judged.
    let list = "/api/v1/namespaces/moor/secrets?labelSelector=owner%3Dhelm&labelSelector=";
    get(&["--raw", list]);
    let label = [
        "label",
        "secret",
        "sh.helm.release.v1.tiny.v1",
        "-n",
        "moor",
    ];
    let said = moor.dora.refused(&[&label[..], &["x=y"]].concat());
    assert!(
        said.contains("only the job function admin may read or change"),
        "{said}"
    );
}

/// A Secret that could be made to look like a release, or a release to look like something else.
fn what_would_become_one(moor: &Moor) {
    let secret = |name: &str, kind: &str, labels: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\ntype: {kind}\nmetadata:\n  name: {name}\n  labels: {labels}\n  \
             annotations: {{kubernetes.io/service-account.name: default}}\n"
        )
    };
    let (release, token) = ("helm.sh/release.v1", "kubernetes.io/service-account-token");
    let name = "sh.helm.release.v1.evil.v1";
    for (manifest, why) in [
        (
            secret(name, token, "{owner: helm}"),
            "type helm.sh/release.v1",
        ),
        (
            secret(name, "Opaque", "{owner: helm}"),
            "type helm.sh/release.v1",
        ),
        (
            secret("evil", release, "{owner: helm}"),
            "begin with sh.helm.release.v1.",
        ),
        (secret(name, release, "{owner: x}"), "label owner=helm"),
        (secret(name, release, "{}"), "label owner=helm"),
    ] {
        let said = moor.refused("create", &manifest);
        assert!(said.contains(why), "{why}: {said}");
    }
    let tiny = "sh.helm.release.v1.tiny.v1";
    let said = moor.refused("replace", &secret(tiny, token, "{owner: helm}"));
    assert!(
        said.contains("helm.sh/release.v1") || said.contains("immutable"),
        "{said}"
    );
    let said = moor.refused("replace", &secret(tiny, release, "{owner: x}"));
    assert!(said.contains("label owner=helm"), "{said}");
    // A server-side apply is a patch that creates.
    let mut kubectl = moor.dora.kubectl();
    kubectl.args(["apply", "--server-side", "-n", "moor", "-f", "-"]);
    let mut apply = Waiting::spawn(kubectl);
    apply.says(&secret(name, token, "{owner: helm}"));
    let (code, said) = apply.ended();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("only the job function admin may"), "{said}");
    // Not even an administrator gives another Secret the label by which deployers list.
    let label = ["label", "secret", "till", "-n", "moor", "owner=helm"];
    let output = cluster().kubectl().args(label).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("only releases of helm's"),
        "{said}"
    );
}

/// Past the gate, and it must work.
fn admin(args: &[&str]) {
    let output = cluster().kubectl().args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
}

fn apply(manifest: &str) {
    let mut kubectl = cluster().kubectl();
    kubectl.args(["apply", "-f", "-"]);
    let mut apply = Waiting::spawn(kubectl);
    apply.says(manifest);
    let (code, said) = apply.ended();
    assert_eq!(code, 0, "{said}");
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
