//! Policy files on disk, read as a whole.

use std::path::{Path, PathBuf};

use kubestile_policy::{PolicySet, Source, base_sources, base_tests};

use crate::exit::{During as _, Fail, Outcome};
use crate::files;

/// Files that are read from one directory, at most.
const FILES: usize = 4096;
/// Directories below one another, at most.
const DEPTH: usize = 8;

/// Where policies come from.
#[derive(Debug, Clone)]
pub(crate) struct PolicyFiles {
    /// Whether those that come with Kubestile apply.
    pub(crate) base: bool,
    /// Ids of those whose place one of the same id in a directory takes.
    pub(crate) replace: Vec<String>,
    /// Directories of further ones.
    pub(crate) dirs: Vec<PathBuf>,
}

impl PolicyFiles {
    /// All policy files, in the order of their names.
    pub(crate) fn policies(&self) -> Outcome<Vec<Source>> {
        let mut sources = if self.base { self.kept()? } else { Vec::new() };
        for dir in &self.dirs {
            sources.extend(read(dir, "cedar")?);
        }
        Ok(sources)
    }

    /// The policies that come with Kubestile, without those that are replaced.
    fn kept(&self) -> Outcome<Vec<Source>> {
        let mut kept = base_sources();
        for id in &self.replace {
            let before = kept.len();
            kept.retain(|source| source.name != file_of(id));
            if kept.len() == before {
                return Err(Fail::config(format!(
                    "`{id}` cannot be replaced: no policy that comes with Kubestile has this id"
                ))
                .hint("`kubestile policy list` names them"));
            }
        }
        Ok(kept)
    }

    /// All test files.
    pub(crate) fn tests(&self) -> Outcome<Vec<Source>> {
        let mut sources = if self.base { base_tests() } else { Vec::new() };
        for dir in &self.dirs {
            sources.extend(read(dir, "md")?);
        }
        Ok(sources)
    }

    /// Loads all policies, or says all that is wrong.
    pub(crate) fn load(&self) -> Outcome<PolicySet> {
        load(&self.policies()?)
    }
}

/// Loads these policies, or says all that is wrong. One that comes with Kubestile is replaced, and never only left
/// out: other policies and people's expectations rest on it.
pub(crate) fn load(sources: &[Source]) -> Outcome<PolicySet> {
    let set = load_any(sources)?;
    let all = base_sources();
    if !sources.iter().any(|source| all.contains(source)) {
        return Ok(set);
    }
    let gone = all.iter().filter(|base| !sources.contains(base));
    for id in gone.filter_map(|base| id_of(&base.name)) {
        if !set.policies().any(|policy| policy.id.as_str() == id) {
            return Err(Fail::config(format!(
                "no directory has a policy with the id `{id}`, which is to be replaced"
            )));
        }
    }
    Ok(set)
}

/// The file of a policy that comes with Kubestile.
fn file_of(id: &str) -> String {
    format!("base/{id}.cedar")
}

fn id_of(file: &str) -> Option<&str> {
    file.strip_prefix("base/")?.strip_suffix(".cedar")
}

fn load_any(sources: &[Source]) -> Outcome<PolicySet> {
    PolicySet::load(sources).map_err(|error| {
        let text = error.to_string();
        let mut lines = text.lines().filter(|l| !l.trim().is_empty());
        let first = lines
            .next()
            .unwrap_or("the policies do not load")
            .to_owned();
        lines.fold(Fail::config(first), |fail, line| fail.hint(line.trim()))
    })
}

/// The files with this ending in a directory and those below it, hidden ones left out.
fn read(dir: &Path, ending: &str) -> Outcome<Vec<Source>> {
    let mut paths = Vec::new();
    collect(dir, ending, DEPTH, &mut paths)?;
    paths.sort();
    let source = |path: PathBuf| {
        let name = path
            .strip_prefix(dir)
            .unwrap_or(&path)
            .display()
            .to_string();
        Ok(Source::new(name, files::read_existing(&path)?))
    };
    paths.into_iter().map(source).collect()
}

fn collect(dir: &Path, ending: &str, depth: usize, found: &mut Vec<PathBuf>) -> Outcome {
    let cannot = || format!("cannot read the policy directory `{}`", dir.display());
    for entry in std::fs::read_dir(dir).during_with(cannot)? {
        let path = entry.during_with(cannot)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if hidden {
            // Among them `..data` of a mounted ConfigMap, which its files are links into.
            continue;
        }
        if path.is_dir() {
            if depth == 0 {
                return Err(Fail::config(format!(
                    "`{}` is nested too deep",
                    path.display()
                )));
            }
            collect(&path, ending, depth - 1, found)?;
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
        if found.len() > FILES {
            return Err(Fail::config(format!(
                "`{}` has more than {FILES} files",
                dir.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kubestile_policy::mdtest;

    use super::*;

    const REPLACED: [&str; 3] = [
        "secrets-are-for-admins",
        "secret-lists-need-approval",
        "secret-writes-need-approval",
    ];

    fn helm(replace: &[&str]) -> PolicyFiles {
        PolicyFiles {
            base: true,
            replace: replace.iter().map(|id| (*id).to_owned()).collect(),
            dirs: vec![concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/helm").into()],
        }
    }

    /// Its own tests, and all of the base pack, which are of the replaced policies too.
    #[test]
    fn the_pack_for_helm_does_what_its_tests_say() {
        let files = helm(&REPLACED);
        let report = mdtest::run(&files.load().unwrap(), &files.tests().unwrap());
        assert!(report.is_good(), "{report}");
    }

    #[test]
    fn a_base_policy_is_replaced_and_never_only_left_out() {
        let said = |files: &PolicyFiles| files.load().unwrap_err().message().to_owned();
        let mut left_out = helm(&REPLACED);
        left_out.dirs.clear();
        let why = said(&left_out);
        assert!(
            why.contains("no directory has a policy with the id `secret"),
            "{why}"
        );
        let why = said(&helm(&["discovery", "secrets-are-for-admin"]));
        assert!(
            why.contains("`secrets-are-for-admin` cannot be replaced"),
            "{why}"
        );
        // What is not to be replaced is not: the id is there twice.
        let why = said(&helm(&REPLACED[..2]));
        assert!(!why.is_empty());
        assert!(left_out.policies().unwrap().len() < base_sources().len());
    }

    #[test]
    fn without_the_base_pack_nothing_is_missed() {
        let nothing = PolicyFiles {
            base: false,
            replace: Vec::new(),
            dirs: Vec::new(),
        };
        assert_eq!(nothing.load().unwrap().policies().count(), 0);
    }
}
