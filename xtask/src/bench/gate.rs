//! The gate under test: the release binary as it is shipped, with authentication, policy and a
//! synced log. Only the limit of open streams a person is raised, where a row needs more.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::machine;
use super::peer::Stage;
use super::process::Running;
use super::tls::Identity;

/// What is left when a gate is stopped and started again: its state, and a person who has logged in.
pub(super) struct Home {
    dir: PathBuf,
    identity: Identity,
}

impl Home {
    /// Makes a state directory, starts a gate on it and logs a person in.
    pub(super) fn create(
        stage: &Stage,
        kubeconfig: &Path,
    ) -> Result<(Self, (Running, SocketAddr))> {
        let dir = stage.dir().join("gate");
        let text = CONFIG
            .replace("DIR", &dir.display().to_string())
            .replace("KUBECONFIG", &kubeconfig.display().to_string());
        std::fs::write(stage.dir().join("gate.yaml"), text)?;
        let (process, address) = serve(stage)?;
        let person = Person::log_in(
            &stage.kubestile,
            &dir,
            &format!("https://{address}"),
            stage.dir(),
        )?;
        let identity = person.identity()?;
        Ok((Self { dir, identity }, (process, address)))
    }

    /// Starts a gate on it again.
    pub(super) fn serve(&self, stage: &Stage) -> Result<(Running, SocketAddr)> {
        serve(stage)
    }

    /// The gate's authority, PEM.
    pub(super) fn authority(&self) -> PathBuf {
        self.dir.join("authority.pem")
    }

    /// The person's certificate.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn serve(stage: &Stage) -> Result<(Running, SocketAddr)> {
    let mut command = machine::on_core(stage.cores.proxy, &stage.kubestile);
    command
        .args(["server", "--config"])
        .arg(stage.dir().join("gate.yaml"));
    command.env("HOME", stage.dir());
    let mut process = Running::start("gate", command, &stage.dir().join("gate.log"))?;
    let address = process.word_after("kubestile serves https://")?;
    Ok((process, address.parse().context("the gate's address")?))
}

/// A person at a home of their own, logged in.
pub(super) struct Person {
    program: PathBuf,
    home: PathBuf,
}

impl Person {
    /// Adds a person to the gate with this state directory, and logs them in at `url`.
    pub(super) fn log_in(program: &Path, state: &Path, url: &str, home: &Path) -> Result<Self> {
        let person = Self {
            program: program.to_owned(),
            home: home.join("person"),
        };
        std::fs::create_dir_all(&person.home)?;
        let mut add = person.kubestile();
        add.args(["people", "add", "bench", "-o", "json", "--dir"])
            .arg(state);
        let answer: Value = serde_json::from_str(&text_of(&mut add)?)?;
        let code = answer
            .get("code")
            .and_then(Value::as_str)
            .context("no code")?;
        let mut login = person.kubestile();
        login
            .args(["login", url, "--code", code, "--ca"])
            .arg(state.join("authority.pem"));
        text_of(&mut login)?;
        Ok(person)
    }

    /// Certificate and key as the credential plugin gives them.
    pub(super) fn identity(&self) -> Result<Identity> {
        let mut plugin = self.kubestile();
        plugin
            .arg("credential")
            .env("KUBERNETES_EXEC_INFO", EXEC_INFO);
        let answer: Value = serde_json::from_str(&text_of(&mut plugin)?)?;
        let text = |key: &str| {
            let found = answer
                .pointer(&format!("/status/{key}"))
                .and_then(Value::as_str);
            found
                .map(str::to_owned)
                .with_context(|| format!("no {key}"))
        };
        Ok(Identity {
            certificate: text("clientCertificateData")?,
            key: text("clientKeyData")?,
        })
    }

    /// Their kubeconfig, which holds no secret.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.home.join("kubeconfig")
    }

    /// Nothing of this machine's user is read or written.
    pub(super) fn at_home(&self, command: &mut Command) {
        command
            .env("HOME", &self.home)
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("XDG_CONFIG_HOME", self.home.join("config"))
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("KUBECACHEDIR", self.home.join("kubectl-cache"))
            .env("KUBECONFIG", self.kubeconfig());
    }

    fn kubestile(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.at_home(&mut command);
        command
    }
}

/// What a command prints; an error with what it said if it fails.
pub(super) fn text_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let what: Vec<_> = command
        .get_args()
        .take(2)
        .map(OsStr::to_string_lossy)
        .collect();
    ensure!(
        output.status.success(),
        "kubestile {} failed: {said}",
        what.join(" ")
    );
    Ok(String::from_utf8(output.stdout)?)
}

const EXEC_INFO: &str = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}"#;

const CONFIG: &str = "\
listen: 127.0.0.1:0
stateDirectory: DIR
clusters:
- name: bench
  kubeconfig: KUBECONFIG
limits:
  connectionsPerSource: 20000
  streamsPerPerson: 20000
  streamsPerCluster: 20000
";
