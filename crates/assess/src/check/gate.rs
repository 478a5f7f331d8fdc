//! What a gate before the cluster shows of itself. Each verdict says where that comes from: a gate on this
//! machine is asked on its own socket and its log is verified; one elsewhere is believed only as far as whoever
//! holds the key that the login trusts is.

use kubestile_core::{Timestamp, Ttl};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::facts::{Facts, Gives as _, Who};
use crate::gate_policies::{self, GatePolicy};
use crate::snapshot::{DRILL_DAYS, DRILLED, Gate, GrantFault};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Outcome, Verdict, quoted, undecided};

use super::NEEDS_GATE;

/// How late a stream or a grant may end, in seconds.
const LATE: i64 = 60;
/// The binding of a sealed way in.
const SEALED: &str = "kubestile-break-glass";
/// How sure a gate's own word from elsewhere makes, in percent.
const BY_ITS_WORD: u8 = 60;

/// What policies look at, by what it tells.
const CONTEXT: [(&str, &[&str]); 5] = [
    ("the login's strength", &["assurance"]),
    ("the network", &["source"]),
    ("the time", &["sessionAge", "now", "hourUtc", "weekday"]),
    ("the ticket", &["ticket"]),
    ("the risk", &["risk"]),
];

/// Logins that prove more than one factor.
const STRONG: [&str; 2] = ["multi", "phishing-resistant"];

/// The policy that asks for such a login.
const ASK_FOR_TWO: &str = "forbid (principal, action, resource) unless { context.assurance >= 3 };";

/// Where the gate was asked, in words.
fn place(gate: &Gate) -> String {
    match (gate.remote, gate.place.as_str()) {
        (true, at) => format!("the gate at {at}, by its own word"),
        (false, "") => "the gate".to_owned(),
        (false, at) => format!("the gate in {at}"),
    }
}

/// The same verdict with where it comes from: nothing that a gate elsewhere says is surer than its word, and the
/// summary says that it is one.
pub(super) fn vouched(gate: &Gate, mut verdict: Verdict) -> Verdict {
    if gate.remote {
        verdict.confidence = verdict.confidence.min(BY_ITS_WORD);
        if verdict.outcome == Outcome::Pass {
            verdict.summary = format!("{} (by the gate's own word)", verdict.summary);
        }
    }
    if verdict.evidence.is_empty() {
        let text = match gate.remote {
            true => {
                "what it says of itself, over TLS with the authority of your login; nothing else was looked at"
            }
            false => "asked on this machine",
        };
        let seen = Evidence::named(Class::Gate, place(gate), "", text);
        return verdict.seen(seen);
    }
    for evidence in &mut verdict.evidence {
        if evidence.object == "the gate" {
            evidence.object = place(gate);
        }
    }
    verdict
}

/// A verdict that rests on what the gate says.
pub(super) fn by(facts: &Facts<'_>, judge: fn(&Facts<'_>) -> Judged) -> Judged {
    let verdict = judge(facts)?;
    Ok(vouched(facts.gate()?, verdict))
}

fn seen(field: &str, text: impl Into<String>) -> Evidence {
    Evidence::named(Class::Gate, "the gate", field, text)
}

/// Each grant that is at fault, and how many more there are than the gate lists.
fn faults(list: &[GrantFault], more: u64) -> Vec<Evidence> {
    let one = |f: &GrantFault| {
        let text = format!("{}: {}", f.holder, f.fault);
        Evidence::named(Class::Gate, format!("grant/{}", f.grant), "", text)
    };
    let rest = (more > 0 && !list.is_empty())
        .then(|| seen("grants", format!("{more} more at fault are not listed")));
    list.iter().map(one).chain(rest).collect()
}

fn command(text: &str, command: &str) -> Fix {
    Fix::changes(text, vec![Change::Command(command.to_owned())])
}

/// A policy for a file in a directory that the gate's configuration names under `policies.directories`.
fn policy(text: &str, id: &str, more: &str, body: &str) -> Fix {
    let line = format!("@id(\"{id}\") @reason(\"{text}\"){more} {body}");
    command(
        &format!(
            "{text}: POLICIES is a directory of the gate's `policies.directories` (or of `kubestile up --policies DIR`); it is in force at once"
        ),
        &format!("printf '%s\\n' {} > POLICIES/{id}.cedar", quoted(&line)),
    )
}

