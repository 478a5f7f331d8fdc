use kubestile_core::Timestamp;
use kubestile_rbac::escalation::Confidence;

use super::*;
use crate::catalog::Stage;
use crate::exception::Exceptions;
use crate::paths::{Step, Way, Ways};
use crate::snapshot::{Absence, Binding, Role, Snapshot, Source};
use crate::verdict::{Class, Outcome};

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

fn page(assessment: &Assessment, ways: &Result<Ways, Absence>) -> String {
    html::page(assessment, ways, |text| format!("of-{}", text.len()))
}

/// Ways of people whose names try to break out.
fn ways(number: usize) -> Result<Ways, Absence> {
    let name = "<script>alert(1)</script>\u{1b}[2J]]>\"'";
    let step = |after: &[usize], cut| Step {
        does: "impersonates",
        mitre: "T1134",
        becomes: name.to_owned(),
        confidence: Confidence::Likely,
        after: after.to_vec(),
        by: vec![format!("ClusterRoleBinding {name}")],
        cut,
    };
    let way = |i: usize| Way {
        subject: format!("user/{name}{i}"),
        reaches: "cluster-admin".to_owned(),
        confidence: Confidence::Likely,
        steps: vec![step(&[0], true), step(&[0], false), step(&[1, 2], false)],
        cut: Some(vec![format!("ClusterRoleBinding {name}")]),
    };
    Ok(Ways {
        ways: (0..number).map(way).collect(),
        more: 0,
    })
}

#[test]
fn a_page_of_a_large_cluster_is_bounded_and_says_what_it_leaves_out() {
    let mut assessment = hostile();
    let one = assessment.finding("S0-11").unwrap().clone();
    assessment.findings = (0..5_000).map(|_| one.clone()).collect();
    let page = page(&assessment, &ways(200));
    assert_eq!(page.matches("<svg class=\"way\"").count(), 24);
    assert!(page.contains("and 176 more: <code>kubestile rbac paths</code>"));
    assert!(page.contains("and 4500 more: <code>kubestile assess -o json</code>"));
    assert!(page.len() < 4 << 20, "{}", page.len());
}

#[test]
fn where_roles_are_not_known_the_page_says_so() {
    let empty = Snapshot::empty(Timestamp::from_secs(1), "c", "https://c");
    let none = crate::paths::ways(&empty, &crate::paths::Asked::default());
    let page = page(&crate::assess(&empty, &Exceptions::default()), &none);
    assert!(page.contains("<p>Not known: ") && !page.contains("Nobody below"));
}

