//! Ticket systems as they are configured, and what becomes of that.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kubestile_core::Ttl;
use serde::{Deserialize, Serialize};

use super::id;
use super::webhook::Replays;
use crate::client::{Client, Limits, ServiceUrl, TrustError};
use crate::glob;

/// How often an open ticket that a grant hangs on is looked at, where nothing else is configured.
pub(crate) const POLL: Ttl = Ttl::from_secs(30);
/// Systems at most.
const SYSTEMS: usize = 32;

/// One ticket system.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TicketConfig {
    /// A name of your choice, in front of a ticket where it is needed: `jira:OPS-12`. A DNS label.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The address of its API: `https://acme.atlassian.net`, `https://acme.service-now.com`,
    /// `https://api.github.com`, `https://gitlab.example.com`, `https://api.pagerduty.com`.
    pub url: ServiceUrl,
    /// Certificate authorities in PEM. Default: those of the operating system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A file with the token, API key or password. It is read at each use.
    pub credential_file: PathBuf,
    /// The user that the credential belongs to, where the system wants HTTP Basic: Jira Cloud (the
    /// e-mail address) and ServiceNow. Without it the credential goes as a bearer token.
    #[serde(default)]
    pub user: Option<String>,
    /// Which tickets count, as patterns: `OPS-*`, `acme/shop#*`, `CHG*`. GitHub and GitLab need at
    /// least one, each with an owner in it: everybody can open an issue in a project of their own.
    #[serde(default)]
    pub accept: Vec<String>,
    /// The project that a bare number (`#7`) belongs to, for GitHub and GitLab: `acme/shop`.
    #[serde(default)]
    pub project: Option<String>,
    /// The states that count as open, in the system's words. Default: Jira every status that is not
    /// of the category "done"; ServiceNow `New`, `In Progress`, `On Hold` for incidents and
    /// `Implement` for change requests; GitHub `open`; GitLab `opened`; PagerDuty `triggered` and
    /// `acknowledged`. A generic system needs them.
    #[serde(default)]
    pub open_states: Vec<String>,
    /// How the ticket must name the person. Default `assignee`.
    #[serde(default)]
    pub require: Relation,
    /// What a person is called there, from the gate's own name: `{person}@example.com`, or `{person}`
    /// where the names are the same. Without it only `logins` count.
    #[serde(default)]
    pub login: Option<String>,
    /// What single people are called there, by the gate's own name; it goes before `login`.
    #[serde(default)]
    pub logins: BTreeMap<String, String>,
    /// Where the ticket says which namespaces it is for. Default: it does not say.
    #[serde(default)]
    pub namespaces: Option<Where>,
    /// Where the ticket says which cluster it is for. Default: it does not say.
    #[serde(default)]
    pub cluster: Option<Where>,
    /// How often a ticket that a grant hangs on is looked at. Default 30; 10 to 3600.
    #[serde(default)]
    pub poll_seconds: Option<u32>,
    /// How long an answer may take. Default 10; 1 to 60.
    #[serde(default)]
    pub timeout_seconds: Option<u32>,
    /// Signed messages from this system that a ticket has changed. Default: none are taken.
    #[serde(default)]
    pub webhook: Option<WebhookConfig>,
    /// For a generic system: the path of a ticket, and where its answer says what.
    #[serde(default)]
    pub fields: Option<Fields>,
}

/// What kind of system it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Jira Cloud (REST API version 3).
    JiraCloud,
    /// Jira Data Center (REST API version 2).
    JiraDataCenter,
    /// ServiceNow incidents and change requests (Table API).
    ServiceNow,
    /// GitHub issues, also of GitHub Enterprise (`https://HOST/api/v3`).
    Github,
    /// GitLab issues (REST API version 4).
    Gitlab,
    /// PagerDuty incidents (REST API version 2).
    PagerDuty,
    /// Anything that answers a GET with JSON.
    Generic,
}

/// How a ticket must name a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Relation {
    /// As one whom it is assigned to.
    #[default]
    Assignee,
    /// Also as one who opened it, asked for it, or has taken it up.
    Participant,
    /// Not at all: any open ticket will do for anybody.
    Nobody,
}

/// Where in a ticket something stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Where {
    /// A JSON pointer into the ticket as the API gives it: `/fields/customfield_10040` (Jira),
    /// `/u_namespace` (ServiceNow), `/incident/…` has no place: it starts inside the incident.
    #[serde(default)]
    pub pointer: Option<String>,
    /// The beginning of labels: with `namespace/`, the label `namespace/shop` says `shop`.
    #[serde(default)]
    pub label: Option<String>,
    /// Whether a ticket that says nothing there is for everything that the grant asks for. Default
    /// `false`: it is for nothing.
    #[serde(default)]
    pub optional: bool,
}

/// Signed messages from a system.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookConfig {
    /// A file with the secret; several, one a line, while it is rotated.
    pub secret_file: PathBuf,
    /// For ServiceNow and generic systems: where in the message the ticket's id stands, as a JSON
    /// pointer. Default `/ticket`.
    #[serde(default)]
    pub pointer: Option<String>,
}

