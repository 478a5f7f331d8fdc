//! A plan as the text of a pull request: what, why, how it was proved, who may notice, how it goes back.

use super::{Plan, Step};
use crate::catalog::control;

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
    text.push_str("| step | control | what | closes |\n|---|---|---|---|\n");
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            index + 1,
            step.control,
            cell(&step.text),
            step.flips.join(", ")
        ));
    }
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&section(index + 1, step));
    }
    if !plan.by_hand.is_empty() {
        text.push_str("\n## Not in this change: for a person\n\n");
        for item in &plan.by_hand {
            text.push_str(&format!(
                "- {} ({}): {}\n",
                cell(&item.text),
                item.controls.join(", "),
                cell(&item.why)
            ));
        }
    }
    if !plan.still_open.is_empty() {
        text.push_str(&format!(
            "\n## Gates still open up to stage {}\n\n",
            plan.aim
        ));
        for id in &plan.still_open {
            let requires = control(id).map_or("", |c| c.requires);
            text.push_str(&format!("- {id}: {requires}\n"));
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
    text.push_str("\n**Proof.** Made on a snapshot and judged again: ");
    text.push_str(&match step.flips.is_empty() {
        true => "a part of what the control asks for.\n".to_owned(),
        false => format!("{} pass(es) with it.\n", step.flips.join(", ")),
    });
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
