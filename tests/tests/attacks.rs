//! Attacks on a gate, each as a client would send it, against a real API server. The comment of each
//! names what it is modelled on; what must happen is that the attacker gets nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::sync::OnceLock;

use kubestile_tests::raw::{Answer, Raw};
use kubestile_tests::{Gate, Person, cluster, eventually};

const PODS: &str = "/clusters/dev/api/v1/namespaces/shop/pods";

/// One gate and one attacker for all tests here: a person with a job function of their own.
struct Field {
    gate: Gate,
    mallory: Person,
    certificate: String,
    key: String,
    ca: String,
    pod: String,
}

fn field() -> &'static Field {
    static FIELD: OnceLock<Field> = OnceLock::new();
    FIELD.get_or_init(|| {
        let gate = Gate::start(cluster());
        let mallory = gate.person("mallory", &["viewer", "operator:shop"]);
        let (certificate, key) = mallory.identity();
        let ca = gate.ca();
        let pod = mallory.ok(&[
            "get",
            "pods",
            "-n",
            "shop",
            "-o",
            "jsonpath={.items[0].metadata.name}",
        ]);
        Field {
            gate,
            mallory,
            certificate,
            key,
            ca,
            pod,
        }
    })
}

impl Field {
    fn connect(&self) -> Raw {
        Raw::connect(
            self.gate.address(),
            &self.ca,
            Some((&self.certificate, &self.key)),
        )
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.connect()
            .request(&format!("GET {path} HTTP/1.1"), headers)
    }

    /// Who the API server thinks a request with these headers comes from.
    fn whoami(&self, headers: &str) -> Answer {
        let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
        let mut raw = self.connect();
        let path = "/clusters/dev/apis/authentication.k8s.io/v1/selfsubjectreviews";
        raw.send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n{headers}\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        raw.answer()
    }
}

