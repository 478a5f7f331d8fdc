//! What only audit logs show: how people and programs really came, and what they really did. Each verdict says
//! over which time, and is the less sure the shorter that was.

mod lasting;

pub(super) use lasting::{
    is_written, leavers, left_behind, legacy_tokens, masters, open_to_the_world, reviewed,
    would_show,
};

use std::collections::{BTreeMap, BTreeSet};

use kubestile_rbac::discovery::Discovery;
use kubestile_rbac::mine;
use kubestile_rbac::privilege::{Atom, measure};
use kubestile_rbac::{Attributes, Identity, Policy};

use crate::facts::Facts;
use crate::rightsize::atoms;
use crate::snapshot::{Kubeconfig, UserEntry};
use crate::traffic::{Kind, Subject, Traffic};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Undecided, Verdict, undecided};

/// Slots of ten minutes with a credential in two places, from which on it is no move from one network to another.
const OVERLAPS: u32 = 3;
/// The oldest that a person's credential may be, in seconds.
const OLDEST: i64 = 12 * 3_600;
/// Days after which it is known what somebody uses.
const DAYS: u32 = 30;
/// The shortest log that shows that something never happens, in seconds: a day of work, with its night. What does
/// happen, any log shows.
const WHOLE_DAY: i64 = 86_400;
/// The share of rights that may be unused.
const UNUSED: f64 = 0.3;
/// Job functions that fit many people.
const FUNCTIONS: usize = 12;
/// The account of the gate.
const GATE: &str = "system:serviceaccount:kubestile-system:kubestile-gate";

/// Users of kubeconfigs on this machine; nobody if there are none, but a log.
pub(super) fn or_users<'a>(
    facts: &Facts<'a>,
) -> Result<Vec<(&'a Kubeconfig, &'a UserEntry)>, Undecided> {
    match (facts.users(), facts.snapshot.traffic.known()) {
        (Err(_), Some(_)) => Ok(Vec::new()),
        (users, _) => users,
    }
}

fn traffic<'a>(facts: &Facts<'a>) -> Result<&'a Traffic, Undecided> {
    let traffic = facts.snapshot.traffic.get()?;
    match traffic.requests {
        0 => Err(Undecided("the audit log has no request".to_owned())),
        _ => Ok(traffic),
    }
}

/// In percent.
const fn sure(traffic: &Traffic) -> u8 {
    match (traffic.overflow.is_empty(), traffic_days(traffic)) {
        (false, _) | (_, 0) => 50,
        (_, 1..=6) => 70,
        (_, 7..=29) => 85,
        _ => 95,
    }
}

const fn traffic_days(traffic: &Traffic) -> i64 {
    match (traffic.from, traffic.until) {
        (Some(from), Some(until)) => (until.as_secs() - from.as_secs()) / 86_400,
        _ => 0,
    }
}

fn seen(who: &Subject, field: &str, text: String) -> Evidence {
    Evidence::named(Class::AuditLog, who.identity().to_string(), field, text)
}

/// People who came to the API server with credentials of their own.
fn direct(traffic: &Traffic) -> impl Iterator<Item = &Subject> {
    traffic.people().filter(|s| s.direct() > 0)
}

/// A log that shows nothing of something. That is a pass only where it is long enough, and all of it was kept.
fn pass(traffic: &Traffic, text: &str) -> Judged {
    let text = format!("{text}; {}", traffic.span());
    if traffic.seconds() < WHOLE_DAY {
        return undecided(format!("{text}; it takes a day of log to say"));
    }
    if !traffic.overflow.is_empty() {
        return undecided(format!("{text}; what was left out may show it"));
    }
    Ok(Verdict::pass(text).sure(sure(traffic)))
}

/// S0-01: adds what the log shows; judges if the log settles it.
pub(super) fn shared(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) -> Option<Judged> {
    let traffic = traffic(facts).ok()?;
    for who in direct(traffic) {
        for credential in who.credentials.iter().filter(|c| c.overlaps >= OVERLAPS) {
            let places: Vec<String> = credential
                .places
                .iter()
                .filter(|p| p.overlaps > 0)
                .take(4)
                .map(|p| format!("{} {}", p.address, p.machine).trim().to_owned())
                .collect();
            let text = format!(
                "used at the same time from {} ({} times ten minutes)",
                places.join(" and "),
                credential.overlaps
            );
            evidence.push(seen(who, &credential.id, text));
        }
    }
    if !evidence.is_empty() {
        return None;
    }
    let unnamed: Vec<&str> = direct(traffic)
        .filter(|who| who.unnamed > 0)
        .map(|who| who.name.as_str())
        .collect();
    if let Some(first) = unnamed.first() {
        return Some(undecided(format!(
            "the log does not name the credential of {first}{}; {}",
            match unnamed.len() {
                1 => String::new(),
                n => format!(" and {} others", n - 1),
            },
            traffic.span()
        )));
    }
    if traffic.people().next().is_none() {
        return Some(undecided(format!(
            "no person's request is in the log; {}",
            traffic.span()
        )));
    }
    Some(pass(
        traffic,
        "no credential was used in two places at once",
    ))
}

