//! What every page says to the browser about itself, and what every form must show.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_SECURITY_POLICY, ORIGIN, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::error::ApiError;

/// Nothing but our own style sheet and forms. No script, not even our own.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Puts the headers of a page on an answer; a stricter or different policy that is there stays.
pub(super) async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(POLICY);
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(OPENER_POLICY, same_origin.clone());
    headers.insert(RESOURCE_POLICY, same_origin.clone());
    // Not `no-referrer`: with it a browser sends `Origin: null` with our own forms too (Fetch, "append a
    // request `Origin` header"), and could not be told from a forger. Nothing goes to others either way,
    // and no address here holds a secret.
    headers.insert(REFERRER_POLICY, same_origin);
    response
}

/// The same, with one script of our own allowed.
pub(super) fn policy_with_script(public_url: &str, path: &'static str) -> HeaderValue {
    let base = public_url.trim_end_matches('/');
    let text = format!(
        "default-src 'none'; script-src {base}{path}; style-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    // A strange address makes a page without script, which works too.
    let plain = !base.contains([';', ',', ' ']);
    let value = plain.then(|| HeaderValue::from_str(&text).ok()).flatten();
    value.unwrap_or(POLICY)
}

/// Whether a form was sent by a page of this gate. Both headers are the browser's own; no script can set
/// them. Every browser of today sends both; one that does not is refused.
pub(super) fn from_own_page(headers: &HeaderMap, public_url: &str) -> Result<(), ApiError> {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    };
    let own = origin(public_url);
    let from = only(&ORIGIN).and_then(origin);
    let same = own.is_some() && own == from && only(&FETCH_SITE) == Some("same-origin");
    if same {
        return Ok(());
    }
    Err(
        ApiError::forbidden("this form was not sent by a page of this gate").hint(format!(
            "nothing was changed; open the gate as {public_url}, and look again"
        )),
    )
}

/// Whether somebody was led here by a page of another origin, so that the browser kept the cookie back.
pub(super) fn from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

/// Scheme, host and port of an address, the port said also where it is the scheme's own.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let url: Uri = url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let port = match (url.port_u16(), scheme.as_str()) {
        (Some(port), _) => port,
        (None, "https") => 443,
        (None, "http") => 80,
        (None, _) => return None,
    };
    Some((scheme, url.host()?.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn passes(url: &str, pairs: &[(&'static str, &str)]) -> bool {
        from_own_page(&headers(pairs), url).is_ok()
    }

    #[test]
    fn the_gates_own_forms_pass() {
        let site = ("sec-fetch-site", "same-origin");
        assert!(passes(
            "https://gate:8443/",
            &[("origin", "https://gate:8443"), site]
        ));
        assert!(passes(
            "https://Gate.example:443",
            &[("origin", "https://gate.example"), site]
        ));
        assert!(passes(
            "https://[::1]:8443",
            &[("origin", "https://[::1]:8443"), site]
        ));
    }

    #[test]
    fn all_others_do_not() {
        let site = ("sec-fetch-site", "same-origin");
        let own = ("origin", "https://gate:8443");
        for pairs in [
            &[][..],
            &[site],
            &[own],
            &[own, ("sec-fetch-site", "same-site")],
            &[own, ("sec-fetch-site", "cross-site")],
            &[own, ("sec-fetch-site", "none")],
            &[own, own, site],
            &[own, site, site],
            &[("origin", "null"), site],
            &[("origin", ""), site],
            &[("origin", "https://gate"), site],
            &[("origin", "http://gate:8443"), site],
            &[("origin", "https://gate:8443.evil.example"), site],
            &[("origin", "https://evil.example/https://gate:8443"), site],
        ] {
            assert!(!passes("https://gate:8443", pairs), "{pairs:?}");
        }
        assert!(!passes(
            "not an address",
            &[("origin", "not an address"), site]
        ));
    }

    #[test]
    fn the_script_is_named_and_nothing_else() {
        let policy = policy_with_script("https://gate:8443/", "/static/enter.js");
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("script-src https://gate:8443/static/enter.js;"));
        let odd = policy_with_script("https://gate; script-src *", "/static/enter.js");
        assert_eq!(odd, POLICY);
    }
}
