//! `kubestile rbac who-can`, `can` and `privilege`, run as people run them, against the same server.

use std::collections::BTreeSet;
use std::process::Command;

use kubestile_cluster::Upstream;
use kubestile_devcluster::Cluster;
use kubestile_rbac::discovery::Discovery;
use kubestile_rbac::evaluate::{Attributes, Target, User};
use kubestile_rbac::{Identity, Policy, Rule};
use kubestile_testkit::rbac::{NAMES, Policies};
use kubestile_tests::gate::binary;
use serde_json::{Value, json};

use super::review;

/// Questions to `who-can`, and people for `can`.
const ASKED: usize = 40;
const PEOPLE: usize = 24;
/// Rights of one person that are tried.
const TRIED: usize = 40;

/// Compares all three.
pub(super) async fn compare(
    cluster: &Cluster,
    admin: &Upstream,
    policy: &Policy,
    policies: &mut Policies,
) {
    let everybody: Vec<Identity> = policy.identities().into_iter().collect();
    let mut asked = 0;
    while asked < ASKED {
        let request = policies.request();
        if let Some(words) = words_of(&request) {
            who_can(cluster, admin, &everybody, &request, &words).await;
            asked += 1;
        }
    }
    let people = || {
        everybody
            .iter()
            .filter(|who| !is_of_kubernetes(who) && who.user_name().is_some())
    };
    for who in people().take(PEOPLE) {
        can(cluster, who);
    }
    privilege(cluster, admin, people().count()).await;
}

fn is_of_kubernetes(who: &Identity) -> bool {
    match who {
        Identity::ServiceAccount { namespace, .. } => namespace == "kube-system",
        Identity::User { name } | Identity::Group { name } => name.starts_with("system:"),
    }
}

fn rbac(cluster: &Cluster, words: &[String]) -> Value {
    let output = Command::new(binary())
        .arg("rbac")
        .args(words)
        .args(["-o", "json"])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn subjects(rows: &Value) -> BTreeSet<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["subject"].as_str().unwrap()).collect()
}

/// How one would type it; none for what nobody could.
fn words_of(request: &Attributes) -> Option<Vec<String>> {
    let target = match &request.target {
        Target::Path(path) if path.starts_with('/') => {
            return Some(vec![request.verb.clone(), path.clone()]);
        }
        Target::Path(_) => return None,
        Target::Resource(target) => target,
    };
    let odd = |word: &str| word.is_empty() || word.contains(['.', '/', '-']);
    let is_odd = odd(&target.resource) || target.resource.contains('*');
    if is_odd || request.verb.is_empty() || target.group.contains('/') {
        return None;
    }
    // Those of the core group have a dot and nothing behind it.
    let mut resource = format!("{}.{}", target.resource, target.group);
    if !target.subresource.is_empty() {
        resource = format!("{}/{}", resource, target.subresource);
    }
    let mut words = vec![request.verb.clone(), resource];
    words.extend((!target.name.is_empty()).then(|| target.name.clone()));
    words.extend(match target.namespace.as_str() {
        "" => vec!["-A".to_owned()],
        namespace => vec!["-n".to_owned(), namespace.to_owned()],
    });
    Some(words)
}

/// Those and only those are listed, by name or by a group, whom the server lets.
async fn who_can(
    cluster: &Cluster,
    admin: &Upstream,
    everybody: &[Identity],
    request: &Attributes,
    words: &[String],
) {
    let mut args = vec!["who-can".to_owned()];
    args.extend_from_slice(words);
    let rows = rbac(cluster, &args);
    let listed = subjects(&rows);
    let mut asked = request.clone();
    if let Target::Resource(target) = &mut asked.target
        && Discovery::well_known().is_cluster_scoped(&target.group, &target.resource)
    {
        target.namespace.clear();
    }
    for who in everybody {
        let user = User::of(who);
        let groups = user.groups.iter().map(|g| format!("group/{g}"));
        let is_listed = listed.contains(who.to_string().as_str())
            || groups.into_iter().any(|g| listed.contains(g.as_str()));
        let theirs = review(admin, &user, &asked).await;
        assert_eq!(is_listed, theirs, "{who}: {words:?} {listed:?}");
    }
}