#[test]
fn nothing_from_the_cluster_becomes_markup() {
    let assessment = hostile();
    let found = ways(24);
    for text in [page(&assessment, &found), junit::document(&assessment)] {
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let page = page(&assessment, &found);
    assert_eq!(page.matches("<script>").count(), 1);
    assert_eq!(page.matches("<svg class=\"way\"").count(), 24);
    // Its own policy lets no style in an attribute, and no handler.
    for attribute in ["style=\"", " onclick", " onerror", "unsafe-inline"] {
        assert!(!page.contains(attribute), "{attribute}");
    }
    for fetch in ["http://", "src=", "@import", "url("] {
        assert!(!page.contains(fetch), "{fetch}");
    }
}

#[test]
fn nothing_from_the_cluster_steers_the_terminal() {
    let paint = terminal::Paint {
        colour: false,
        escape: |text| text.escape_debug().to_string(),
        width: 80,
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
fn sentences_fit_the_terminal_and_commands_stay_whole() {
    let mut assessment = hostile();
    for width in [60, 80, 120] {
        let paint = terminal::Paint {
            colour: false,
            escape: |text| text.escape_debug().to_string(),
            width,
        };
        let mut commands: Vec<String> = Vec::new();
        let mut places: Vec<String> = Vec::new();
        for finding in &assessment.findings {
            commands.push((paint.escape)(&command(finding)));
            let all = finding.verdict.fix.iter().flat_map(|f| &f.changes);
            commands.extend(all.map(|c| (paint.escape)(&c.command())));
            places.extend(
                finding
                    .verdict
                    .evidence
                    .iter()
                    .map(|e| (paint.escape)(&e.place())),
            );
        }
        for stage in Stage::ALL {
            assessment.stage = stage;
            let mut text = terminal::summary(&assessment, paint);
            for finding in first(&assessment, FIRST) {
                let whole = format!("$ {}\n", (paint.escape)(&command(finding)));
                assert!(text.contains(&whole), "{whole} in {text}");
            }
            for control in crate::catalog::controls() {
                let finding = assessment.finding(control.id);
                text.push_str(&terminal::explain(control, finding, paint));
            }
            assert!(text.contains("here"), "{text}");
            // The first line is who and where.
            for line in text.lines().skip(1) {
                let whole = |list: &[String]| list.iter().any(|w| line.contains(w.as_str()));
                let ours = ["kubestile ", "$ kubestile "]
                    .iter()
                    .any(|o| line.starts_with(o));
                assert!(
                    line.chars().count() <= width || ours || whole(&commands) || whole(&places),
                    "{width}: {line}"
                );
            }
        }
    }
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

/// Properties of what we write, from the schema of SARIF 2.1.0 (`sarif-schema-2.1.0.json` of OASIS), each with the definition
/// that its value has; `-` is a value of its own. A star marks what is required, brackets a list.
const SARIF: [(&str, &str); 14] = [
    ("log", "$schema:- version*:- runs*:[run]"),
    ("run", "tool*:tool results:[result] properties:bag"),
    ("tool", "driver*:component"),
    (
        "component",
        "name*:- version:- informationUri:- rules:[rule]",
    ),
    (
        "rule",
        "id*:- shortDescription:words fullDescription:words help:words defaultConfiguration:configuration properties:bag",
    ),
    ("words", "text*:-"),
    ("configuration", "level:-"),
    (
        "result",
        "ruleId:- level:- message*:words locations:[location] properties:bag",
    ),
    (
        "location",
        "physicalLocation:physical logicalLocations:[logical]",
    ),
    ("physical", "artifactLocation:artifact region:region"),
    ("artifact", "uri:-"),
    ("region", "startLine:-"),
    ("logical", "fullyQualifiedName:-"),
    ("bag", ""),
];

fn fits_sarif(of: &str, value: &serde_json::Value) {
    let object = value.as_object().unwrap();
    let (_, all) = SARIF.iter().find(|(name, _)| *name == of).unwrap();
    if of == "bag" {
        let tags = object.get("tags").and_then(|t| t.as_array());
        let tags: Vec<String> = tags
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let once: std::collections::BTreeSet<&String> = tags.iter().collect();
        assert_eq!(once.len(), tags.len(), "tags stand once: {tags:?}");
        return;
    }
    let mut left = object.clone();
    for property in all.split(' ') {
        let (name, kind) = property.split_once(':').unwrap();
        let required = name.ends_with('*');
        let Some(inner) = left.remove(name.trim_end_matches('*')) else {
            assert!(!required, "{of} lacks {name}");
            continue;
        };
        match kind.strip_prefix('[').and_then(|k| k.strip_suffix(']')) {
            Some(each) => inner
                .as_array()
                .unwrap()
                .iter()
                .for_each(|v| fits_sarif(each, v)),
            None if kind == "-" => assert!(inner.is_string() || inner.is_u64(), "{of} {name}"),
            None => fits_sarif(kind, &inner),
        }
        let text = inner.as_str().unwrap_or_default();
        match name {
            "level" => assert!(
                ["none", "note", "warning", "error"].contains(&text),
                "{text}"
            ),
            "startLine" => assert!(inner.as_u64() >= Some(1)),
            // RFC 3986: no space, quote, control or anything beyond ASCII.
            "uri" | "informationUri" => {
                let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
                assert!(text.chars().all(plain), "{text}");
            }
            _ => {}
        }
    }
    assert!(left.is_empty(), "{of} has no {:?}", left.keys());
}

#[test]
fn sarif_is_of_the_documented_schema_whatever_names_say() {
    let mut assessment = hostile();
    let name = "/srv/<b>\u{202e} %\u{1b}'\"\\`";
    let one = Evidence::named(Class::Kubeconfig, name, "users[0]", name);
    for finding in &mut assessment.findings {
        finding.verdict.evidence.push(one.clone());
        finding.verdict.evidence.push(one.clone().at(7));
    }
    let document = sarif::document(&assessment, "1");
    fits_sarif("log", &document);
    assert_eq!(document["version"], "2.1.0");
    let rules = document["runs"][0]["tool"]["driver"]["rules"].as_array();
    let ids: std::collections::BTreeSet<String> =
        rules.unwrap().iter().map(|r| r["id"].to_string()).collect();
    assert_eq!(ids.len(), rules.unwrap().len(), "each rule stands once");
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
