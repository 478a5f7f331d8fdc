//! `kubestile cluster`: puts clusters behind the gate with an administrator's context, used once.

use std::time::Duration;

use http::Method;
use kubestile_cluster::account::{self, AccountError, Installed, Mode, Options};
use kubestile_cluster::{ClusterError, Upstream};
use kubestile_control::api::{
    ClusterDetails, ClusterDetailsList, Empty, PutCluster, PutMode, Status,
};
use kubestile_core::{ClusterName, Timestamp};
use serde::Serialize;

use super::{admin, age, block_on};
use crate::args::StateDir;
use crate::args::admin::{Cluster, ClusterAdd};
use crate::client::Door;
use crate::clock::now;
use crate::exit::{Fail, Kind, Outcome, chain};
use crate::kubeconfig;
use crate::output::{self, Format, Table};
use crate::serve::{ClusterStatus, Process};

/// How long `cluster check` waits for the gate's answer.
const CHECK_PATIENCE: Duration = Duration::from_secs(60);

/// Manages clusters.
pub(super) fn run(args: Cluster) -> Outcome {
    match args {
        Cluster::Add(args) => block_on(add(&args)),
        Cluster::Remove {
            name,
            context,
            keep_account,
            yes,
            state,
        } => block_on(remove(&name, context.as_deref(), keep_account, yes, &state)),
        Cluster::List { state, output } => block_on(list(&state, output.format)),
        Cluster::Sync {
            name,
            context,
            yes,
            state,
        } => block_on(sync(&name, context.as_deref(), yes, &state)),
        Cluster::Check {
            name,
            state,
            output,
        } => block_on(check(&name, &state, output.format)),
    }
}

async fn add(args: &ClusterAdd) -> Outcome {
    let (context, admin_upstream) = administrator(args.context.as_deref()).await?;
    if args.dry_run {
        let plan = account::plan(&admin_upstream, &args.name, &Options::default()).await;
        return output::line_by_line(&plan.map_err(account_failed)?.to_string());
    }
    // Before anything is installed: is there a gate to take it?
    let door = admin(&args.state)?;
    let _status: Status = door.get("/v1/status").await?;
    let Some(installed) = install(&args.name, &admin_upstream, args.yes).await? else {
        return Err(not_installed());
    };
    let details = put(&door, &args.name, &context, installed).await?;
    output::talk(&format!(
        "{} is behind the gate: {}",
        details.name, details.url
    ));
    output::talk(
        "people get its context when they run `kubestile login URL` again, without a code",
    );
    Ok(())
}

/// The administrator's context, which must not lead through a gate.
pub(super) async fn administrator(context: Option<&str>) -> Outcome<(String, Upstream)> {
    let context = match context {
        Some(context) => context.to_owned(),
        None => kubeconfig::current_context()?.ok_or_else(|| {
            Fail::usage("your kubeconfig has no current context").hint("name one with --context")
        })?,
    };
    if kubeconfig::login_directory(&context)?.is_some() {
        return Err(Fail::usage(format!(
            "the context `{context}` leads through a gate itself"
        ))
        .hint("name the context of an administrator with --context")
        .hint("to see them: kubectl config get-contexts"));
    }
    let upstream = Upstream::from_kubeconfig(None, Some(&context))
        .await
        .map_err(cluster_failed)?;
    Ok((context, upstream))
}

/// Shows what would be installed, asks, and installs it; `None` when the person says no.
pub(super) async fn install(
    name: &ClusterName,
    upstream: &Upstream,
    yes: bool,
) -> Outcome<Option<Installed>> {
    let plan = account::plan(upstream, name, &Options::default())
        .await
        .map_err(account_failed)?;
    output::talk(&plan.to_string());
    if !plan.steps().is_empty() && !consent("Install this?", yes)? {
        return Ok(None);
    }
    let mut done = Vec::new();
    let installed = account::install(upstream, &plan, &mut |line| done.push(line.to_owned())).await;
    // The plan has said it all; how far it came matters only when it stopped.
    let installed = installed.map_err(|error| {
        output::talk(&format!("done until then:\n{}", done.join("\n")));
        account_failed(error)
    })?;
    match plan.steps().len() {
        0 => {}
        1 => output::talk("1 object installed"),
        n => output::talk(&format!("{n} objects installed")),
    }
    Ok(Some(installed))
}

/// Gives the gate its credential for a cluster; the gate checks it and serves.
pub(super) async fn put(
    door: &Door,
    name: &ClusterName,
    context: &str,
    installed: Installed,
) -> Outcome<ClusterDetails> {
    let Installed { credential, mode } = installed;
    let body = PutCluster {
        server: credential.server,
        ca_pem: credential.ca_pem,
        tls_server_name: credential.tls_server_name,
        token: Some(credential.token),
        token_expires: credential.expires.map(Timestamp::as_secs),
        kubeconfig: None,
        context: Some(context.to_owned()),
        mode: mode.to_string(),
    };
    door.send(Method::PUT, &format!("/v1/clusters/{name}"), &body)
        .await
}

