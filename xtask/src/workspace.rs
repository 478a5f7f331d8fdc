//! Where things are in this repository, and how tasks speak and run programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the repository.
///
/// # Errors
/// If this program was built somewhere else.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here
        .parent()
        .context("xtask lies in the repository")?
        .to_owned())
}

/// A program that `cargo build --workspace` has made, beside this one.
///
/// # Errors
/// If it is not there.
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("no path of this program")?;
    let binary = own.with_file_name(name);
    ensure!(
        binary.exists(),
        "{} is missing: cargo build --workspace",
        binary.display()
    );
    Ok(binary)
}

/// All files below `folder`, in order; none if it does not exist.
///
/// # Errors
/// If a folder cannot be read.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A line of talk, on stderr.
#[expect(clippy::print_stderr, reason = "the one place where tasks talk")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// Runs a program in the repository's root, after saying so.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    say(&format!("$ {program} {}", args.join(" ")));
    let status = Command::new(program)
        .args(args)
        .current_dir(root()?)
        .status()
        .with_context(|| format!("`{program}` could not be started"))?;
    ensure!(status.success(), "`{program} {}` failed", args.join(" "));
    Ok(())
}
