//! `kubestile rbac`: who may do what, and what they need.

mod paths;
mod rightsize;
mod used;
mod who_can;

use std::collections::BTreeSet;

use kubestile_assess::Snapshot;
use kubestile_assess::snapshot::Absence;
use kubestile_assess::traffic::Traffic;
use kubestile_cluster::{Upstream, collect};
use kubestile_rbac::{Identity, Policy, Scope};

use super::assess::{current, logs, read, source, wrong_kubeconfig};
use super::block_on;
use crate::args::assess::Logs;
use crate::args::rbac::{From, Place, Rbac, Rights};
use crate::clock::now;
use crate::exit::{Fail, Outcome};
use crate::output;

/// Answers, writes or measures.
pub(super) fn run(args: Rbac) -> Outcome {
    match args {
        Rbac::WhoCan(args) => who_can::run(&args),
        Rbac::Can(args) => who_can::can(&args),
        Rbac::Rightsize(args) => rightsize::run(&args),
        Rbac::Mine(args) => used::mine(&args),
        Rbac::Privilege(args) => used::privilege(&args),
        Rbac::Paths(args) => paths::run(&args),
    }
}

/// Roles and bindings of a saved snapshot, or of a cluster.
fn snapshot(rights: &Rights) -> Outcome<Snapshot> {
    if let Some(path) = &rights.snapshot {
        return read(path);
    }
    let kubeconfig = rights.kubeconfig.as_deref();
    let context = match &rights.context {
        Some(context) => context.clone(),
        None => current(kubeconfig)?,
    };
    block_on(async {
        let upstream = Upstream::from_kubeconfig(kubeconfig, Some(&context))
            .await
            .map_err(|error| wrong_kubeconfig(&error))?;
        let mut progress = output::Progress::new();
        let mut say = |what: &str, count: usize| progress.show(what, count);
        let snapshot = collect::rights(&upstream, &context, now(), &mut say).await;
        progress.end();
        source::answers(&snapshot)?;
        Ok(snapshot)
    })
}

/// The namespace that is asked about, as kubectl takes it; none for all of them.
fn namespace(place: &Place, rights: &Rights) -> Outcome<Option<String>> {
    if place.all || place.namespace.is_some() {
        return Ok(place.namespace.clone());
    }
    // A snapshot was taken by somebody, somewhere: no context of here says what was meant.
    if rights.snapshot.is_some() {
        return Ok(Some("default".to_owned()));
    }
    let kubeconfig = rights.kubeconfig.as_deref();
    kubestile_cluster::namespace(kubeconfig, rights.context.as_deref())
        .map(Some)
        .map_err(|error| wrong_kubeconfig(&error))
}

/// The policy, or why it is not known.
fn policy(snapshot: &Snapshot) -> Outcome<Policy> {
    let objects = snapshot.objects();
    Ok(Policy::new(objects.map_err(|absence| unknown(&absence))?))
}

fn unknown(absence: &Absence) -> Fail {
    Fail::failure(absence.text.clone())
        .hint("to read roles and bindings takes: kubestile assess --show-permissions")
}

/// What was done, from logs that were named or as a snapshot has it.
fn traffic(from: &From, snapshot: Option<&Snapshot>) -> Outcome<Traffic> {
    let logs = Logs {
        audit: from.audit.clone(),
        gate_log: from.gate_log.clone(),
        cluster: from.cluster.clone(),
        audit_since: from.since.clone(),
    };
    let empty = Snapshot::empty(now(), "", "");
    if let Some(traffic) = logs::read(&logs, snapshot.unwrap_or(&empty), false)? {
        return Ok(traffic);
    }
    let saved = snapshot.and_then(|s| s.traffic.known());
    saved.cloned().ok_or_else(|| {
        Fail::usage("there is no log of what was done")
            .hint("name the API server's audit log with --from FILE")
    })
}

/// `user/alice`, `group/dev`, `serviceaccount/shop/web`; a name alone is a user's.
fn identity(text: &str) -> Outcome<Identity> {
    let parts = text.split_once('/');
    let account = |rest: &str| {
        let (namespace, name) = rest.split_once('/')?;
        Some(Identity::service_account(namespace, name))
    };
    let found = match parts {
        Some(("user", name)) => Some(Identity::from_user_name(name)),
        Some(("group", name)) => Some(Identity::group(name)),
        Some(("serviceaccount" | "sa", rest)) => account(rest),
        None => Some(Identity::from_user_name(text)),
        Some(_) => None,
    };
    found.ok_or_else(|| {
        Fail::usage(format!("`{text}` names nobody"))
            .hint("user/NAME, group/NAME or serviceaccount/NAMESPACE/NAME")
    })
}

fn identities(list: &[String]) -> Outcome<BTreeSet<Identity>> {
    list.iter().map(|text| identity(text)).collect()
}

/// `shop`, or a star for the whole cluster.
fn place(scope: &Scope) -> String {
    match scope {
        Scope::Cluster => "*".to_owned(),
        Scope::Namespace(namespace) => namespace.clone(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
