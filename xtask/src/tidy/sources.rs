//! What the source files themselves must hold to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Findings;
use crate::workspace;

/// Longest file, tests included.
const LONGEST: usize = 800;
/// The median may not be above this.
const MEDIAN: usize = 200;

/// Proof types, and the only files that may make them.
const ASSERTIONS: [(&str, &[&str]); 3] = [
    ("Permit::assertion(", &["crates/policy/src/decide.rs"]),
    ("Receipt::assertion(", &["crates/store/src/audit/append.rs"]),
    (
        "VerifiedIdentity::assertion(",
        &["crates/authn/src/verify.rs"],
    ),
];

/// What pure code may not say.
const IMPURE: [&str; 9] = [
    "async fn",
    "SystemTime::now",
    "Instant::now",
    "std::fs",
    "std::net::Tcp",
    "std::env::",
    "std::process",
    "std::thread",
    "tokio::",
];

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let mut lengths = Vec::new();
    for path in tracked(root)? {
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
            continue;
        };
        let name = path.display().to_string();
        if name.ends_with(".rs") {
            lengths.push(text.lines().count());
            check_rust(&name, &text, findings);
        }
        no_machine_paths(&name, &text, findings);
    }
    lengths.sort_unstable();
    let at = |percent: usize| {
        lengths
            .get(lengths.len() * percent / 100)
            .copied()
            .unwrap_or(0)
    };
    workspace::say(&format!(
        "tidy: {} Rust files, median {} lines, p90 {}, longest {}",
        lengths.len(),
        at(50),
        at(90),
        lengths.last().copied().unwrap_or(0)
    ));
    if at(50) > MEDIAN {
        findings.add(format!("the median Rust file has more than {MEDIAN} lines"));
    }
    Ok(())
}

fn tracked(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(PathBuf::from)
        .collect())
}

fn check_rust(name: &str, text: &str, findings: &mut Findings) {
    let lines = text.lines().count();
    if lines > LONGEST {
        findings.add(format!("{name}: {lines} lines, more than {LONGEST}"));
    }
    let is_tidy = name.starts_with("xtask/src/tidy/");
    let code = before_tests(text);
    for (call, places) in ASSERTIONS {
        let made = code.contains(call) && !places.contains(&name) && !name.contains("/tests");
        if made && !is_tidy && !name.ends_with("tests.rs") {
            findings.add(format!("{name}: `{call}…)` only in {}", places.join(", ")));
        }
    }
    let pure = [
        "crates/core/src",
        "crates/policy/src",
        "crates/tlog/src",
        "crates/rbac/src",
        "crates/assess/src",
    ];
    if pure.iter().any(|p| name.starts_with(p)) && !name.ends_with("tests.rs") {
        for word in IMPURE {
            if code
                .lines()
                .any(|l| !l.trim_start().starts_with("//") && l.contains(word))
            {
                findings.add(format!("{name}: pure code may not say `{word}`"));
            }
        }
    }
    for mark in ["#[ignore", "#[should_panic"] {
        if text.contains(mark) && !is_tidy {
            findings.add(format!("{name}: `{mark}` hides a test"));
        }
    }
    for module in [
        "common", "util", "utils", "helpers", "shared", "types", "manager",
    ] {
        if name.ends_with(&format!("/{module}.rs")) || name.contains(&format!("/{module}/")) {
            findings.add(format!("{name}: `{module}` says nothing; name the concept"));
        }
    }
}

/// The part of a file before its `mod tests`.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Nothing in the repository names somebody's machine.
fn no_machine_paths(name: &str, text: &str, findings: &mut Findings) {
    if name.starts_with("xtask/src/tidy/") || name.ends_with(".sum") || name.ends_with(".lock") {
        return;
    }
    for mark in ["/root/", "/home/", "/work/main"] {
        if text.contains(mark) {
            findings.add(format!("{name}: names a machine's path (`{mark}…`)"));
        }
    }
}
