//! The gate's own account, against real API servers: what is installed does what it must and nothing
//! else, follows namespaces, and goes without a trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode};
use kubestile_cluster::account::{self, AccountError, Installed, Mode, Options, People};
use kubestile_cluster::review::{self, Review};
use kubestile_cluster::{Call, Upstream};
use kubestile_core::ids::ClusterName;
use kubestile_core::impersonate::{EXTRA_REQUEST, EXTRA_SESSION};
use kubestile_core::time::Ttl;
use kubestile_devcluster::{Cluster, Kubernetes};
use serde_json::{Value, json};

const HOUR: Ttl = Ttl::from_secs(3600);
const ID: &str = "018f3f5e-7c1a-7000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn constrained_from_1_36_on() {
    let cluster = Own::up("account-136", Kubernetes::V1_36, &[]);
    whole_life(&cluster, Mode::Constrained).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn legacy_on_1_34() {
    let cluster = Own::up("account-134", Kubernetes::V1_34, &[]);
    whole_life(&cluster, Mode::Legacy).await;
}

/// The version promises constrained impersonation and the server does not keep it.
#[tokio::test(flavor = "multi_thread")]
async fn legacy_where_constrained_is_switched_off() {
    let off = "--feature-gates=ConstrainedImpersonation=false";
    let cluster = Own::up("account-off", Kubernetes::V1_36, &[off]);
    let admin = cluster.admin().await;
    let installed = install(&admin, &Options::default()).await;
    assert_eq!(installed.mode, Mode::Legacy);
    let gate = Upstream::from_account(&installed.credential, HOUR).unwrap();
    assert_clean(&review::check(&gate).await.unwrap(), Mode::Legacy);
    let insist = Options {
        mode: Some(Mode::Constrained),
        ..Options::default()
    };
    let plan = account::plan(&admin, &name(), &insist).await.unwrap();
    let error = account::install(&admin, &plan, &mut |_| {}).await;
    assert!(matches!(error, Err(AccountError::CannotImpersonate { .. })));
    // The wrong role is there now, and a sync finds out what works.
    let synced = account::sync(&admin, &name(), &Options::default(), &mut |_| {}).await;
    assert_eq!(synced.unwrap().mode, Mode::Legacy);
    assert_clean(&review::check(&gate).await.unwrap(), Mode::Legacy);
    let plan = account::plan(&admin, &name(), &Options::default())
        .await
        .unwrap();
    assert!(
        plan.steps().is_empty(),
        "the metrics say that it is off: {plan}"
    );
    account::remove(&admin, &mut |_| {}).await.unwrap();
}

async fn whole_life(cluster: &Own, mode: Mode) {
    let admin = cluster.admin().await;
    cluster.kubectl(&["create", "namespace", "shop"]);
    let everything = review::check(&admin).await.unwrap();
    assert_eq!(
        everything.excess,
        ["everything"],
        "an administrator's credential"
    );

    let installed = install(&admin, &Options::default()).await;
    assert_eq!(installed.mode, mode);
    let again = account::plan(&admin, &name(), &Options::default()).await;
    assert!(
        again.unwrap().steps().is_empty(),
        "nothing is left to change"
    );

    let gate = Upstream::from_account(&installed.credential, HOUR).unwrap();
    assert_clean(&review::check(&gate).await.unwrap(), mode);
    identity_is_exactly_ours(&gate).await;
    nobody_else(&gate, mode).await;
    nothing_of_its_own(&gate).await;
    job_functions(&gate).await;
    renewal(&installed).await;
    named_people(&admin, &gate).await;
    namespaces_are_followed(cluster, &admin, &gate).await;
    drift_is_seen_and_repaired(cluster, &admin, &gate, mode).await;
    no_trace(cluster, &admin, &gate).await;
    what_is_not_ours_stays(cluster, &admin).await;
}

