//! What a set of policies would say, tried without anybody asking: whether dangerous requests can pass without
//! a second person, and how weak a login gets anything at all. Each trial is a request that is judged exactly
//! as a real one; nothing is sent anywhere. A set that names conditions which no trial meets (an address, an
//! hour) can allow more than they show, so that they find faults and do not exclude them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kubestile_core::action::Impersonates;
use kubestile_core::approval::About;
use kubestile_core::identity::IdentityKind;
use kubestile_core::request_info::RequestInfo;
use kubestile_core::{
    Absence, Action, Assurance, ClusterName, Context, Identity, JobFunction, Known, Obligation,
    PersonId, RiskClass, Timestamp, Ttl,
};

use crate::ask::{Asking, named};
use crate::decide::{Outcome, Question};
use crate::load::{Effect, PolicySet};

/// Requests that change who controls what, or give the cluster away (R4 and R5), in words and as they are sent.
const DANGEROUS: &[(&str, &str, &str)] = &[
    ("delete a namespace", "DELETE", "/api/v1/namespaces/shop"),
    (
        "delete all pods of a namespace",
        "DELETE",
        "/api/v1/namespaces/shop/pods",
    ),
    ("change a node", "PATCH", "/api/v1/nodes/n1"),
    ("reach a kubelet", "GET", "/api/v1/nodes/n1/proxy/pods"),
    ("read every Secret", "GET", "/api/v1/secrets"),
    (
        "create a pod in kube-system",
        "POST",
        "/api/v1/namespaces/kube-system/pods",
    ),
    (
        "change a deployment in kube-system",
        "PATCH",
        "/apis/apps/v1/namespaces/kube-system/deployments/d",
    ),
    (
        "change the cluster's name service",
        "PATCH",
        "/api/v1/namespaces/kube-system/configmaps/coredns",
    ),
    (
        "enter a pod in kube-system",
        "POST",
        "/api/v1/namespaces/kube-system/pods/p/exec?command=sh",
    ),
    (
        "bind a role in a namespace",
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings",
    ),
    (
        "bind a role in the whole cluster",
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    ),
    (
        "approve a certificate",
        "PUT",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval",
    ),
    (
        "delete an admission webhook",
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w",
    ),
    (
        "delete a custom type",
        "DELETE",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c",
    ),
];
/// Requests for which a person with a login comes to a cluster at all; not discovery, which shows nothing.
const ORDINARY: &[(&str, &str)] = &[
    ("GET", "/api/v1/namespaces/shop/pods"),
    ("GET", "/api/v1/namespaces/shop/secrets/s"),
    ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/d"),
    ("POST", "/api/v1/namespaces/shop/pods/p/exec?command=sh"),
];
/// Requests that change something, for which nobody needs a right that always holds.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "change a deployment",
        "PATCH",
        "/apis/apps/v1/namespaces/shop/deployments/d",
    ),
    ("create a pod", "POST", "/api/v1/namespaces/shop/pods"),
    ("delete a pod", "DELETE", "/api/v1/namespaces/shop/pods/p"),
    (
        "enter a pod",
        "POST",
        "/api/v1/namespaces/shop/pods/p/exec?command=sh",
    ),
];
/// The longest that a grant lives without an explanation.
const LONG: Ttl = Ttl::from_secs(8 * 3600);
/// People, groups and job functions that are tried, at most.
const MOST: usize = 100;
/// Job functions that are asked for, at most.
const ROLES: usize = 20;

/// What the trials have shown of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// How many dangerous requests were tried.
    pub dangerous: usize,
    /// Those that somebody may make without the approval of a second person, in words.
    pub unheld: Vec<String>,
    /// The weakest login with which somebody may do anything; none if nobody may.
    pub weakest_login: Option<Assurance>,
    /// Changes that somebody may make at any time, without a grant and without an approval, in words.
    pub standing: Vec<String>,
    /// Grants that somebody may have although a ticket, a second person or an early end is missing, in words.
    pub loose: Vec<String>,
}

