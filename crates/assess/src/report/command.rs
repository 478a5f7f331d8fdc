//! The one command that is shown with a finding: what mends it, or what opens the very thing that a person has to edit.

use crate::catalog::Stage;
use crate::score::Finding;
use crate::verdict::{Change, Class, Evidence, quoted};

/// Controls that `kubestile advance apply` closes with what it writes itself.
const WRITTEN: [&str; 10] = [
    "S0-13", "S1-12", "S3-01", "S3-03", "S3-05", "S3-06", "S3-07", "S3-09", "S3-12", "S3-15",
];
/// Controls that it closes with an identity provider, where there is none yet.
const WITH_ISSUER: [&str; 6] = ["S1-01", "S1-02", "S1-03", "S1-04", "S1-05", "S1-17"];
/// Where kubeadm keeps the control plane's files.
const CONTROL_PLANE: &str = "/etc/kubernetes";

/// The command. What only the reader knows stands in it in capitals: `--break-glass CONTEXT`.
pub fn command(finding: &Finding) -> String {
    let fix = finding.verdict.fix.as_ref();
    let changes = fix.map_or(&[][..], |f| &f.changes);
    if let Some(change) = changes.iter().find(|c| c.runs()) {
        return change.command();
    }
    let flags = changes
        .iter()
        .any(|c| matches!(c, Change::Flag { .. } | Change::File { .. }));
    advance(finding, flags)
        .or_else(|| finding.verdict.evidence.iter().find_map(open))
        .unwrap_or_else(|| format!("kubestile advance plan --to {}", aim(finding)))
}

fn advance(finding: &Finding, flags: bool) -> Option<String> {
    let control = finding.control.as_str();
    let is = |class: Class| finding.verdict.evidence.iter().any(|e| e.class == class);
    // An issuer that is named already is mended in its own file.
    let issuer = WITH_ISSUER.contains(&control) && (flags || is(Class::Flag));
    if !(issuer || flags || WRITTEN.contains(&control)) {
        return None;
    }
    let step = match control {
        // What comes past the gate is shut out by one guard; a first check is one that fails closed.
        "S3-15" => "S3-09",
        "S3-03" => "S3-01",
        // Pipelines, too, log in through an issuer.
        "S1-17" => "S1-01",
        control => control,
    };
    let mut text = format!(
        "kubestile advance apply --to {} --only {step}",
        aim(finding)
    );
    if issuer || flags || ["S0-13", "S1-12", "S3-12"].contains(&control) {
        text.push_str(&format!(" --control-plane-dir {}", directory(finding)));
    }
    if issuer {
        text.push_str(" --issuer URL --audience NAME");
    }
    text.push_str(" --break-glass CONTEXT");
    Some(text)
}

/// The stage to aim at: nobody aims at 0.
fn aim(finding: &Finding) -> Stage {
    match finding.stage {
        Stage::FIRST => Stage::FIRST.next().unwrap_or(Stage::LAST),
        stage => stage,
    }
}

/// Of the manifest in which a flag was seen.
fn directory(finding: &Finding) -> String {
    let place = |e: &Evidence| {
        let dir = e.object.strip_suffix("/manifests/kube-apiserver.yaml")?;
        (e.class == Class::Flag).then(|| quoted(dir))
    };
    let found = finding.verdict.evidence.iter().find_map(place);
    found.unwrap_or_else(|| CONTROL_PLANE.to_owned())
}

/// Opens what was seen, for a person to edit.
fn open(evidence: &Evidence) -> Option<String> {
    match evidence.class {
        Class::Object => {
            // As `ObjectRef` is written: `role/view in shop`.
            let (kind, name) = evidence.object.split_once('/')?;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
            if kind.is_empty() || !kind.chars().all(plain) {
                return None;
            }
            Some(match name.rsplit_once(" in ") {
                Some((name, namespace)) => format!(
                    "kubectl edit {kind} {} -n {}",
                    quoted(name),
                    quoted(namespace)
                ),
                None => format!("kubectl edit {kind} {}", quoted(name)),
            })
        }
        Class::Flag | Class::Config if evidence.object.starts_with('/') => {
            Some(format!("sudoedit {}", quoted(&evidence.object)))
        }
        Class::Kubeconfig => Some("kubestile login URL --code CODE".to_owned()),
        _ => None,
    }
}