/// S1-08
pub(super) fn by_certificate(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) -> Option<Judged> {
    let traffic = traffic(facts).ok()?;
    for who in direct(traffic).filter(|s| s.by_certificate > 0) {
        let text = format!("{} requests with a client certificate", who.by_certificate);
        evidence.push(seen(who, "credential-id", text));
    }
    let any = traffic.people().next().is_some();
    let unnamed = direct(traffic).any(|s| s.unnamed > 0);
    (evidence.is_empty() && any && !unnamed)
        .then(|| pass(traffic, "nobody came with a client certificate"))
}

/// S1-09
pub(super) fn accounts_outside(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) -> Option<Judged> {
    let traffic = traffic(facts).ok()?;
    // Controllers of the control plane use accounts' tokens from where it runs.
    let plane: BTreeSet<&str> = traffic
        .subjects
        .iter()
        .filter(|s| s.kind() == Kind::Component && s.name != "system:anonymous")
        .flat_map(|s| &s.places)
        .map(|p| p.address.as_str())
        .collect();
    let mut accounts = 0;
    for who in traffic
        .subjects
        .iter()
        .filter(|s| s.kind() == Kind::Account)
    {
        accounts += 1;
        let inner = who.name.starts_with("system:serviceaccount:kube-system:");
        let place = who
            .outside
            .iter()
            .find(|p| !(inner && plane.contains(p.address.as_str())));
        if let Some(place) = place.filter(|_| who.name != GATE) {
            let text = format!(
                "{} requests from {} with a token that belongs to no pod",
                place.count, place.address
            );
            evidence.push(seen(who, "sourceIPs", text));
        }
    }
    (evidence.is_empty() && accounts > 0).then(|| {
        pass(
            traffic,
            "every service account came from a pod, the gate apart",
        )
    })
}

/// S1-15
pub(super) fn rotation(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    lasting::old_in_files(facts, &mut evidence);
    let traffic = match traffic(facts) {
        Ok(traffic) => traffic,
        Err(absent) if evidence.is_empty() => return Err(absent),
        Err(_) => {
            return Ok(Verdict::fail(format!(
                "{} credentials in kubeconfigs are older than 12 hours",
                evidence.len()
            ))
            .because(evidence)
            .mend(login));
        }
    };
    for who in direct(traffic) {
        for credential in &who.credentials {
            let age = match (credential.first, credential.last) {
                (Some(first), Some(last)) => last.as_secs() - first.as_secs(),
                _ => 0,
            };
            if age > OLDEST {
                let text = format!("still used {} hours after its first use", age / 3_600);
                evidence.push(seen(who, &credential.id, text));
            }
        }
    }
    let unnamed = direct(traffic).any(|s| s.unnamed > 0);
    if evidence.is_empty() && (traffic.seconds() < 2 * OLDEST || unnamed) {
        return undecided(format!(
            "whether credentials are older than 12 hours takes a log of a day that names them; {}",
            traffic.span()
        ));
    }
    let verdict = Verdict::of(
        evidence,
        &format!(
            "no person's credential was used for more than 12 hours; {}",
            traffic.span()
        ),
        |n| {
            format!(
                "{n} credentials of people are older than 12 hours; {}",
                traffic.span()
            )
        },
    );
    Ok(verdict.sure(sure(traffic)).mend(login))
}

fn login() -> Fix {
    Fix::changes(
        "log in at a gate",
        vec![Change::Command(
            "kubestile login URL --code CODE".to_owned(),
        )],
    )
}

