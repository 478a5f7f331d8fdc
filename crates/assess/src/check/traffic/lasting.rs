//! What audit logs show of things that should have ended: credentials beyond the law, rights that nobody uses, and
//! access that somebody made and left behind.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::exception::instant;
use crate::facts::{Facts, Gives as _, Grant};
use crate::snapshot::{Distribution, Meta, ObjectRef};
use crate::traffic::{Kind, Subject, Traffic};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Verdict, undecided};

use super::super::access::removals;
use super::{OLDEST, direct, pass, seen, sure, traffic, traffic_days};

/// Days after which what was not used is not needed: a quarter.
const QUARTER: i64 = 90;
/// How old the newest event of a log may be that shows that the API server writes one, in seconds.
const FRESH: i64 = 15 * 60;
/// Networks of strangers from which on no list of allowed ones can be meant.
const NETWORKS: usize = 3;
const MASTERS: &str = "system:masters";

/// S0-04: people who came as members of `system:masters`.
pub(in crate::check) fn masters(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) {
    let Ok(traffic) = traffic(facts) else { return };
    for who in direct(traffic) {
        let own = !who.credentials.is_empty() || who.unnamed > 0;
        if own && who.groups.iter().any(|g| g == MASTERS) && !is_emergency(who) {
            let text = format!("{} requests as a member of {MASTERS}", who.direct());
            evidence.push(seen(who, "user.groups", text));
        }
    }
}

/// What kubeadm makes for emergencies, used within one day.
fn is_emergency(who: &Subject) -> bool {
    let span = match (who.first, who.last) {
        (Some(first), Some(last)) => last.as_secs() - first.as_secs(),
        _ => 0,
    };
    who.name == "kubernetes-super-admin" && span < super::WHOLE_DAY
}

/// That a log is long and whole enough to show that something did not happen, and how sure that is.
pub(in crate::check) fn would_show(facts: &Facts<'_>) -> Option<u8> {
    let traffic = traffic(facts).ok()?;
    let named = direct(traffic).all(|who| who.unnamed == 0);
    let long = traffic.seconds() >= super::WHOLE_DAY && traffic.overflow.is_empty();
    (long && named && traffic.people().next().is_some()).then(|| sure(traffic))
}

/// S0-12: accounts that came with a token of a Secret.
pub(in crate::check) fn legacy_tokens(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) {
    let Ok(traffic) = traffic(facts) else { return };
    for who in traffic.subjects.iter().filter(|s| s.by_legacy_token > 0) {
        let text = format!("{} requests with a token of a Secret", who.by_legacy_token);
        evidence.push(seen(who, "authentication.k8s.io/legacy-token", text));
    }
}

/// S0-13: whether a log that is still written shows it, where no flag can be seen.
pub(in crate::check) fn is_written(facts: &Facts<'_>) -> Option<Judged> {
    let traffic = traffic(facts).ok()?;
    let now = facts.snapshot.taken;
    let age = traffic.until.map(|u| now.as_secs() - u.as_secs())?;
    Some(match age {
        0..=FRESH => Ok(Verdict::pass(format!(
            "the API server writes a log: its newest event is {age} s old"
        ))
        .sure(80)),
        _ if age < 0 => undecided("the audit log is newer than this assessment"),
        _ => undecided(format!(
            "the newest event of the audit log is {} min old: whether it is still written takes one of the last 15 min",
            age / 60
        )),
    })
}

