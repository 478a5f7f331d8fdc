//! What would change in a cluster, so that somebody can say yes to it.

use std::collections::BTreeSet;
use std::fmt;

use kubestile_core::ids::ClusterName;
use serde::Deserialize;
use serde_json::Value;

use super::object::{self, Kind, LABEL, OWNER, Object, PER_NAMESPACE, title};
use super::{AccountError, Doing as _, Mode, Options, People, RESERVED_NAMESPACES};
use crate::call::Call;
use crate::upstream::Upstream;

/// What [`install`](super::install) would do. Shown to a person by `Display`.
#[derive(Debug, Clone)]
pub struct Plan {
    cluster: ClusterName,
    server: String,
    pub(crate) mode: Mode,
    pub(crate) options: Options,
    pub(crate) namespaces: Vec<String>,
    steps: Vec<Step>,
    unchanged: usize,
}

/// One object that would be changed.
#[derive(Debug, Clone)]
pub struct Step {
    pub(crate) object: Object,
    change: Change,
}

/// How an object would be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is not there yet.
    Create,
    /// It is ours and is not as it should be: lines that begin with `+` or `-`.
    Update(Vec<String>),
    /// It is ours and no longer wanted.
    Remove,
}

impl Plan {
    /// The objects that would be changed, in order. Empty when everything is as it should be.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many objects are already as they should be.
    pub fn unchanged(&self) -> usize {
        self.unchanged
    }

    /// How the account would impersonate, as far as the server's version tells; tried when installed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The namespaces whose job functions would be given.
    pub fn namespaces(&self) -> &[String] {
        &self.namespaces
    }
}

impl Step {
    /// Kind and name: `RoleBinding shop/kubestile:operator`.
    pub fn object(&self) -> String {
        self.object.to_string()
    }

    /// How it would be changed.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// The object as YAML.
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(&self.object.body).unwrap_or_default()
    }
}

/// Finds out what would change. Nothing is written.
///
/// # Errors
/// [`AccountError`]: among them objects with our names that are not ours.
pub async fn plan(
    admin: &Upstream,
    cluster: &ClusterName,
    options: &Options,
) -> Result<Plan, AccountError> {
    if admin.inner.ca_pem().is_err() {
        return Err(AccountError::NotVerified);
    }
    let mode = match options.mode {
        Some(mode) => mode,
        None => expected_mode(admin).await?,
    };
    let namespaces = namespaces(admin, options).await?;
    let bindings = our_bindings(admin).await?;
    let wanted = object::desired(&namespaces, mode, &options.people);
    let mut steps = Vec::new();
    let mut unchanged = 0;
    for object in wanted {
        let known = bindings.iter().find(|b| is(b, &object));
        let live = match known {
            Some(live) => Some(live.clone()),
            None => fetch(admin, &object.path(), &object.to_string()).await?,
        };
        match compare(live.as_ref(), &object)? {
            Some(change) => steps.push(Step { object, change }),
            None => unchanged += 1,
        }
    }
    steps.extend(stale(&bindings, &namespaces));
    Ok(Plan {
        cluster: cluster.clone(),
        server: admin.server(),
        mode,
        options: options.clone(),
        namespaces,
        steps,
        unchanged,
    })
}

/// Constrained impersonation is on by default from 1.36 on, and the server's metrics say if it is off.
/// What is true is found out when installed.
async fn expected_mode(admin: &Upstream) -> Result<Mode, AccountError> {
    #[derive(Deserialize)]
    struct Version {
        major: String,
        minor: String,
    }
    let version: Version = admin
        .request(&Call::get("/version"))
        .await
        .doing(|| "read the server's version".into())?;
    // Some distributions write `36+`.
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    };
    if (number(&version.major), number(&version.minor)) < (1, 36) {
        return Ok(Mode::Legacy);
    }
    // Not every administrator may read them.
    let metrics = admin.call(&Call::get("/metrics")).await;
    let off = metrics.is_ok_and(|m| m.status.is_success() && is_switched_off(&m.body));
    Ok(match off {
        true => Mode::Legacy,
        false => Mode::Constrained,
    })
}

/// `kubernetes_feature_enabled{name="ConstrainedImpersonation",stage="BETA"} 0`
fn is_switched_off(metrics: &[u8]) -> bool {
    const GATE: &[u8] = b"kubernetes_feature_enabled{name=\"ConstrainedImpersonation\"";
    metrics
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(GATE) && line.trim_ascii_end().ends_with(b" 0"))
}

/// The namespaces in which job functions are given, sorted.
async fn namespaces(admin: &Upstream, options: &Options) -> Result<Vec<String>, AccountError> {
    let wanted = |name: &str| {
        !RESERVED_NAMESPACES.contains(&name) || options.also.iter().any(|a| a.as_str() == name)
    };
    let mut names = BTreeSet::new();
    for namespace in list(admin, &Kind::Namespace.collection(None), "").await? {
        let terminating = namespace.pointer("/metadata/deletionTimestamp").is_some();
        let name = text(&namespace, "/metadata/name");
        if !terminating && wanted(name) {
            names.insert(name.to_owned());
        }
    }
    Ok(names.into_iter().collect())
}

