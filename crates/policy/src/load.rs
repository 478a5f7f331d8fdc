//! Loading policies: parsed, checked and validated as a whole, or not at all.

mod annotations;
mod limits;
mod problem;

use std::collections::{HashMap, HashSet};
use std::fmt;

use cedar_policy::{EntityUid, Schema, ValidationMode, Validator};
use cedar_policy_core::ast::Expr;
use kubestile_core::{ActionKind, Obligation, PolicyId, PolicyRef};
use serde::Serialize;

use crate::attributes::Needs;
use crate::check;
use crate::compile;
use crate::remedy::Candidates;
use crate::scope::Scope;
use crate::slice::Index;
use crate::source::{SCHEMA, Source};
use crate::vocabulary::Vocabulary;

pub use problem::{LoadError, Problem};

/// Policies that stand in the files of one set, at most: what a load may cost is bounded.
const MAX_POLICIES: usize = 100_000;

/// Whether a policy permits or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids, whatever else permits.
    Forbid,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        })
    }
}

/// A policy as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySummary {
    /// Its `@id`.
    pub id: PolicyId,
    /// Its `@reason`.
    pub reason: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Its `@satisfy`: what would satisfy it. Empty for permits and for forbids that nothing satisfies.
    pub satisfy: Vec<Obligation>,
    /// Its `@approvals`: how many people must approve; 0 where an approval does not satisfy it.
    pub approvals: u8,
    /// Its `@remedy`: what the person can do about a refusal.
    pub remedy: Option<String>,
    /// The file that it stands in.
    pub file: String,
    /// The line that it begins on, from 1.
    pub line: usize,
}

impl PolicySummary {
    /// As decisions name it.
    pub fn reference(&self) -> PolicyRef {
        PolicyRef {
            id: self.id.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// A policy ready to be judged.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) summary: PolicySummary,
    pub(crate) cedar: cedar_policy::Policy,
    /// When it matches, for the resources of its scope: see [`compile::condition`].
    pub(crate) condition: Expr,
    pub(crate) scope: Scope,
    pub(crate) needs: Needs,
    /// The entities that it names.
    pub(crate) literals: Vec<EntityUid>,
}

/// Policies that were loaded and validated together.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) policies: Vec<Loaded>,
    pub(crate) index: Index,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) candidates: Candidates,
    pub(crate) never_match: HashSet<String>,
    version: String,
}

impl PolicySet {
    /// Loads the `.cedar` files among `sources`; `.md` files are tests and are passed over.
    ///
    /// # Errors
    /// Every problem of every file, each with its place and what to do about it. Then nothing is loaded.
    pub fn load(sources: &[Source]) -> Result<Self, LoadError> {
        let schema: Schema = SCHEMA.parse().map_err(|error| LoadError::schema(&error))?;
        let actions = schema
            .action_entities()
            .map_err(|error| LoadError::schema(&error))?;
        let mut loading = Loading::default();
        for source in sources {
            loading.file(source);
        }
        loading.validate(&schema);
        loading.finish()?;

        let members = |uid: &EntityUid| members(&actions, uid);
        let policies: Vec<Loaded> = loading
            .policies
            .into_iter()
            .map(|parsed| parsed.into_loaded(members))
            .collect();
        let named = policies.iter().flat_map(|p| p.literals.iter().cloned());
        let vocabulary = Vocabulary::new(named, &actions)
            .ok_or_else(|| LoadError::schema(&"it lacks an entity type that requests need"))?;
        Ok(Self {
            index: Index::new(&policies, &vocabulary),
            candidates: Candidates::new(&policies),
            vocabulary,
            never_match: loading.never_match,
            version: version(sources),
            policies,
        })
    }

    /// A short digest of the schema and of all policy files, in lower-case hex: the same policies have
    /// the same version, whatever the order of the files.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What of a request's circumstances (`context`) any of the policies looks at, sorted by name.
    pub fn context(&self) -> impl Iterator<Item = &'static str> {
        let looked_at = self
            .policies
            .iter()
            .fold(Needs::NONE, |all, p| all.and(p.needs));
        let mut names: Vec<_> = looked_at.names("context").collect();
        names.sort_unstable();
        names.into_iter()
    }

    /// The policies, in the order of the files.
    pub fn policies(&self) -> impl Iterator<Item = PolicySummary> {
        self.policies.iter().map(|policy| policy.summary.clone())
    }
}

/// The kinds that an action, or an action group, stands for.
fn members(actions: &cedar_policy::Entities, uid: &EntityUid) -> Vec<ActionKind> {
    let is_member = |entity: &cedar_policy::Entity| {
        entity.uid() == *uid || actions.is_ancestor_of(uid, &entity.uid())
    };
    let names: HashSet<String> = actions
        .iter()
        .filter(|entity| is_member(entity))
        .map(|entity| entity.uid().id().unescaped().to_owned())
        .collect();
    ActionKind::ALL
        .iter()
        .copied()
        .filter(|kind| names.contains(kind.as_str()))
        .collect()
}

