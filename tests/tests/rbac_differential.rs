//! The RBAC evaluator against a real API server's SubjectAccessReview: on generated roles, bindings,
//! people and requests they answer alike, and aggregated roles have the same rules.
//!
//! `KUBESTILE_RBAC_CASES=N` asks N questions instead of 5,000, `KUBESTILE_SEED=N` others.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test binary may panic"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubestile_cluster::{Call, Upstream};
use kubestile_devcluster::{DownOnDrop, Options};
use kubestile_rbac::evaluate::{Attributes, Target, User, authorize};
use kubestile_rbac::model::{ClusterRole, Metadata};
use kubestile_rbac::{
    ClusterRoleBinding, Objects, Policy, Role, RoleBinding, RoleRef, Rule, Subject, aggregate,
};
use kubestile_testkit::rbac::{NAMESPACES, Policies, Size};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[path = "rbac_differential/commands.rs"]
mod commands;

const CASES: u64 = 5_000;
const SEED: u64 = 1;
/// Questions that are open at the same time.
const AT_ONCE: usize = 24;
const API: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const SENTINEL: &str = "differential-sentinel";
/// How long the controller and the authorizer may take to see what was written.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_subject_access_review() {
    let cases = usize::try_from(number("KUBESTILE_RBAC_CASES", CASES)).unwrap();
    let mut policies = Policies::new(number("KUBESTILE_SEED", SEED), "differential");
    let cluster = cluster();
    let admin = Upstream::from_kubeconfig(Some(cluster.kubeconfig.as_path()), None)
        .await
        .unwrap();
    let size = Size {
        roles: 40,
        bindings: 40,
    };
    let written = policies.objects(size);
    write(&admin, &written).await;
    refused(&admin).await;
    aggregated_alike(&admin).await;
    sentinel(&admin).await;

    let policy = Arc::new(Policy::new(read(&admin).await));
    let questions: Vec<(User, Attributes)> = (0..cases)
        .map(|_| (policies.user(), policies.request()))
        .collect();
    let tally = compare(&admin, &policy, questions).await;
    println!("{cases} reviews: {} allowed", tally.allowed);
    assert!(
        tally.differences.is_empty(),
        "{} differences from kube-apiserver, the first:\n{}",
        tally.differences.len(),
        tally.differences[..tally.differences.len().min(10)].join("\n")
    );
    commands::compare(&cluster, &admin, &policy, &mut policies).await;
    // An evaluator that refuses everybody, or nobody, agrees about too little.
    let share = tally.allowed * 100 / cases.max(1);
    assert!((10..=90).contains(&share), "{share} % were allowed");
    assert!(tally.paths > cases / 200, "{} paths allowed", tally.paths);
}

#[derive(Default)]
struct Tally {
    allowed: usize,
    paths: usize,
    differences: Vec<String>,
}

async fn compare(
    admin: &Upstream,
    policy: &Arc<Policy>,
    questions: Vec<(User, Attributes)>,
) -> Tally {
    let questions = Arc::new(questions);
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (admin, policy) = (admin.clone(), Arc::clone(policy));
            let (questions, next) = (Arc::clone(&questions), Arc::clone(&next));
            tokio::spawn(async move {
                let mut tally = Tally::default();
                while let Some((user, asked)) = questions.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let theirs = review(&admin, user, asked).await;
                    tally.judge(&policy, user, asked, theirs);
                }
                tally
            })
        })
        .collect();
    let mut whole = Tally::default();
    for worker in workers {
        let part = worker.await.unwrap();
        whole.allowed += part.allowed;
        whole.paths += part.paths;
        whole.differences.extend(part.differences);
    }
    whole
}

impl Tally {
    fn judge(&mut self, policy: &Policy, user: &User, asked: &Attributes, theirs: bool) {
        let ours = authorize(policy, user, asked);
        self.allowed += usize::from(theirs);
        self.paths += usize::from(theirs && matches!(asked.target, Target::Path(_)));
        let explained = ours.bypass || ours.allowed != ours.because.is_empty();
        if ours.allowed != theirs || !explained {
            let because = ours.because.iter().map(|grant| {
                let binding = policy.binding(grant.binding).unwrap();
                format!("{binding} rule {}", grant.rule)
            });
            self.differences.push(format!(
                "{user:?} {asked:?}\n    ours {}, theirs {theirs}: {:?}",
                ours.allowed,
                because.collect::<Vec<_>>()
            ));
        }
    }
}

