//! Which pipeline may do what: rules over the claims of a verified token. Pure.

use std::collections::BTreeMap;

use kubestile_core::identity::check_person_name;
use kubestile_core::{JobFunction, Timestamp, Ttl};
use serde::{Deserialize, Serialize};

use super::claims::Claims;
use crate::glob;

/// Rules at most.
const RULES: usize = 1024;
/// Claims of a rule at most.
const CLAIMS: usize = 32;
/// Claims that say which project a pipeline belongs to. A rule must bind one of them: without it, any
/// project on the same host would do.
const PROJECT: [&str; 4] = ["repository", "repository_id", "project_path", "project_id"];

/// What a pipeline may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PipelineRule {
    /// The configured name of the issuer.
    pub issuer: String,
    /// Claims and what each must be, exactly or as a pattern over the whole text (`*` does not cross
    /// `/`, `**` does). All must hold. `repository`, `repository_id`, `project_path` or `project_id`
    /// must be among them. (A name can be given to another project one day, an id cannot. In GitLab,
    /// `project_path` of a merge request from a fork is the fork's; `ref_protected: "true"` keeps
    /// branches out that everybody may push to.)
    #[serde(rename = "match")]
    pub claims: BTreeMap<String, String>,
    /// The name of the identity, with claims in braces: `ci-{repository}`. A `/` becomes a `+`.
    pub name: String,
    /// What it may do: `operator:shop@prod`.
    pub functions: Vec<JobFunction>,
    /// It lives at most this long, and never longer than the token. 60 to 86400.
    pub max_ttl_seconds: u32,
    /// Whether a person must approve it first. Default `false`.
    #[serde(default)]
    pub approval: bool,
    /// The audience that the token must be made out to, where the issuer has several. Default: any of
    /// them.
    #[serde(default)]
    pub audience: Option<String>,
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pipeline rule {number} (`{name}`): {reason}")]
pub struct RuleError {
    number: usize,
    name: String,
    reason: String,
}

impl RuleError {
    fn new(number: usize, rule: &PipelineRule, reason: String) -> Self {
        Self {
            number: number + 1,
            name: rule.name.chars().take(80).collect(),
            reason,
        }
    }
}

/// A rule that a token satisfies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Its place in the list, from 0.
    pub rule: usize,
    /// The name of the identity.
    pub name: String,
    /// What it may do.
    pub functions: Vec<JobFunction>,
    /// When it ends: the rule's time from now, or the token's own end if that is earlier.
    pub ends: Timestamp,
    /// Whether a person must approve it first.
    pub approval: bool,
}

/// Rules in order; the first that a token satisfies counts.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<PipelineRule>);

impl Rules {
    /// Checks rules against the configured names of issuers.
    ///
    /// # Errors
    /// [`RuleError`] for the first rule that cannot be used.
    pub fn new(rules: Vec<PipelineRule>, issuers: &[&str]) -> Result<Self, RuleError> {
        for (number, rule) in rules.iter().enumerate() {
            let checked = match number < RULES {
                true => check(rule, issuers),
                false => Err(format!("there are more than {RULES} rules")),
            };
            checked.map_err(|reason| RuleError::new(number, rule, reason))?;
        }
        apart(&rules)?;
        Ok(Self(rules))
    }

    /// The first rule that the token satisfies, if any. A rule whose name template cannot be filled in
    /// does not count.
    pub fn find(&self, claims: &Claims, now: Timestamp) -> Option<Match> {
        let rules = self.0.iter().enumerate();
        rules
            .filter(|(_, rule)| holds(rule, claims))
            .find_map(|(number, rule)| {
                let ends = now.plus(Ttl::from_secs(rule.max_ttl_seconds));
                Some(Match {
                    rule: number,
                    name: fill_in(&rule.name, claims)?,
                    functions: rule.functions.clone(),
                    ends: ends.min(claims.expires()),
                    approval: rule.approval,
                })
            })
    }
}

