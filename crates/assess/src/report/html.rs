//! One page that needs nothing else: no resource is fetched, and its own policy forbids it. Style and script are
//! allowed by their hashes, so nothing that a name of the cluster smuggled in would be one.

mod draw;

use super::{FIRST, command, first, kind_of, markup};
use crate::catalog::control;
use crate::paths::{Way, Ways};
use crate::score::{Assessment, Finding, StageScore};
use crate::snapshot::{Absence, ObjectRef};
use crate::verdict::{Change, Outcome};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Ways that are drawn.
pub const DRAWN: usize = 24;
/// Controls in the table, and places shown of each.
const ROWS: usize = 500;
const PLACES: usize = 25;

/// The page. `ways` are those of [`DRAWN`], or why there are none; `sha256` gives the hash of a text in base64.
pub fn page(
    assessment: &Assessment,
    ways: &Result<Ways, Absence>,
    sha256: fn(&str) -> String,
) -> String {
    let title = format!("{}: stage {}", assessment.cluster, assessment.stage);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; \
         script-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        sha256(STYLE),
        sha256(SCRIPT),
        markup(&title)
    );
    head(assessment, &mut text);
    stairs(assessment, &mut text);
    matters(assessment, &mut text);
    draw::grades(assessment, &mut text);
    up(ways, &mut text);
    remarks(assessment, &mut text);
    table(assessment, &mut text);
    text.push_str(&format!(
        "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ));
    text
}

fn head(assessment: &Assessment, text: &mut String) {
    let count = |outcome| {
        let all = assessment.findings.iter();
        all.filter(|f| f.verdict.outcome == outcome).count()
    };
    text.push_str(&format!(
        "<h1>{}: stage {}, {}</h1>\n<p class=\"soft\">{} · {} · taken {}<br>\
         {} controls pass, {} fail, {} could not be decided and so do not pass</p>\n",
        markup(&assessment.cluster),
        assessment.stage,
        assessment.stage.name(),
        markup(&assessment.server),
        markup(&kind_of(assessment)),
        assessment.taken,
        count(Outcome::Pass),
        count(Outcome::Fail),
        count(Outcome::Unknown)
    ));
}

fn stairs(assessment: &Assessment, text: &mut String) {
    text.push_str("<section class=\"stairs\" aria-label=\"The five stages\">\n");
    for score in &assessment.stages {
        step(assessment, score, text);
    }
    text.push_str("</section>\n");
}

fn step(assessment: &Assessment, score: &StageScore, text: &mut String) {
    let here = score.stage == assessment.stage;
    let class = match (here, score.stage < assessment.stage) {
        (true, _) => " here",
        (false, true) => " done",
        (false, false) => "",
    };
    let flag = match here {
        true => "<span class=\"flag\">you are here</span>",
        false => "",
    };
    text.push_str(&format!(
        "<div class=\"step s{0}{class}\">{flag}<b>{0} {1}</b>\
         <span class=\"soft\">{2} of {3} gates</span>\
         <span class=\"soft\">{4} pass · {5} fail · {6} unknown</span>\
         <span class=\"soft\">{7} % of its weight</span>\
         <svg class=\"bar\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"b-here\" width=\"{7}\" height=\"6\"/></svg></div>\n",
        score.stage,
        score.name,
        score.gates_passed,
        score.gates,
        score.passed,
        score.failed,
        score.unknown,
        score.score
    ));
}

fn matters(assessment: &Assessment, text: &mut String) {
    text.push_str("<h2>What matters most</h2>\n<ol class=\"first\">\n");
    for finding in first(assessment, FIRST) {
        text.push_str(&format!(
            "<li><b>{}{} {}</b><br>",
            finding.control,
            if finding.gate { " ★" } else { "" },
            markup(&finding.verdict.summary)
        ));
        if let Some(evidence) = finding.verdict.evidence.first() {
            text.push_str(&format!(
                "<span class=\"place\">{}</span><br><span class=\"soft\">{}</span>",
                markup(&evidence.place()),
                markup(&evidence.text)
            ));
        }
        if let Some(fix) = &finding.verdict.fix {
            text.push_str(&format!("<br>To mend it: {}", markup(&fix.text)));
        }
        let command = markup(&command(finding));
        text.push_str(&format!("<code class=\"cmd\">{command}</code></li>\n"));
    }
    text.push_str("</ol>\n");
}

/// Changes of one finding that the table shows.
const CHANGES: usize = 20;

/// What would mend it: in words, the one command to start with, and what else is to change.
fn mend(finding: &Finding, text: &mut String) {
    let Some(fix) = &finding.verdict.fix else {
        return;
    };
    text.push_str(&format!("<br>To mend it: {}", markup(&fix.text)));
    let shown = command(finding);
    let others = fix.changes.iter().map(Change::command);
    let all = std::iter::once(shown.clone()).chain(others.filter(|c| *c != shown));
    for command in all.take(CHANGES) {
        let command = markup(&command);
        text.push_str(&format!("<code class=\"cmd\">{command}</code>"));
    }
}

/// The ways up, drawn.
fn up(ways: &Result<Ways, Absence>, text: &mut String) {
    text.push_str("<h2>Ways up</h2>\n");
    let ways = match ways {
        Ok(ways) => ways,
        Err(absence) => {
            text.push_str(&format!("<p>Not known: {}</p>\n", markup(&absence.text)));
            return;
        }
    };
    if ways.ways.is_empty() {
        text.push_str("<p>Nobody below the administrators has a way to become one.</p>\n");
        return;
    }
    text.push_str(
        "<p class=\"soft\">How somebody who is no administrator could come to own everything: the surest way of each. \
         Lines are whole where a step is certain, dashed where it is likely, dotted where it is possible. \
         <span class=\"cutkey\">✂</span> marks the steps that fail without the fewest bindings to take away.</p>\n\
         <div class=\"ways\">\n",
    );
    for way in ways.ways.iter().take(DRAWN) {
        card(way, text);
    }
    text.push_str("</div>\n");
    let more = ways.more + ways.ways.len().saturating_sub(DRAWN);
    if more > 0 {
        text.push_str(&format!(
            "<p>and {more} more: <code>kubestile rbac paths</code></p>\n"
        ));
    }
}

fn card(way: &Way, text: &mut String) {
    text.push_str(&format!(
        "<article><h3>{} <span class=\"soft\">to</span> {}</h3>\n",
        markup(&way.subject),
        markup(&way.reaches)
    ));
    draw::way(way, text);
    match &way.cut {
        None => text.push_str("<p class=\"soft\">No binding can be taken away that closes it.</p>"),
        Some(cut) => {
            text.push_str("<p class=\"soft\">What closes it, for all who are in the binding:</p>");
            for command in cut.iter().filter_map(|b| delete(b)) {
                text.push_str(&format!("<code class=\"cmd\">{}</code>", markup(&command)));
            }
        }
    }
    text.push_str("</article>\n");
}

/// Of `RoleBinding shop/devs`.
fn delete(binding: &str) -> Option<String> {
    let (kind, name) = binding.split_once(' ')?;
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let object = ObjectRef::new(&kind.to_ascii_lowercase(), namespace, name);
    Some(Change::Delete(object).command())
}

fn remarks(assessment: &Assessment, text: &mut String) {
    if assessment.exceptions.is_empty() {
        return;
    }
    text.push_str("<h2>Exceptions that need a look</h2>\n<ul>\n");
    for remark in &assessment.exceptions {
        text.push_str(&format!(
            "<li><b>{}</b> <code>{}</code>: {}</li>\n",
            markup(&remark.control),
            markup(&remark.object),
            markup(&remark.text)
        ));
    }
    text.push_str("</ul>\n");
}

fn table(assessment: &Assessment, text: &mut String) {
    text.push_str(
        "<h2>All controls</h2>\n<div class=\"filters\">\
         <input id=\"words\" type=\"search\" placeholder=\"Search (press /)\" aria-label=\"Search\">\
         <select id=\"outcome\" aria-label=\"Outcome\"><option value=\"\">every outcome</option>\
         <option value=\"fail\">fail</option><option value=\"unknown\">unknown</option>\
         <option value=\"pass\">pass</option>\
         <option value=\"not-applicable\">not applicable</option></select>\
         <select id=\"stage\" aria-label=\"Stage\"><option value=\"\">every stage</option>\
         <option>0</option><option>1</option><option>2</option><option>3</option><option>4</option></select>\
         <span id=\"count\" class=\"soft\" role=\"status\"></span></div>\n\
         <table>\n<thead><tr><th>Control</th><th>Outcome</th><th class=\"hide\">Weight</th>\
         <th>What was seen</th></tr></thead>\n<tbody>\n",
    );
    for finding in assessment.findings.iter().take(ROWS) {
        row(finding, text);
    }
    text.push_str("</tbody>\n</table>\n");
    let more = assessment.findings.len().saturating_sub(ROWS);
    if more > 0 {
        text.push_str(&format!(
            "<p>and {more} more: <code>kubestile assess -o json</code></p>\n"
        ));
    }
}

fn row(finding: &Finding, text: &mut String) {
    let verdict = &finding.verdict;
    let class = verdict.outcome.word().replace(' ', "-");
    text.push_str(&format!(
        "<tr data-outcome=\"{class}\" data-stage=\"{}\"><td>{}{}</td><td><span class=\"tag {class}\">{}</span></td>\
         <td class=\"hide soft\">{}</td><td><details><summary><b>{}</b><br>{}</summary>",
        finding.stage,
        finding.control,
        if finding.gate { " ★" } else { "" },
        verdict.outcome,
        finding.severity.word(),
        markup(&finding.title),
        markup(&verdict.summary)
    ));
    if let Some(control) = control(&finding.control) {
        text.push_str(&format!(
            "<p class=\"soft\">Passes if: {}.<br>Without it: {}.<br>{}</p>",
            markup(control.requires),
            markup(control.why),
            markup(&control.maps.join(" · "))
        ));
    }
    if !verdict.evidence.is_empty() {
        text.push_str("<ul>");
        for evidence in verdict.evidence.iter().take(PLACES) {
            text.push_str(&format!(
                "<li><span class=\"place\">{}</span><br>{}</li>",
                markup(&evidence.place()),
                markup(&evidence.text)
            ));
        }
        text.push_str("</ul>");
    }
    let more = verdict.more_evidence + verdict.evidence.len().saturating_sub(PLACES);
    if more > 0 {
        text.push_str(&format!(
            "<p>and {more} more: <code>kubestile assess explain {}</code></p>",
            finding.control
        ));
    }
    mend(finding, text);
    text.push_str("</details></td></tr>\n");
}
