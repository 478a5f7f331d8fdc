//! `kubestile break-glass seal` and `unseal`: with the cluster's administrator, while all is well.

use std::path::Path;
use std::time::Duration;

use kubestile_authn::ClientKey;
use kubestile_authn::seal::Sealed;
use kubestile_cluster::Upstream;
use kubestile_cluster::break_glass::{self, BreakGlassError, Place, Seal as Names};
use kubestile_core::{ClusterName, Secret, Timestamp, Ttl};
use serde::{Deserialize, Serialize};

use crate::args::break_glass::{Seal, Unseal};
use crate::clock::now;
use crate::command::cluster::{administrator, consent, not_installed};
use crate::command::{block_on, left};
use crate::exit::{During as _, Fail, Outcome, chain};
use crate::{files, output};

/// What is readable on a sealed file: how to get there, and until when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct About {
    pub(super) cluster: ClusterName,
    /// In the names of the sealed user and of the group of those who open it.
    pub(super) seal: String,
    pub(super) server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tls_server_name: Option<String>,
    /// In microseconds since 1970.
    pub(super) expires: Timestamp,
}

impl About {
    pub(super) fn names(&self) -> Outcome<Names> {
        Names::new(&self.seal).ok_or_else(|| Fail::failure("the sealed file names no seal"))
    }

    pub(super) fn place(&self) -> Place {
        Place {
            server: self.server.clone(),
            ca_pem: self.ca.clone(),
            tls_server_name: self.tls_server_name.clone(),
        }
    }
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Makes the way in, and seals it.
pub(super) fn seal(args: &Seal) -> Outcome {
    if args.needed > args.shares {
        return Err(Fail::usage("--needed cannot be more than --shares"));
    }
    let dir = args.out.clone().unwrap_or_else(|| ".".into());
    if !dir.is_dir() {
        return Err(Fail::usage(format!(
            "there is no directory `{}`",
            dir.display()
        )));
    }
    let Some((about, credential)) = block_on(make(args))? else {
        return Err(not_installed());
    };
    let expires = about.expires;
    let text = Secret::new(serde_json::to_string(&credential).during("the sealed credential")?);
    let about = serde_json::to_value(about).during("the sealed file")?;
    let (sealed, shares) = Sealed::seal(&text, about, (args.needed, args.shares))
        .map_err(|e| Fail::failure(e.to_string()))?;
    // It opens before anybody relies on it.
    let opens = sealed
        .open(&shares)
        .map_err(|e| Fail::failure(e.to_string()))?;
    if opens.expose() != text.expose() {
        return Err(Fail::failure("what was sealed does not come out again"));
    }
    write(&dir, &args.name, &sealed, &shares)?;
    output::talk(&format!(
        "{} of {} shares open it, for {}. Give each share to another person, and delete it here.",
        args.needed,
        args.shares,
        left(expires)
    ));
    output::talk(&format!(
        "try it now: kubestile break-glass drill {} --share … --share …",
        dir.join(format!("{}.sealed", args.name)).display()
    ));
    Ok(())
}

async fn make(args: &Seal) -> Outcome<Option<(About, Credential)>> {
    let (context, admin) = administrator(args.context.as_deref()).await?;
    let id = files::random_hex(8)?;
    let names = Names::new(&id).ok_or_else(|| Fail::failure("no id for the seal"))?;
    let (user, opened) = (names.user(), names.opened());
    output::talk(&format!(
        "\
With the context {context}, once, in the cluster {}:
  ClusterRole and ClusterRoleBinding kubestile-break-glass-seal
    {user} may have client certificates signed
  ValidatingAdmissionPolicy and its binding kubestile-break-glass
    of 8 hours at most, and on its own requests only
  ClusterRoleBinding kubestile-break-glass
    the group {opened} is the cluster's administrator; it has no members until the seal is opened
  and a certificate for {user}, which is sealed: {} of {} shares open it
What an earlier seal of this cluster gave ends with this.
",
        args.name, args.needed, args.shares
    ));
    if !consent("Make this?", args.yes)? {
        return Ok(None);
    }
    let (place, limited) = break_glass::install(&admin, &names).await.map_err(failed)?;
    if !limited {
        output::talk(
            "this Kubernetes has no ValidatingAdmissionPolicies: what is opened may have certificates signed for as long \
             as the cluster signs",
        );
    }
    let key = ClientKey::generate()?;
    let csr = key.csr_pem_for(&user, Some(&user))?;
    let certified = break_glass::certify(&admin, &csr, ttl(args.valid)?)
        .await
        .map_err(failed)?;
    let (certificate, expires) = (certified.pem, certified.ends);
    let key = key.key_pem();
    // Whether the API server knows the certificate shows now, and not on the day.
    let sealed = Upstream::with_certificate(&place, &certificate, &key).await;
    let sealed = sealed.map_err(|e| Fail::failure(chain(&e)))?;
    let me = who(&sealed).await?;
    if me != user {
        return Err(Fail::failure(format!(
            "the API server takes the sealed certificate for `{me}`"
        )));
    }
    let about = About {
        cluster: args.name.clone(),
        seal: id,
        server: place.server,
        ca: place.ca_pem,
        tls_server_name: place.tls_server_name,
        expires,
    };
    let key = key.expose().clone();
    Ok(Some((about, Credential { certificate, key })))
}

/// The user that the API server sees.
pub(super) async fn who(upstream: &Upstream) -> Outcome<String> {
    let review = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
    });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let call = kubestile_cluster::Call::post(path, &review);
    let answer: serde_json::Value = upstream
        .request(&call)
        .await
        .map_err(|e| Fail::failure(chain(&e)))?;
    let name = answer.pointer("/status/userInfo/username");
    Ok(name.and_then(|n| n.as_str()).unwrap_or_default().to_owned())
}

