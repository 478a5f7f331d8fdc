//! Makes what a plan says, and tries it.

use kubestile_core::ids::ClusterName;
use kubestile_core::time::Ttl;
use serde_json::{Value, json};

use super::object::{GATE_ROLE, Kind, Object, gate_role};
use super::plan::{Change, Plan, fetch, made, plan};
use super::probe::{self, Outcome};
use super::{
    AccountError, DEFAULT_TOKEN_LIFETIME, Doing as _, Installed, Mode, Options, Synced, token,
};
use crate::call::Call;
use crate::upstream::{AccountCredential, Upstream};

/// The shortest life that a token can have: for a try.
const BRIEFLY: Ttl = Ttl::from_secs(600);

/// Told what has just been done, a line each.
pub type Progress<'a> = dyn FnMut(&str) + Send + 'a;

/// Does what `plan` says, by server-side apply, takes a token for the account, and tries that the
/// account can act as a person: first by constrained impersonation if the plan has it, and if this
/// server turns out not to know it, by plain impersonation. Can be repeated.
///
/// # Errors
/// [`AccountError`]; what has been made until then stays and is found by the next plan or removal.
pub async fn install(
    admin: &Upstream,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Installed, AccountError> {
    carry_out(admin, plan, progress).await?;
    let lifetime = plan
        .options
        .token_lifetime
        .unwrap_or(DEFAULT_TOKEN_LIFETIME);
    let credential = credential(admin, lifetime).await?;
    let mode = settle(admin, plan, &credential, progress).await?;
    Ok(Installed { credential, mode })
}

/// Follows new and deleted namespaces (people, if they are named, and the server's version, which may
/// have brought another mode), and tries the account as [`install`] does.
///
/// # Errors
/// [`AccountError::NotInstalled`] before [`install`], and what a plan or an apply can fail with.
pub async fn sync(
    admin: &Upstream,
    cluster: &ClusterName,
    options: &Options,
    progress: &mut Progress<'_>,
) -> Result<Synced, AccountError> {
    let path = format!("{}/{GATE_ROLE}", Kind::ClusterRole.collection(None));
    if fetch(admin, &path, GATE_ROLE).await?.is_none() {
        return Err(AccountError::NotInstalled(cluster.clone()));
    }
    let plan = plan(admin, cluster, options).await?;
    carry_out(admin, &plan, progress).await?;
    let credential = credential(admin, BRIEFLY).await?;
    let mode = settle(admin, &plan, &credential, progress).await?;
    Ok(Synced {
        changes: plan.steps().iter().map(made).collect(),
        mode,
    })
}

/// A token for the account, with what is needed to use it.
async fn credential(admin: &Upstream, lifetime: Ttl) -> Result<AccountCredential, AccountError> {
    let ca_pem = admin
        .inner
        .ca_pem()
        .map_err(|_| AccountError::NotVerified)?;
    let given = token::request(admin, lifetime)
        .await
        .doing(|| "make a token for the account".into())?;
    Ok(AccountCredential {
        server: admin.server(),
        ca_pem,
        tls_server_name: admin.tls_server_name(),
        token: given.token,
        expires: Some(given.expires),
    })
}

async fn carry_out(
    admin: &Upstream,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<(), AccountError> {
    for step in plan.steps() {
        match step.change() {
            Change::Create | Change::Update(_) => apply(admin, &step.object).await?,
            Change::Remove => delete(admin, &step.object.path(), &step.object.body).await?,
        }
        progress(&made(step));
    }
    Ok(())
}

/// Tries the account; falls back to plain impersonation where the plan only expected constrained.
async fn settle(
    admin: &Upstream,
    plan: &Plan,
    credential: &AccountCredential,
    progress: &mut Progress<'_>,
) -> Result<Mode, AccountError> {
    let refused = |reason: String| AccountError::CannotImpersonate { reason };
    let account =
        Upstream::from_account(credential, BRIEFLY).map_err(|e| refused(e.to_string()))?;
    let people = &plan.options.people;
    match probe::wait(&account, plan.mode, people).await {
        Outcome::Works => return Ok(plan.mode),
        Outcome::Unsupported(_) if plan.options.mode.is_none() => {}
        Outcome::Unsupported(reason) | Outcome::Refused(reason) => return Err(refused(reason)),
    }
    progress("this server has no constrained impersonation: plain impersonation instead");
    apply(admin, &gate_role(&plan.namespaces, Mode::Legacy, people)).await?;
    match probe::wait(&account, Mode::Legacy, people).await {
        Outcome::Works => Ok(Mode::Legacy),
        Outcome::Unsupported(reason) | Outcome::Refused(reason) => Err(refused(reason)),
    }
}

async fn apply(admin: &Upstream, object: &Object) -> Result<(), AccountError> {
    // Forced: the plan has shown that the object is ours, and what of it will be changed.
    let path = format!("{}?fieldManager=kubestile&force=true", object.path());
    let call = Call::apply(path, &object.body);
    let _: Value = admin
        .request(&call)
        .await
        .doing(|| format!("apply {object}"))?;
    Ok(())
}

/// Deletes exactly the object that was looked at; it may be gone already.
pub(crate) async fn delete(admin: &Upstream, path: &str, live: &Value) -> Result<(), AccountError> {
    let uid = live
        .pointer("/metadata/uid")
        .and_then(Value::as_str)
        .ok_or(AccountError::Answer("metadata.uid"))?;
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": { "uid": uid },
    });
    let deleted: Result<Value, _> = admin.request(&Call::delete(path, &options)).await;
    match deleted {
        Ok(_) => Ok(()),
        Err(error) if error.status() == Some(404) => Ok(()),
        Err(error) => Err(error).doing(|| format!("delete {path}")),
    }
}
