//! One run of a pipeline, by what its verified token says and what the rules make of it.

use kubestile_authn::digest::sha256;
use kubestile_core::grant::{LONGEST, Terms};
use kubestile_core::{JobFunction, SessionId, Timestamp};
use kubestile_outbound::oidc::{Claims, PipelineRule};

use crate::error::ApiError;
use crate::journal::words;
use crate::outside::{Outside, OutsideError};

/// A grant has a name for each role and cluster; as many may live at once as the store has room for.
const MOST_GRANTS: usize = 16;
/// Namespaces of one grant.
const MOST_NAMESPACES: usize = 64;

/// A run.
pub(super) struct Run {
    /// The pipeline's name.
    pub(super) name: String,
    /// Its session. It is made from the token's issuer and id, so that a token starts one and no more.
    pub(super) session: SessionId,
    /// What it may do.
    pub(super) terms: Vec<Terms>,
    /// When session and grants end.
    pub(super) ends: Timestamp,
    /// Whether somebody must approve it.
    pub(super) approval: bool,
    /// `acme/shop@refs/heads/main run 30433642`, for people.
    pub(super) words: String,
    /// Who set it off, by the name that they have here.
    pub(super) behind: Option<String>,
}

impl Run {
    pub(super) fn new(
        outside: &Outside,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let words = describe(claims);
        let Some(id) = claims.token_id() else {
            return Err(ApiError::forbidden("the token has no `jti`")
                .hint("without it, it could be used twice"));
        };
        let Some(found) = outside.rules.find(claims, now) else {
            return Err(ApiError::forbidden(format!("no rule permits {words}"))
                .hint("the gate's configuration has the rules under `pipelines.rules`"));
        };
        let ends = found.ends.min(now.plus(LONGEST));
        if ends <= now {
            // A verification bears clocks that differ a little; what is given out does not.
            return Err(ApiError::new(
                http::StatusCode::UNAUTHORIZED,
                "the token has expired",
            ));
        }
        let actor = ["actor", "user_login"]
            .into_iter()
            .find_map(|claim| claims.get(claim));
        let known = |actor: &str| outside.people.get(actor).cloned();
        Ok(Self {
            session: session_id(claims.issuer(), id),
            terms: terms(&found.functions, now, ends),
            ends,
            approval: found.approval,
            words,
            behind: actor.map(|actor| known(actor).unwrap_or_else(|| actor.to_owned())),
            name: found.name,
        })
    }
}

/// The one session that a token can start.
fn session_id(issuer: &str, token: &str) -> SessionId {
    // An issuer's name is a DNS label: the separator cannot be in it.
    let digest = sha256(&[
        b"kubestile pipeline session\n",
        issuer.as_bytes(),
        b"\n",
        token.as_bytes(),
    ]);
    let mut bytes = [0; 16];
    for (byte, of_digest) in bytes.iter_mut().zip(digest) {
        *byte = of_digest;
    }
    SessionId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

fn describe(claims: &Claims) -> String {
    let first = |names: &[&str]| names.iter().find_map(|name| claims.get(name));
    let project = first(&["repository", "project_path", "repository_id", "project_id"]);
    let mut text = project.unwrap_or(claims.subject()).to_owned();
    if let Some(at) = first(&["ref"]) {
        text.push_str(&format!("@{at}"));
    }
    if let Some(run) = first(&["run_id", "pipeline_id"]) {
        text.push_str(&format!(" run {run}"));
    }
    if let Some(environment) = first(&["environment"]) {
        text.push_str(&format!(" ({environment})"));
    }
    words(&text, 300)
}

/// One grant for each role and cluster, with all its namespaces.
fn terms(functions: &[JobFunction], now: Timestamp, ends: Timestamp) -> Vec<Terms> {
    let mut all: Vec<(bool, Terms)> = Vec::new();
    for function in functions {
        let same = |terms: &Terms| {
            terms.role == function.role() && terms.cluster.as_ref() == function.cluster()
        };
        let found = all.iter_mut().find(|(_, terms)| same(terms));
        match (found, function.namespace()) {
            (Some((wide, terms)), None) => {
                *wide = true;
                terms.namespaces.clear();
            }
            (Some((wide, terms)), Some(namespace)) => {
                if !*wide && !terms.namespaces.contains(namespace) {
                    terms.namespaces.push(namespace.clone());
                }
            }
            (None, namespace) => all.push((
                namespace.is_none(),
                Terms {
                    role: function.role().to_owned(),
                    cluster: function.cluster().cloned(),
                    namespaces: namespace.into_iter().cloned().collect(),
                    objects: Vec::new(),
                    duration: ends.since(now),
                },
            )),
        }
    }
    all.into_iter().map(|(_, terms)| terms).collect()
}

/// Whether what rules give can be given as grants.
pub(crate) fn check_rules(rules: &[PipelineRule]) -> Result<(), OutsideError> {
    for (number, rule) in rules.iter().enumerate() {
        let at = Timestamp::from_secs(0);
        let terms = terms(&rule.functions, at, at);
        let reason = match terms.as_slice() {
            [one] if rule.approval && one.cluster.is_none() => {
                "with `approval`, each function must name its cluster: `operator:shop@prod`"
            }
            [_, _, ..] if rule.approval => {
                "with `approval`, all functions must be of one role and one cluster: people approve one thing"
            }
            all if all.len() > MOST_GRANTS => "its functions are of too many roles and clusters",
            all if all.iter().any(|t| t.namespaces.len() > MOST_NAMESPACES) => {
                "it has too many namespaces of one role: leave the namespace out, or use several rules"
            }
            _ => continue,
        };
        return Err(OutsideError::Functions {
            number: number + 1,
            name: rule.name.chars().take(80).collect(),
            reason,
        });
    }
    Ok(())
}
