//! Why an API server cannot be used. No variant holds a credential, or what a plugin wrote.

use std::path::PathBuf;

/// Why an [`Upstream`](crate::Upstream) cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No kubeconfig was named and none is in its usual places.
    #[error("there is no kubeconfig: set KUBECONFIG, name one, or create ~/.kube/config")]
    NoKubeconfig,
    /// A kubeconfig cannot be read.
    #[error("cannot read the kubeconfig `{}`", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A kubeconfig is not one. The parser's own words are left out: they may quote a token.
    #[error("`{}` is not a kubeconfig: it cannot be understood at line {line}, column {column}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, from 1; 0 if unknown.
        line: u64,
        /// Column, from 1; 0 if unknown.
        column: u64,
    },
    /// The kubeconfig names no current context and none was asked for.
    #[error("the kubeconfig has no current context: name one of {known}")]
    NoContext {
        /// The contexts it has.
        known: String,
    },
    /// A name that the kubeconfig does not define.
    #[error("the kubeconfig has no {kind} `{name}`: it has {known}")]
    Unknown {
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The names it has.
        known: String,
    },
    /// The server's address cannot be used.
    #[error("cannot use the server `{server}`: {reason}")]
    Server {
        /// The address, without user information.
        server: String,
        /// Why.
        reason: &'static str,
    },
    /// A field of the kubeconfig contradicts another, or asks for what we refuse.
    #[error("the kubeconfig's {kind} `{name}` cannot be used: {reason}")]
    Unusable {
        /// `cluster` or `user`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The process does not run in a pod with a service account.
    #[error("this is not a pod with a service account: {reason}")]
    NotInCluster {
        /// What is missing.
        reason: String,
    },
    /// The first credential cannot be had.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// Why there is no usable credential for the API server now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A file with a token, certificate, key or authority cannot be used.
    #[error("cannot use the file `{}`: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificates or keys that are not what they should be.
    #[error("cannot use the {what}: {reason}")]
    Material {
        /// `certificate authority`, `client certificate`, `client key` or `token`.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The exec plugin of the kubeconfig gave no credential.
    #[error("the credential plugin `{command}` failed: {reason}")]
    Plugin {
        /// Its command, without arguments.
        command: String,
        /// Why, and how to install it if it is not there.
        reason: String,
    },
    /// The gate's own token could not be renewed and has expired.
    #[error(
        "the token of the gate's account expired and cannot be renewed ({reason}): run `kubestile cluster add` again with an administrator's context"
    )]
    Expired {
        /// What the API server said.
        reason: String,
    },
    /// The gate's own token could not be renewed.
    #[error("the token of the gate's account cannot be renewed: {reason}")]
    Renewal {
        /// What the API server said.
        reason: String,
    },
}

/// Why a call of this crate to the API server did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No connection.
    #[error("cannot connect to {server}")]
    Connect {
        /// `host:port`.
        server: String,
        /// Why.
        source: std::io::Error,
    },
    /// The exchange broke off.
    #[error("the exchange with {server} failed")]
    Exchange {
        /// `host:port`.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("{server} did not answer within {seconds} s")]
    Timeout {
        /// `host:port`.
        server: String,
        /// The limit.
        seconds: u64,
    },
    /// The API server answered with an error status.
    #[error("the API server answered {status} to {call}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Method and path.
        call: String,
        /// Its message, shortened, without control characters.
        message: String,
    },
    /// An answer that is not JSON of the expected form, is too large, or redirects.
    #[error("{server} gave an answer to {call} that cannot be used: {reason}")]
    Answer {
        /// `host:port`.
        server: String,
        /// Method and path.
        call: String,
        /// Why.
        reason: String,
    },
}

impl CallError {
    /// The HTTP status, if the API server answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// An error with its sources on one line, for a message that has no room for a chain.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
