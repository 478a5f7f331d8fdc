//! The API server's flags and files: from its mirror pod, its process on this machine, or a directory.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use kubestile_assess::snapshot::{ApiServer, ConfigFile, ControlPlane, Distribution, Source, Why};
use serde_json::Value;

use super::{absent, get, k3s};
use crate::upstream::Upstream;

/// No manifest or configuration file is larger.
const LIMIT: u64 = 4 << 20;
/// Processes that are looked at.
const PROCESSES: usize = 65_536;

pub(super) async fn collect(
    upstream: &Upstream,
    distribution: Distribution,
    files: Option<&Path>,
    probes: bool,
) -> ControlPlane {
    let (server, place) = match files {
        Some(dir) => (from_directory(dir), Files::Directory(dir.to_owned())),
        None => live(upstream, distribution).await,
    };
    let read = |flag: &str| match &server {
        Source::Known(server) => place.read(server, flag),
        Source::Absent(absence) => Found {
            file: Source::Absent(absence.clone()),
            raw: None,
        },
    };
    let mut authentication = read("authentication-config");
    let mut authorization = read("authorization-config");
    if probes && (authentication.raw.is_some() || authorization.raw.is_some()) {
        let metrics = metrics(upstream).await.unwrap_or_default();
        authentication.prove(&metrics, "authentication");
        authorization.prove(&metrics, "authorization");
    }
    ControlPlane {
        authentication: authentication.file,
        authorization: authorization.file,
        audit_policy: read("audit-policy-file").file,
        directory: place.root(&server),
        api_server: server,
    }
}

/// Where the files that flags name can be read.
enum Files {
    Nowhere,
    /// On this machine, where the API server itself reads them.
    Here,
    /// Under their last name in a directory, or in it at the same path.
    Directory(PathBuf),
}

/// A file as it was read.
struct Raw {
    text: String,
    place: String,
}

/// A configuration file, and what it was read from, for the proof that it is the one in use.
struct Found {
    file: Source<ConfigFile>,
    raw: Option<Raw>,
}

impl Found {
    /// With what the live server reports of the file that it uses. Another file than that says nothing about the
    /// server, and is dropped, so that whatever rests on it is unknown: it was changed a moment ago, it was never
    /// taken because it is not valid, or it is of another server. Without a report the file stays unproved.
    fn prove(&mut self, metrics: &str, what: &str) {
        let Some(raw) = &self.raw else { return };
        let metric = format!("apiserver_{what}_config_controller_last_config_info");
        match is_live(metrics, &metric, &raw.text) {
            Some(true) => {
                if let Some(file) = self.file.known_mut() {
                    file.proved = true;
                }
            }
            Some(false) => {
                let text = another(&raw.place, metrics, what);
                self.file = Source::absent(Why::Failed, text);
            }
            None => {}
        }
    }
}

/// That the file in a place is not the one in use, and what to do about it.
fn another(place: &str, metrics: &str, what: &str) -> String {
    let failed = format!("apiserver_{what}_config_controller_automatic_reloads_total{{");
    let failures = metrics
        .lines()
        .filter(|l| l.starts_with(&failed) && l.contains("status=\"failure\""))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum::<f64>();
    let refused = match failures > 0.0 {
        true => {
            "the server has refused a changed file since it started, and goes on with its last good one"
        }
        false => "the server has not read it yet, or it is another server's",
    };
    format!(
        "`{place}` is not the file that the API server uses, by the hash in its metrics: {refused}; see its log for `{what} config`, mend the file (a changed one is read within a minute), and assess again"
    )
}

/// Where kubeadm keeps the control plane's files.
const USUAL: &str = "/etc/kubernetes";

impl Files {
    /// The directory as the API server sees it: of a copy, the one that it was copied from.
    fn root(&self, server: &Source<ApiServer>) -> Option<String> {
        let Self::Directory(dir) = self else {
            return None;
        };
        let server = server.known()?;
        let usual = |f: &kubestile_assess::snapshot::Flag| f.value.starts_with("/etc/kubernetes/");
        match server.flags.iter().any(usual) {
            true => Some(USUAL.to_owned()),
            false => std::path::absolute(dir).ok()?.to_str().map(str::to_owned),
        }
    }

    fn read(&self, server: &ApiServer, flag: &str) -> Found {
        let Some(value) = server.value(flag) else {
            return Found {
                file: Source::absent(Why::Unsupported, format!("--{flag} is not set")),
                raw: None,
            };
        };
        match self.raw(Path::new(value)) {
            Ok(raw) => Found {
                file: config_of(&raw),
                raw: Some(raw),
            },
            Err(reason) => Found {
                file: Source::absent(
                    Why::Hidden,
                    format!(
                        "--{flag} names `{value}`, which {reason}: give its directory with --control-plane-dir"
                    ),
                ),
                raw: None,
            },
        }
    }

