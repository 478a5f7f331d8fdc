//! The documents name tests, files and crates: all of them must be there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 6] = [
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "README.md",
    "RELEASING.md",
    "fuzz/README.md",
];

/// Every "`name` in `path`" is a function in that file. A claim whose test was renamed or removed
/// must not go on sounding held.
#[test]
fn tests_that_documents_name_exist() {
    let mut named = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let words: Vec<&str> = text.split('`').collect();
        for window in words.windows(3) {
            let [name, between, path] = window else {
                continue;
            };
            let is_test = between.trim() == "in" && path.ends_with(".rs");
            if !is_test {
                continue;
            }
            named += 1;
            let file = root().join(path);
            assert!(file.exists(), "{document}: `{path}` is not there");
            let source = std::fs::read_to_string(file).unwrap();
            assert!(
                source.contains(&format!("fn {name}(")),
                "{document}: `{path}` has no `{name}`"
            );
        }
    }
    assert!(
        named >= 40,
        "only {named} tests are named: has the form changed?"
    );
}

/// Every path in backticks that looks like one of ours exists.
#[test]
fn paths_that_documents_name_exist() {
    const OURS: [&str; 9] = [
        "crates/",
        "tests/",
        "xtask/",
        "fuzz/",
        "policies/",
        "devcluster/",
        "deploy/",
        "docs/",
        ".ci/",
    ];
    for document in DOCUMENTS {
        for path in read(document).split('`').skip(1).step_by(2) {
            let is_path = OURS.iter().any(|start| path.starts_with(start))
                && !path.contains(['<', '*', ' ', '…']);
            assert!(
                !is_path || root().join(path).exists(),
                "{document}: `{path}` is not there"
            );
        }
    }
}

/// Ten invariants, each with a test or the plain words that it has none.
#[test]
fn every_invariant_names_its_test() {
    let text = read("ARCHITECTURE.md");
    let section = text.split("\n## Invariants\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    for number in 1..=10 {
        let start = section
            .find(&format!("\n{number}. **"))
            .expect("ten invariants");
        let rest = &section[start + 1..];
        let end = rest
            .find(&format!("\n{}. **", number + 1))
            .unwrap_or(rest.len());
        let item = &rest[..end];
        assert!(
            item.contains("` in `") || item.contains("No test yet"),
            "{item}"
        );
    }
}

fn read(document: &str) -> String {
    let path = root().join(document);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    // Blocks of code are not names.
    text.split("```").step_by(2).collect::<Vec<_>>().join("")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