/// What is listed is what the server tells somebody of themselves, rule by rule.
fn can(cluster: &Cluster, who: &Identity) {
    let user = User::of(who);
    // The header cannot carry every name.
    if !user.name.is_ascii() || user.name.trim() != user.name {
        return;
    }
    for namespace in ["rbac-a", "rbac-empty"] {
        let words = ["can", &who.to_string(), "-n", namespace].map(str::to_owned);
        let rows = rbac(cluster, &words);
        let rows = rows.as_array().unwrap().iter();
        let mut ours: Vec<String> = rows
            .map(|row| {
                let rule = row["rule"].as_str().unwrap();
                rule.rsplit_once(" (rules[").unwrap().0.to_owned()
            })
            .collect();
        let mut theirs = of_themselves(cluster, &user, namespace);
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{who} in {namespace}");
    }
}

fn of_themselves(cluster: &Cluster, user: &User, namespace: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("review.json");
    let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": namespace } });
    std::fs::write(&path, review.to_string()).unwrap();
    let mut kubectl = cluster.kubectl();
    let url = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    kubectl.args(["create", "--raw", url, "-f"]).arg(&path);
    kubectl.arg(format!("--as={}", user.name));
    let output = kubectl.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", user.name);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rules = ["resourceRules", "nonResourceRules"].map(|list| answer["status"][list].clone());
    let rules = rules.iter().filter_map(Value::as_array).flatten();
    rules
        .map(|rule| {
            serde_json::from_value::<Rule>(rule.clone())
                .unwrap()
                .to_string()
        })
        .collect()
}

/// What is held and unused is let, for some name at least; what is not among it is not.
async fn privilege(cluster: &Cluster, admin: &Upstream, most: usize) {
    let log = cluster.audit_log.to_str().unwrap();
    let rows = rbac(cluster, &["privilege", "--from", log].map(str::to_owned));
    let rows = rows.as_array().unwrap();
    let mut tried = 0;
    for row in rows.iter().take(most) {
        let subject = row["subject"].as_str().unwrap();
        let Some(name) = subject
            .strip_prefix("user/")
            .filter(|n| !n.starts_with("system:"))
        else {
            continue;
        };
        if row["unlimited"] == true || name == "kubernetes-admin" || row["used"] != 0 {
            continue;
        }
        let user = User::of(&Identity::from_user_name(name));
        let unused = row["unused"].as_array().unwrap();
        for atom in unused.iter().step_by(1 + unused.len() / TRIED) {
            let asked = request(atom);
            assert!(may(admin, &user, &asked).await, "{subject}: {atom}");
            tried += 1;
        }
        let held: BTreeSet<String> = unused.iter().map(|a| request_words(&request(a))).collect();
        for asked in others() {
            // Everywhere is in every namespace.
            let mut everywhere = asked.clone();
            if let Target::Resource(target) = &mut everywhere.target {
                target.namespace.clear();
            }
            let is_held = [&asked, &everywhere]
                .iter()
                .any(|a| held.contains(&request_words(a)));
            assert_eq!(
                is_held,
                may(admin, &user, &asked).await,
                "{subject}: {asked:?}"
            );
        }
    }
    assert!(tried > 0, "no right was tried");
}

fn request(atom: &Value) -> Attributes {
    let text = |name: &str| atom[name].as_str().unwrap();
    let namespace = atom["scope"]["Namespace"].as_str().unwrap_or_default();
    Attributes::resource(text("verb"), text("group"), text("resource"), namespace)
}

fn request_words(asked: &Attributes) -> String {
    serde_json::to_string(asked).unwrap()
}

/// A few of each kind, held or not.
fn others() -> Vec<Attributes> {
    let mut found = Vec::new();
    for namespace in ["", "rbac-a", "rbac-b"] {
        for (verb, group, resource) in [
            ("get", "", "pods"),
            ("delete", "", "secrets"),
            ("get", "", "pods/log"),
            ("patch", "apps", "deployments/scale"),
            ("list", "apps", "deployments"),
            ("create", "rbac.authorization.k8s.io", "roles"),
        ] {
            found.push(Attributes::resource(verb, group, resource, namespace));
        }
    }
    found
}

/// With a name or without: what is held for named objects is held.
async fn may(admin: &Upstream, user: &User, asked: &Attributes) -> bool {
    for name in std::iter::once("").chain(NAMES) {
        if review(admin, user, &asked.clone().named(name)).await {
            return true;
        }
    }
    false
}
