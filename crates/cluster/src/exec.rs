//! The exec credential plugin of a kubeconfig (`client.authentication.k8s.io`), asked as client-go
//! asks it, but with a time limit, a size limit, and errors that never quote what it wrote.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use kubestile_core::secret::Secret;
use kubestile_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::error::CredentialError;

/// Enough for somebody who logs in with a browser.
const INTERACTIVE_LIMIT: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_secs(60);
const OUTPUT_LIMIT: u64 = 1 << 20;

/// How to ask a plugin.
pub(crate) struct Exec {
    /// Program: a name to be looked up in PATH, or a path.
    pub(crate) command: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// `client.authentication.k8s.io/v1` or `…/v1beta1`.
    pub(crate) api_version: String,
    pub(crate) interactive: Interactive,
    /// `spec.cluster`, if the kubeconfig says `provideClusterInfo`.
    pub(crate) cluster: Option<serde_json::Value>,
    pub(crate) install_hint: Option<String>,
}

/// Whether a plugin may talk to somebody at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Interactive {
    Never,
    IfAvailable,
    Always,
}

/// What a plugin gave.
pub(crate) struct Given {
    pub(crate) token: Option<Secret<String>>,
    /// Certificate chain and key in PEM.
    pub(crate) certificate: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
    pub(crate) expires: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    api_version: &'a str,
    kind: &'static str,
    spec: RequestSpec<'a>,
}

#[derive(Serialize)]
struct RequestSpec<'a> {
    interactive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    api_version: String,
    kind: String,
    status: Option<ReplyStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplyStatus {
    token: Option<Zeroizing<String>>,
    client_certificate_data: Option<String>,
    client_key_data: Option<Zeroizing<String>>,
    expiration_timestamp: Option<String>,
}

impl Exec {
    /// Runs the plugin once.
    ///
    /// # Errors
    /// [`CredentialError::Plugin`]; the plugin's own words go to our standard error, as with kubectl.
    pub(crate) async fn run(&self) -> Result<Given, CredentialError> {
        let terminal = std::io::stdin().is_terminal();
        let interactive = match self.interactive {
            Interactive::Never => false,
            Interactive::IfAvailable => terminal,
            Interactive::Always if terminal => true,
            Interactive::Always => {
                return Err(self.failed("it wants to talk to somebody and there is no terminal"));
            }
        };
        let child = self
            .prepare(interactive)?
            .spawn()
            .map_err(|e| self.not_started(&e))?;
        let limit = if interactive {
            INTERACTIVE_LIMIT
        } else {
            LIMIT
        };
        let (status, output) = tokio::time::timeout(limit, finish(child))
            .await
            .map_err(|_| self.failed(format!("it took longer than {} s", limit.as_secs())))?
            .map_err(|e| self.failed(e))?;
        if output.len() as u64 > OUTPUT_LIMIT {
            return Err(self.failed("it wrote more than 1 MiB"));
        }
        if !status.success() {
            return Err(self.failed(format!("it ended with {status}")));
        }
        self.understand(&output)
    }

    fn prepare(&self, interactive: bool) -> Result<Command, CredentialError> {
        let request = Request {
            api_version: &self.api_version,
            kind: "ExecCredential",
            spec: RequestSpec {
                interactive,
                cluster: self.cluster.as_ref(),
            },
        };
        let request = serde_json::to_string(&request).map_err(|e| self.failed(e))?;
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .env("KUBERNETES_EXEC_INFO", request)
            .stdin(if interactive {
                Stdio::inherit()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        Ok(command)
    }

    fn understand(&self, output: &[u8]) -> Result<Given, CredentialError> {
        // client-go accepts YAML too, and there are plugins that write it.
        let reply: Reply = serde_json::from_slice(output)
            .ok()
            .or_else(|| serde_saphyr::from_slice(output).ok())
            .ok_or_else(|| self.failed("what it wrote is not an ExecCredential"))?;
        if reply.kind != "ExecCredential" || reply.api_version != self.api_version {
            return Err(self.failed(format!(
                "it did not answer in the version that it was asked in, `{}`",
                self.api_version
            )));
        }
        let status = reply
            .status
            .ok_or_else(|| self.failed("its answer has no status"))?;
        let certificate = match (status.client_certificate_data, status.client_key_data) {
            (Some(chain), Some(key)) => {
                Some((chain.into_bytes(), Zeroizing::new(key.as_bytes().to_vec())))
            }
            (None, None) => None,
            _ => return Err(self.failed("it gave a certificate without a key, or a key alone")),
        };
        let token = status
            .token
            .filter(|t| !t.is_empty())
            .map(|t| Secret::new(t.as_str().to_owned()));
        if token.is_none() && certificate.is_none() {
            return Err(self.failed("it gave neither a token nor a certificate"));
        }
        let expires = status
            .expiration_timestamp
            .map(|text| parse_time(&text).ok_or_else(|| self.failed("its expiry is not a time")))
            .transpose()?;
        Ok(Given {
            token,
            certificate,
            expires,
        })
    }

    fn not_started(&self, error: &std::io::Error) -> CredentialError {
        if error.kind() != std::io::ErrorKind::NotFound {
            return self.failed(error);
        }
        match self.install_hint.as_deref().map(str::trim) {
            Some(hint) if !hint.is_empty() => {
                let hint: String = hint.chars().filter(|c| !c.is_control()).take(500).collect();
                self.failed(format!("it is not installed; its hint is: {hint}"))
            }
            _ => self.failed("it is not installed, or not in PATH of this process"),
        }
    }

    fn failed(&self, reason: impl ToString) -> CredentialError {
        CredentialError::Plugin {
            command: self.command.display().to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Reads what the child writes, up to one byte more than the limit, and waits for its end.
async fn finish(mut child: Child) -> std::io::Result<(ExitStatus, Zeroizing<Vec<u8>>)> {
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        let mut bounded = stdout.take(OUTPUT_LIMIT + 1);
        bounded.read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?, output))
}

/// RFC 3339, as Kubernetes writes times.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let micros = at.unix_timestamp_nanos().checked_div(1000)?;
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests;