async fn identity_is_exactly_ours(gate: &Upstream) {
    let groups = ["kubestile:viewer", "kubestile:operator:shop"];
    let extra = [(EXTRA_SESSION, ID), (EXTRA_REQUEST, ID)];
    let review = whoami(gate, &person("ana@example.com", &groups, &extra)).await;
    assert_eq!(
        review.unwrap(),
        json!({
            "username": "ana@example.com",
            "uid": ID,
            "groups": ["kubestile:viewer", "kubestile:operator:shop", "system:authenticated"],
            "extra": { EXTRA_SESSION: [ID], EXTRA_REQUEST: [ID] },
        })
    );
    let bare = whoami(gate, &person("ana", &[], &[])).await.unwrap();
    assert_eq!(bare["groups"], json!(["system:authenticated"]));
}

async fn nobody_else(gate: &Upstream, mode: Mode) {
    for groups in [
        &["system:masters"][..],
        &["kubestile:viewer", "system:masters"],
        &["system:nodes"],
        &["system:authenticated"],
        &["kubestile:operator"],
        &["kubestile:admin:kube-system"],
        &["kubestile:admin:kubestile-system"],
        &["kubestile:operator:not-there"],
        &["*"],
        // Four and more are asked about as `*` first.
        &["a", "b", "c", "d", "system:masters"],
    ] {
        let refused = whoami(gate, &person("ana", groups, &[])).await;
        assert_eq!(refused, Err(StatusCode::FORBIDDEN), "{groups:?}");
    }
    for extra in ["scopes", "kubestile.dev/other", "kubestile.dev", "*"] {
        let refused = whoami(gate, &person("ana", &[], &[(extra, "x")])).await;
        assert_eq!(refused, Err(StatusCode::FORBIDDEN), "{extra}");
    }
    let account = person("system:serviceaccount:kube-system:default", &[], &[]);
    assert_eq!(whoami(gate, &account).await, Err(StatusCode::FORBIDDEN));
    if mode == Mode::Constrained {
        let node = person("system:node:n", &[], &[]);
        assert_eq!(whoami(gate, &node).await, Err(StatusCode::FORBIDDEN));
    }
}

async fn nothing_of_its_own(gate: &Upstream) {
    let myself = HeaderMap::new();
    for path in [
        "/api/v1/pods",
        "/api/v1/secrets",
        "/api/v1/namespaces",
        "/api/v1/nodes/n/proxy/metrics",
        "/apis/apps/v1/namespaces/shop/deployments",
        "/metrics",
    ] {
        assert_eq!(get(gate, path, &myself).await, 403, "{path}");
    }
    let token =
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    for account in [
        "kubestile-system/serviceaccounts/default",
        "kube-system/serviceaccounts/default",
    ] {
        let path = format!("/api/v1/namespaces/{account}/token");
        let answer = gate.call(&Call::post(path.as_str(), &token)).await.unwrap();
        assert_eq!(answer.status, 403, "{path}");
    }
}

async fn job_functions(gate: &Upstream) {
    let viewer = person("ana", &["kubestile:viewer"], &[]);
    let operator = person("ana", &["kubestile:operator:shop"], &[]);
    let admin = person("ana", &["kubestile:admin:shop"], &[]);
    for path in [
        "/api/v1/pods",
        "/api/v1/nodes",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    ] {
        assert_eq!(get(gate, path, &viewer).await, 200, "{path}");
        assert_eq!(get(gate, path, &operator).await, 403, "{path}");
    }
    let secrets = "/api/v1/namespaces/shop/secrets";
    assert_eq!(get(gate, "/api/v1/secrets", &viewer).await, 403);
    assert_eq!(get(gate, secrets, &viewer).await, 403);
    assert_eq!(get(gate, secrets, &operator).await, 403);
    assert_eq!(get(gate, secrets, &admin).await, 200);
    assert_eq!(
        get(gate, "/api/v1/namespaces/default/secrets", &admin).await,
        403
    );
    for (who, namespace, expected) in [
        (&viewer, "shop", 403),
        (&operator, "shop", 201),
        (&operator, "default", 403),
        (&admin, "shop", 201),
    ] {
        let object =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" } });
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
        assert_eq!(
            post(gate, &path, &object, who).await,
            expected,
            "{namespace}"
        );
    }
    // The API server's guard: a role cannot give what its author does not have.
    let role = |resource: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "r" },
            "rules": [{ "apiGroups": [""], "resources": [resource], "verbs": ["create"] }],
        })
    };
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles?dryRun=All";
    assert_eq!(post(gate, path, &role("pods"), &admin).await, 201);
    assert_eq!(
        post(gate, path, &role("serviceaccounts/token"), &admin).await,
        403
    );
    assert_eq!(post(gate, path, &role("pods"), &operator).await, 403);
}

