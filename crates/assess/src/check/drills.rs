//! Whether protection was tried, and not only set up: the emergency's way in, alarms, sessions that end by themselves.
//!
//! Little of it stands anywhere that can be read. What does, decides; for the rest it is said what would.

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::snapshot::{Certificate, Credential, Kubeconfig, UserEntry};
use crate::traffic::Traffic;
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Verdict, undecided};

use super::{NEEDS_GATE, audit_policy, gate, traffic};

const MASTERS: &str = "system:masters";
/// More certificates for emergencies than this are a way in that nobody guards.
const SEALED: usize = 2;
/// Days from one trial to the next, with one to spare.
const MONTH: i64 = 32;
/// Days of log without any trial that show that there are none.
const QUARTER: i64 = 90;
const DAY: i64 = 86_400;

/// S1-14: whether the way around everything is kept closed, and whether somebody hears when it is used.
pub(super) fn sealed(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    let known = certificates(facts);
    if known.len() > SEALED {
        for (file, user, _) in known.values().flatten() {
            let text = format!(
                "one of {} certificates of {MASTERS} on this machine",
                known.len()
            );
            evidence.push(entry(file, user, text));
        }
    }
    for (file, user, _) in known.values().filter(|c| c.len() > 1).flatten() {
        let text = format!("a certificate of {MASTERS} that was copied: it is in several files");
        evidence.push(entry(file, user, text));
    }
    traffic::masters(facts, &mut evidence);
    let told = facts.gate_facts().map(|gate| gate.channels);
    if told == Ok(0) {
        evidence.push(Evidence::named(
            Class::Gate,
            "the gate",
            "notifications",
            "nobody is told when break-glass is used",
        ));
    }
    if !evidence.is_empty() {
        return Ok(Verdict::fail("the way around everything is not sealed")
            .because(evidence)
            .mend(|| {
                run("keep two certificates at most, in a vault, write down their hashes, and name a channel under `notifications` that hears of each use", "kubestile break-glass seal NAME")
            }));
    }
    if let Some((file, user, certificate)) = known.values().flatten().next() {
        return undecided(format!(
            "{} certificate(s) of {MASTERS} known here (`{}` of `{}`, SHA-256 {}); that their use raises an alarm is written down nowhere that is read: it takes an alarm on X509SHA256= of the audit log",
            known.len(),
            user.name,
            file.path,
            certificate.fingerprint
        ));
    }
    match (told, gate::is_sealed(facts), traffic::would_show(facts)) {
        (Ok(channels), false, Some(sure)) => Ok(gate::vouched(
            facts.gate()?,
            Verdict::pass(format!(
                "the only way around is the gate's own, told over {channels} channel(s); no certificate of {MASTERS} is here or in the log"
            ))
            .sure(sure.min(60)),
        )),
        (_, true, _) => undecided(
            "a way in is sealed; that its use raises an alarm is written down nowhere that is read: it takes an alarm on users `kubestile-break-glass:` of the audit log",
        ),
        (Ok(_), false, None) => undecided(format!(
            "no certificate of {MASTERS} is on this machine; whether there are others takes a day of the API server's audit log (--audit-log FILE)"
        )),
        (Err(_), false, _) => undecided(format!(
            "no certificate of {MASTERS} is on this machine; which ones are for emergencies, and that their use raises an alarm, {NEEDS_GATE}"
        )),
    }
}

type Place<'a> = (&'a Kubeconfig, &'a UserEntry, &'a Certificate);

/// Certificates of `system:masters` for this cluster on this machine, by their hash.
fn certificates<'a>(facts: &Facts<'a>) -> BTreeMap<&'a str, Vec<Place<'a>>> {
    let mut found: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for (file, user) in facts.users().unwrap_or_default() {
        for credential in &user.credentials {
            let Credential::Certificate(certificate) = credential else {
                continue;
            };
            if certificate.organizations.iter().any(|o| o == MASTERS) {
                let places = found.entry(&certificate.fingerprint).or_default();
                // Several contexts of one file are one place.
                if places.iter().all(|(f, _, _)| f.path != file.path) {
                    places.push((file, user, certificate));
                }
            }
        }
    }
    found
}

fn entry(file: &Kubeconfig, user: &UserEntry, text: String) -> Evidence {
    let field = format!("users[{}].client-certificate", user.name);
    Evidence::named(Class::Kubeconfig, &file.path, field, text).at(user.line)
}