/// S0-15
pub(in crate::check) fn open_to_the_world(facts: &Facts<'_>) -> Judged {
    if let Ok(server) = facts.api_server()
        && let Some(address) = server.value("bind-address")
        && address.parse().is_ok_and(|a: IpAddr| a.is_loopback())
    {
        let line = server.flag("bind-address").map_or(0, |f| f.line);
        let text = format!("it listens on {address} only");
        let found = Evidence::named(Class::Flag, &server.place, "--bind-address", text);
        return Ok(
            Verdict::pass("the API server listens on its own machine only")
                .seen(found.at(u32::try_from(line).unwrap_or(0)))
                .sure(80),
        );
    }
    let Ok(traffic) = traffic(facts) else {
        return undecided(
            "it needs a look from outside the network, or an audit log that shows strangers",
        );
    };
    let nobody = traffic.subject("system:anonymous");
    let mut networks = BTreeSet::new();
    let mut evidence = Vec::new();
    for place in nobody.into_iter().flat_map(|s| &s.places) {
        if let Ok(address) = place.address.parse::<IpAddr>()
            && let Some(network) = public_network(address)
        {
            networks.insert(network);
            let text = format!("{} requests without a credential", place.count);
            evidence.push(Evidence::named(
                Class::AuditLog,
                &place.address,
                "sourceIPs",
                text,
            ));
        }
    }
    if networks.len() < NETWORKS {
        return undecided(format!(
            "strangers from {} public networks are in the log, which may be chance; it needs a look from outside the network; {}",
            networks.len(),
            traffic.span()
        ));
    }
    Ok(Verdict::fail(format!(
        "strangers from {} public networks reached the API server; {}",
        networks.len(),
        traffic.span()
    ))
    .because(evidence)
    .sure(90)
    .mend(|| {
        Fix::changes(
            "let only the gate, or networks of your own (CIDR), reach the API server's port",
            vec![Change::Command(wall(facts).to_owned())],
        )
    }))
}

/// What lets nobody but a network of one's own reach the API server.
fn wall(facts: &Facts<'_>) -> &'static str {
    match facts.snapshot.cluster.distribution {
        Distribution::Eks => {
            "aws eks update-cluster-config --name NAME --resources-vpc-config publicAccessCidrs=CIDR"
        }
        Distribution::Gke => {
            "gcloud container clusters update NAME --enable-master-authorized-networks --master-authorized-networks CIDR"
        }
        Distribution::Aks => {
            "az aks update --resource-group GROUP --name NAME --api-server-authorized-ip-ranges CIDR"
        }
        Distribution::Kubeadm | Distribution::K3s => {
            "sudo iptables -I INPUT -p tcp --dport 6443 ! -s CIDR -j DROP"
        }
    }
}

/// The network of an address of the Internet, unless health checks of clouds come from it.
fn public_network(address: IpAddr) -> Option<[u8; 4]> {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let probes = (a, b) == (35, 191)
                || (a, b) == (130, 211) && c < 4
                || v4 == Ipv4Addr::new(168, 63, 129, 16);
            let inner =
                v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified();
            (!(shared || probes || inner)).then_some([4, a, b, 0])
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.octets();
            let global = a & 0xe0 == 0x20;
            global.then_some([6, a, b, c])
        }
    }
}

/// S1-15: credentials in files that are older than a day's work, and still open doors.
pub(in crate::check) fn old_in_files(facts: &Facts<'_>, evidence: &mut Vec<Evidence>) {
    use crate::snapshot::Credential;
    let now = facts.snapshot.taken;
    for (file, user) in facts.users().unwrap_or_default() {
        for credential in &user.credentials {
            let (made, ends, what) = match credential {
                Credential::Certificate(c)
                    if !super::super::kubeconfig::is_break_glass(facts, file) =>
                {
                    (c.not_before, c.not_after, "client-certificate")
                }
                Credential::Token(t) => (t.issued, t.expires, "token"),
                _ => continue,
            };
            let (Some(made), Some(ends)) = (made, ends) else {
                continue;
            };
            let age = now.as_secs() - made.as_secs();
            if age > OLDEST && ends > now {
                let text = format!(
                    "{} hours old, and good for {} more",
                    age / 3_600,
                    ends.since(now)
                );
                let field = format!("users[{}].{what}", user.name);
                evidence.push(
                    Evidence::named(Class::Kubeconfig, &file.path, field, text).at(user.line),
                );
            }
        }
    }
}

/// Who holds something for good, and was not seen for a quarter.
fn unseen<'f, 'a>(
    facts: &'f Facts<'a>,
    traffic: &Traffic,
) -> Result<Vec<&'f Grant<'a>>, crate::verdict::Undecided> {
    let end = traffic.until.map_or(0, |t| t.as_secs());
    let late = |who: &Subject| {
        who.last
            .is_some_and(|l| end - l.as_secs() <= QUARTER * 86_400)
    };
    let groups = traffic.people().filter(|w| late(w)).flat_map(|w| &w.groups);
    let groups: BTreeSet<&str> = groups.map(String::as_str).collect();
    let seen = |g: &Grant<'_>| match g.subject.kind.as_str() {
        "Group" => groups.contains(g.subject.name.as_str()),
        _ => traffic.subject(&g.subject.name).is_some_and(late),
    };
    let chosen =
        |g: &&Grant<'_>| matches!(g.who, crate::facts::Who::Person | crate::facts::Who::Group);
    Ok(facts
        .grants()?
        .iter()
        .filter(chosen)
        .filter(|g| !seen(g))
        .collect())
}