async fn remove(
    name: &ClusterName,
    context: Option<&str>,
    keep_account: bool,
    yes: bool,
    state: &StateDir,
) -> Outcome {
    let door = admin(state)?;
    let details = find(&door, name).await?;
    // The administrator first: nothing is half removed for want of a context.
    let upstream = if keep_account {
        None
    } else {
        Some(administrator_of(&details, context).await?)
    };
    let question = format!("Take `{name}` away and remove the gate's account, roles and bindings?");
    if !consent(&question, yes)? {
        return Err(Fail::failure("nothing was removed"));
    }
    let path = format!("/v1/clusters/{name}");
    let _gone: Empty = door.send(Method::DELETE, &path, &Empty {}).await?;
    output::talk(&format!("{name} is no longer behind the gate"));
    if let Some(upstream) = upstream {
        let mut progress = |line: &str| output::talk(line);
        let removed = account::remove(&upstream, &mut progress)
            .await
            .map_err(account_failed)?;
        for left in removed.left {
            output::talk(&format!("left: {left}"));
        }
    }
    Ok(())
}

async fn sync(name: &ClusterName, context: Option<&str>, yes: bool, state: &StateDir) -> Outcome {
    let door = admin(state)?;
    let details = find(&door, name).await?;
    let upstream = administrator_of(&details, context).await?;
    // No mode is asked for: an upgrade of the API server may have brought a better one.
    let options = Options::default();
    let plan = account::plan(&upstream, name, &options)
        .await
        .map_err(account_failed)?;
    output::talk(&plan.to_string());
    if plan.steps().is_empty() {
        return store_mode(&door, &details, plan.mode()).await;
    }
    if !consent("Change this?", yes)? {
        return Err(Fail::failure("nothing was changed"));
    }
    let mut progress = |line: &str| output::talk(line);
    let synced = account::sync(&upstream, name, &options, &mut progress).await;
    let synced = synced.map_err(account_failed)?;
    output::talk(&format!("{} changes made in {name}", synced.changes.len()));
    store_mode(&door, &details, synced.mode).await
}

/// Tells the gate how its account impersonates, if that is not as before.
async fn store_mode(door: &Door, details: &ClusterDetails, mode: Mode) -> Outcome {
    let mode = mode.to_string();
    if details.mode == mode {
        return Ok(());
    }
    let name = &details.name;
    let told = format!(
        "{name} now has {mode} impersonation; before: {}",
        details.mode
    );
    let path = format!("/v1/clusters/{name}/mode");
    let _stored: ClusterDetails = door.send(Method::PUT, &path, &PutMode { mode }).await?;
    output::talk(&told);
    Ok(())
}

/// One row of `cluster list`.
#[derive(Serialize)]
struct Row {
    name: ClusterName,
    /// Absent for a cluster that the gate's configuration names.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<ClusterDetails>,
    status: Option<ClusterStatus>,
}

async fn list(state: &StateDir, format: Format) -> Outcome {
    let door = admin(state)?;
    let list: ClusterDetailsList = door.get("/v1/clusters").await?;
    let rows = join(list.clusters, process(&door).await?.clusters);
    if format.is_data() {
        return output::value(format, &rows);
    }
    let mut head = vec!["NAME", "STATE", "CHECKED", "SERVER"];
    if format == Format::Wide {
        head.extend(["MODE", "CREDENTIAL", "AGE", "WHY"]);
    }
    let mut table = Table::new(&head);
    for row in &rows {
        table.row(cells(row, format == Format::Wide));
    }
    table.print("no cluster yet; `kubestile cluster add NAME` adds one")?;
    let statuses = rows.iter().filter_map(|row| row.status.as_ref());
    for status in statuses.filter(|s| !s.why.is_empty() && format != Format::Wide) {
        output::talk(&format!("{}: {}", status.name, status.why));
    }
    Ok(())
}

/// What is stored of clusters, with how they stand.
fn join(stored: Vec<ClusterDetails>, statuses: Vec<ClusterStatus>) -> Vec<Row> {
    let mut rows: std::collections::BTreeMap<ClusterName, Row> = stored
        .into_iter()
        .map(|details| {
            let name = details.name.clone();
            let row = Row {
                name: name.clone(),
                details: Some(details),
                status: None,
            };
            (name, row)
        })
        .collect();
    for status in statuses {
        let name = status.name.clone();
        let row = rows.entry(name.clone()).or_insert(Row {
            name,
            details: None,
            status: None,
        });
        row.status = Some(status);
    }
    rows.into_values().collect()
}

fn cells(row: &Row, wide: bool) -> Vec<String> {
    let status = row.status.as_ref();
    let details = row.details.as_ref();
    let mut cells = vec![
        row.name.to_string(),
        status.map_or("unknown", |s| &s.state).to_owned(),
        status.and_then(|s| s.checked).map(ago).unwrap_or_default(),
        details.map(|d| d.server.clone()).unwrap_or_default(),
    ];
    if wide {
        cells.extend([
            details.map(|d| d.mode.clone()).unwrap_or_default(),
            details
                .map_or("configuration", |d| &d.credential)
                .to_owned(),
            details.map(|d| age(d.added)).unwrap_or_default(),
            status.map(|s| s.why.clone()).unwrap_or_default(),
        ]);
    }
    cells
}