/// A credential that is due is exchanged for another, which works.
async fn renewal(installed: &Installed) {
    let mut credential = installed.credential.clone();
    credential.expires = None;
    let gate = Upstream::from_account(&credential, HOUR).unwrap();
    let renewals = gate.renewals();
    let header = gate.authorization().await.unwrap().unwrap();
    let renewed = renewals.borrow().clone().expect("a renewed token");
    assert_eq!(
        header,
        format!("Bearer {}", renewed.token.expose()).as_str()
    );
    assert_ne!(renewed.token.expose(), credential.token.expose());
    assert!(whoami(&gate, &person("ana", &[], &[])).await.is_ok());
}

async fn named_people(admin: &Upstream, gate: &Upstream) {
    let only_ana = Options {
        people: People::Named(vec!["ana".to_owned()]),
        ..Options::default()
    };
    account::sync(admin, &name(), &only_ana, &mut |_| {})
        .await
        .unwrap();
    refused_soon(gate, "system:kube-controller-manager").await;
    assert!(whoami(gate, &person("ana", &[], &[])).await.is_ok());
    let review = review::check(gate).await.unwrap();
    assert!(
        review.excess.is_empty() && review.missing.is_empty(),
        "{review:?}"
    );
    account::sync(admin, &name(), &Options::default(), &mut |_| {})
        .await
        .unwrap();
    accepted_soon(gate, &person("ben", &[], &[])).await;
}

async fn namespaces_are_followed(cluster: &Own, admin: &Upstream, gate: &Upstream) {
    cluster.kubectl(&["create", "namespace", "bank"]);
    let operator = person("ana", &["kubestile:operator:bank"], &[]);
    assert_eq!(whoami(gate, &operator).await, Err(StatusCode::FORBIDDEN));
    let sync = async || {
        let synced = account::sync(admin, &name(), &Options::default(), &mut |_| {}).await;
        synced.unwrap().changes
    };
    assert_eq!(
        sync().await,
        [
            "~ ClusterRole kubestile:gate",
            "+ RoleBinding bank/kubestile:admin",
            "+ RoleBinding bank/kubestile:operator",
        ]
    );
    assert!(sync().await.is_empty(), "nothing new");
    accepted_soon(gate, &operator).await;
    assert_eq!(
        get(gate, "/api/v1/namespaces/bank/pods", &operator).await,
        200
    );
    cluster.kubectl(&["delete", "namespace", "bank", "--wait=true"]);
    assert_eq!(sync().await, ["~ ClusterRole kubestile:gate"]);
    eventually(async || whoami(gate, &operator).await.is_err()).await;
}