fn is_whole(traffic: &Traffic) -> bool {
    traffic_days(traffic) >= QUARTER && traffic.overflow.is_empty()
}

/// S1-18
pub(in crate::check) fn leavers(facts: &Facts<'_>) -> Judged {
    const EXPORT: &str = "it needs an export of the identity provider's users and groups";
    let people =
        |g: &&Grant<'_>| matches!(g.who, crate::facts::Who::Person | crate::facts::Who::Group);
    if facts.grants()?.iter().filter(people).count() == 0 {
        return Ok(Verdict::pass(
            "no binding names a person or a group of people",
        ));
    }
    let Ok(traffic) = traffic(facts) else {
        return undecided(EXPORT);
    };
    if !is_whole(traffic) {
        return undecided(format!(
            "{EXPORT}, or {QUARTER} whole days of log; {}",
            traffic.span()
        ));
    }
    let gone = unseen(facts, traffic)?;
    if gone.is_empty() {
        return undecided(format!(
            "everybody was seen within {QUARTER} days; whether they still exist: {EXPORT}"
        ));
    }
    let evidence = gone.iter().map(|g| {
        g.evidence(format!(
            "{} was not seen for {QUARTER} days",
            g.subject_words()
        ))
    });
    Ok(Verdict::fail(format!(
        "{} bindings name somebody who was not seen for {QUARTER} days",
        gone.len()
    ))
    .because(evidence.collect())
    .sure(sure(traffic).min(85))
    .mend(|| {
        Fix::changes(
            "take the rights of those who left",
            removals(gone.iter().copied()),
        )
    }))
}

/// S4-11
pub(in crate::check) fn reviewed(facts: &Facts<'_>) -> Judged {
    let Ok(traffic) = traffic(facts) else {
        return undecided(format!(
            "no review is on record; {}",
            super::super::NEEDS_GATE
        ));
    };
    if !is_whole(traffic) {
        return undecided(format!(
            "no review is on record; it takes {QUARTER} whole days of log to see what one would have removed; {}",
            traffic.span()
        ));
    }
    let mut members: BTreeMap<(bool, &str), Vec<&Subject>> = BTreeMap::new();
    for who in traffic.people() {
        members.entry((false, &who.name)).or_default().push(who);
        for group in &who.groups {
            members.entry((true, group)).or_default().push(who);
        }
    }
    let used = |g: &Grant<'_>| {
        let subject = (g.subject.kind == "Group", g.subject.name.as_str());
        let mine = members.get(&subject).map_or(&[][..], Vec::as_slice);
        mine.iter().flat_map(|w| &w.uses).any(|u| {
            let kubestile_rbac::Target::Resource(target) = &u.attributes.target else {
                return false;
            };
            let resource = match target.subresource.as_str() {
                "" => target.resource.clone(),
                sub => format!("{}/{sub}", target.resource),
            };
            u.allowed
                && g.namespace.is_none_or(|n| n == target.namespace)
                && g.rules()
                    .iter()
                    .any(|r| r.gives_action(&u.attributes.verb, &target.group, &resource))
        })
    };
    let people =
        |g: &&Grant<'_>| matches!(g.who, crate::facts::Who::Person | crate::facts::Who::Group);
    let idle: Vec<&Grant<'_>> = facts
        .grants()?
        .iter()
        .filter(people)
        .filter(|g| !used(g))
        .collect();
    if idle.is_empty() {
        return undecided(format!(
            "every right was used within {QUARTER} days, and no review is on record"
        ));
    }
    let evidence = idle.iter().map(|g| {
        g.evidence(format!(
            "{} used nothing of `{}` in {} days",
            g.subject_words(),
            g.binding.role_ref.name,
            traffic_days(traffic)
        ))
    });
    Ok(Verdict::fail(format!(
        "{} rights were not used in a quarter, and no review took them away",
        idle.len()
    ))
    .because(evidence.collect())
    .sure(sure(traffic).min(85))
    .mend(|| Fix::changes("take away what is not used", removals(idle.iter().copied()))))
}

