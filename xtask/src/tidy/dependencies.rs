//! Which crate may use which: the table in ARCHITECTURE.md against what cargo says, and what no crate
//! may use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Findings;

/// Crates that may do no IO, and all that they may depend on beside each other.
const PURE: [&str; 5] = ["core", "policy", "tlog", "rbac", "assess"];
const PURE_MAY_USE: [&str; 13] = [
    "serde",
    "serde_json",
    "thiserror",
    "uuid",
    "zeroize",
    "http",
    "time",
    "base64",
    "cedar-policy",
    "aws-lc-rs",
    "subtle",
    "cedar-policy-core",
    "miette",
];
/// A second crypto provider or TLS stack.
const BANNED: [&str; 5] = ["ring", "openssl", "openssl-sys", "native-tls", "serde_yaml"];
/// More packages than this are argued for first.
const LOCK_CEILING: usize = 420;

pub(super) fn check(root: &Path, findings: &mut Findings) -> Result<()> {
    let metadata = metadata(root)?;
    let actual = dependencies(&metadata);
    against_table(root, &actual, findings)?;
    purity(&actual, findings);
    banned(root, findings)?;
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))?;
    let packages = lock.matches("[[package]]").count();
    if packages > LOCK_CEILING {
        findings.add(format!(
            "Cargo.lock: {packages} packages, more than {LOCK_CEILING}"
        ));
    }
    Ok(())
}

fn metadata(root: &Path) -> Result<Metadata> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Crate → names of what it depends on at run time, ours without the prefix.
fn dependencies(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata
        .packages
        .iter()
        .filter_map(|package| {
            let name = package.name.strip_prefix("kubestile-")?;
            let used = package.dependencies.iter().filter(|d| d.kind.is_none());
            Some((name.to_owned(), used.map(|d| d.name.clone()).collect()))
        })
        .collect()
}

/// The part of `cargo metadata` that is looked at.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev` or `build`; none for what is there at run time.
    kind: Option<String>,
}

/// The table's rows read `| gateway | core, policy |`; `nothing of ours` stands for none.
fn against_table(
    root: &Path,
    actual: &BTreeMap<String, BTreeSet<String>>,
    findings: &mut Findings,
) -> Result<()> {
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let mut allowed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, may_use] = cells.as_slice() else {
            continue;
        };
        let Some(name) = name.strip_prefix('`').and_then(|n| n.strip_suffix('`')) else {
            continue;
        };
        allowed.insert(
            name,
            may_use.split(", ").map(|n| n.trim_matches('`')).collect(),
        );
    }
    for (name, used) in actual {
        if matches!(name.as_str(), "tests" | "devcluster" | "testkit") {
            continue;
        }
        let Some(may_use) = allowed.get(name.as_str()) else {
            findings.add(format!("ARCHITECTURE.md: no row for crate `{name}`"));
            continue;
        };
        for dependency in used.iter().filter_map(|d| d.strip_prefix("kubestile-")) {
            if !may_use.contains(dependency) {
                findings.add(format!(
                    "crates/{name}: may not use `{dependency}` (ARCHITECTURE.md)"
                ));
            }
        }
    }
    Ok(())
}

fn purity(actual: &BTreeMap<String, BTreeSet<String>>, findings: &mut Findings) {
    for name in PURE {
        for dependency in actual.get(name).into_iter().flatten() {
            let fine =
                dependency.starts_with("kubestile-") || PURE_MAY_USE.contains(&dependency.as_str());
            if !fine {
                findings.add(format!("crates/{name}: pure, may not use `{dependency}`"));
            }
        }
    }
}

/// What is built, not what is only named in the lock file.
fn banned(root: &Path, findings: &mut Findings) -> Result<()> {
    let output = Command::new("cargo")
        .args([
            "tree",
            "--workspace",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--locked",
        ])
        .args(["--format", "{p}"])
        .current_dir(root)
        .output()
        .context("cargo tree")?;
    ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    let built: BTreeSet<&str> = tree.lines().filter_map(|l| l.split(' ').next()).collect();
    for name in BANNED {
        if built.contains(name) {
            findings.add(format!(
                "Cargo.lock: `{name}` is built; one TLS and crypto provider only"
            ));
        }
    }
    Ok(())
}
