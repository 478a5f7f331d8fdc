//! Where certificates and credentials come from, and how to read them again.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use kubestile_core::secret::Secret;
use kubestile_core::time::{Timestamp, Ttl};
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::error::CredentialError;
use crate::exec::{Exec, Given};
use crate::tls::{Material, Trust};

/// Files are read again after this time. client-go reads token files each minute.
const REREAD: Ttl = Ttl::from_secs(60);
/// No token, certificate or key is larger.
const FILE_LIMIT: u64 = 1 << 20;
/// A moment that never comes.
pub(crate) const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

/// PEM from the kubeconfig itself or from a file that may change.
pub(crate) enum Pem {
    /// Decoded from the kubeconfig.
    Inline(Zeroizing<Vec<u8>>),
    /// Read again and again.
    File(PathBuf),
}

/// Whom to trust.
pub(crate) enum Authority {
    /// Those that the operating system trusts.
    System,
    /// Anybody.
    Anybody,
    /// Certificate authorities.
    Pem(Pem),
}

/// Who we are.
pub(crate) enum Identity {
    /// A token that stands in the kubeconfig.
    Token(Secret<String>),
    /// A user name and password.
    Basic {
        user: String,
        password: Secret<String>,
    },
    /// A token in a file that its owner renews.
    TokenFile(PathBuf),
    /// A client certificate.
    Certificate { chain: Pem, key: Pem },
    /// A program that is asked.
    Exec(Box<Exec>),
}

/// What makes a [`Loaded`].
pub(crate) struct Source {
    pub(crate) authority: Authority,
    pub(crate) identity: Identity,
}

/// What was read at one time.
pub(crate) struct Loaded {
    pub(crate) material: Material,
    pub(crate) header: Option<HeaderValue>,
    /// From here on it should be read anew.
    pub(crate) fresh_until: Timestamp,
    /// From here on it must not be used.
    pub(crate) usable_until: Timestamp,
}

impl Source {
    /// Reads everything.
    ///
    /// # Errors
    /// [`CredentialError`] for files, certificates or a plugin that cannot be used.
    pub(crate) async fn load(&self, now: Timestamp) -> Result<Loaded, CredentialError> {
        let mut loaded = Loaded {
            material: Material {
                trust: self.authority.load().await?,
                client: None,
            },
            header: None,
            fresh_until: self.reread(now),
            usable_until: NEVER,
        };
        match &self.identity {
            Identity::Token(token) => loaded.header = Some(bearer(token.expose())?),
            Identity::Basic { user, password } => loaded.header = Some(basic(user, password)?),
            Identity::TokenFile(path) => {
                let token = Zeroizing::new(read(path).await?);
                let text = std::str::from_utf8(&token).map_err(|_| unusable(path, "no text"))?;
                if text.trim().is_empty() {
                    return Err(unusable(path, "it is empty"));
                }
                loaded.header = Some(bearer(text.trim())?);
            }
            Identity::Certificate { chain, key } => {
                let chain = chain.load().await?.to_vec();
                loaded.material.client = Some((chain, key.load().await?));
            }
            Identity::Exec(exec) => apply(&mut loaded, exec.run().await?, now)?,
        }
        Ok(loaded)
    }

    /// When files should be looked at again; never, if there is none.
    fn reread(&self, now: Timestamp) -> Timestamp {
        let identity = match &self.identity {
            Identity::TokenFile(_) => true,
            Identity::Certificate { chain, key } => chain.is_file() || key.is_file(),
            // A plugin is not a file: asking it every minute would be more than kubectl does.
            Identity::Exec(_) => return NEVER,
            Identity::Token(_) | Identity::Basic { .. } => false,
        };
        if identity || matches!(&self.authority, Authority::Pem(pem) if pem.is_file()) {
            now.plus(REREAD)
        } else {
            NEVER
        }
    }
}

/// Puts what a plugin gave into `loaded`.
fn apply(loaded: &mut Loaded, given: Given, now: Timestamp) -> Result<(), CredentialError> {
    /// A plugin may give what it gave before until the very end: do not ask it on every request.
    const AGAIN: Ttl = Ttl::from_secs(10);
    loaded.header = given.token.map(|t| bearer(t.expose())).transpose()?;
    loaded.material.client = given.certificate;
    if let Some(expires) = given.expires {
        let early = Timestamp::from_micros(expires.as_micros().saturating_sub(REREAD.as_micros()));
        loaded.fresh_until = early.max(now.plus(AGAIN));
        loaded.usable_until = expires;
    }
    Ok(())
}

impl Authority {
    async fn load(&self) -> Result<Trust, CredentialError> {
        Ok(match self {
            Self::System => Trust::System,
            Self::Anybody => Trust::Anybody,
            Self::Pem(pem) => Trust::Pem(pem.load().await?.to_vec()),
        })
    }
}

impl Pem {
    async fn load(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        match self {
            Self::Inline(pem) => Ok(pem.clone()),
            Self::File(path) => Ok(Zeroizing::new(read(path).await?)),
        }
    }

    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, CredentialError> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|e| unusable(path, e))?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(FILE_LIMIT + 1);
    bounded
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| unusable(path, e))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(unusable(path, "it is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn unusable(path: &Path, reason: impl ToString) -> CredentialError {
    CredentialError::File {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// `Bearer TOKEN`, marked so that it is not printed.
///
/// # Errors
/// [`CredentialError::Material`] if the token has characters that a header cannot carry.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, CredentialError> {
    sensitive(&Zeroizing::new(format!("Bearer {token}")))
}

fn basic(user: &str, password: &Secret<String>) -> Result<HeaderValue, CredentialError> {
    let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    sensitive(&Zeroizing::new(format!("Basic {}", encoded.as_str())))
}

fn sensitive(text: &str) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| CredentialError::Material {
        what: "token",
        reason: "it has characters that a header cannot carry".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