async fn drift_is_seen_and_repaired(cluster: &Own, admin: &Upstream, gate: &Upstream, mode: Mode) {
    let account = "--serviceaccount=kubestile-system:kubestile-gate";
    cluster.kubectl(&[
        "create",
        "clusterrolebinding",
        "stray",
        "--clusterrole=edit",
        account,
    ]);
    cluster.kubectl(&[
        "create",
        "rolebinding",
        "stray",
        "-n",
        "kube-system",
        "--clusterrole=admin",
        account,
    ]);
    let patch = r#"[{"op":"remove","path":"/rules/2"},{"op":"add","path":"/rules/-","value":{"apiGroups":["","authentication.k8s.io"],"resources":["groups"],"verbs":["impersonate","impersonate:user-info"]}}]"#;
    cluster.kubectl(&[
        "patch",
        "clusterrole",
        "kubestile:gate",
        "--type=json",
        "-p",
        patch,
    ]);
    let review = review_when(gate, |review| {
        let seen = |words: &str| review.excess.iter().any(|e| e == words);
        seen("create pods")
            && seen("create roles.rbac.authorization.k8s.io in kube-system")
            && !review.missing.is_empty()
    })
    .await;
    for right in [
        "get secrets",
        "impersonate serviceaccounts default in kube-system",
        "impersonate groups system:masters",
    ] {
        assert!(
            review.excess.iter().any(|e| e == right),
            "{right}: {review:?}"
        );
    }
    assert!(
        review.missing.iter().any(|m| m.contains("uids")),
        "{review:?}"
    );

    cluster.kubectl(&["delete", "clusterrolebinding", "stray"]);
    cluster.kubectl(&["delete", "rolebinding", "stray", "-n", "kube-system"]);
    let plan = account::plan(admin, &name(), &Options::default())
        .await
        .unwrap();
    let shown = plan.to_string();
    assert!(shown.contains("~ ClusterRole kubestile:gate"), "{shown}");
    assert!(
        shown.contains("- impersonate, impersonate:user-info groups"),
        "{shown}"
    );
    let synced = account::sync(admin, &name(), &Options::default(), &mut |_| {}).await;
    assert_eq!(synced.unwrap().mode, mode);
    let clean = review_when(gate, |r| r.excess.is_empty() && r.missing.is_empty()).await;
    assert_clean(&clean, mode);
}

async fn no_trace(cluster: &Own, admin: &Upstream, gate: &Upstream) {
    let removed = account::remove(admin, &mut |_| {}).await.unwrap();
    assert!(removed.left.is_empty(), "{removed:?}");
    let kinds = "clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,namespaces";
    let left = cluster.kubectl(&["get", kinds, "--all-namespaces", "-o", "name"]);
    assert!(!left.contains("kubestile"), "{left}");
    eventually(async || get(gate, "/api", &HeaderMap::new()).await == 401).await;
    let again = account::remove(admin, &mut |_| {}).await.unwrap();
    assert_eq!(again, account::Removed::default());
    let nothing = account::sync(admin, &name(), &Options::default(), &mut |_| {}).await;
    assert!(matches!(nothing, Err(AccountError::NotInstalled(_))));
}

async fn what_is_not_ours_stays(cluster: &Own, admin: &Upstream) {
    cluster.kubectl(&["create", "namespace", "kubestile-system"]);
    cluster.kubectl(&[
        "create",
        "clusterrole",
        "kubestile:viewer",
        "--verb=get",
        "--resource=pods",
    ]);
    let plan = account::plan(admin, &name(), &Options::default()).await;
    assert!(
        matches!(plan, Err(AccountError::Foreign { .. })),
        "{plan:?}"
    );
    let removed = account::remove(admin, &mut |_| {}).await.unwrap();
    assert!(
        removed.removed.is_empty() && removed.left.len() == 2,
        "{removed:?}"
    );
    cluster.kubectl(&["get", "namespace", "kubestile-system"]);
    cluster.kubectl(&["delete", "clusterrole", "kubestile:viewer"]);
    // In a namespace that was there the account is a guest.
    install(admin, &Options::default()).await;
    let removed = account::remove(admin, &mut |_| {}).await.unwrap();
    assert_eq!(
        removed.left,
        ["Namespace kubestile-system: it is not Kubestile's"]
    );
    // In one of ours, what others put there keeps it.
    cluster.kubectl(&["delete", "namespace", "kubestile-system", "--wait=true"]);
    install(admin, &Options::default()).await;
    cluster.kubectl(&["create", "configmap", "notes", "-n", "kubestile-system"]);
    let removed = account::remove(admin, &mut |_| {}).await.unwrap();
    assert_eq!(
        removed.left,
        ["Namespace kubestile-system: it holds configmaps/notes"]
    );
}

