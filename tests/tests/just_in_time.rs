//! Rights that exist only while a ticket is open or a pipeline runs, as a new user would try them: the real
//! kubectl, a ticket system and an issuer of tokens that answer as documented, and the story in the log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubestile_tests::gate::Waiting;
use kubestile_tests::raw::Answer;
use kubestile_tests::{Field, Gate, Person, Services, cluster, eventually};
use serde_json::{Value, json};

/// Far above the promise of one second, so that a busy machine does not fail the test, and far below any
/// other end that a stream or a grant could have.
const SOON: Duration = Duration::from_secs(10);

struct Place {
    field: Field,
    services: Services,
}

/// A gate that knows the services, and its people.
fn place() -> Place {
    let services = Services::start();
    let gate = Gate::start(cluster()).restart_with_config(&services.config());
    let field = Field::of(gate);
    Place { field, services }
}

impl Place {
    /// Ana asks for the job function `operator` in `shop` with a ticket, bob approves, both with `kubestile`;
    /// gives the grant's id.
    fn grant(&self, ticket: &str) -> String {
        let mut ask = self.field.ana.kubestile();
        ask.args(["request", "--role", "operator", "-n", "shop", "--for", "1h"]);
        ask.args(["--ticket", ticket, "--reason", "the rollout is stuck"]);
        let asking = Waiting::spawn(ask);
        let request = self.field.waiting();
        let id = request["id"].as_str().unwrap();
        let shown = self.field.bob.does(&["approvals", "show", id]);
        assert!(shown.contains(ticket) && shown.contains("ana"), "{shown}");
        self.field.bob.does(&["approve", id, "--yes"]);
        let (code, said) = asking.ended();
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("approved by bob"), "{said}");
        format!("G-{id}")
    }

    /// Sends a webhook of Jira's about a ticket, signed with this secret or the right one.
    fn webhook(&self, ticket: &str, secret: Option<&str>) -> Answer {
        self.services.send_webhook(&self.field.gate, ticket, secret)
    }

    fn grant_now(&self, grant: &str) -> Value {
        let path = format!("/v1/grants/{grant}");
        let (status, shown) = self.field.ana.call(&self.field.gate, "GET", &path, None);
        assert_eq!(status, 200, "{shown}");
        shown
    }

    /// What `kubestile audit search --grant` tells, once it tells all of this in this order.
    fn story(&self, grant: &str, steps: &[&str]) {
        eventually(&format!("the log tells {steps:?} in this order"), || {
            let search = ["audit", "search", "--grant", grant];
            let text = self.field.gate.admin_ok(&search);
            let mut rest = text.as_str();
            for step in steps {
                rest = &rest[rest.find(step)? + step.len()..];
            }
            Some(())
        });
        self.field.gate.admin_ok(&["audit", "verify"]);
    }

    /// A job that runs `kubestile login --pipeline` with a token.
    fn login(&self, job: &Person, token: &str) -> Command {
        let mut login = job.login(&self.field.gate);
        login.args(["--pipeline", "--token-env", "JOB_TOKEN"]);
        login.env("JOB_TOKEN", token);
        login
    }
}

/// Applies a manifest with the real kubectl as a job.
fn apply(job: &Person, manifest: &str) -> (bool, String) {
    let mut kubectl = job.kubectl();
    kubectl.args(["apply", "-f", "-"]);
    kubectl
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = kubectl.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(manifest.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn deployment(name: &str) -> String {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": "docker.io/library/busybox:latest"}]},
        }},
    })
    .to_string()
}

/// All bindings of the cluster with their versions: what a grant would have left in it.
fn bindings() -> String {
    let version = "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let args = [
        "get",
        "clusterrolebindings,rolebindings",
        "-A",
        "-o",
        version,
    ];
    let found = cluster().kubectl().args(args).output().unwrap();
    assert!(found.status.success(), "{found:?}");
    String::from_utf8(found.stdout).unwrap()
}

/// The files below a directory that have this text in them.
fn kept(dir: &Path, text: &str) -> Vec<PathBuf> {
    let has = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => kept(&path, text),
            false => Some(path).filter(|path| has(path)).into_iter().collect(),
        })
        .collect()
}

/// Fails if a text is in any file below a directory.
fn is_not_kept(dir: &Path, text: &str) {
    assert_eq!(kept(dir, text), Vec::<PathBuf>::new());
}

