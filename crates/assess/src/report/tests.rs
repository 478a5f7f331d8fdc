use kubestile_core::Timestamp;

use super::*;
use crate::exception::Exceptions;
use crate::snapshot::{Binding, Role, Snapshot, Source};
use crate::verdict::Outcome;

/// A cluster whose names try to break out of every report.
fn hostile() -> Assessment {
    let name = "<script>alert(1)</script>\u{1b}[2J]]>\"'";
    let mut snapshot = Snapshot::empty(Timestamp::from_secs(1), name, "https://c\u{202e}");
    let role: Role = serde_json::from_value(serde_json::json!({
        "metadata": { "name": "all" },
        "rules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
    }))
    .unwrap();
    let bindings: Vec<Binding> = (0..3)
        .map(|i| {
            serde_json::from_value(serde_json::json!({
                "metadata": { "name": format!("{name}{i}") },
                "roleRef": { "kind": "ClusterRole", "name": "all" },
                "subjects": [{ "kind": "User", "name": format!("{name}{i}") }],
            }))
            .unwrap()
        })
        .collect();
    snapshot.rbac.cluster_roles = Source::Known(vec![role]);
    snapshot.rbac.roles = Source::Known(vec![]);
    snapshot.rbac.role_bindings = Source::Known(vec![]);
    snapshot.rbac.cluster_role_bindings = Source::Known(bindings);
    let assessment = crate::assess(&snapshot, &Exceptions::default());
    assert_eq!(
        assessment.finding("S0-11").unwrap().verdict.outcome,
        Outcome::Fail
    );
    assessment
}

#[test]
fn nothing_from_the_cluster_becomes_markup() {
    let assessment = hostile();
    for text in [html::page(&assessment), junit::document(&assessment)] {
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let page = html::page(&assessment);
    assert_eq!(page.matches("<script>").count(), 1);
    for fetch in ["http://", "src=", "@import", "url("] {
        assert!(!page.contains(fetch), "{fetch}");
    }
}

#[test]
fn nothing_from_the_cluster_steers_the_terminal() {
    let paint = terminal::Paint {
        colour: false,
        escape: |text| text.escape_debug().to_string(),
    };
    let assessment = hostile();
    let mut text = terminal::summary(&assessment, paint);
    text.push_str(&terminal::table(&assessment, paint));
    for control in crate::catalog::controls() {
        text.push_str(&terminal::explain(
            control,
            assessment.finding(control.id),
            paint,
        ));
    }
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    assert!(text.contains("you are here: stage 0"), "{text}");
}

#[test]
fn sarif_has_a_rule_for_every_result() {
    let document = sarif::document(&hostile(), "1");
    let run = &document["runs"][0];
    let rules: Vec<&str> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|r| r["id"].as_str())
        .collect();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 3);
    for result in results {
        assert!(rules.contains(&result["ruleId"].as_str().unwrap()));
    }
}

#[test]
fn a_first_look_tells_of_a_binding_once() {
    let assessment = hostile();
    let shown = first(&assessment, FIRST);
    assert_eq!(shown.first().unwrap().control, "S0-11");
    // That the same three administrators may change things at any time is no news.
    assert!(shown.iter().all(|f| f.control != "S4-01"), "{shown:?}");
}
