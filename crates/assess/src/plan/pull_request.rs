//! A plan as the text of a pull request: what, why, how it was proved, who may notice, how it goes back.

use super::{Plan, Step};
use crate::catalog::control;
use crate::verdict::Change;

/// Markdown. Names from the cluster stand in code spans, and cannot end them.
pub fn body(plan: &Plan) -> String {
    let mut text = format!(
        "# From stage {} to stage {} ({})\n\nThe cluster at {} stands at stage {}. With these {} step(s) it stands at **stage {}**, as the assessor judges the changed snapshot.\n\n",
        plan.from,
        plan.predicted,
        plan.predicted.name(),
        code(&plan.server),
        plan.from,
        plan.steps.len(),
        plan.predicted
    );
    text.push_str("| step | control | what | controls that flip |\n|---|---|---|---|\n");
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            index + 1,
            step.control,
            cell(&step.text),
            flipped(step)
        ));
    }
    text.push_str(&flips(plan));
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&section(index + 1, step));
    }
    text.push_str(&by_hand(plan));
    text.push_str(&open(plan));
    text
}

/// What a step turns, in a cell.
fn flipped(step: &Step) -> String {
    match step.flips.is_empty() {
        true => format!("a part of {}", step.control),
        false => step.flips.join(", "),
    }
}

/// Every control that passes with the change and did not before, with what it asks for and by which step.
fn flips(plan: &Plan) -> String {
    let mut text = "\n## Controls that flip\n\n".to_owned();
    let steps = plan.steps.iter().enumerate();
    let all: Vec<(usize, &String)> = steps
        .flat_map(|(index, step)| step.flips.iter().map(move |id| (index + 1, id)))
        .collect();
    if all.is_empty() {
        text.push_str("None: the steps are parts of what their controls ask for.\n");
        return text;
    }
    text.push_str("| control | what passes then | by step |\n|---|---|---|\n");
    for (number, id) in all {
        let title = control(id).map_or("", |c| c.title);
        let gate = if is_gate(id) { " (gate)" } else { "" };
        text.push_str(&format!("| {id}{gate} | {} | {number} |\n", cell(title)));
    }
    text
}

fn is_gate(id: &str) -> bool {
    control(id).is_some_and(|c| c.gate)
}

fn by_hand(plan: &Plan) -> String {
    if plan.by_hand.is_empty() {
        return String::new();
    }
    let mut text = "\n## Not in this change: for a person\n\n".to_owned();
    for item in &plan.by_hand {
        text.push_str(&format!(
            "- {} ({}): {}\n",
            cell(&item.text),
            item.controls.join(", "),
            cell(&item.why)
        ));
        if !item.flips.is_empty() {
            text.push_str(&format!("  - would flip {}\n", item.flips.join(", ")));
        }
    }
    text
}

/// Gates that stay open, each with why: what the assessor says of it after all steps.
fn open(plan: &Plan) -> String {
    if plan.still_open.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## Gates still open up to stage {}\n\n", plan.aim);
    for id in &plan.still_open {
        let title = control(id).map_or("", |c| c.title);
        let why = plan.why_open.get(id).map_or("", String::as_str);
        text.push_str(&format!(
            "- {id} {}. Open because {}.",
            cell(title),
            cell(why)
        ));
        let hand = plan.by_hand.iter().find(|b| b.controls.contains(id));
        match hand {
            Some(item) => text.push_str(&format!(
                " To do by hand: {} ({})\n",
                cell(&item.text),
                cell(&item.why)
            )),
            None => text.push('\n'),
        }
    }
    text
}

fn section(number: usize, step: &Step) -> String {
    let found = control(&step.control);
    let mut text = format!("\n## {number}. {}: {}\n", step.control, cell(&step.text));
    if let Some(control) = found {
        text.push_str(&format!(
            "\n**Why.** {}. Otherwise: {}. ({})\n",
            control.requires,
            control.why,
            control.maps.join(", ")
        ));
    }
    text.push_str("\n**Changes**\n\n");
    for change in &step.changes {
        text.push_str(&format!("- {}\n", code(&change.command())));
    }
    for change in &step.changes {
        if let Change::Policy {
            content: Some(content),
            ..
        } = change
        {
            text.push_str(&format!("\n{}", block("cedar", content)));
        }
    }
    text.push_str("\n**Proof.** Made on a snapshot and judged again: ");
    text.push_str(&match step.flips.is_empty() {
        true => "a part of what the control asks for.\n".to_owned(),
        false => format!("{} pass(es) with it.\n", step.flips.join(", ")),
    });
    if let Some(replay) = &step.replay {
        text.push_str(&format!(
            "\n**Requests of late.** {}.\n",
            cell(&replay.words())
        ));
        for line in &replay.lines {
            text.push_str(&format!("- {}\n", cell(line)));
        }
    }
    text.push_str("\n**Who may notice.**");
    text.push_str(match step.blast.is_empty() {
        true => " Nobody that the snapshot shows.\n",
        false => " As it is now:\n\n",
    });
    for line in &step.blast {
        text.push_str(&format!("- {}\n", cell(line)));
    }
    text.push_str("\n**Rollback.** `kubestile advance rollback`, or:\n\n");
    for change in &step.rollback {
        text.push_str(&format!("- {}\n", code(&change.command())));
    }
    text
}

/// A block of code that nothing in it can end.
fn block(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
}

/// A code span that nothing in it can end.
fn code(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    match longest {
        0 => format!("`{text}`"),
        _ => format!("{fence} {text} {fence}"),
    }
}

/// Words in a line of a table: no markup of others, no end of the cell.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if c.is_control() => out.push(' '),
            '\\' | '`' | '|' | '<' | '>' | '[' | ']' | '*' | '_' | '@' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_markup() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(code("a\n# b"), "`a # b`");
        assert_eq!(cell("a|b <img> @team"), "a\\|b \\<img\\> \\@team");
        assert_eq!(cell("a\\|b `c"), "a\\\\\\|b \\`c");
    }
}