impl PolicySet {
    /// Tries the policies for requests to `cluster`, at `now`.
    pub fn trial(&self, cluster: &ClusterName, now: Timestamp) -> Tried {
        let people = self.somebody();
        let trial = Trial {
            set: self,
            people: &people,
            context: Context {
                now,
                source: IpAddr::from([192, 0, 2, 7]),
                invocation: Known::Absent(Absence::NotSent),
                approval: Known::Absent(Absence::NotNeeded),
                grants: Vec::new(),
            },
        };
        let dangerous = dangerous(cluster);
        let unheld = dangerous
            .iter()
            .filter(|(_, action)| trial.passes_alone(action))
            .map(|(words, action)| format!("{words} ({})", RiskClass::of(action)));
        let ordinary = ORDINARY
            .iter()
            .filter_map(|(method, target)| action(cluster, method, target, None));
        let all: Vec<Action> = dangerous
            .iter()
            .map(|(_, action)| action.clone())
            .chain(ordinary)
            .collect();
        const LOGINS: [Assurance; 4] = [
            Assurance::Code,
            Assurance::Single,
            Assurance::Multi,
            Assurance::PhishingResistant,
        ];
        let mut logins = LOGINS.into_iter();
        let changes = CHANGES.iter().filter_map(|(words, method, target)| {
            Some(((*words).to_owned(), action(cluster, method, target, None)?))
        });
        let standing = changes
            .chain(dangerous.iter().map(|(w, a)| ((*w).to_owned(), a.clone())))
            .filter(|(_, action)| trial.passes_alone(action));
        Tried {
            standing: standing.map(|(words, _)| words).collect(),
            loose: trial.loose(cluster),
            dangerous: dangerous.len(),
            unheld: unheld.collect(),
            weakest_login: logins.find(|login| all.iter().any(|a| trial.reaches(a, *login))),
        }
    }

    /// Whom the policies can mean: somebody with every job function that they name, with each of them alone, and
    /// each person and group that they name.
    fn somebody(&self) -> Vec<Identity> {
        let permits = self
            .policies
            .iter()
            .filter(|p| p.summary.effect == Effect::Permit);
        let names: BTreeSet<(&str, &str)> = permits.flat_map(named).collect();
        let functions: Vec<JobFunction> = names
            .iter()
            .filter(|(kind, _)| *kind == "JobFunction")
            .filter_map(|(_, name)| name.parse().ok())
            .collect();
        let person = |name: &str, groups: Vec<String>, functions: Vec<JobFunction>| Identity {
            name: name.to_owned(),
            id: PersonId::from_uuid(uuid::Uuid::nil()),
            kind: IdentityKind::Person,
            groups,
            functions,
        };
        let nobody = person("somebody", Vec::new(), Vec::new());
        let all = person("somebody", Vec::new(), functions.clone());
        let alone = functions
            .iter()
            .map(|f| person("somebody", Vec::new(), vec![f.clone()]));
        let by_name = names.iter().filter_map(|(kind, name)| match *kind {
            "User" => Some(person(name, Vec::new(), functions.clone())),
            "Group" => Some(person(
                "somebody",
                vec![(*name).to_owned()],
                functions.clone(),
            )),
            _ => None,
        });
        let people = [nobody, all].into_iter().chain(alone).chain(by_name);
        people.take(MOST).collect()
    }
}

struct Trial<'a> {
    set: &'a PolicySet,
    people: &'a [Identity],
    context: Context,
}