/// What a plan writes for a control, to be put there by hand.
pub(super) fn written(facts: &Facts<'_>, control: &str) -> Fix {
    let gate = facts.gate_facts().ok();
    // Nobody could name a ticket to a gate that knows none.
    let tickets = gate.is_none_or(|g| g.ticket_systems != Some(false));
    let all = || gate_policies::of(control).filter(move |p| tickets || !p.needs_tickets);
    let says: Vec<&str> = all().map(|p| p.says).collect();
    let put = |p: &GatePolicy| {
        Change::Command(format!(
            "printf '%s\\n' {} > POLICIES/{}",
            quoted(&p.line()),
            p.file()
        ))
    };
    Fix::changes(
        format!(
            "{}: POLICIES is a directory of the gate's `policies.directories` (or of `kubestile up --policies DIR`); it is in force at once",
            says.join("; ")
        ),
        all().map(put).collect(),
    )
}

/// S1-02, where people come through a gate: none if it does not show its facts. A login code alone begins a session at
/// every gate, so that only a policy makes a second factor a must.
pub(super) fn factors(facts: &Facts<'_>) -> Option<Verdict> {
    let (gate, known) = (facts.gate().ok()?, facts.gate_facts().ok()?);
    let people = known.sessions.people.iter().filter(|(_, n)| *n > 0);
    let strong = |kind: &str| STRONG.contains(&kind);
    let cluster = facts.gate_cluster().ok();
    let asked = cluster
        .filter(|c| c.trials > 0)
        .is_some_and(|c| c.weakest_login.as_deref().is_none_or(strong));
    if asked {
        let text =
            "the gate's policies let nobody do anything whose login proved less than two factors";
        let seen = seen("policies", "tried with logins of each strength");
        return Some(vouched(gate, Verdict::pass(text).seen(seen).sure(80)));
    }
    let weak: Vec<Evidence> = people
        .clone()
        .filter(|(kind, _)| !strong(kind))
        .map(|(kind, n)| {
            seen(
                "sessions",
                format!("{n} session(s) began with `{kind}`, one factor"),
            )
        })
        .collect();
    let verdict = match (weak.is_empty(), people.count()) {
        (true, 1..) => Verdict::unknown(
            "each session at the gate began with more than one factor, but no policy asks for it",
        ),
        (true, 0) => Verdict::fail("the gate lets people in with one factor").seen(seen(
            "policies",
            "a login code alone begins a session, and no policy asks for more",
        )),
        (false, _) => Verdict::fail("the gate lets people in with one factor").because(weak),
    };
    let mended = verdict.sure(80).mend(|| {
        policy(
            "more than one factor is needed; a login code is one, and whoever has nothing else can then do nothing at the gate",
            "two-factors",
            "",
            ASK_FOR_TWO,
        )
    });
    Some(vouched(gate, mended))
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
    .mend(|| written(facts, "S3-11")))
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
    .mend(|| {
        command(
            "let nothing between kubectl and the gate take Kubectl-Session and Kubectl-Command away; to see whose are missing",
            "kubestile audit search --since 1h -o wide",
        )
    }))
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
                policy(
                    "what is typed in pods must be known",
                    "streams-must-be-known",
                    "",
                    "forbid (principal, action in [Action::\"exec\", Action::\"attach\"], resource);",
                )
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
            .mend(|| command("run a gate that judges them each minute", "kubestile up"))),
    }
}

/// S4-01: standing job functions whose groups may change something in this cluster.
pub(super) fn standing_functions(facts: &Facts<'_>) -> Vec<Evidence> {
    let (Ok(gate), Ok(grants)) = (facts.gate_facts(), facts.grants()) else {
        return Vec::new();
    };
    // Where its policies let nobody change anything without a grant, a standing job function is only a claim to one.
    let tried = facts.gate_cluster().ok().and_then(|c| c.standing.as_ref());
    if tried.is_some_and(Vec::is_empty) {
        return Vec::new();
    }
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
    let more = (gate.standing.more > 0).then(|| {
        let text = format!(
            "{} more standing job functions are not listed: they may change things, too",
            gate.standing.more
        );
        seen("standing", text)
    });
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
        .chain(more)
        .collect()
}

