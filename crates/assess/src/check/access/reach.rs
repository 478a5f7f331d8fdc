//! How far somebody gets who may start workloads: as far as the service accounts that they can take.

use std::collections::BTreeMap;

use kubestile_rbac::Rule;
use kubestile_rbac::covers::covers;

use crate::facts::{Facts, Grant, Want, Who};
use crate::verdict::{Evidence, Fix, Judged, Verdict};

use super::{WRITE, removals, want};

/// What starts pods.
pub(in crate::check) const STARTS: &[Want] = &[
    want(&["create"], "", &["pods"]),
    want(WRITE, "", &["replicationcontrollers"]),
    want(
        WRITE,
        "apps",
        &["deployments", "daemonsets", "statefulsets", "replicasets"],
    ),
    want(WRITE, "batch", &["jobs", "cronjobs"]),
];

/// S2-07: whoever starts pods in a namespace holds every service account of it. None of those may hold
/// what the creator does not.
pub(crate) fn takeover(facts: &Facts<'_>) -> Judged {
    let accounts = by_namespace(facts.grants()?);
    let mut evidence = Vec::new();
    let mut grants = Vec::new();
    for hit in facts.holders(Who::is_human, STARTS)? {
        let creator = hit.grant;
        let own = facts.held_by(creator);
        let within = match creator.namespace {
            Some(one) => accounts.range(one..=one),
            None => accounts.range::<str, _>(..),
        };
        let taken = within
            .flat_map(|(n, grants)| grants.iter().map(move |g| (*n, *g)))
            .find(|(_, account)| !covered(&own, account));
        if let Some((namespace, account)) = taken {
            evidence.push(stronger(creator, namespace, account, &hit.what));
            grants.push(creator);
        }
    }
    Ok(Verdict::of(
        evidence,
        "whoever starts workloads gains nothing by it",
        |n| {
            format!(
                "{n} binding(s) let people start workloads as an account that may do more than they"
            )
        },
    )
    .sure(90)
    .mend(|| {
        Fix::changes(
            "move the stronger accounts to a namespace where only they run, or take the right away",
            removals(grants.into_iter()),
        )
    }))
}

fn stronger(creator: &Grant<'_>, namespace: &str, account: &Grant<'_>, what: &str) -> Evidence {
    creator.evidence(format!(
        "{} may {what} {}, and so run as {} of `{namespace}`, which has `{}` {}",
        creator.subject_words(),
        creator.scope_words(),
        account.subject_words(),
        account.binding.role_ref.name,
        account.scope_words()
    ))
}

/// Grants of service accounts by the namespace that they live in.
fn by_namespace<'f, 'a>(grants: &'f [Grant<'a>]) -> BTreeMap<&'f str, Vec<&'f Grant<'a>>> {
    let mut found: BTreeMap<&str, Vec<&Grant<'a>>> = BTreeMap::new();
    for grant in grants {
        if let Some((namespace, _)) = grant.account() {
            found.entry(namespace).or_default().push(grant);
        }
    }
    found
}

/// Whether every rule of `servant` is covered by the rules of `owner` that hold where it holds, as
/// Kubernetes itself decides it.
fn covered(owner: &[&Grant<'_>], servant: &Grant<'_>) -> bool {
    let holds = |g: &&&Grant<'_>| g.namespace.is_none() || g.namespace == servant.namespace;
    let rules: Vec<Rule> = owner
        .iter()
        .filter(holds)
        .flat_map(|g| g.rules())
        .cloned()
        .collect();
    let resources = servant.rules().iter().filter(|r| !r.resources.is_empty());
    covers(&rules, &resources.cloned().collect::<Vec<Rule>>())
}
