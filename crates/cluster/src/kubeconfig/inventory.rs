//! What the kubeconfigs of this machine hold, without what proves it: for the assessor. Tokens,
//! passwords and keys are looked at here and go no further than a fingerprint.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kubestile_assess::snapshot::{
    Certificate, ClusterEntry, Context, Credential, Exec, Kubeconfig, Kuberc, Machine, Source,
    Token, UserEntry, Why,
};
use kubestile_core::Timestamp;
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::{Cluster, ExecConfig, File, User, parse, text};
use crate::collect::hex;

/// Files of `~/.kube` that are looked at.
const FILES: usize = 64;

/// Kubeconfigs and kuberc of this machine, as far as they can be read.
pub(crate) fn machine(named: Option<&Path>) -> Machine {
    Machine {
        kubeconfigs: Source::Known(candidates(named).iter().filter_map(|p| file(p)).collect()),
        kuberc: kuberc(),
    }
}

/// What was named or is in `KUBECONFIG`, the files of `~/.kube`, and what kubeadm leaves.
fn candidates(named: Option<&Path>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = named.map(Path::to_owned).into_iter().collect();
    if let Some(list) = std::env::var_os("KUBECONFIG") {
        found.extend(std::env::split_paths(&list).filter(|p| !p.as_os_str().is_empty()));
    }
    if let Some(home) = std::env::home_dir()
        && let Ok(entries) = std::fs::read_dir(home.join(".kube"))
    {
        let files = entries.flatten().map(|e| e.path()).filter(|p| p.is_file());
        let mut files: Vec<PathBuf> = files.take(FILES).collect();
        files.sort();
        found.extend(files);
    }
    found.extend(["admin.conf", "super-admin.conf"].map(|n| Path::new("/etc/kubernetes").join(n)));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|p| p.canonicalize().is_ok_and(|real| seen.insert(real)));
    found
}

/// One file, if it is a kubeconfig.
fn file(path: &Path) -> Option<Kubeconfig> {
    let words = text(path).ok()?;
    let files = parse(path, &words).ok()?;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let dir = absolute.parent().unwrap_or(Path::new("/"));
    let mut found = Kubeconfig {
        path: absolute.display().to_string(),
        repository: tracked_by(&absolute),
        ..ownership(&absolute)
    };
    for file in files {
        add(&mut found, file, dir, &words);
    }
    (!found.clusters.is_empty() || !found.users.is_empty()).then_some(found)
}

fn add(found: &mut Kubeconfig, file: File, dir: &Path, words: &str) {
    for named in file.clusters.unwrap_or_default() {
        let entry = named.cluster.unwrap_or_default();
        found.clusters.push(cluster(named.name, &entry, words));
    }
    for named in file.users.unwrap_or_default() {
        let entry = named.user.unwrap_or_default();
        found.users.push(UserEntry {
            line: line_of(words, "users", &named.name),
            credentials: credentials(&entry, dir),
            name: named.name,
        });
    }
    for named in file.contexts.unwrap_or_default() {
        if let Some(context) = named.context {
            found.contexts.push(Context {
                name: named.name,
                cluster: context.cluster,
                user: context.user.unwrap_or_default(),
            });
        }
    }
}

fn cluster(name: String, entry: &Cluster, words: &str) -> ClusterEntry {
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    let file = entry.certificate_authority.as_ref();
    ClusterEntry {
        line: line_of(words, "clusters", &name),
        server: without_user(entry.server.as_deref().unwrap_or_default()),
        authority: given(&entry.certificate_authority_data).is_some()
            || file.is_some_and(|f| !f.as_os_str().is_empty()),
        insecure: entry.insecure_skip_tls_verify.unwrap_or(false),
        proxy: given(&entry.proxy_url).map(|p| without_user(&p)),
        server_name: given(&entry.tls_server_name),
        name,
    }
}

/// A URL without a name and password before its host.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Every credential that a user's entry holds, also those that another one shadows.
fn credentials(user: &User, dir: &Path) -> Vec<Credential> {
    let mut found = Vec::new();
    let given = |t: &&Zeroizing<String>| !t.trim().is_empty();
    if let Some(inline) = user.token.as_ref().filter(given) {
        found.push(Credential::Token(token(inline.trim(), false)));
    }
    if let Some(path) = user
        .token_file
        .as_ref()
        .filter(|f| !f.as_os_str().is_empty())
    {
        let words = text(&dir.join(path)).unwrap_or_default();
        found.push(Credential::Token(token(words.trim(), true)));
    }
    if user.password.as_ref().filter(given).is_some() {
        found.push(Credential::Password);
    }
    if let Some(provider) = &user.auth_provider {
        let name = provider.get("name").and_then(Value::as_str);
        found.push(Credential::AuthProvider(
            name.unwrap_or_default().to_owned(),
        ));
    }
    if let Some(pem) = certificate_pem(user, dir)
        && let Some(certificate) = certificate(&pem)
    {
        found.push(Credential::Certificate(certificate));
    }
    if let Some(exec) = &user.exec {
        found.push(Credential::Exec(plugin(exec)));
    }
    found
}

