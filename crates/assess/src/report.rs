//! One assessment, told to different readers.

mod command;
pub mod html;
pub mod junit;
pub mod ocsf;
pub mod sarif;
pub mod terminal;

pub use command::command;

use crate::score::{Assessment, Finding};
use crate::snapshot::Distribution;
use crate::verdict::Evidence;

/// Findings that a first look shows.
pub const FIRST: usize = 5;

/// The findings to show first: the most pressing, passing over those that only say of the same places
/// what another has said already.
pub fn first(assessment: &Assessment, most: usize) -> Vec<&Finding> {
    let mut shown: Vec<&Finding> = Vec::new();
    for finding in assessment.failures() {
        let known = |place: &Evidence| {
            let subject = |e: &Evidence| e.field.starts_with("subjects[");
            shown
                .iter()
                .flat_map(|f| &f.verdict.evidence)
                .any(|e| e.object == place.object && (e.field == place.field || subject(e)))
        };
        let evidence = &finding.verdict.evidence;
        let told = !evidence.is_empty() && evidence.iter().all(known);
        if !told {
            shown.push(finding);
        }
        if shown.len() == most {
            break;
        }
    }
    shown
}

/// `Kubernetes v1.36.3`, as far as it is known.
fn kind_of(assessment: &Assessment) -> String {
    let version = assessment
        .kubernetes
        .as_deref()
        .unwrap_or("of unknown version");
    match assessment.distribution {
        Distribution::Kubeadm => format!("Kubernetes {version}"),
        other => format!("Kubernetes {version}, {other}"),
    }
}

/// Text for XML and HTML, also in attributes; what XML 1.0 cannot say at all becomes U+FFFD. What would reorder the words
/// around it is made visible (Unicode TR 36).
fn markup(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                safe.extend(c.escape_unicode());
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests;
