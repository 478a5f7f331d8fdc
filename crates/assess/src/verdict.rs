//! What a control concludes: an outcome, what was seen, and the smallest change that would turn it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::snapshot::{Absence, ObjectRef, PolicyEffect};

/// Whether a control holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be decided with what was collected. Never counted as a pass.
    Unknown,
    /// It does not apply to this cluster.
    NotApplicable,
}

impl Outcome {
    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not applicable",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How much a control weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Weighs 1.
    Low,
    /// Weighs 3.
    Medium,
    /// Weighs 6.
    High,
    /// Weighs 10.
    Critical,
}

impl Severity {
    /// Its weight in the score of a stage.
    pub const fn weight(self) -> u32 {
        match self {
            Self::Low => 1,
            Self::Medium => 3,
            Self::High => 6,
            Self::Critical => 10,
        }
    }

    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What kind of thing was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Kubeconfig and kuberc files.
    Kubeconfig,
    /// Objects of the API.
    Object,
    /// Flags of the control plane.
    Flag,
    /// Configuration files of the API server.
    Config,
    /// The API server's audit log.
    AuditLog,
    /// The gate's log and state.
    Gate,
    /// A live probe.
    Probe,
}

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of thing it is.
    pub class: Class,
    /// Where: an object (`clusterrolebinding/x`) or a file's path.
    pub object: String,
    /// Which field of it: `subjects[1]`, `users[admin].token`, `--anonymous-auth`.
    pub field: String,
    /// On which line, where there are lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it shows.
    pub text: String,
}

impl Evidence {
    /// Of an object of the API.
    pub fn object(object: &ObjectRef, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            class: Class::Object,
            object: object.to_string(),
            field: field.into(),
            line: None,
            text: text.into(),
        }
    }

    /// Of a file or another thing with a name.
    pub fn named(
        class: Class,
        object: impl Into<String>,
        field: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            class,
            object: object.into(),
            field: field.into(),
            line: None,
            text: text.into(),
        }
    }

    /// On this line; 0 stands for an unknown one.
    #[must_use]
    pub fn at(mut self, line: u32) -> Self {
        self.line = (line > 0).then_some(line);
        self
    }

    /// `object:line field`, as a person looks for it.
    pub fn place(&self) -> String {
        let line = self.line.map(|l| format!(":{l}")).unwrap_or_default();
        match self.field.is_empty() {
            true => format!("{}{line}", self.object),
            false => format!("{}{line} {}", self.object, self.field),
        }
    }
}

/// A change that can be made by a program, shown, and undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// An object goes.
    Delete(ObjectRef),
    /// Fields of an object change: a JSON Patch (RFC 6902) that tests what it removes.
    Patch {
        /// Which object.
        object: ObjectRef,
        /// The patch.
        patch: Value,
    },
    /// Labels of an object are set.
    Label {
        /// Which object.
        object: ObjectRef,
        /// The label.
        key: String,
        /// Its value.
        value: String,
    },
    /// An object is made or brought to this state.
    Apply {
        /// The object.
        manifest: Value,
    },
    /// A flag of the API server is set, or removed if there is no value.
    Flag {
        /// Its name without dashes.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// A configuration file of the API server is written, and the flag that names it is set.
    File {
        /// The flag's name without dashes.
        flag: String,
        /// Where the API server reads the file.
        path: String,
        /// Its content.
        content: Value,
    },
    /// A policy file of the gate on this machine is written, or removed if it has no content.
    Policy {
        /// Where the gate reads it.
        path: String,
        /// Its content.
        content: Option<String>,
        /// What the gate shows of its policies then, as its own engine judges them.
        shows: Box<PolicyEffect>,
    },
    /// A command on this machine.
    Command(String),
}

impl Change {
    /// Whether a shell runs its command as it stands. A new object has to be in a file first, and a flag is no command.
    pub const fn runs(&self) -> bool {
        match self {
            Self::Delete(_) | Self::Patch { .. } | Self::Label { .. } | Self::Command(_) => true,
            Self::Apply { .. } | Self::Flag { .. } | Self::File { .. } | Self::Policy { .. } => {
                false
            }
        }
    }

    /// The command that makes it.
    pub fn command(&self) -> String {
        match self {
            Self::Delete(object) => format!("kubectl delete {}", target(object)),
            // A JSON Patch is a list, a merge patch an object.
            Self::Patch { object, patch } => format!(
                "kubectl patch {} --type={} -p {}",
                target(object),
                if patch.is_array() { "json" } else { "merge" },
                quoted(&patch.to_string())
            ),
            Self::Label { object, key, value } => {
                format!("kubectl label --overwrite {} {key}={value}", target(object))
            }
            Self::Apply { manifest } => {
                let text = |path: &str| manifest.pointer(path).and_then(Value::as_str);
                format!(
                    "kubectl apply -f - # {} {}, as `kubestile advance plan -o patches` writes it",
                    text("/kind").unwrap_or_default(),
                    quoted(text("/metadata/name").unwrap_or_default())
                )
            }
            Self::Flag {
                name,
                value: Some(value),
            } => {
                format!("kube-apiserver: set --{name}={value}")
            }
            Self::Flag { name, value: None } => format!("kube-apiserver: remove --{name}"),
            Self::File { flag, path, .. } => {
                format!("kube-apiserver: write {path}, set --{flag}={path}")
            }
            Self::Policy {
                path,
                content: Some(_),
                ..
            } => format!("the gate: write {path}"),
            Self::Policy { path, .. } => format!("the gate: remove {path}"),
            Self::Command(command) => command.clone(),
        }
    }
}

