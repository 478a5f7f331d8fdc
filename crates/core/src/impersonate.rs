//! The headers that go upstream: everything that could carry an identity is stripped first, ours is
//! set second, for every header family.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::ids::{RequestId, SessionId};

/// As whom a request goes upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonation {
    /// `Impersonate-User`.
    pub user: String,
    /// `Impersonate-Uid`.
    pub uid: Option<String>,
    /// `Impersonate-Group`, one header each.
    pub groups: Vec<String>,
    /// `Impersonate-Extra-<key>`: key (a domain-prefixed path) and value.
    pub extra: Vec<(String, String)>,
}

/// Extra key of the session.
pub const EXTRA_SESSION: &str = "kubestile.dev/session";
/// Extra key of the grant, when one carries the request.
pub const EXTRA_GRANT: &str = "kubestile.dev/grant";
/// Extra key of the request id.
pub const EXTRA_REQUEST: &str = "kubestile.dev/request";

impl Impersonation {
    /// The extra keys by which admission and the API server's audit log know a request of ours.
    pub fn our_extra(session: SessionId, request: RequestId) -> Vec<(String, String)> {
        vec![
            (EXTRA_SESSION.to_owned(), session.to_string()),
            (EXTRA_REQUEST.to_owned(), request.to_string()),
        ]
    }
}

/// Why the headers of a request cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A header that only makes sense as an attempt to be read differently by two programs.
    #[error("the header `{0}` is not allowed here")]
    Forbidden(String),
    /// An identity that cannot be written as a header value.
    #[error("the identity has a character that a header cannot carry")]
    Unwritable,
}

/// Headers of a client that an API request may carry upstream. Everything else stays behind: what
/// is not known to be harmless is not passed on. (`content-length` is set anew from the body.)
const PASSED: [&str; 18] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "date",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "kubectl-command",
    "kubectl-session",
    "range",
    "traceparent",
    "tracestate",
    "user-agent",
];

/// Which headers a request may take upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// An API request: only headers of the list.
    Api,
    /// A request to an application through a `proxy` subresource: everything that is neither an
    /// identity nor about the connection.
    Proxied,
}

/// Whether a header belongs to a family that carries identity or forges its origin, however it is
/// spelt: `_` counts as `-`.
pub fn carries_identity(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    const FAMILIES: [&str; 5] = [
        "impersonate",
        "x-remote",
        "x-forwarded",
        "x-original",
        "x-client-cert",
    ];
    const NAMES: [&str; 12] = [
        "authorization",
        "proxy-authorization",
        "audit-id",
        "forwarded",
        "x-real-ip",
        "x-envoy-external-address",
        "true-client-ip",
        "cf-connecting-ip",
        "x-http-method-override",
        "x-method-override",
        "x-http-method",
        "front-proxy",
    ];
    FAMILIES.iter().any(|family| name.starts_with(family)) || NAMES.contains(&name.as_str())
}

/// Whether a header is about one connection (RFC 9110 §7.6.1) and never travels on.
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "host"
            | "proxy-authenticate"
    ) || name.starts_with("sec-websocket-")
}

/// The headers of a client's request without anything that names an identity, a connection, or what
/// the client's `Connection` header lists.
pub fn strip(client: &HeaderMap, passage: Passage) -> HeaderMap {
    let listed: Vec<String> = client
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .collect();
    let mut kept = HeaderMap::with_capacity(client.len() + 12);
    for (name, value) in client {
        let text = name.as_str();
        let passes = match passage {
            Passage::Api => PASSED.contains(&text),
            Passage::Proxied => true,
        };
        if passes
            && !carries_identity(text)
            && !is_hop_by_hop(text)
            && !listed.iter().any(|l| l == text)
        {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

/// Sets the identity, the request's id and the true source on stripped headers.
///
/// # Errors
/// [`HeaderError::Unwritable`] when a part of the identity cannot be a header value.
pub fn set(
    headers: &mut HeaderMap,
    who: &Impersonation,
    request: RequestId,
    source: std::net::IpAddr,
) -> Result<(), HeaderError> {
    headers.insert(
        HeaderName::from_static("impersonate-user"),
        value(&who.user)?,
    );
    if let Some(uid) = &who.uid {
        headers.insert(HeaderName::from_static("impersonate-uid"), value(uid)?);
    }
    for group in &who.groups {
        headers.append(HeaderName::from_static("impersonate-group"), value(group)?);
    }
    for (key, text) in &who.extra {
        headers.append(extra_header(key)?, value(text)?);
    }
    headers.insert(
        HeaderName::from_static("audit-id"),
        value(&request.to_string())?,
    );
    headers.insert(
        HeaderName::from_static("x-forwarded-for"),
        value(&source.to_string())?,
    );
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue, HeaderError> {
    // `from_str` refuses control characters but allows a leading or trailing space, which would be
    // trimmed on the way and make another name of it.
    if text.is_empty() || text.trim() != text || !text.is_ascii() {
        return Err(HeaderError::Unwritable);
    }
    HeaderValue::from_str(text).map_err(|_| HeaderError::Unwritable)
}

/// `Impersonate-Extra-<key>` with the key escaped as client-go's `headerKeyEscape` does.
fn extra_header(key: &str) -> Result<HeaderName, HeaderError> {
    let mut name = String::from("impersonate-extra-");
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::Unwritable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, text) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                text.parse().unwrap(),
            );
        }
        map
    }

    #[test]
    fn every_identity_family_is_stripped_in_both_passages() {
        let client = headers(&[
            ("Impersonate-User", "admin"),
            ("impersonate_user", "admin"),
            ("Impersonate-Group", "system:masters"),
            ("Impersonate-Uid", "0"),
            ("Impersonate-Extra-Scopes%2Fa", "x"),
            ("X-Remote-User", "admin"),
            ("X-Remote-Extra-a", "x"),
            ("X_Remote_Group", "system:masters"),
            ("Authorization", "Bearer x"),
            ("Audit-ID", "forged"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Real-Ip", "10.0.0.1"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("Upgrade", "h2c"),
            (
                "Sec-WebSocket-Protocol",
                "base64url.bearer.authorization.k8s.io.eA, v5",
            ),
            ("TE", "trailers"),
        ]);
        assert!(strip(&client, Passage::Api).is_empty());
        assert!(strip(&client, Passage::Proxied).is_empty());
    }

    #[test]
    fn headers_named_by_connection_are_stripped_and_ours_survive() {
        let client = headers(&[
            ("Connection", "close, Accept, Impersonate-User"),
            ("Accept", "application/json"),
            ("User-Agent", "kubectl"),
        ]);
        let mut kept = strip(&client, Passage::Api);
        assert!(!kept.contains_key("accept"));
        let who = Impersonation {
            user: "ana".into(),
            uid: Some("u1".into()),
            groups: vec!["kubestile:viewer".into(), "b".into()],
            extra: vec![(EXTRA_SESSION.into(), "s1".into())],
        };
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(1));
        set(&mut kept, &who, id, "192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(kept["impersonate-user"], "ana");
        assert_eq!(kept.get_all("impersonate-group").iter().count(), 2);
        assert_eq!(kept["impersonate-extra-kubestile.dev%2Fsession"], "s1");
        assert_eq!(kept["x-forwarded-for"], "192.0.2.1");
        assert_eq!(kept["user-agent"], "kubectl");
    }

    #[test]
    fn an_identity_that_a_header_cannot_carry_is_an_error() {
        for bad in ["", " ana", "ana ", "a\nb", "ä"] {
            assert_eq!(value(bad), Err(HeaderError::Unwritable), "{bad:?}");
        }
    }
}
