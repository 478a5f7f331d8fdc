//! What a gate before the cluster proves of itself.

use crate::facts::{Facts, Gives as _, Who};
use crate::snapshot::GrantFault;
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Verdict, undecided};

use super::NEEDS_GATE;

/// How late a stream or a grant may end, in seconds.
const LATE: i64 = 60;

/// What policies look at, by what it tells.
const CONTEXT: [(&str, &[&str]); 5] = [
    ("the login's strength", &["assurance"]),
    ("the network", &["source"]),
    ("the time", &["sessionAge", "now", "hourUtc", "weekday"]),
    ("the ticket", &["ticket"]),
    ("the risk", &["risk"]),
];

fn seen(field: &str, text: impl Into<String>) -> Evidence {
    Evidence::named(Class::Gate, "the gate", field, text)
}

fn faults(list: &[GrantFault]) -> Vec<Evidence> {
    let one = |f: &GrantFault| {
        let text = format!("{}: {}", f.holder, f.fault);
        Evidence::named(Class::Gate, format!("grant/{}", f.grant), "", text)
    };
    list.iter().map(one).collect()
}

fn command(text: &str, command: &str) -> Fix {
    Fix::changes(text, vec![Change::Command(command.to_owned())])
}

/// S1-02, as far as logins at the gate decide it: none if nobody is logged in there.
pub(super) fn factors(facts: &Facts<'_>) -> Option<Verdict> {
    let people = &facts.gate_facts().ok()?.sessions.people;
    let strong = |kind: &str| matches!(kind, "multi" | "phishing-resistant");
    let all: u64 = people.iter().map(|(_, n)| *n).sum();
    let weak = people.iter().filter(|(kind, n)| *n > 0 && !strong(kind));
    let evidence: Vec<Evidence> = weak
        .map(|(kind, n)| seen("sessions", format!("{n} session(s) began with `{kind}`")))
        .collect();
    if all == 0 {
        return None;
    }
    let pass = format!("each of {all} session(s) at the gate began with more than one factor");
    let verdict = Verdict::of(evidence, &pass, |_| {
        "the gate lets people in with one factor".to_owned()
    });
    Some(verdict.sure(80).mend(|| {
        Fix::text("hand out login codes only where a second factor was asked for, or let people log in through an identity provider that asks for one")
    }))
}

/// S3-11
pub(super) fn context(facts: &Facts<'_>) -> Judged {
    let policies = &facts.gate_facts()?.policies;
    let looks = |names: &&(&str, &[&str])| {
        names
            .1
            .iter()
            .any(|n| policies.context.iter().any(|c| c == n))
    };
    let kinds: Vec<&str> = CONTEXT
        .iter()
        .filter(looks)
        .map(|(kind, _)| *kind)
        .collect();
    let list = match kinds.is_empty() {
        true => "nothing of the circumstances".to_owned(),
        false => kinds.join(", "),
    };
    let evidence = seen(
        "policies",
        format!("{} policies look at {list}", policies.count),
    );
    Ok(match kinds.len() {
        3.. => Verdict::pass(format!("policies look at {list}")),
        _ => Verdict::fail("decisions look at too little of the moment"),
    }
    .seen(evidence)
    .mend(|| Fix::text("write policies on context.assurance, source, hourUtc, ticket or risk; `kubestile policy check` tries them")))
}

/// S3-16
pub(super) fn invocations(facts: &Facts<'_>) -> Judged {
    let log = facts.gate()?.log.as_ref().and_then(|l| l.requests.as_ref());
    let Some(requests) = log.filter(|r| r.kubectl > 0) else {
        return undecided("no request of kubectl was found in the gate's log");
    };
    let text = format!(
        "{} of {} requests of kubectl name their command",
        requests.kubectl_named, requests.kubectl
    );
    let enough = requests.kubectl_named.saturating_mul(100) >= requests.kubectl.saturating_mul(99);
    Ok(match enough {
        true => Verdict::pass(text.clone()),
        false => Verdict::fail("requests of kubectl do not say to which command they belong"),
    }
    .seen(seen("log", text))
    .mend(|| Fix::text("let nothing between kubectl and the gate take Kubectl-Session and Kubectl-Command away")))
}

