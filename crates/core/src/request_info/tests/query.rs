//! Queries as Go reads them, and what is refused of them.

use super::*;

fn pairs(raw: &str) -> Vec<(String, String)> {
    Query::parse(raw).unwrap().pairs().to_vec()
}

#[test]
fn pairs_are_decoded_as_go_decodes_them() {
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(pairs(""), []);
    assert_eq!(pairs("&&"), []);
    assert_eq!(pairs("a"), [pair("a", "")]);
    assert_eq!(pairs("=x&a="), [pair("", "x"), pair("a", "")]);
    assert_eq!(
        pairs("a=b=c&%61=%2B+%26&a?=/"),
        [pair("a", "b=c"), pair("a", "+ &"), pair("a?", "/")]
    );
    assert_eq!(pairs("a=%c3%A4%0a"), [pair("a", "ä\n")]);
}

#[test]
fn what_go_would_drop_is_refused() {
    for raw in [
        "a;b", "a=1;b=2", "a=%", "a=%2", "%zz=1", "a=%+1", "a=%00", "a=%FF", "a=ä", "a=b c", "a#b",
        "a=\u{7f}",
    ] {
        assert!(Query::parse(raw).is_err(), "{raw}");
    }
    assert!(Query::parse(&"a&".repeat(999)).is_ok());
    assert!(Query::parse(&"a&".repeat(1000)).is_err());
    assert!(Query::parse(&"&".repeat(1000)).is_err());
}

#[test]
fn flags_are_true_unless_they_say_otherwise() {
    for (raw, expected) in [
        ("", false),
        ("x", true),
        ("x=", true),
        ("x=0", false),
        ("x=00", true),
        ("x=FALSE", false),
        ("x=fal%C5%BFe", false),
        ("x=%66alse", false),
        ("x=f", true),
        ("x=no", true),
        ("x=0&x=1", false),
        ("X=1", false),
    ] {
        assert_eq!(Query::parse(raw).unwrap().flag("x"), expected, "{raw}");
    }
}

#[test]
fn a_value_that_counts_once_is_given_once() {
    for (url, fine) in [
        ("/api/v1/pods?watch=1&watch=1", true),
        ("/api/v1/pods?watch=1&watch=true", false),
        ("/api/v1/pods?fieldSelector=&fieldSelector=a%3Db", false),
        ("/api/v1/pods?limit=1&limit=2", false),
        ("/api/v1/pods?pretty=1&pretty=2", true),
        ("/api/v1/pods?Watch=1&Watch=0", true),
        (
            "/api/v1/namespaces/a/pods/p/exec?container=a&container=b",
            false,
        ),
        ("/api/v1/namespaces/a/pods/p/exec?command=a&command=b", true),
        ("/api/v1/namespaces/a/pods/p/proxy/?limit=a&limit=b", true),
        ("/openapi/v3?limit=1&limit=2", true),
    ] {
        assert_eq!(parse_url("GET", url).is_ok(), fine, "{url}");
    }
}

#[test]
fn numbers_of_a_list_are_numbers() {
    for (query, fine) in [
        ("limit=500", true),
        ("limit=%2B5", true),
        ("limit=-1", true),
        ("limit=9223372036854775807", true),
        ("limit=9223372036854775808", false),
        ("limit=", false),
        ("limit=5x", false),
        ("limit=1_000", false),
        ("limit=0x10", false),
        ("timeoutSeconds=300", true),
        ("timeoutSeconds=5m", false),
        ("timeout=5m", true),
    ] {
        let ok = |method: &str, path: &str| RequestInfo::parse(method, path, Some(query)).is_ok();
        assert_eq!(ok("GET", "/api/v1/pods"), fine, "{query}");
        assert_eq!(ok("DELETE", "/api/v1/pods"), fine, "{query}");
        assert_eq!(ok("GET", "/api/v1/watch/pods"), fine, "{query}");
        assert!(ok("GET", "/api/v1/pods/a"), "{query}");
        assert!(ok("GET", "/metrics"), "{query}");
        assert!(ok("GET", "/api/v1/nodes/n/proxy/"), "{query}");
    }
}

#[test]
fn a_dry_run_is_one_or_the_request_is_refused() {
    for (query, fine) in [
        ("dryRun=All", true),
        ("dryRun=All&dryRun=All", true),
        ("dryRun=all", false),
        ("dryRun=", false),
        ("dryRun", false),
        ("dryRun=None", false),
        ("dryRun=All&dryRun=x", false),
        ("dryrun=x", true),
    ] {
        for (method, path) in [
            ("POST", "/api/v1/namespaces/a/pods"),
            ("PUT", "/api/v1/namespaces/a/pods/p"),
            ("PATCH", "/api/v1/namespaces/a/pods/p"),
            ("DELETE", "/api/v1/namespaces/a/pods/p"),
            ("DELETE", "/api/v1/namespaces/a/pods"),
        ] {
            let got = RequestInfo::parse(method, path, Some(query));
            assert_eq!(got.is_ok(), fine, "{method} {path}?{query}");
        }
    }
    for tail in ["exec", "attach", "portforward", "proxy", "proxy/x"] {
        let url = format!("/api/v1/namespaces/a/pods/p/{tail}?dryRun=All");
        assert!(reason("POST", &url).contains("not supported"));
        assert!(reason("GET", &url).contains("not supported"));
    }
}