/// S4-06
pub(in crate::check) fn left_behind(facts: &Facts<'_>) -> Judged {
    let Ok(traffic) = traffic(facts) else {
        return undecided(format!(
            "no sweep is on record; {}",
            super::super::NEEDS_GATE
        ));
    };
    let now = facts.snapshot.taken;
    let (mut made, mut tokens) = (0_u32, 0_u32);
    let mut left = Vec::new();
    // By resource, and of each by namespace and name: a log can have very many of them.
    let mut there: BTreeMap<&str, Found<'_>> = BTreeMap::new();
    for who in traffic.subjects.iter().filter(|s| s.kind() == Kind::Person) {
        for used in who
            .uses
            .iter()
            .filter(|u| u.allowed && u.attributes.verb == "create")
        {
            let kubestile_rbac::Target::Resource(target) = &used.attributes.target else {
                continue;
            };
            if target.resource == "serviceaccounts" && target.subresource == "token" {
                tokens += 1;
                continue;
            }
            let found = match there.entry(&target.resource) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(giving_access(facts, &target.resource)?),
            };
            let Some((kind, all)) = found else { continue };
            // Of Secrets, only those with tokens are known.
            made += u32::from(target.resource != "secrets");
            // A session of 12 hours is over for whatever is older.
            let old = |m: &Meta| {
                let at = m.creation_timestamp.as_deref().and_then(instant);
                at.is_some_and(|at| now.as_secs() - at.as_secs() > OLDEST)
            };
            let name = (target.namespace.as_str(), target.name.as_str());
            if let Some(meta) = all.get(&name).filter(|m| old(m)) {
                let object = ObjectRef::new(kind, &meta.namespace, &meta.name);
                let text = format!("{} made it, and it outlived the session", who.name);
                left.push((
                    Evidence::object(&object, "metadata.creationTimestamp", text),
                    Change::Delete(object),
                ));
            }
        }
    }
    let (evidence, changes): (Vec<_>, Vec<_>) = left.into_iter().unzip();
    if !evidence.is_empty() {
        return Ok(Verdict::fail(format!(
            "{} things that give access were left behind by people; {}",
            evidence.len(),
            traffic.span()
        ))
        .because(evidence)
        .sure(sure(traffic).min(80))
        .mend(|| {
            Fix::changes(
                "remove it, or let it be made by what owns it (GitOps, a grant)",
                changes,
            )
        }));
    }
    match (made, tokens) {
        (0, 0) => undecided(format!(
            "nobody made anything that gives access, and no sweep is on record; {}",
            traffic.span()
        )),
        (_, 1..) => undecided(format!(
            "people made tokens of service accounts, and the log does not say when they end; {}",
            traffic.span()
        )),
        _ => pass(traffic, "what people made that gives access is gone again")
            .map(|v| v.sure(sure(traffic).min(70))),
    }
}

/// What kind of thing it is, and all of it by namespace and name.
type Found<'a> = Option<(&'static str, BTreeMap<(&'a str, &'a str), &'a Meta>)>;

/// What of this resource there is now, if it is one that gives access.
fn giving_access<'a>(
    facts: &Facts<'a>,
    resource: &str,
) -> Result<Found<'a>, crate::verdict::Undecided> {
    let snapshot = facts.snapshot;
    let rbac = &snapshot.rbac;
    let (kind, all): (_, Vec<&Meta>) = match resource {
        "rolebindings" => (
            "rolebinding",
            rbac.role_bindings
                .get()?
                .iter()
                .map(|b| &b.metadata)
                .collect(),
        ),
        "clusterrolebindings" => (
            "clusterrolebinding",
            rbac.cluster_role_bindings
                .get()?
                .iter()
                .map(|b| &b.metadata)
                .collect(),
        ),
        "certificatesigningrequests" => (
            "csr",
            snapshot.csrs.get()?.iter().map(|c| &c.metadata).collect(),
        ),
        "secrets" => (
            "secret",
            snapshot
                .token_secrets
                .get()?
                .iter()
                .map(|s| &s.metadata)
                .collect(),
        ),
        _ => return Ok(None),
    };
    let named = all
        .into_iter()
        .map(|m| ((m.namespace.as_str(), m.name.as_str()), m));
    Ok(Some((kind, named.collect())))
}
