//! Spellings that two programs could read differently.

use super::*;

#[test]
fn paths_that_could_be_read_in_two_ways_are_refused() {
    for (path, because) in [
        ("", "does not begin with a slash"),
        ("*", "does not begin with a slash"),
        ("api/v1/pods", "does not begin with a slash"),
        ("https://h/api/v1/pods", "does not begin with a slash"),
        ("//", "empty segment"),
        ("/api//v1/pods", "empty segment"),
        ("/api/v1/pods//", "empty segment"),
        ("/healthz//", "empty segment"),
        ("/api/v1/pods/", "ends with a slash"),
        ("/api/v1/namespaces/a/", "ends with a slash"),
        ("/api/v1/./pods", "`.` or `..`"),
        ("/api/v1/namespaces/a/pods/..", "`.` or `..`"),
        ("/openapi/../api/v1/secrets", "`.` or `..`"),
        ("/api/v1/namespaces/a/%2e%2e/secrets", "escaped letter"),
        ("/api/v1/namespaces/a/.%2E/secrets", "escaped letter"),
        ("/api/v1/%70ods", "escaped letter"),
        ("/%61pi/v1/pods", "escaped letter"),
        ("/api/v1/pods/a%2fb", "escaped `/`"),
        ("/api/v1/pods/a%5Cb", "escaped `/`"),
        ("/api/v1/pods/a%252fb", "escaped `/`"),
        ("/api/v1/pods/a%3Bb", "escaped `/`"),
        ("/api/v1/pods/a%00", "control character"),
        ("/api/v1/pods/a%0d%0aHost:x", "control character"),
        ("/api/v1/pods/a%7f", "control character"),
        ("/api/v1/pods/a%C2%85", "control character"),
        ("/api/v1/pods/a%E2%80%AEb", "cannot be seen"),
        ("/api/v1/pods/a%FF", "not UTF-8"),
        ("/api/v1/pods/%C0%AF", "not UTF-8"),
        ("/api/v1/pods/a%", "two hexadecimal digits"),
        ("/api/v1/pods/a%2", "two hexadecimal digits"),
        ("/api/v1/pods/a%zz", "two hexadecimal digits"),
        ("/api/v1/pods/a%+1", "two hexadecimal digits"),
        ("/api/v1/pods\\..\\secrets", "one of the characters"),
        ("/api/v1/pods;x=1", "one of the characters"),
        ("/api/v1/pods#f", "one of the characters"),
        ("/api/v1/pods a", "a space"),
        ("/api/v1/pods\r\n", "a space"),
        ("/api/v1/pods/ä", "outside of ASCII"),
        ("/api/v1/watch", "without a resource"),
        ("/api/v1/proxy", "without a resource"),
        ("/apis/apps/v1/watch", "without a resource"),
    ] {
        let error = RequestInfo::parse("GET", path, None)
            .expect_err(path)
            .to_string();
        assert!(error.contains(because), "{path}: {error}");
    }
    let error = RequestInfo::parse("GET", "/api/v1/pods?watch=1", None).unwrap_err();
    assert!(error.to_string().contains("one of the characters"));
}

#[test]
fn what_only_looks_odd_is_accepted() {
    check(&[
        (
            "GET",
            "/api/v1/pods/...",
            "get api - v1 - pods - ... pods/...",
        ),
        (
            "GET",
            "/api/v1/pods/a+b",
            "get api - v1 - pods - a+b pods/a+b",
        ),
        (
            "GET",
            "/api/v1/pods/a%3Ab%20%c3%a4",
            "get api - v1 - pods - a:b ä pods/a:b ä",
        ),
        (
            "GET",
            "/.well-known/openid-configuration",
            "get /.well-known/openid-configuration",
        ),
        ("GET", "/API/v1/pods", "get /API/v1/pods"),
        ("GET", "/api%20/v1/pods", "get /api /v1/pods"),
        (
            "GET",
            "/api/v1/namespaces/status",
            "get api - v1 status namespaces - status namespaces/status",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/finalize/x",
            "get api - v1 a namespaces finalize a namespaces/a/finalize/x",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/namespaces/b",
            "get api - v1 a namespaces - b namespaces/b",
        ),
        (
            "GET",
            "/api/v1/watch/watch/a",
            "watch api - v1 - watch - a watch/a",
        ),
        (
            "GET",
            "/api/v1/watch/namespaces",
            "watch api - v1 - namespaces - - namespaces",
        ),
        (
            "GET",
            "/api/v1/proxy/nodes/n/status",
            "proxy api - v1 - nodes - n nodes/n/status",
        ),
    ]);
}