impl Trial<'_> {
    fn outcomes<'a>(
        &'a self,
        action: &'a Action,
        assurance: Assurance,
    ) -> impl Iterator<Item = Outcome> + 'a {
        self.people.iter().map(move |identity| {
            self.set.evaluate(&Question {
                identity,
                session_age_s: 0,
                assurance,
                action,
                context: &self.context,
            })
        })
    }

    /// Whether somebody with the strongest login may do it, and no second person is asked.
    fn passes_alone(&self, action: &Action) -> bool {
        self.outcomes(action, Assurance::PhishingResistant)
            .any(|outcome| match outcome {
                Outcome::Allow(_) => true,
                Outcome::Hold(hold) => !hold.obligations.contains(&Obligation::Approval),
                Outcome::Deny(_) => false,
            })
    }

    /// Grants that somebody may have although something is missing, in words.
    fn loose(&self, cluster: &ClusterName) -> Vec<String> {
        let tried = [
            ("names no ticket", false, 2, LONG),
            ("nobody approved", true, 0, LONG),
            ("lives longer than 8 h", true, 2, Ttl::from_secs(9 * 3600)),
        ];
        let roles: BTreeSet<&str> = self
            .people
            .iter()
            .flat_map(|p| p.functions.iter().map(JobFunction::role))
            .take(ROLES)
            .collect();
        let may = |role: &str, ticket: bool, approvals: u8, duration: Ttl| {
            let about = About {
                kind: "grant",
                cluster: cluster.clone(),
                namespace: "shop".parse().ok(),
                role: role.to_owned(),
                action: String::new(),
                group: String::new(),
                resource: String::new(),
                risk: RiskClass::R3,
                duration,
                ticket,
                reason: true,
                policies: Vec::new(),
                requester: "somebody".to_owned(),
            };
            self.people.iter().any(|identity| {
                let outcome = self.set.may_ask(&Asking {
                    identity,
                    session_age_s: 0,
                    assurance: Assurance::PhishingResistant,
                    now: self.context.now,
                    source: self.context.source,
                    about: &about,
                    approvals,
                });
                matches!(outcome, Outcome::Allow(_))
            })
        };
        let found = tried
            .into_iter()
            .filter_map(|(words, ticket, approvals, duration)| {
                let role = roles.iter().find(|r| may(r, ticket, approvals, duration))?;
                Some(format!("a grant of `{role}` that {words}"))
            });
        found.collect()
    }

    fn reaches(&self, action: &Action, login: Assurance) -> bool {
        self.outcomes(action, login)
            .any(|outcome| !matches!(outcome, Outcome::Deny(_)))
    }
}