/// What the API server answers. Nobody in a review has a group that the Node authorizer knows.
async fn review(admin: &Upstream, user: &User, asked: &Attributes) -> bool {
    let mut spec = json!({ "user": user.name, "groups": user.groups });
    match &asked.target {
        Target::Resource(target) => {
            spec["resourceAttributes"] = json!({
                "verb": asked.verb,
                "group": target.group,
                "resource": target.resource,
                "subresource": target.subresource,
                "namespace": target.namespace,
                "name": target.name,
            });
        }
        Target::Path(path) => {
            spec["nonResourceAttributes"] = json!({ "verb": asked.verb, "path": path });
        }
    }
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": spec,
    });
    let answer: Value = admin.request(&Call::post(REVIEWS, &review)).await.unwrap();
    answer["status"]["allowed"].as_bool().unwrap()
}

async fn write(admin: &Upstream, objects: &Objects) {
    let mut calls = Vec::new();
    for name in NAMESPACES {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let call = Call::post("/api/v1/namespaces", &namespace);
        let _: Value = admin.request(&call).await.unwrap();
    }
    for role in &objects.cluster_roles {
        calls.push(create("clusterroles", "ClusterRole", &role.metadata, role));
    }
    for role in &objects.roles {
        calls.push(create("roles", "Role", &role.metadata, role));
    }
    for binding in &objects.cluster_role_bindings {
        let kind = "ClusterRoleBinding";
        calls.push(create(
            "clusterrolebindings",
            kind,
            &binding.metadata,
            binding,
        ));
    }
    for binding in &objects.role_bindings {
        let kind = "RoleBinding";
        calls.push(create("rolebindings", kind, &binding.metadata, binding));
    }
    for call in calls {
        let _: Value = admin.request(&call).await.unwrap();
    }
}

