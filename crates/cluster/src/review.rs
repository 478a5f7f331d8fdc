//! What the account can do, asked of the API server itself.
//!
//! The gate refuses to serve a cluster in which its account can do more than it should. What it can do
//! is asked in two ways: a table of rights that nobody but an administrator needs
//! (SelfSubjectAccessReview, which every authorizer answers), and the list of all its rights
//! (SelfSubjectRulesReview, which may be incomplete) less what every authenticated account has.
//!
//! Not counted as excess, because plain RBAC cannot leave it out: acting under any *user name*
//! (see [`account`](crate::account)).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::account::Mode;
use crate::account::probe::{self, Outcome};
use crate::call::Call;
use crate::error::CallError;
use crate::upstream::Upstream;

mod question;
mod rules;

use question::{Question, everything, forbidden, mode_questions, needed};
use rules::{Fact, facts};

/// What a review found. Both lists are empty for an account as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Rights that the account should not have, in words that a setting can name:
    /// `get secrets`, `impersonate groups system:masters`. The word `everything` stands alone.
    pub excess: Vec<String>,
    /// Rights without which the gate cannot work.
    pub missing: Vec<String>,
    /// How the account impersonates, if it can.
    pub mode: Option<Mode>,
}

impl Review {
    /// The excess that a setting does not allow by name. The gate serves the cluster only if there is none.
    pub fn excess_beyond<'a>(&'a self, allowed: &[String]) -> Vec<&'a str> {
        self.excess
            .iter()
            .filter(|right| !allowed.contains(right))
            .map(String::as_str)
            .collect()
    }
}

/// Asks what the account behind `upstream` can do: some seventy small calls.
///
/// # Errors
/// [`CallError`] if the API server does not answer: then nothing is known, which is not "nothing found".
pub async fn check(upstream: &Upstream) -> Result<Review, CallError> {
    if can(upstream, &everything()).await? {
        return Ok(Review {
            excess: vec!["everything".to_owned()],
            missing: Vec::new(),
            mode: None,
        });
    }
    let mode = mode(upstream).await?;
    let own = own_facts(upstream).await?;
    let mut excess = granted(upstream, forbidden(mode)).await?;
    excess.extend(unexpected(&own, &shared_facts(upstream).await?, mode));
    let wanted = needed(mode.unwrap_or(Mode::Legacy));
    let had = granted(upstream, wanted.clone()).await?;
    let mut missing: Vec<String> = wanted
        .iter()
        .map(Question::words)
        .filter(|words| !had.contains(words))
        .collect();
    // Of users the names are not known here; that there is a rule for some is.
    if own.complete && !own.all().any(Fact::impersonates_users) {
        missing.push("impersonate users".to_owned());
    }
    // Rights are words until the API server acts on them.
    if let Some(mode) = mode {
        let name = own.all().find_map(Fact::user).unwrap_or(probe::NOBODY);
        match probe::once(upstream, mode, name).await? {
            Outcome::Works => {}
            Outcome::Unsupported(reason) | Outcome::Refused(reason) => {
                missing.push(format!("act as a person ({reason})"));
            }
        }
    }
    Ok(Review {
        excess: excess.into_iter().collect(),
        missing,
        mode,
    })
}

/// Which verb the account impersonates with; both is constrained, and the plain one is excess.
async fn mode(upstream: &Upstream) -> Result<Option<Mode>, CallError> {
    for mode in [Mode::Constrained, Mode::Legacy] {
        if has_mode(upstream, mode).await? {
            return Ok(Some(mode));
        }
    }
    Ok(None)
}

/// Whether the account has this mode's rights.
///
/// # Errors
/// [`CallError`] if the API server does not answer.
pub(crate) async fn has_mode(upstream: &Upstream, mode: Mode) -> Result<bool, CallError> {
    for question in mode_questions(mode) {
        if can(upstream, &question).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those of `questions` that are answered with yes, in words.
async fn granted(
    upstream: &Upstream,
    questions: Vec<Question>,
) -> Result<BTreeSet<String>, CallError> {
    const AT_ONCE: usize = 4;
    let answers = stream::iter(questions).map(|question| async move {
        let yes = can(upstream, &question).await?;
        Ok::<_, CallError>(yes.then(|| question.words()))
    });
    answers
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|words| async move { Ok(words) })
        .try_collect()
        .await
}

async fn can(upstream: &Upstream, question: &Question) -> Result<bool, CallError> {
    #[derive(Deserialize)]
    struct Answered {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        allowed: bool,
    }
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": question.attributes(),
    });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answered: Answered = upstream.request(&Call::post(path, &review)).await?;
    Ok(answered.status.allowed)
}

/// Rules by namespace.
struct Facts {
    by_namespace: BTreeMap<&'static str, BTreeSet<Fact>>,
    complete: bool,
}

impl Facts {
    fn all(&self) -> impl Iterator<Item = &Fact> {
        self.by_namespace.values().flatten()
    }

    fn none() -> Self {
        Self {
            by_namespace: BTreeMap::new(),
            complete: false,
        }
    }
}

/// Namespaces whose rules are looked at: the account's own, and the two where a stray binding is
/// most likely and worst.
const LOOKED_AT: [&str; 3] = [crate::account::NAMESPACE, "default", "kube-system"];

/// What the account itself has.
async fn own_facts(upstream: &Upstream) -> Result<Facts, CallError> {
    list(upstream, &HeaderMap::new()).await
}

/// What every authenticated account has: asked as nobody, who is in no group. Nothing, if the account
/// may not be nobody.
async fn shared_facts(upstream: &Upstream) -> Result<Facts, CallError> {
    let mut nobody = HeaderMap::new();
    nobody.insert("impersonate-user", HeaderValue::from_static(probe::NOBODY));
    match list(upstream, &nobody).await {
        Err(error) if error.status() == Some(403) => Ok(Facts::none()),
        other => other,
    }
}

async fn list(upstream: &Upstream, headers: &HeaderMap) -> Result<Facts, CallError> {
    let mut found = Facts {
        by_namespace: BTreeMap::new(),
        complete: true,
    };
    for namespace in LOOKED_AT {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": { "namespace": namespace },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let call = Call::post(path, &review).with_headers(headers.clone());
        let answered: Value = upstream.request(&call).await?;
        let (rules, complete) = facts(&answered);
        found.by_namespace.insert(namespace, rules);
        found.complete &= complete;
    }
    Ok(found)
}

/// Rights of the list that are neither ours by design nor everybody's.
fn unexpected(own: &Facts, shared: &Facts, mode: Option<Mode>) -> BTreeSet<String> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (namespace, rules) in &own.by_namespace {
        let everybody = shared.by_namespace.get(namespace);
        for fact in rules {
            let common = everybody.is_some_and(|facts| facts.contains(fact));
            if !common && !fact.is_by_design(mode, namespace) {
                found.entry(fact.words()).or_default().push(namespace);
            }
        }
    }
    found
        .into_iter()
        .flat_map(
            |(words, namespaces)| match namespaces.len() == LOOKED_AT.len() {
                true => vec![words],
                false => namespaces
                    .iter()
                    .map(|namespace| format!("{words} in {namespace}"))
                    .collect(),
            },
        )
        .collect()
}

#[cfg(test)]
mod tests;
