//! What a login leaves on this machine: one private directory per gate, with the session, the key that
//! was made here, and the certificate that is renewed while the session lasts.

use std::path::{Path, PathBuf};

use kubestile_authn::ClientPair;
use kubestile_core::{Secret, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::client::{Door, GateUrl, Trust};
use crate::exit::{Fail, Outcome};
use crate::{files, kubeconfig};

/// Below the configuration directory.
const GATES: &str = "gates";
/// In a login's directory: what does not change while the session lasts.
const LOGIN: &str = "login.json";
/// In a login's directory: the private key, PKCS #8 PEM.
const KEY: &str = "key.pem";
/// In a login's directory: the certificate of the moment.
const CERTIFICATE: &str = "certificate.json";
/// In a login's directory: held while the certificate is renewed.
const LOCK: &str = "lock";

/// One login.
#[derive(Debug)]
pub(crate) struct Login {
    dir: PathBuf,
    record: Record,
}

/// The content of `login.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    /// The gate.
    pub(crate) url: String,
    /// The gate's authority, PEM: all that is trusted.
    pub(crate) authority: String,
    /// The session.
    pub(crate) session: SessionId,
    /// The person.
    pub(crate) person: String,
    /// When the session ends by itself.
    pub(crate) expires: Timestamp,
    /// What context names start with.
    pub(crate) context_prefix: String,
    /// The kubeconfig that the contexts were written to.
    pub(crate) kubeconfig: PathBuf,
}

/// The content of `certificate.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Certificate {
    /// The certificate, PEM.
    pub(crate) pem: String,
    /// When it was received, by this machine's clock.
    pub(crate) received: Timestamp,
    /// Until when it holds.
    pub(crate) not_after: Timestamp,
    /// Until when the session does.
    pub(crate) session_expires: Timestamp,
}

impl Certificate {
    /// Whether it holds at `now`. One from the future means that the clock was set back.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        now < self.not_after && now < self.session_expires
    }

    /// Whether at least a quarter of its time is left, so that it need not be renewed yet. A session's
    /// last certificate is not renewed: it would not get a longer one.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        let lifetime = self.not_after.since(self.received).as_micros();
        let left = self.not_after.since(now).as_micros();
        let last = self.not_after >= self.session_expires;
        self.holds(now) && now >= self.received && (last || left >= lifetime / 4)
    }
}

impl Login {
    /// Where the login of a gate is kept.
    pub(crate) fn directory(url: &GateUrl) -> Outcome<PathBuf> {
        Ok(files::default_config_dir()?.join(GATES).join(url.id()))
    }

    /// Writes down a new login in place of an older one of the same gate.
    pub(crate) fn create(
        dir: PathBuf,
        record: Record,
        key: &Secret<String>,
        certificate: &Certificate,
    ) -> Outcome<Self> {
        files::private_dir(&dir)?;
        let _lock = files::Lock::wait(&dir.join(LOCK), std::time::Duration::from_secs(10))?;
        files::replace(&dir.join(KEY), key.expose().as_bytes())?;
        files::replace(&dir.join(LOGIN), &serde_json::to_vec_pretty(&record)?)?;
        let login = Self { dir, record };
        login.keep(certificate)?;
        Ok(login)
    }

    /// Reads a login.
    pub(crate) fn open(dir: &Path) -> Outcome<Self> {
        let Some(text) = files::read(&dir.join(LOGIN))? else {
            return Err(Fail::failure("you are not logged in")
                .hint("run `kubestile login URL`, with what `kubestile up` or your administrator gave you"));
        };
        let record = serde_json::from_str(&text).map_err(|error| {
            Fail::failure(format!(
                "`{}` is damaged: {error}",
                dir.join(LOGIN).display()
            ))
            .hint("run `kubestile login` again")
        })?;
        Ok(Self {
            dir: dir.to_path_buf(),
            record,
        })
    }

    /// The login that is meant: that of `url`, of the current kubeconfig context, or the only one.
    pub(crate) fn find(url: Option<&GateUrl>) -> Outcome<Self> {
        if let Some(url) = url {
            return Self::open(&Self::directory(url)?);
        }
        if let Some(dir) = of_current_context()? {
            return Self::open(&dir);
        }
        let all = Self::all()?;
        match all.as_slice() {
            [only] => Self::open(only),
            [] => Err(Fail::failure("you are not logged in")
                .hint("run `kubestile login URL`, with what `kubestile up` or your administrator gave you")),
            several => {
                let mut fail = Fail::usage("you are logged in at several gates, and the current context is of none");
                for dir in several {
                    if let Ok(login) = Self::open(dir) {
                        fail = fail.hint(format!("--gate {}", login.record.url));
                    }
                }
                Err(fail)
            }
        }
    }