/// S3-17
pub(super) fn recordings(facts: &Facts<'_>) -> Judged {
    match facts.gate_facts()?.records_streams {
        Some(true) => Ok(Verdict::pass("the gate records what passes in streams")),
        Some(false) => Ok(Verdict::fail("what is typed in pods is not recorded")
            .seen(seen(
                "streams",
                "logged with command, bytes and duration; what passes is not kept",
            ))
            .mend(|| {
                Fix::text("forbid exec and attach by policy where what is typed must be known")
            })),
        None => undecided(format!("recordings are not known; {NEEDS_GATE}")),
    }
}

/// S3-19
pub(super) fn streams(facts: &Facts<'_>) -> Judged {
    let every = facts.gate_facts()?.streams_judged_every;
    let text = format!(
        "an open stream is judged again every {every} s, and when a session, grant or policy changes"
    );
    match every {
        ..=0 => undecided("whether the gate judges open streams again is not known"),
        1..=LATE => Ok(Verdict::pass(text.clone())
            .seen(seen("streams", text))
            .sure(90)),
        _ => Ok(Verdict::fail("open streams are judged again too seldom")
            .seen(seen("streams", text))
            .mend(|| Fix::text("run a gate that judges them each minute"))),
    }
}

/// S4-01: standing job functions whose groups may change something in this cluster.
pub(super) fn standing_functions(facts: &Facts<'_>) -> Vec<Evidence> {
    let (Ok(gate), Ok(grants)) = (facts.gate_facts(), facts.grants()) else {
        return Vec::new();
    };
    let writes = |role: &str| {
        let group = format!("kubestile:{role}");
        grants.iter().any(|g| {
            let rest = g.subject.name.strip_prefix(&group);
            g.who == Who::Gate
                && rest.is_some_and(|r| r.is_empty() || r.starts_with(':'))
                && g.rules().iter().any(|r| r.writes())
        })
    };
    let standing = gate.standing.functions.iter();
    standing
        .filter(|(_, function)| {
            let role = function.split([':', '@']).next().unwrap_or_default();
            writes(role)
        })
        .map(|(person, function)| {
            let text = format!(
                "{person} may change things at any time, by the standing job function `{function}`"
            );
            Evidence::named(Class::Gate, format!("person/{person}"), "functions", text)
        })
        .collect()
}

/// S4-02
pub(super) fn explained(facts: &Facts<'_>) -> Judged {
    let grants = &facts.gate_facts()?.grants;
    if grants.total == 0 {
        return undecided("the gate keeps no grant yet: `kubestile request` asks for one");
    }
    let pass = format!(
        "each of {} grant(s) has a reason, an approver and an end",
        grants.total
    );
    Ok(Verdict::of(faults(&grants.lacking), &pass, |n| {
        format!("{n} grant(s) lack a ticket, an approver or an early end")
    })
    .mend(|| {
        Fix::text(
            "forbid such grants by policy: context.ticket, context.approval, resource.duration",
        )
    }))
}

/// S4-03
pub(super) fn dangerous(facts: &Facts<'_>) -> Judged {
    let log = facts.gate()?.log.as_ref().and_then(|l| l.requests.as_ref());
    let Some(requests) = log.filter(|r| r.dangerous > 0) else {
        return undecided("the gate's log has no dangerous request (R4, R5) that was allowed");
    };
    let text = format!(
        "{} of {} dangerous requests (R4, R5) had the approval of somebody else",
        requests.dangerous_approved, requests.dangerous
    );
    Ok(match requests.dangerous_approved >= requests.dangerous {
        true => Verdict::pass(text.clone()),
        false => Verdict::fail("dangerous requests went through without an approval"),
    }
    .seen(seen("log", text))
    .mend(|| {
        command(
            "hold them by policy: forbid unless context.approval, when context.risk >= 4",
            "kubestile audit search",
        )
    }))
}

