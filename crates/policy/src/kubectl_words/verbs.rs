//! The request that each command of kubectl is about.

use super::flags::Line;
use super::resources::Location;
use super::{Typed, WordsError};

/// The request of one command.
pub(super) fn request(verb: &str, words: &[&str]) -> Result<Typed, WordsError> {
    let line = Line::parse(verb, words)?;
    if let Some(path) = line.value("raw") {
        return raw(verb, path, &line);
    }
    match verb {
        "get" | "events" | "wait" | "describe" => read(verb, &line),
        "logs" | "exec" | "attach" | "port-forward" | "cp" | "debug" => stream(verb, &line),
        "create" | "run" | "expose" | "autoscale" => create(verb, &line),
        "delete" => Request::on("DELETE", object(&line)?, &line).finish(),
        "replace" => change("PUT", &line),
        "apply" | "patch" | "edit" | "label" | "annotate" => change("PATCH", &line),
        "diff" => Ok(change("PATCH", &line)?.with("dryRun", "All")),
        "scale" => Request::on("PATCH", object(&line)?, &line)
            .sub("scale")
            .dry()
            .finish(),
        "set" => skip_word(&line, |line| change("PATCH", line)),
        "rollout" => rollout(&line),
        "taint" | "cordon" | "uncordon" | "drain" => node(verb, &line),
        "top" => top(&line),
        "auth" => auth(&line),
        "certificate" => certificate(&line),
        "api-resources" | "api-versions" => plain("GET", "/apis", &line),
        "version" => plain("GET", "/version", &line),
        "explain" => plain("GET", "/openapi/v3", &line),
        "cluster-info" => plain("GET", "/api/v1/namespaces/kube-system/services", &line),
        "config" | "completion" | "plugin" | "options" | "kustomize" | "help" => Err(
            WordsError::new(format!("`kubectl {verb}` sends no request to the cluster")),
        ),
        _ => Err(WordsError::new(format!(
            "`{verb}` is not known here; write the request as method and path, as in `GET /api/v1/pods`"
        ))),
    }
}

/// A request that is being put together.
struct Request<'l> {
    line: &'l Line,
    method: &'static str,
    path: String,
    query: Vec<(&'static str, String)>,
    dry: bool,
}

impl<'l> Request<'l> {
    /// On the object or the collection of `target`.
    fn on(method: &'static str, target: Target, line: &'l Line) -> Self {
        let all = line.is_set("all-namespaces") && target.name.is_none();
        let mut path = target.location.path(line.value("namespace"), all);
        if let Some(name) = target.name {
            path.push('/');
            path.push_str(&encode(&name));
        }
        if let Some(subresource) = line.value("subresource") {
            path.push('/');
            path.push_str(&encode(subresource));
        }
        Self {
            line,
            method,
            path,
            query: Vec::new(),
            dry: false,
        }
    }

