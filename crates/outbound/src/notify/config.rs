//! Channels as they are configured.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::message::Kind;
use super::queue::{Channel, Pace};
use crate::client::{Client, Limits, ServiceUrl, TrustError};

/// Channels at most.
const CHANNELS: usize = 32;

/// One channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelConfig {
    /// A name of your choice, for the log and metrics.
    pub name: String,
    /// What it is.
    pub kind: ChannelKind,
    /// Which messages it gets. Default: all. `break-glass` goes to every channel.
    #[serde(default)]
    pub only: Vec<Kind>,
    /// For Slack and Teams: a file with the webhook's URL, which is a secret.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// For a webhook: where it goes.
    #[serde(default)]
    pub url: Option<ServiceUrl>,
    /// For a webhook: a file with the key that it is signed with.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// For mail: the server and whom it goes to.
    #[serde(default)]
    pub mail: Option<MailConfig>,
    /// Certificate authorities in PEM. Default: those of the operating system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// What kind of channel it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChannelKind {
    /// A Slack incoming webhook.
    Slack,
    /// A Teams workflow ("when a webhook request is received").
    Teams,
    /// E-mail by SMTP.
    Mail,
    /// A signed POST to an address of your own.
    Webhook,
}

/// An SMTP server that takes mail for delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailConfig {
    /// Its name: `smtp.example.com`.
    pub server: String,
    /// Its port. Default 587 with STARTTLS, 465 with TLS.
    #[serde(default)]
    pub port: Option<u16>,
    /// How it is encrypted; unencrypted it is not. Default `startTls`.
    #[serde(default)]
    pub tls: MailTls,
    /// The user name, if the server wants one.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the password of that user.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whom it is from: `gate@example.com`.
    pub from: String,
    /// Whom it goes to.
    pub to: Vec<String>,
}

/// How mail is encrypted on its way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MailTls {
    /// STARTTLS; a server that does not offer it gets nothing.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NotifyConfigError {
    /// Something in it is wrong.
    #[error("notification channel `{channel}`: {reason}")]
    Invalid {
        /// Which channel.
        channel: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
    /// The certificate authorities cannot be used.
    #[error("notification channel `{channel}`: no certificate can be trusted")]
    Trust {
        /// Which channel.
        channel: String,
        /// Why.
        source: TrustError,
    },
}

pub(crate) fn channels(
    configs: Vec<ChannelConfig>,
    pace: Pace,
) -> Result<Vec<Channel>, NotifyConfigError> {
    let mut channels: Vec<Channel> = Vec::with_capacity(configs.len());
    for config in configs {
        let name: String = config.name.chars().take(80).collect();
        let invalid = |reason: String| NotifyConfigError::Invalid {
            channel: name.clone(),
            reason,
        };
        check(&config).map_err(invalid)?;
        if channels.iter().any(|other| other.name() == config.name) {
            return Err(invalid("there are two of this name".to_owned()));
        }
        if channels.len() == CHANNELS {
            return Err(invalid(format!("there are more than {CHANNELS} channels")));
        }
        let client = Client::new(config.ca_file.as_deref(), Limits::USUAL);
        let trust = |source| NotifyConfigError::Trust {
            channel: name.clone(),
            source,
        };
        let client = client.map_err(trust)?;
        channels.push(Channel::new(config, client, pace).map_err(trust)?);
    }
    Ok(channels)
}

fn check(config: &ChannelConfig) -> Result<(), String> {
    let name: Result<kubestile_core::ClusterName, _> = config.name.parse();
    name.map_err(|_| "`name` must be a DNS label".to_owned())?;
    let needs = |what: &str, there: bool| match there {
        true => Ok(()),
        false => Err(format!("it needs `{what}`")),
    };
    match config.kind {
        ChannelKind::Slack | ChannelKind::Teams => needs("urlFile", config.url_file.is_some()),
        ChannelKind::Webhook => {
            needs("url", config.url.is_some())?;
            needs("secretFile", config.secret_file.is_some())
        }
        ChannelKind::Mail => match &config.mail {
            Some(mail) => super::mail::check(mail),
            None => needs("mail", false),
        },
    }
}
