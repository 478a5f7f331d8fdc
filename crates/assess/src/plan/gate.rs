//! What a gate would show if somebody did with it what a finding says: no program writes a gate's configuration or
//! its policies, but what they would turn can be foreseen.

use crate::facts::Facts;
use crate::snapshot::{ClusterFacts, Gate, GateCluster, GateFacts, Snapshot, Source};

/// Does on the snapshot what mends the control at the gate, where that is known; nothing otherwise.
pub(super) fn foresee(control: &str, snapshot: &mut Snapshot) {
    if Facts::new(snapshot).gate().is_err() {
        if ["S3-05", "S3-06", "S3-08"].contains(&control) {
            put_before(snapshot);
        }
        return;
    }
    let server = snapshot.cluster.server.clone();
    let Some(facts) = snapshot.gate.known_mut().and_then(|g| g.facts.as_mut()) else {
        return;
    };
    match control {
        "S1-02" => of_cluster(facts, &server, |c| {
            c.weakest_login = Some("multi".to_owned())
        }),
        "S3-11" => {
            let names = ["sessionAge", "hourUtc", "source"];
            facts.policies.context.extend(names.map(str::to_owned));
            facts.policies.context.sort_unstable();
            facts.policies.context.dedup();
        }
        "S4-03" => of_cluster(facts, &server, |c| c.unheld.clear()),
        _ => {}
    }
}

/// As somebody does with `kubestile up`. Of its policies nothing is foreseen.
fn put_before(snapshot: &mut Snapshot) {
    let cluster = GateCluster {
        server: snapshot.cluster.server.clone(),
        served: true,
        ..GateCluster::default()
    };
    snapshot.gate = Source::Known(Gate {
        clusters: vec![cluster],
        ..Gate::default()
    });
}

fn of_cluster(facts: &mut GateFacts, server: &str, change: impl Fn(&mut ClusterFacts)) {
    let this = |c: &&mut ClusterFacts| {
        [&c.server, &c.url]
            .iter()
            .any(|u| u.trim_end_matches('/') == server.trim_end_matches('/'))
    };
    facts.clusters.iter_mut().filter(this).for_each(change);
}
