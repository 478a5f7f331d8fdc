//! What the listener knows of the other side of a connection, handed on as request extensions.

use std::net::SocketAddr;

use rustls_pki_types::CertificateDer;

/// The client certificate of the connection that a request came on, verified by the handshake
/// against our authority; `None` when the client showed none.
#[derive(Debug, Clone)]
pub struct PeerCertificate(pub Option<CertificateDer<'static>>);

/// The address of the connection that a request came on; never taken from a header.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);
