//! The request parser against Kubernetes' own: whatever it accepts, it reads as kube-apiserver does.
//!
//! `KUBESTILE_CASES=N` tries N requests instead of 20,000, `KUBESTILE_SEED=N` others.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test binary may panic"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kubestile_core::request_info::{RequestInfo, Target, Verb};
use kubestile_testkit::requests::{Intent, Request, Requests};
use serde::Deserialize;

const CASES: u64 = 20_000;
const SEED: u64 = 1;
/// How many requests Go is given at once.
const BATCH: usize = 50_000;
/// The least share of all requests that must be accepted, in percent: a parser that refuses
/// everything agrees with everybody.
const LEAST_ACCEPTED: u64 = 55;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    error: String,
    is_resource: bool,
    path: String,
    verb: String,
    prefix: String,
    group: String,
    version: String,
    namespace: String,
    resource: String,
    subresource: String,
    name: String,
    parts: Option<Vec<String>>,
    field_selector: String,
    label_selector: String,
    query: Option<BTreeMap<String, Vec<String>>>,
    list_error: String,
}

/// What was seen over all requests.
#[derive(Default)]
struct Tally {
    accepted: u64,
    refused: u64,
    verbs: BTreeMap<String, u64>,
    named_by_selector: u64,
    proxied: u64,
    reasons: BTreeMap<String, u64>,
    differences: Vec<String>,
}

#[test]
fn what_is_accepted_means_the_same_to_kube_apiserver() {
    let cases = number("KUBESTILE_CASES", CASES);
    let program = build();
    let mut requests = Requests::new(number("KUBESTILE_SEED", SEED));
    let mut tally = Tally::default();
    let mut left = usize::try_from(cases).unwrap();
    while left > 0 {
        let batch: Vec<Request> = requests.by_ref().take(left.min(BATCH)).collect();
        left -= batch.len();
        let answers = ask(&program, &batch);
        assert_eq!(answers.len(), batch.len());
        for (request, answer) in batch.iter().zip(&answers) {
            tally.compare(request, answer);
        }
    }
    println!("{}", tally.report());
    assert!(
        tally.differences.is_empty(),
        "{} differences from kube-apiserver, the first:\n{}",
        tally.differences.len(),
        tally.differences[..tally.differences.len().min(10)].join("\n")
    );
    tally.assert_not_vacuous(cases);
}

impl Tally {
    fn compare(&mut self, request: &Request, answer: &Answer) {
        let (path, query) = request.parts();
        match RequestInfo::parse(&request.method, path, query) {
            Ok(info) => {
                self.accepted += 1;
                self.count(&info, answer);
                if let Some(difference) = difference(&info, answer) {
                    self.differ(request, &difference);
                }
            }
            Err(error) => {
                self.refused += 1;
                let reason = error.to_string();
                if request.intent == Intent::Honest {
                    self.differ(request, &format!("honest, but refused: {reason}"));
                }
                if says_go_would_refuse(&reason) && answer.list_error.is_empty() {
                    self.differ(request, &format!("refused, though Go reads it: {reason}"));
                }
                *self.reasons.entry(reason).or_default() += 1;
            }
        }
    }

    fn differ(&mut self, request: &Request, what: &str) {
        let Request { method, target, .. } = request;
        self.differences
            .push(format!("{method} {target:?}\n    {what}"));
    }

    fn count(&mut self, info: &RequestInfo, answer: &Answer) {
        let verb = match info.resource() {
            Some(_) => format!("{:?}", info.verb),
            None => format!("{:?} of a path", info.verb),
        };
        *self.verbs.entry(verb).or_default() += 1;
        if let Some(resource) = info.resource() {
            let by_selector = resource.parts.len() < 2 && !resource.name.is_empty();
            self.named_by_selector += u64::from(by_selector);
            let proxied =
                resource.subresource == "proxy" && answer.path.len() > resource.name.len();
            self.proxied += u64::from(proxied && resource.parts.len() > 3);
        }
    }

    fn report(&self) -> String {
        let mut text = format!(
            "{} requests: {} accepted, {} refused",
            self.accepted + self.refused,
            self.accepted,
            self.refused
        );
        for (verb, count) in &self.verbs {
            write!(text, "\n{count:8} accepted as {verb}").unwrap();
        }
        write!(text, "\n{:8} named by a selector", self.named_by_selector).unwrap();
        write!(text, "\n{:8} with a proxy subpath", self.proxied).unwrap();
        for (reason, count) in &self.reasons {
            write!(text, "\n{count:8} refused: {reason}").unwrap();
        }
        text
    }

