//! What a gate before the cluster proves of itself.

use kubestile_core::Timestamp;
use serde::{Deserialize, Serialize};

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// Its version.
    pub version: String,
    /// Where it was asked: the directory of one on this machine, or the URL of a login.
    pub place: String,
    /// Whether it is on another machine: then all that is known of it is its own word, from whoever holds the
    /// key that the login trusts.
    pub remote: bool,
    /// Its clusters.
    pub clusters: Vec<GateCluster>,
    /// How many more it has.
    pub clusters_more: u64,
    /// The directory in which it looks for policies beside its own, if it is on this machine and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
    /// What it proves of itself; none if it does not show that to whoever asked.
    pub facts: Option<GateFacts>,
    /// Its log.
    pub log: Option<GateLog>,
}

/// A cluster of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateCluster {
    /// Its name at the gate.
    pub name: String,
    /// Its address at the gate, as people's kubeconfigs have it.
    pub url: String,
    /// The API server that it leads to.
    pub server: String,
    /// Whether the gate serves it now.
    pub served: bool,
    /// Whether the gate's account there holds constrained impersonation only.
    pub constrained: Option<bool>,
}

/// A gate's log, as it was verified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateLog {
    /// Records in it.
    pub size: u64,
    /// Whether every leaf, tile and checkpoint was found to hold.
    pub verified: bool,
    /// Why not, if it was not.
    pub problem: Option<String>,
    /// How old its latest signed checkpoint was, in seconds.
    pub checkpoint_age: Option<u64>,
    /// Its latest requests, counted.
    pub requests: Option<GateRequests>,
}

/// Requests in a gate's log, counted from the latest back to a bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateRequests {
    /// Decisions that were looked at.
    pub decisions: u64,
    /// How many of them were kubectl's, by its own words.
    pub kubectl: u64,
    /// How many of those say to which run of kubectl they belong.
    pub kubectl_named: u64,
    /// How many were allowed although they can change who controls what, or give the cluster away.
    pub dangerous: u64,
    /// How many of those somebody else had approved.
    pub dangerous_approved: u64,
}

/// What a gate proves of itself: the answer of its `/v1/facts`, as far as controls look at it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GateFacts {
    /// Its version.
    pub version: String,
    /// Its clusters.
    pub clusters: Vec<ClusterFacts>,
    /// How many clusters it has beyond those.
    pub clusters_more: u64,
    /// Its policies.
    pub policies: PolicyFacts,
    /// Its sessions.
    pub sessions: SessionFacts,
    /// Standing job functions.
    pub standing: StandingFacts,
    /// Its grants.
    pub grants: GrantFacts,
    /// Channels over which people are told.
    pub channels: u64,
    /// Whether it knows a system that says whether a ticket is open.
    pub ticket_systems: Option<bool>,
    /// Whether pipelines log in with tokens of their runs.
    pub pipelines: bool,
    /// How often an open stream is judged again at least, in seconds; 0 if that is not said.
    pub streams_judged_every: i64,
    /// Whether what passes in a stream is recorded.
    pub records_streams: Option<bool>,
    /// Whether decisions carry a score of the session's risk.
    pub scores_risk: Option<bool>,
}

/// A cluster behind the gate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterFacts {
    /// Its name.
    pub name: String,
    /// Its address at the gate.
    pub url: String,
    /// The API server's.
    pub server: String,
    /// `legacy` or `constrained`.
    pub mode: String,
    /// Whether it is served now, if the gate says.
    pub served: Option<bool>,
    /// What becomes of a request that needs an approval: `wait`, `refuse`, `retry-after`.
    pub hold: String,
    /// How many dangerous requests the policies in force were tried with; 0 if they were not.
    pub trials: u64,
    /// Those of them that pass without a second person.
    pub unheld: Vec<String>,
    /// The weakest login with which somebody may do anything; none if nobody may.
    pub weakest_login: Option<String>,
    /// Changes that somebody may make at any time, without a grant and without an approval; none if that was not
    /// tried.
    pub standing: Option<Vec<String>>,
    /// Grants that somebody may have although something is missing of them; none if that was not tried.
    pub loose: Option<Vec<String>>,
}

/// What a gate shows of its policies for one cluster: the part of its facts that a policy file changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyEffect {
    /// Its policies.
    pub policies: PolicyFacts,
    /// As [`ClusterFacts::trials`].
    pub trials: u64,
    /// As [`ClusterFacts::unheld`].
    pub unheld: Vec<String>,
    /// As [`ClusterFacts::weakest_login`].
    pub weakest_login: Option<String>,
    /// As [`ClusterFacts::standing`].
    pub standing: Option<Vec<String>>,
    /// As [`ClusterFacts::loose`].
    pub loose: Option<Vec<String>>,
}

impl PolicyEffect {
    /// Puts it in the place of what the gate showed of its policies for the cluster at `server`; gives what that
    /// was. None if the gate has no such cluster.
    pub(crate) fn put(&self, facts: &mut GateFacts, server: &str) -> Option<Self> {
        let bare = |url: &str| url.trim_end_matches('/').to_owned();
        let is_it = |c: &&mut ClusterFacts| {
            [&c.server, &c.url]
                .into_iter()
                .any(|u| bare(u) == bare(server))
        };
        let cluster = facts.clusters.iter_mut().find(is_it)?;
        let new = self.clone();
        Some(Self {
            policies: std::mem::replace(&mut facts.policies, new.policies),
            trials: std::mem::replace(&mut cluster.trials, new.trials),
            unheld: std::mem::replace(&mut cluster.unheld, new.unheld),
            weakest_login: std::mem::replace(&mut cluster.weakest_login, new.weakest_login),
            standing: std::mem::replace(&mut cluster.standing, new.standing),
            loose: std::mem::replace(&mut cluster.loose, new.loose),
        })
    }
}

