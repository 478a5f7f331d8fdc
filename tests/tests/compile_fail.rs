//! What must not compile: `forward` without its two proofs, forged proofs, printed secrets. Each file
//! of `compile_fail/` names the compiler's error that it must give, and no other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that the cases use.
const CRATES: [&str; 5] = [
    "kubestile_core",
    "kubestile_gateway",
    "hyper",
    "http",
    "serde_json",
];

#[test]
fn forged_proofs_and_printed_secrets_do_not_compile() {
    let libraries = build();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile_fail");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 9, "cases are missing");
    for case in cases {
        check(&case, &libraries);
    }
}

fn check(case: &Path, libraries: &BTreeMap<String, PathBuf>) {
    let text = std::fs::read_to_string(case).unwrap();
    let expected = text
        .lines()
        .next()
        .unwrap()
        .trim_start_matches("//@ ")
        .to_owned();
    let (passes, stderr) = compile(case, libraries);
    let name = case.display();
    if expected == "passes" {
        assert!(passes, "{name} must compile:\n{stderr}");
        return;
    }
    let code = expected
        .strip_prefix("error: ")
        .expect("`error: E…` or `passes`");
    assert!(!passes, "{name} must not compile");
    let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error[")).collect();
    let wanted = format!("error[{code}]");
    assert!(
        !errors.is_empty() && errors.iter().all(|e| e.starts_with(&wanted)),
        "{name} must fail with {code} and nothing else:\n{stderr}"
    );
}

fn compile(case: &Path, libraries: &BTreeMap<String, PathBuf>) -> (bool, String) {
    let out = tempfile::tempdir().unwrap();
    let mut rustc = Command::new("rustc");
    rustc.args([
        "--edition",
        "2024",
        "--crate-type",
        "lib",
        "--emit",
        "metadata",
    ]);
    rustc.arg("--out-dir").arg(out.path()).arg(case);
    for (name, file) in libraries {
        rustc
            .arg("--extern")
            .arg(format!("{name}={}", file.display()));
        let mut folder = std::ffi::OsString::from("dependency=");
        folder.push(file.parent().unwrap());
        rustc.arg("-L").arg(folder);
    }
    let output = rustc.output().expect("rustc runs");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Where cargo put the libraries that the cases use; they are built already, so this is quick.
fn build() -> BTreeMap<String, PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--workspace",
            "--message-format",
            "json",
            "--quiet",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut libraries = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(name) = message["target"]["name"].as_str() else {
            continue;
        };
        if !CRATES.contains(&name) {
            continue;
        }
        let files = message["filenames"].as_array().unwrap();
        let library = files
            .iter()
            .filter_map(|f| f.as_str())
            .find(|f| f.ends_with(".rlib"));
        if let Some(file) = library {
            libraries.insert(name.to_owned(), PathBuf::from(file));
        }
    }
    assert_eq!(libraries.len(), CRATES.len(), "{libraries:?}");
    libraries
}