fn certificate_pem(user: &User, dir: &Path) -> Option<Vec<u8>> {
    if let Some(data) = user
        .client_certificate_data
        .as_deref()
        .filter(|d| !d.is_empty())
    {
        return STANDARD.decode(data.trim()).ok();
    }
    let path = user
        .client_certificate
        .as_ref()
        .filter(|f| !f.as_os_str().is_empty())?;
    let words = text(&dir.join(path)).ok()?;
    Some(words.as_bytes().to_vec())
}

/// What the first certificate of a chain says.
fn certificate(pem: &[u8]) -> Option<Certificate> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    let subject = certificate.subject();
    let names = subject.iter_common_name().filter_map(|a| a.as_str().ok());
    let groups = subject.iter_organization().filter_map(|a| a.as_str().ok());
    let validity = certificate.validity();
    Some(Certificate {
        fingerprint: hex(digest(&SHA256, &block.contents).as_ref()),
        common_name: names.last().unwrap_or_default().to_owned(),
        organizations: groups.map(str::to_owned).collect(),
        not_before: Some(Timestamp::from_secs(validity.not_before.timestamp())),
        not_after: Some(Timestamp::from_secs(validity.not_after.timestamp())),
    })
}

fn token(secret: &str, in_file: bool) -> Token {
    let fingerprint: String = hex(digest(&SHA256, secret.as_bytes()).as_ref())
        .chars()
        .take(16)
        .collect();
    let claims = secret
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let at = |name: &str| {
        let number = claims.as_ref()?.get(name)?.as_i64()?;
        Some(Timestamp::from_secs(number))
    };
    let subject = claims.as_ref().and_then(|c| c.get("sub")?.as_str());
    Token {
        fingerprint,
        in_file,
        issued: at("iat").or(at("nbf")),
        expires: at("exp"),
        subject: subject.map(str::to_owned),
    }
}

fn plugin(exec: &ExecConfig) -> Exec {
    let secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        [
            "secret",
            "password",
            "passwd",
            "token=",
            "api-key",
            "apikey",
            "access_key",
        ]
        .iter()
        .any(|w| name.contains(w))
    };
    let names = exec.env.iter().flatten().filter(|e| !e.value.is_empty());
    let mut secrets: Vec<String> = names
        .map(|e| e.name.clone())
        .filter(|n| secret(n))
        .collect();
    // Of an argument only what stands before its value.
    let flags = exec.args.iter().flatten().filter(|a| secret(a));
    secrets.extend(flags.filter_map(|a| a.split('=').next()).map(str::to_owned));
    Exec {
        command: exec.command.clone().unwrap_or_default(),
        api_version: exec.api_version.clone().unwrap_or_default(),
        interactive_mode: exec.interactive_mode.as_ref().map(|m| format!("{m:?}")),
        secrets,
    }
}

/// The line of `name: …` in a section of the file, from 1; 0 if it is not written that way.
fn line_of(words: &str, section: &str, name: &str) -> u32 {
    let mut inside = false;
    for (index, line) in words.lines().enumerate() {
        if !line.starts_with([' ', '-', '\t', '#']) && !line.trim().is_empty() {
            inside = line.starts_with(section);
        }
        let entry = line.trim_start_matches([' ', '-']);
        let value = entry.strip_prefix("name:").map(str::trim);
        if inside && value.is_some_and(|v| v.trim_matches(['"', '\'']) == name) {
            return u32::try_from(index + 1).unwrap_or(0);
        }
    }
    0
}

/// Who may reach a file.
fn ownership(path: &Path) -> Kubeconfig {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(meta) = std::fs::metadata(path) else {
        return Kubeconfig::default();
    };
    let me = std::fs::metadata("/proc/self").map(|m| m.uid()).ok();
    Kubeconfig {
        mode: Some(meta.mode() & 0o7777),
        owner: Some(meta.uid()),
        foreign_owner: me.is_some_and(|me| meta.uid() != me && meta.uid() != 0),
        ..Kubeconfig::default()
    }
}