fn create(plural: &str, kind: &str, metadata: &Metadata, object: &impl Serialize) -> Call {
    let mut object = serde_json::to_value(object).unwrap();
    object["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
    object["kind"] = json!(kind);
    let path = match metadata.namespace.as_str() {
        "" => format!("{API}/{plural}"),
        namespace => format!("{API}/namespaces/{namespace}/{plural}"),
    };
    Call::post(path, &object)
}

/// Forms that no API server stores, so that nothing of this crate need say what they give.
async fn refused(admin: &Upstream) {
    let group = "rbac.authorization.k8s.io";
    let account = || Subject::service_account(NAMESPACES[0], "web");
    let with = |mut subject: Subject, api_group: &str, namespace: &str| {
        subject.api_group = api_group.to_owned();
        subject.namespace = namespace.to_owned();
        subject
    };
    let subjects = [
        with(account(), group, NAMESPACES[0]),
        with(account(), "", ""),
        with(Subject::user("alice"), "apps", ""),
        Subject::user(""),
        Subject {
            kind: "Robot".to_owned(),
            ..Subject::user("alice")
        },
    ];
    for subject in subjects {
        let binding = ClusterRoleBinding {
            metadata: Metadata::named("refused"),
            subjects: vec![subject],
            role_ref: RoleRef::cluster_role("view"),
        };
        let kind = "ClusterRoleBinding";
        let call = create("clusterrolebindings", kind, &binding.metadata, &binding);
        let answer: Result<Value, _> = admin.request(&call).await;
        assert!(answer.is_err(), "{:?} is stored", binding.subjects);
    }
    let mut mixed = Rule::resources(&["get"], &[""], &["pods"]);
    mixed.non_resource_urls = vec!["/metrics".to_owned()];
    let in_namespace = Rule::paths(&["get"], &["/metrics"]);
    for rule in [mixed, in_namespace, Rule::resources(&[], &[""], &["pods"])] {
        let role = Role {
            metadata: Metadata::namespaced(NAMESPACES[0], "refused"),
            rules: vec![rule],
        };
        let call = create("roles", "Role", &role.metadata, &role);
        let answer: Result<Value, _> = admin.request(&call).await;
        assert!(answer.is_err(), "{:?} is stored", role.rules);
    }
}

/// Waits until the controller has given every aggregated role the rules that we give it; those that Kubernetes has
/// itself too.
async fn aggregated_alike(admin: &Upstream) {
    let started = tokio::time::Instant::now();
    loop {
        let theirs: Vec<ClusterRole> = list(admin, "clusterroles").await;
        let mut ours = theirs.clone();
        aggregate::aggregate(&mut ours);
        let aggregated = ours.iter().filter(|role| role.aggregation_rule.is_some());
        let with_rules = aggregated.filter(|r| !r.rules.is_empty()).count();
        assert!(with_rules > 5, "{with_rules} aggregated roles with rules");
        let differs = ours.iter().zip(&theirs).find(|(a, b)| a.rules != b.rules);
        let Some((ours, theirs)) = differs else {
            return;
        };
        assert!(
            started.elapsed() < SEEN_WITHIN,
            "the controller gives `{}` {:?} and not {:?}",
            ours.metadata.name,
            theirs.rules,
            ours.rules
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the authorizer has seen everything that was written before: a role and a binding of each
/// kind that are written last allow what nothing else does.
async fn sentinel(admin: &Upstream) {
    let rules = || vec![Rule::resources(&["get"], &[SENTINEL], &["things"])];
    let namespace = NAMESPACES[0];
    let subjects = |user: &str| vec![Subject::user(user)];
    let (everywhere, here) = ("sentinel-of-cluster", "sentinel-of-namespace");
    let objects = Objects {
        cluster_roles: vec![ClusterRole {
            metadata: Metadata::named(SENTINEL),
            rules: rules(),
            aggregation_rule: None,
        }],
        roles: vec![Role {
            metadata: Metadata::namespaced(namespace, SENTINEL),
            rules: rules(),
        }],
        cluster_role_bindings: vec![ClusterRoleBinding {
            metadata: Metadata::named(SENTINEL),
            subjects: subjects(everywhere),
            role_ref: RoleRef::cluster_role(SENTINEL),
        }],
        role_bindings: vec![RoleBinding {
            metadata: Metadata::namespaced(namespace, SENTINEL),
            subjects: subjects(here),
            role_ref: RoleRef::role(SENTINEL),
        }],
    };
    let calls = [
        create(
            "clusterroles",
            "ClusterRole",
            &objects.cluster_roles[0].metadata,
            &objects.cluster_roles[0],
        ),
        create(
            "roles",
            "Role",
            &objects.roles[0].metadata,
            &objects.roles[0],
        ),
        create(
            "clusterrolebindings",
            "ClusterRoleBinding",
            &objects.cluster_role_bindings[0].metadata,
            &objects.cluster_role_bindings[0],
        ),
        create(
            "rolebindings",
            "RoleBinding",
            &objects.role_bindings[0].metadata,
            &objects.role_bindings[0],
        ),
    ];
    for call in calls {
        let _: Value = admin.request(&call).await.unwrap();
    }
    let asked = Attributes::resource("get", SENTINEL, "things", namespace);
    let started = tokio::time::Instant::now();
    for name in [everywhere, here] {
        while !review(admin, &User::new(name, &[]), &asked).await {
            assert!(started.elapsed() < SEEN_WITHIN, "{name} is not seen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Everything that the API server has, its own roles included.
async fn read(admin: &Upstream) -> Objects {
    let objects = Objects {
        cluster_roles: list(admin, "clusterroles").await,
        roles: list(admin, "roles").await,
        cluster_role_bindings: list(admin, "clusterrolebindings").await,
        role_bindings: list(admin, "rolebindings").await,
    };
    let names: BTreeSet<&str> = objects
        .cluster_roles
        .iter()
        .map(|r| r.metadata.name.as_str())
        .collect();
    assert!(names.contains("cluster-admin"), "{names:?}");
    objects
}

async fn list<T: DeserializeOwned>(admin: &Upstream, plural: &str) -> Vec<T> {
    let mut list = admin.get_json(&format!("{API}/{plural}")).await.unwrap();
    serde_json::from_value(list["items"].take()).unwrap()
}

fn cluster() -> DownOnDrop {
    let mut options = Options::new("rbac-differential".parse().unwrap());
    options.node = false;
    kubestile_devcluster::up(&options, &mut |_| {})
        .unwrap()
        .down_on_drop()
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}