    /// The directories of all logins.
    pub(crate) fn all() -> Outcome<Vec<PathBuf>> {
        let gates = files::default_config_dir()?.join(GATES);
        let Ok(entries) = std::fs::read_dir(&gates) else {
            return Ok(Vec::new());
        };
        let mut all: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|dir| dir.join(LOGIN).is_file())
            .collect();
        all.sort();
        Ok(all)
    }

    /// Where it is kept.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What does not change.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The gate.
    pub(crate) fn url(&self) -> Outcome<GateUrl> {
        Ok(self.record.url.parse::<GateUrl>()?)
    }

    /// The kubeconfig user of this login.
    pub(crate) fn user(&self) -> Outcome<String> {
        Ok(user(&self.url()?))
    }

    /// The lock that is held while the certificate is renewed.
    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join(LOCK)
    }

    /// The certificate of the moment, if there is one.
    pub(crate) fn certificate(&self) -> Outcome<Option<Certificate>> {
        certificate(&self.dir)
    }

    /// Keeps a new certificate.
    pub(crate) fn keep(&self, certificate: &Certificate) -> Outcome {
        files::replace(
            &self.dir.join(CERTIFICATE),
            &serde_json::to_vec(certificate)?,
        )
    }

    /// The private key.
    pub(crate) fn key(&self) -> Outcome<Secret<String>> {
        key(&self.dir)
    }

    /// The gate's public door, with the certificate of the moment if `shown`.
    pub(crate) fn door(&self, shown: Option<&Certificate>) -> Outcome<Door> {
        let key = self.key()?;
        let identity = shown.map(|c| ClientPair {
            certificate: &c.pem,
            key: &key,
        });
        Door::public(
            &self.url()?,
            &Trust::Authority(self.record.authority.clone()),
            identity,
        )
    }

    /// Forgets the login: key, certificate and all.
    pub(crate) fn forget(self) -> Outcome {
        for name in [KEY, CERTIFICATE, LOGIN, LOCK] {
            match std::fs::remove_file(self.dir.join(name)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Something else in it is not ours to remove.
        let _kept = std::fs::remove_dir(&self.dir);
        Ok(())
    }
}

/// The kubeconfig user of a gate.
pub(crate) fn user(url: &GateUrl) -> String {
    format!("kubestile-{}", url.id())
}

/// The certificate in a login's directory, if there is one.
pub(crate) fn certificate(dir: &Path) -> Outcome<Option<Certificate>> {
    let Some(text) = files::read(&dir.join(CERTIFICATE))? else {
        return Ok(None);
    };
    // A damaged one is as good as none: it is renewed.
    Ok(serde_json::from_str(&text).ok())
}

/// The private key in a login's directory.
pub(crate) fn key(dir: &Path) -> Outcome<Secret<String>> {
    match files::read(&dir.join(KEY))? {
        Some(key) => Ok(Secret::new(key)),
        None => {
            Err(Fail::failure("the key of this login is gone").hint("run `kubestile login` again"))
        }
    }
}

/// The login that the current kubeconfig context uses, if that is ours.
fn of_current_context() -> Outcome<Option<PathBuf>> {
    match kubeconfig::current_context()? {
        Some(context) => kubeconfig::login_directory(&context),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn certificate(not_after: i64, session: i64) -> Certificate {
        Certificate {
            pem: "PEM".to_owned(),
            received: at(1000),
            not_after: at(not_after),
            session_expires: at(session),
        }
    }

    #[test]
    fn a_certificate_is_renewed_in_its_last_quarter() {
        let hour = certificate(1000 + 3600, 1000 + 8 * 3600);
        assert!(hour.is_fresh(at(1000)) && hour.is_fresh(at(1000 + 2700)));
        assert!(!hour.is_fresh(at(1000 + 2701)) && hour.holds(at(1000 + 2701)));
        assert!(!hour.holds(at(1000 + 3600)));
        assert!(!hour.is_fresh(at(999)), "a clock that went back renews");
    }

    #[test]
    fn the_last_one_of_a_session_is_used_to_its_end() {
        let last = certificate(1000 + 600, 1000 + 600);
        assert!(last.is_fresh(at(1000 + 599)));
        assert!(!last.is_fresh(at(1000 + 600)));
    }

    #[test]
    fn a_login_is_private_and_can_be_forgotten() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let gate = dir.path().join("gates").join("g_1");
        let record = Record {
            url: "https://127.0.0.1:1".to_owned(),
            authority: "PEM".to_owned(),
            session: "018f3f5e-7c1a-7000-8000-000000000001".parse().unwrap(),
            person: "ana".to_owned(),
            expires: at(5),
            context_prefix: "kubestile-".to_owned(),
            kubeconfig: "/k".into(),
        };
        let key = Secret::new("KEY".to_owned());
        Login::create(gate.clone(), record.clone(), &key, &certificate(1, 2)).unwrap();
        for entry in std::fs::read_dir(&gate).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
        }
        let login = Login::open(&gate).unwrap();
        assert_eq!(login.record(), &record);
        assert_eq!(login.certificate().unwrap(), Some(certificate(1, 2)));
        login.forget().unwrap();
        assert!(!gate.exists());
        assert!(Login::open(&gate).unwrap_err().hints()[0].contains("kubestile login"));
    }
}