fn version(sources: &[Source]) -> String {
    let mut texts: Vec<&Source> = sources.iter().filter(|s| s.is_policies()).collect();
    texts.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    // Lengths first, so that no two lists of files give the same bytes.
    for text in std::iter::once(SCHEMA).chain(texts.iter().flat_map(|s| [s.name.as_str(), &s.text]))
    {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finish();
    digest
        .as_ref()
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What has been read so far, with all that is wrong with it.
#[derive(Default)]
struct Loading {
    policies: Vec<Parsed>,
    problems: Vec<Problem>,
    never_match: HashSet<String>,
    /// Where each id stands.
    seen: HashMap<String, (String, usize)>,
    texts: HashMap<String, String>,
}

/// A policy that was parsed and keeps the rules of this crate.
struct Parsed {
    summary: PolicySummary,
    cedar: cedar_policy::Policy,
    condition: Expr,
    clauses: check::Clauses,
}

impl Parsed {
    fn into_loaded(self, members: impl Fn(&EntityUid) -> Vec<ActionKind>) -> Loaded {
        Loaded {
            scope: Scope::of(&self.cedar, self.clauses.resources, members),
            needs: self.clauses.needs,
            literals: self.cedar.entity_literals(),
            condition: self.condition,
            summary: self.summary,
            cedar: self.cedar,
        }
    }
}

impl Loading {
    fn file(&mut self, source: &Source) {
        if source.is_tests() || (source.name.ends_with(".cedarschema") && source.text == SCHEMA) {
            return;
        }
        if !source.is_policies() {
            let text = "is neither a policy file (`.cedar`) nor a test (`.md`), and the schema is part of \
                        the program; take it out of the folder";
            self.problems.push(Problem::new(&source.name, 1, text));
            return;
        }
        if let Some((line, text)) = limits::exceeded(&source.text) {
            self.problems.push(Problem::new(&source.name, line, text));
            return;
        }
        if let Some(line) = limits::hidden(&source.text) {
            let text = "has a character that cannot be seen; take it out, or write it as `\\u{…}`";
            self.problems.push(Problem::new(&source.name, line, text));
            return;
        }
        let set = match source.text.parse::<cedar_policy::PolicySet>() {
            Ok(set) => set,
            Err(errors) => {
                self.problems.extend(problem::of_parsing(source, &errors));
                return;
            }
        };
        for template in set.templates() {
            let text = "uses a template slot (`?principal`, `?resource`); write out whom it is for";
            let line = problem::Places::new(&source.text).line_of(&template.to_cedar());
            self.problems.push(Problem::new(&source.name, line, text));
        }
        let mut places = problem::Places::new(&source.text);
        for policy in set.policies() {
            let line = places.line_of(&policy.to_cedar().unwrap_or_default());
            self.policy(source, line, policy);
        }
        self.texts.insert(source.name.clone(), source.text.clone());
    }

    fn policy(&mut self, source: &Source, line: usize, policy: &cedar_policy::Policy) {
        let mut problems = Vec::new();
        let summary = annotations::read(policy, &source.name, line, &mut problems);
        let mut condition = policy.as_ref().condition();
        let mut clauses = check::Clauses::default();
        match policy.to_pst() {
            Ok(pst) => {
                match check::clauses(pst.body()) {
                    Ok(checked) => clauses = checked,
                    Err(found) => problems.extend(found),
                }
                let guard = check::guard(pst.body());
                if let Some((quick, template)) = compile::condition(pst.body(), guard.as_ref()) {
                    clauses.needs = check::needs(&template);
                    condition = quick;
                }
            }
            Err(error) => problems.push(format!("cannot be analysed: {error}")),
        }
        let name = summary.as_ref().map_or("this policy", |s| s.id.as_str());
        for text in problems {
            self.problems
                .push(Problem::new(&source.name, line, format!("`{name}` {text}")));
        }
        let Some(summary) = summary else { return };
        let id = summary.id.as_str().to_owned();
        if let Some((file, first)) = self.seen.get(&id) {
            let text =
                format!("`{id}` is the id of the policy at {file}:{first} too; give it another");
            self.problems.push(Problem::new(&source.name, line, text));
            return;
        }
        self.seen.insert(id.clone(), (source.name.clone(), line));
        self.policies.push(Parsed {
            cedar: policy.new_id(cedar_policy::PolicyId::new(id)),
            summary,
            condition,
            clauses,
        });
    }

    /// Validates all policies together, strictly.
    fn validate(&mut self, schema: &Schema) {
        if self.policies.len() > MAX_POLICIES {
            let text = format!("more than {MAX_POLICIES} policies; load fewer");
            self.problems.push(Problem::new("policies", 1, text));
            return;
        }
        let set =
            cedar_policy::PolicySet::from_policies(self.policies.iter().map(|p| p.cedar.clone()));
        let set = match set {
            Ok(set) => set,
            Err(error) => {
                self.problems
                    .push(Problem::new("policies", 1, error.to_string()));
                return;
            }
        };
        let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        for error in result.validation_errors() {
            let (file, line) = self.place(error.policy_id(), error);
            self.problems
                .push(Problem::new(&file, line, problem::sentence(error)));
        }
        for warning in result.validation_warnings() {
            use cedar_policy::ValidationWarning as W;
            match warning {
                W::ImpossiblePolicy(_) | W::InvalidActionApplication(_) => {
                    self.never_match.insert(warning.policy_id().to_string());
                }
                // Letters that look alike, or that are not shown: what a reader sees is not what is
                // judged.
                other => {
                    let (file, line) = self.place(other.policy_id(), other);
                    self.problems
                        .push(Problem::new(&file, line, problem::sentence(other)));
                }
            }
        }
    }

    /// The file and line that a finding of the validator points at.
    fn place(
        &self,
        id: &cedar_policy::PolicyId,
        found: &dyn miette::Diagnostic,
    ) -> (String, usize) {
        let id: &str = id.as_ref();
        let Some((file, first)) = self.seen.get(id) else {
            return ("policies".to_owned(), 1);
        };
        let text = self.texts.get(file).map_or("", String::as_str);
        let line = problem::line_of_label(text, found).unwrap_or(*first);
        (file.clone(), line)
    }

    fn finish(&mut self) -> Result<(), LoadError> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(LoadError::new(std::mem::take(&mut self.problems)))
    }
}

#[cfg(test)]
mod tests;
