//! Where an API server is: the parts of a kubeconfig's `server` URL.

use rustls::pki_types::ServerName;

use crate::error::ClusterError;

/// An address that can be connected to, and the name that its certificate must have.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// Host name or address, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
    /// Prefix of every path, without a trailing slash; usually empty.
    pub(crate) base_path: String,
    /// The name to verify.
    pub(crate) server_name: ServerName<'static>,
}

impl Endpoint {
    /// From a URL such as `https://host:6443` or `https://rancher/k8s/clusters/c-1`.
    ///
    /// # Errors
    /// [`ClusterError::Server`] for what is not https or carries more than an address.
    pub(crate) fn parse(server: &str, tls_server_name: Option<&str>) -> Result<Self, ClusterError> {
        let refuse = |reason| ClusterError::Server {
            server: without_user(server),
            reason,
        };
        let uri: http::Uri = server
            .trim()
            .parse()
            .map_err(|_| refuse("it is not a URL"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => return Err(refuse("it must be https: a credential goes to it")),
            _ => return Err(refuse("it must begin with https://")),
        }
        let authority = uri.authority().ok_or_else(|| refuse("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("it must not contain a user name or password"));
        }
        if uri.query().is_some() {
            return Err(refuse("it must not have a query"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err(refuse("it has no host"));
        }
        // `port()` is `None` for a missing port and for one that is not a number alike.
        let port = match authority.as_str() == authority.host() {
            true => 443,
            false => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(|| refuse("its port is not a port"))?,
        };
        let base_path = uri.path().trim_end_matches('/').to_owned();
        if !is_plain_path(&base_path) {
            return Err(refuse("its path has characters that do not belong there"));
        }
        let name = tls_server_name
            .filter(|name| !name.is_empty())
            .unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| refuse("its name cannot be the name in a certificate"))?;
        Ok(Self {
            host: host.to_owned(),
            port,
            base_path,
            server_name,
        })
    }

    /// `host:port`, with brackets round an IPv6 address: the `Host` header, and for messages.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Segments of unreserved characters only: a prefix that no two programs read differently.
fn is_plain_path(path: &str) -> bool {
    path.is_empty()
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/').all(|segment| {
                !segment.is_empty()
                    && segment != "."
                    && segment != ".."
                    && segment.bytes().all(|b| {
                        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b':')
                    })
            })
        })
}

/// The URL as it may stand in a message: without user information and query.
fn without_user(server: &str) -> String {
    let shown: String = server
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    match shown.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_apart_as_kubectl_takes_them() {
        for (server, host, port, base, authority) in [
            (
                "https://10.0.0.1:6443",
                "10.0.0.1",
                6443,
                "",
                "10.0.0.1:6443",
            ),
            (
                "https://api.example/",
                "api.example",
                443,
                "",
                "api.example:443",
            ),
            (
                "https://[2001:db8::1]:6443",
                "2001:db8::1",
                6443,
                "",
                "[2001:db8::1]:6443",
            ),
            (
                "https://rancher.example/k8s/clusters/c-m-1/",
                "rancher.example",
                443,
                "/k8s/clusters/c-m-1",
                "rancher.example:443",
            ),
        ] {
            let endpoint = Endpoint::parse(server, None).unwrap();
            assert_eq!(endpoint.host, host);
            assert_eq!(endpoint.port, port);
            assert_eq!(endpoint.base_path, base);
            assert_eq!(endpoint.authority(), authority);
        }
        let named = Endpoint::parse("https://10.0.0.1", Some("kubernetes")).unwrap();
        assert_eq!(
            named.server_name,
            ServerName::try_from("kubernetes").unwrap()
        );
    }

    #[test]
    fn what_is_not_an_https_address_is_refused_without_showing_a_password() {
        for bad in [
            "",
            "api.example",
            "http://api.example",
            "https://",
            "https://user:hunter2@api.example",
            "https://api.example?token=hunter2",
            "https://api.example:0",
            "https://api.example:",
            "https://api.example:99999",
            "https://api.example/a/../b",
            "https://api.example/a%2fb",
            "https://api.example//b",
            "https://api .example",
            "unix:///run/api.sock",
        ] {
            let error = Endpoint::parse(bad, None).expect_err(bad).to_string();
            assert!(error.contains("cannot use the server"), "{bad}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Endpoint::parse("https://a.example", Some("not a name")).is_err());
    }
}