/// A cluster of this test alone, taken down at its end.
struct Own {
    cluster: Cluster,
}

impl Own {
    fn up(name: &str, kubernetes: Kubernetes, flags: &[&str]) -> Self {
        let mut options = kubestile_devcluster::Options::new(name.parse().unwrap());
        options.kubernetes = kubernetes;
        options.node = false;
        options.api_server_flags = flags.iter().map(|f| (*f).to_owned()).collect();
        let cluster = kubestile_devcluster::up(&options, &mut |_| {}).unwrap();
        Self { cluster }
    }

    async fn admin(&self) -> Upstream {
        let kubeconfig = Some(self.cluster.kubeconfig.as_path());
        Upstream::from_kubeconfig(kubeconfig, None).await.unwrap()
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

fn name() -> ClusterName {
    "prod".parse().unwrap()
}

async fn install(admin: &Upstream, options: &Options) -> Installed {
    let plan = account::plan(admin, &name(), options).await.unwrap();
    let mut said = Vec::new();
    let installed = account::install(admin, &plan, &mut |line| said.push(line.to_owned())).await;
    let installed = installed.unwrap();
    assert!(said.len() >= plan.steps().len(), "{said:?}");
    assert_eq!(format!("{:?}", installed.credential.token), "[secret]");
    installed
}

fn assert_clean(review: &Review, mode: Mode) {
    let clean = Review {
        excess: Vec::new(),
        missing: Vec::new(),
        mode: Some(mode),
    };
    assert_eq!(*review, clean);
}

/// Headers for acting as a person, with what an attacker could put there too.
fn person(name: &str, groups: &[&str], extra: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    headers.insert("impersonate-user", value(name));
    // Service accounts and nodes go by their name alone.
    if !name.starts_with("system:") {
        headers.insert("impersonate-uid", value(ID));
    }
    for group in groups {
        headers.append("impersonate-group", value(group));
    }
    for (key, text) in extra {
        let key = format!("impersonate-extra-{}", key.replace('/', "%2F"));
        let key: http::HeaderName = key.parse().unwrap();
        headers.append(key, value(text));
    }
    headers
}

/// As whom the API server sees us, or the status of its refusal.
async fn whoami(gate: &Upstream, headers: &HeaderMap) -> Result<Value, StatusCode> {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let call = Call::post(path, &review).with_headers(headers.clone());
    let answer = gate.call(&call).await.unwrap();
    if !answer.status.is_success() {
        return Err(answer.status);
    }
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    Ok(seen["status"]["userInfo"].clone())
}

async fn get(gate: &Upstream, path: &str, headers: &HeaderMap) -> u16 {
    let call = Call::get(path).with_headers(headers.clone());
    gate.call(&call).await.unwrap().status.as_u16()
}

async fn post(gate: &Upstream, path: &str, object: &Value, headers: &HeaderMap) -> u16 {
    let call = Call::post(path, object).with_headers(headers.clone());
    gate.call(&call).await.unwrap().status.as_u16()
}

async fn accepted_soon(gate: &Upstream, headers: &HeaderMap) {
    eventually(async || whoami(gate, headers).await.is_ok()).await;
}

async fn refused_soon(gate: &Upstream, name: &str) {
    let headers = person(name, &[], &[]);
    eventually(async || whoami(gate, &headers).await.is_err()).await;
}

/// The first review that is as it is waited for.
async fn review_when(gate: &Upstream, is: impl Fn(&Review) -> bool) -> Review {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let review = review::check(gate).await.unwrap();
        if is(&review) {
            return review;
        }
        assert!(Instant::now() < deadline, "still {review:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Rights reach the API server's caches within moments; constrained impersonation keeps its answers
/// for 10 s.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "never");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