/// S1-16: by what a person is told from all others, and whether anybody was in two places at once.
pub(super) fn one_person(facts: &Facts<'_>) -> Judged {
    let uids = super::authentication::reassigned(facts);
    let mut evidence = uids.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
    let names = evidence.len();
    let log = traffic(facts);
    let known = log.as_ref().ok();
    for who in known.into_iter().flat_map(|t| direct(t)) {
        let places: Vec<_> = who
            .places
            .iter()
            .filter(|p| p.overlaps >= OVERLAPS)
            .collect();
        if let (Some(one), Some(_)) = (places.first(), places.get(1)) {
            let text = format!(
                "requests from {} and {} other places at the same time",
                one.address,
                places.len() - 1
            );
            evidence.push(seen(who, "sourceIPs", text));
        }
    }
    if !evidence.is_empty() {
        let span = known.map_or_else(String::new, |t| format!("; {}", t.span()));
        let summary = match (names, evidence.len() - names) {
            (_, 0) => "a name that is given to somebody else is the same person here".to_owned(),
            (0, n) => format!("{n} people were in two places at once{span}"),
            (_, n) => format!("names have no uid, and {n} people were in two places at once{span}"),
        };
        let certain = match names {
            0 => known.map_or(100, |t| sure(t)),
            _ => 90,
        };
        return Ok(Verdict::fail(summary)
            .because(evidence)
            .sure(certain)
            .mend(|| {
                Fix::changes(
                    "a name for each person and pipeline; claimMappings.uid: {claim: sub}",
                    vec![Change::Command("kubestile people add NAME".to_owned())],
                )
            }));
    }
    let traffic = log?;
    if direct(traffic).next().is_none() {
        return undecided(format!(
            "nobody came to the API server by themselves; {}",
            traffic.span()
        ));
    }
    let _mapped = uids?;
    pass(traffic, "nobody was in two places at once")
}

/// S2-21
pub(super) fn unused(facts: &Facts<'_>) -> Judged {
    let traffic = traffic(facts)?;
    let policy = Policy::new(facts.snapshot.objects()?);
    let discovery = Discovery::well_known();
    let (mut granted, mut used) = (0, 0);
    let mut found: Vec<(usize, Evidence)> = Vec::new();
    let standing = standing(facts)?;
    // What everybody has who is logged in, nobody can be without: S0-10 speaks of it.
    let mut everybody = kubestile_rbac::User::of(&Identity::group("system:authenticated"));
    everybody.groups = vec!["system:authenticated".to_owned()];
    for who in traffic.people() {
        let mut user = who.user();
        // What the gate gives for a time is not standing.
        user.groups.retain(|g| !g.starts_with("kubestile:"));
        if !standing.contains(&who.identity())
            && !user
                .groups
                .iter()
                .any(|g| standing.contains(&Identity::group(g)))
        {
            continue;
        }
        let done: Vec<Attributes> = who
            .operations()
            .into_iter()
            .filter(|o| o.allowed)
            .map(|o| o.attributes)
            .collect();
        let mine = measure(&policy, &user, &done, &discovery, &|_| 1);
        let all = measure(&policy, &everybody, &done, &discovery, &|_| 1);
        let holds = mine.granted.saturating_sub(all.granted);
        let uses = mine.used.saturating_sub(all.used);
        granted += holds;
        used += uses;
        let text = format!("uses {uses} of {holds} rights");
        found.push((holds.saturating_sub(uses), seen(who, "", text)));
    }
    let unseen = standing
        .iter()
        .filter(|who| matches!(who, Identity::User { name } if traffic.subject(name).is_none()));
    for who in unseen {
        let user = kubestile_rbac::User::of(who);
        let measured = measure(&policy, &user, &[], &discovery, &|_| 1);
        granted += measured.granted;
        let text = format!("holds {} rights and was never seen", measured.granted);
        found.push((
            measured.granted,
            Evidence::named(Class::AuditLog, who.to_string(), "", text),
        ));
    }
    found.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let evidence = found.into_iter().map(|(_, e)| e).collect();
    if granted == 0 {
        return Ok(Verdict::pass("nobody holds a standing right").sure(sure(traffic)));
    }
    let percent = (granted - used) * 100 / granted;
    let text = format!(
        "{percent} % of what people hold was not used; {}",
        traffic.span()
    );
    if traffic_days(traffic) < i64::from(DAYS) {
        return undecided(format!("{text}; it takes {DAYS} days to say"));
    }
    let excess = f64::from(u32::try_from(granted - used).unwrap_or(u32::MAX))
        / f64::from(u32::try_from(granted).unwrap_or(u32::MAX));
    Ok(match excess <= UNUSED {
        true => Verdict::pass(text),
        false => Verdict::fail(text).because(evidence).mend(|| {
            Fix::changes(
                "write roles from what is used",
                vec![Change::Command(
                    "kubestile rbac rightsize --from audit.log".to_owned(),
                )],
            )
        }),
    }
    .sure(sure(traffic)))
}

