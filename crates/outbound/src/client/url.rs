//! The address of a service, in one strict form.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};

/// `https://host[:port][/path]`, or `http://` to a loopback address that is written out. No user
/// information, no fragment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceUrl {
    tls: bool,
    host: String,
    port: u16,
    /// With leading and without trailing slash, or empty; with its query.
    path: String,
    server_name: ServerName<'static>,
    /// Whether a person wrote this URL: an address in it is then meant.
    configured: bool,
}

impl ServiceUrl {
    /// The same URL, but from a foreign document: an address in it is looked at like any other.
    #[must_use]
    pub fn foreign(mut self) -> Self {
        self.configured = false;
        self
    }

    /// The host; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, with brackets round an IPv6 address. It is what errors show.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether both have the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    pub(crate) fn literal_is_meant(&self) -> bool {
        self.configured
    }

    /// The `Host` header: without the port where it is the usual one, as some services insist.
    pub(crate) fn host_header(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let authority = self.authority();
        match self.port == usual {
            true => authority
                .strip_suffix(&format!(":{usual}"))
                .unwrap_or(&authority)
                .to_owned(),
            false => authority,
        }
    }
}

/// Scheme, host and port only: the path of a webhook is a secret.
impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}/…", self.authority())
    }
}

impl FromStr for ServiceUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > 2048 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidUrl("it has white space or is too long"));
        }
        // `Uri` drops a fragment without a word.
        if text.contains(['#', '\\']) {
            return Err(InvalidUrl("it has a `#` or a `\\`"));
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl("it is not a URL"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(InvalidUrl("it does not start with `https://`")),
        };
        let authority = uri.authority().ok_or(InvalidUrl("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(InvalidUrl("a password does not belong in a URL"));
        }
        let (host, port) = host_and_port(authority, tls)?;
        if !tls && !is_loopback(&host) {
            return Err(InvalidUrl("`http://` is for loopback addresses only"));
        }
        let server_name = ServerName::try_from(host.clone())
            .map_err(|_| InvalidUrl("its host is neither a name nor an address"))?;
        let path = uri.path_and_query().map_or("", |p| p.as_str());
        let path = if uri.query().is_some() {
            path
        } else {
            path.trim_end_matches('/')
        };
        Ok(Self {
            tls,
            host,
            port,
            path: path.to_owned(),
            server_name,
            configured: true,
        })
    }
}

fn host_and_port(authority: &http::uri::Authority, tls: bool) -> Result<(String, u16), InvalidUrl> {
    let host = authority.host();
    // `Authority::port` says nothing of `:99999` and `:`.
    let port = match authority.as_str().strip_prefix(host) {
        Some("") if tls => 443,
        Some("") => 80,
        Some(rest) => rest
            .strip_prefix(':')
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|port| *port != 0)
            .ok_or(InvalidUrl("its port is none"))?,
        None => return Err(InvalidUrl("its host is none")),
    };
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => {
            let address: std::net::Ipv6Addr =
                v6.parse().map_err(|_| InvalidUrl("its host is none"))?;
            address.to_string()
        }
        None => host.to_ascii_lowercase(),
    };
    // `0x7f.1`, `2130706433` and `127.1` are addresses to some resolvers and names to others.
    let last = host.rsplit('.').next().unwrap_or_default();
    let like_an_address = last.starts_with(|c: char| c.is_ascii_digit());
    if like_an_address && host.parse::<IpAddr>().is_err() {
        return Err(InvalidUrl("its host is an address in an odd form"));
    }
    Ok((host, port))
}

/// Whether the host is loopback as it is written.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

impl TryFrom<String> for ServiceUrl {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<ServiceUrl> for String {
    fn from(url: ServiceUrl) -> Self {
        let scheme = if url.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", url.host_header(), url.path)
    }
}

/// A text that is not the address of a service. The text is not repeated: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not the URL of a service: {0}; write `https://HOST/PATH`")]
pub struct InvalidUrl(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ServiceUrl {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn services_in_their_forms() {
        for (text, authority, path) in [
            ("https://Jira.example.com", "jira.example.com:443", ""),
            ("https://jira.example.com/", "jira.example.com:443", ""),
            (
                "https://example.com:8443/jira/",
                "example.com:8443",
                "/jira",
            ),
            ("https://10.0.0.1/x", "10.0.0.1:443", "/x"),
            ("https://[2001:DB8::1]:8443/x", "[2001:db8::1]:8443", "/x"),
            ("http://127.0.0.1:80", "127.0.0.1:80", ""),
            ("http://localhost:9/a?b=c/", "localhost:9", "/a?b=c/"),
        ] {
            let url = parsed(text);
            assert_eq!((url.authority().as_str(), url.path()), (authority, path));
        }
        assert_eq!(parsed("https://a.example").host_header(), "a.example");
        assert_eq!(parsed("https://[::1]").host_header(), "[::1]");
    }

    #[test]
    fn what_is_no_service() {
        for text in [
            "",
            "jira.example.com",
            "ftp://a.example",
            "http://a.example",
            "http://10.0.0.1",
            "http://169.254.169.254/",
            "http://127.0.0.1.evil.example",
            "https://u:p@a.example",
            "https://a.example@evil.example",
            "https://a.example:99999",
            "https://a.example:",
            "https://a.example:0",
            "https://a.example:+1",
            "https://a.example/#x",
            "https://a.example\\@evil.example",
            "https://a.example/ x",
            "https://a.example/\r\nX: y",
            "https://2130706433",
            "https://127.1",
            "https://0x7f.0.0.1",
            "https://0177.0.0.1",
            "https://[::1",
            "https://[fe80::1%25eth0]",
            "https://bücher.example",
            "https://",
            "https:///x",
        ] {
            let error = text.parse::<ServiceUrl>().map(|u| u.authority());
            assert!(error.is_err(), "{text}: {error:?}");
        }
    }

    #[test]
    fn nothing_prints_a_path() {
        let url = parsed("https://hooks.slack.com/services/T0/B0/hunter2");
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
