//! Kubeconfig files: found, merged and read as kubectl does, then turned into one endpoint and one
//! source of credentials. What contradicts itself is refused rather than guessed.

mod inventory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubestile_core::secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::endpoint::Endpoint;
use crate::error::ClusterError;
use crate::exec::{Exec, Interactive};
use crate::source::{Authority, Identity, Pem, Source};

pub(crate) use inventory::machine;

/// A kubeconfig is larger only if it is none.
const LIMIT: u64 = 8 << 20;

/// The contexts that could be used, with the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contexts {
    /// All contexts, in the order of the files.
    pub names: Vec<String>,
    /// The current one, if it is set.
    pub current: Option<String>,
}

/// The contexts of `path`, or of `KUBECONFIG` and `~/.kube/config`.
///
/// # Errors
/// [`ClusterError`] if there is no kubeconfig or it cannot be understood.
pub fn contexts(path: Option<&Path>) -> Result<Contexts, ClusterError> {
    let merged = Merged::read(&places(path)?)?;
    Ok(Contexts {
        names: merged.contexts.into_iter().map(|(name, _)| name).collect(),
        current: merged.current,
    })
}

/// The namespace of `context`, or of the current one, as kubectl takes it when none is named: `default` where the
/// kubeconfig says nothing.
///
/// # Errors
/// [`ClusterError`] if there is no kubeconfig, it cannot be understood, or it has no such context.
pub fn namespace(path: Option<&Path>, context: Option<&str>) -> Result<String, ClusterError> {
    Merged::read(&places(path)?)?.namespace(context)
}

/// What one context stands for.
pub(crate) struct Resolved {
    pub(crate) context: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) source: Source,
}

/// Reads the kubeconfig and takes `context`, or the current one.
///
/// # Errors
/// [`ClusterError`] that says what to change.
pub(crate) fn resolve(
    path: Option<&Path>,
    context: Option<&str>,
) -> Result<Resolved, ClusterError> {
    Merged::read(&places(path)?)?.resolve(context)
}