/// People and groups who hold something for good.
fn standing(facts: &Facts<'_>) -> Result<BTreeSet<Identity>, Undecided> {
    let people = facts.grants()?.iter().filter(|g| g.who.is_human());
    Ok(people
        .map(|g| match g.subject.kind.as_str() {
            "Group" => Identity::group(&g.subject.name),
            _ => Identity::from_user_name(&g.subject.name),
        })
        .collect())
}

/// S2-22
pub(super) fn job_functions(facts: &Facts<'_>) -> Judged {
    let traffic = traffic(facts)?;
    let used: BTreeMap<Identity, BTreeSet<Atom>> = traffic
        .people()
        .map(|who| (who.identity(), atoms(&who.operations())))
        .filter(|(_, atoms)| !atoms.is_empty())
        .collect();
    if used.len() < 5 || traffic_days(traffic) < 7 {
        return undecided(format!(
            "it takes five people over a week to find job functions, and there are {}; {}",
            used.len(),
            traffic.span()
        ));
    }
    let found = mine::mine(&used, mine::Options::default());
    // A job function of one person is that person: there must be at most half as many as people.
    let most = FUNCTIONS.min(used.len() / 2);
    let fit = found.iter().take(most).filter(|f| f.precision >= 0.9);
    let fitting: BTreeSet<&Identity> = fit.flat_map(|f| &f.members).collect();
    let covered = fitting.len();
    let others = used.keys().filter(|who| !fitting.contains(who));
    let others: Vec<Evidence> = others
        .map(|who| {
            let text = "no job function of several people fits what they do";
            Evidence::named(Class::AuditLog, who.to_string(), "", text)
        })
        .collect();
    let text = format!(
        "{covered} of {} people are covered by {} job functions; {}",
        used.len(),
        found.len().min(most),
        traffic.span()
    );
    Ok(match covered * 10 >= used.len() * 9 {
        true => Verdict::pass(text),
        false => Verdict::fail(text).because(others).mend(|| {
            Fix::changes(
                "bind job functions that people share",
                vec![Change::Command(
                    "kubestile rbac mine --from audit.log".to_owned(),
                )],
            )
        }),
    }
    .sure(sure(traffic)))
}

/// S3-09
pub(super) fn past_the_gate(facts: &Facts<'_>) -> Judged {
    let traffic = traffic(facts)?;
    let evidence: Vec<Evidence> = direct(traffic)
        .map(|who| {
            seen(
                who,
                "user",
                format!("{} requests past the gate", who.direct()),
            )
        })
        .collect();
    let through: u64 = traffic.people().map(|s| s.by_gate).sum();
    if evidence.is_empty() && through == 0 {
        return undecided(format!(
            "no person's request is in the log; {}",
            traffic.span()
        ));
    }
    if evidence.is_empty() {
        let text = format!(
            "all {through} requests of people came through the gate (a log cannot show that the port is closed)"
        );
        return pass(traffic, &text).map(|verdict| verdict.sure(sure(traffic).min(70)));
    }
    let verdict = Verdict::of(evidence, "", |n| {
        format!(
            "{n} people came to the API server past the gate; {}",
            traffic.span()
        )
    });
    Ok(verdict.sure(sure(traffic).min(70)).mend(|| {
        Fix::text("let only the gate reach the API server's port, and take their credentials")
    }))
}

/// S3-15
pub(super) fn gaps(facts: &Facts<'_>) -> Judged {
    let traffic = traffic(facts)?;
    if !traffic.with_gate_log {
        return undecided("the gate's own log was not given to this assessment (--gate-log DIR)");
    }
    let mut evidence = Vec::new();
    for who in traffic.people() {
        if who.unlogged > 0 {
            let text = format!(
                "{} requests through the gate that its log does not know",
                who.unlogged
            );
            evidence.push(seen(who, "auditID", text));
        }
        if who.direct() > 0 {
            let text = format!("{} requests past the gate", who.direct());
            evidence.push(seen(who, "user", text));
        }
    }
    if traffic.people().all(|s| s.requests == 0) {
        return undecided(format!(
            "no person's request is in the log; {}",
            traffic.span()
        ));
    }
    if evidence.is_empty() {
        return pass(traffic, "the gate's log knows every person's request");
    }
    let verdict = Verdict::of(evidence, "", |n| {
        format!(
            "{n} people's requests are not all in the gate's log; {}",
            traffic.span()
        )
    });
    Ok(verdict
        .sure(sure(traffic))
        .mend(|| Fix::text("let only the gate reach the API server")))
}

#[cfg(test)]
mod tests;
