//! Who is asking: the gate's certificate authority, the client certificates and bearer tokens that
//! prove a session, and the one place where such a proof becomes a
//! [`VerifiedIdentity`](kubestile_core::VerifiedIdentity).
//!
//! In the order of a session's life: the client makes a key ([`ClientKey`]), shows a login code
//! ([`code`]) and a signing request ([`CertificateRequest`]), the gate certifies the key and nothing
//! else ([`Authority::issue_client`]). The connection is made ([`tls`]), each request shows exactly
//! one credential ([`Presented`]), and the session behind it is verified ([`verify`]). The client
//! renews by proving the enrolled key afresh ([`proof`]).
//!
//! A certificate only proves a key. What is trusted, and revoked, is the session: it is looked up on
//! every request.

mod authority;
pub mod browser;
mod certificate;
mod certificate_request;
mod client_key;
mod client_tls;
pub mod code;
mod credential;
pub mod digest;
mod peer;
pub mod proof;
pub mod seal;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod token;
pub mod verify;

pub use authority::{Authority, AuthorityError, Issued, ServerCertificate};
pub use certificate::ClientCertificate;
pub use certificate_request::{CertificateRequest, RequestError};
pub use client_key::{ClientKey, ClientKeyError};
pub use client_tls::{ClientPair, GateTrust, client_tls};
pub use credential::Presented;
pub use peer::{PeerAddress, PeerCertificate};
pub use tls::{ServerKeys, TlsError, TlsVersion, server_tls};
pub use verify::{AuthnError, verify_again, verify_browser, verify_certificate, verify_token};