/// Which files to read. A file that was named must be there; of `KUBECONFIG`'s list, as with kubectl,
/// those that are not there are passed over.
fn places(path: Option<&Path>) -> Result<Vec<PathBuf>, ClusterError> {
    if let Some(path) = path {
        return Ok(vec![path.to_owned()]);
    }
    let listed: Vec<PathBuf> = std::env::var_os("KUBECONFIG")
        .map(|list| {
            std::env::split_paths(&list)
                .filter(|p| !p.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default();
    let candidates = match (listed.is_empty(), std::env::home_dir()) {
        (false, _) => listed,
        (true, Some(home)) => vec![home.join(".kube").join("config")],
        (true, None) => Vec::new(),
    };
    let found: Vec<PathBuf> = candidates.into_iter().filter(|p| p.exists()).collect();
    if found.is_empty() {
        return Err(ClusterError::NoKubeconfig);
    }
    Ok(found)
}

#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "current-context")]
    current_context: Option<String>,
    #[serde(default)]
    clusters: Option<Vec<NamedCluster>>,
    #[serde(default)]
    users: Option<Vec<NamedUser>>,
    #[serde(default)]
    contexts: Option<Vec<NamedContext>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    proxy_url: Option<String>,
    tls_server_name: Option<String>,
    extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    extension: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<Zeroizing<String>>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<Zeroizing<String>>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    as_uid: Option<String>,
    as_groups: Option<Vec<String>>,
    as_user_extra: Option<Value>,
    auth_provider: Option<Value>,
    exec: Option<ExecConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecConfig {
    api_version: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<Vec<EnvVar>>,
    install_hint: Option<String>,
    interactive_mode: Option<Interactive>,
    #[serde(default)]
    provide_cluster_info: bool,
}

#[derive(Deserialize)]
struct EnvVar {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: Option<String>,
    namespace: Option<String>,
}

/// All files together. The first file that defines a name wins.
#[derive(Default)]
struct Merged {
    current: Option<String>,
    contexts: Vec<(String, Context)>,
    clusters: BTreeMap<String, (PathBuf, Cluster)>,
    users: BTreeMap<String, (PathBuf, User)>,
}

impl Merged {
    fn read(paths: &[PathBuf]) -> Result<Self, ClusterError> {
        let mut merged = Self::default();
        for path in paths {
            // Relative paths in a kubeconfig start at its own directory.
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let dir = absolute.parent().unwrap_or(Path::new("/")).to_owned();
            for file in parse(path, &text(path)?)? {
                merged.add(file, &dir);
            }
        }
        Ok(merged)
    }

    fn add(&mut self, file: File, dir: &Path) {
        self.current = self
            .current
            .take()
            .or(file.current_context.filter(|c| !c.is_empty()));
        for NamedContext { name, context } in file.contexts.unwrap_or_default() {
            if let Some(context) = context
                && !self.contexts.iter().any(|(known, _)| *known == name)
            {
                self.contexts.push((name, context));
            }
        }
        for NamedCluster { name, cluster } in file.clusters.unwrap_or_default() {
            let entry = (dir.to_owned(), cluster.unwrap_or_default());
            self.clusters.entry(name).or_insert(entry);
        }
        for NamedUser { name, user } in file.users.unwrap_or_default() {
            let entry = (dir.to_owned(), user.unwrap_or_default());
            self.users.entry(name).or_insert(entry);
        }
    }

    /// `context`, or the current one, with its name.
    fn context(&self, context: Option<&str>) -> Result<&(String, Context), ClusterError> {
        let names = || known(self.contexts.iter().map(|(name, _)| name));
        let name = context
            .or(self.current.as_deref())
            .ok_or_else(|| ClusterError::NoContext { known: names() })?;
        let mut all = self.contexts.iter();
        all.find(|(known, _)| known == name)
            .ok_or_else(|| unknown("context", name, names()))
    }

    fn namespace(&self, context: Option<&str>) -> Result<String, ClusterError> {
        let (_, context) = self.context(context)?;
        let named = context.namespace.as_deref().filter(|n| !n.is_empty());
        Ok(named.unwrap_or("default").to_owned())
    }

    fn resolve(mut self, context: Option<&str>) -> Result<Resolved, ClusterError> {
        let (name, context) = self.context(context)?;
        let name = name.clone();
        let cluster_name = context.cluster.clone();
        let user_name = context.user.clone().unwrap_or_default();
        let clusters = known(self.clusters.keys());
        let users = known(self.users.keys());
        let (cluster_dir, cluster) = self
            .clusters
            .remove(&cluster_name)
            .ok_or_else(|| unknown("cluster", &cluster_name, clusters))?;
        let (user_dir, user) = self
            .users
            .remove(&user_name)
            .ok_or_else(|| unknown("user", &user_name, users))?;
        let cluster = Of::new("cluster", &cluster_name, &cluster_dir, cluster);
        let user = Of::new("user", &user_name, &user_dir, user);
        let endpoint = cluster.endpoint()?;
        let authority = cluster.authority()?;
        let identity = user.identity(&cluster)?;
        Ok(Resolved {
            context: name,
            endpoint,
            source: Source {
                authority,
                identity,
            },
        })
    }
}

/// An entry with what an error about it must name, and where its relative paths start.
struct Of<'a, T> {
    kind: &'static str,
    name: &'a str,
    dir: &'a Path,
    entry: T,
}

impl<'a, T> Of<'a, T> {
    fn new(kind: &'static str, name: &'a str, dir: &'a Path, entry: T) -> Self {
        Self {
            kind,
            name,
            dir,
            entry,
        }
    }

    fn unusable(&self, reason: impl Into<String>) -> ClusterError {
        ClusterError::Unusable {
            kind: self.kind,
            name: shown(self.name),
            reason: reason.into(),
        }
    }

    /// Inline data wins over a file, as with kubectl. A file is only looked at when it is used.
    fn pem(
        &self,
        field: &str,
        data: Option<&str>,
        file: Option<&Path>,
    ) -> Result<Option<Pem>, ClusterError> {
        if let Some(data) = data.filter(|d| !d.is_empty()) {
            let pem = STANDARD
                .decode(data.trim())
                .map_err(|_| self.unusable(format!("`{field}-data` is not base64")))?;
            return Ok(Some(Pem::Inline(Zeroizing::new(pem))));
        }
        Ok(file
            .filter(|f| !f.as_os_str().is_empty())
            .map(|f| Pem::File(self.dir.join(f))))
    }
}

impl Of<'_, Cluster> {
    fn endpoint(&self) -> Result<Endpoint, ClusterError> {
        let cluster = &self.entry;
        if cluster.proxy_url.as_deref().is_some_and(|p| !p.is_empty()) {
            return Err(self.unusable(
                "it names a `proxy-url`, and the gate connects directly or not at all: use an address that needs no proxy",
            ));
        }
        let server = cluster.server.as_deref().unwrap_or_default();
        if server.is_empty() {
            return Err(self.unusable("it has no `server`"));
        }
        Endpoint::parse(server, cluster.tls_server_name.as_deref())
    }

    fn authority(&self) -> Result<Authority, ClusterError> {
        let cluster = &self.entry;
        let pem = self.pem(
            "certificate-authority",
            cluster.certificate_authority_data.as_deref(),
            cluster.certificate_authority.as_deref(),
        )?;
        match (cluster.insecure_skip_tls_verify.unwrap_or(false), pem) {
            (true, Some(_)) => Err(self.unusable(
                "it names a certificate authority and says `insecure-skip-tls-verify`: remove one",
            )),
            (true, None) => Ok(Authority::Anybody),
            (false, Some(pem)) => Ok(Authority::Pem(pem)),
            (false, None) => Ok(Authority::System),
        }
    }

    /// `spec.cluster` of an ExecCredential.
    fn exec_info(&self) -> Result<Value, ClusterError> {
        let cluster = &self.entry;
        let mut info = json!({ "server": cluster.server });
        let Some(fields) = info.as_object_mut() else {
            return Ok(info);
        };
        if let Some(name) = &cluster.tls_server_name {
            fields.insert("tls-server-name".into(), json!(name));
        }
        if cluster.insecure_skip_tls_verify == Some(true) {
            fields.insert("insecure-skip-tls-verify".into(), json!(true));
        }
        if let Some(data) = self.authority_base64()? {
            fields.insert("certificate-authority-data".into(), json!(data));
        }
        let config = cluster
            .extensions
            .iter()
            .flatten()
            .find(|e| e.name == "client.authentication.k8s.io/exec")
            .and_then(|e| e.extension.clone());
        if let Some(config) = config {
            fields.insert("config".into(), config);
        }
        Ok(info)
    }

    fn authority_base64(&self) -> Result<Option<String>, ClusterError> {
        match self.authority()? {
            Authority::Pem(Pem::Inline(pem)) => Ok(Some(STANDARD.encode(&*pem))),
            Authority::Pem(Pem::File(path)) => Ok(Some(STANDARD.encode(text(&path)?))),
            Authority::System | Authority::Anybody => Ok(None),
        }
    }
}

impl Of<'_, User> {
    fn identity(&self, cluster: &Of<'_, Cluster>) -> Result<Identity, ClusterError> {
        let user = &self.entry;
        self.refuse_what_is_not_ours()?;
        let given = |text: &Option<Zeroizing<String>>| {
            text.as_deref()
                .map(|t| t.trim())
                .filter(|t| !t.is_empty())
                .map(|t| Secret::new(t.to_owned()))
        };
        let token = given(&user.token);
        let file = user
            .token_file
            .as_ref()
            .filter(|f| !f.as_os_str().is_empty());
        let basic = match (&user.username, given(&user.password)) {
            (Some(name), Some(password)) if !name.is_empty() => Some((name.clone(), password)),
            (None, None) => None,
            (Some(name), None) if name.is_empty() => None,
            _ => {
                return Err(
                    self.unusable("it has a user name without a password, or a password alone")
                );
            }
        };
        let certificate = self.certificate()?;
        let mut found = Vec::new();
        // A token beside a token file is the file's first content (client-go reads the file).
        if token.is_some() || file.is_some() {
            found.push("a token");
        }
        found.extend(basic.is_some().then_some("a password"));
        found.extend(certificate.is_some().then_some("a client certificate"));
        found.extend(user.exec.is_some().then_some("a credential plugin"));
        match found.as_slice() {
            [] => return Err(self.unusable("it has no credential")),
            [_] => {}
            [one, other, ..] => {
                return Err(self.unusable(format!(
                    "it has {one} and {other}, which may be two different identities: remove one"
                )));
            }
        }
        if let Some(file) = file {
            return Ok(Identity::TokenFile(self.dir.join(file)));
        }
        if let Some(token) = token {
            return Ok(Identity::Token(token));
        }
        if let Some((user, password)) = basic {
            return Ok(Identity::Basic { user, password });
        }
        if let Some((chain, key)) = certificate {
            return Ok(Identity::Certificate { chain, key });
        }
        match &user.exec {
            Some(exec) => Ok(Identity::Exec(Box::new(self.exec(exec, cluster)?))),
            None => Err(self.unusable("it has no credential")),
        }
    }

    fn refuse_what_is_not_ours(&self) -> Result<(), ClusterError> {
        let user = &self.entry;
        if user.auth_provider.is_some() {
            return Err(self.unusable(
                "it uses an `auth-provider`, a form that kubectl gave up: use an `exec` credential plugin",
            ));
        }
        let impersonates = user.impersonate.is_some()
            || user.as_uid.is_some()
            || user.as_groups.is_some()
            || user.as_user_extra.is_some();
        if impersonates {
            return Err(self.unusable(
                "it acts as somebody else (`as`), and one impersonation cannot stand on another: use a context without it",
            ));
        }
        Ok(())
    }

    fn certificate(&self) -> Result<Option<(Pem, Pem)>, ClusterError> {
        let user = &self.entry;
        let chain = self.pem(
            "client-certificate",
            user.client_certificate_data.as_deref(),
            user.client_certificate.as_deref(),
        )?;
        let key = self.pem(
            "client-key",
            user.client_key_data.as_deref().map(String::as_str),
            user.client_key.as_deref(),
        )?;
        match (chain, key) {
            (Some(chain), Some(key)) => Ok(Some((chain, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(self.unusable("it has a client certificate without its key")),
            (None, Some(_)) => Err(self.unusable("it has a client key without its certificate")),
        }
    }

    fn exec(&self, exec: &ExecConfig, cluster: &Of<'_, Cluster>) -> Result<Exec, ClusterError> {
        let api_version = exec.api_version.clone().unwrap_or_default();
        let default = match api_version.as_str() {
            "client.authentication.k8s.io/v1" => None,
            "client.authentication.k8s.io/v1beta1" => Some(Interactive::IfAvailable),
            _ => {
                return Err(self.unusable(format!(
                    "its credential plugin speaks `{}`, and only client.authentication.k8s.io/v1 and v1beta1 are known",
                    shown(&api_version)
                )));
            }
        };
        let interactive = exec.interactive_mode.or(default).ok_or_else(|| {
            self.unusable("its credential plugin has no `interactiveMode`, which v1 requires")
        })?;
        let command = exec.command.as_deref().unwrap_or_default();
        if command.is_empty() {
            return Err(self.unusable("its credential plugin has no `command`"));
        }
        // A bare name is looked up in PATH; a path starts at the kubeconfig.
        let command = if command.contains('/') {
            self.dir.join(command)
        } else {
            PathBuf::from(command)
        };
        let env = exec.env.iter().flatten();
        Ok(Exec {
            command,
            args: exec.args.clone().unwrap_or_default(),
            env: env.map(|e| (e.name.clone(), e.value.clone())).collect(),
            api_version,
            interactive,
            cluster: match exec.provide_cluster_info {
                true => Some(cluster.exec_info()?),
                false => None,
            },
            install_hint: exec.install_hint.clone(),
        })
    }
}

fn text(path: &Path) -> Result<Zeroizing<String>, ClusterError> {
    use std::io::Read as _;
    let failed = |source| ClusterError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > LIMIT {
        return Err(failed(std::io::Error::other("it is larger than 8 MiB")));
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<File>, ClusterError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let at = error.location();
        ClusterError::Syntax {
            path: path.to_owned(),
            line: at.map_or(0, |l| l.line()),
            column: at.map_or(0, |l| l.column()),
        }
    })
}

fn unknown(kind: &'static str, name: &str, known: String) -> ClusterError {
    ClusterError::Unknown {
        kind,
        name: shown(name),
        known,
    }
}

/// The names that there are, shortened, for a message.
fn known<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let mut names: Vec<String> = names.map(|n| format!("`{}`", shown(n))).collect();
    let more = names.len().saturating_sub(10);
    names.truncate(10);
    match (names.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests;