/// What stands before a [command](Change::command): `$` if a shell runs it, `fix:` if it only says what to do.
pub fn prompt(command: &str) -> &'static str {
    const WORDS: [&str; 3] = ["kube-apiserver: ", "the gate: ", "kubectl apply -f - #"];
    match WORDS.iter().any(|w| command.starts_with(w)) {
        true => "fix:",
        false => "$",
    }
}

fn target(object: &ObjectRef) -> String {
    let namespace = match object.namespace.is_empty() {
        true => String::new(),
        false => format!(" -n {}", quoted(&object.namespace)),
    };
    format!("{} {}{namespace}", object.kind, quoted(&object.name))
}

/// A word for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The smallest change that would make a control pass, or the first step towards it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// What to do, in words.
    pub text: String,
    /// What a program can do of it, in order; none if a person has to.
    pub changes: Vec<Change>,
}

impl Fix {
    /// In words alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            changes: Vec::new(),
        }
    }

    /// With changes that a program can make.
    pub fn changes(text: impl Into<String>, changes: Vec<Change>) -> Self {
        Self {
            text: text.into(),
            changes,
        }
    }

    /// The one command to show.
    pub fn command(&self) -> Option<String> {
        self.changes.first().map(Change::command)
    }
}

/// What a control concludes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it holds.
    pub outcome: Outcome,
    /// Why, in one line.
    pub summary: String,
    /// What was seen, most telling first.
    pub evidence: Vec<Evidence>,
    /// Evidence that there was beside it, beyond what is kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_evidence: usize,
    /// How sure this is, in percent.
    pub confidence: u8,
    /// What would turn it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
const fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// Evidence kept of one verdict.
const KEPT: usize = 100;

impl Verdict {
    fn new(outcome: Outcome, summary: impl Into<String>) -> Self {
        Self {
            outcome,
            summary: summary.into(),
            evidence: Vec::new(),
            more_evidence: 0,
            confidence: 100,
            fix: None,
        }
    }

    /// It holds.
    pub fn pass(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Pass, summary)
    }

    /// It does not hold.
    pub fn fail(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Fail, summary)
    }

    /// It cannot be decided, and why.
    pub fn unknown(summary: impl Into<String>) -> Self {
        Self::new(Outcome::Unknown, summary)
    }

    /// It does not apply, and why.
    pub fn not_applicable(summary: impl Into<String>) -> Self {
        Self::new(Outcome::NotApplicable, summary)
    }

    /// Fails with this evidence, or passes if there is none.
    pub fn of(evidence: Vec<Evidence>, pass: &str, fail: impl FnOnce(usize) -> String) -> Self {
        match evidence.len() {
            0 => Self::pass(pass),
            n => Self::fail(fail(n)).because(evidence),
        }
    }

    /// With what was seen.
    #[must_use]
    pub fn because(mut self, mut evidence: Vec<Evidence>) -> Self {
        self.more_evidence = evidence.len().saturating_sub(KEPT);
        evidence.truncate(KEPT);
        self.evidence = evidence;
        self
    }

    /// With one thing that was seen.
    #[must_use]
    pub fn seen(self, evidence: Evidence) -> Self {
        self.because(vec![evidence])
    }

    /// With what would turn it, if it does not hold.
    #[must_use]
    pub fn mend(mut self, fix: impl FnOnce() -> Fix) -> Self {
        if matches!(self.outcome, Outcome::Fail | Outcome::Unknown) && self.fix.is_none() {
            self.fix = Some(fix());
        }
        self
    }

    /// How sure this is, in percent.
    #[must_use]
    pub const fn sure(mut self, percent: u8) -> Self {
        self.confidence = percent;
        self
    }
}

/// A verdict, or what was missing to reach one.
pub type Judged = Result<Verdict, Undecided>;

/// Why there is no verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided(pub String);

impl From<&Absence> for Undecided {
    fn from(absence: &Absence) -> Self {
        Self(absence.text.clone())
    }
}

impl From<Absence> for Undecided {
    fn from(absence: Absence) -> Self {
        Self(absence.text)
    }
}

/// Not decided, for this reason.
///
/// # Errors
/// Always.
pub fn undecided(reason: impl Into<String>) -> Judged {
    Err(Undecided(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_a_shell() {
        let object = ObjectRef::new("rolebinding", "shop", "a'b");
        assert_eq!(
            Change::Delete(object).command(),
            r"kubectl delete rolebinding 'a'\''b' -n shop"
        );
        assert_eq!(quoted("kubeadm:cluster-admins"), "kubeadm:cluster-admins");
        assert_eq!(quoted("$(x)"), "'$(x)'");
        assert_eq!(quoted(""), "''");
        assert_eq!(prompt("kubectl delete rolebinding x -n shop"), "$");
        for words in ["kube-apiserver: set --a=b", "the gate: write /x.cedar"] {
            assert_eq!(prompt(words), "fix:");
        }
    }

    #[test]
    fn evidence_is_bounded_and_counted() {
        let one = Evidence::named(Class::Gate, "o", "", "t");
        let verdict = Verdict::of(vec![one; 130], "", |n| format!("{n}"));
        assert_eq!(
            (
                verdict.evidence.len(),
                verdict.more_evidence,
                verdict.summary.as_str()
            ),
            (100, 30, "130")
        );
    }
}
