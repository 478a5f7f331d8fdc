//! The fuzz corpus and a fixed set of mutations of it, through the bodies that the fuzzers use.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use kubestile_testkit::fuzz::mutate::Mutator;
use kubestile_testkit::fuzz::{TARGETS, Target};

/// A parser that never accepts what the test could write down: a signature by a key nobody keeps.
const NEVER_ACCEPTS: &str = "renewal_proof";

#[test]
fn seeds_are_what_their_names_say() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        let mut kinds = BTreeSet::new();
        for (path, bytes) in seeds(target.name) {
            let accepted = (target.body)(&bytes);
            let name = path.file_name().unwrap().to_str().unwrap();
            let kind = name
                .split_once('-')
                .map_or(name, |(kind, _)| kind)
                .to_owned();
            match kind.as_str() {
                "valid" if !accepted => wrong.push(format!("{}/{name}: refused", target.name)),
                "hostile" if accepted => wrong.push(format!("{}/{name}: accepted", target.name)),
                "valid" | "hostile" | "odd" => {}
                _ => wrong.push(format!("{}/{name}: valid-, hostile- or odd-", target.name)),
            }
            kinds.insert(kind);
        }
        for kind in ["valid", "hostile"] {
            let is_exempt = kind == "valid" && target.name == NEVER_ACCEPTS;
            if !is_exempt && !kinds.contains(kind) {
                wrong.push(format!("{}: no {kind} seed", target.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_mutation_of_a_seed_is_mishandled() {
    std::thread::scope(|scope| {
        let half = TARGETS.len().div_ceil(2);
        for targets in TARGETS.chunks(half) {
            scope.spawn(|| targets.iter().for_each(mutate));
        }
    });
}

/// A target without a body, a corpus or its file would look tested and not be.
#[test]
fn every_target_is_whole() {
    let bodies: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    let files: BTreeSet<String> = names(&fuzz().join("fuzz_targets"))
        .into_iter()
        .map(|file| file.strip_suffix(".rs").expect("only targets").to_owned())
        .collect();
    assert_eq!(bodies, files, "fuzz/fuzz_targets and TARGETS");
    assert_eq!(
        bodies,
        names(&fuzz().join("corpus")),
        "fuzz/corpus and TARGETS"
    );
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &bodies {
        let file = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(
            file.contains(&format!("fuzz::run(\"{name}\", data)")),
            "{name}: another's body"
        );
        assert!(
            manifest.contains(&format!("\"fuzz_targets/{name}.rs\"")),
            "{name}: no [[bin]]"
        );
    }
}

fn mutate(target: &Target) {
    let seeds = seeds(target.name);
    let mut mutator = Mutator::new(0x6b75_6265_7374_696c);
    for round in 0..target.mutations {
        let (path, seed) = &seeds[mutator.below(seeds.len())];
        let (_, other) = &seeds[mutator.below(seeds.len())];
        let input = mutator.mutate(seed, other);
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.body)(&input)));
        if outcome.is_err() {
            let shown = String::from_utf8_lossy(&input[..input.len().min(2000)]).into_owned();
            panic!(
                "{}: mutation {round}, of {}, is mishandled: {shown:?}\nas hex: {}",
                target.name,
                path.display(),
                input
                    .iter()
                    .take(2000)
                    .map(|b| format!("{b:02x}"))
                    .collect::<String>()
            );
        }
    }
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    names(&folder)
        .into_iter()
        .map(|name| folder.join(name))
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
