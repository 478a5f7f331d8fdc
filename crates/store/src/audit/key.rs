//! The log's name and signing key, and the two files they live in.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubestile_tlog::checkpoint::TrustError;
use kubestile_tlog::key::KeyError;
use kubestile_tlog::{KeyName, Signer, Trust};
use zeroize::Zeroizing;

use crate::lock::make_private_dir;

/// The private key, as Go's `sumdb/note` writes it.
const PRIVATE: &str = "log.key";
/// The public key: a C2SP `vkey`, to be given to auditors.
const PUBLIC: &str = "log.vkey";

/// The key that signs checkpoints. The log's origin is the key's name.
#[derive(Clone)]
pub struct LogKey {
    signer: Arc<Signer>,
    trust: Arc<Trust>,
}

impl LogKey {
    /// Makes a key from 32 random bytes and keeps it in `dir`: `log.key` (0600), `log.vkey` (0644).
    ///
    /// The origin is a URL without its scheme, `gate.example.com/audit`; it names this log for ever.
    ///
    /// # Errors
    /// [`LogKeyError::Exists`] if there is one already; it is never overwritten.
    pub fn create(dir: &Path, origin: &str, seed: &[u8; 32]) -> Result<Self, LogKeyError> {
        let key = Self::new(Signer::from_seed(KeyName::parse(origin)?, seed)?)?;
        make_private_dir(dir).map_err(LogKeyError::io("make", dir))?;
        let text = Zeroizing::new(format!("{}\n", *key.signer.expose_private_key()));
        write_new(&dir.join(PRIVATE), text.as_bytes(), 0o600)?;
        key.write_public(dir)?;
        Ok(key)
    }

    /// Reads the key that [`LogKey::create`] wrote.
    ///
    /// # Errors
    /// [`LogKeyError::Missing`]; [`LogKeyError::Exposed`] if others than its owner can read it.
    pub fn load(dir: &Path) -> Result<Self, LogKeyError> {
        let path = dir.join(PRIVATE);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => LogKeyError::Missing { path: path.clone() },
            _ => LogKeyError::io("open", &path)(source),
        })?;
        let metadata = file.metadata().map_err(LogKeyError::io("read", &path))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(LogKeyError::Exposed { path });
        }
        let mut text = Zeroizing::new(String::with_capacity(1024));
        file.take(1024)
            .read_to_string(&mut text)
            .map_err(LogKeyError::io("read", &path))?;
        let key = Self::new(Signer::parse(text.trim_end_matches('\n'))?)?;
        key.check_public(dir)?;
        Ok(key)
    }

    /// The log's origin: what its checkpoints begin with.
    pub fn origin(&self) -> &str {
        self.signer.verifier().name().as_str()
    }

    /// The public key as auditors are given it: `<origin>+<key id>+<base64>`.
    pub fn vkey(&self) -> String {
        self.signer.verifier().to_string()
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    fn new(signer: Signer) -> Result<Self, LogKeyError> {
        let trust = Trust::new(signer.verifier().clone())?;
        Ok(Self {
            signer: Arc::new(signer),
            trust: Arc::new(trust),
        })
    }

    /// The public key beside it must be its own: auditors are given that one.
    fn check_public(&self, dir: &Path) -> Result<(), LogKeyError> {
        let path = dir.join(PUBLIC);
        match std::fs::read(&path) {
            Ok(text) if text.trim_ascii() == self.vkey().as_bytes() => Ok(()),
            Ok(_) => Err(LogKeyError::Mismatch { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.write_public(dir),
            Err(error) => Err(LogKeyError::io("read", &path)(error)),
        }
    }

    fn write_public(&self, dir: &Path) -> Result<(), LogKeyError> {
        let text = format!("{}\n", self.vkey());
        write_new(&dir.join(PUBLIC), text.as_bytes(), 0o644)
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.vkey())
    }
}

/// Writes a file that is not there yet, whole or not at all, and sees it onto the disk.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), LogKeyError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut temp = path.as_os_str().to_owned();
    temp.push(".new");
    let temp = PathBuf::from(temp);
    match std::fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LogKeyError::io("remove", &temp)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temp)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(LogKeyError::io("write", &temp))?;
    // A link, unlike a rename, never takes the place of a file that is there.
    let linked = std::fs::hard_link(&temp, path);
    let removed = std::fs::remove_file(&temp);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(LogKeyError::Exists {
                path: path.to_owned(),
            });
        }
        linked => linked.map_err(LogKeyError::io("create", path))?,
    }
    removed.map_err(LogKeyError::io("remove", &temp))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(LogKeyError::io("sync", dir))
}

