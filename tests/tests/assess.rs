//! The assessor against a real API server: what it says of a fresh cluster, that the shipped role is
//! enough, that no Secret's data reaches it, and that a plan's steps do what they say and can be undone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::Path;

use kubestile_assess::exception::Exceptions;
use kubestile_assess::plan::{Plan, Wishes, plan};
use kubestile_assess::{Assessment, Outcome, Snapshot, Stage, assess};
use kubestile_cluster::collect::{Options, collect};
use kubestile_cluster::{Upstream, advance};
use kubestile_core::Timestamp;
use kubestile_devcluster::{Cluster, Kubernetes};
use kubestile_tests::eventually;
use serde_json::json;

/// What no report may ever hold.
const SECRET: &str = "correct-horse-battery-staple";

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_cluster_is_judged_and_led_up_and_back() {
    let cluster = Own::up("assess");
    let admin = cluster.upstream(&cluster.cluster.kubeconfig).await;
    let fresh = snapshot(&admin, &cluster.cluster.kubeconfig).await;
    judged_as_it_is(&fresh);

    cluster.live_in();
    let before = snapshot(&admin, &cluster.cluster.kubeconfig).await;
    let saved = serde_json::to_string(&before).unwrap();
    assert!(
        !saved.contains(SECRET) && !saved.contains("Y29ycmVjdC1ob3JzZS"),
        "a secret was collected"
    );
    up_and_back(&admin, &cluster, &before).await;
    the_shipped_role_is_enough(&cluster).await;
    only_the_file_in_use_decides(&admin, &cluster).await;
}

fn judged_as_it_is(fresh: &Snapshot) {
    let assessment = judge(fresh);
    assert_eq!(assessment.stage, Stage::FIRST);
    // The development cluster's administrator is in system:masters.
    assert_eq!(outcome(&assessment, "S0-04"), Outcome::Fail);
    for control in [
        "S0-07", "S0-08", "S0-09", "S0-10", "S0-11", "S0-12", "S0-13", "S2-01", "S2-09", "S2-18",
    ] {
        assert_eq!(outcome(&assessment, control), Outcome::Pass, "{control}");
    }
    for control in assessment.findings.iter().filter(|f| f.stage.number() == 2) {
        let expected = control.control == "S2-23";
        assert_eq!(
            control.verdict.outcome == Outcome::Fail,
            expected,
            "{control:?}"
        );
    }
}

/// Makes every step, checks what it flipped, and takes all of it back.
async fn up_and_back(admin: &Upstream, cluster: &Own, before: &Snapshot) {
    let kubeconfig = &cluster.cluster.kubeconfig;
    let keep = advance::break_glass(admin).await.unwrap().unwrap();
    let wishes = Wishes {
        keep: Some(&keep),
        ..Wishes::default()
    };
    let way: Plan = plan(before, &Exceptions::default(), Stage::LAST, &wishes);
    let controls: Vec<&str> = way.steps.iter().map(|s| s.control.as_str()).collect();
    for control in ["S0-09", "S0-11", "S3-02"] {
        assert!(controls.contains(&control), "{control} of {controls:?}");
    }
    let mut undo = Vec::new();
    for step in &way.steps {
        for change in &step.changes {
            let before = judge(&snapshot(admin, kubeconfig).await);
            advance::apply(admin, change, true).await.unwrap();
            let tried = judge(&snapshot(admin, kubeconfig).await);
            assert_eq!(
                before.findings, tried.findings,
                "a dry run changed it: {change:?}"
            );
            undo.push(advance::apply(admin, change, false).await.unwrap());
        }
        let now = judge(&snapshot(admin, kubeconfig).await);
        for control in &step.flips {
            assert_eq!(
                outcome(&now, control),
                Outcome::Pass,
                "{control} by {}",
                step.control
            );
        }
    }
    for back in undo.iter().rev() {
        advance::roll_back(admin, back).await.unwrap();
    }
    let after = judge(&snapshot(admin, kubeconfig).await);
    for (then, now) in judge(before).findings.iter().zip(&after.findings) {
        assert_eq!(then.verdict.outcome, now.verdict.outcome, "{}", now.control);
        assert_eq!(then.verdict.summary, now.verdict.summary, "{}", now.control);
    }
}

