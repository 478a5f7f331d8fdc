//! When the sealed way into each cluster was last tried, and whether the next drill is overdue. The drill itself wrote it
//! on the way's binding; it is read through the gate as the person, who needs no more than to look at the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use kubestile_assess::snapshot::DRILL_DAYS;
use kubestile_cluster::break_glass::{BINDING, DRILLED};
use kubestile_control::api::Rights;
use kubestile_core::{ClusterName, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::client::Door;
use crate::clock;
use crate::output::Table;

/// Of one cluster.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drill {
    cluster: ClusterName,
    /// When it was; none if there never was one, or what is written there is no time.
    last: Option<Timestamp>,
    /// Whether there must be one now.
    overdue: bool,
}

/// Clusters that are asked, and how long all of them may take.
const CLUSTERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

/// Of every cluster that the person may look at as a whole; nothing of the others, and of those that do not answer.
pub(super) async fn of(door: &Door, rights: &Rights) -> Vec<Drill> {
    // Nobody's record is to hold a refusal for a look that they did not ask for.
    if !rights.functions.iter().any(|f| f.to_string() == "viewer") {
        return Vec::new();
    }
    let asked = rights.may_ask.iter().map(|a| &a.cluster);
    let clusters: BTreeSet<&ClusterName> = asked
        .chain(rights.grants.iter().filter_map(|g| g.cluster.as_ref()))
        .collect();
    let mut drills = Vec::new();
    let reading = async {
        for cluster in clusters.into_iter().take(CLUSTERS) {
            let path = format!(
                "/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{BINDING}"
            );
            if let Ok(answer) = door.exchange(Method::GET, &path, None).await
                && answer.status == StatusCode::OK
                && let Ok(binding) = serde_json::from_slice::<Value>(&answer.body)
            {
                drills.push(judge(cluster, &binding, clock::now()));
            }
        }
    };
    let _late = tokio::time::timeout(PATIENCE, reading).await;
    drills
}

/// What a binding says.
fn judge(cluster: &ClusterName, binding: &Value, now: Timestamp) -> Drill {
    let written = binding
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(DRILLED))
        .and_then(Value::as_str);
    // Clocks differ by an hour at most: what lies further ahead is no drill. Nor is `2h`, a time for people.
    let last = written
        .filter(|text| text.contains('T'))
        .and_then(|text| clock::moment(text, now).ok())
        .filter(|at| at.as_secs() <= now.as_secs().saturating_add(3600));
    let days = |at: Timestamp| now.as_secs().saturating_sub(at.as_secs()) / 86_400;
    Drill {
        cluster: cluster.clone(),
        last,
        overdue: last.is_none_or(|at| days(at) > DRILL_DAYS),
    }
}

/// The part of `kubestile access`; empty if there is nothing.
pub(super) fn text(drills: &[Drill]) -> String {
    if drills.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["CLUSTER", "LAST DRILL", "STATE"]);
    for drill in drills {
        let day = |at: Timestamp| at.rfc3339().chars().take_while(|c| *c != 'T').collect();
        let last = drill.last.map_or("never".to_owned(), day);
        let state = if drill.overdue { "overdue" } else { "in time" };
        table.row([drill.cluster.to_string(), last, state.to_owned()]);
    }
    let mut text = format!(
        "\nSealed ways in, to be tried every {DRILL_DAYS} days\n{}",
        table.text()
    );
    if drills.iter().any(|d| d.overdue) {
        text.push_str("\nWhoever keeps the shares tries it: kubestile break-glass drill\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_overdue_after_ninety_days_or_if_there_was_none() {
        let cluster: ClusterName = "prod".parse().unwrap();
        let now = clock::moment("2026-11-25T00:00:00Z", Timestamp::from_secs(0)).unwrap();
        let of = |text: Value| judge(&cluster, &text, now);
        let noted =
            |at: &str| of(serde_json::json!({ "metadata": { "annotations": { DRILLED: at } } }));
        let fresh = noted("2026-11-01T00:00:00Z");
        assert!(!fresh.overdue && fresh.last.is_some(), "{fresh:?}");
        assert!(!noted("2026-08-27T00:00:00Z").overdue, "90 days");
        assert!(noted("2026-08-26T00:00:00Z").overdue, "91 days");
        for never in ["", "2h", "soon\u{1b}[2J", "2027-11-25T00:00:00Z"] {
            let drill = noted(never);
            assert!(drill.overdue && drill.last.is_none(), "{never}: {drill:?}");
        }
        assert!(of(Value::Null).overdue);
        let shown = text(&[fresh, noted("")]);
        assert!(shown.contains("prod      2026-11-01   in time"), "{shown}");
        assert!(shown.contains("prod      never        overdue"), "{shown}");
        assert!(shown.contains("kubestile break-glass drill"), "{shown}");
        assert_eq!(text(&[]), "");
    }
}