/// How to read a generic system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fields {
    /// Path and query of a ticket below the system's address, with `{id}` in it once:
    /// `/api/tickets/{id}`.
    pub path: String,
    /// JSON pointer to the id in the answer, which must be the one asked for.
    pub id: String,
    /// JSON pointer to the state.
    pub state: String,
    /// JSON pointer to the title.
    #[serde(default)]
    pub title: Option<String>,
    /// JSON pointers to those it is assigned to: texts, or arrays of texts.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// JSON pointers to others whom it names.
    #[serde(default)]
    pub participants: Vec<String>,
    /// JSON pointer to labels, an array of texts.
    #[serde(default)]
    pub labels: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Something in it is wrong.
    #[error("ticket system `{system}`: {reason}")]
    Invalid {
        /// Which system.
        system: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// The certificate authorities cannot be used.
    #[error("ticket system `{system}`: no certificate can be trusted")]
    Trust {
        /// Which system.
        system: String,
        /// Why.
        source: TrustError,
    },
}

/// A system, checked and ready.
pub(crate) struct System {
    pub(crate) name: Arc<str>,
    pub(crate) config: TicketConfig,
    pub(crate) client: Client,
    pub(crate) poll: Ttl,
    pub(crate) replays: Replays,
}

pub(crate) fn systems(configs: Vec<TicketConfig>) -> Result<Vec<System>, ConfigError> {
    let mut systems: Vec<System> = Vec::with_capacity(configs.len());
    for config in configs {
        let name = config.name.clone();
        let invalid = |reason: String| ConfigError::Invalid {
            system: name.chars().take(80).collect(),
            reason,
        };
        check(&config).map_err(invalid)?;
        if systems.iter().any(|other| *other.name == *config.name) {
            return Err(invalid("there are two of this name".to_owned()));
        }
        if systems.len() == SYSTEMS {
            return Err(invalid(format!("there are more than {SYSTEMS} systems")));
        }
        systems.push(system(config)?);
    }
    Ok(systems)
}

fn system(config: TicketConfig) -> Result<System, ConfigError> {
    let total = Duration::from_secs(config.timeout_seconds.unwrap_or(10).into());
    let limits = Limits {
        total,
        connect: total.min(Limits::USUAL.connect),
        ..Limits::USUAL
    };
    let client = Client::new(config.ca_file.as_deref(), limits);
    Ok(System {
        name: config.name.as_str().into(),
        client: client.map_err(|source| ConfigError::Trust {
            system: config.name.clone(),
            source,
        })?,
        poll: config.poll_seconds.map_or(POLL, Ttl::from_secs),
        replays: Replays::default(),
        config,
    })
}

fn check(config: &TicketConfig) -> Result<(), String> {
    let label: Result<kubestile_core::ClusterName, _> = config.name.parse();
    label.map_err(|_| "`name` must be a DNS label".to_owned())?;
    in_range("pollSeconds", config.poll_seconds, 10, 3600)?;
    in_range("timeoutSeconds", config.timeout_seconds, 1, 60)?;
    if let Some(template) = &config.login
        && template.matches("{person}").count() != 1
    {
        return Err("`login` must have `{person}` in it once".to_owned());
    }
    if config
        .user
        .as_deref()
        .is_some_and(|user| user.contains(':'))
    {
        return Err("`user` must have no `:`".to_owned());
    }
    for place in [&config.namespaces, &config.cluster].into_iter().flatten() {
        check_where(place)?;
    }
    let pointer = config.webhook.as_ref().and_then(|w| w.pointer.as_deref());
    check_pointers(pointer)?;
    for pattern in &config.accept {
        if pattern.is_empty() || pattern.len() > glob::PATTERN_LIMIT {
            return Err(format!(
                "the pattern `{pattern}` of `accept` is empty or too long"
            ));
        }
    }
    id::check_config(config)?;
    check_generic(config)
}

fn check_where(place: &Where) -> Result<(), String> {
    check_pointers(place.pointer.as_deref())?;
    match (&place.pointer, &place.label) {
        (Some(_), None) => Ok(()),
        (None, Some(label)) if !label.is_empty() => Ok(()),
        _ => Err("`namespaces` and `cluster` need either a `pointer` or a `label`".to_owned()),
    }
}

fn check_pointers<'a>(pointers: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    for pointer in pointers {
        if !pointer.starts_with('/') || pointer.len() > 256 {
            return Err(format!(
                "`{pointer}` is no JSON pointer: write `/fields/name`"
            ));
        }
    }
    Ok(())
}

fn check_generic(config: &TicketConfig) -> Result<(), String> {
    let fields = match (config.kind, &config.fields) {
        (Kind::Generic, Some(fields)) => fields,
        (Kind::Generic, None) => return Err("a generic system needs `fields`".to_owned()),
        (_, None) => return Ok(()),
        (_, Some(_)) => return Err("`fields` are for generic systems only".to_owned()),
    };
    if config.open_states.is_empty() {
        return Err("a generic system needs `openStates`".to_owned());
    }
    if !fields.path.starts_with('/') || fields.path.matches("{id}").count() != 1 {
        return Err("`path` must start with `/` and have `{id}` in it once".to_owned());
    }
    if fields.assignees.is_empty() && config.require == Relation::Assignee {
        return Err("`assignees` must say where the assignee stands".to_owned());
    }
    let pointers = [&fields.id, &fields.state].into_iter();
    let pointers = pointers
        .chain(&fields.title)
        .chain(&fields.labels)
        .chain(&fields.assignees)
        .chain(&fields.participants);
    check_pointers(pointers.map(String::as_str))
}

fn in_range(what: &str, value: Option<u32>, low: u32, high: u32) -> Result<(), String> {
    match value {
        Some(value) if !(low..=high).contains(&value) => {
            Err(format!("`{what}` must be {low} to {high}"))
        }
        _ => Ok(()),
    }
}
