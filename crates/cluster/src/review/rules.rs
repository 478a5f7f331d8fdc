//! The list of an account's rights, as facts that can be compared.

use std::collections::BTreeSet;

use kubestile_core::impersonate::{EXTRA_GRANT, EXTRA_REQUEST, EXTRA_SESSION};
use serde_json::Value;

use crate::account::{Mode, NAME, NAMESPACE, qualified};

/// One verb on one resource or path, and one name if names are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fact {
    verb: String,
    group: String,
    /// `pods/exec`, or a path.
    resource: String,
    name: Option<String>,
}

/// The facts of a SelfSubjectRulesReview, and whether it says that it is complete.
pub(super) fn facts(review: &Value) -> (BTreeSet<Fact>, bool) {
    let mut facts = BTreeSet::new();
    for rule in rules(review, "/status/resourceRules") {
        let names = words(rule, "resourceNames");
        let names: Vec<Option<String>> = match names.is_empty() {
            true => vec![None],
            false => names.into_iter().map(Some).collect(),
        };
        for verb in words(rule, "verbs") {
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    facts.extend(names.iter().map(|name| Fact {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    for rule in rules(review, "/status/nonResourceRules") {
        for verb in words(rule, "verbs") {
            facts.extend(words(rule, "nonResourceURLs").into_iter().map(|path| Fact {
                verb: verb.clone(),
                group: String::new(),
                resource: path,
                name: None,
            }));
        }
    }
    let incomplete = review
        .pointer("/status/incomplete")
        .and_then(Value::as_bool);
    (facts, incomplete == Some(false))
}

impl Fact {
    /// As a question's words: `get secrets`.
    pub(super) fn words(&self) -> String {
        let what = qualified(&self.resource, &self.group);
        match &self.name {
            Some(name) => format!("{} {what} {name}", self.verb),
            None => format!("{} {what}", self.verb),
        }
    }

    pub(super) fn impersonates_users(&self) -> bool {
        self.resource == "users"
            && matches!(self.verb.as_str(), "impersonate" | "impersonate:user-info")
    }

    /// A user that the account may be, if the rule names some.
    pub(super) fn user(&self) -> Option<&str> {
        match self.impersonates_users() {
            true => self.name.as_deref(),
            false => None,
        }
    }

    /// Whether the account has it on purpose, or every account of a cluster as it comes.
    pub(super) fn is_by_design(&self, mode: Option<Mode>, namespace: &str) -> bool {
        self.is_impersonation(mode) || self.is_own_token(namespace) || self.is_everybodys()
    }

    fn is_impersonation(&self, mode: Option<Mode>) -> bool {
        let constrained = mode == Some(Mode::Constrained);
        if self.verb.starts_with("impersonate-on:user-info:") {
            return constrained;
        }
        let verb = match constrained {
            true => "impersonate:user-info",
            false => "impersonate",
        };
        if self.verb != verb {
            return false;
        }
        match self.resource.as_str() {
            "users" | "uids" => true,
            // INVARIANT: a rule for groups names groups of ours, each by itself.
            "groups" => self
                .name
                .as_deref()
                .is_some_and(|name| name.starts_with("kubestile:")),
            resource => resource
                .strip_prefix("userextras/")
                .is_some_and(|key| [EXTRA_GRANT, EXTRA_REQUEST, EXTRA_SESSION].contains(&key)),
        }
    }

    fn is_own_token(&self, namespace: &str) -> bool {
        namespace == NAMESPACE
            && self.verb == "create"
            && self.group.is_empty()
            && self.resource == "serviceaccounts/token"
            && self.name.as_deref() == Some(NAME)
    }

    /// `system:basic-user`, `system:discovery`, `system:public-info-viewer` and
    /// `system:service-account-issuer-discovery`, which Kubernetes gives to everybody.
    fn is_everybodys(&self) -> bool {
        const PATHS: [&str; 15] = [
            "/api",
            "/api/*",
            "/apis",
            "/apis/*",
            "/healthz",
            "/livez",
            "/openapi",
            "/openapi/*",
            "/readyz",
            "/version",
            "/version/",
            "/.well-known/openid-configuration",
            "/.well-known/openid-configuration/",
            "/openid/v1/jwks",
            "/openid/v1/jwks/",
        ];
        const REVIEWS: [&str; 3] = [
            "selfsubjectaccessreviews",
            "selfsubjectreviews",
            "selfsubjectrulesreviews",
        ];
        (self.verb == "get" && PATHS.contains(&self.resource.as_str()))
            || (self.verb == "create" && REVIEWS.contains(&self.resource.as_str()))
    }
}

fn rules<'a>(review: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    review
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn words(rule: &Value, name: &str) -> Vec<String> {
    rule.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