/// With the shipped role everything is known but the Secrets; with no role, nothing passes that RBAC
/// decides.
async fn the_shipped_role_is_enough(cluster: &Own) {
    let role = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rbac/assessor.yaml");
    let stranger = cluster.account("stranger");
    let nothing = judge(&snapshot(&cluster.upstream(&stranger).await, &stranger).await);
    assert!(nothing.findings.iter().all(|f| f.stage.number() != 2
        || f.verdict.outcome != Outcome::Pass
        || f.control == "S2-01"));
    cluster.kubectl(&["apply", "-f", role]);
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "assessor",
        "--clusterrole=kubestile:assessor",
        "--serviceaccount=default:assessor",
    ]);
    cluster.kubectl(&[
        "create",
        "rolebinding",
        "assessor",
        "-n",
        "kube-system",
        "--role=kubestile:assessor",
        "--serviceaccount=default:assessor",
    ]);
    let assessor = cluster.account("assessor");
    let seen = snapshot(&cluster.upstream(&assessor).await, &assessor).await;
    let rbac = &seen.rbac;
    assert!(rbac.cluster_roles.known().is_some() && rbac.role_bindings.known().is_some());
    assert!(seen.admission.webhooks.known().is_some() && seen.admission.engines.known().is_some());
    assert!(seen.csrs.known().is_some() && seen.namespaces.known().is_some());
    assert_eq!(seen.nobody.known(), Some(&false));
    let refused = seen.token_secrets.get().unwrap_err();
    assert!(
        refused.text.contains("--show-permissions"),
        "{}",
        refused.text
    );
}

/// A configuration file that the server has not taken decides nothing, whatever it says.
async fn only_the_file_in_use_decides(admin: &Upstream, cluster: &Own) {
    const RESTING: [&str; 4] = ["S1-02", "S1-03", "S1-04", "S1-05"];
    let kubeconfig = &cluster.cluster.kubeconfig;
    let file = cluster.cluster.dir.join("authentication.yaml");
    let content = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": { "url": "https://127.0.0.1:1", "audiences": ["this-cluster"] },
            "claimMappings": { "username": { "claim": "sub", "prefix": "oidc:" } },
        }],
    });
    let good = content.to_string();
    std::fs::write(&file, &good).unwrap();
    let manifest = cluster.cluster.dir.join("manifests/kube-apiserver.yaml");
    let mut text = std::fs::read_to_string(&manifest).unwrap();
    text.push_str(&format!(
        "    - --authentication-config={}\n",
        file.display()
    ));
    std::fs::write(&manifest, text).unwrap();
    kubestile_devcluster::restart_api_server(&cluster.cluster.name).unwrap();

    let used = snapshot(admin, kubeconfig).await;
    assert!(used.control_plane.authentication.known().unwrap().proved);
    let judged = judge(&used);
    assert_eq!(outcome(&judged, "S1-04"), Outcome::Pass);
    assert_eq!(outcome(&judged, "S1-03"), Outcome::Fail);

    // It would pass everything, but no server takes it: the issuer has no audience.
    let mut better = content;
    better["jwt"][0]["issuer"]["audiences"] = json!([]);
    better["jwt"][0]["claimValidationRules"] =
        json!([{ "expression": "claims.exp - claims.nbf <= 3600", "message": "an hour" }]);
    std::fs::write(&file, better.to_string()).unwrap();
    let mut refused = snapshot(admin, kubeconfig).await;
    let judged = judge(&refused);
    for control in RESTING {
        let verdict = &judged.finding(control).unwrap().verdict;
        assert_eq!(verdict.outcome, Outcome::Unknown, "{control}");
        assert!(verdict.summary.contains("is not the file"), "{verdict:?}");
    }
    // That the server has refused it, and not just not read it, is said as soon as it has.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    loop {
        let absence = refused.control_plane.authentication.get().unwrap_err();
        if absence.text.contains("refused") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{absence}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        refused = snapshot(admin, kubeconfig).await;
    }

    std::fs::write(&file, good).unwrap();
    let mended = snapshot(admin, kubeconfig).await;
    assert_eq!(outcome(&judge(&mended), "S1-04"), Outcome::Pass);
}

