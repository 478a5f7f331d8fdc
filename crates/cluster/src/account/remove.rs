//! Takes away what was installed, and nothing that is not ours.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::install::{Progress, delete};
use super::object::{Kind, Object, PER_NAMESPACE, desired, title};
use super::plan::{fetch, is_ours, list, our_bindings, text};
use super::{AccountError, Mode, NAMESPACE, People};
use crate::upstream::Upstream;

/// How long the namespace may take to go.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// What a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// What was removed, as `RoleBinding shop/kubestile:operator`.
    pub removed: Vec<String>,
    /// What has one of our names and stays, each with the reason.
    pub left: Vec<String>,
}

/// Removes the account, the job functions and their bindings: first what gives rights, then the
/// account (which ends its tokens), then the roles, at last the namespace, if it is ours and holds
/// nothing else. Objects without our label stay. Can be repeated.
///
/// # Errors
/// [`AccountError`] if a call does not succeed; what was removed until then is gone.
pub async fn remove(
    admin: &Upstream,
    progress: &mut Progress<'_>,
) -> Result<Removed, AccountError> {
    let mut done = Removed::default();
    for binding in our_bindings(admin).await? {
        let (namespace, name) = (
            text(&binding, "/metadata/namespace"),
            text(&binding, "/metadata/name"),
        );
        if PER_NAMESPACE.contains(&name) {
            let path = format!("{}/{name}", Kind::RoleBinding.collection(Some(namespace)));
            delete(admin, &path, &binding).await?;
            let title = title(Kind::RoleBinding, Some(namespace), name);
            progress(&format!("- {title}"));
            done.removed.push(title);
        }
    }
    // Bindings were last to be made and are first to go.
    let mut objects = desired(&[], Mode::Legacy, &People::Any);
    objects.sort_by_key(|object| std::cmp::Reverse(object.kind));
    let (namespaces, objects): (Vec<Object>, Vec<Object>) =
        objects.into_iter().partition(|o| o.kind == Kind::Namespace);
    for object in objects {
        remove_one(admin, &object, &mut done, progress).await?;
    }
    for namespace in namespaces {
        remove_namespace(admin, &namespace, &mut done, progress).await?;
    }
    Ok(done)
}

async fn remove_one(
    admin: &Upstream,
    object: &Object,
    done: &mut Removed,
    progress: &mut Progress<'_>,
) -> Result<(), AccountError> {
    let title = object.to_string();
    let Some(live) = fetch(admin, &object.path(), &title).await? else {
        return Ok(());
    };
    if !is_ours(&live) {
        done.left.push(format!("{title}: it is not Kubestile's"));
        return Ok(());
    }
    delete(admin, &object.path(), &live).await?;
    progress(&format!("- {title}"));
    done.removed.push(title);
    Ok(())
}

async fn remove_namespace(
    admin: &Upstream,
    namespace: &Object,
    done: &mut Removed,
    progress: &mut Progress<'_>,
) -> Result<(), AccountError> {
    let title = namespace.to_string();
    let Some(live) = fetch(admin, &namespace.path(), &title).await? else {
        return Ok(());
    };
    if !is_ours(&live) {
        done.left.push(format!("{title}: it is not Kubestile's"));
        return Ok(());
    }
    if let Some(holds) = occupant(admin).await? {
        done.left.push(format!("{title}: it holds {holds}"));
        return Ok(());
    }
    delete(admin, &namespace.path(), &live).await?;
    let start = Instant::now();
    while fetch(admin, &namespace.path(), &title).await?.is_some() {
        if start.elapsed() > PATIENCE {
            done.left
                .push(format!("{title}: it is being deleted and not gone yet"));
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    progress(&format!("- {title}"));
    done.removed.push(title);
    Ok(())
}

/// Something in the namespace that we did not put there and that would be lost with it.
async fn occupant(admin: &Upstream) -> Result<Option<String>, AccountError> {
    let made_by_kubernetes = |object: &&Value| {
        // kube-root-ca.crt, and what OpenShift adds to every namespace.
        text(object, "/metadata/name").ends_with(".crt")
    };
    for resource in ["pods", "secrets", "persistentvolumeclaims", "configmaps"] {
        let collection = format!("/api/v1/namespaces/{NAMESPACE}/{resource}");
        let found = list(admin, &collection, "").await?;
        if let Some(object) = found.iter().find(|o| !made_by_kubernetes(o)) {
            return Ok(Some(format!(
                "{resource}/{}",
                text(object, "/metadata/name")
            )));
        }
    }
    Ok(None)
}