#[test]
fn a_grant_and_its_streams_end_when_its_ticket_closes() {
    let place = place();
    let (field, services) = (&place.field, &place.services);
    let open =
        |state, category, who| services.ticket("OPS-12", state, category, who, &["namespace-shop"]);
    // A ticket that is not there, closed, somebody else's or for somewhere else gives nothing.
    let ask = |namespace: &str| {
        let ask = json!({"role": "operator", "cluster": "dev", "namespaces": [namespace], "seconds": 600,
            "reason": "the rollout is stuck", "ticket": "OPS-12"});
        field
            .ana
            .call(&field.gate, "POST", "/v1/access", Some(&ask))
    };
    let refused = |namespace: &str, why: &str| {
        let (status, said) = ask(namespace);
        assert_eq!(status, 403, "{said}");
        assert!(said.to_string().contains(why), "{said}");
    };
    refused("shop", "OPS-12");
    open("Done", "done", "ana");
    refused("shop", "it is not open");
    open("In Progress", "indeterminate", "eve");
    refused("shop", "does not name ana");
    open("In Progress", "indeterminate", "ana");
    refused("bank", "it is for the namespaces shop");

    let standing = bindings();
    let grant = place.grant("OPS-12");
    let mut exec = field.ana.kubectl();
    exec.args([
        "exec",
        "-n",
        "shop",
        "deploy/web",
        "--",
        "sh",
        "-c",
        "echo open; sleep 600",
    ]);
    let mut exec = Waiting::spawn(exec);
    exec.has_begun();
    assert_eq!(bindings(), standing, "nothing is written to the cluster");

    // A webhook only says "look again": a forged one is refused, and a real one closes nothing by itself.
    let forged = place.webhook("OPS-12", Some("guessed"));
    assert_eq!(forged.status, 403, "{}", forged.text());
    let told = place.webhook("OPS-12", None);
    assert_eq!(told.status, 202, "{}", told.text());
    let asked = field
        .ana
        .run(&["auth", "can-i", "create", "pods/exec", "-n", "shop"]);
    assert_eq!(asked.1.trim(), "yes", "{asked:?}");
    assert!(exec.runs());
    assert_eq!(place.grant_now(&grant)["ended"], Value::Null);

    open("Done", "done", "ana");
    let closed = Instant::now();
    assert_eq!(place.webhook("OPS-12", None).status, 202);
    let (code, said) = exec.ended();
    assert!(closed.elapsed() < SOON, "{:?}", closed.elapsed());
    assert_ne!(code, 0, "{said}");
    let why = "the ticket jira:OPS-12 of the grant was closed";
    assert!(said.contains(why), "the person is told why: {said}");
    assert_eq!(bindings(), standing, "nothing is left in the cluster");
    eventually("the end is told", || {
        let ended = services.messages("grant-ended");
        ended
            .iter()
            .any(|m| m["why"].to_string().contains("was closed"))
            .then_some(())
    });
    refused("shop", "it is not open");
    // Nothing of it is left: the next exec waits again.
    let next = field
        .ana
        .start(&["exec", "-n", "shop", "deploy/web", "--", "true"]);
    field.waiting();
    next.give_up();
    place.story(
        &grant,
        &["requested", "approved", "started", "exec", "ended", why],
    );
}

/// Where no webhook comes, the ticket is looked at again by itself.
#[test]
fn a_ticket_that_closes_in_silence_is_found_by_polling() {
    let place = place();
    let ticket = |state, category| {
        place
            .services
            .ticket("OPS-13", state, category, "ana", &["namespace-shop"])
    };
    ticket("To Do", "new");
    let grant = place.grant("OPS-13");
    place
        .field
        .ana
        .ok(&["exec", "-n", "shop", "deploy/web", "--", "true"]);
    ticket("Done", "done");
    let ended = eventually("the grant ends", || {
        place.grant_now(&grant)["ended"].as_str().map(str::to_owned)
    });
    assert!(ended.contains("was closed"), "{ended}");
    place.story(
        &grant,
        &["requested", "approved", "started", "exec", "ended"],
    );
}

#[test]
fn a_pipeline_deploys_with_nothing_stored() {
    let place = place();
    let gate = &place.field.gate;
    let standing = bindings();
    let job = Person::stranger("job");
    let token = place.services.token(&json!({}));
    let login = place.login(&job, &token).output().unwrap();
    assert!(login.status.success(), "{login:?}");
    let who = job.does(&["whoami"]);
    assert!(who.contains("ci-acme+shop"), "{who}");

    let (done, said) = apply(&job, &deployment("from-ci"));
    assert!(done && said.contains("deployment.apps/from-ci"), "{said}");
    job.ok(&[
        "rollout",
        "status",
        "deployment/from-ci",
        "-n",
        "shop",
        "--timeout=30s",
    ]);
    let elsewhere = job.run(&["create", "configmap", "x", "-n", "bank"]);
    assert_ne!(elsewhere.0, 0, "{elsewhere:?}");
    assert_eq!(bindings(), standing, "nothing is written to the cluster");

    // The token is kept nowhere, and starts no second session.
    for dir in [job.home(), &gate.dir()] {
        is_not_kept(dir, &token);
    }
    let kubeconfig = std::fs::read_to_string(job.kubeconfig()).unwrap();
    assert!(
        !kubeconfig.contains("PRIVATE KEY") && !kubeconfig.contains("token:"),
        "{kubeconfig}"
    );
    let again = place
        .login(&Person::stranger("thief"), &token)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !again.status.success() && said.contains("used before"),
        "{said}"
    );

    let (_, rights) = job.call(gate, "GET", "/v1/grants", None);
    let grant = rights["grants"][0]["id"].as_str().unwrap().to_owned();
    job.does(&["logout"]);
    is_not_kept(job.home(), "-----BEGIN PRIVATE KEY");
    let refused = job.run(&["get", "pods", "-n", "shop"]);
    assert_ne!(refused.0, 0, "{refused:?}");
    place.story(
        &grant,
        &[
            "started",
            "deployments.apps",
            "ended",
            "the run that the grant was for is over",
        ],
    );
    clean("from-ci");
}

