//! Requests as kubectl and client-go send them.

use super::{Intent, Request, escape_query, escape_segment};
use crate::random::Random;

/// Group and version prefix, resource, whether it is namespaced.
const RESOURCES: [(&str, &str, bool); 16] = [
    ("api/v1", "pods", true),
    ("api/v1", "services", true),
    ("api/v1", "secrets", true),
    ("api/v1", "configmaps", true),
    ("api/v1", "serviceaccounts", true),
    ("api/v1", "nodes", false),
    ("api/v1", "persistentvolumes", false),
    ("apis/apps/v1", "deployments", true),
    ("apis/apps/v1", "statefulsets", true),
    ("apis/batch/v1", "jobs", true),
    ("apis/rbac.authorization.k8s.io/v1", "clusterroles", false),
    ("apis/rbac.authorization.k8s.io/v1", "rolebindings", true),
    (
        "apis/apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        false,
    ),
    (
        "apis/certificates.k8s.io/v1",
        "certificatesigningrequests",
        false,
    ),
    ("apis/metrics.k8s.io/v1beta1", "nodes", false),
    ("apis/example.com/v1alpha1", "widgets", true),
];

const NAMES: [&str; 10] = [
    "web",
    "web-6b7f9c7d9d-x2x8p",
    "system:node",
    "kubestile:viewer",
    "a",
    "widgets.example.com",
    "watch",
    "proxy",
    "status",
    "namespaces",
];

const NAMESPACES: [&str; 5] = ["shop", "default", "kube-system", "a", "status"];

const ELSEWHERE: [&str; 16] = [
    "/",
    "/api",
    "/apis",
    "/api/v1",
    "/apis/apps",
    "/apis/apps/v1",
    "/apis/metrics.k8s.io/v1beta1",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/version",
    "/healthz/etcd",
    "/livez",
    "/metrics",
    "/logs/",
    "/.well-known/openid-configuration",
];

pub(super) fn request(random: &mut Random) -> Request {
    let (method, target) = match random.below(10) {
        0 => elsewhere(random),
        1 => stream(random),
        2 => proxied(random),
        3 => namespace(random),
        _ => object(random),
    };
    Request {
        method: method.to_owned(),
        target,
        intent: Intent::Honest,
    }
}

fn elsewhere(random: &mut Random) -> (&'static str, String) {
    let path = random.pick(&ELSEWHERE);
    let query = random.pick(&["", "?timeout=32s", "?hash=AB%2F..%2FCD%3D%3D"]);
    (
        random.pick(&["GET", "GET", "HEAD"]),
        format!("{path}{query}"),
    )
}

/// `/{prefix}[/namespaces/{ns}]/{resource}`.
fn collection(random: &mut Random) -> String {
    let at = random.below(RESOURCES.len());
    let (prefix, resource, namespaced) = RESOURCES.get(at).copied().unwrap_or_default();
    if namespaced && random.chance(80) {
        let namespace = random.pick(&NAMESPACES);
        // A namespace of this name is read as a subresource only after another namespace.
        return format!("/{prefix}/namespaces/{namespace}/{resource}");
    }
    format!("/{prefix}/{resource}")
}

fn object(random: &mut Random) -> (&'static str, String) {
    let collection = collection(random);
    let name = escape_segment(random.pick(&NAMES));
    match random.below(10) {
        0 | 1 => ("GET", format!("{collection}{}", list(random))),
        2 => ("GET", format!("{collection}{}", watch(random))),
        3 => ("DELETE", format!("{collection}{}", list(random))),
        4 => ("POST", format!("{collection}{}", write(random))),
        5 => (
            random.pick(&["PUT", "PATCH"]),
            format!("{collection}/{name}{}", write(random)),
        ),
        6 => ("DELETE", format!("{collection}/{name}")),
        7 => {
            let sub = random.pick(&[
                "status", "scale", "eviction", "token", "approval", "finalize",
            ]);
            (
                random.pick(&["GET", "PATCH", "PUT", "POST"]),
                format!("{collection}/{name}/{sub}"),
            )
        }
        _ => (
            random.pick(&["GET", "HEAD"]),
            format!("{collection}/{name}"),
        ),
    }
}

