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

/// Attributes of the class and its objects, from <https://github.com/ocsf/ocsf-schema> at version 1.9.0:
/// `events/base_event.json`, `events/findings/finding.json` and `compliance_finding.json`, `objects/metadata.json`,
/// `product.json`, `finding_info.json`, `compliance.json`, `key_value_object.json`, `remediation.json`,
/// `resource_details.json` with the `_resource.json` and `_entity.json` that it extends. A star marks what is required; of
/// `product` and `resource_details` at least one of `name` and `uid` is.
const OCSF: [(&str, &str); 8] = [
    (
        "",
        "activity_id* activity_name category_uid* category_name class_uid* class_name type_uid* type_name severity_id* \
         severity confidence_id confidence confidence_score time* message metadata* finding_info* compliance* resources \
         remediation status_id status",
    ),
    ("metadata", "version* product* uid original_time log_name"),
    ("product", "name* vendor_name version"),
    ("finding_info", "uid* title desc created_time types"),
    (
        "compliance",
        "control standards requirements desc category control_parameters status_id status status_code status_details",
    ),
    ("control_parameters", "name* value"),
    ("resources", "uid name* type version data"),
    ("remediation", "desc*"),
];

/// Every attribute is one of the schema's, and every required one is there.
fn fits_ocsf(of: &str, value: &serde_json::Value) {
    let (_, all) = OCSF.iter().find(|(name, _)| *name == of).unwrap();
    let known: Vec<&str> = all.split(' ').map(|a| a.trim_end_matches('*')).collect();
    let object = value.as_object().unwrap();
    for required in all.split(' ').filter_map(|a| a.strip_suffix('*')) {
        let there = object.get(required);
        assert!(there.is_some_and(|v| !v.is_null()), "{of}: {required}");
    }
    for (name, inner) in object {
        assert!(known.contains(&name.as_str()), "{of} has no {name}");
        if !OCSF.iter().any(|(of, _)| of == name) {
            continue;
        }
        match inner.as_array() {
            Some(list) => list.iter().for_each(|one| fits_ocsf(name, one)),
            None => fits_ocsf(name, inner),
        }
    }
}

#[test]
fn every_line_of_ocsf_is_a_compliance_finding_of_the_documented_schema() {
    let assessment = hostile();
    let text = ocsf::lines(&assessment, "1");
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), assessment.findings.len());
    let mut uids = std::collections::BTreeSet::new();
    for (event, finding) in events.iter().zip(&assessment.findings) {
        fits_ocsf("", event);
        assert_eq!(
            (&event["class_uid"], &event["category_uid"]),
            (&serde_json::json!(2003), &serde_json::json!(2))
        );
        // By the schema: class_uid * 100 + activity_id.
        assert_eq!(event["type_uid"], 200_301);
        assert_eq!(event["metadata"]["version"], "1.9.0");
        // Milliseconds since the Unix epoch.
        assert_eq!(event["time"], 1_000);
        let status = event["compliance"]["status_id"].as_u64().unwrap();
        let expected = match finding.verdict.outcome {
            Outcome::Pass => 1,
            Outcome::Unknown => 2,
            Outcome::Fail => 3,
            Outcome::NotApplicable => 99,
        };
        assert_eq!(status, expected, "{}", finding.control);
        // Nothing that is not wrong is an alert.
        let severity = event["severity_id"].as_u64().unwrap();
        assert_eq!(severity > 1, status == 3, "{}", finding.control);
        assert!(uids.insert(event["finding_info"]["uid"].to_string()));
    }
    let admins = events
        .iter()
        .find(|e| e["finding_info"]["uid"] == "https://c\u{202e}/S0-11");
    let places = admins.unwrap()["resources"].as_array().unwrap();
    assert_eq!(places.len(), 1 + 3);
}
