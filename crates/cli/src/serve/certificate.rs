//! The gate's own server certificate: its names, and its renewal while connections go on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kubestile_authn::{Authority, ServerKeys};
use kubestile_core::{Timestamp, Ttl};

use crate::client::GateUrl;
use crate::clock::now;
use crate::config::Config;
use crate::exit::Outcome;

/// How long a server certificate lasts. Its key is only ever in memory.
const LIFETIME: Ttl = Ttl::from_secs(7 * 86_400);
/// How often it is looked at.
const TICK: Duration = Duration::from_secs(600);

/// Where people reach the gate.
pub(super) fn url(config: &Config, address: SocketAddr) -> Outcome<GateUrl> {
    if let Some(url) = &config.public_url {
        return Ok(url.clone());
    }
    let ip = address.ip();
    let host = if ip.is_unspecified() {
        hostname()
    } else {
        ip.to_string()
    };
    Ok(GateUrl::new(&host, address.port())?)
}

/// The server certificate and what is needed to renew it.
pub(super) struct Renewing {
    authority: Arc<Authority>,
    names: Vec<String>,
    keys: Arc<ServerKeys>,
    not_after: Timestamp,
}

impl Renewing {
    /// Issues the first one.
    pub(super) fn new(
        authority: Arc<Authority>,
        config: &Config,
        url: &GateUrl,
        address: SocketAddr,
    ) -> Outcome<Self> {
        let names = names(config, url, address.ip());
        let certificate = authority.issue_server(&names, now(), LIFETIME)?;
        let not_after = certificate.not_after;
        let keys = ServerKeys::new(certificate)?;
        Ok(Self {
            authority,
            names,
            keys,
            not_after,
        })
    }

    /// What the listener serves with.
    pub(super) fn keys(&self) -> Arc<ServerKeys> {
        self.keys.clone()
    }

    /// Renews it when half of its time has passed, for ever.
    pub(super) async fn keep(mut self) {
        let mut tick = tokio::time::interval(TICK);
        loop {
            tick.tick().await;
            let left = self.not_after.since(now());
            if left.as_secs() > LIFETIME.as_secs() / 2 {
                continue;
            }
            match self.renew() {
                Ok(()) => tracing::info!(until = %self.not_after, "server certificate renewed"),
                Err(error) => {
                    tracing::error!(%error, left = %left, "the server certificate cannot be renewed");
                }
            }
        }
    }

    fn renew(&mut self) -> Outcome {
        let certificate = self.authority.issue_server(&self.names, now(), LIFETIME)?;
        self.not_after = certificate.not_after;
        Ok(self.keys.replace(certificate)?)
    }
}

/// Every name that a client on this machine or elsewhere may use.
fn names(config: &Config, url: &GateUrl, ip: IpAddr) -> Vec<String> {
    let mut names = vec![url.host().to_owned()];
    let local = ip.is_loopback() || ip.is_unspecified();
    if local {
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    }
    if !ip.is_loopback() {
        names.push(hostname());
    }
    if !ip.is_unspecified() {
        names.push(ip.to_string());
    }
    names.extend(config.names.iter().map(|n| n.to_ascii_lowercase()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// This machine's name, if it can stand in a certificate.
fn hostname() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_ascii_lowercase();
    match GateUrl::new(&name, 443) {
        Ok(_) => name,
        Err(_) => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let text = format!("stateDirectory: /s\n{text}");
        crate::config::RawConfig::parse(&text)
            .unwrap()
            .resolve()
            .unwrap()
    }

    #[test]
    fn a_gate_on_loopback_has_all_of_loopbacks_names() {
        let config = config("names: [Gate.Internal, localhost]");
        let address: SocketAddr = "127.0.0.1:8443".parse().unwrap();
        let url = url(&config, address).unwrap();
        assert_eq!(url.to_string(), "https://127.0.0.1:8443");
        assert_eq!(
            names(&config, &url, address.ip()),
            ["127.0.0.1", "localhost", "::1", "gate.internal"]
        );
    }

    #[test]
    fn the_public_name_comes_first() {
        let config = config("publicUrl: https://gate.example.com\nlisten: 0.0.0.0:8443");
        let url = url(&config, config.listen).unwrap();
        let names = names(&config, &url, config.listen.ip());
        assert_eq!(names.first().map(String::as_str), Some("gate.example.com"));
        assert!(!names.contains(&"0.0.0.0".to_owned()));
    }
}