/// S4-04
pub(super) fn scores(facts: &Facts<'_>) -> Judged {
    match facts.gate_facts()?.scores_risk {
        Some(true) => Ok(Verdict::pass(
            "each decision carries a score of its session's risk",
        )),
        Some(false) => Ok(
            Verdict::fail("decisions carry no score of their session's risk")
                .seen(seen(
                    "decisions",
                    "each carries the class of its request (R0 to R5) only",
                ))
                .mend(|| {
                    Fix::text("until there is one, hold by context.risk and context.sessionAge")
                }),
        ),
        None => undecided(format!("risk scores are not known; {NEEDS_GATE}")),
    }
}

/// S4-07
pub(super) fn on_time(facts: &Facts<'_>) -> Judged {
    let gate = facts.gate_facts()?;
    let text = format!(
        "each request looks at the end of its grants by the gate's own clock; streams every {} s at least",
        gate.streams_judged_every
    );
    match gate.streams_judged_every {
        ..=0 => undecided("whether the gate judges open streams again is not known"),
        1..=LATE => Ok(Verdict::pass(text.clone())
            .seen(seen(
                "grants",
                format!("{} of them have expired", gate.grants.expired),
            ))
            .sure(80)),
        _ => Ok(Verdict::fail("a stream may outlive its grant")
            .seen(seen("streams", text))
            .mend(|| Fix::text("run a gate that judges them each minute"))),
    }
}

/// S4-08
pub(super) fn bound_to_runs(facts: &Facts<'_>) -> Judged {
    let gate = facts.gate_facts()?;
    if !gate.pipelines && gate.grants.pipelines == 0 {
        return undecided(
            "no pipeline logs in at the gate: name its issuer under `pipelines` in the gate's configuration",
        );
    }
    let pass = format!(
        "pipelines log in by rules on their run's claims, and each of their {} grant(s) is one run's",
        gate.grants.pipelines
    );
    Ok(Verdict::of(faults(&gate.grants.unbound), &pass, |n| {
        format!("{n} grant(s) of pipelines can be used by any run")
    })
    .sure(80)
    .mend(|| Fix::text("take them back, and let each run ask for its own")))
}

/// S4-10
pub(super) fn kill_switch(facts: &Facts<'_>) -> Judged {
    let gate = facts.gate()?;
    let sessions = gate
        .facts
        .as_ref()
        .map_or_else(String::new, |f| format!("{} ", f.sessions.live));
    Ok(Verdict::pass(format!(
        "{sessions}session(s) at the gate, each looked up on every request and ended by `kubestile sessions`"
    ))
    .sure(80))
}

/// S4-12
pub(super) fn break_glass(facts: &Facts<'_>) -> Judged {
    let gate = facts.gate_facts()?;
    let grants = &gate.grants;
    let mut evidence = faults(&grants.unreviewed);
    if evidence.is_empty() && grants.break_glass == 0 {
        return undecided(
            "break-glass was never tried: `kubestile break-glass` does, and somebody reviews it",
        );
    }
    if gate.channels == 0 {
        evidence.push(seen("notifications", "nobody is told when it is used"));
    }
    if evidence.is_empty() && grants.to_review > 0 {
        return undecided(format!(
            "{} use(s) of break-glass wait for a review: `kubestile grants review`",
            grants.to_review
        ));
    }
    let pass = format!(
        "{} use(s) of break-glass ended by themselves and were reviewed within a day",
        grants.break_glass
    );
    Ok(Verdict::of(evidence, &pass, |_| {
        "break-glass is not watched as it should be".to_owned()
    })
    .mend(|| {
        command(
            "review them, and name a channel under `notifications`",
            "kubestile grants review",
        )
    }))
}

/// S4-13
pub(super) fn policy_changes(facts: &Facts<'_>) -> Judged {
    let policies = &facts.gate_facts()?.policies;
    if policies.own == 0 {
        return undecided(
            "all policies came with the program; who may replace it or its configuration is not known",
        );
    }
    let text = format!(
        "{} of {} policies are files that are not signed",
        policies.own, policies.count
    );
    Ok(Verdict::fail("whoever writes to the policies' directory changes them alone")
        .seen(seen("policies", text))
        .mend(|| Fix::text("keep the directory in version control with two reviewers, and let only a pipeline write to it")))
}
