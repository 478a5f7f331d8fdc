//! `cargo xtask tidy`: taste as machine checks. Each check says what it found, where, and the rule.

mod dependencies;
mod sources;

use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace;

/// What the checks found.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<String>);

impl Findings {
    /// One more.
    pub(crate) fn add(&mut self, finding: impl Into<String>) {
        self.0.push(finding.into());
    }
}

/// Runs every check.
///
/// # Errors
/// If any of them found something.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let mut findings = Findings::default();
    dependencies::check(&root, &mut findings)?;
    sources::check(&root, &mut findings)?;
    policies_have_tests(&root, &mut findings)?;
    if findings.0.is_empty() {
        workspace::say("tidy: nothing found");
        return Ok(());
    }
    for finding in &findings.0 {
        workspace::say(finding);
    }
    bail!("tidy found {} thing(s)", findings.0.len())
}

/// Every policy has its tests beside it.
fn policies_have_tests(root: &Path, findings: &mut Findings) -> Result<()> {
    for file in workspace::files(&root.join("policies"))? {
        if file.extension().is_some_and(|e| e == "cedar") && !file.with_extension("md").exists() {
            findings.add(format!("{}: has no tests beside it (.md)", file.display()));
        }
    }
    Ok(())
}
