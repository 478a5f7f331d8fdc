//! JUnit XML, for pipelines: a suite for each stage, a case for each control. What is not decided is
//! skipped, which says so and fails no build.

use super::{command, markup};
use crate::catalog::Stage;
use crate::score::{Assessment, Finding};
use crate::verdict::Outcome;

/// The document.
pub fn document(assessment: &Assessment) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(&format!(
        "<testsuites name=\"kubestile assess {}\">\n",
        markup(&assessment.cluster)
    ));
    for stage in Stage::ALL {
        suite(stage, assessment, &mut text);
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(stage: Stage, assessment: &Assessment, text: &mut String) {
    let mine = || assessment.findings.iter().filter(|f| f.stage == stage);
    let count = |outcomes: &[Outcome]| {
        mine()
            .filter(|f| outcomes.contains(&f.verdict.outcome))
            .count()
    };
    text.push_str(&format!(
        "  <testsuite name=\"stage {stage}: {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
        stage.name(),
        mine().count(),
        count(&[Outcome::Fail]),
        count(&[Outcome::Unknown, Outcome::NotApplicable])
    ));
    for finding in mine() {
        case(finding, text);
    }
    text.push_str("  </testsuite>\n");
}

fn case(finding: &Finding, text: &mut String) {
    let verdict = &finding.verdict;
    text.push_str(&format!(
        "    <testcase classname=\"kubestile.stage{}\" name=\"{} {}\"",
        finding.stage,
        finding.control,
        markup(&finding.title)
    ));
    let summary = markup(&verdict.summary);
    match verdict.outcome {
        Outcome::Pass => text.push_str("/>\n"),
        Outcome::Unknown | Outcome::NotApplicable => {
            text.push_str(&format!("><skipped message=\"{summary}\"/></testcase>\n"));
        }
        Outcome::Fail => {
            text.push_str(&format!("><failure message=\"{summary}\">"));
            for evidence in &verdict.evidence {
                let line = format!("{}: {}\n", evidence.place(), evidence.text);
                text.push_str(&markup(&line));
            }
            let command = command(finding);
            text.push_str(&markup(&format!("to mend it: {command}\n")));
            text.push_str("</failure></testcase>\n");
        }
    }
}
