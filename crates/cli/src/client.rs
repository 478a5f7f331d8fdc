//! Talking to a gate: over TLS to its public address, or over the admin socket on its own machine.

mod call;
mod tls;
mod url;

pub(crate) use call::Door;
pub(crate) use tls::Trust;
pub(crate) use url::GateUrl;
