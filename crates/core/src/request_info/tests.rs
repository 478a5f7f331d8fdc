//! The parser against tables: Kubernetes' own cases, the traps of its protocol, and hostile spellings.

mod hostile;
mod query;
mod selectors;
mod upstream;

use super::*;

/// Splits a URL as the gate does and parses it.
fn parse_url(method: &str, url: &str) -> Result<RequestInfo, ParseError> {
    match url.split_once('?') {
        Some((path, query)) => RequestInfo::parse(method, path, Some(query)),
        None => RequestInfo::parse(method, url, None),
    }
}

/// `verb prefix group version namespace resource subresource name parts`, `-` for what is empty; a
/// non-resource path as `verb path`; a refusal as `refused`.
fn seen(method: &str, url: &str) -> String {
    let Ok(info) = parse_url(method, url) else {
        return "refused".to_owned();
    };
    let mark = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    match &info.target {
        Target::NonResource { path } => format!("{} {path}", info.verb),
        Target::Resource(r) => [
            info.verb.as_str(),
            &r.prefix,
            &r.group,
            &r.version,
            &r.namespace,
            &r.resource,
            &r.subresource,
            &r.name,
            &r.parts.join("/"),
        ]
        .map(mark)
        .join(" "),
    }
}

fn check(table: &[(&str, &str, &str)]) {
    for (method, url, expected) in table {
        assert_eq!(seen(method, url), *expected, "{method} {url}");
    }
}

fn reason(method: &str, url: &str) -> String {
    match parse_url(method, url) {
        Ok(info) => panic!("{method} {url} was accepted as {info:?}"),
        Err(error) => error.to_string(),
    }
}

/// `kubernetes.md`, the table of traps: what kube-apiserver sees, or a refusal.
#[test]
fn traps() {
    check(&[
        ("GET", "/api/v1/namespaces//pods", "refused"),
        ("GET", "/api/v1/namespaces/a%2Fpods", "refused"),
        (
            "GET",
            "/api/v1/namespaces/a/../kube-system/secrets",
            "refused",
        ),
        ("GET", "/apis/G/V/namespaces/../foos", "refused"),
        ("GET", "//api/v1/secrets", "refused"),
        ("GET", "/api/v1/secrets/", "refused"),
        (
            "GET",
            "/api/v1/pods?watch=",
            "watch api - v1 - pods - - pods",
        ),
        (
            "GET",
            "/api/v1/pods?watch=no",
            "watch api - v1 - pods - - pods",
        ),
        (
            "GET",
            "/api/v1/pods?%77atch=1",
            "watch api - v1 - pods - - pods",
        ),
        ("GET", "/api/v1/pods?watch=0&watch=1", "refused"),
        (
            "GET",
            "/api/v1/pods?Watch=1",
            "list api - v1 - pods - - pods",
        ),
        ("GET", "/api/v1/pods?watch=1;a", "refused"),
        ("GET", "/api/v1/pods?limit=x&watch=1", "refused"),
        (
            "DELETE",
            "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx",
            "deletecollection api - v1 a pods - - pods",
        ),
        (
            "GET",
            "/api/v1/watch/namespaces/a/secrets/s",
            "watch api - v1 a secrets - s secrets/s",
        ),
        (
            "POST",
            "/api/v1/watch/pods",
            "watch api - v1 - pods - - pods",
        ),
        (
            "GET",
            "/api/v1/namespaces/a/status",
            "get api - v1 a namespaces status a namespaces/a/status",
        ),
        ("GET", "/API/v1/pods", "get /API/v1/pods"),
        ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
        (
            "GET",
            "/api/v1/nodes/n/proxy/metrics/../exec/ns/p/c?command=id",
            "refused",
        ),
        ("OPTIONS", "/api/v1/pods", "- api - v1 - pods - - pods"),
    ]);
}