/// A log key that cannot be made or read. It never repeats the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogKeyError {
    /// There is no key.
    #[error("there is no log key at `{}`", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("`{}` is there already and is never overwritten", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Others can read it.
    #[error(
        "the log key `{path}` can be read by others than its owner: run `chmod 600 {path}`, and \
         consider whether it was copied",
        path = path.display()
    )]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The public key file holds another key.
    #[error(
        "`{}` is not the public key of `log.key`: put back the right one of the two; if `log.key` is \
         the right one, delete the other and it is written again",
        path.display()
    )]
    Mismatch {
        /// The public key file.
        path: PathBuf,
    },
    /// The text is no key, or the origin no name.
    #[error("the log key or its origin is malformed")]
    Malformed(#[from] KeyError),
    /// The key is of another type.
    #[error(transparent)]
    Type(#[from] TrustError),
    /// The operating system refused.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// `create`, `read`, …
        what: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LogKeyError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ORIGIN: &str = "gate.example.com/audit";

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_kept_in_two_files_and_read_back() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("keys");
        assert!(matches!(
            LogKey::load(&dir),
            Err(LogKeyError::Missing { .. })
        ));
        let key = LogKey::create(&dir, ORIGIN, &[3; 32]).unwrap();
        assert_eq!(key.origin(), ORIGIN);
        let files = fs::read_dir(&dir).unwrap().count();
        assert_eq!(files, 2, "nothing is left on the way");
        assert_eq!(mode(&dir.join(PRIVATE)), 0o600);
        assert_eq!(mode(&dir.join(PUBLIC)), 0o644);
        let public = fs::read_to_string(dir.join(PUBLIC)).unwrap();
        assert_eq!(public, format!("{}\n", key.vkey()));
        assert_eq!(LogKey::load(&dir).unwrap().vkey(), key.vkey());
        // A public key that is gone comes back.
        fs::remove_file(dir.join(PUBLIC)).unwrap();
        LogKey::load(&dir).unwrap();
        assert!(dir.join(PUBLIC).exists());
    }

    #[test]
    fn a_key_is_never_overwritten_nor_shown() {
        let dir = tempfile::tempdir().unwrap();
        let key = LogKey::create(dir.path(), ORIGIN, &[3; 32]).unwrap();
        let again = LogKey::create(dir.path(), ORIGIN, &[4; 32]);
        assert!(matches!(again, Err(LogKeyError::Exists { .. })));
        assert_eq!(LogKey::load(dir.path()).unwrap().vkey(), key.vkey());
        let private = fs::read_to_string(dir.path().join(PRIVATE)).unwrap();
        let secret = private.trim_end().rsplit('+').next().unwrap();
        assert!(!format!("{key:?}").contains(secret));
    }

    #[test]
    fn keys_that_are_exposed_torn_or_mixed_up_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        LogKey::create(dir.path(), ORIGIN, &[3; 32]).unwrap();
        let path = dir.path().join(PRIVATE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = LogKey::load(dir.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

        let other = tempfile::tempdir().unwrap();
        LogKey::create(other.path(), ORIGIN, &[4; 32]).unwrap();
        fs::copy(other.path().join(PUBLIC), dir.path().join(PUBLIC)).unwrap();
        let error = LogKey::load(dir.path()).unwrap_err();
        assert!(matches!(error, LogKeyError::Mismatch { .. }), "{error}");

        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let error = LogKey::load(dir.path()).unwrap_err();
        assert!(matches!(error, LogKeyError::Malformed(_)), "{error}");
        let name = LogKey::create(&dir.path().join("new"), "two words", &[3; 32]);
        assert!(matches!(name, Err(LogKeyError::Malformed(_))));
    }
}