/// Has the gate check its account now, and waits for what it finds.
async fn check(name: &ClusterName, state: &StateDir, format: Format) -> Outcome {
    let door = admin(state)?;
    let asked = now();
    let pid = process(&door).await?.pid;
    reload(pid)?;
    let deadline = std::time::Instant::now() + CHECK_PATIENCE;
    loop {
        let process = process(&door).await?;
        let Some(status) = process.clusters.into_iter().find(|c| c.name == *name) else {
            return Err(unknown(name));
        };
        if status.checked.is_some_and(|at| at >= asked) {
            return show_check(&status, format);
        }
        if std::time::Instant::now() >= deadline {
            let why = if status.why.is_empty() {
                "no answer in time".to_owned()
            } else {
                status.why
            };
            return Err(Fail::new(
                Kind::Unavailable,
                format!("{name} could not be checked: {why}"),
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn show_check(status: &ClusterStatus, format: Format) -> Outcome {
    if format.is_data() {
        output::value(format, status)?;
    }
    match status.state.as_str() {
        "serving" if format.is_data() => Ok(()),
        "serving" => output::line(&format!(
            "{}: the gate's account can impersonate and nothing else",
            status.name
        )),
        _ => Err(Fail::new(
            Kind::Verification,
            format!("{}: {}", status.name, status.why),
        )),
    }
}

/// A hang-up makes the gate reload and check.
fn reload(pid: u32) -> Outcome {
    let gone = || Fail::new(Kind::Unavailable, "the gate's process is gone");
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or_else(gone)?;
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).map_err(|_| gone())
}

async fn process(door: &Door) -> Outcome<Process> {
    let status: Status = door.get("/v1/status").await?;
    Ok(serde_json::from_value(status.process)?)
}

async fn find(door: &Door, name: &ClusterName) -> Outcome<ClusterDetails> {
    let list: ClusterDetailsList = door.get("/v1/clusters").await?;
    list.clusters
        .into_iter()
        .find(|c| c.name == *name)
        .ok_or_else(|| unknown(name))
}

fn unknown(name: &ClusterName) -> Fail {
    Fail::failure(format!("there is no cluster `{name}` behind this gate"))
        .hint("`kubestile cluster list` shows them")
}

/// The administrator's context for a cluster that is there: it must lead to the same API server.
async fn administrator_of(details: &ClusterDetails, context: Option<&str>) -> Outcome<Upstream> {
    let context = context.or(details.context.as_deref());
    let (context, upstream) = administrator(context).await?;
    if upstream.server() == details.server {
        return Ok(upstream);
    }
    Err(Fail::usage(format!(
        "the context `{context}` leads to {}, but `{}` is at {}",
        upstream.server(),
        details.name,
        details.server
    ))
    .hint("name the right one with --context"))
}

fn ago(at: Timestamp) -> String {
    format!("{} ago", age(at))
}

/// Yes by flag or by word; without either, nothing is done.
pub(super) fn consent(question: &str, yes: bool) -> Outcome<bool> {
    if yes {
        return Ok(true);
    }
    output::ask(question).ok_or_else(|| {
        Fail::usage("this needs your consent, and there is no terminal to ask on")
            .hint("add --yes if the above is what you want")
    })
}

/// Said when the person said no.
pub(super) fn not_installed() -> Fail {
    Fail::failure("nothing was installed")
        .hint("to see or apply it another way: kubestile roles render")
}

/// What went wrong with an account, and what can be done.
fn account_failed(error: AccountError) -> Fail {
    let text = chain(&error);
    let fail = Fail::failure(text);
    match error {
        AccountError::Call { .. } => {
            fail.hint("the context needs the rights of a cluster administrator")
        }
        _ => fail,
    }
}

fn cluster_failed(error: ClusterError) -> Fail {
    Fail::failure(chain(&error)).hint("does `kubectl --context CONTEXT get namespaces` work?")
}

/// A cluster's name made from a context's: the part after the last `/` or `@`, as a DNS label.
pub(super) fn name_from_context(context: &str) -> Outcome<ClusterName> {
    let last = context.rsplit(['/', '@']).next().unwrap_or(context);
    let label: String = last
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(63)
        .collect();
    // Contexts get `kubestile-` in front again.
    let label = label.trim_matches('-');
    label
        .strip_prefix("kubestile-")
        .unwrap_or(label)
        .parse()
        .map_err(|_| {
            Fail::usage(format!(
                "no name for a cluster can be made of the context `{context}`"
            ))
            .hint("name it yourself")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_from_contexts() {
        for (context, name) in [
            ("kind-dev", "kind-dev"),
            ("admin@Prod_1", "prod-1"),
            ("arn:aws:eks:eu-west-1:1234:cluster/shop", "shop"),
            ("gke_project_zone_name", "gke-project-zone-name"),
            ("kubestile-e2e", "e2e"),
        ] {
            assert_eq!(
                name_from_context(context).unwrap().as_str(),
                name,
                "{context}"
            );
        }
        assert!(name_from_context("@").is_err() && name_from_context("…").is_err());
    }
}
