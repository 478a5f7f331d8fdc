//! The golden authorization matrix: who may do what under the base pack, as text that people review.
//! `UPDATE=1 cargo test -p kubestile-tests --test matrix` rewrites it; the diff is the review.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use kubestile_core::action::Impersonates;
use kubestile_core::context::Approved;
use kubestile_core::identity::IdentityKind;
use kubestile_core::{
    Absence, Action, ActionKind, Assurance, Context, Identity, Known, PersonId, RequestInfo,
    Timestamp,
};
use kubestile_policy::{Outcome, PolicySet, Question, base_sources};

/// Somebody in front of the gate of the cluster `prod`: name, job function, and what else is so.
const SUBJECTS: [(&str, &str, Condition); 13] = [
    ("nobody", "", Condition::None),
    ("viewer", "viewer", Condition::None),
    ("viewer:shop", "viewer:shop", Condition::None),
    ("operator:bank", "operator:bank", Condition::None),
    ("operator:shop@dev", "operator:shop@dev", Condition::None),
    ("operator:shop", "operator:shop", Condition::None),
    (
        "operator:shop approved",
        "operator:shop",
        Condition::Approved,
    ),
    (
        "operator:shop 8h old",
        "operator:shop",
        Condition::OldSession,
    ),
    ("operator", "operator", Condition::None),
    ("admin:shop", "admin:shop", Condition::None),
    ("admin:shop approved", "admin:shop", Condition::Approved),
    ("admin", "admin", Condition::None),
    ("admin approved", "admin", Condition::Approved),
];

/// What is so beside who asks.
#[derive(Clone, Copy, PartialEq)]
enum Condition {
    None,
    /// A second person approved exactly this request.
    Approved,
    /// The session began eight hours ago.
    OldSession,
}

/// What somebody asks for: a line of `matrix/requests.txt`.
struct Request {
    title: &'static str,
    /// As written: method, target, and whom they want to be.
    line: &'static str,
    action: Action,
}

#[test]
fn the_matrix_is_as_committed() {
    let now = matrix(&base());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix/authz.out");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differences = differences(&committed, &now);
    assert!(
        differences.is_empty(),
        "who may do what has changed. If it should have:\n  \
         UPDATE=1 cargo test -p kubestile-tests --test matrix\nthen review the diff of {}:\n{}",
        path.display(),
        differences.join("\n")
    );
}

#[test]
fn every_kind_of_action_has_a_row() {
    let requests = requests();
    let mut seen: BTreeSet<ActionKind> = requests.iter().map(|r| r.action.kind).collect();
    if requests.iter().any(|r| r.action.impersonates.is_some()) {
        seen.insert(ActionKind::Impersonate);
    }
    let missing: Vec<&ActionKind> = ActionKind::ALL
        .iter()
        .filter(|k| !seen.contains(k))
        // Neither is a request to Kubernetes: the Markdown beside their policies tests them.
        .filter(|k| !matches!(k, ActionKind::Ask | ActionKind::Answer))
        .collect();
    assert!(
        missing.is_empty(),
        "no row for {missing:?}: add a line to matrix/requests.txt"
    );
}

#[test]
fn every_policy_of_the_base_pack_decides_a_row() {
    let policies = base();
    let mut deciding = BTreeSet::new();
    for request in requests() {
        for subject in SUBJECTS {
            let outcome = evaluate(&policies, subject, &request);
            deciding.extend(outcome.policies().iter().map(|p| p.id.clone()));
        }
    }
    let idle: Vec<String> = policies
        .policies()
        .filter(|policy| !deciding.contains(&policy.id))
        .filter(|policy| !ABOUT_ASKING.contains(&policy.id.as_str()))
        .map(|policy| policy.id.to_string())
        .collect();
    assert!(
        idle.is_empty(),
        "policies that decide no row: {idle:?}: add a line to matrix/requests.txt"
    );
}

/// Policies for access requests, which decide no request to Kubernetes.
const ABOUT_ASKING: [&str; 6] = [
    "approvers-answer",
    "break-glass",
    "grants-need-a-reason",
    "grants-need-approval",
    "only-people-answer",
    "people-ask-to-read",
];

/// What must hold whatever the policies become.
#[test]
fn some_things_are_allowed_to_nobody() {
    let policies = base();
    for request in requests() {
        let never = matches!(
            request.action.kind,
            ActionKind::NodeProxy | ActionKind::Token | ActionKind::Approve | ActionKind::Unknown
        ) || request.action.impersonates.is_some();
        for subject in SUBJECTS {
            let outcome = evaluate(&policies, subject, &request);
            let allowed = matches!(outcome, Outcome::Allow(_));
            let (name, title) = (subject.0, request.title);
            assert!(!(never && allowed), "{name} may: {title}");
            assert!(
                !allowed || !outcome.policies().is_empty(),
                "{name} may without a policy: {title}"
            );
        }
    }
}

fn base() -> PolicySet {
    PolicySet::load(&base_sources()).expect("the base pack loads")
}

