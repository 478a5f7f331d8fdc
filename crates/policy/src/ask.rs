//! What policies say of access requests: who may ask for what, whether it needs an approval, and who may
//! give it. The same rules as for requests: deny by default, hold what can still be satisfied.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kubestile_core::approval::About;
use kubestile_core::context::{Absence, Approved, Context};
use kubestile_core::request_info::{Query, RequestInfo, Resource};
use kubestile_core::{
    AccessId, Action, ActionKind, Assurance, Identity, Known, PersonId, Target, Timestamp, Verb,
};

use crate::attributes::Needs;
use crate::decide::{Findings, Outcome, Question, UNREADABLE_TARGET, conclude};
use crate::entities::{Judged, Within, roles};
use crate::load::{Effect, Loaded, PolicySet};

/// Who wants to ask for something or to answer it, and under which conditions.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// Seconds since their session began.
    pub session_age_s: i64,
    /// How strongly they proved who they are.
    pub assurance: Assurance,
    /// Now.
    pub now: Timestamp,
    /// The address of their connection.
    pub source: IpAddr,
    /// About what.
    pub about: &'a About,
    /// How many people have approved it.
    pub approvals: u8,
}

impl PolicySet {
    /// Whether somebody may ask for something: Allow when it needs nobody else, Hold when it needs an
    /// approval or the like first, Deny when they may not even ask.
    pub fn may_ask(&self, asking: &Asking<'_>) -> Outcome {
        self.step(asking, ActionKind::Ask, None)
    }

    /// Whether somebody may approve or deny what somebody else asks for. That nobody answers for
    /// themselves is not a matter of policy.
    pub fn may_answer(&self, asking: &Asking<'_>) -> Outcome {
        self.step(asking, ActionKind::Answer, None)
    }

    /// Who may approve, in words that people are shown: the groups, job functions and people whom the
    /// policies name for it.
    pub fn approvers(&self, about: &About, now: Timestamp, source: IpAddr) -> Vec<String> {
        let candidates: BTreeSet<(&str, &str)> = self
            .policies
            .iter()
            .filter(|p| p.summary.effect == Effect::Permit)
            .filter(|p| p.scope.actions.contains(&ActionKind::Answer))
            .flat_map(named)
            .collect();
        let mut found = Vec::new();
        for (kind, name) in candidates {
            let somebody = Identity {
                name: if kind == "User" { name } else { "somebody" }.to_owned(),
                id: PersonId::from_uuid(uuid::Uuid::nil()),
                kind: kubestile_core::identity::IdentityKind::Person,
                groups: (kind == "Group")
                    .then(|| name.to_owned())
                    .into_iter()
                    .collect(),
                functions: Vec::new(),
            };
            let asking = Asking {
                identity: &somebody,
                session_age_s: 0,
                assurance: Assurance::PhishingResistant,
                now,
                source,
                about,
                approvals: 0,
            };
            let role = (kind == "JobFunction").then_some(name);
            if matches!(
                self.step(&asking, ActionKind::Answer, role),
                Outcome::Allow(_)
            ) {
                found.push(name.to_owned());
            }
        }
        found.dedup();
        found
    }

    fn step(&self, asking: &Asking<'_>, kind: ActionKind, role: Option<&str>) -> Outcome {
        let action = action(asking.about);
        let context = context(asking);
        let question = Question {
            identity: asking.identity,
            session_age_s: asking.session_age_s,
            assurance: asking.assurance,
            action: &action,
            context: &context,
        };
        let mut roles = roles(&question);
        roles.extend(role);
        let principals = self.vocabulary.principals(&question, &roles);
        let places = self.vocabulary.places(&action);
        let part = Judged::Ask {
            kind,
            about: asking.about,
        };
        let buckets = self
            .index
            .buckets(kind, &principals, &places, part.resource(&action));
        let within = Within {
            principals: &principals,
            places: &places,
        };
        let needs = buckets.iter().fold(Needs::NONE, |n, b| n.and(b.needs));
        let mentioned = |name| buckets.iter().any(|bucket| bucket.mentions(name));
        let asked = self
            .vocabulary
            .ask(&question, part, within, needs, mentioned);
        conclude(match asked {
            Ok(asked) => self.judge(asked, &buckets),
            Err(_) => Findings::denied(UNREADABLE_TARGET),
        })
    }
}

/// The people, groups and job functions that a policy names, by kind and name.
pub(crate) fn named(policy: &Loaded) -> impl Iterator<Item = (&str, &str)> {
    policy.literals.iter().filter_map(|uid| {
        let kind = ["User", "Group", "JobFunction"]
            .into_iter()
            .find(|kind| *kind == uid.type_name().basename())?;
        Some((kind, uid.id().unescaped()))
    })
}