/// S3-20: an alarm can only rise on what is written down.
pub(super) fn detections(facts: &Facts<'_>) -> Judged {
    const RUN: &str = "run them, and look whether it rises";
    let tried = facts.snapshot.traffic.known().map(|t| t.trials);
    let tried = tried
        .filter(|t| !t.is_none())
        .map_or_else(String::new, |t| {
            let last = t
                .last
                .map_or_else(String::new, |l| format!(", the last on {l}"));
            format!(
                "{} requests of simulated attacks are in the log{last}; ",
                t.requests
            )
        });
    if facts.gate().is_ok() {
        return undecided(format!(
            "{tried}the gate records each request that comes through it; that an alarm rises on known attack techniques is on record nowhere that is read: {RUN}"
        ));
    }
    let (all, unseen) = audit_policy::unseen_techniques(facts)?;
    if unseen.is_empty() {
        return undecided(format!(
            "{tried}the audit log shows each of {all} known attack techniques; that an alarm rises on them is on record nowhere that is read: {RUN}"
        ));
    }
    let summary = format!(
        "no alarm can rise on {} of {all} known attack techniques: the audit log does not show them",
        unseen.len()
    );
    Ok(Verdict::fail(summary).because(unseen).mend(|| {
        run(
            "write them down (S0-13, S3-12), let an alarm rise on each, then run them",
            "stratus detonate k8s.credential-access.dump-secrets",
        )
    }))
}

/// S4-05
pub(super) fn termination(facts: &Facts<'_>) -> Judged {
    match facts.gate_facts()?.scores_risk {
        Some(false) => Ok(Verdict::fail(
            "no session ends by itself: decisions carry no score that could pass a threshold",
        )
        .seen(unscored("an administrator ends sessions (`kubestile sessions`), nothing else does"))
        .mend(|| {
            run("until there is a score, let sessions be short (context.sessionAge in a policy), and let an alarm end them", "kubestile sessions end --all --person NAME")
        })),
        _ => undecided(format!("no drill is on record; {NEEDS_GATE}")),
    }
}

/// S4-09
pub(super) fn baselines(facts: &Facts<'_>) -> Judged {
    match facts.gate_facts()?.scores_risk {
        Some(false) => Ok(Verdict::fail(
            "there is no baseline: decisions carry no score of their session's risk",
        )
        .seen(unscored("nothing is learned of what is usual"))
        .mend(|| {
            run(
                "until there is one, look at what is unusual",
                "kubestile audit search --since 1d -o wide",
            )
        })),
        _ => undecided(format!(
            "how long baselines were trained is not known; {NEEDS_GATE}"
        )),
    }
}

fn unscored(text: &str) -> Evidence {
    Evidence::named(Class::Gate, "the gate", "decisions", text)
}

/// S4-14: tools that play attacks say so to the API server, and its log has it.
pub(super) fn simulations(facts: &Facts<'_>) -> Judged {
    const NAMED: &str = "Stratus Red Team's, which names itself";
    let Some(traffic) = facts.snapshot.traffic.known().filter(|t| t.requests > 0) else {
        return undecided(format!(
            "simulated attacks would be seen in an audit log ({NAMED}), and none was given to this assessment (--audit-log FILE)"
        ));
    };
    let (Some(last), Some(until)) = (traffic.trials.last, traffic.until) else {
        return without_trials(traffic);
    };
    let days = |from: kubestile_core::Timestamp, to: kubestile_core::Timestamp| {
        to.as_secs().saturating_sub(from.as_secs()) / DAY
    };
    let text = format!(
        "{} requests of simulated attacks, the last on {last}; {}",
        traffic.trials.requests,
        traffic.span()
    );
    let seen = Evidence::named(Class::AuditLog, "stratus-red-team", "userAgent", &*text);
    if days(last, facts.snapshot.taken) <= MONTH {
        return Ok(Verdict::pass("attacks were tried within a month")
            .seen(seen)
            .sure(60));
    }
    match days(last, until) > MONTH {
        true => Ok(Verdict::fail(format!(
            "attacks were last tried {} days before the end of the log",
            days(last, until)
        ))
        .seen(seen)
        .sure(80)
        .mend(schedule)),
        false => undecided(format!("the log ends too early to say; {text}")),
    }
}

fn without_trials(traffic: &Traffic) -> Judged {
    let span = traffic.span();
    if traffic.seconds() < QUARTER * DAY || !traffic.overflow.is_empty() {
        return undecided(format!(
            "no simulated attack that names itself is in the log; it takes {QUARTER} whole days of it to say that there are none; {span}"
        ));
    }
    Ok(
        Verdict::fail(format!("no simulated attack in a quarter; {span}"))
            .seen(Evidence::named(
                Class::AuditLog,
                "stratus-red-team",
                "userAgent",
                "no request of a tool that says that it plays an attack; one that hides would not be seen",
            ))
            .sure(60)
            .mend(schedule),
    )
}

fn schedule() -> Fix {
    run(
        "run known techniques each month, from a pipeline, and keep what came of it",
        "stratus detonate k8s.credential-access.dump-secrets",
    )
}

fn run(text: &str, command: &str) -> Fix {
    Fix::changes(text, vec![Change::Command(command.to_owned())])
}
