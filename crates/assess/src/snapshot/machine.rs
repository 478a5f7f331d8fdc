//! Kubeconfigs and kubectl's own settings on one machine: what kind of credentials they hold.

use kubestile_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Source;

/// What is known of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Its kubeconfigs.
    pub kubeconfigs: Source<Vec<Kubeconfig>>,
    /// kubectl's settings (`kuberc`); none if there is no such file.
    pub kuberc: Source<Option<Kuberc>>,
}

/// A kubeconfig file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kubeconfig {
    /// Where it is.
    pub path: String,
    /// Its permission bits, where files have them.
    pub mode: Option<u32>,
    /// Its owner's number, where files have one.
    pub owner: Option<u32>,
    /// Whether its owner is whoever ran the assessor; so it is if that cannot be known.
    pub foreign_owner: bool,
    /// The working tree of a version control system that it lies in and is not ignored by.
    pub repository: Option<String>,
    /// Its clusters.
    pub clusters: Vec<ClusterEntry>,
    /// Its users.
    pub users: Vec<UserEntry>,
    /// Its contexts.
    pub contexts: Vec<Context>,
}

/// A cluster of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterEntry {
    /// Its name.
    pub name: String,
    /// The line of its name, from 1; 0 if unknown.
    pub line: u32,
    /// Its address.
    pub server: String,
    /// Whether it names a certificate authority; without one the system's are trusted.
    pub authority: bool,
    /// `insecure-skip-tls-verify`.
    pub insecure: bool,
    /// `proxy-url`, without user information.
    pub proxy: Option<String>,
    /// `tls-server-name`.
    pub server_name: Option<String>,
}

/// A user of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserEntry {
    /// Its name.
    pub name: String,
    /// The line of its name, from 1; 0 if unknown.
    pub line: u32,
    /// All the credentials it holds.
    pub credentials: Vec<Credential>,
}

/// A context of a kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Its user.
    pub user: String,
}

/// A credential of a kubeconfig: what it is, not what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// A bearer token, written in the file or in one that it names.
    Token(Token),
    /// A user name with a password.
    Password,
    /// The `auth-provider` that kubectl gave up.
    AuthProvider(String),
    /// A client certificate.
    Certificate(Certificate),
    /// A credential plugin.
    Exec(Exec),
}

/// What may be known of a bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Token {
    /// The first 16 digits of its SHA-256, to see one token in two places.
    pub fingerprint: String,
    /// Whether it stands in a file of its own (`tokenFile`).
    pub in_file: bool,
    /// When it was issued, if it is a JWT that says so.
    pub issued: Option<Timestamp>,
    /// When it expires, if it is a JWT that says so.
    pub expires: Option<Timestamp>,
    /// Its subject, if it is a JWT.
    pub subject: Option<String>,
}

/// What a client certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Certificate {
    /// SHA-256 of its DER form, lower-case hexadecimal.
    pub fingerprint: String,
    /// The user's name.
    pub common_name: String,
    /// The user's groups.
    pub organizations: Vec<String>,
    /// From when it is valid.
    pub not_before: Option<Timestamp>,
    /// Until when it is valid.
    pub not_after: Option<Timestamp>,
}

/// A credential plugin.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Exec {
    /// Its command, without arguments.
    pub command: String,
    /// `client.authentication.k8s.io/v1…`.
    pub api_version: String,
    /// `interactiveMode`, if it is set.
    pub interactive_mode: Option<String>,
    /// Names of arguments and variables that look as if they held a secret.
    pub secrets: Vec<String>,
}

/// kubectl's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kuberc {
    /// Where it is.
    pub path: String,
    /// `credentialPluginPolicy`.
    pub plugin_policy: Option<String>,
    /// The commands of `credentialPluginAllowlist`.
    pub plugin_allowlist: Vec<String>,
}
