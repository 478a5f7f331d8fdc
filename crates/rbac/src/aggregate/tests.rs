use super::*;
use crate::model::{AggregationRule, Metadata, Selector};

fn role(name: &str, label: &str, selects: &[&str], verbs: &[&str]) -> ClusterRole {
    let selector = |label: &&str| Selector {
        match_labels: [((*label).to_owned(), "true".to_owned())].into(),
        match_expressions: Vec::new(),
    };
    let mut metadata = Metadata::named(name);
    if !label.is_empty() {
        metadata.labels = [(label.to_owned(), "true".to_owned())].into();
    }
    ClusterRole {
        metadata,
        rules: verbs
            .iter()
            .map(|v| Rule::resources(&[v], &[""], &["pods"]))
            .collect(),
        aggregation_rule: (!selects.is_empty()).then(|| AggregationRule {
            cluster_role_selectors: selects.iter().map(selector).collect(),
        }),
    }
}

fn verbs(roles: &[ClusterRole], name: &str) -> String {
    let of = roles.iter().find(|r| r.metadata.name == name).unwrap();
    let verbs = of.rules.iter().flat_map(|r| r.verbs.clone());
    verbs.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_chain_of_aggregations_is_filled_in() {
    let mut roles = [
        role("admin", "", &["to-admin"], &["overwritten"]),
        role("edit", "to-admin", &["to-edit"], &[]),
        role("view", "to-edit", &["to-view"], &[]),
        role("z", "to-view", &[], &["watch", "get"]),
        role("a", "to-view", &[], &["list", "get"]),
        role("b", "to-admin", &[], &["delete"]),
        role("c", "unselected", &[], &["escalate"]),
    ];
    aggregate(&mut roles);
    assert_eq!(verbs(&roles, "view"), "list get watch");
    assert_eq!(verbs(&roles, "edit"), "list get watch");
    assert_eq!(verbs(&roles, "admin"), "delete list get watch");
    assert_eq!(verbs(&roles, "c"), "escalate");
}

#[test]
fn circles_come_to_rest() {
    let mut roles = [
        role("a", "l", &["l", "m"], &["x"]),
        role("b", "l", &["l"], &[]),
        role("c", "m", &[], &["get", "list"]),
    ];
    aggregate(&mut roles);
    assert_eq!(verbs(&roles, "a"), "get list");
    assert_eq!(verbs(&roles, "b"), "get list");
}

#[test]
fn a_role_is_not_its_own_source() {
    let mut roles = [role("a", "l", &["l"], &["get"])];
    aggregate(&mut roles);
    assert_eq!(verbs(&roles, "a"), "");
}