    /// Every kind of request must have been accepted often enough to say something.
    fn assert_not_vacuous(&self, cases: u64) {
        assert!(cases > 0, "no request was tried");
        let share = self.accepted * 100 / cases;
        assert!(share >= LEAST_ACCEPTED, "only {share} % were accepted");
        let each = cases / 1000;
        for verb in [
            Verb::Get,
            Verb::List,
            Verb::Watch,
            Verb::Create,
            Verb::Update,
            Verb::Patch,
            Verb::Delete,
            Verb::DeleteCollection,
            Verb::Proxy,
            Verb::None,
        ] {
            let count = self.verbs.get(&format!("{verb:?}")).copied();
            assert!(count.unwrap_or(0) >= each, "{verb:?}: {count:?}");
        }
        assert!(self.named_by_selector >= each);
        assert!(self.proxied >= each);
        let reasons = self.reasons.len();
        assert!(reasons >= 40 || cases < CASES, "only {reasons} reasons");
    }
}

/// Whether a refusal claims that the API server could not decode the options of a list either.
fn says_go_would_refuse(reason: &str) -> bool {
    reason.starts_with("the field selector")
        || reason.starts_with("the label selector")
        || reason.ends_with("is not a whole number")
}

/// Where our reading and Go's differ.
fn difference(info: &RequestInfo, answer: &Answer) -> Option<String> {
    if !answer.error.is_empty() {
        return Some(format!("accepted, though Go says: {}", answer.error));
    }
    let mut found = Vec::new();
    let mut same = |field: &str, ours: &str, theirs: &str| {
        if ours != theirs {
            found.push(format!("{field}: ours {ours:?}, Go's {theirs:?}"));
        }
    };
    same("verb", info.verb.as_str(), &answer.verb);
    match &info.target {
        Target::NonResource { path } => {
            same("is resource", "false", &answer.is_resource.to_string());
            same("path", path, &answer.path);
        }
        Target::Resource(r) => {
            same("is resource", "true", &answer.is_resource.to_string());
            same("prefix", &r.prefix, &answer.prefix);
            same("group", &r.group, &answer.group);
            same("version", &r.version, &answer.version);
            same("namespace", &r.namespace, &answer.namespace);
            same("resource", &r.resource, &answer.resource);
            same("subresource", &r.subresource, &answer.subresource);
            same("name", &r.name, &answer.name);
            same("field selector", &r.field_selector, &answer.field_selector);
            same("label selector", &r.label_selector, &answer.label_selector);
            let theirs = answer.parts.clone().unwrap_or_default();
            same("parts", &format!("{:?}", r.parts), &format!("{theirs:?}"));
        }
    }
    let mut ours = BTreeMap::<String, Vec<String>>::new();
    for (key, value) in info.query.pairs() {
        ours.entry(key.clone()).or_default().push(value.clone());
    }
    let theirs = answer.query.clone().unwrap_or_default();
    same("query", &format!("{ours:?}"), &format!("{theirs:?}"));
    let lists = matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
    if lists {
        same("list options", "", &answer.list_error);
    }
    (!found.is_empty()).then(|| found.join("; "))
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// Builds the Go program.
fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("requestinfo");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("requestinfo");
    let built = Command::new("go")
        .args(["build", "-trimpath", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .output()
        .unwrap_or_else(|e| panic!("this test needs Go 1.26 in the PATH, to ask Kubernetes: {e}"));
    assert!(
        built.status.success(),
        "tests/requestinfo does not build (Go 1.26 is needed):\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    program
}

/// What Go makes of each request.
fn ask(program: &Path, requests: &[Request]) -> Vec<Answer> {
    let mut lines = String::new();
    for Request { method, target, .. } in requests {
        let line = serde_json::json!({ "method": method, "target": target });
        writeln!(lines, "{line}").unwrap();
    }
    // A file, not a pipe: nobody then waits for the other to read.
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("requests");
    std::fs::write(&input, lines).unwrap();
    let output = Command::new(program)
        .stdin(File::open(&input).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .map(|answer| answer.expect("one answer per line"))
        .collect()
}
