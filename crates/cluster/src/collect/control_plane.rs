//! The API server's flags and files: from its mirror pod, its process on this machine, or a directory.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use kubestile_assess::snapshot::{ApiServer, ConfigFile, ControlPlane, Distribution, Source, Why};
use serde_json::Value;

use super::{absent, get};
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
        Source::Absent(absence) => Source::Absent(absence.clone()),
    };
    let mut plane = ControlPlane {
        authentication: read("authentication-config"),
        authorization: read("authorization-config"),
        audit_policy: read("audit-policy-file"),
        directory: place.root(&server),
        api_server: server,
    };
    if probes {
        prove(upstream, &mut plane).await;
    }
    plane
}

/// Where the files that flags name can be read.
enum Files {
    Nowhere,
    /// On this machine, where the API server itself reads them.
    Here,
    /// Under their last name in a directory, or in it at the same path.
    Directory(PathBuf),
}

/// A file as it was read, with its hash for the proof.
struct Raw {
    text: String,
    place: String,
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

    fn read(&self, server: &ApiServer, flag: &str) -> Source<ConfigFile> {
        let Some(value) = server.value(flag) else {
            return Source::absent(Why::Unsupported, format!("--{flag} is not set"));
        };
        match self.raw(Path::new(value)) {
            Ok(raw) => config_of(&raw),
            Err(reason) => Source::absent(
                Why::Hidden,
                format!(
                    "--{flag} names `{value}`, which {reason}: give its directory with --control-plane-dir"
                ),
            ),
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
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok(text)
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

/// Marks the files whose hash the live server reports as the one it uses.
async fn prove(upstream: &Upstream, plane: &mut ControlPlane) {
    let files = [
        (
            &mut plane.authentication,
            "apiserver_authentication_config_controller_last_config_info",
        ),
        (
            &mut plane.authorization,
            "apiserver_authorization_config_controller_last_config_info",
        ),
    ];
    if files.iter().all(|(file, _)| file.known().is_none()) {
        return;
    }
    let Some(metrics) = metrics(upstream).await else {
        return;
    };
    for (file, metric) in files {
        if let Some(file) = file.known_mut()
            && let Ok(raw) = text(Path::new(&file.place))
        {
            file.proved = is_live(&metrics, metric, &raw) == Some(true);
        }
    }
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
}
