//! S2-24: who in the cloud is whom in the cluster, as far as the cluster's objects, kubeconfigs and logs show it. What
//! only the provider's own API shows stays unknown, and the command that shows it is named.

use crate::facts::{Facts, Grant};
use crate::snapshot::{AwsAuth, CloudMap, Credential, Distribution, ObjectRef, Source};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Verdict, undecided};

const MASTERS: &str = "system:masters";
/// Groups of the cluster's own that machines of EKS need.
const MACHINES: [&str; 3] = [
    "system:bootstrappers",
    "system:nodes",
    "system:node-proxier",
];
/// The users behind the local accounts of AKS (`az aks get-credentials --admin`), which pass its identity provider by.
const LOCAL: [&str; 3] = ["clusterAdmin", "clusterUser", "masterclient"];
/// Whom GKE's legacy client certificate and its passwords of old are.
const LEGACY: [&str; 2] = ["client", "admin"];

/// S2-24
pub(super) fn maps(facts: &Facts<'_>) -> Judged {
    let distribution = facts.snapshot.cluster.distribution;
    let aws = facts.snapshot.aws_auth.known().and_then(Option::as_ref);
    let mut evidence = aws.map_or_else(Vec::new, by_aws_auth);
    match distribution {
        Distribution::Aks => past_the_provider(facts, &LOCAL, &mut evidence),
        Distribution::Gke => past_the_provider(facts, &LEGACY, &mut evidence),
        Distribution::Eks => by_access_policy(facts, &mut evidence),
        Distribution::Kubeadm | Distribution::K3s => {}
    }
    if !evidence.is_empty() {
        let n = evidence.len();
        return Ok(Verdict::fail(format!(
            "{n} thing(s) let identities of the cloud into the cluster that should not be"
        ))
        .because(evidence)
        .mend(|| mend(distribution)));
    }
    if let Some(aws) = aws
        && !aws.unreadable.is_empty()
    {
        return undecided(format!(
            "{} of the configmap `aws-auth` cannot be read: kubectl get configmap aws-auth -n kube-system -o yaml",
            aws.unreadable.join(" and ")
        ));
    }
    match (distribution, aws) {
        (Distribution::Eks, _) => unseen_on_eks(facts),
        (Distribution::Gke, _) => undecided(
            "no legacy user of GKE has rights, a kubeconfig here or a request in a log; who has `roles/container.*` passes RBAC by, and that, legacy ABAC and client certificates are in Google's API alone: `gcloud projects get-iam-policy PROJECT`, `gcloud container clusters describe NAME --format='yaml(legacyAbac,masterAuth)'`",
        ),
        (Distribution::Aks, _) => undecided(
            "no local account of AKS has a kubeconfig here or a request in a log; whether they are off is in Azure's API alone: `az aks show -g GROUP -n NAME --query disableLocalAccounts`",
        ),
        (_, Some(aws)) => Ok(Verdict::pass(format!(
            "aws-auth maps {} role(s) of the cloud, and none to more than it should be",
            aws.roles.len()
        ))),
        (_, None) => Ok(Verdict::not_applicable(
            "no cloud gives identities to this cluster",
        )),
    }
}

fn unseen_on_eks(facts: &Facts<'_>) -> Judged {
    const ENTRIES: &str = "access entries are in AWS's API alone: `aws eks list-access-entries --cluster-name NAME`, and for each `aws eks list-associated-access-policies`";
    match &facts.snapshot.aws_auth {
        Source::Known(Some(_)) => undecided(format!(
            "aws-auth maps nobody to more than they should be; {ENTRIES}"
        )),
        Source::Known(None) => undecided(format!("there is no configmap `aws-auth`; {ENTRIES}")),
        Source::Absent(absence) => undecided(format!("{absence}; {ENTRIES}")),
    }
}

fn mend(distribution: Distribution) -> Fix {
    let edit =
        |text: &str, command: &str| Fix::changes(text, vec![Change::Command(command.to_owned())]);
    match distribution {
        Distribution::Aks => edit(
            "let people log in with Entra, turn local accounts off, and rotate the certificates that were given out",
            "az aks update -g GROUP -n NAME --disable-local-accounts",
        ),
        Distribution::Gke => edit(
            "let people log in with gcloud's plugin, and take the legacy user's rights away",
            "gcloud container clusters update NAME --no-enable-legacy-authorization",
        ),
        _ => edit(
            "give each an IAM role and an access entry with a scoped policy, then take the map away",
            "kubectl edit configmap aws-auth -n kube-system",
        ),
    }
}