#[test]
fn a_proxy_subpath_may_be_spelt_freely_but_leads_nowhere_else() {
    let node = "/api/v1/nodes/n/proxy";
    for (subpath, parts) in [
        ("", "nodes/n/proxy"),
        ("/", "nodes/n/proxy"),
        ("//", "nodes/n/proxy"),
        ("/%2F%2f", "nodes/n/proxy"),
        ("/a/", "nodes/n/proxy/a"),
        ("//a//b//", "nodes/n/proxy//a//b"),
        ("/%61%2Fb%25c", "nodes/n/proxy/a/b%c"),
        ("/a%2F%2Fb%2f", "nodes/n/proxy/a//b"),
        ("/%20%3B", "nodes/n/proxy/ ;"),
        ("/...", "nodes/n/proxy/..."),
    ] {
        let info = parse_url("GET", &format!("{node}{subpath}")).expect(subpath);
        let r = info.resource().unwrap();
        assert_eq!(r.parts.join("/"), parts, "{subpath}");
        assert_eq!(
            (info.verb, r.subresource.as_str(), r.name.as_str()),
            (Verb::Get, "proxy", "n")
        );
    }
    for subpath in [
        "/..",
        "/a/../b",
        "/.",
        "/%2e%2e/x",
        "/%2E./x",
        "/a%2F..%2Fb",
        "/%252e%252e/x",
        "/a%252F..%252Fb",
        "/..%3Bx/y",
        "/..%253Bx/y",
        "/a%5Cb",
        "/a%255Cb",
        "/a%00",
        "/a%2500",
        "/a%0a",
        "/a%250a",
        "/%FF",
        "/%zz",
        "/a;b",
        "/a\\b",
        "/a%E2%80%AEb",
    ] {
        reason("GET", &format!("{node}{subpath}"));
    }
    // Elsewhere a subpath gets no such freedom.
    for path in [
        "/apis/apps/v1/nodes/n/proxy/%61",
        "/api/v1/secrets/n/proxy/%61",
        "/api/v1/pods/n/exec/%61",
        "/api/v1/watch/nodes/n/proxy/%61",
        "/api/v1/proxy/nodes/n/%61",
        "/api/v1/namespaces/a/nodes/n/status/proxy/%61",
        "/api/v1/nodes/n%2Fx/proxy/",
        "/api/v1/nodes/n/%70roxy/x",
    ] {
        reason("GET", path);
    }
    check(&[(
        "GET",
        "/api/v1/namespaces/a/services/https:web:443/proxy/%61//",
        "get api - v1 a services proxy https:web:443 services/https:web:443/proxy/a",
    )]);
}

#[test]
fn sizes_are_bounded() {
    let long = format!("/{}", "a".repeat(MAX_REQUEST_TARGET));
    assert!(reason("GET", &long).contains("64 KiB"));
    let query = "a".repeat(MAX_REQUEST_TARGET - 1);
    RequestInfo::parse("GET", "/", Some(&query)).unwrap();
    assert!(RequestInfo::parse("GET", "/a", Some(&query)).is_err());
    assert!(reason("GET", &"/a".repeat(257)).contains("256 segments"));
    parse_url("GET", &"/a".repeat(256)).unwrap();
    let proxied = format!("/api/v1/nodes/n/proxy/{}a", "/".repeat(300));
    assert!(reason("GET", &proxied).contains("256 segments"));
}

#[test]
fn an_error_repeats_nothing_of_the_query() {
    for query in [
        "token=hunter2&x=%zz",
        "token=hunter2;",
        "limit=hunter2",
        "fieldSelector=hunter2",
        "labelSelector=hunter2=(",
        "watch=hunter2&watch=1",
        "dryRun=hunter2",
    ] {
        for method in ["GET", "DELETE"] {
            if let Err(error) = RequestInfo::parse(method, "/api/v1/pods", Some(query)) {
                assert!(!error.to_string().contains("hunter2"), "{query}: {error}");
            }
        }
    }
}
