//! Drawings in SVG. Text has a fixed place, so it is cut to fit; all of it stands in the element's title.
//! Sizes are attributes, never `style`: the page's own policy forbids that.

use kubestile_rbac::escalation::Confidence;

use super::super::markup;
use crate::catalog::Stage;
use crate::paths::{Step, Way};
use crate::score::{Assessment, Finding, NEEDED};
use crate::verdict::Outcome;

const WIDTH: usize = 340;
/// Of a box, and of the arrow and words between two.
const BOX: usize = 30;
const GAP: usize = 66;
/// Left of the boxes, for arrows that pass some by.
const GUTTER: usize = 18;
/// Characters that fit.
const IN_BOX: usize = 40;
const BESIDE: usize = 46;

/// Who, step by step, to what; what the cut stops is marked.
pub(super) fn way(way: &Way, text: &mut String) {
    let last = way.steps.len();
    let height = (last + 1) * BOX + last * GAP + 2;
    let told: Vec<String> = way
        .steps
        .iter()
        .map(|s| format!("{}, {}", s.does, s.becomes))
        .collect();
    text.push_str(&format!(
        "<svg class=\"way\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}\">\n",
        markup(&format!("{}: {}", way.subject, told.join("; then ")))
    ));
    node(0, "who", &way.subject, text);
    for (index, step) in way.steps.iter().enumerate() {
        let class = if index + 1 == last { "end" } else { "mid" };
        arrows(index, step, text);
        node(index + 1, class, &step.becomes, text);
    }
    text.push_str("</svg>\n");
}

const fn top(index: usize) -> usize {
    index * (BOX + GAP) + 1
}

fn node(index: usize, class: &str, words: &str, text: &mut String) {
    let y = top(index);
    text.push_str(&format!(
        "<g class=\"{class}\"><title>{}</title><rect x=\"{GUTTER}\" y=\"{y}\" width=\"{}\" height=\"{BOX}\" rx=\"6\"/>\
         <text x=\"{}\" y=\"{}\">{}</text></g>\n",
        markup(words),
        WIDTH - GUTTER - 1,
        GUTTER + 10,
        y + 20,
        markup(&short(words, IN_BOX))
    ));
}

/// The arrows to a step's box from all that it stands on, and what is done.
fn arrows(index: usize, step: &Step, text: &mut String) {
    let (from, to) = (top(index) + BOX, top(index + 1));
    let sure = match step.confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    };
    let by = match &step.by[..] {
        [] => String::new(),
        [one] => format!(" · by {one}"),
        [one, rest @ ..] => format!(" · by {one} and {} more", rest.len()),
    };
    let all = format!(
        "{} ({}): {sure}; by {}",
        step.does,
        step.mitre,
        step.by.join(", ")
    );
    let cut = if step.cut { " cut" } else { "" };
    text.push_str(&format!(
        "<g class=\"step {sure}{cut}\"><title>{}</title>",
        markup(&all)
    ));
    for after in &step.after {
        match after == &index {
            true => text.push_str(&format!(
                "<path d=\"M{0} {from}V{1}\"/>",
                GUTTER + 14,
                to - 7
            )),
            false => {
                let (start, end, x) = (top(*after) + BOX / 2, to + BOX / 2, 4 + (after % 3) * 5);
                text.push_str(&format!(
                    "<path d=\"M{GUTTER} {start}H{x}V{end}H{GUTTER}\"/>"
                ));
            }
        }
    }
    if step.after.contains(&index) {
        let x = GUTTER + 14;
        text.push_str(&format!(
            "<path class=\"tip\" d=\"M{} {}l5 8 5-8z\"/>",
            x - 5,
            to - 8
        ));
    }
    if step.cut {
        let beside = step.after.first().map_or(0, |a| 4 + (a % 3) * 5);
        let (x, y) = match step.after.contains(&index) {
            true => (GUTTER + 6, from + 30),
            false => (beside.saturating_sub(8), from + 30),
        };
        text.push_str(&format!("<path class=\"bar\" d=\"M{x} {y}h16\"/>"));
    }
    let x = GUTTER + 30;
    let second = match step.cut {
        true => format!("✂ {sure}{by}"),
        false => format!("{sure}{by}"),
    };
    text.push_str(&format!(
        "<text x=\"{x}\" y=\"{}\">{}</text><text class=\"by\" x=\"{x}\" y=\"{}\">{}</text></g>\n",
        from + 27,
        markup(&short(step.does, BESIDE)),
        from + 45,
        markup(&short(&second, BESIDE))
    ));
}

fn short(words: &str, most: usize) -> String {
    if words.chars().count() <= most {
        return words.to_owned();
    }
    let kept: String = words.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// A bar for each stage: of all weight that applies, what passes, what is not decided, what fails.
pub(super) fn grades(assessment: &Assessment, text: &mut String) {
    text.push_str("<h2>Grade by stage</h2>\n<div class=\"grades\">\n");
    for stage in Stage::ALL {
        let weight = |outcome: Outcome| -> u32 {
            let mine = |f: &&Finding| f.stage == stage && f.verdict.outcome == outcome;
            assessment
                .findings
                .iter()
                .filter(mine)
                .map(|f| f.severity.weight())
                .sum()
        };
        let parts = [
            ("pass", weight(Outcome::Pass)),
            ("unknown", weight(Outcome::Unknown)),
            ("fail", weight(Outcome::Fail)),
        ];
        let total: u32 = parts.iter().map(|(_, w)| w).sum();
        let score = assessment
            .stages
            .iter()
            .find(|s| s.stage == stage)
            .map_or(0, |s| s.score);
        text.push_str(&format!(
            "<span>{stage} {}</span><svg class=\"bar\" viewBox=\"0 0 1000 20\" preserveAspectRatio=\"none\" \
             role=\"img\" aria-label=\"{score} % of the weight passes\">",
            stage.name()
        ));
        let mut x = 0;
        for (class, part) in parts {
            let width = (part * 1000).checked_div(total).unwrap_or(0);
            text.push_str(&format!(
                "<rect class=\"b-{class}\" x=\"{x}\" width=\"{width}\" height=\"20\"/>"
            ));
            x += width;
        }
        text.push_str(&format!(
            "<path d=\"M{0} 0V20\"/></svg><b>{score} %</b>\n",
            NEEDED * 10
        ));
    }
    text.push_str(&format!(
        "</div>\n<p class=\"soft\"><span class=\"key b-pass\"></span>passes <span class=\"key b-unknown\"></span>not \
         decided <span class=\"key b-fail\"></span>fails, by weight. The line is at {NEEDED} %, which a stage needs \
         beside its gates.</p>\n"
    ));
}