#[test]
fn what_kubectl_really_sends() {
    check(&[
        (
            "GET",
            "/api/v1/namespaces/shop/pods?limit=500",
            "list api - v1 shop pods - - pods",
        ),
        (
            "GET",
            "/apis/apps/v1/namespaces/shop/deployments/web",
            "get apis apps v1 shop deployments - web deployments/web",
        ),
        (
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
            "get apis rbac.authorization.k8s.io v1 - clusterroles - system:node clusterroles/system:node",
        ),
        (
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%20b%C3%A4",
            "get apis rbac.authorization.k8s.io v1 - clusterroles - a bä clusterroles/a bä",
        ),
        ("GET", "/openapi/v3?timeout=32s", "get /openapi/v3"),
        (
            "GET",
            "/openapi/v3/apis/apps/v1?hash=ABC%2F..%2F%5C",
            "get /openapi/v3/apis/apps/v1",
        ),
        (
            "GET",
            "/apis/metrics.k8s.io/v1beta1/nodes",
            "list apis metrics.k8s.io v1beta1 - nodes - - nodes",
        ),
        ("GET", "/api", "get /api"),
        ("GET", "/api/v1/", "get /api/v1/"),
        ("GET", "/", "get /"),
        ("HEAD", "/version", "head /version"),
        (
            "GET",
            "/api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dweb-1&watch=true&allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300",
            "watch api - v1 shop pods - web-1 pods",
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-client-side-apply&fieldValidation=Strict&dryRun=All",
            "patch apis apps v1 shop deployments - web deployments/web",
        ),
        (
            "POST",
            "/api/v1/namespaces/shop/pods/web-1/eviction",
            "create api - v1 shop pods eviction web-1 pods/web-1/eviction",
        ),
        (
            "GET",
            "/api/v1/namespaces/shop/pods/web-1/log?container=web&follow=true&tailLines=10",
            "get api - v1 shop pods log web-1 pods/web-1/log",
        ),
    ]);
    let exec = parse_url(
        "GET",
        "/api/v1/namespaces/shop/pods/web-1/exec?command=sh&command=-c&command=ls+-l%3B+id&container=web&stdin=true&stdout=true&tty=false",
    )
    .unwrap();
    assert_eq!(exec.verb, Verb::Get);
    let command: Vec<&str> = exec.query.all("command").collect();
    assert_eq!(command, ["sh", "-c", "ls -l; id"]);
    assert!(exec.query.flag("stdin") && !exec.query.flag("tty") && !exec.query.flag("stderr"));
}

#[test]
fn verbs_of_every_method() {
    let on = |method: &str, path: &str| parse_url(method, path).unwrap().verb;
    for (method, object, collection, elsewhere) in [
        ("GET", Verb::Get, Verb::List, Verb::Get),
        ("HEAD", Verb::Get, Verb::List, Verb::Head),
        ("POST", Verb::Create, Verb::Create, Verb::Post),
        ("PUT", Verb::Update, Verb::Update, Verb::Put),
        ("PATCH", Verb::Patch, Verb::Patch, Verb::Patch),
        ("DELETE", Verb::Delete, Verb::DeleteCollection, Verb::Delete),
        ("OPTIONS", Verb::None, Verb::None, Verb::Options),
    ] {
        assert_eq!(on(method, "/api/v1/pods/a"), object, "{method}");
        assert_eq!(on(method, "/api/v1/pods"), collection, "{method}");
        assert_eq!(on(method, "/healthz"), elsewhere, "{method}");
        assert_eq!(on(method, "/api/v1/watch/pods"), Verb::Watch, "{method}");
        assert_eq!(on(method, "/api/v1/proxy/pods"), Verb::Proxy, "{method}");
    }
    for method in ["TRACE", "CONNECT", "get", "Get", "", "GET ", "FOO"] {
        assert!(
            reason(method, "/api/v1/pods").contains("method"),
            "{method}"
        );
    }
}
