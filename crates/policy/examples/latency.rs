//! How long a decision takes, and that it does not grow with the number of policies:
//! `cargo run --release -p kubestile-policy --example latency`.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program that prints what it measured"
)]

use std::time::{Duration, Instant};

use kubestile_core::identity::IdentityKind;
use kubestile_core::{Absence, Assurance, Context, Identity, Known, PersonId, Timestamp};
use kubestile_policy::kubectl_words::Typed;
use kubestile_policy::{PolicySet, Question, Source, base_sources};

const REQUESTS: &[&str] = &[
    "GET /apis/apps/v1",
    "kubectl get pods -n shop",
    "kubectl get deployment web -n shop",
    "kubectl patch deployment web -n shop",
    "kubectl delete deployment web -n shop",
    "kubectl exec web-1 -n shop -- sh",
    "kubectl get secret db -n shop",
];

fn main() {
    for further in [0, 100, 1_000, 10_000] {
        let mut sources = base_sources();
        sources.push(teams(further));
        let started = Instant::now();
        let set = PolicySet::load(&sources).expect("the policies load");
        println!(
            "{further} policies beside the base pack, loaded in {:.0?}",
            started.elapsed()
        );
        for line in REQUESTS {
            measure(&set, line);
        }
    }
}

/// Policies of teams, a third of them forbids, in the forms that people write.
fn teams(count: usize) -> Source {
    let policy = |i: usize| {
        let id = format!("@id(\"team-{i}\") @reason(\"the policy of team {i}\")");
        match i % 3 {
            0 => format!(
                "{id} permit(principal in Group::\"team-{i}\", action in Action::\"read\", resource in Namespace::\"prod/team-{i}\");\n"
            ),
            1 => format!(
                "{id} permit(principal in Group::\"team-{}\", action in [Action::\"patch\", Action::\"delete\"], resource is Object) when {{ resource has namespace && context.assurance >= 2 }};\n",
                i % 50
            ),
            _ => format!(
                "{id} @satisfy(\"approval\") forbid(principal, action in Action::\"write\", resource in Namespace::\"prod/team-{i}\") unless {{ context.approval }};\n"
            ),
        }
    };
    Source::new("teams.cedar", (0..count).map(policy).collect::<String>())
}

fn measure(set: &PolicySet, line: &str) {
    let identity = Identity {
        name: "ana@example.com".to_owned(),
        id: PersonId::from_uuid(uuid::Uuid::nil()),
        kind: IdentityKind::Person,
        groups: (100..120).map(|i| format!("team-{i}")).collect(),
        functions: vec!["operator:shop".parse().expect("a job function")],
    };
    let action = Typed::parse(line)
        .and_then(|typed| typed.action("prod".parse().expect("a cluster")))
        .expect("a request");
    let context = Context {
        now: Timestamp::from_secs(1_795_521_600),
        source: [192, 0, 2, 7].into(),
        invocation: Known::Absent(Absence::NotSent),
        approval: Known::Absent(Absence::NotNeeded),
        grants: Vec::new(),
    };
    let question = Question {
        identity: &identity,
        session_age_s: 60,
        assurance: Assurance::Multi,
        action: &action,
        context: &context,
    };
    let mut times: Vec<Duration> = (0..20_000)
        .map(|_| {
            let started = Instant::now();
            std::hint::black_box(set.evaluate(&question));
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    let name = set.evaluate(&question).name();
    println!(
        "  {name:5} p50 {:>8.1?}  p99 {:>8.1?}  {line}",
        at(50),
        at(99)
    );
}