/// Every RoleBinding that carries our label.
pub(crate) async fn our_bindings(admin: &Upstream) -> Result<Vec<Value>, AccountError> {
    let selector = format!("labelSelector={LABEL}%3D{OWNER}");
    list(admin, &Kind::RoleBinding.collection(None), &selector).await
}

/// Bindings of job functions in namespaces where none are given (any more).
fn stale(bindings: &[Value], namespaces: &[String]) -> Vec<Step> {
    let unwanted = |binding: &&Value| {
        let namespace = text(binding, "/metadata/namespace");
        PER_NAMESPACE.contains(&text(binding, "/metadata/name"))
            && !namespaces.iter().any(|n| n == namespace)
    };
    bindings
        .iter()
        .filter(unwanted)
        .map(|binding| Step {
            object: Object {
                kind: Kind::RoleBinding,
                namespace: Some(text(binding, "/metadata/namespace").to_owned()),
                name: text(binding, "/metadata/name").to_owned(),
                body: binding.clone(),
            },
            change: Change::Remove,
        })
        .collect()
}

/// What is different in `live`; `None` for nothing.
fn compare(live: Option<&Value>, wanted: &Object) -> Result<Option<Change>, AccountError> {
    let Some(live) = live else {
        return Ok(Some(Change::Create));
    };
    if wanted.kind == Kind::Namespace {
        // Somebody else's namespace serves as well, and stays theirs.
        return Ok(None);
    }
    if !is_ours(live) {
        return Err(AccountError::Foreign {
            object: wanted.to_string(),
        });
    }
    if let Some(role) = wanted.body.get("roleRef")
        && live.get("roleRef") != Some(role)
    {
        return Err(AccountError::OtherRole {
            object: wanted.to_string(),
        });
    }
    let (before, after) = (lines(live), lines(&wanted.body));
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    let come = after.difference(&before).map(|line| format!("+ {line}"));
    let diff: Vec<String> = gone.chain(come).collect();
    Ok((!diff.is_empty()).then_some(Change::Update(diff)))
}

/// What an object says, one fact a line.
fn lines(object: &Value) -> BTreeSet<String> {
    let array = |name: &str| {
        object
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let mut lines: BTreeSet<String> = array("rules").flat_map(rule_lines).collect();
    lines.extend(
        array("subjects")
            .map(|subject| format!("to {} {}", text(subject, "/kind"), text(subject, "/name"))),
    );
    if let Some(mount) = object.get("automountServiceAccountToken") {
        lines.insert(format!("automountServiceAccountToken: {mount}"));
    }
    lines
}

/// `get, list, watch pods.metrics.k8s.io`, one line for each resource and each name.
pub(crate) fn rule_lines(rule: &Value) -> Vec<String> {
    let list = |name: &str| -> Vec<&str> {
        let values = rule.get(name).and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let mut verbs = list("verbs");
    verbs.sort_unstable();
    let verbs = verbs.join(", ");
    let names = list("resourceNames");
    let mut lines: Vec<String> = list("nonResourceURLs")
        .into_iter()
        .map(|url| format!("{verbs} {url}"))
        .collect();
    for group in list("apiGroups") {
        for resource in list("resources") {
            let resource = qualified(resource, group);
            match names.is_empty() {
                true => lines.push(format!("{verbs} {resource}")),
                false => lines.extend(names.iter().map(|n| format!("{verbs} {resource} `{n}`"))),
            }
        }
    }
    lines
}

/// `deployments.apps/scale`, as `kubectl auth can-i` takes it.
pub(crate) fn qualified(resource: &str, group: &str) -> String {
    match (group, resource.split_once('/')) {
        ("", _) => resource.to_owned(),
        (_, Some((resource, subresource))) => format!("{resource}.{group}/{subresource}"),
        (_, None) => format!("{resource}.{group}"),
    }
}

fn is(live: &Value, object: &Object) -> bool {
    object.kind == Kind::RoleBinding
        && text(live, "/metadata/name") == object.name
        && object.namespace.as_deref() == Some(text(live, "/metadata/namespace"))
}

pub(crate) fn is_ours(live: &Value) -> bool {
    let labels = live.pointer("/metadata/labels");
    labels.and_then(|l| l.get(LABEL)).and_then(Value::as_str) == Some(OWNER)
}

/// An object, if it is there.
pub(crate) async fn fetch(
    admin: &Upstream,
    path: &str,
    title: &str,
) -> Result<Option<Value>, AccountError> {
    match admin.get_json(path).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.status() == Some(404) => Ok(None),
        Err(error) => Err(error).doing(|| format!("read {title}")),
    }
}

/// All objects of a collection, page by page. An item without `kind`, as in every list.
pub(crate) async fn list(
    admin: &Upstream,
    collection: &str,
    query: &str,
) -> Result<Vec<Value>, AccountError> {
    /// 500 objects each: more than any cluster has of what we list.
    const PAGES: usize = 200;
    #[derive(Deserialize)]
    struct Page {
        metadata: Metadata,
        items: Vec<Value>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(default, rename = "continue")]
        more: String,
    }
    let mut items = Vec::new();
    let mut more = String::new();
    for _ in 0..PAGES {
        let path = format!("{collection}?limit=500&{query}{more}");
        let page: Page = admin
            .request(&Call::get(path.trim_end_matches('&')))
            .await
            .doing(|| format!("list {collection}"))?;
        items.extend(page.items);
        if page.metadata.more.is_empty() {
            return Ok(items);
        }
        more = format!("&continue={}", escape(&page.metadata.more));
    }
    Err(AccountError::Answer("end of the list"))
}