fn namespace(random: &mut Random) -> (&'static str, String) {
    let namespace = random.pick(&NAMESPACES);
    match random.below(5) {
        0 => ("GET", "/api/v1/namespaces?limit=500".to_owned()),
        1 => ("PUT", format!("/api/v1/namespaces/{namespace}/finalize")),
        2 => ("PATCH", format!("/api/v1/namespaces/{namespace}/status")),
        3 => ("DELETE", format!("/api/v1/namespaces/{namespace}")),
        _ => ("GET", format!("/api/v1/namespaces/{namespace}")),
    }
}

fn stream(random: &mut Random) -> (&'static str, String) {
    let pod = format!("/api/v1/namespaces/{}/pods/web-1", random.pick(&NAMESPACES));
    let method = random.pick(&["GET", "POST"]);
    match random.below(4) {
        0 => (
            "GET",
            format!("{pod}/log?container=web&follow=true&tailLines=10&timestamps=true"),
        ),
        1 => (method, format!("{pod}/portforward?ports=8080&ports=9090")),
        2 => (
            method,
            format!("{pod}/attach?container=web&stdin=true&stdout=true&tty=true"),
        ),
        _ => {
            let script = escape_query(random.pick(&[
                "ls -l; id",
                "echo 'a&b' > /tmp/x",
                "printf '%s\\n' ü",
                "a=b",
            ]));
            (
                method,
                format!(
                    "{pod}/exec?command=sh&command=-c&command={script}&stdout=true&stderr=true"
                ),
            )
        }
    }
}

fn proxied(random: &mut Random) -> (&'static str, String) {
    let behind = random.pick(&[
        "/api/v1/nodes/node-1/proxy",
        "/api/v1/namespaces/shop/services/https:web:443/proxy",
        "/api/v1/namespaces/shop/pods/web-1:8080/proxy",
    ]);
    let path = random.pick(&[
        "",
        "/",
        "/metrics",
        "/api/v1/query",
        "/a%2Fb/",
        "//x",
        "/%7Euser/a%20b",
    ]);
    let query = random.pick(&["", "?query=up%7Bjob%3D%22a%22%7D&limit=x", "?a&a=1&a=2"]);
    (
        random.pick(&["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]),
        format!("{behind}{path}{query}"),
    )
}

fn list(random: &mut Random) -> String {
    let mut query = random
        .pick(&[
            "?limit=500",
            "?limit=500&continue=eyJ2IjoibWV0YSJ9",
            "?timeout=10s",
        ])
        .to_owned();
    selectors(random, &mut query);
    query
}

fn watch(random: &mut Random) -> String {
    let mut query = format!("?{}", random.pick(&["watch=true", "watch=1"]));
    query.push_str(random.pick(&[
        "",
        "&allowWatchBookmarks=true&resourceVersion=12&timeoutSeconds=431",
        "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
    ]));
    selectors(random, &mut query);
    query
}

fn selectors(random: &mut Random, query: &mut String) {
    if random.chance(50) {
        let selector = random.pick(&[
            "metadata.name=web",
            "metadata.name=system:node",
            "spec.nodeName=node-1,status.phase!=Failed",
            "metadata.namespace=shop,metadata.name=web",
            r"metadata.name=a\,b",
            "type!=kubernetes.io/service-account-token",
        ]);
        query.push_str(&format!("&fieldSelector={}", escape_query(selector)));
    }
    if random.chance(50) {
        let selector = random.pick(&[
            "app=web",
            "app in (web,api),!canary",
            "app.kubernetes.io/name==web,tier notin ()",
            "release",
            "weight>5",
        ]);
        query.push_str(&format!("&labelSelector={}", escape_query(selector)));
    }
}

fn write(random: &mut Random) -> &'static str {
    random.pick(&[
        "",
        "?fieldManager=kubectl-create&fieldValidation=Strict",
        "?dryRun=All&fieldManager=kubectl-client-side-apply",
        "?fieldManager=kubectl&force=true",
    ])
}