fn matrix(policies: &PolicySet) -> String {
    let mut text = String::from(
        "# Who may do what under the base pack: written by tests/tests/matrix.rs, reviewed by people.\n\
         # A allowed, H held until its obligations are met, . denied. The cluster is prod.\n\n",
    );
    for (column, (name, ..)) in SUBJECTS.iter().enumerate() {
        writeln!(text, "{}+ {name}", "| ".repeat(column)).unwrap();
    }
    for request in requests() {
        let marks = SUBJECTS.map(|subject| mark(&evaluate(policies, subject, &request)));
        writeln!(text, "{}  {}", marks.join(" "), request.title).unwrap();
    }
    for request in requests() {
        detail(policies, &request, &mut text);
    }
    text
}

fn mark(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Allow(_) => "A",
        Outcome::Hold(_) => "H",
        Outcome::Deny(_) => ".",
    }
}

/// The request, then one line per different answer: decision, policies, and who gets it.
fn detail(policies: &PolicySet, request: &Request, text: &mut String) {
    let Request {
        title,
        line,
        action,
    } = request;
    writeln!(text, "\n{title}: {line} ({})", action.kind).unwrap();
    let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
    for subject in SUBJECTS {
        let answer = answer(&evaluate(policies, subject, request));
        match answers.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, who)) => who.push(subject.0),
            None => answers.push((answer, vec![subject.0])),
        }
    }
    for (answer, who) in answers {
        let who = match who.len() {
            all if all == SUBJECTS.len() => "everybody".to_owned(),
            _ => who.join(", "),
        };
        writeln!(text, "  {answer}: {who}").unwrap();
    }
}

fn answer(outcome: &Outcome) -> String {
    let mut ids: Vec<&str> = outcome.policies().iter().map(|p| p.id.as_str()).collect();
    ids.sort_unstable();
    let mut answer = format!("{:5} {}", outcome.name(), ids.join(" "));
    if ids.is_empty() {
        answer.push_str("no policy permits it");
    }
    for obligation in outcome.obligations() {
        write!(answer, " [needs {}]", obligation.as_str()).unwrap();
    }
    answer
}

fn evaluate(
    policies: &PolicySet,
    (_, function, condition): (&str, &str, Condition),
    request: &Request,
) -> Outcome {
    let functions = Some(function).filter(|f| !f.is_empty());
    let identity = Identity {
        name: "ana@example.com".to_owned(),
        id: PersonId::from_uuid(uuid::Uuid::from_u128(1)),
        kind: IdentityKind::Person,
        groups: Vec::new(),
        functions: functions.iter().map(|f| f.parse().unwrap()).collect(),
    };
    let mut context = Context {
        now: Timestamp::from_secs(1_800_000_000),
        source: "192.0.2.1".parse().unwrap(),
        invocation: Known::Absent(Absence::NotSent),
        approval: Known::Absent(Absence::NotConfigured),
        grants: Vec::new(),
    };
    let is_old = condition == Condition::OldSession;
    let judge = |context: &Context| {
        policies.evaluate(&Question {
            identity: &identity,
            session_age_s: if is_old { 8 * 3600 } else { 60 },
            assurance: Assurance::Code,
            action: &request.action,
            context,
        })
    };
    let before = judge(&context);
    if condition != Condition::Approved {
        return before;
    }
    // As the gate does it: whatever is held is approved by as many as it needs, for itself alone.
    if let Outcome::Hold(hold) = &before {
        context.approval = Known::Present(Approved {
            access: kubestile_core::AccessId::from_random(1),
            count: hold.approvals,
            function: hold.function.clone(),
        });
    }
    judge(&context)
}

fn requests() -> Vec<Request> {
    include_str!("../matrix/requests.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (title, line) = line.split_once(": ").expect("`title: request`");
            Request {
                title,
                line,
                action: action(line),
            }
        })
        .collect()
}

fn action(line: &str) -> Action {
    let (request, who) = match line.split_once(" as ") {
        Some((request, who)) => (request, Some(who)),
        None => (line, None),
    };
    let (method, target) = request.split_once(' ').expect("`METHOD target`");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let info = RequestInfo::parse(method, path, query).unwrap_or_else(|e| panic!("{line}: {e}"));
    let impersonates = who.map(|who| {
        let mut words = who.split(" in ").map(str::to_owned);
        Impersonates {
            user: words.next().unwrap_or_default(),
            groups: words.collect(),
        }
    });
    Action::new("prod".parse().unwrap(), info, impersonates)
}

/// Lines that are gone (-) or new (+).
fn differences(before: &str, after: &str) -> Vec<String> {
    let old: BTreeSet<&str> = before.lines().collect();
    let new: BTreeSet<&str> = after.lines().collect();
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    let differences: Vec<String> = gone.chain(come).take(60).collect();
    if differences.is_empty() && before != after {
        return vec!["only the order of lines has changed".to_owned()];
    }
    differences
}