fn holds(rule: &PipelineRule, claims: &Claims) -> bool {
    let audience = |wanted: &String| wanted == claims.audience();
    let claim = |(name, pattern): (&String, &String)| {
        claims
            .get(name)
            .is_some_and(|text| glob::matches(pattern, text))
    };
    rule.issuer == claims.issuer()
        && rule.audience.as_ref().is_none_or(audience)
        && rule.claims.iter().all(claim)
}

/// The identity's name. It must be one that a person could have, and no two projects may have the
/// same: so a `/` becomes a `+`, which no project has in its name, and a value with a `+` is refused.
fn fill_in(template: &str, claims: &Claims) -> Option<String> {
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (claim, after) = after.split_once('}')?;
        let value = claims.get(claim)?;
        if value.contains('+') {
            return None;
        }
        name.push_str(before);
        name.push_str(&value.replace('/', "+"));
        rest = after;
    }
    name.push_str(rest);
    check_person_name(&name).ok()?;
    Some(name)
}

fn check(rule: &PipelineRule, issuers: &[&str]) -> Result<(), String> {
    if !issuers.contains(&rule.issuer.as_str()) {
        return Err(format!("no issuer is named `{}`", rule.issuer));
    }
    if rule.claims.len() > CLAIMS {
        return Err(format!("it has more than {CLAIMS} claims"));
    }
    for (claim, pattern) in &rule.claims {
        if pattern.is_empty() || pattern.len() > glob::PATTERN_LIMIT {
            return Err(format!("the pattern of `{claim}` is empty or too long"));
        }
    }
    if !PROJECT.iter().any(|claim| binds(rule, claim)) {
        return Err(
            "it must say which project: `repository: acme/shop` or `project_path: acme/shop`"
                .to_owned(),
        );
    }
    if rule.functions.is_empty() {
        return Err("it has no `functions`".to_owned());
    }
    if !(60..=86_400).contains(&rule.max_ttl_seconds) {
        return Err("`maxTtlSeconds` must be 60 to 86400".to_owned());
    }
    check_template(&rule.name)
}

/// `acme/shop` of one issuer is not `acme/shop` of another: names of different issuers begin
/// differently.
fn apart(rules: &[PipelineRule]) -> Result<(), RuleError> {
    let mut words: BTreeMap<&str, &str> = BTreeMap::new();
    for (number, rule) in rules.iter().enumerate() {
        let word = fixed(&rule.name);
        let other = words.iter().find(|(other, issuer)| {
            **issuer != rule.issuer && (word.starts_with(**other) || other.starts_with(word))
        });
        if let Some((_, issuer)) = other {
            let reason = format!("`name` must begin otherwise than those of issuer `{issuer}`");
            return Err(RuleError::new(number, rule, reason));
        }
        words.insert(word, &rule.issuer);
    }
    Ok(())
}

/// What stands before the first claim of a template.
fn fixed(template: &str) -> &str {
    template.split('{').next().unwrap_or_default()
}

/// Whether a rule ties a claim to an owner at least: `acme/*`, not `*` and not `*/shop`.
fn binds(rule: &PipelineRule, claim: &str) -> bool {
    let Some(pattern) = rule.claims.get(claim) else {
        return false;
    };
    let owner = pattern.split('/').next().unwrap_or_default();
    match claim.ends_with("_id") {
        true => glob::is_literal(pattern),
        false => owner != pattern && !owner.is_empty() && glob::is_literal(owner),
    }
}

/// A name starts with something fixed, so that no claim makes it the name of a person.
fn check_template(template: &str) -> Result<(), String> {
    if fixed(template).len() < 3 {
        return Err("`name` must start with a fixed word: `ci-{repository}`".to_owned());
    }
    let filled = template.replace(['{', '}'], "");
    let filled = filled.replace('_', "");
    if check_person_name(&filled).is_err()
        || template.matches('{').count() != template.matches('}').count()
    {
        return Err("`name` has characters that a name cannot have".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
