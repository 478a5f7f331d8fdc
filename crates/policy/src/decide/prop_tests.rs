//! Properties of decisions, over generated policies, people, requests and conditions.

use std::net::IpAddr;

use kubestile_core::action::Impersonates;
use kubestile_core::context::Invocation;
use kubestile_core::identity::IdentityKind;
use kubestile_core::{Absence, Known, PersonId, Timestamp};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::tests::action;
use super::*;
use crate::Source;

const OBJECT_ACTIONS: &[&str] = &[
    "action in Action::\"read\"",
    "action in Action::\"write\"",
    "action in [Action::\"stream\", Action::\"get\"]",
    "action == Action::\"delete\"",
    "action in [Action::\"get\", Action::\"list\"]",
    "action == Action::\"proxy\"",
];

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is User",
    "principal == User::\"ana\"",
    "principal == Pipeline::\"ana\"",
    "principal in Group::\"g1\"",
    "principal is Pipeline in Group::\"g2\"",
    "principal in JobFunction::\"viewer\"",
    "principal in JobFunction::\"operator\"",
    "principal in JobFunction::\"admin\"",
];

const PLACES: &[&str] = &[
    "resource is Object",
    "resource is Object in Namespace::\"prod/shop\"",
    "resource is Object in Namespace::\"dev/shop\"",
    "resource is Object in Cluster::\"prod\"",
];

/// Conditions on an object, among them one that errs for every request and one that errs for some.
const OBJECT_CONDITIONS: &[&str] = &[
    "resource.resource == \"pods\"",
    "[\"pods\", \"secrets\"].contains(resource.resource)",
    "resource.resource != \"secrets\"",
    "resource.apiGroup == \"apps\"",
    "(resource has name && resource.name == \"web\")",
    "resource has namespace",
    "resource in Namespace::\"prod/bank\"",
    "[\"\", \"exec\"].contains(resource.subresource)",
    "(context has labelSelector && context.labelSelector like \"app=*\")",
    "action in Action::\"read\"",
    "context.now + 9223372036854775000 > 0",
    "(resource.resource == \"nodes\" || context.now * 9223372036854775807 > 0)",
];

const ANY_CONDITIONS: &[&str] = &[
    "context.dryRun",
    "context.sessionAge < 100",
    "context.assurance >= 3",
    "context.source.isInRange(ip(\"10.0.0.0/8\"))",
    "context.hourUtc < 12",
    "principal in Group::\"g2\"",
    "principal in JobFunction::\"operator\"",
    "principal.name == \"ana\"",
    "context.method == \"GET\"",
];

/// The text of a policy that keeps the rules of the loader.
fn policy() -> impl Strategy<Value = String> {
    let scope = prop_oneof![
        6 => (select(OBJECT_ACTIONS), select(PLACES)).prop_map(|(a, r)| (a, r, true)),
        1 => Just(("action", "resource", false)),
        1 => Just(("action", "resource in Cluster::\"prod\"", false)),
        1 => Just(("action == Action::\"discover\"", "resource", false)),
        1 => Just(("action == Action::\"impersonate\"", "resource", false)),
    ];
    let conditions = || {
        (
            subsequence(OBJECT_CONDITIONS, 0..3),
            subsequence(ANY_CONDITIONS, 0..2),
        )
    };
    let body = (
        any::<bool>(),
        select(PRINCIPALS),
        scope,
        conditions(),
        conditions(),
    );
    (body, 0..4_u8, 0..6_u8).prop_map(
        |((permit, principal, scope, when, unless), satisfy, fact)| {
            let (action, resource, is_object) = scope;
            let join = |(object, any): (Vec<&'static str>, Vec<&'static str>)| {
                let object = if is_object { object } else { Vec::new() };
                [object, any].concat()
            };
            let (mut when, mut unless) = (join(when), join(unless));
            match (fact, permit) {
                (0, true) => when.push("context.approval"),
                (0, false) => unless.push("context.approval"),
                (1, false) => when.push("context.invocation.command == \"kubectl get\""),
                _ => {}
            }
            let clause = |word: &str, parts: Vec<&str>| match parts.is_empty() {
                true => String::new(),
                false => format!(" {word} {{ {} }}", parts.join(" && ")),
            };
            let (effect, satisfy) = match (permit, satisfy) {
                (true, _) => ("permit", ""),
                (false, 0) => ("forbid", ""),
                (false, 1) => ("forbid", "@satisfy(\"mfa\")"),
                (false, _) => ("forbid", "@satisfy(\"approval\")"),
            };
            let (when, unless) = (clause("when", when), clause("unless", unless));
            format!("{satisfy} {effect}({principal}, {action}, {resource}){when}{unless};\n")
        },
    )
}

