//! Policies that load but look like mistakes.

use kubestile_core::Obligation;
use serde::Serialize;

use crate::attributes::Needs;
use crate::load::{Effect, Loaded, PolicySet};

/// Forbids that every request of an action is judged by, before that is worth a warning.
const MAX_OPEN_FORBIDS: usize = 50;

/// What looks like a mistake, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What looks wrong, and what to do.
    pub text: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

impl PolicySet {
    /// Policies that can never match, and forbids that cost every request time.
    pub fn lint(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self
            .policies
            .iter()
            .filter_map(|policy| Some(warning(policy, self.never_matches(policy)?)))
            .collect();
        let unsatisfied = |policy: &Loaded| Some(warning(policy, wrong_satisfy(policy)?));
        warnings.extend(self.policies.iter().filter_map(unsatisfied));
        warnings.extend(self.open_forbids());
        warnings
    }

    fn never_matches(&self, policy: &Loaded) -> Option<String> {
        let id = policy.summary.id.as_str();
        if self.never_match.contains(id) {
            return Some(format!(
                "`{id}` can never match a request; correct or remove it"
            ));
        }
        if policy.scope.actions.is_empty() {
            return Some(format!("`{id}` is for no action; correct or remove it"));
        }
        for uid in &policy.literals {
            let name = uid.id().unescaped();
            let wrong = match uid.type_name().basename() {
                "JobFunction" => {
                    name.parse::<kubestile_core::JobFunction>().is_err()
                        || name.contains([':', '@'])
                }
                "Cluster" => name.parse::<kubestile_core::ClusterName>().is_err(),
                "Namespace" => !is_namespace(name),
                _ => false,
            };
            if wrong {
                return Some(format!(
                    "`{id}` names {uid}, which no request is in; write JobFunction::\"operator\", \
                     Cluster::\"prod\" or Namespace::\"prod/shop\""
                ));
            }
        }
        None
    }

    fn open_forbids(&self) -> Option<Warning> {
        let open = |policy: &&Loaded| {
            let scope = &policy.scope;
            policy.summary.effect == Effect::Forbid
                && scope.principal.is_none()
                && scope.place.is_none()
                && scope.resources.is_none()
        };
        let mut all = self.policies.iter().filter(open);
        let first = all.nth(MAX_OPEN_FORBIDS)?;
        let count = MAX_OPEN_FORBIDS + 1 + all.count();
        let text = format!(
            "{count} forbids are for any principal and any resource, and each takes time on every \
             request; begin their `when` with `resource.resource == \"…\"` or name whom they are for"
        );
        Some(warning(first, text))
    }
}

/// An approval that would change nothing, or that a refusal does not speak of.
fn wrong_satisfy(policy: &Loaded) -> Option<String> {
    let id = policy.summary.id.as_str();
    let named = policy.summary.satisfy.contains(&Obligation::Approval);
    let read = policy.needs.has(Needs::APPROVAL) || policy.needs.has(Needs::APPROVALS);
    match (policy.summary.effect, named, read) {
        (Effect::Forbid, true, false) => Some(format!(
            "`{id}` has `@satisfy(\"approval\")`, but an approval would change nothing; add \
             `unless {{ context.approval }}`"
        )),
        (Effect::Forbid, false, true) => Some(format!(
            "`{id}` is satisfied by an approval, but nobody is told; add `@satisfy(\"approval\")`"
        )),
        _ => None,
    }
}

fn is_namespace(id: &str) -> bool {
    id.split_once('/').is_some_and(|(cluster, namespace)| {
        cluster.parse::<kubestile_core::ClusterName>().is_ok()
            && namespace.parse::<kubestile_core::Namespace>().is_ok()
    })
}

fn warning(policy: &Loaded, text: String) -> Warning {
    Warning {
        file: policy.summary.file.clone(),
        line: policy.summary.line,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    fn lint(text: &str) -> Vec<Warning> {
        PolicySet::load(&[Source::new("a.cedar", text)])
            .unwrap()
            .lint()
    }

    #[test]
    fn finds_policies_that_cannot_match() {
        for dead in [
            "permit(principal, action, resource is Object) when { resource.resource == \"a\" && false };",
            "permit(principal, action == Action::\"discover\", resource is Object);",
            "permit(principal in JobFunction::\"operator:shop\", action, resource);",
            "permit(principal, action, resource in Namespace::\"shop\");",
        ] {
            let found = lint(&format!("@id(\"x\") @reason(\"a test\")\n{dead}"));
            assert_eq!(found.len(), 1, "{dead}: {found:?}");
            assert_eq!((found[0].file.as_str(), found[0].line), ("a.cedar", 1));
        }
        assert_eq!(
            lint("@id(\"x\") @reason(\"a test\") permit(principal, action, resource);"),
            []
        );
    }

    #[test]
    fn finds_approvals_that_change_nothing_and_those_that_nobody_is_told_of() {
        let forbid = |satisfy: &str, clause: &str| {
            let found = lint(&format!(
                "@id(\"x\") @reason(\"a test\") {satisfy} forbid(principal, action, resource) {clause};"
            ));
            found
                .into_iter()
                .map(|warning| warning.text)
                .collect::<Vec<_>>()
                .join("\n")
        };
        let (satisfy, unless) = ("@satisfy(\"approval\")", "unless { context.approval }");
        assert!(forbid(satisfy, "").contains("would change nothing"));
        assert!(forbid("", unless).contains("nobody is told"));
        assert_eq!(forbid(satisfy, unless), "");
        assert_eq!(
            forbid("@satisfy(\"mfa\")", "unless { context.assurance > 2 }"),
            ""
        );
    }

    #[test]
    fn finds_too_many_open_forbids() {
        let forbids = |n: usize| -> String {
            let one = |i| {
                format!(
                    "@id(\"f{i}\") @reason(\"a test\") forbid(principal, action, resource) when {{ context.sessionAge > {i} }};\n"
                )
            };
            (0..n).map(one).collect()
        };
        assert_eq!(lint(&forbids(50)), []);
        let found = lint(&forbids(60));
        assert_eq!(found.len(), 1);
        assert!(found[0].text.starts_with("60 forbids"), "{}", found[0].text);
    }
}