    fn raw(&self, path: &Path) -> Result<Raw, String> {
        let candidates: Vec<PathBuf> = match self {
            Self::Nowhere => return Err("is on the control plane's machine".to_owned()),
            Self::Here => vec![path.to_owned()],
            Self::Directory(dir) => {
                let relative = path.strip_prefix("/").unwrap_or(path);
                let below = path.strip_prefix("/etc/kubernetes").ok();
                let last = path.file_name().map(|n| dir.join(n));
                let below = below.map(|b| dir.join(b));
                below
                    .into_iter()
                    .chain(last)
                    .chain([dir.join(relative)])
                    .chain(path.starts_with(dir).then(|| path.to_owned()))
                    .collect()
            }
        };
        for place in &candidates {
            if let Ok(text) = text(place) {
                return Ok(Raw {
                    text,
                    place: place.display().to_string(),
                });
            }
        }
        Err("cannot be read here".to_owned())
    }
}

fn config_of(raw: &Raw) -> Source<ConfigFile> {
    let options = serde_saphyr::options! { with_snippet: false };
    match serde_saphyr::from_str_with_options::<Value>(&raw.text, options) {
        Ok(content) => Source::Known(ConfigFile {
            place: raw.place.clone(),
            proved: false,
            content,
        }),
        Err(_) => Source::absent(Why::Failed, format!("`{}` is no YAML", raw.place)),
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(LIMIT + 1).read_to_string(&mut text)?;
    match u64::try_from(text.len()).is_ok_and(|n| n <= LIMIT) {
        true => Ok(text),
        // Half a file would be another one.
        false => Err(std::io::ErrorKind::FileTooLarge.into()),
    }
}

fn from_directory(dir: &Path) -> Source<ApiServer> {
    for name in ["manifests/kube-apiserver.yaml", "kube-apiserver.yaml"] {
        let path = dir.join(name);
        let Ok(text) = text(&path) else { continue };
        let options = serde_saphyr::options! { with_snippet: false };
        let pod: Result<Value, _> = serde_saphyr::from_str_with_options(&text, options);
        return match pod {
            Ok(pod) => Source::Known(with_lines(
                command_of(&path.display().to_string(), &pod),
                &text,
            )),
            Err(_) => Source::absent(Why::Failed, format!("`{}` is no YAML", path.display())),
        };
    }
    Source::absent(
        Why::Failed,
        format!("`{}` has no manifests/kube-apiserver.yaml", dir.display()),
    )
}

/// The lines of a manifest on which flags stand.
fn with_lines(mut server: ApiServer, text: &str) -> ApiServer {
    for flag in &mut server.flags {
        let mark = format!("--{}", flag.name);
        let line = text.lines().position(|l| l.contains(&mark));
        flag.line = line.map_or(0, |l| l + 1);
    }
    server
}

async fn live(upstream: &Upstream, distribution: Distribution) -> (Source<ApiServer>, Files) {
    if distribution.is_managed() {
        let text = format!("{distribution} shows nobody the flags of its API server");
        return (Source::absent(Why::Hidden, text), Files::Nowhere);
    }
    let path =
        "/api/v1/namespaces/kube-system/pods?labelSelector=component%3Dkube-apiserver&limit=1";
    let pods = get(upstream, path).await;
    if let Ok(list) = &pods
        && let Some(pod) = list.pointer("/items/0")
    {
        let name = pod
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let place = format!("pod/{name} in kube-system");
        // The files are read if this is that machine.
        return (Source::Known(command_of(&place, pod)), Files::Here);
    }
    if let Some(server) = process_here(upstream) {
        return (Source::Known(server), Files::Here);
    }
    if distribution == Distribution::K3s
        && let Some(server) = k3s::api_server(upstream).await
    {
        // Its files are read if this is one of its servers.
        let place = match Path::new(k3s::SERVER).is_dir() {
            true => Files::Here,
            false => Files::Nowhere,
        };
        return (server, place);
    }
    let unseen = match pods {
        Err(error) => absent(&error, "list pods in kube-system"),
        Ok(_) => Source::absent(
            Why::Hidden,
            "the API server runs in no pod that can be seen: give its files with --control-plane-dir",
        ),
    };
    (unseen, Files::Nowhere)
}

/// The command line of a pod's first container.
fn command_of(place: &str, pod: &Value) -> ApiServer {
    let words = |field: &str| {
        let list = pod.pointer(&format!("/spec/containers/0/{field}"));
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut all = words("command");
    all.extend(words("args"));
    ApiServer::from_command(place, &all)
}

/// The API server's process, if it runs on this machine: the one that serves this port on loopback.
fn process_here(upstream: &Upstream) -> Option<ApiServer> {
    let address: Result<std::net::IpAddr, _> = upstream.host().parse();
    let loopback = upstream.host() == "localhost" || address.is_ok_and(|a| a.is_loopback());
    if !loopback {
        return None;
    }
    let port = upstream.port().to_string();
    let entries = std::fs::read_dir("/proc").ok()?.take(PROCESSES).flatten();
    entries
        .filter(|e| {
            e.file_name()
                .to_string_lossy()
                .bytes()
                .all(|b| b.is_ascii_digit())
        })
        .find_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line);
            let words: Vec<&str> = line.split('\0').filter(|w| !w.is_empty()).collect();
            let program = Path::new(words.first()?).file_name()?;
            if program != "kube-apiserver" {
                return None;
            }
            let place = format!(
                "process {} (kube-apiserver)",
                entry.file_name().to_string_lossy()
            );
            let server = ApiServer::from_command(&place, &words);
            (server.value("secure-port").unwrap_or("6443") == port).then_some(server)
        })
}

