//! `kubestile man`, and the command line's reference in Markdown: both from the same definitions as
//! `--help`.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command};

use crate::args;
use crate::exit::{CODES, During as _, Outcome};
use crate::output;

/// Writes a manual page for every command.
pub(super) fn man(dir: &Path) -> Outcome {
    std::fs::create_dir_all(dir).during_with(|| format!("cannot make `{}`", dir.display()))?;
    clap_mangen::generate_to(args::command(&[]), dir)
        .during_with(|| format!("cannot write to `{}`", dir.display()))?;
    output::talk(&format!(
        "manual pages written; to read one: man {}/kubestile.1",
        dir.display()
    ));
    Ok(())
}

/// Prints the reference.
pub(super) fn reference() -> Outcome {
    output::data(&markdown())
}

/// The reference of the whole command line.
pub(crate) fn markdown() -> String {
    let mut command = args::command(&[]);
    command.build();
    let mut text = String::from(
        "# Command line\n\n<!-- Made from the program's own definitions: `kubestile generate-docs`. -->\n\n",
    );
    let _infallible = writeln!(text, "```text\n{CODES}\n```\n");
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        describe(sub, &mut text);
    }
    text
}

fn describe(command: &Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let _infallible = writeln!(text, "## {name}\n\n{about}.\n");
    let subs: Vec<&Command> = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set())
        .collect();
    // With and without a command under it, like `assess`.
    if subs.is_empty() || !command.is_subcommand_required_set() {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
        let _infallible = writeln!(text, "```text\n{usage}\n```\n");
        arguments(command, text);
    }
    if let Some(more) = command.get_after_help() {
        let _infallible = writeln!(text, "```text\n{more}\n```\n");
    }
    for sub in subs {
        describe(sub, text);
    }
}

fn arguments(command: &Command, text: &mut String) {
    let shown = |a: &&Arg| !a.is_hide_set() && a.get_id() != "help" && a.get_id() != "version";
    let rows: Vec<String> = command.get_arguments().filter(shown).map(row).collect();
    if rows.is_empty() {
        return;
    }
    text.push_str("| argument | |\n|---|---|\n");
    for row in rows {
        text.push_str(&row);
        text.push('\n');
    }
    text.push('\n');
}

fn row(argument: &Arg) -> String {
    let mut names = Vec::new();
    if let Some(short) = argument.get_short() {
        names.push(format!("-{short}"));
    }
    if let Some(long) = argument.get_long() {
        names.push(format!("--{long}"));
    }
    let values: Vec<&str> = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|v| v.as_str())
        .collect();
    let takes = argument.get_action().takes_values();
    let value = if takes {
        values.join(" ")
    } else {
        String::new()
    };
    let name = if names.is_empty() {
        value
    } else {
        format!("{} {value}", names.join(", "))
    };
    let mut help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let choices: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|v| !v.is_hide_set() && takes)
        .map(|v| format!("`{}`", v.get_name()))
        .collect();
    if !choices.is_empty() {
        help.push_str(&format!(": {}", choices.join(", ")));
    }
    let defaults: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|v| format!("`{}`", v.to_string_lossy()))
        .collect();
    if !defaults.is_empty() && takes {
        help.push_str(&format!(" [default: {}]", defaults.join(" ")));
    }
    if let Some(variable) = argument.get_env() {
        help.push_str(&format!(" [environment: `{}`]", variable.to_string_lossy()));
    }
    format!("| `{}` | {} |", name.trim(), help.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1 cargo test -p kubestile-cli` writes it anew.
    #[test]
    fn the_reference_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, markdown()).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == markdown(),
            "docs/reference/cli.md is out of date: run `UPDATE=1 cargo test -p kubestile-cli`"
        );
    }

    #[test]
    fn there_is_a_manual_page_for_every_command() {
        let dir = tempfile::tempdir().unwrap();
        man(dir.path()).unwrap();
        for page in ["kubestile.1", "kubestile-up.1", "kubestile-audit-verify.1"] {
            assert!(dir.path().join(page).is_file(), "{page}");
        }
    }
}