/// S4-02
pub(super) fn explained(facts: &Facts<'_>) -> Judged {
    let grants = &facts.gate_facts()?.grants;
    let tried = facts.gate_cluster().ok().and_then(|c| c.loose.as_ref());
    if grants.total == 0 && tried.is_none() {
        return undecided("the gate keeps no grant yet: `kubestile request` asks for one");
    }
    let loose = tried.into_iter().flatten();
    let mut evidence: Vec<Evidence> = loose
        .map(|what| seen("policies", format!("they let somebody have {what}")))
        .collect();
    let only_policies = grants.lacking.is_empty();
    evidence.extend(faults(&grants.lacking, grants.more));
    let pass = match tried {
        Some(_) => format!(
            "the policies give no grant without a ticket, an approver and an early end, and each of {} has them",
            grants.total
        ),
        None => format!(
            "each of {} grant(s) has a reason, an approver and an end",
            grants.total
        ),
    };
    let verdict = Verdict::of(evidence, &pass, |n| match only_policies {
        true => format!("{n} kind(s) of grants lack a ticket, an approver or an early end"),
        false => "grants lack a ticket, an approver or an early end".to_owned(),
    });
    let sure = if tried.is_some() { 80 } else { 100 };
    Ok(verdict.sure(sure).mend(|| written(facts, "S4-02")))
}

/// S4-03: by what the policies in force say when they are tried, and by what the log has.
pub(super) fn dangerous(facts: &Facts<'_>) -> Judged {
    let gate = facts.gate()?;
    let cluster = facts.gate_cluster().ok().filter(|c| c.trials > 0);
    let log = gate.log.as_ref().filter(|l| l.verified);
    let requests = log
        .and_then(|l| l.requests.as_ref())
        .filter(|r| r.dangerous > 0);
    let mut evidence: Vec<Evidence> = cluster.map_or_else(Vec::new, |c| {
        let one = |what: &String| {
            seen("policies", format!("the job functions that they know let somebody {what}, and no second person is asked"))
        };
        c.unheld.iter().map(one).collect()
    });
    let counted = requests.map(|r| {
        format!(
            "{} of {} dangerous requests (R4, R5) had the approval of somebody else",
            r.dangerous_approved, r.dangerous
        )
    });
    let unapproved = requests.is_some_and(|r| r.dangerous_approved < r.dangerous);
    if let Some(text) = counted.as_ref().filter(|_| unapproved) {
        evidence.push(seen("log", text));
    }
    let pass = match (cluster, &counted) {
        (None, None) if evidence.is_empty() => {
            return undecided(
                "the gate's log has no dangerous request (R4, R5) that was allowed, and its policies were not tried",
            );
        }
        (Some(c), counted) => format!(
            "the policies hold or deny each of {} dangerous requests (R4, R5) that they were tried with{}",
            c.trials,
            counted
                .as_ref()
                .map_or_else(String::new, |t| format!("; {t}"))
        ),
        (None, counted) => counted.clone().unwrap_or_default(),
    };
    let hold = cluster.map(|c| c.hold.as_str()).filter(|h| !h.is_empty());
    let verdict = Verdict::of(evidence, &pass, |n| {
        format!("{n} kind(s) of dangerous requests go through without an approval")
    })
    .sure(80)
    .mend(|| written(facts, "S4-03"));
    Ok(vouched(
        gate,
        match (verdict.outcome, hold) {
            (Outcome::Pass, Some(hold)) => {
                let text = format!("what needs an approval: holds.mode is `{hold}`");
                verdict.seen(seen("holds", text))
            }
            _ => verdict,
        },
    ))
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
                    policy(
                        "until there is a score, what is risky needs an approval once the session is an hour old",
                        "risk-needs-approval",
                        " @satisfy(\"approval\")",
                        "forbid (principal, action, resource) when { context.risk >= 3 && context.sessionAge > 3600 } unless { context.approval };",
                    )
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
            .mend(|| command("run a gate that judges them each minute", "kubestile up"))),
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
    Ok(
        Verdict::of(faults(&gate.grants.unbound, gate.grants.more), &pass, |n| {
            format!("{n} grant(s) of pipelines can be used by any run")
        })
        .sure(80)
        .mend(|| {
            let grant = gate.grants.unbound.first().map(|f| f.grant.as_str());
            command(
                "take them back, and let each run ask for its own",
                &format!(
                    "kubestile grants revoke {} --reason 'not bound to a run'",
                    quoted(grant.unwrap_or("GRANT"))
                ),
            )
        }),
    )
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

