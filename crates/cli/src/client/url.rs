//! The address of a gate, in one canonical form.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use rustls_pki_types::ServerName;

/// `https://host:port`, nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GateUrl {
    host: String,
    port: u16,
}

impl GateUrl {
    /// From a host (an IPv6 address without brackets) and port.
    pub(crate) fn new(host: &str, port: u16) -> Result<Self, InvalidUrl> {
        let host = host.to_ascii_lowercase();
        ServerName::try_from(host.as_str()).map_err(|_| invalid(&host))?;
        Ok(Self { host, port })
    }

    /// The host; an IPv6 address without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`, with brackets round an IPv6 address.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// A name for a directory and a kubeconfig user: `gate.example.com_8443`.
    pub(crate) fn id(&self) -> String {
        format!("{}_{}", self.host.replace(':', "-"), self.port)
    }
}

impl fmt::Display for GateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority())
    }
}

impl FromStr for GateUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let bad = || invalid(text);
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let uri: Uri = full.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let plain = uri.scheme_str() == Some("https")
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !authority.as_str().contains('@');
        if !plain {
            return Err(bad());
        }
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        // `Authority::port` says nothing of `:99999` and `:`.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 443,
            Some(rest) => {
                let digits = rest.strip_prefix(':').ok_or_else(bad)?;
                digits.parse().map_err(|_| bad())?
            }
            None => return Err(bad()),
        };
        Self::new(host, port).map_err(|_| bad())
    }
}

fn invalid(text: &str) -> InvalidUrl {
    InvalidUrl {
        text: text.chars().take(200).collect(),
    }
}

/// A text that is not the address of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidUrl {
    text: String,
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not the address of a gate: write `https://HOST:PORT`",
            self.text
        )
    }
}

impl std::error::Error for InvalidUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        for (text, form, id) in [
            (
                "https://Gate.example.com:8443/",
                "https://gate.example.com:8443",
                "gate.example.com_8443",
            ),
            (
                "gate.example.com",
                "https://gate.example.com:443",
                "gate.example.com_443",
            ),
            ("127.0.0.1:1", "https://127.0.0.1:1", "127.0.0.1_1"),
            ("https://[::1]:8443", "https://[::1]:8443", "--1_8443"),
        ] {
            let url: GateUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), form);
            assert_eq!(url.id(), id);
            assert_eq!(form.parse::<GateUrl>().unwrap(), url);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "http://gate:8443",
            "https://u:p@gate:8443",
            "https://gate:8443/clusters/x",
            "https://gate:8443/?a",
            "https://gate:",
            "https://gate:99999",
            "https://ga te",
            "https://../..",
            "unix:///run/x",
        ] {
            assert!(bad.parse::<GateUrl>().is_err(), "{bad}");
        }
    }
}