/// What places and job functions are looked up by: no request to Kubernetes, only where.
fn action(about: &About) -> Action {
    let namespace = about.namespace.as_ref();
    Action {
        cluster: about.cluster.clone(),
        kind: ActionKind::Ask,
        info: RequestInfo {
            method: String::new(),
            verb: Verb::None,
            target: Target::Resource(Box::new(Resource {
                namespace: namespace.map_or_else(String::new, |n| n.as_str().to_owned()),
                ..Resource::default()
            })),
            query: Query::default(),
        },
        dry_run: false,
        command: Vec::new(),
        container: None,
        impersonates: None,
    }
}

fn context(asking: &Asking<'_>) -> Context {
    Context {
        now: asking.now,
        source: asking.source,
        invocation: Known::Absent(Absence::NotSent),
        approval: match asking.approvals {
            0 => Known::Absent(Absence::NotNeeded),
            count => Known::Present(Approved {
                access: AccessId::from_random(0),
                count,
                function: None,
            }),
        },
        grants: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::identity;
    use kubestile_core::{Obligation, PolicyId, RiskClass, Ttl};

    fn about(kind: &'static str, role: &str, namespace: Option<&str>) -> About {
        About {
            kind,
            cluster: "prod".parse().unwrap(),
            namespace: namespace.map(|n| n.parse().unwrap()),
            role: role.to_owned(),
            action: String::new(),
            group: String::new(),
            resource: String::new(),
            risk: RiskClass::R3,
            duration: Ttl::from_secs(3600),
            ticket: false,
            reason: true,
            policies: vec![PolicyId::new("delete-needs-approval")],
            requester: "ana".to_owned(),
        }
    }

    fn asking<'a>(identity: &'a Identity, about: &'a About, approvals: u8) -> Asking<'a> {
        Asking {
            identity,
            session_age_s: 60,
            assurance: Assurance::Code,
            now: Timestamp::from_secs(1_795_478_400),
            source: [127, 0, 0, 1].into(),
            about,
            approvals,
        }
    }

    fn base() -> PolicySet {
        PolicySet::load(&crate::base_sources()).unwrap()
    }

    #[test]
    fn a_grant_is_held_until_it_is_approved() {
        let (set, ana) = (base(), identity(&["viewer"]));
        let shop = about("grant", "operator", Some("shop"));
        let held = set.may_ask(&asking(&ana, &shop, 0));
        assert_eq!(held.obligations(), [Obligation::Approval], "{held:?}");
        assert_eq!(set.may_ask(&asking(&ana, &shop, 1)).name(), "allow");
        let nameless = About {
            reason: false,
            ..shop
        };
        let held = set.may_ask(&asking(&ana, &nameless, 1));
        assert_eq!(held.obligations(), [Obligation::Reason]);
    }

    #[test]
    fn nobody_asks_for_a_whole_cluster_or_for_what_is_not_offered() {
        let (set, ana) = (base(), identity(&[]));
        for (role, namespace) in [
            ("operator", None),
            ("admin", None),
            ("approver", Some("shop")),
            ("cluster-admin", Some("shop")),
        ] {
            let about = about("grant", role, namespace);
            assert_eq!(
                set.may_ask(&asking(&ana, &about, 2)).name(),
                "deny",
                "{role}"
            );
        }
        let viewer = about("grant", "viewer", None);
        assert_eq!(set.may_ask(&asking(&ana, &viewer, 0)).name(), "hold");
    }

    #[test]
    fn approvers_answer_where_they_are_approvers() {
        let set = base();
        let shop = about("request", "operator", Some("shop"));
        let may = |functions: &[&str]| {
            let who = identity(functions);
            set.may_answer(&asking(&who, &shop, 0)).name()
        };
        assert_eq!(may(&["approver"]), "allow");
        assert_eq!(may(&["approver:shop"]), "allow");
        assert_eq!(
            may(&["approver:cart", "admin:shop", "operator:shop"]),
            "deny"
        );
        let mut pipeline = identity(&["approver"]);
        pipeline.kind = kubestile_core::identity::IdentityKind::Pipeline;
        assert_eq!(set.may_answer(&asking(&pipeline, &shop, 0)).name(), "deny");
        let now = Timestamp::from_secs(0);
        assert_eq!(
            set.approvers(&shop, now, [127, 0, 0, 1].into()),
            ["approver"]
        );
    }

    #[test]
    fn a_policy_of_your_own_names_who_approves_what() {
        let mut sources = crate::base_sources();
        sources.push(crate::Source::new(
            "own.cedar",
            "@id(\"sre-approves-deletes\")\n@reason(\"the group sre may approve deletes\")\n\
             permit(principal in Group::\"sre\", action == Action::\"answer\", resource)\n\
             when { resource.policies.contains(\"delete-needs-approval\") && resource.risk <= 3 };",
        ));
        let set = PolicySet::load(&sources).unwrap();
        let shop = about("request", "operator", Some("shop"));
        let approvers =
            |about: &About| set.approvers(about, Timestamp::from_secs(0), [127, 0, 0, 1].into());
        assert_eq!(approvers(&shop), ["sre", "approver"]);
        let risky = About {
            risk: RiskClass::R4,
            ..shop
        };
        assert_eq!(approvers(&risky), ["approver"]);
    }
}