    fn sub(mut self, subresource: &str) -> Self {
        self.path.push('/');
        self.path.push_str(subresource);
        self
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    fn with_flag(self, flag: &str, key: &'static str) -> Self {
        if self.line.is_set(flag) {
            self.with(key, "true")
        } else {
            self
        }
    }

    fn with_value(self, flag: &str, key: &'static str) -> Self {
        match self.line.value(flag) {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// It is a write that can be done as if.
    fn dry(mut self) -> Self {
        self.dry = true;
        self
    }

    fn finish(mut self) -> Result<Typed, WordsError> {
        let dry_run = self.line.dry_run()?;
        if self.dry {
            self.query.extend(dry_run);
        }
        let mut typed = Typed {
            method: self.method.to_owned(),
            path: self.path,
            query: None,
            impersonates: self.line.impersonates(),
        };
        for (key, value) in self.query {
            typed = typed.with(key, &value);
        }
        Ok(typed)
    }
}

impl Typed {
    fn with(mut self, key: &str, value: &str) -> Self {
        let pair = format!("{key}={}", encode(value));
        self.query = Some(match self.query {
            Some(query) => format!("{query}&{pair}"),
            None => pair,
        });
        self
    }
}

/// A resource, and an object of it.
struct Target {
    location: Location,
    name: Option<String>,
}

/// `pod web`, `pod/web`, `pods`.
fn target(arguments: &[String]) -> Result<Target, WordsError> {
    let several = || WordsError::new("name one object at a time: each is a request of its own");
    let (kind, name) = match arguments {
        [one] => match one.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (one.as_str(), None),
        },
        [kind, name] if !kind.contains('/') => (kind.as_str(), Some(name.as_str())),
        [] => {
            return Err(WordsError::new(
                "name the object, as in `deployment web`: what stands in a file is not read here",
            ));
        }
        _ => return Err(several()),
    };
    if kind.contains(',') || kind == "all" {
        return Err(several());
    }
    Ok(Target {
        location: Location::of(kind)?,
        name: name.map(str::to_owned),
    })
}

/// The target, which must be one object.
fn object(line: &Line) -> Result<Target, WordsError> {
    let target = target(&line.arguments)?;
    if target.name.is_none() {
        return Err(WordsError::new(
            "name one object: kubectl reads the list and then sends one request for each",
        ));
    }
    Ok(target)
}

/// The object without what follows it (`tier=front`, `app=img:2`).
fn first_object(line: &Line) -> Result<Target, WordsError> {
    let names = match line
        .arguments
        .first()
        .is_some_and(|first| first.contains('/'))
    {
        true => 1,
        false => 2,
    };
    let head: Vec<String> = line.arguments.iter().take(names).cloned().collect();
    let target = target(&head)?;
    if target.name.is_none() {
        return Err(WordsError::new("name the object, as in `deployment web`"));
    }
    Ok(target)
}

fn of(kind: &str, name: Option<&str>) -> Result<Target, WordsError> {
    Ok(Target {
        location: Location::of(kind)?,
        name: name.map(str::to_owned),
    })
}

fn read(verb: &str, line: &Line) -> Result<Typed, WordsError> {
    let target = match verb {
        "events" => of("events", None)?,
        _ => target(&line.arguments)?,
    };
    let watch = line.is_set("watch") || line.is_set("watch-only") || verb == "wait";
    if target.name.is_some() && !watch {
        return Request::on("GET", target, line).finish();
    }
    let name = target.name.clone();
    let collection = Target {
        name: None,
        ..target
    };
    let mut request = Request::on("GET", collection, line);
    request = match name {
        // kubectl watches one object as a collection of one.
        Some(name) => request.with("fieldSelector", format!("metadata.name={name}")),
        None => request
            .with_value("field-selector", "fieldSelector")
            .with_value("selector", "labelSelector"),
    };
    match watch {
        true => request.with("watch", "true").finish(),
        false => request.with("limit", "500").finish(),
    }
}

fn create(verb: &str, line: &Line) -> Result<Typed, WordsError> {
    let kind = match verb {
        "run" => "pods",
        "expose" => "services",
        "autoscale" => "horizontalpodautoscalers",
        _ => line.arguments.first().map_or("", String::as_str),
    };
    if kind.is_empty() {
        target(&[])?;
    }
    if kind == "token" {
        let name = line.arguments.get(1);
        let name = name.ok_or_else(|| WordsError::new("name the service account"))?;
        return Request::on("POST", of("serviceaccounts", Some(name))?, line)
            .sub("token")
            .finish();
    }
    Request::on("POST", of(kind, None)?, line).dry().finish()
}

fn change(method: &'static str, line: &Line) -> Result<Typed, WordsError> {
    Request::on(method, first_object(line)?, line)
        .dry()
        .finish()
}

/// Takes the word after the command off (`image` of `set image`).
fn skip_word(
    line: &Line,
    then: impl Fn(&Line) -> Result<Typed, WordsError>,
) -> Result<Typed, WordsError> {
    then(&line.without_first())
}

fn rollout(line: &Line) -> Result<Typed, WordsError> {
    match line.arguments.first().map(String::as_str) {
        Some("restart" | "undo" | "pause" | "resume") => {
            skip_word(line, |line| change("PATCH", line))
        }
        Some("status") => skip_word(line, |line| read("wait", line)),
        Some("history") => skip_word(line, |line| read("get", line)),
        _ => Err(WordsError::new(
            "write `rollout restart`, `undo`, `pause`, `resume`, `status` or `history`",
        )),
    }
}

fn node(verb: &str, line: &Line) -> Result<Typed, WordsError> {
    let names: Vec<&str> = line
        .arguments
        .iter()
        .map(|argument| argument.strip_prefix("node/").unwrap_or(argument))
        .filter(|argument| !matches!(*argument, "node" | "nodes" | "no"))
        .collect();
    let name = names
        .first()
        .ok_or_else(|| WordsError::new(format!("`{verb}` needs a node")))?;
    Request::on("PATCH", of("nodes", Some(name))?, line)
        .dry()
        .finish()
}

fn top(line: &Line) -> Result<Typed, WordsError> {
    let kind = match line.arguments.first().map(String::as_str) {
        Some("pod" | "pods" | "po") => "pods.v1beta1.metrics.k8s.io",
        Some("node" | "nodes" | "no") => "nodes.v1beta1.metrics.k8s.io",
        _ => return Err(WordsError::new("write `top pods` or `top nodes`")),
    };
    let name = line.arguments.get(1).map(String::as_str);
    Request::on("GET", of(kind, name)?, line).finish()
}

fn auth(line: &Line) -> Result<Typed, WordsError> {
    let path = match line.arguments.first().map(String::as_str) {
        Some("whoami") => "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        Some("can-i") => "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        _ => return Err(WordsError::new("write `auth whoami` or `auth can-i`")),
    };
    plain("POST", path, line)
}

fn certificate(line: &Line) -> Result<Typed, WordsError> {
    match line.arguments.as_slice() {
        [word, name] if matches!(word.as_str(), "approve" | "deny") => {
            let name = name.rsplit('/').next().unwrap_or(name);
            let csr = of("certificatesigningrequests", Some(name))?;
            Request::on("PUT", csr, line).sub("approval").finish()
        }
        _ => Err(WordsError::new(
            "write `certificate approve NAME` or `certificate deny NAME`",
        )),
    }
}

fn stream(verb: &str, line: &Line) -> Result<Typed, WordsError> {
    let first = line.arguments.first().map_or("", String::as_str);
    if verb == "cp" {
        return copy(line);
    }
    if verb == "debug" && (first.starts_with("node/") || line.value("copy-to").is_some()) {
        return Request::on("POST", of("pods", None)?, line).finish();
    }
    let pod = match first.split_once('/') {
        Some(("pod" | "pods" | "po", name)) => name,
        None if !first.is_empty() => first,
        _ => {
            return Err(WordsError::new(format!(
                "name the pod that `{verb}` goes to: which one a deployment or service stands for \
                 only the cluster knows"
            )));
        }
    };
    let (method, subresource) = match verb {
        "logs" => ("GET", "log"),
        "exec" => ("GET", "exec"),
        "attach" => ("GET", "attach"),
        "port-forward" => ("GET", "portforward"),
        _ => ("PATCH", "ephemeralcontainers"),
    };
    let request = Request::on(method, of("pods", Some(pod))?, line).sub(subresource);
    match verb {
        "logs" => request
            .with_value("container", "container")
            .with_flag("follow", "follow")
            .finish(),
        "exec" => {
            if line.rest.is_empty() {
                return Err(WordsError::new("write the command after `--`"));
            }
            streams(words(request, &line.rest)).finish()
        }
        "attach" => streams(request).finish(),
        _ => request.finish(),
    }
}

fn words<'l>(request: Request<'l>, command: &[String]) -> Request<'l> {
    command.iter().fold(request, |request, word| {
        request.with("command", word.as_str())
    })
}

