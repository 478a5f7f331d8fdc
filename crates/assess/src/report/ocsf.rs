//! OCSF 1.9.0, for what collects findings: a Compliance Finding (class 2003) for each control, a line each.
//!
//! The schema is that of <https://schema.ocsf.io/1.9.0/classes/compliance_finding>. Only attributes that have
//! been in it since 1.5.0 are written, so that older readers understand them too.

use serde_json::{Value, json};

use crate::catalog::control;
use crate::score::{Assessment, Finding};
use crate::verdict::{Class, Evidence, Outcome, Severity, Verdict};

/// The version of the schema.
const SCHEMA: &str = "1.9.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2003;
/// A finding is made anew by each assessment: its `uid` says that it is the same as before.
const CREATE: u32 = 1;
/// What the controls are of.
const STANDARD: &str = "Kubectl Zero Trust Maturity Model";

/// JSON, a line for each control.
pub fn lines(assessment: &Assessment, version: &str) -> String {
    let mut text = String::new();
    for finding in &assessment.findings {
        text.push_str(&event(assessment, finding, version).to_string());
        text.push('\n');
    }
    text
}

fn event(assessment: &Assessment, finding: &Finding, version: &str) -> Value {
    let verdict = &finding.verdict;
    let (severity_id, severity) = severity(finding);
    let (confidence_id, confidence) = confidence(verdict);
    let time = assessment.taken.as_micros().div_euclid(1_000);
    let uid = format!("{}/{}", assessment.server, finding.control);
    let mut event = json!({
        "activity_id": CREATE,
        "activity_name": "Create",
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Compliance Finding",
        "type_uid": CLASS * 100 + CREATE,
        "type_name": "Compliance Finding: Create",
        "severity_id": severity_id,
        "severity": severity,
        "confidence_id": confidence_id,
        "confidence": confidence,
        "confidence_score": verdict.confidence,
        "time": time,
        "message": format!("{} {}: {}", finding.control, finding.title, verdict.summary),
        "metadata": {
            "version": SCHEMA,
            "uid": format!("{uid}@{}", assessment.taken.as_micros()),
            "original_time": assessment.taken.rfc3339(),
            "log_name": "assessment",
            "product": { "name": "kubestile", "vendor_name": "kubestile", "version": version },
        },
        "finding_info": {
            "uid": uid,
            "title": finding.title,
            "desc": verdict.summary,
            "created_time": time,
            "types": [STANDARD],
        },
        "compliance": compliance(finding),
        "resources": resources(assessment, verdict),
    });
    let Some(object) = event.as_object_mut() else {
        return event;
    };
    if verdict.outcome == Outcome::Fail {
        object.insert("status_id".to_owned(), json!(1));
        object.insert("status".to_owned(), json!("New"));
    }
    if let Some(desc) = remediation(verdict) {
        object.insert("remediation".to_owned(), json!({ "desc": desc }));
    }
    event
}

/// What passes asks for nothing. How bad something is that could not be decided is unknown as well.
const fn severity(finding: &Finding) -> (u32, &'static str) {
    match (finding.verdict.outcome, finding.severity) {
        (Outcome::Fail, Severity::Critical) => (5, "Critical"),
        (Outcome::Fail, Severity::High) => (4, "High"),
        (Outcome::Fail, Severity::Medium) => (3, "Medium"),
        (Outcome::Fail, Severity::Low) => (2, "Low"),
        (Outcome::Pass | Outcome::NotApplicable, _) => (1, "Informational"),
        (Outcome::Unknown, _) => (0, "Unknown"),
    }
}

const fn confidence(verdict: &Verdict) -> (u32, &'static str) {
    match verdict.confidence {
        80.. => (3, "High"),
        50.. => (2, "Medium"),
        _ => (1, "Low"),
    }
}

fn compliance(finding: &Finding) -> Value {
    let verdict = &finding.verdict;
    // "Warning" is the schema's word for a check without a result because something is missing.
    let (id, status) = match verdict.outcome {
        Outcome::Pass => (1, "Pass"),
        Outcome::Unknown => (2, "Warning"),
        Outcome::Fail => (3, "Fail"),
        Outcome::NotApplicable => (99, "Not applicable"),
    };
    let known = control(&finding.control);
    json!({
        "control": format!("{} {}", finding.control, finding.title),
        "standards": [STANDARD],
        "requirements": known.map(|c| c.maps).unwrap_or_default(),
        "desc": known.map(|c| c.requires).unwrap_or_default(),
        "category": format!("Stage {}: {}", finding.stage, finding.stage.name()),
        "control_parameters": [
            { "name": "stage", "value": finding.stage.to_string() },
            { "name": "gate", "value": finding.gate.to_string() },
            { "name": "weight", "value": finding.severity.weight().to_string() },
        ],
        "status_id": id,
        "status": status,
        "status_code": verdict.outcome.word(),
        "status_details": [verdict.summary],
    })
}

/// The cluster, and every place where something was seen.
fn resources(assessment: &Assessment, verdict: &Verdict) -> Vec<Value> {
    let cluster = json!({
        "uid": assessment.server,
        "name": assessment.cluster,
        "type": "Kubernetes cluster",
        "version": assessment.kubernetes.as_deref().unwrap_or("unknown"),
    });
    let places = verdict.evidence.iter().map(|e| place(assessment, e));
    std::iter::once(cluster).chain(places).collect()
}

fn place(assessment: &Assessment, evidence: &Evidence) -> Value {
    let kind = match evidence.class {
        Class::Kubeconfig => "kubeconfig",
        Class::Object => "Kubernetes object",
        Class::Flag => "control plane flag",
        Class::Config => "control plane file",
        Class::AuditLog => "audit log",
        Class::Gate => "gate",
        Class::Probe => "probe",
    };
    json!({
        "uid": format!("{}/{}", assessment.server, evidence.object),
        "name": evidence.place(),
        "type": kind,
        "data": { "field": evidence.field, "line": evidence.line, "text": evidence.text },
    })
}

fn remediation(verdict: &Verdict) -> Option<String> {
    let fix = verdict.fix.as_ref()?;
    let commands = fix.changes.iter().map(|c| format!("\n{}", c.command()));
    Some(fix.text.clone() + &commands.collect::<String>())
}