/// The policies in force.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyFacts {
    /// Their version.
    pub version: String,
    /// How many there are.
    pub count: u64,
    /// How many of them did not come with the program.
    pub own: u64,
    /// What of a request's circumstances they look at.
    pub context: Vec<String>,
    /// Those that an approval satisfies.
    pub holds: Vec<String>,
    /// How many of those there are beyond the ones that are listed.
    pub holds_more: u64,
}

/// Sessions that hold, and lifetimes in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionFacts {
    /// How many hold.
    pub live: u64,
    /// How many of those are people's, by how strongly the login proved them.
    pub people: Vec<(String, u64)>,
    /// A login's.
    pub session_seconds: i64,
    /// A client certificate's.
    pub certificate_seconds: i64,
}

/// Standing job functions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StandingFacts {
    /// People at the gate.
    pub people: u64,
    /// Who has which.
    pub functions: Vec<(String, String)>,
    /// How many there are beyond those.
    pub more: u64,
}

/// Grants that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFacts {
    /// How many are kept.
    pub total: u64,
    /// How many are of pipelines.
    pub pipelines: u64,
    /// How many were taken in an emergency.
    pub break_glass: u64,
    /// When the latest of those began, in microseconds since the Unix epoch.
    pub last_break_glass: Option<Timestamp>,
    /// How many have expired.
    pub expired: u64,
    /// Those that lack a ticket, an approver or an early end.
    pub lacking: Vec<GrantFault>,
    /// Those of pipelines that are not bound to one run.
    pub unbound: Vec<GrantFault>,
    /// Those of emergencies that were not reviewed within a day.
    pub unreviewed: Vec<GrantFault>,
    /// Those of emergencies that wait for a review.
    pub to_review: u64,
    /// How many are at fault beyond those that are listed.
    pub more: u64,
}

/// What a grant lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantFault {
    /// Its id.
    pub grant: String,
    /// Who holds or held it.
    pub holder: String,
    /// What is wrong.
    pub fault: String,
}

/// Entries of each list that are kept of what a gate says, and characters of each word.
const KEPT: usize = 100;
const WORD: usize = 300;

impl GateFacts {
    /// The same within bounds, whoever said it: what is cut off a list is counted.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        cut(&mut self.clusters, &mut self.clusters_more);
        for cluster in &mut self.clusters {
            let tried = [&mut cluster.standing, &mut cluster.loose];
            let lists = tried.into_iter().flatten().chain([&mut cluster.unheld]);
            for list in lists {
                list.truncate(KEPT);
                list.iter_mut().for_each(clip);
            }
            let words = [
                &mut cluster.name,
                &mut cluster.url,
                &mut cluster.server,
                &mut cluster.mode,
                &mut cluster.hold,
            ];
            words
                .into_iter()
                .chain(&mut cluster.weakest_login)
                .for_each(clip);
        }
        cut(&mut self.policies.holds, &mut self.policies.holds_more);
        self.policies.context.truncate(KEPT);
        self.sessions.people.truncate(KEPT);
        cut(&mut self.standing.functions, &mut self.standing.more);
        let (grants, policies) = (&mut self.grants, &mut self.policies);
        for list in [
            &mut grants.lacking,
            &mut grants.unbound,
            &mut grants.unreviewed,
        ] {
            cut(list, &mut grants.more);
            for fault in list {
                for word in [&mut fault.grant, &mut fault.holder, &mut fault.fault] {
                    clip(word);
                }
            }
        }
        let words = policies.holds.iter_mut().chain(&mut policies.context);
        words
            .chain([&mut self.version, &mut policies.version])
            .chain(self.sessions.people.iter_mut().map(|(kind, _)| kind))
            .for_each(clip);
        for (person, function) in &mut self.standing.functions {
            clip(person);
            clip(function);
        }
        self
    }
}

fn cut<T>(list: &mut Vec<T>, more: &mut u64) {
    let over = list.len().saturating_sub(KEPT);
    *more = more.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    list.truncate(KEPT);
}

fn clip(word: &mut String) {
    if word.len() > WORD {
        *word = word.chars().take(WORD / 4).collect::<String>() + "…";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gate_says_is_kept_within_bounds_and_counted() {
        let cluster = ClusterFacts {
            name: "x".repeat(10_000),
            unheld: vec!["y".repeat(1_000); 200],
            ..ClusterFacts::default()
        };
        let facts = GateFacts {
            clusters: vec![cluster; 300],
            standing: StandingFacts {
                functions: vec![("ana".to_owned(), "viewer".to_owned()); 150],
                more: u64::MAX,
                ..StandingFacts::default()
            },
            ..GateFacts::default()
        }
        .bounded();
        assert_eq!((facts.clusters.len(), facts.clusters_more), (100, 200));
        assert_eq!(facts.standing.more, u64::MAX);
        let size = serde_json::to_string(&facts).unwrap().len();
        assert!(size < 4_000_000, "{size}");
    }
}