fn by_aws_auth(aws: &AwsAuth) -> Vec<Evidence> {
    let object = ObjectRef::new("configmap", "kube-system", "aws-auth");
    let mut evidence = Vec::new();
    for (key, maps) in [("mapRoles", &aws.roles), ("mapUsers", &aws.users)] {
        for (index, map) in maps.iter().enumerate() {
            for (field, text) in faults(map) {
                let field = format!("data.{key}[{index}].{field}");
                evidence.push(Evidence::object(&object, field, text));
            }
        }
    }
    for account in &aws.accounts {
        let text = format!("everybody of the account {account} is somebody in this cluster");
        evidence.push(Evidence::object(&object, "data.mapAccounts", text));
    }
    evidence
}

/// What is wrong with one map, and in which of its fields.
fn faults(map: &CloudMap) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let arn = map.arn.to_ascii_lowercase();
    let who = match map.arn.is_empty() {
        true => "an identity without a name",
        false => map.arn.as_str(),
    };
    if arn.contains('*') {
        found.push((
            "arn",
            format!("`{who}` is a pattern: whoever is added to it tomorrow is in"),
        ));
    } else if arn.ends_with(":root") {
        found.push(("arn", format!("`{who}` is everybody of that account")));
    } else if arn.contains(":user/") {
        let text = format!("`{who}` is an IAM user, whose access keys do not end");
        found.push(("arn", text));
    }
    for group in map.groups.iter().filter(|g| g.starts_with("system:")) {
        let text = match group.as_str() {
            MASTERS => format!("`{who}` is in {MASTERS}, which no role, policy or webhook limits"),
            group if MACHINES.contains(&group) => continue,
            group => format!("`{who}` is in `{group}`, a group of the cluster's own"),
        };
        found.push(("groups", text));
    }
    let name = map.username.as_str();
    if name.starts_with("system:") && !name.starts_with("system:node:") {
        let text = format!("`{who}` is `{name}`, a user of the cluster's own");
        found.push(("username", text));
    }
    found
}

/// Access entries are in no object; what they allow is in the log, with the policy's name.
fn by_access_policy(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) {
    const EVERYTHING: &str = "AmazonEKSClusterAdminPolicy";
    let subjects = facts
        .snapshot
        .traffic
        .known()
        .into_iter()
        .flat_map(|t| &t.subjects);
    for who in subjects.filter(|s| s.policies.iter().any(|p| p == EVERYTHING)) {
        let text =
            format!("an access entry gives them {EVERYTHING}: everything, and no binding shows it");
        let field = "annotations[authorization.k8s.io/reason]";
        evidence.push(Evidence::named(Class::AuditLog, &who.name, field, text));
    }
}

/// Users and certificates of the provider that pass its identities by: with rights that somebody gave them, in
/// kubeconfigs of this machine, or in the log.
fn past_the_provider(facts: &Facts<'_>, names: &[&str], evidence: &mut Vec<Evidence>) {
    let is_it = |name: &str| names.contains(&name);
    let given =
        |g: &&Grant<'_>| g.who.is_chosen() && g.subject.kind == "User" && is_it(&g.subject.name);
    for grant in facts.grants().unwrap_or_default().iter().filter(given) {
        let text = format!(
            "{}, whom the provider makes without its identities, has `{}` {}",
            grant.subject_words(),
            grant.binding.role_ref.name,
            grant.scope_words()
        );
        evidence.push(grant.evidence(text));
    }
    for (file, user) in facts.users().unwrap_or_default() {
        for credential in &user.credentials {
            let field = match credential {
                Credential::Certificate(c)
                    if is_it(&c.common_name) || c.organizations.iter().any(|o| o == MASTERS) =>
                {
                    "client-certificate"
                }
                Credential::Password => "password",
                _ => continue,
            };
            let text = "it comes past the provider's identities, and nobody can tell whose it is";
            let field = format!("users[{}].{field}", user.name);
            let seen = Evidence::named(Class::Kubeconfig, &file.path, field, text);
            evidence.push(seen.at(user.line));
        }
    }
    let Some(traffic) = facts.snapshot.traffic.known() else {
        return;
    };
    for who in names.iter().filter_map(|name| traffic.subject(name)) {
        let text = format!("{} requests past the provider's identities", who.requests);
        evidence.push(Evidence::named(
            Class::AuditLog,
            &who.name,
            "user.username",
            text,
        ));
    }
}