/// A file of policies with their ids.
fn text(policies: &[String]) -> String {
    let numbered = policies.iter().enumerate();
    numbered
        .map(|(i, policy)| format!("@id(\"p{i}\") @reason(\"a test of number {i}\") {policy}"))
        .collect()
}

fn load(policies: &[String]) -> PolicySet {
    let text = text(policies);
    PolicySet::load(&[Source::new("generated.cedar", text.as_str())])
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const REQUESTS: &[&str] = &[
    "GET /version",
    "GET /metrics",
    "kubectl get pods -n shop",
    "kubectl get pods -A -l app=web",
    "kubectl get pod web -n shop",
    "kubectl get secret web -n shop",
    "kubectl get secrets -n bank -w",
    "kubectl get nodes",
    "kubectl logs web -n shop",
    "kubectl create pod -n shop",
    "kubectl patch deployment web -n shop --dry-run=server",
    "kubectl delete deployment web -n shop",
    "kubectl delete pod web -n bank",
    "DELETE /api/v1/namespaces/shop/pods",
    "kubectl exec web -n shop -- sh",
    "kubectl cp shop/web:/a b",
    "GET /api/v1/namespaces/shop/services/https:web:443/proxy/x",
    "GET /api/v1/namespaces/shop/services/a:b:c:d/proxy/x",
    "GET /api/v1/nodes/n/proxy/pods",
    "kubectl create token web -n shop",
    "OPTIONS /api/v1/pods",
];

/// All that a question is made of.
#[derive(Debug, Clone)]
struct Asking {
    identity: Identity,
    action: Action,
    context: Context,
    session_age_s: i64,
    assurance: Assurance,
}

impl Asking {
    fn question(&self) -> Question<'_> {
        Question {
            identity: &self.identity,
            session_age_s: self.session_age_s,
            assurance: self.assurance,
            action: &self.action,
            context: &self.context,
        }
    }
}

fn asking() -> impl Strategy<Value = Asking> {
    let functions = [
        "viewer",
        "operator:shop",
        "admin:bank",
        "operator@dev",
        "admin",
        "other",
    ];
    let person = (
        select(vec!["ana", "bob"]),
        select(vec![IdentityKind::Person, IdentityKind::Pipeline]),
        subsequence(vec!["g1", "g2", "g3"], 0..=3),
        subsequence(functions.to_vec(), 0..=2),
    );
    let request = (
        select(REQUESTS),
        select(vec!["prod", "dev"]),
        prop_oneof![4 => Just(None), 1 => Just(Some("bob")), 1 => Just(Some("system:admin"))],
        subsequence(vec!["g1", "system:masters"], 0..=1),
    );
    let conditions = (
        any::<bool>(),
        prop_oneof![
            Just(None),
            Just(Some("kubectl get")),
            Just(Some("kubectl delete"))
        ],
        select(vec![[10, 1, 2, 3], [192, 0, 2, 7]]),
        select(vec![0_i64, 1_795_521_600]),
        select(vec![0_i64, 99, 100, 28_800]),
        select(vec![Assurance::Code, Assurance::Multi]),
    );
    (person, request, conditions).prop_map(|(person, request, conditions)| {
        let (name, kind, groups, functions) = person;
        let (line, cluster, as_user, as_groups) = request;
        let (approved, command, source, now, session_age_s, assurance) = conditions;
        let mut action = action(line);
        action.cluster = cluster.parse().unwrap();
        action.impersonates = as_user.map(|user| Impersonates {
            user: user.to_owned(),
            groups: as_groups.iter().map(|g| (*g).to_owned()).collect(),
        });
        Asking {
            identity: Identity {
                name: name.to_owned(),
                id: PersonId::from_uuid(uuid::Uuid::from_u128(1)),
                kind,
                groups: groups.into_iter().map(str::to_owned).collect(),
                functions: functions.iter().map(|f| f.parse().unwrap()).collect(),
            },
            action,
            context: Context {
                now: Timestamp::from_secs(now),
                source: IpAddr::from(source),
                invocation: match command {
                    None => Known::Absent(Absence::NotSent),
                    Some(command) => Known::Present(Invocation {
                        session: "s".to_owned(),
                        command: command.to_owned(),
                    }),
                },
                approval: match approved {
                    true => super::tests::approved(1),
                    false => Known::Absent(Absence::NotNeeded),
                },
                grants: Vec::new(),
            },
            session_age_s,
            assurance,
        }
    })
}