/// The working tree that has this file in its index. The index names every tracked path in clear (its
/// version 4, which nobody gets by default, shortens them: then nothing is found).
fn tracked_by(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let tree = real
        .ancestors()
        .skip(1)
        .find(|dir| dir.join(".git").is_dir())?;
    let index = std::fs::read(tree.join(".git").join("index")).ok()?;
    let relative = real.strip_prefix(tree).ok()?.to_str()?.as_bytes();
    let tracked = index
        .windows(relative.len() + 1)
        .any(|w| w.strip_prefix(relative) == Some(&[0]));
    tracked.then(|| tree.display().to_string())
}

/// kubectl's settings: `KUBERC`, or `~/.kube/kuberc`.
fn kuberc() -> Source<Option<Kuberc>> {
    let named = std::env::var_os("KUBERC").filter(|v| !v.is_empty());
    if named.as_ref().is_some_and(|v| v == "off") {
        // kubectl then reads none at all, whatever lies in the usual place.
        return Source::Known(None);
    }
    let usual = std::env::home_dir().map(|home| home.join(".kube").join("kuberc"));
    let Some(path) = named.map(PathBuf::from).or(usual).filter(|p| p.is_file()) else {
        return Source::Known(None);
    };
    let options = serde_saphyr::options! { with_snippet: false };
    let value = text(&path)
        .ok()
        .and_then(|words| serde_saphyr::from_str_with_options::<Value>(&words, options).ok());
    let Some(value) = value else {
        return Source::absent(
            Why::Failed,
            format!("`{}` cannot be understood", path.display()),
        );
    };
    let list = value
        .get("credentialPluginAllowlist")
        .and_then(Value::as_array);
    let names = list.into_iter().flatten();
    let named = |e: &Value| {
        let name = e.get("command").or(e.get("name")).unwrap_or(e);
        name.as_str().map(str::to_owned)
    };
    Source::Known(Some(Kuberc {
        path: path.display().to_string(),
        plugin_policy: value
            .get("credentialPluginPolicy")
            .and_then(Value::as_str)
            .map(str::to_owned),
        plugin_allowlist: names.filter_map(named).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_leaves_and_everything_else_is_found() {
        let claims = URL_SAFE_NO_PAD
            .encode(r#"{"iat":1000,"exp":9000,"sub":"system:serviceaccount:ci:bot"}"#);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let words = format!(
            "apiVersion: v1\nclusters:\n- name: prod\n  cluster:\n    server: https://ana:hunter2@k:6443/x\n    insecure-skip-tls-verify: true\nusers:\n- name: bot\n  user:\n    token: head.{claims}.sig-nature\n- name: \"old\"\n  user:\n    username: ana\n    password: hunter2\n- name: plug\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: get-it\n      args: [\"--client-secret=hunter2\"]\n      env: [{{name: MY_PASSWORD, value: hunter2}}]\ncontexts:\n- name: c\n  context: {{cluster: prod, user: bot}}\n"
        );
        std::fs::write(&path, words).unwrap();
        let found = file(&path).unwrap();
        let saved = serde_json::to_string(&found).unwrap();
        assert!(
            !saved.contains("hunter2") && !saved.contains("sig-nature"),
            "{saved}"
        );
        assert_eq!(found.clusters[0].server, "https://k:6443/x");
        assert_eq!(
            (
                found.clusters[0].line,
                found.users[0].line,
                found.users[1].line
            ),
            (3, 8, 11)
        );
        let Credential::Token(token) = &found.users[0].credentials[0] else {
            panic!("{found:?}")
        };
        assert_eq!(
            token.subject.as_deref(),
            Some("system:serviceaccount:ci:bot")
        );
        assert_eq!(token.expires, Some(Timestamp::from_secs(9000)));
        assert_eq!(found.users[1].credentials, [Credential::Password]);
        let Credential::Exec(exec) = &found.users[2].credentials[0] else {
            panic!("{found:?}")
        };
        assert_eq!(exec.secrets, ["MY_PASSWORD", "--client-secret"]);
        assert!(exec.interactive_mode.is_none());
    }

    #[test]
    fn a_tracked_file_is_told_from_an_ignored_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(".git/index"), b"DIRC....kube/config\0rest").unwrap();
        std::fs::create_dir(dir.path().join("kube")).unwrap();
        for name in ["config", "other"] {
            std::fs::write(dir.path().join("kube").join(name), b"").unwrap();
        }
        assert!(tracked_by(&dir.path().join("kube/config")).is_some());
        assert!(tracked_by(&dir.path().join("kube/other")).is_none());
    }
}
