//! A gate's own log. It may be of several clusters, of which one is assessed.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use kubestile_assess::Snapshot;
use kubestile_assess::traffic::event::{Event as Asked, Target, Who};
use kubestile_assess::traffic::fold::{Fold, Options};
use kubestile_core::ClusterName;
use kubestile_core::event::{Decided, Event};
use kubestile_store::audit::search::{self, Filter, Found, Outcome as Became};

use crate::exit::{Fail, Outcome, chain};

/// Requests of a gate's log that are kept to be joined with an API server's.
const MOST: usize = 4_000_000;
/// Clusters whose names are shown of those in a log.
const SHOWN: usize = 10;

/// What the gate calls the cluster that is assessed, if it can be told: it was named, its address leads through a gate,
/// or the gate on this machine has one cluster with this address.
pub(super) fn told(named: Option<&str>, snapshot: &Snapshot) -> Outcome<Option<ClusterName>> {
    if let Some(name) = named {
        let name = name.parse().map_err(|_| {
            Fail::usage(format!("`{name}` is no name of a cluster"))
                .hint("the gate's own name for it: kubestile cluster list")
        })?;
        return Ok(Some(name));
    }
    let server = snapshot.cluster.server.trim_end_matches('/');
    if let Some((_, name)) = server.rsplit_once("/clusters/") {
        return Ok(name.parse().ok());
    }
    let gate = snapshot.gate.known();
    let mut same = gate
        .iter()
        .flat_map(|g| &g.clusters)
        .filter(|c| !server.is_empty() && c.server.trim_end_matches('/') == server);
    match (same.next(), same.next()) {
        (Some(one), None) => Ok(one.name.parse().ok()),
        _ => Ok(None),
    }
}

/// The ids of the requests for `wanted`, or for the only cluster there is, hashed; with the cluster, which is none only
/// if the log has no request at all. The log is read once for them and once more to count: it may be larger than the
/// memory.
pub(super) fn requests(
    dir: &Path,
    options: &Options,
    wanted: Option<ClusterName>,
) -> Outcome<(Option<ClusterName>, HashSet<u64>)> {
    let mut found: BTreeMap<ClusterName, HashSet<u64>> = BTreeMap::new();
    let mut kept = 0;
    each(dir, &mut |_, decided| {
        let ids = found.entry(decided.kube.cluster.clone()).or_default();
        // Of the others it is enough to know that they are there.
        if wanted.as_ref().is_none_or(|w| *w == decided.kube.cluster) {
            let is_new = ids.insert(options.request_hash(&decided.request.to_string()));
            kept += usize::from(is_new);
        }
        match kept > MOST {
            true => Err(Fail::failure(
                "the gate's log has more requests than are read",
            )),
            false => Ok(()),
        }
    })?;
    choose(found, wanted)
}

fn choose(
    mut found: BTreeMap<ClusterName, HashSet<u64>>,
    wanted: Option<ClusterName>,
) -> Outcome<(Option<ClusterName>, HashSet<u64>)> {
    let names = || -> String {
        let shown: Vec<&str> = found.keys().take(SHOWN).map(ClusterName::as_str).collect();
        match found.len().saturating_sub(SHOWN) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    };
    if let Some(name) = wanted {
        if !found.is_empty() && !found.contains_key(&name) {
            return Err(Fail::usage(format!(
                "the gate's log has no request for `{name}`: it is of {}",
                names()
            ))
            .hint("say which of them is assessed with --cluster NAME"));
        }
        let ids = found.remove(&name).unwrap_or_default();
        return Ok((Some(name), ids));
    }
    if found.len() > 1 {
        return Err(Fail::usage(format!(
            "the gate's log is of several clusters: {}",
            names()
        ))
        .hint("say which of them is assessed with --cluster NAME"));
    }
    Ok(found
        .pop_first()
        .map_or_else(Default::default, |(name, ids)| (Some(name), ids)))
}

/// Counts what was asked of one cluster; says how many requests that were.
pub(super) fn count(
    dir: &Path,
    cluster: Option<&ClusterName>,
    fold: &mut Fold,
    is_alone: bool,
) -> Outcome<u64> {
    let mut records = 0;
    each(dir, &mut |found, decided| {
        if cluster == Some(&decided.kube.cluster) {
            take(fold, found, decided, is_alone);
            records += 1;
        }
        Ok(())
    })?;
    Ok(records)
}

/// Every decision in a gate's log on what somebody asked for.
fn each(dir: &Path, with: &mut dyn FnMut(&Found, &Decided) -> Outcome) -> Outcome {
    let failed = |error| Fail::failure(chain(&error));
    for found in search::search(dir, &Filter::default()).map_err(failed)? {
        let found = found.map_err(failed)?;
        if let Event::Decision(decided) = &found.record.event
            && decided.looked_up_for.is_none()
        {
            with(&found, decided)?;
        }
    }
    Ok(())
}

