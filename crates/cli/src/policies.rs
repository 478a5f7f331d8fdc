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
    /// Directories of further ones.
    pub(crate) dirs: Vec<PathBuf>,
}

impl PolicyFiles {
    /// All policy files, in the order of their names.
    pub(crate) fn policies(&self) -> Outcome<Vec<Source>> {
        let mut sources = if self.base {
            base_sources()
        } else {
            Vec::new()
        };
        for dir in &self.dirs {
            sources.extend(read(dir, "cedar")?);
        }
        Ok(sources)
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

/// Loads these policies, or says all that is wrong.
pub(crate) fn load(sources: &[Source]) -> Outcome<PolicySet> {
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
