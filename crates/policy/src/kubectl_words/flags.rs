//! The flags of kubectl that say something about the request.

use kubestile_core::action::Impersonates;

use super::WordsError;

/// Flags that take a value, by their long names.
const VALUED: &[&str] = &[
    "address",
    "as",
    "as-group",
    "cascade",
    "chunk-size",
    "cluster",
    "container",
    "context",
    "copy-to",
    "cpu-percent",
    "duration",
    "field-manager",
    "field-selector",
    "filename",
    "for",
    "from",
    "from-literal",
    "grace-period",
    "group",
    "image",
    "label-columns",
    "limits",
    "max",
    "min",
    "namespace",
    "output",
    "overrides",
    "patch",
    "pod-running-timeout",
    "port",
    "raw",
    "replicas",
    "request-timeout",
    "requests",
    "resource-version",
    "restart",
    "revision",
    "role",
    "clusterrole",
    "serviceaccount",
    "selector",
    "since",
    "since-time",
    "sort-by",
    "subresource",
    "tail",
    "target",
    "target-port",
    "timeout",
    "to-revision",
    "type",
    "user",
    "verb",
    "resource",
];

/// Flags that take none.
const BOOLEAN: &[&str] = &[
    "all",
    "all-containers",
    "all-namespaces",
    "attach",
    "delete-emptydir-data",
    "follow",
    "force",
    "ignore-daemonsets",
    "ignore-not-found",
    "no-headers",
    "now",
    "overwrite",
    "prefix",
    "previous",
    "quiet",
    "rm",
    "server-side",
    "share-processes",
    "show-labels",
    "stdin",
    "timestamps",
    "tty",
    "wait",
    "watch",
    "watch-only",
];

/// Arguments and flags of one command.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// What is no flag, before `--`.
    pub(super) arguments: Vec<String>,
    /// What stands after `--`.
    pub(super) rest: Vec<String>,
    flags: Vec<(String, String)>,
}

impl Line {
    pub(super) fn parse(verb: &str, words: &[&str]) -> Result<Self, WordsError> {
        let mut line = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            if word == "--" {
                line.rest = words.map(str::to_owned).collect();
                break;
            }
            if let Some(flag) = word.strip_prefix("--") {
                line.long(flag, &mut words)?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty()) {
                line.short(verb, letters, &mut words)?;
            } else {
                line.arguments.push(word.to_owned());
            }
        }
        Ok(line)
    }

    fn long<'w>(
        &mut self,
        flag: &str,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), WordsError> {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let value = match value {
            _ if !VALUED.contains(&name) && !BOOLEAN.contains(&name) && name != "dry-run" => {
                return Err(unknown(&format!("--{name}")));
            }
            Some(value) => value,
            None if VALUED.contains(&name) => words.next().ok_or_else(|| without_value(flag))?,
            None => "true",
        };
        self.flags.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// `-n shop`, `-nshop`, `-it`.
    fn short<'w>(
        &mut self,
        verb: &str,
        letters: &str,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), WordsError> {
        let mut chars = letters.chars();
        while let Some(letter) = chars.next() {
            let name = long_name(verb, letter).ok_or_else(|| unknown(&format!("-{letter}")))?;
            if BOOLEAN.contains(&name) {
                self.flags.push((name.to_owned(), "true".to_owned()));
                continue;
            }
            let glued: String = chars.by_ref().collect();
            let value = match glued.strip_prefix('=').unwrap_or(&glued) {
                "" => words.next().ok_or_else(|| without_value(name))?.to_owned(),
                value => value.to_owned(),
            };
            self.flags.push((name.to_owned(), value));
        }
        Ok(())
    }

    /// The same line without its first argument.
    pub(super) fn without_first(&self) -> Self {
        Self {
            arguments: self.arguments.iter().skip(1).cloned().collect(),
            rest: self.rest.clone(),
            flags: self.flags.clone(),
        }
    }

    /// The last value of a flag, as in kubectl.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// `dryRun=All` where the API server is to do as if.
    pub(super) fn dry_run(&self) -> Result<Vec<(&'static str, String)>, WordsError> {
        match self.value("dry-run") {
            None | Some("none") => Ok(Vec::new()),
            Some("server") => Ok(vec![("dryRun", "All".to_owned())]),
            Some(_) => Err(WordsError::new(
                "with `--dry-run=client` kubectl sends nothing that is judged",
            )),
        }
    }

    pub(super) fn impersonates(&self) -> Option<Impersonates> {
        let groups = self.flags.iter().filter(|(name, _)| name == "as-group");
        Some(Impersonates {
            user: self.value("as")?.to_owned(),
            groups: groups.map(|(_, group)| group.clone()).collect(),
        })
    }
}

/// What a letter stands for, which depends on the command.
fn long_name(verb: &str, letter: char) -> Option<&'static str> {
    let name = match (verb, letter) {
        ("logs", 'f') => "follow",
        ("logs", 'p') => "previous",
        (_, 'f') => "filename",
        (_, 'p') => "patch",
        (_, 'n') => "namespace",
        (_, 'A') => "all-namespaces",
        (_, 'l') => "selector",
        (_, 'L') => "label-columns",
        (_, 'c') => "container",
        (_, 'o') => "output",
        (_, 'w') => "watch",
        (_, 'i') => "stdin",
        (_, 't') => "tty",
        (_, 'q') => "quiet",
        _ => return None,
    };
    Some(name)
}

fn unknown(flag: &str) -> WordsError {
    WordsError::new(format!(
        "the flag `{flag}` is not known here; leave it out, or write the request as method and path"
    ))
}

fn without_value(flag: &str) -> WordsError {
    WordsError::new(format!("the flag `{flag}` needs a value"))
}
