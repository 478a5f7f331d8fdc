//! The request parser is total, and whatever it accepts points where it seems to point.

use kubestile_core::request_info::query::Query;
use kubestile_core::request_info::{RequestInfo, Resource, Target, Verb};
use proptest::collection::vec;
use proptest::prelude::*;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Paths of pieces that mean something to somebody.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "api", "apis", "v1", "apps", "namespaces", "watch", "proxy", "status", "pods", "nodes",
            "services", "a", "web-1", "..", ".", "...", "",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec![
            "%2e", "%2F", "%5c", "%25", "%252e%252e", "%00", "%20", "%3b", ";", "\\", "%C3%A4", "%FF",
            "%", "%zz", "#", "?", "%E2%80%AE", "..%3bx", "%0a",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    let subpath = prop_oneof![
        2 => Just("/"),
        1 => Just("/api/v1/"),
        1 => Just("/api/v1/nodes/n/proxy/"),
        1 => Just("/api/v1/namespaces/a/services/s/proxy/"),
    ];
    (subpath, vec(piece, 0..8)).prop_map(|(start, pieces)| format!("{start}{}", pieces.join("/")))
}

/// Any text that a header or URL can hold in a Rust string, and much that it cannot.
fn noise() -> impl Strategy<Value = String> {
    vec(any::<u8>(), 0..200).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_parser_is_total(method in noise(), path in noise(), query in prop::option::of(noise())) {
        let _ = RequestInfo::parse(&method, &path, query.as_deref());
        let _ = RequestInfo::parse("GET", &format!("/{path}"), query.as_deref());
        let _ = RequestInfo::parse("GET", "/api/v1/pods", Some(&path));
        let selectors = format!("fieldSelector={}&labelSelector={}", escape(&path), escape(&method));
        let _ = RequestInfo::parse("DELETE", "/api/v1/pods", Some(&selectors));
    }

    #[test]
    fn what_is_accepted_has_no_detours(
        method in prop::sample::select(&METHODS[..]),
        path in path(),
    ) {
        let Ok(info) = RequestInfo::parse(method, &path, None) else { return Ok(()) };
        let again = RequestInfo::parse(method, &path, None);
        prop_assert_eq!(again.as_ref(), Ok(&info));
        match &info.target {
            Target::NonResource { path } => {
                prop_assert!(path.starts_with('/') && !path.contains("//"), "{}", path);
                prop_assert!(path.split('/').all(plain), "{}", path);
            }
            Target::Resource(r) => check_resource(r, info.verb)?,
        }
    }

    #[test]
    fn a_query_survives_the_way(pairs in vec((any::<String>(), any::<String>()), 0..20)) {
        let pairs: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(k, v)| (k.replace('\0', ""), v.replace('\0', "")))
            .collect();
        let raw: Vec<String> = pairs
            .iter()
            .map(|(k, v)| format!("{}={}", escape(k), escape(v)))
            .collect();
        let query = Query::parse(&raw.join("&")).unwrap();
        prop_assert_eq!(query.pairs(), pairs.as_slice());
        for (key, _) in &pairs {
            let first = pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
            prop_assert_eq!(query.first(key), first);
            prop_assert_eq!(query.all(key).count(), pairs.iter().filter(|(k, _)| k == key).count());
        }
    }
}

fn check_resource(r: &Resource, verb: Verb) -> Result<(), TestCaseError> {
    prop_assert!(r.prefix == "api" || r.prefix == "apis");
    prop_assert_eq!(r.parts.first(), Some(&r.resource));
    prop_assert_eq!(r.group.is_empty(), r.prefix == "api");
    let own = [&r.version, &r.resource];
    prop_assert!(own.iter().all(|part| !part.is_empty() && plain(part)));
    let maybe = [&r.group, &r.namespace, &r.subresource, &r.name];
    prop_assert!(
        maybe
            .iter()
            .all(|part| plain(part) && !part.contains(['/', '%']))
    );
    if verb == Verb::Proxy {
        prop_assert!(r.subresource.is_empty());
    }
    let (own, subpath) = r.parts.split_at(r.parts.len().min(3));
    prop_assert!(own.iter().all(|part| !part.is_empty()));
    for part in subpath {
        prop_assert!(plain(part), "{}", part);
        // An application behind a proxy may decode once more.
        let again = unescape(part);
        prop_assert!(again.split('/').all(plain), "{}", part);
    }
    Ok(())
}

/// Neither a dot segment nor anything that cannot be seen.
fn plain(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    name != "." && name != ".." && !segment.contains('\\') && !segment.chars().any(char::is_control)
}

fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Decodes what can be decoded.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let escape = rest.strip_prefix('%').and_then(|tail| tail.get(..2));
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if !rest.starts_with("%+") => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            _ => {
                bytes.extend_from_slice(c.to_string().as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