#[test]
fn a_protected_environment_needs_somebody_else_and_ends_with_its_token() {
    let place = place();
    let (field, gate) = (&place.field, &place.field.gate);
    let dora = gate.person("dora", &["viewer", "approver"]);
    let job = Person::stranger("job");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token = place.services.token(&json!({
        "environment": "production", "run_id": "78", "actor": "bob-h", "exp": now + 30,
    }));
    let login = Waiting::spawn(place.login(&job, &token));
    let request = field.waiting();
    let (status, own) = field.approve(&field.bob, &request);
    assert!(
        status == 403 || status == 409,
        "whoever set it off does not approve it: {own}"
    );
    assert_eq!(field.approve(&dora, &request).0, 200);
    let (code, said) = login.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("waiting for approval"), "{said}");
    let (done, said) = apply(&job, &deployment("protected"));
    assert!(done, "{said}");

    // It ends with the token, and a stream with it.
    let mut logs = job.kubectl();
    logs.args(["logs", "-f", "-n", "shop", "deploy/web"]);
    let mut logs = Waiting::spawn(logs);
    logs.has_begun();
    let (_, said) = logs.ended();
    assert!(
        now + 30 <= std::time::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        "too early: {said}"
    );
    let refused = job.run(&["get", "pods", "-n", "shop"]);
    assert_ne!(refused.0, 0, "{refused:?}");
    let id = request["id"].as_str().unwrap();
    place.story(
        &format!("G-{id}"),
        &[
            "requested",
            "approved",
            "started",
            "deployments.apps",
            "ended",
        ],
    );
    clean("protected");
}

/// Tokens that start nothing, over the command line.
#[test]
fn a_job_whose_token_no_rule_permits_gets_nothing() {
    let place = place();
    for (claims, why) in [
        (json!({"repository": "evil/shop"}), "no rule permits"),
        (json!({"ref": "refs/heads/feature"}), "no rule permits"),
        (json!({"aud": "somebody-else"}), "made out to"),
        (json!({"iss": "https://evil.example"}), "issuer"),
    ] {
        let job = Person::stranger("job");
        let login = place
            .login(&job, &place.services.token(&claims))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&login.stderr).into_owned();
        assert!(
            !login.status.success() && said.contains(why),
            "{claims}: {said}"
        );
        is_not_kept(job.home(), "-----BEGIN PRIVATE KEY");
    }
}

/// Twelve objects of one command are one message to whoever may approve, and one answer.
#[test]
fn one_command_is_one_notification() {
    let place = place();
    let field = &place.field;
    let names: Vec<String> = (0..12).map(|i| format!("grouped-{i}")).collect();
    names.iter().for_each(|name| field.config_map(name));
    let mut args = vec!["delete", "configmap", "-n", "shop"];
    args.extend(names.iter().map(String::as_str));
    let delete = field.ana.start(&args);
    let request = field.waiting();
    let id = request["id"].as_str().unwrap();
    let waiting = || place.services.messages("waiting");
    eventually("it is told", || (!waiting().is_empty()).then_some(()));
    field.bob.does(&["approve", id, "--command=5m", "--yes"]);
    let (code, said) = delete.ended();
    assert_eq!((code, said.matches("deleted").count()), (0, 12), "{said}");
    let approved = |services: &Services| services.messages("approved");
    eventually("the answer is told", || {
        (!approved(&place.services).is_empty()).then_some(())
    });
    assert_eq!(waiting().len(), 1);
    assert_eq!(approved(&place.services).len(), 1);
    let message = &waiting()[0];
    let link = message["link"].as_str().unwrap();
    assert!(
        link.ends_with(&format!("/r/{id}")),
        "a link and no more: {message}"
    );
}

fn clean(name: &str) {
    let args = ["delete", "deployment", name, "-n", "shop", "--wait=false"];
    assert!(
        cluster()
            .kubectl()
            .args(args)
            .output()
            .unwrap()
            .status
            .success()
    );
}