fn is_mallory(answer: &Answer) {
    let text = answer.text();
    assert_eq!(answer.status, 201, "{text}");
    assert!(text.contains(r#""username":"mallory""#), "{text}");
    assert!(
        !text.contains("system:masters") && !text.contains("admin"),
        "{text}"
    );
}

/// kubernetes/kubernetes#71411 (CVE-2018-1002105): an upgrade that the backend refuses must not
/// leave a raw connection behind.
#[test]
fn a_refused_upgrade_leaves_no_tunnel() {
    let field = field();
    for path in [
        format!("{PODS}/no-such-pod/exec?command=id&stdout=true"),
        format!("{PODS}/{}/exec", field.pod),
        format!("{PODS}/{}/attach?container=nope&stdin=true", field.pod),
    ] {
        let mut raw = field.connect();
        let upgrade = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                       X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n";
        let answer = raw.request(&format!("POST {path} HTTP/1.1"), upgrade);
        assert!(answer.status >= 400, "{path}: {answer:?}");
        raw.send(b"GET /api/v1/namespaces/kube-system/secrets HTTP/1.1\r\nHost: x\r\n\r\n");
        let after = raw.answer();
        assert!(!after.text().contains("SecretList"), "{path}: {after:?}");
        assert!(
            after.status == 0 || after.status >= 400,
            "{path}: {after:?}"
        );
    }
}

/// Rancher GHSA-pvxj-25m6-7vqr, capsule-proxy#188: headers named by `Connection` are removed before
/// ours are set, so ours are never among them.
#[test]
fn hop_by_hop_removal_does_not_strip_our_identity() {
    let listed = "Connection: close, Impersonate-User, Impersonate-Group, Impersonate-Uid, \
                  Authorization, X-Remote-User, Audit-ID\r\n";
    is_mallory(&field().whoami(listed));
}

/// Identity headers of every family: impersonation in all spellings is refused or stripped, front-proxy
/// headers are stripped.
#[test]
fn no_header_makes_another_identity() {
    let field = field();
    for refused in [
        "Impersonate-Group: system:masters\r\n",
        "Impersonate-User: admin\r\nImpersonate-User: mallory\r\n",
        "impersonate-uid: 0\r\n",
        "Impersonate-Extra-Scopes%2F..: x\r\n",
        "Impersonate_User: admin\r\n",
        "Impersonate-User: admin\r\n",
        "Impersonate-User: mallory\r\nImpersonate-Group: system:masters\r\n",
        "Impersonate-User: system:kube-controller-manager\r\n",
        "Impersonate-User : admin\r\n",
    ] {
        let answer = field.whoami(refused);
        assert!(
            answer.status == 400 || answer.status == 403,
            "{refused}: {answer:?}"
        );
    }
    for stripped in [
        "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\nX-Remote-Extra-a: b\r\n",
        "X-Remote-Uid: 0\r\nX-Custom-User: admin\r\n",
        "X-Forwarded-User: admin\r\nX-Original-User: admin\r\n",
    ] {
        is_mallory(&field.whoami(stripped));
    }
}

/// Trailers are headers too.
#[test]
fn trailers_carry_no_identity() {
    let body = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let mut raw = field().connect();
    raw.send(
        format!(
            "POST /clusters/dev/apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\n\
             Host: gate\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
             Trailer: Impersonate-User\r\n\r\n{:x}\r\n{body}\r\n0\r\nImpersonate-User: admin\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    is_mallory(&raw.answer());
}

/// A bearer token in the WebSocket subprotocols is neither authenticated nor passed on nor logged.
#[test]
fn a_bearer_in_the_subprotocol_is_nothing() {
    let field = field();
    let token = "bm90LWEtdG9rZW4tYnV0LXNlY3JldA";
    let headers = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: \
         base64url.bearer.authorization.k8s.io.{token}, v5.channel.k8s.io\r\n"
    );
    let path = format!("{PODS}/{}/exec?command=id&stdout=true", field.pod);
    let answer = field.get(&path, &headers);
    assert_eq!(answer.status, 101, "{answer:?}");
    assert!(
        answer
            .head
            .to_ascii_lowercase()
            .contains("sec-websocket-protocol: v5.channel.k8s.io")
    );
    // Without a certificate it opens nothing.
    let mut nobody = Raw::connect(field.gate.address(), &field.ca, None);
    assert_eq!(
        nobody
            .request(&format!("GET {path} HTTP/1.1"), &headers)
            .status,
        401
    );
    let log = field.gate.admin_ok(&["audit", "search", "-o", "json"]);
    assert!(!log.contains(token) && !field.gate.log().contains(token));
}

/// Exactly one credential.
#[test]
fn two_credentials_or_none_are_refused() {
    let field = field();
    for headers in [
        "Authorization: Bearer kst_AAAA\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer y\r\n",
        "Authorization: Basic YWRtaW46YWRtaW4=\r\n",
    ] {
        assert_eq!(
            field.get(PODS, headers).status,
            401,
            "with a certificate: {headers}"
        );
        let mut nobody = Raw::connect(field.gate.address(), &field.ca, None);
        assert_eq!(
            nobody
                .request(&format!("GET {PODS} HTTP/1.1"), headers)
                .status,
            401,
            "{headers}"
        );
    }
    let mut nobody = Raw::connect(field.gate.address(), &field.ca, None);
    assert_eq!(
        nobody.request(&format!("GET {PODS} HTTP/1.1"), "").status,
        401
    );
    // The API server's own administrator is nobody here.
    let pki = cluster().dir.join("pki");
    let read = |name: &str| std::fs::read_to_string(pki.join(name)).unwrap();
    let (certificate, key) = (read("admin.crt"), read("admin.key"));
    let mut admin = Raw::connect(field.gate.address(), &field.ca, Some((&certificate, &key)));
    let answer = admin.request(&format!("GET {PODS} HTTP/1.1"), "");
    assert!(answer.status == 0 || answer.status == 401, "{answer:?}");
}

/// Paths that two programs read differently (CVE-2022-3162 among them).
#[test]
fn ambiguous_paths_and_queries_are_refused() {
    let field = field();
    let root = "/clusters/dev";
    for path in [
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces/shop%2Fpods",
        "/api/v1/namespaces/shop/../kube-system/secrets",
        "/api/v1/namespaces/shop/pods/..",
        "/api/v1/namespaces/shop/%2e%2e/kube-system/secrets",
        "/api/v1/namespaces/shop/pods/%2e%2e",
        "/apis/apiextensions.k8s.io/v1/namespaces/../customresourcedefinitions",
        "//api/v1/secrets",
        "/api/v1/secrets/",
        "/api/v1/namespaces/shop\\pods",
        "/api/v1/namespaces/shop;x=1/pods",
        "/api/v1/namespaces/shop/pods%00",
        "/api/v1/%6eamespaces/shop/pods",
        "/api/v1/namespaces/shop%252Fpods",
        "/api/v1/pods?watch=1;a",
        "/api/v1/pods?watch=0&watch=1",
        "/api/v1/pods?fieldSelector=a%3Db&fieldSelector=metadata.name%3Dx",
        "/api/v1/pods?limit=x&watch=1",
        "/api/v1/pods?a=%zz",
        "/api/v1/namespaces/shop/services/web/proxy/../../../../secrets",
        "/api/v1/namespaces/shop/services/web/proxy/%2e%2e/x",
    ] {
        let answer = field.get(&format!("{root}{path}"), "");
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(
            answer.text().contains("\"kind\":\"Status\""),
            "{path}: {}",
            answer.text()
        );
    }
    for line in [
        format!("GET https://gate{PODS} HTTP/1.1"),
        "GET * HTTP/1.1".to_owned(),
        "CONNECT kubernetes:443 HTTP/1.1".to_owned(),
        format!("TRACE {PODS} HTTP/1.1"),
        format!("get {PODS} HTTP/1.1"),
        "GET /clusters/../clusters/dev/api HTTP/1.1".to_owned(),
        "GET /clusters/dev%2f/api HTTP/1.1".to_owned(),
        "GET /clusters/DEV/api HTTP/1.1".to_owned(),
    ] {
        let answer = field.connect().request(&line, "");
        assert!(
            matches!(answer.status, 0 | 400 | 404 | 405),
            "{line}: {answer:?}"
        );
    }
}

/// Spellings of "watch" and of collections are judged as what the API server does with them.
#[test]
fn secrets_are_refused_through_every_door() {
    let field = field();
    for path in [
        "/api/v1/secrets",
        "/api/v1/secrets?watch=",
        "/api/v1/secrets?%77atch=1",
        "/api/v1/watch/namespaces/shop/secrets/till",
        "/api/v1/watch/secrets",
        "/api/v1/namespaces/shop/secrets/till",
        "/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Dtill",
        "/api/v1/namespaces/shop/secrets?watch=true&sendInitialEvents=true\
         &allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
    ] {
        for accept in [
            "application/json",
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            "application/vnd.kubernetes.protobuf",
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        ] {
            let answer = field.get(
                &format!("/clusters/dev{path}"),
                &format!("Accept: {accept}\r\n"),
            );
            assert_eq!(answer.status, 403, "{path} as {accept}: {}", answer.text());
        }
    }
    let head = field.connect().request(
        "HEAD /clusters/dev/api/v1/namespaces/shop/secrets/till HTTP/1.1",
        "Connection: close\r\n",
    );
    assert_eq!(head.status, 403);
    let watch = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = field.get("/clusters/dev/api/v1/pods?watch=1", watch);
    assert_eq!(answer.status, 400, "{answer:?}");
}

/// A method override is a header like any other, and a dry run in a DELETE's query is none.
#[test]
fn methods_are_what_they_are() {
    let field = field();
    for name in [
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
    ] {
        let answer = field.get(
            &format!("{PODS}/{}", field.pod),
            &format!("{name}: DELETE\r\n"),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let path = "/clusters/dev/apis/apps/v1/namespaces/shop/deployments/web?dryRun=All";
    let line = format!("DELETE {path} HTTP/1.1");
    let headers = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let answer = field.connect().request(&line, headers);
    assert!(matches!(answer.status, 400 | 403), "{answer:?}");
    let answer = field
        .connect()
        .request(&format!("OPTIONS {PODS} HTTP/1.1"), "");
    assert!(matches!(answer.status, 400 | 403), "{answer:?}");
    field
        .mallory
        .ok(&["get", "deployment", "web", "-n", "shop"]);
}

/// nodes/proxy is root on the node, whatever the method (KEP-2862).
#[test]
fn nobody_reaches_a_kubelet_through_the_api_server() {
    let field = field();
    let node = cluster().node.clone().expect("a node");
    let exec = format!(
        "exec/shop/{}/web?command=id&input=1&output=1&tty=1",
        field.pod
    );
    for (method, path) in [
        ("GET", format!("{node}/proxy/{exec}")),
        ("GET", format!("{node}:10250/proxy/pods")),
        ("GET", format!("https:{node}:10250/proxy/pods")),
        ("GET", format!("{node}:22/proxy/")),
        (
            "POST",
            format!("{node}/proxy/run/shop/{}/web?cmd=id", field.pod),
        ),
        (
            "GET",
            format!("{node}/proxy/containerLogs/shop/{}/web", field.pod),
        ),
        ("GET", format!("{node}/proxy/pods")),
        ("GET", format!("{node}/proxy/debug/pprof/")),
        (
            "POST",
            format!("{node}/proxy/checkpoint/shop/{}/web", field.pod),
        ),
    ] {
        for upgrade in [
            "",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ] {
            let line = format!("{method} /clusters/dev/api/v1/nodes/{path} HTTP/1.1");
            let answer = field
                .connect()
                .request(&line, &format!("Content-Length: 0\r\n{upgrade}"));
            assert_eq!(answer.status, 403, "{line}: {}", answer.text());
            assert!(answer.text().contains("node"), "{}", answer.text());
        }
    }
    let legacy = field.get(&format!("/clusters/dev/api/v1/proxy/nodes/{node}/pods"), "");
    assert!(matches!(legacy.status, 400 | 403), "{legacy:?}");
}

/// Proxies to services and pods outside the person's namespaces, in every spelling of the name.
#[test]
fn proxies_are_judged_by_scheme_name_and_port() {
    let field = field();
    for path in [
        "namespaces/kube-system/services/https:kube-dns:9153/proxy/",
        "namespaces/default/services/https:kubernetes:443/proxy/api/v1/secrets",
        "namespaces/default/services/kubernetes:https/proxy/",
        "namespaces/bank/pods/x:22/proxy/",
    ] {
        let answer = field.get(&format!("/clusters/dev/api/v1/{path}"), "");
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
}

/// Credentials that would work without the gate are a class of their own.
#[test]
fn nothing_is_minted_that_works_without_the_gate() {
    let field = field();
    for args in [
        &["create", "token", "default", "-n", "shop"][..],
        &[
            "create",
            "token",
            "default",
            "-n",
            "kube-system",
            "--duration",
            "24h",
        ],
        &[
            "create",
            "clusterrolebinding",
            "own",
            "--clusterrole=cluster-admin",
            "--user=mallory",
        ],
        &[
            "create",
            "rolebinding",
            "own",
            "-n",
            "shop",
            "--clusterrole=admin",
            "--user=mallory",
        ],
    ] {
        let refusal = field.mallory.refused(args);
        assert!(refusal.contains("kubestile"), "{args:?}: {refusal}");
    }
    let approval =
        "PUT /clusters/dev/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval";
    let answer = field
        .connect()
        .request(&format!("{approval} HTTP/1.1"), "Content-Length: 0\r\n");
    assert_eq!(answer.status, 403, "{}", answer.text());
    let posts = [
        (
            "/api/v1/namespaces/shop/secrets",
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"t","annotations":{"kubernetes.io/service-account.name":"default"}},"type":"kubernetes.io/service-account-token"}"#,
        ),
        (
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"x"},"spec":{"request":"","signerName":"kubernetes.io/kube-apiserver-client","usages":["client auth"]}}"#,
        ),
    ];
    for (path, body) in posts {
        let line = format!("POST /clusters/dev{path} HTTP/1.1");
        let head = format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = field.connect().request(&line, &head);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
}

/// What a client says of itself is a hint: the record has the true source, our Audit-ID and what was
/// really asked.
#[test]
fn forged_origins_and_ids_do_not_reach_the_records() {
    let field = field();
    let forged = "11111111-2222-4333-8444-555555555555";
    let headers = format!(
        "X-Forwarded-For: 10.9.8.7\r\nX-Real-Ip: 10.9.8.7\r\nForwarded: for=10.9.8.7\r\n\
         Audit-ID: {forged}\r\nKubectl-Command: kubectl get\r\nKubectl-Session: {forged}\r\n\
         User-Agent: forged/1\r\n"
    );
    let answer = field.get(&format!("{PODS}/{}", field.pod), &headers);
    assert_eq!(answer.status, 200);
    let ours = answer
        .head
        .lines()
        .find_map(|l| {
            l.to_ascii_lowercase()
                .strip_prefix("audit-id: ")
                .map(str::to_owned)
        })
        .expect("an Audit-ID in the answer");
    assert_ne!(ours, forged);
    // The API server's own audit log has our id, the person, and the client's address from us.
    let event = eventually("the API server's audit event", || {
        let text = std::fs::read_to_string(&cluster().audit_log).ok()?;
        text.lines().rfind(|l| l.contains(&ours)).map(str::to_owned)
    });
    assert!(
        event.contains("mallory") && !event.contains("10.9.8.7"),
        "{event}"
    );
    assert!(event.contains("kubestile.dev/session"), "{event}");
    let log = eventually("our record", || {
        let log = field
            .gate
            .admin_ok(&["audit", "search", "--request", &ours, "-o", "json"]);
        log.contains(&ours).then_some(log)
    });
    assert!(
        log.contains("127.0.0.1") && !log.contains("10.9.8.7"),
        "{log}"
    );
}

/// An agent of a megabyte, a head without end, a body over the limit: bounded, and answered.
#[test]
fn what_is_too_large_is_refused() {
    let field = field();
    let agent = format!("User-Agent: {}\r\n", "x".repeat(1 << 20));
    let answer = field.get(PODS, &agent);
    assert!(matches!(answer.status, 0 | 400 | 431), "{}", answer.head);
    let line = "POST /clusters/dev/api/v1/namespaces/shop/configmaps HTTP/1.1";
    let headers = "Content-Type: application/json\r\nContent-Length: 99999999\r\n";
    assert_eq!(field.connect().request(line, headers).status, 413);
}

/// No secret of a request reaches the gate's records or its own log.
#[test]
fn secrets_stay_out_of_every_log() {
    let field = field();
    let exec = [
        "exec",
        "-n",
        "shop",
        "deploy/web",
        "--",
        "sh",
        "-c",
        "PGPASSWORD=swordfish true",
    ];
    field.mallory.ok(&exec);
    field.mallory.ok(&[
        "exec",
        "-n",
        "shop",
        "deploy/web",
        "--",
        "true",
        "--password",
        "swordfish",
    ]);
    let mut nobody = Raw::connect(field.gate.address(), &field.ca, None);
    nobody.request(
        &format!("GET {PODS} HTTP/1.1"),
        "Authorization: Bearer swordfish\r\n",
    );
    let found = eventually("the execs in the log", || {
        let log = field
            .gate
            .admin_ok(&["audit", "search", "--verb", "exec", "-o", "json"]);
        log.contains("PGPASSWORD").then_some(log)
    });
    assert!(!found.contains("swordfish"), "{found}");
    assert!(!field.gate.log().contains("swordfish"));
    let audit = field.gate.dir().join("audit/tile/entries");
    for file in walk(&audit) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            !bytes.windows(9).any(|w| w == b"swordfish"),
            "{}",
            file.display()
        );
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path))
        } else {
            files.push(path)
        }
    }
    files
}
