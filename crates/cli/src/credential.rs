//! The exec credential plugin: kubectl runs it for every command, so the common case (the certificate
//! at hand is good) reads two small files and prints. Only JSON ever goes to stdout.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kubestile_authn::{ClientKey, proof};
use kubestile_control::api;
use kubestile_core::{Secret, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::now;
use crate::companion::Companion;
use crate::exit::{Fail, Kind, Outcome};
use crate::files::Lock;
use crate::login::{self, Certificate, Login};
use crate::output;

/// How long another process that renews is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long before its end kubectl is told that a certificate ends, in seconds: it asks again only
/// when the time is past, and sends what it has until then.
const MARGIN: i64 = 30;

/// The login's directory, if the arguments are exactly those that our kubeconfig entries name: then
/// nothing else of the command line needs to be built.
pub(crate) fn fast_arguments(args: &[OsString]) -> Option<PathBuf> {
    match args {
        [_, verb, flag, dir] if verb == "credential" && flag == "--login" => Some(dir.into()),
        _ => None,
    }
}

/// Prints the credential of the login in `dir`, and leaves a companion for the kubectl that asked.
pub(crate) fn run(dir: &Path) -> Outcome {
    let companion = Companion::wanted();
    give(dir)?;
    if let Some(companion) = companion {
        companion.leave(dir);
    }
    Ok(())
}

fn give(dir: &Path) -> Outcome {
    if let Some(certificate) = login::certificate(dir)?.filter(|c| c.is_fresh(now())) {
        return print(&certificate, &login::key(dir)?);
    }
    let login = Login::open(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let certificate = runtime.block_on(current(&login))?;
    print(&certificate, &login.key()?)
}

/// A certificate that holds: the one at hand, or a renewed one.
pub(crate) async fn current(login: &Login) -> Outcome<Certificate> {
    let expires = login.record().expires;
    if now() >= expires {
        return Err(ended(login, "its time is up"));
    }
    let _lock = Lock::wait(&login.lock(), PATIENCE)?;
    // Another process may have renewed while we waited.
    let at_hand = login.certificate()?;
    if let Some(fresh) = at_hand.as_ref().filter(|c| c.is_fresh(now())) {
        return Ok(fresh.clone());
    }
    match renew(login).await {
        Ok(renewed) => {
            login.keep(&renewed)?;
            Ok(renewed)
        }
        // A gate that is away for a moment is no reason to stop using what still holds.
        Err(fail) => {
            match at_hand.filter(|c| c.holds(now()) && fail.of_kind() == Kind::Unavailable) {
                Some(certificate) => Ok(certificate),
                None => Err(fail),
            }
        }
    }
}

async fn renew(login: &Login) -> Outcome<Certificate> {
    let key = ClientKey::from_pem(&login.key()?)?;
    let csr = key.csr_pem()?;
    let (session, at) = (login.record().session, now());
    let request = api::RenewRequest {
        session,
        timestamp: at.as_secs(),
        proof: proof::sign(&key, session, at, &csr)?,
        csr,
    };
    let body = serde_json::to_vec(&request)?;
    let answer = login
        .door(None)?
        .exchange(http::Method::POST, "/v1/renew", Some(body))
        .await?;
    if matches!(answer.status.as_u16(), 401 | 403) {
        return Err(ended(login, answer.fail().message()));
    }
    if !answer.status.is_success() {
        return Err(answer.fail());
    }
    let renewed: api::RenewAnswer = answer.json()?;
    Ok(Certificate {
        pem: renewed.certificate,
        received: at,
        not_after: renewed.not_after,
        session_expires: renewed.session_expires,
    })
}

fn ended(login: &Login, why: &str) -> Fail {
    Fail::failure(format!(
        "session ended: {why}; run: kubestile login {}",
        login.record().url
    ))
}

/// `client.authentication.k8s.io/v1` ExecCredential.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential<'a> {
    api_version: &'a str,
    kind: &'a str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    client_certificate_data: &'a str,
    client_key_data: &'a str,
    expiration_timestamp: String,
}

/// What client-go says of itself in `KUBERNETES_EXEC_INFO`.
#[derive(Deserialize)]
struct ExecInfo {
    #[serde(rename = "apiVersion")]
    api_version: String,
}

fn print(certificate: &Certificate, key: &Secret<String>) -> Outcome {
    let asked = std::env::var("KUBERNETES_EXEC_INFO").ok();
    let text = exec_credential(certificate, key, asked.as_deref())?;
    output::data(&text)
}

fn exec_credential(
    certificate: &Certificate,
    key: &Secret<String>,
    asked: Option<&str>,
) -> Outcome<String> {
    const V1: &str = "client.authentication.k8s.io/v1";
    const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";
    // client-go takes an answer only in the version that it asked in.
    let beta = asked
        .and_then(|text| serde_json::from_str::<ExecInfo>(text).ok())
        .is_some_and(|info| info.api_version == V1BETA1);
    let credential = ExecCredential {
        api_version: if beta { V1BETA1 } else { V1 },
        kind: "ExecCredential",
        status: Status {
            client_certificate_data: &certificate.pem,
            client_key_data: key.expose(),
            expiration_timestamp: expiration(certificate),
        },
    };
    Ok(serde_json::to_string(&credential)? + "\n")
}

/// RFC 3339 in whole seconds, as metav1.Time.
fn expiration(certificate: &Certificate) -> String {
    let lifetime = certificate.not_after.since(certificate.received).as_secs();
    let secs = certificate.not_after.as_secs() - MARGIN.min(lifetime / 8);
    let micros = Timestamp::from_secs(secs).rfc3339();
    micros
        .split_once('.')
        .map_or(micros.clone(), |(secs, _)| format!("{secs}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Certificate {
        Certificate {
            pem: "CERT".to_owned(),
            received: Timestamp::from_secs(0),
            not_after: Timestamp::from_secs(3600),
            session_expires: Timestamp::from_secs(28_800),
        }
    }

    #[test]
    fn the_answer_is_an_exec_credential_of_the_version_asked_for() {
        let key = Secret::new("KEY".to_owned());
        let text = exec_credential(&certificate(), &key, None).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "apiVersion": "client.authentication.k8s.io/v1",
                "kind": "ExecCredential",
                "status": {
                    "clientCertificateData": "CERT",
                    "clientKeyData": "KEY",
                    "expirationTimestamp": "1970-01-01T00:59:30Z",
                },
            })
        );
        let beta = r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","spec":{}}"#;
        assert!(
            exec_credential(&certificate(), &key, Some(beta))
                .unwrap()
                .contains("/v1beta1")
        );
        assert!(
            exec_credential(&certificate(), &key, Some("{"))
                .unwrap()
                .contains("k8s.io/v1\"")
        );
    }

    #[test]
    fn only_our_own_arguments_take_the_short_way() {
        let args = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(
            fast_arguments(&args(&["kubestile", "credential", "--login", "/d"])),
            Some("/d".into())
        );
        for other in [
            args(&["kubestile", "credential"]),
            args(&["kubestile", "credential", "--login"]),
            args(&["kubestile", "credential", "--login", "/d", "-h"]),
            args(&["kubestile", "login", "--login", "/d"]),
        ] {
            assert_eq!(fast_arguments(&other), None);
        }
    }
}