async fn snapshot(upstream: &Upstream, kubeconfig: &Path) -> Snapshot {
    let options = Options {
        kubeconfig: Some(kubeconfig.to_owned()),
        control_plane: None,
        probes: true,
    };
    let taken = Timestamp::from_secs(1_795_575_600);
    collect(upstream, "test", &options, taken, &mut |_, _| {}).await
}

fn judge(snapshot: &Snapshot) -> Assessment {
    assess(snapshot, &Exceptions::default())
}

fn outcome(assessment: &Assessment, control: &str) -> Outcome {
    assessment.finding(control).unwrap().verdict.outcome
}

struct Own {
    cluster: Cluster,
    dir: tempfile::TempDir,
}

impl Own {
    fn up(name: &str) -> Self {
        let mut options = kubestile_devcluster::Options::new(name.parse().unwrap());
        options.kubernetes = Kubernetes::V1_36;
        options.node = false;
        let cluster = kubestile_devcluster::up(&options, &mut |_| {}).unwrap();
        Self {
            cluster,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    async fn upstream(&self, kubeconfig: &Path) -> Upstream {
        Upstream::from_kubeconfig(Some(kubeconfig), None)
            .await
            .unwrap()
    }

    /// What people do to a cluster.
    fn live_in(&self) {
        self.kubectl(&["create", "namespace", "shop"]);
        let all = "--clusterrole=cluster-admin";
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "admins",
            all,
            "--user=ana",
            "--user=bob",
            "--user=eve",
        ]);
        let view = "--clusterrole=view";
        self.kubectl(&[
            "create",
            "clusterrolebinding",
            "anybody",
            view,
            "--user=system:anonymous",
        ]);
        self.kubectl(&[
            "create",
            "rolebinding",
            "devs",
            "-n",
            "shop",
            "--clusterrole=edit",
            "--group=dev",
        ]);
        let kind = "--type=bootstrap.kubernetes.io/token";
        let data = format!("--from-literal=token-secret={SECRET}");
        self.kubectl(&[
            "create",
            "secret",
            "generic",
            "bootstrap-token-abcdef",
            "-n",
            "kube-system",
            kind,
            &data,
        ]);
        // Its controller makes it a moment later, and it counts.
        eventually("the namespace's default account", || {
            let mut get = self.cluster.kubectl();
            let get = get.args(["get", "serviceaccount", "default", "-n", "shop"]);
            get.output().unwrap().status.success().then_some(())
        });
    }

    /// A kubeconfig of a service account's token.
    fn account(&self, name: &str) -> std::path::PathBuf {
        self.kubectl(&["create", "serviceaccount", name]);
        let token = self.kubectl(&["create", "token", name]);
        let view = self.kubectl(&["config", "view", "--raw", "-o", "json"]);
        let mut config: serde_json::Value = serde_json::from_str(&view).unwrap();
        config["users"][0]["user"] = json!({ "token": token.trim() });
        let path = self.dir.path().join(name);
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn kubectl(&self, args: &[&str]) -> String {
        let output = self.cluster.kubectl().args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let down = kubestile_devcluster::down(&self.cluster.name, &mut |_| {});
        if !std::thread::panicking() {
            down.unwrap();
        }
    }
}