/// The query of a stream (`PodExecOptions`, `PodAttachOptions`).
fn streams(request: Request<'_>) -> Request<'_> {
    request
        .with_value("container", "container")
        .with_flag("stdin", "stdin")
        .with("stdout", "true")
        .with_flag("tty", "tty")
}

/// The exec that `kubectl cp` runs (`kubectl/pkg/cmd/cp/cp.go`).
fn copy(line: &Line) -> Result<Typed, WordsError> {
    let (from, to) = match line.arguments.as_slice() {
        [from, to] => (from.as_str(), to.as_str()),
        _ => {
            return Err(WordsError::new(
                "write `cp [NAMESPACE/]POD:PATH FILE`, or the other way round",
            ));
        }
    };
    let (remote, command): (&str, Vec<&str>) = match (from.split_once(':'), to.split_once(':')) {
        (Some((pod, path)), None) => (pod, vec!["tar", "cf", "-", path]),
        (None, Some((pod, path))) => (pod, vec!["tar", "-xmf", "-", "-C", path]),
        _ => {
            return Err(WordsError::new(
                "one of the two names a pod, as in `web-1:/tmp/a`",
            ));
        }
    };
    let (namespace, pod) = match remote.split_once('/') {
        Some((namespace, pod)) => (Some(namespace), pod),
        None => (line.value("namespace"), remote),
    };
    let path = Location::of("pods")?.path(namespace, false);
    let request = Request {
        line,
        method: "GET",
        path: format!("{path}/{}/exec", encode(pod)),
        query: Vec::new(),
        dry: false,
    };
    let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
    streams(words(request, &command)).finish()
}

fn plain(method: &'static str, path: &str, line: &Line) -> Result<Typed, WordsError> {
    Request {
        line,
        method,
        path: path.to_owned(),
        query: Vec::new(),
        dry: false,
    }
    .finish()
}

/// `get --raw /metrics`.
fn raw(verb: &str, path: &str, line: &Line) -> Result<Typed, WordsError> {
    let method = match verb {
        "get" => "GET",
        "create" => "POST",
        "replace" => "PUT",
        "delete" => "DELETE",
        _ => return Err(WordsError::new(format!("`{verb}` has no `--raw`"))),
    };
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (path, None),
    };
    let typed = plain(method, path, line)?;
    Ok(Typed { query, ..typed })
}

/// Percent-encodes all but RFC 3986's unreserved characters and the colon.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}
