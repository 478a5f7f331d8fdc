//! What can go wrong with a call. Errors name the server, never a path or a query: those of webhooks
//! are secrets.

use std::io;
use std::net::IpAddr;

use crate::file::FileError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The name does not resolve.
    #[error("the name `{host}` does not resolve")]
    Resolve {
        /// Which.
        host: String,
        /// Why, if the resolver failed.
        source: Option<io::Error>,
    },
    /// The name leads to an address that no foreign service has.
    #[error(
        "`{host}` leads to {address}, {class}, and is not connected to; if that is meant, write the address itself in the URL"
    )]
    Address {
        /// The name.
        host: String,
        /// Where it leads.
        address: IpAddr,
        /// What kind of address that is.
        class: super::address::Class,
    },
    /// Connecting or the TLS handshake failed.
    #[error("cannot connect to {server}")]
    Connect {
        /// Host and port.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    #[error("{server} did not answer in time")]
    Timeout {
        /// Host and port.
        server: String,
    },
    /// The exchange broke off, or was no HTTP.
    #[error("the exchange with {server} broke off")]
    Exchange {
        /// Host and port.
        server: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer's body broke off.
    #[error("the answer of {server} broke off")]
    Body {
        /// Host and port.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is too large.
    #[error("the answer of {server} is larger than {limit} bytes")]
    TooLarge {
        /// Host and port.
        server: String,
        /// The limit.
        limit: usize,
    },
    /// The answer is a redirect.
    #[error(
        "{server} redirects, and no redirect is followed: configure the address that it leads to"
    )]
    Redirect {
        /// Host and port.
        server: String,
    },
    /// A header or the path has a character that cannot be sent.
    #[error(
        "the request to {server} cannot be sent: a credential or a path has an unusable character"
    )]
    Unsendable {
        /// Host and port.
        server: String,
    },
}

/// Why no certificate can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no certificate authority.
    #[error("{place} has no certificate authority that can be used")]
    Empty {
        /// Where none was found.
        place: String,
    },
    /// The TLS library refuses.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}