fn escape(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|b| match keep(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster, server, ..
        } = self;
        if self.steps.is_empty() {
            return write!(
                f,
                "The gate's account in `{cluster}` ({server}) is as it should be: nothing to change."
            );
        }
        writeln!(f, "In the cluster `{cluster}` ({server}):\n")?;
        let (given, others): (Vec<&Step>, Vec<&Step>) =
            self.steps.iter().partition(|step| step.gives_function());
        for step in others {
            writeln!(f, "  {step}")?;
        }
        if !given.is_empty() {
            let namespaces: BTreeSet<&str> = given
                .iter()
                .filter_map(|step| step.object.namespace.as_deref())
                .collect();
            let namespaces: Vec<&str> = namespaces.into_iter().collect();
            writeln!(
                f,
                "  + RoleBindings kubestile:admin and kubestile:operator in {}",
                namespaces.join(", ")
            )?;
        }
        write!(f, "\n{}", self.meaning())
    }
}

impl Plan {
    fn meaning(&self) -> String {
        let who = match &self.options.people {
            People::Any => "people".to_owned(),
            People::Named(names) => format!("the {} people that were named", names.len()),
        };
        format!(
            "The gate acts as {who} ({} impersonation), with the groups of these job functions, and does nothing\n\
             in its own name but renew its token. Only the gate adds these groups, one request at a time.\n\
             `kubestile cluster remove {}` takes all of this away.",
            self.mode, self.cluster
        )
    }
}

impl Step {
    /// Whether it gives a job function in a namespace, of which there are many.
    fn gives_function(&self) -> bool {
        self.change == Change::Create
            && self.object.kind == Kind::RoleBinding
            && PER_NAMESPACE.contains(&self.object.name.as_str())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            Change::Create => write!(f, "+ {}{}", self.object, self.purpose()),
            Change::Remove => write!(f, "- {}", self.object),
            Change::Update(diff) => {
                write!(f, "~ {}", self.object)?;
                diff.iter().try_for_each(|line| write!(f, "\n      {line}"))
            }
        }
    }
}

impl Step {
    /// What the object is for, in a few words.
    fn purpose(&self) -> &'static str {
        match (self.object.kind, self.object.name.as_str()) {
            (Kind::ServiceAccount, _) => ": the gate's account",
            (Kind::ClusterRole, "kubestile:gate") => ": act as people, with listed groups only",
            (Kind::Role, "kubestile:gate-token") => ": make tokens for itself alone",
            (Kind::ClusterRole, "kubestile:viewer") => ": read everything but Secrets",
            (Kind::ClusterRole, "kubestile:operator") => ": run workloads in one namespace",
            (Kind::ClusterRole, "kubestile:admin") => ": operate, and Secrets and roles",
            (Kind::ClusterRoleBinding, "kubestile:viewer-view") => {
                ": read what others add to the role `view` (custom resources)"
            }
            _ => "",
        }
    }
}

/// For a change that was made: `+ ClusterRole kubestile:gate`.
pub(crate) fn made(step: &Step) -> String {
    let sign = match step.change {
        Change::Create => '+',
        Change::Update(_) => '~',
        Change::Remove => '-',
    };
    format!(
        "{sign} {}",
        title(
            step.object.kind,
            step.object.namespace.as_deref(),
            &step.object.name
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_say_whether_the_feature_is_off() {
        let line = |name: &str, value: u8| {
            format!(
                "# HELP x\nkubernetes_feature_enabled{{name=\"{name}\",stage=\"BETA\"}} {value}\nz 0\n"
            )
        };
        let off = |text: String| is_switched_off(text.as_bytes());
        assert!(off(line("ConstrainedImpersonation", 0)));
        assert!(!off(line("ConstrainedImpersonation", 1)));
        assert!(!off(line("Other", 0)));
        assert!(!off(String::new()));
    }
}
