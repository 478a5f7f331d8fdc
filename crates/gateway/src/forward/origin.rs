//! What keeps an application behind a `proxy` subresource from acting as the gate. A browser takes all
//! that is below one host and port for one origin, so an answer must not set anything for more than
//! itself, and the gate's own cookies must not reach an application.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A page of an application is an origin of its own, which no other page shares: it can neither read
/// the gate's pages nor send requests with the gate's cookies in a person's name. Several headers of
/// this kind are obeyed all at once, so what the application asks for itself holds too.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-scripts allow-forms allow-popups");

/// What would hold for the whole origin, or for its host.
const FOR_ALL: [&str; 11] = [
    "accept-ch",
    "alt-svc",
    "clear-site-data",
    "nel",
    "origin-agent-cluster",
    "public-key-pins",
    "report-to",
    "service-worker-allowed",
    "set-login",
    "strict-transport-security",
    "sec-session-registration",
];

/// Restricts an answer. `below` is the path under which the application is, for the client; `None` for
/// an answer of the API server itself.
pub(super) fn restrict(headers: &mut HeaderMap, below: Option<&str>) {
    for name in FOR_ALL {
        headers.remove(name);
    }
    match below {
        Some(below) => keep_own_cookies(headers, below),
        None => {
            headers.remove(header::SET_COOKIE);
        }
    }
    // An aggregated API server may answer with a page, too.
    if below.is_some() || !is_data(headers) {
        headers.append(header::CONTENT_SECURITY_POLICY, SANDBOX);
    }
}

/// Takes the gate's own cookies out of a request to an application. Theirs cannot have such names: a
/// browser accepts `__Host-` for the path `/` only, which they cannot set.
pub(super) fn hide_cookies(headers: &mut HeaderMap) {
    let header::Entry::Occupied(entry) = headers.entry(header::COOKIE) else {
        return;
    };
    let (name, values) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = values.filter_map(|v| without_ours(&v)).collect();
    for value in kept {
        headers.append(&name, value);
    }
}

/// The path below which an application is, for the client: up to the subresource, which stands behind
/// the name of an object. Whatever does not look like this is an application of its own.
pub(super) fn prefix(cluster: &str, path: &str) -> String {
    let segments: Vec<&str> = path.split('/').collect();
    let resource = match segments.get(1) {
        Some(&"apis") => 4,
        _ => 3,
    };
    let proxy = match segments.get(resource) {
        Some(&"namespaces") => resource + 4,
        _ => resource + 2,
    };
    let own = match segments.get(..=proxy) {
        Some(own) if own.last() == Some(&"proxy") => own.join("/"),
        _ => path.to_owned(),
    };
    format!("{}{cluster}{own}", crate::parse::PREFIX)
}

fn without_ours(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let kept: Vec<&str> = text
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && !is_ours(pair))
        .collect();
    HeaderValue::from_str(&kept.join("; "))
        .ok()
        .filter(|v| !v.is_empty())
}

fn is_ours(pair: &str) -> bool {
    const HOST: &str = "__host-";
    pair.get(..HOST.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(HOST))
}

fn keep_own_cookies(headers: &mut HeaderMap, below: &str) {
    let header::Entry::Occupied(entry) = headers.entry(header::SET_COOKIE) else {
        return;
    };
    let (name, values) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = values.filter(|v| stays_below(v, below)).collect();
    for value in kept {
        headers.append(&name, value);
    }
}

/// Whether a cookie is for the application alone. Without a `Path` a browser would make one up, from
/// the place of the last slash, which may lie above the application.
fn stays_below(cookie: &HeaderValue, below: &str) -> bool {
    let Ok(text) = cookie.to_str() else {
        return false;
    };
    let mut attributes = text.split(';').map(str::trim);
    let own_name = attributes.next().is_some_and(|pair| !is_ours(pair));
    let mut paths = 0;
    for attribute in attributes {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "domain" => return false,
            "path" => {
                let rest = value.trim().strip_prefix(below);
                if !rest.is_some_and(|r| r.is_empty() || r.starts_with('/')) {
                    return false;
                }
                paths += 1;
            }
            _ => {}
        }
    }
    own_name && paths == 1
}