fn write(dir: &Path, name: &ClusterName, sealed: &Sealed, shares: &[Secret<String>]) -> Outcome {
    let mut text = serde_json::to_string_pretty(sealed).during("the sealed file")?;
    text.push('\n');
    let path = dir.join(format!("{name}.sealed"));
    files::replace(&path, text.as_bytes())?;
    output::line(&path.display().to_string())?;
    for (n, share) in shares.iter().enumerate() {
        let path = dir.join(format!("{name}.share-{}", n + 1));
        files::replace(&path, format!("{}\n", share.expose()).as_bytes())?;
        output::line(&path.display().to_string())?;
    }
    Ok(())
}

/// Takes the way in away.
pub(super) fn unseal(args: &Unseal) -> Outcome {
    let removed = block_on(async {
        let (context, admin) = administrator(args.context.as_deref()).await?;
        output::talk(&format!(
            "With the context {context}: what was sealed and who opened it have no rights from then on."
        ));
        if !consent("Take the way in away?", args.yes)? {
            return Err(Fail::failure("nothing was changed"));
        }
        break_glass::remove(&admin).await.map_err(failed)
    })?;
    if removed.is_empty() {
        output::talk("there was no sealed way in");
    }
    for object in removed {
        output::line(&format!("{object} deleted"))?;
    }
    Ok(())
}

pub(super) fn failed(error: BreakGlassError) -> Fail {
    Fail::failure(chain(&error))
}

pub(super) fn ttl(length: Duration) -> Outcome<Ttl> {
    u32::try_from(length.as_secs())
        .ok()
        .filter(|secs| *secs <= 366 * 86_400)
        .map(Ttl::from_secs)
        .ok_or_else(|| Fail::usage("that is longer than a year"))
}

/// Whether a seal can still be opened.
pub(super) fn check_age(about: &About) -> Outcome {
    if now() < about.expires {
        return Ok(());
    }
    Err(Fail::failure(format!(
        "the sealed certificate of {} expired at {}",
        about.cluster, about.expires
    ))
    .hint("an administrator seals anew: kubestile break-glass seal"))
}