/// What Cedar's own authorizer finds when it is asked all policies, permits and forbids apart.
fn oracle<'p>(set: &'p PolicySet, question: &Question<'_>, roles: &[&str]) -> Findings<'p> {
    let principals = set.vocabulary.principals(question, roles);
    let places = set.vocabulary.places(question.action);
    let within = Within {
        principals: &principals,
        places: &places,
    };
    all_parts(question.action, |part| {
        let asked = set
            .vocabulary
            .ask(question, part, within, Needs::ALL, |_| true);
        let Ok(asked) = asked else {
            return Findings::denied(UNREADABLE_TARGET);
        };
        let (request, entities) = (asked.request.into(), asked.entities.into());
        let mut errors = false;
        let mut matching = |effect: Effect| -> Vec<&'p Loaded> {
            let policies = set.policies.iter().filter(|p| p.summary.effect == effect);
            let all = cedar_policy::PolicySet::from_policies(policies.map(|p| p.cedar.clone()));
            let authorizer = cedar_policy::Authorizer::new();
            let response = authorizer.is_authorized(&request, &all.unwrap(), &entities);
            errors |= response.diagnostics().errors().next().is_some();
            let reason = response.diagnostics().reason();
            let ids: Vec<String> = reason.map(|id| id.to_string()).collect();
            let is_named = |p: &&Loaded| ids.iter().any(|id| id == p.summary.id.as_str());
            set.policies.iter().filter(is_named).collect()
        };
        let (permits, forbids) = (matching(Effect::Permit), matching(Effect::Forbid));
        Findings {
            denied: errors.then_some(EVALUATION_ERROR),
            permitted: !permits.is_empty(),
            permits,
            forbids,
        }
    })
}

/// How much a decision lets through.
fn width(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Deny(_) => 0,
        Outcome::Hold(_) => 1,
        Outcome::Allow(_) => 2,
    }
}

fn policies() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(policy(), 0..10)
}

fn askings() -> impl Strategy<Value = Vec<Asking>> {
    prop::collection::vec(asking(), 64)
}

/// Loading takes longest, so that a set is asked many questions. `PROPTEST_CASES` asks for more sets.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig {
            cases: 48,
            ..default
        },
    }
}

proptest! {
    #![proptest_config(config())]

    /// Looking at the slice only gives the answer that all policies give, policies named included.
    #[test]
    fn the_slice_decides_as_the_whole(policies in policies(), askings in askings()) {
        let set = load(&policies);
        for asking in askings {
            let question = asking.question();
            let roles = roles(&question);
            let sliced = conclude(set.findings(&question, &roles));
            let whole = conclude(oracle(&set, &question, &roles));
            prop_assert_eq!(sliced, whole, "{:?}\n{}", asking, text(&policies));
        }
    }

    /// One forbid more never lets more through.
    #[test]
    fn a_forbid_never_widens(
        policies in policies(),
        more in policy().prop_filter("a forbid", |text| text.contains("forbid(")),
        askings in askings(),
    ) {
        let before = load(&policies);
        let mut policies = policies;
        policies.push(more);
        let after = load(&policies);
        for asking in askings {
            let (a, b) = (before.evaluate(&asking.question()), after.evaluate(&asking.question()));
            prop_assert!(width(&b) <= width(&a), "{a:?} became {b:?} for {asking:?}\n{}", text(&policies));
        }
    }

    /// Less context never lets more through, but for policies that err: what is absent can keep an
    /// evaluation from reaching the error, and an error denies.
    #[test]
    fn missing_context_never_widens(policies in policies(), askings in askings()) {
        let set = load(&policies);
        for asking in askings {
            let present = set.evaluate(&asking.question());
            let failed = || Absence::Failed("the source is down".to_owned());
            let mut without_approval = asking.clone();
            without_approval.context.approval = Known::Absent(failed());
            let mut without_invocation = asking.clone();
            without_invocation.context.invocation = Known::Absent(failed());
            for missing in [without_approval, without_invocation] {
                let absent = set.evaluate(&missing.question());
                let errs = present.policies().iter().any(|p| p.id.as_str() == EVALUATION_ERROR);
                prop_assert!(
                    errs || width(&absent) <= width(&present),
                    "{present:?} became {absent:?} for {missing:?}\n{}",
                    text(&policies)
                );
            }
        }
    }

    /// The order of policies changes nothing, and without a permit nothing goes through.
    #[test]
    fn order_does_not_matter_and_denying_is_the_default(
        policies in policies(),
        askings in askings(),
    ) {
        let forward = text(&policies);
        let lines: Vec<&str> = forward.lines().rev().collect();
        let backward = PolicySet::load(&[Source::new("generated.cedar", lines.join("\n"))]).unwrap();
        let forbids: Vec<String> = policies.iter().filter(|p| !p.contains("permit(")).cloned().collect();
        let (set, forbids) = (load(&policies), load(&forbids));
        for asking in askings {
            let question = asking.question();
            prop_assert_eq!(set.evaluate(&question), backward.evaluate(&question));
            prop_assert_eq!(width(&forbids.evaluate(&question)), 0);
        }
    }
}