/// Whether no browser makes a page of this answer.
fn is_data(headers: &HeaderMap) -> bool {
    const DATA: [&str; 4] = [
        "application/json",
        "application/vnd.kubernetes.protobuf",
        "application/cbor",
        "text/plain",
    ];
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|kind| DATA.iter().any(|data| kind.starts_with(data)))
}

/// What only a browser sends when it installs a service worker, which would answer for other pages.
pub(crate) const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");

#[cfg(test)]
mod tests {
    use super::*;

    const BELOW: &str = "/clusters/prod/api/v1/namespaces/shop/services/web/proxy";

    fn restricted(pairs: &[(&str, &str)], below: Option<&str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, value.parse().unwrap());
        }
        restrict(&mut map, below);
        map
    }

    #[test]
    fn the_prefix_ends_with_the_proxy_subresource() {
        for (path, own) in [
            ("/api/v1/namespaces/shop/services/web/proxy/a/proxy/b", 42),
            ("/api/v1/namespaces/proxy/services/proxy/proxy/", 45),
            ("/api/v1/nodes/proxy/proxy/logs", 25),
            ("/apis/g.example/v1/things/a/proxy/b", 33),
            ("/apis/g.example/v1/namespaces/n/things/a/proxy", 46),
            ("/api/v1/namespaces/shop/services/web/%70roxy/a", 46),
        ] {
            let expected = format!("/clusters/prod{}", path.split_at(own).0);
            assert_eq!(prefix("prod", path), expected);
        }
        let path = "/api/v1/namespaces/shop/services/web/proxy";
        assert_eq!(prefix("prod", path), BELOW);
    }

    #[test]
    fn a_page_of_an_application_is_sandboxed_beside_its_own_policy() {
        let own = [
            ("content-security-policy", "default-src 'self'"),
            ("service-worker-allowed", "/"),
            ("clear-site-data", "*"),
            ("x-own", "kept"),
        ];
        let headers = restricted(&own, Some(BELOW));
        let policies: Vec<_> = headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies, ["default-src 'self'", SANDBOX.to_str().unwrap()]);
        assert!(!headers.contains_key("clear-site-data"));
        assert!(!headers.contains_key("service-worker-allowed"));
        assert_eq!(headers["x-own"], "kept");
    }

    #[test]
    fn data_of_the_api_server_is_left_alone_and_its_pages_are_not() {
        let json = restricted(&[("content-type", "application/json")], None);
        assert!(!json.contains_key("content-security-policy"));
        for kind in ["text/html", "image/svg+xml", ""] {
            let page = restricted(&[("content-type", kind), ("set-cookie", "a=b")], None);
            assert!(page.contains_key("content-security-policy"), "{kind}");
            assert!(!page.contains_key("set-cookie"));
        }
    }

    #[test]
    fn only_cookies_for_the_application_alone_pass() {
        let own = format!("a=1; Path={BELOW}; HttpOnly");
        let deeper = format!("b=1; path={BELOW}/x");
        for kept in [&own, &deeper] {
            let headers = restricted(&[("set-cookie", kept)], Some(BELOW));
            assert_eq!(headers["set-cookie"], kept.as_str());
        }
        for dropped in [
            "a=1".to_owned(),
            "a=1; Path=/".to_owned(),
            "a=1; Path=".to_owned(),
            "a=1; Path=/clusters/prod".to_owned(),
            format!("a=1; Path={BELOW}2"),
            format!("a=1; Path={BELOW}; Path=/"),
            format!("a=1; Path={BELOW}; Domain=example.com"),
            format!("__Host-a=1; Path={BELOW}"),
        ] {
            let headers = restricted(
                &[("set-cookie", &dropped), ("set-cookie", &own)],
                Some(BELOW),
            );
            let kept: Vec<_> = headers.get_all("set-cookie").iter().collect();
            assert_eq!(kept, [own.as_str()], "{dropped}");
        }
    }

    #[test]
    fn the_gates_cookies_do_not_reach_an_application() {
        let mut headers = HeaderMap::new();
        headers.append(
            "cookie",
            "a=1; __Host-kubestile=secret;b=2".parse().unwrap(),
        );
        headers.append("cookie", "__host-x=secret".parse().unwrap());
        hide_cookies(&mut headers);
        let kept: Vec<_> = headers.get_all("cookie").iter().collect();
        assert_eq!(kept, ["a=1; b=2"]);
    }
}