fn dangerous(cluster: &ClusterName) -> Vec<(&'static str, Action)> {
    let mut all: Vec<(&'static str, Action)> = DANGEROUS
        .iter()
        .filter_map(|(words, method, target)| {
            Some((*words, action(cluster, method, target, None)?))
        })
        .collect();
    let bob = Impersonates {
        user: "bob".to_owned(),
        groups: Vec::new(),
    };
    let as_bob = action(cluster, "GET", "/api/v1/namespaces/shop/pods", Some(bob));
    all.extend(as_bob.map(|action| ("act as somebody else", action)));
    all
}

fn action(
    cluster: &ClusterName,
    method: &str,
    target: &str,
    impersonates: Option<Impersonates>,
) -> Option<Action> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let info = RequestInfo::parse(method, path, query).ok()?;
    Some(Action::new(cluster.clone(), info, impersonates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, base_sources};

    const NOW: Timestamp = Timestamp::from_secs(1_795_521_600);

    fn base_and(text: &str) -> PolicySet {
        let mut sources = base_sources();
        sources.push(Source::new("own.cedar", text));
        PolicySet::load(&sources).unwrap_or_else(|error| panic!("{error}"))
    }

    fn tried(set: &PolicySet) -> Tried {
        set.trial(&"prod".parse().unwrap(), NOW)
    }

    const HELD: &str = r#"@id("dangerous-needs-approval") @reason("tried by a test") @satisfy("approval")
        forbid(principal, action, resource) when { context.risk >= 4 } unless { context.approval };"#;

    #[test]
    fn every_trial_is_dangerous_and_can_be_read() {
        let all = dangerous(&"prod".parse().unwrap());
        assert_eq!(all.len(), DANGEROUS.len() + 1);
        for (words, action) in all {
            assert!(RiskClass::of(&action) >= RiskClass::R4, "{words}");
        }
    }

    #[test]
    fn what_the_base_policies_leave_to_one_person_is_found() {
        let tried = tried(&PolicySet::load(&base_sources()).unwrap());
        assert_eq!(
            tried.unheld,
            [
                "create a pod in kube-system (R4)",
                "change a deployment in kube-system (R4)",
                "enter a pod in kube-system (R4)",
            ]
        );
        assert_eq!(tried.weakest_login, Some(Assurance::Code));
        assert_eq!(
            tried.standing[..4],
            [
                "change a deployment",
                "create a pod",
                "delete a pod",
                "enter a pod"
            ]
        );
        assert_eq!(
            tried.loose,
            [
                "a grant of `admin` that names no ticket",
                "a grant of `admin` that lives longer than 8 h"
            ]
        );
    }

    #[test]
    fn grants_that_need_everything_and_changes_that_need_a_grant_are_seen() {
        let strict = r#"@id("a") @reason("tried by a test") forbid(principal, action == Action::"ask", resource)
                when { resource.kind == "grant" } unless { resource.ticket && resource.duration <= 28800 };
            @id("b") @reason("tried by a test") @satisfy("approval") forbid(principal, action in [Action::"write", Action::"stream"], resource)
                unless { context.granted || context.approval };"#;
        let tried = tried(&base_and(strict));
        assert_eq!(
            (tried.standing.len(), tried.loose.len()),
            (0, 0),
            "{tried:?}"
        );
    }

    #[test]
    fn a_policy_that_holds_them_is_seen_and_one_that_opens_again_is_too() {
        assert_eq!(tried(&base_and(HELD)).unheld, [""; 0]);
        let opened = r#"@id("dangerous-needs-approval") @reason("tried by a test") @satisfy("approval")
            forbid(principal, action, resource)
            when { context.risk >= 4 && principal != User::"root" && !(principal in JobFunction::"admin") }
            unless { context.approval };"#;
        assert!(!tried(&base_and(opened)).unheld.is_empty());
        let named = r#"@id("x") @reason("tried by a test") permit(principal == User::"root", action == Action::"patch", resource is Object)
            when { resource.resource == "nodes" };"#;
        assert!(
            tried(&base_and(named))
                .unheld
                .contains(&"change a node (R4)".to_owned())
        );
    }

    #[test]
    fn another_clusters_policies_are_not_this_ones() {
        let of_stage = r#"@id("x") @reason("tried by a test") permit(principal in JobFunction::"admin", action == Action::"patch",
            resource is Object in Cluster::"stage") when { resource.resource == "nodes" };"#;
        let set = base_and(of_stage);
        let node = "change a node (R4)".to_owned();
        assert!(!tried(&set).unheld.contains(&node));
        let stage = set.trial(&"stage".parse().unwrap(), NOW);
        assert!(stage.unheld.contains(&node), "{stage:?}");
    }

    #[test]
    fn a_policy_that_asks_for_a_strong_login_is_seen() {
        let strong = |level: u8| {
            format!(
                r#"@id("strong") @reason("tried by a test") forbid(principal, action, resource) unless {{ context.assurance >= {level} }};"#
            )
        };
        for (level, weakest) in [
            (2, Assurance::Single),
            (3, Assurance::Multi),
            (4, Assurance::PhishingResistant),
        ] {
            assert_eq!(
                tried(&base_and(&strong(level))).weakest_login,
                Some(weakest)
            );
        }
        let only_writes = r#"@id("strong") @reason("tried by a test") forbid(principal, action in Action::"write", resource is Object)
            unless { context.assurance >= 3 };"#;
        assert_eq!(
            tried(&base_and(only_writes)).weakest_login,
            Some(Assurance::Code)
        );
    }
}