/// Whether there is a sealed way in.
pub(super) fn is_sealed(facts: &Facts<'_>) -> bool {
    let bindings = facts.snapshot.rbac.cluster_role_bindings.known();
    bindings.is_some_and(|all| all.iter().any(|b| b.metadata.name == SEALED))
}

/// When the sealed way in was last tried, by the note on its binding; none if there is no seal.
fn drill(facts: &Facts<'_>) -> Option<Result<Timestamp, Evidence>> {
    let bindings = facts.snapshot.rbac.cluster_role_bindings.known()?;
    let binding = bindings.iter().find(|b| b.metadata.name == SEALED)?;
    let wrong = |text: String| {
        let object = format!("clusterrolebinding/{SEALED}");
        Err(Evidence::named(
            Class::Object,
            object,
            "metadata.annotations",
            text,
        ))
    };
    let Some(text) = binding.metadata.annotations.get(DRILLED) else {
        return Some(wrong("the sealed way in was never tried".to_owned()));
    };
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .map(|at| Timestamp::from_secs(at.unix_timestamp()));
    Some(match at {
        None => wrong("when the sealed way in was last tried cannot be read".to_owned()),
        Some(at) if at > facts.snapshot.taken.plus(Ttl::from_secs(3600)) => wrong(format!(
            "the sealed way in was tried at {at}, which is yet to come"
        )),
        Some(at) => Ok(at),
    })
}

/// S4-12: the way in that the gate gives, and the sealed one for the day on which the gate is dead.
pub(super) fn break_glass(facts: &Facts<'_>) -> Judged {
    let taken = facts.snapshot.taken;
    let days = |at: Timestamp| taken.as_secs().saturating_sub(at.as_secs()) / 86_400;
    let mut evidence = Vec::new();
    let mut tried: Vec<Timestamp> = Vec::new();
    match drill(facts) {
        None => {}
        Some(Err(wrong)) => evidence.push(wrong),
        Some(Ok(at)) => {
            tried.push(at);
            if days(at) > DRILL_DAYS {
                evidence.push(Evidence::named(
                    Class::Object,
                    format!("clusterrolebinding/{SEALED}"),
                    "metadata.annotations",
                    format!(
                        "the sealed way in was last tried {} days ago; {DRILL_DAYS} are the most",
                        days(at)
                    ),
                ));
            }
        }
    }
    let sealed = !evidence.is_empty() || !tried.is_empty();
    let mended = |v: Verdict| {
        v.mend(|| match sealed {
            true => command(
                "try it from end to end",
                "kubestile break-glass drill FILE.sealed --share FILE --share FILE",
            ),
            false => command(
                "review each use, and name a channel under `notifications`",
                "kubestile grants review GRANT --note TEXT",
            ),
        })
    };
    let gate = match facts.gate_facts() {
        Ok(gate) => gate,
        Err(_) if !evidence.is_empty() => {
            return Ok(mended(
                Verdict::fail("break-glass is not tried as it should be").because(evidence),
            ));
        }
        Err(why) => return Err(why),
    };
    let grants = &gate.grants;
    evidence.extend(faults(&grants.unreviewed, grants.more));
    let last = grants.last_break_glass;
    tried.extend(last);
    if evidence.is_empty() && tried.is_empty() && grants.break_glass == 0 {
        return undecided(
            "break-glass was never tried: `kubestile break-glass` does, and somebody reviews it; `kubestile break-glass drill` tries a sealed way in",
        );
    }
    if let (false, Some(at)) = (sealed, last)
        && days(at) > DRILL_DAYS
    {
        evidence.push(seen("grants", format!("break-glass was last taken {} days ago; {DRILL_DAYS} are the most between two drills", days(at))));
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
    let when = tried.iter().max().map_or_else(String::new, |at| {
        format!(", the last {} days ago", days(*at))
    });
    let pass = match sealed {
        true => format!(
            "the sealed way in was tried, and {} use(s) of the gate's were reviewed within a day{when}",
            grants.break_glass
        ),
        false => format!(
            "{} use(s) of break-glass ended by themselves and were reviewed within a day{when}",
            grants.break_glass
        ),
    };
    let verdict = mended(Verdict::of(evidence, &pass, |_| {
        "break-glass is not tried or watched as it should be".to_owned()
    }));
    Ok(vouched(facts.gate()?, verdict.sure(80)))
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
        .mend(|| {
            command(
                "keep the directory in version control with two reviewers, and let only a pipeline write to it",
                "chmod -R go-w POLICIES",
            )
        }))
}