fn take(fold: &mut Fold, found: &Found, decided: &Decided, is_alone: bool) {
    let kube = &decided.kube;
    let groups = decided.upstream.iter().flat_map(|u| &u.groups);
    let name = decided
        .upstream
        .as_ref()
        .map_or(&decided.actor.name, |u| &u.user);
    let code = match &found.outcome {
        Became::Completed { completion, .. } => completion.status,
        Became::NotForwarded => 403,
        Became::Open | Became::FarAway => 200,
    };
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(&found.record.time, format).ok();
    let micros = at.and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000).ok());
    let id = decided.request.to_string();
    let target = match kube.resource.is_empty() {
        true => Target::Path(&kube.path),
        false => Target::Resource {
            group: &kube.group,
            resource: &kube.resource,
            subresource: &kube.subresource,
            namespace: &kube.namespace,
            name: &kube.name,
        },
    };
    let event = Asked {
        id: &id,
        at: micros,
        stage: "ResponseComplete",
        uri: "",
        verb: &kube.verb,
        target,
        user: Who {
            name,
            groups: groups.map(String::as_str).collect(),
            ..Who::default()
        },
        impersonated: None,
        address: "",
        agent: "",
        code,
        authorized: (decided.decision == "deny").then_some(false),
        command: decided.invocation.as_ref().map(|i| i.command.as_str()),
    };
    fold.add_of_gate(&event, is_alone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubestile_assess::snapshot::{Gate, GateCluster, Source};
    use kubestile_core::Timestamp;

    fn name(text: &str) -> ClusterName {
        text.parse().unwrap()
    }

    fn log(names: &[&str]) -> BTreeMap<ClusterName, HashSet<u64>> {
        let one = |(id, n): (usize, &&str)| (name(n), HashSet::from([id as u64]));
        names.iter().enumerate().map(one).collect()
    }

    #[test]
    fn of_several_clusters_the_named_one_is_counted_and_none_is_guessed() {
        let (chosen, ids) = choose(log(&["bank", "shop"]), Some(name("shop"))).unwrap();
        assert_eq!((chosen, ids), (Some(name("shop")), HashSet::from([1])));
        let fail = choose(log(&["bank", "shop"]), None).unwrap_err();
        assert!(fail.message().contains("bank, shop"), "{}", fail.message());
        assert!(fail.hints().iter().any(|h| h.contains("--cluster")));
        let fail = choose(log(&["bank"]), Some(name("shop"))).unwrap_err();
        assert!(fail.message().contains("no request for `shop`"));
        assert_eq!(choose(log(&["bank"]), None).unwrap().0, Some(name("bank")));
        assert_eq!(choose(log(&[]), None).unwrap(), (None, HashSet::new()));
        assert!(choose(log(&[]), Some(name("shop"))).is_ok());
        let many: Vec<String> = (0..30).map(|i| format!("c{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let fail = choose(log(&many), None).unwrap_err();
        assert!(
            fail.message().ends_with("and 20 more"),
            "{}",
            fail.message()
        );
    }

    #[test]
    fn which_cluster_is_assessed_is_told_by_the_address_or_the_gate() {
        let at = |server: &str| Snapshot::empty(Timestamp::from_secs(1), "c", server);
        let through = at("https://gate.example.com:8443/clusters/shop");
        assert_eq!(told(None, &through).unwrap(), Some(name("shop")));
        assert_eq!(told(Some("bank"), &through).unwrap(), Some(name("bank")));
        assert!(told(Some("No/Name"), &through).is_err());

        let mut direct = at("https://10.0.0.1:6443");
        assert_eq!(told(None, &direct).unwrap(), None);
        let cluster = |name: &str, server: &str| GateCluster {
            name: name.to_owned(),
            server: server.to_owned(),
            url: String::new(),
            served: true,
            constrained: None,
        };
        let gate = |clusters| {
            Source::Known(Gate {
                clusters,
                ..Gate::default()
            })
        };
        let other = || cluster("bank", "https://10.0.0.2:6443");
        direct.gate = gate(vec![other(), cluster("shop", "https://10.0.0.1:6443/")]);
        assert_eq!(told(None, &direct).unwrap(), Some(name("shop")));
        let twice = cluster("again", "https://10.0.0.1:6443");
        direct.gate = gate(vec![twice, cluster("shop", "https://10.0.0.1:6443")]);
        assert_eq!(told(None, &direct).unwrap(), None, "two of them have it");
        // No address is nobody's.
        let mut nowhere = at("");
        nowhere.gate = gate(vec![cluster("shop", "")]);
        assert_eq!(told(None, &nowhere).unwrap(), None);
    }
}
