//! Other people's services on this machine: a Jira, an issuer of tokens for pipelines, and a webhook that
//! notifications go to. They answer in the documented shapes; the gate reaches them over real sockets.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::Gate;
use crate::raw::{Answer, Raw};

/// The secret that webhooks are signed with, and the credential of the gate at each service.
const SECRET: &str = "hunter2";
/// What tokens of pipelines are made out to.
const AUDIENCE: &str = "gate.test";

/// All of them on one port.
pub struct Services {
    address: String,
    said: Arc<Said>,
    secret: tempfile::NamedTempFile,
}

/// The status and its category, the assignee's address, the labels.
type Ticket = (String, String, String, Vec<String>);

/// What the services say, and what they were told.
struct Said {
    /// By key.
    tickets: Mutex<BTreeMap<String, Ticket>>,
    messages: Mutex<Vec<Signed>>,
    key: Ed25519KeyPair,
}

/// A notification as it came.
#[derive(Debug, Clone)]
pub struct Signed {
    /// `X-Kubestile-Timestamp`.
    pub time: String,
    /// `X-Kubestile-Signature`.
    pub signature: String,
    /// The bytes of the body.
    pub body: Vec<u8>,
}

impl Services {
    /// Starts them on a port that the kernel picks.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let said = Arc::new(Said {
            tickets: Mutex::default(),
            messages: Mutex::default(),
            key: Ed25519KeyPair::generate().expect("a key"),
        });
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), SECRET).expect("a secret");
        let (shared, url) = (said.clone(), format!("http://{address}"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, url) = (shared.clone(), url.clone());
                std::thread::spawn(move || serve(&shared, &url, stream));
            }
        });
        Self {
            address,
            said,
            secret,
        }
    }

    /// The part of a gate's configuration that names them. Pipelines of `acme/shop` are operators of `shop`;
    /// those of its environment `production` need an approval.
    pub fn config(&self) -> String {
        let (url, secret) = (self.url(), self.secret.path().display());
        let rule = "{issuer: ci, name: 'ci-{repository}', maxTtlSeconds: 600";
        let gives = "functions: ['operator:shop@dev']";
        format!(
            "tickets:\n  systems:\n  - {{name: jira, kind: jiraCloud, url: '{url}', user: gate@example.com, \
             credentialFile: {secret}, accept: ['OPS-*'], login: '{{person}}@example.com', \
             pollSeconds: 10, namespaces: {{label: 'namespace-'}}, webhook: {{secretFile: {secret}}}}}\n  \
             - {{name: desk, kind: generic, url: '{url}', credentialFile: {secret}, accept: ['DESK-*'], \
             openStates: [active], login: '{{person}}', fields: {{path: '/desk/{{id}}', id: /number, \
             state: /state, assignees: [/owner]}}, webhook: {{secretFile: {secret}}}}}\n\
             notifications:\n  channels:\n  - {{name: hook, kind: webhook, url: '{url}/hook', \
             secretFile: {secret}}}\n\
             pipelines:\n  issuers: [{{name: ci, issuer: '{url}', audiences: [{AUDIENCE}]}}]\n  rules:\n  \
             - {rule}, {gives}, approval: true, match: {{repository: acme/shop, environment: production}}}}\n  \
             - {rule}, {gives}, match: {{repository: acme/shop, ref: refs/heads/main}}}}\n  \
             people: {{bob-h: bob}}\n"
        )
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What Jira says of a ticket from now on.
    pub fn ticket(&self, key: &str, status: &str, category: &str, person: &str, labels: &[&str]) {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let person = format!("{person}@example.com");
        let ticket = (status.to_owned(), category.to_owned(), person, labels);
        let mut tickets = self.said.tickets.lock().expect("tickets");
        tickets.insert(key.to_owned(), ticket);
    }

    /// The message that Jira sends when a ticket has changed: the headers, and the body, signed with `secret`
    /// or with the right one.
    fn webhook(&self, key: &str, secret: Option<&str>) -> (String, String) {
        let body = json!({"webhookEvent": "jira:issue_updated", "timestamp": millis(), "issue": {"key": key}});
        let body = body.to_string();
        let hex = hex_mac(secret.unwrap_or(SECRET), &[body.as_bytes()]);
        (format!("X-Hub-Signature: sha256={hex}\r\n"), body)
    }

    /// Sends such a message to a gate.
    pub fn send_webhook(&self, gate: &Gate, key: &str, secret: Option<&str>) -> Answer {
        let (headers, body) = self.webhook(key, secret);
        let mut raw = Raw::connect(gate.address(), &gate.ca(), None);
        let head = format!(
            "POST /v1/webhooks/jira HTTP/1.1\r\nHost: gate\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        raw.send(head.as_bytes());
        raw.answer()
    }

    /// The notifications of a kind that have come.
    pub fn messages(&self, kind: &str) -> Vec<Value> {
        let parse = |message: Signed| serde_json::from_slice(&message.body).expect("JSON");
        let all = self.signed().into_iter().map(parse);
        all.filter(|message: &Value| message["kind"] == kind)
            .collect()
    }

    /// All notifications, as they came.
    pub fn signed(&self) -> Vec<Signed> {
        self.said.messages.lock().expect("messages").clone()
    }

    /// The signature of a body that is sent at `time` (seconds since 1970).
    pub fn sign(&self, time: &str, body: &[u8]) -> String {
        format!("v1={}", hex_mac(SECRET, &[time.as_bytes(), b".", body]))
    }

    /// The file with the key of all signatures.
    pub fn secret_file(&self) -> &Path {
        self.secret.path()
    }

    /// A token for a job, in the shape of GitHub's, with further claims.
    pub fn token(&self, more: &Value) -> String {
        let now = millis() / 1000;
        let mut claims = json!({
            "iss": self.url(), "sub": "repo:acme/shop:ref:refs/heads/main", "aud": AUDIENCE,
            "jti": uuid::Uuid::new_v4(), "iat": now, "nbf": now, "exp": now + 300,
            "repository": "acme/shop", "repository_owner": "acme", "ref": "refs/heads/main",
            "run_id": "77", "workflow": "deploy", "actor": "carl-h",
        });
        for (name, value) in more.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"});
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.said.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// Answers one request and closes.
fn serve(said: &Said, url: &str, stream: TcpStream) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    let (mut time, mut signature) = (String::new(), String::new());
    loop {
        let mut header = String::new();
        match reader.read_line(&mut header) {
            Ok(0) | Err(_) => return,
            Ok(_) if header.trim().is_empty() => break,
            Ok(_) => {}
        }
        let header = header.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if let Some(value) = header.strip_prefix("x-kubestile-timestamp:") {
            time = value.trim().to_owned();
        }
        if let Some(value) = header.strip_prefix("x-kubestile-signature:") {
            signature = value.trim().to_owned();
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let message = Signed {
        time,
        signature,
        body,
    };
    let (status, answer) = answer(said, url, &path, message);
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    );
    let _ = (&stream).write_all(format!("{head}{answer}").as_bytes());
}

fn answer(said: &Said, url: &str, path: &str, message: Signed) -> (u16, Value) {
    let path = path.split('?').next().unwrap_or_default();
    if let Some(key) = path.strip_prefix("/rest/api/3/issue/") {
        return issue(said, key);
    }
    match path {
        "/.well-known/openid-configuration" => (
            200,
            json!({"issuer": url, "jwks_uri": format!("{url}/jwks")}),
        ),
        "/jwks" => {
            let x = URL_SAFE_NO_PAD.encode(said.key.public_key().as_ref());
            let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "one", "use": "sig", "x": x});
            (200, json!({"keys": [key]}))
        }
        "/hook" => {
            said.messages.lock().expect("messages").push(message);
            (200, json!({}))
        }
        _ => (404, json!({})),
    }
}

/// <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issues/#api-rest-api-3-issue-issueidorkey-get>
fn issue(said: &Said, key: &str) -> (u16, Value) {
    let tickets = said.tickets.lock().expect("tickets");
    let Some((status, category, person, labels)) = tickets.get(key) else {
        let text = "Issue does not exist or you do not have permission to see it.";
        return (404, json!({"errorMessages": [text], "errors": {}}));
    };
    let fields = json!({
        "summary": "the rollout is stuck",
        "status": {"name": status, "statusCategory": {"key": category}},
        "assignee": {"accountId": "5b10ac8d82e05b22cc7d4ef5", "emailAddress": person, "active": true},
        "labels": labels,
    });
    (200, json!({"id": "10002", "key": key, "fields": fields}))
}

/// HMAC-SHA256 in lower-case hexadecimal.
fn hex_mac(key: &str, parts: &[&[u8]]) -> String {
    let mac = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = hmac::sign(&mac, &parts.concat());
    let mut hex = String::new();
    for byte in signature.as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    u64::try_from(since.as_millis()).expect("a time")
}