/// The API server's command line as it runs now.
pub(crate) async fn flags(upstream: &Upstream, distribution: Distribution) -> Source<ApiServer> {
    live(upstream, distribution).await.0
}

/// Whether the live server reports this text's hash for the file that a flag names; none where it does
/// not report any.
pub(crate) async fn uses_file(upstream: &Upstream, flag: &str, text: &str) -> Option<bool> {
    let metrics = metrics(upstream).await?;
    let metric = format!(
        "apiserver_{}_controller_last_config_info",
        flag.replace('-', "_")
    );
    is_live(&metrics, &metric, text)
}

/// Whether a file with this text is what the metric names: its label is the SHA-256 of the file's bytes. None where
/// there is no such metric (before 1.34, or without the file).
fn is_live(metrics: &str, metric: &str, text: &str) -> Option<bool> {
    let mut lines = metrics
        .lines()
        .filter(|l| {
            l.strip_prefix(metric)
                .is_some_and(|rest| rest.starts_with('{'))
        })
        .peekable();
    lines.peek()?;
    let hash = hex(digest(&SHA256, text.as_bytes()).as_ref());
    Some(lines.any(|l| l.contains(&format!("\"sha256:{hash}\""))))
}

async fn metrics(upstream: &Upstream) -> Option<String> {
    let call = crate::call::Call::get("/metrics").with_headers(http::HeaderMap::from_iter([(
        http::header::ACCEPT,
        http::HeaderValue::from_static("text/plain"),
    )]));
    let answer = upstream.call(&call).await.ok()?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    answer.status.is_success().then_some(text)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_proved_by_the_hash_of_its_bytes_alone() {
        let metric = "apiserver_authentication_config_controller_last_config_info";
        let text = "kind: AuthenticationConfiguration\n";
        let hash = hex(digest(&SHA256, text.as_bytes()).as_ref());
        let line = |name: &str, hash: &str| {
            format!(
                "# TYPE {name} gauge\n{name}{{apiserver_id_hash=\"sha256:00\",hash=\"sha256:{hash}\"}} 1\n"
            )
        };
        assert_eq!(is_live(&line(metric, &hash), metric, text), Some(true));
        assert_eq!(
            is_live(&line(metric, &hash), metric, "kind: x\n"),
            Some(false)
        );
        assert_eq!(is_live(&line("another_metric", &hash), metric, text), None);
        assert_eq!(
            is_live(&line(&format!("{metric}_total"), &hash), metric, text),
            None
        );
        assert_eq!(is_live("", metric, text), None);
    }

    #[test]
    fn a_file_that_is_not_in_use_decides_nothing() {
        let found = |text: &str| {
            let raw = Raw {
                text: text.to_owned(),
                place: "/etc/kubernetes/authentication.yaml".to_owned(),
            };
            Found {
                file: config_of(&raw),
                raw: Some(raw),
            }
        };
        let used = "kind: AuthenticationConfiguration\n";
        let hash = hex(digest(&SHA256, used.as_bytes()).as_ref());
        let head = "apiserver_authentication_config_controller";
        let metrics = format!("{head}_last_config_info{{hash=\"sha256:{hash}\"}} 1\n");

        let mut same = found(used);
        same.prove(&metrics, "authentication");
        assert!(same.file.known().unwrap().proved);

        let mut other = found("kind: AuthenticationConfiguration\njwt: []\n");
        other.prove(&metrics, "authentication");
        let absence = other.file.get().unwrap_err();
        assert!(absence.text.contains("is not the file"), "{absence}");
        assert!(absence.text.contains("not read it yet"), "{absence}");

        // Also one that is no YAML at all.
        let refused = format!(
            "{metrics}{head}_automatic_reloads_total{{apiserver_id_hash=\"sha256:0\",status=\"failure\"}} 2\n"
        );
        let mut broken = found("{");
        broken.prove(&refused, "authentication");
        let absence = broken.file.get().unwrap_err();
        assert!(absence.text.contains("refused"), "{absence}");

        // A server that reports nothing proves nothing and disproves nothing.
        let mut unsaid = found("kind: x\n");
        unsaid.prove("", "authentication");
        assert!(!unsaid.file.known().unwrap().proved);
    }
}
