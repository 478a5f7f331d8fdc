//! SARIF 2.1.0, for code scanning: a rule for each control, a result for each piece of evidence of one
//! that fails.

use serde_json::{Value, json};

use crate::catalog::{Control, controls};
use crate::score::{Assessment, Finding};
use crate::verdict::{Class, Evidence, Outcome, Severity};

/// The document.
pub fn document(assessment: &Assessment, version: &str) -> Value {
    let results: Vec<Value> = assessment
        .findings
        .iter()
        .filter(|f| f.verdict.outcome == Outcome::Fail)
        .flat_map(results)
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kubestile",
                "version": version,
                "informationUri": "https://github.com/kubestile/kubestile",
                "rules": controls().map(rule).collect::<Vec<_>>(),
            }},
            "properties": { "cluster": assessment.cluster, "stage": assessment.stage },
            "results": results,
        }],
    })
}

fn rule(control: &Control) -> Value {
    json!({
        "id": control.id,
        "shortDescription": { "text": control.title },
        "fullDescription": { "text": format!("{}. Without it: {}.", control.requires, control.why) },
        "help": { "text": control.remedy },
        "defaultConfiguration": { "level": level(control.severity) },
        "properties": { "tags": control.maps, "stage": control.stage(), "gate": control.gate },
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

fn results(finding: &Finding) -> Vec<Value> {
    let verdict = &finding.verdict;
    let result = |message: String, locations: Value| {
        json!({
            "ruleId": finding.control,
            "level": level(finding.severity),
            "message": { "text": message },
            "locations": locations,
            "properties": { "confidence": verdict.confidence },
        })
    };
    if verdict.evidence.is_empty() {
        return vec![result(verdict.summary.clone(), json!([]))];
    }
    let evidence = verdict.evidence.iter();
    evidence
        .map(|e| {
            result(
                format!("{}: {}", verdict.summary, e.text),
                json!([location(e)]),
            )
        })
        .collect()
}

fn location(evidence: &Evidence) -> Value {
    let logical = json!([{
        "fullyQualifiedName": format!("{} {}", evidence.object, evidence.field).trim_end(),
    }]);
    match (evidence.class, evidence.line) {
        (Class::Kubeconfig, line) => json!({
            "physicalLocation": {
                "artifactLocation": { "uri": format!("file://{}", uri(&evidence.object)) },
                "region": { "startLine": line.unwrap_or(1) },
            },
            "logicalLocations": logical,
        }),
        _ => json!({ "logicalLocations": logical }),
    }
}

/// A path in a URI (RFC 3986).
fn uri(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
