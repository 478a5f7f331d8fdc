//! The keys in the state directory: made on the first start, never replaced.

use std::path::Path;

use kubestile_authn::Authority;
use kubestile_core::Secret;
use kubestile_store::audit::{LogKey, LogKeyError};

use crate::clock::now;
use crate::exit::{During as _, Fail, Outcome};
use crate::files;

/// The authority's certificate: what clients trust. It may be handed out.
pub(crate) const AUTHORITY: &str = "authority.pem";
/// The authority's key.
const AUTHORITY_KEY: &str = "authority.key";

/// The authority of a state directory.
pub(super) fn authority(dir: &Path) -> Outcome<Authority> {
    let (certificate, key) = (dir.join(AUTHORITY), dir.join(AUTHORITY_KEY));
    match (files::read(&certificate)?, files::read(&key)?) {
        (Some(pem), Some(key_pem)) => {
            check_private(&key)?;
            Authority::load(&pem, &Secret::new(key_pem)).during("the gate's authority")
        }
        (None, None) => create(&certificate, &key),
        // A lost half must not be made anew silently: every client would be cut off.
        (Some(_), None) => Err(lost(&key)),
        (None, Some(_)) => Err(lost(&certificate)),
    }
}

fn create(certificate: &Path, key: &Path) -> Outcome<Authority> {
    let authority = Authority::create(now())?;
    files::replace(key, authority.key_pem().expose().as_bytes())?;
    // Last: with it, the pair is complete.
    files::replace_with_mode(certificate, authority.pem().as_bytes(), 0o644)?;
    Ok(authority)
}

fn lost(path: &Path) -> Fail {
    Fail::config(format!(
        "half of the gate's authority is gone: `{}`",
        path.display()
    ))
    .hint("bring it back from a backup")
    .hint("or remove the other half too: a new authority is made, and everybody logs in again")
}

fn check_private(path: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(Fail::config(format!(
        "the key `{path}` can be read by others than its owner"
    ))
    .hint(format!(
        "chmod 600 {path}; and consider whether it was copied"
    )))
}

/// The log's key, with its public half beside the log too: a copy of the log's directory can then be
/// checked for being whole. Its origin names the log for ever, so it has a part that is random.
pub(super) fn log_key(dir: &Path, host: &str) -> Outcome<LogKey> {
    let key = load_log_key(dir, host)?;
    let log = dir.join(super::AUDIT);
    files::private_dir(&log)?;
    let public = log.join("log.vkey");
    if !public.exists() {
        files::replace_with_mode(&public, format!("{}\n", key.vkey()).as_bytes(), 0o644)?;
    }
    Ok(key)
}

fn load_log_key(dir: &Path, host: &str) -> Outcome<LogKey> {
    match LogKey::load(dir) {
        Ok(key) => Ok(key),
        Err(LogKeyError::Missing { .. }) => {
            // A key that is gone while its log is there would start a second log in the same place.
            if dir.join(super::AUDIT).join("checkpoint").exists() {
                return Err(Fail::config(format!(
                    "the log's key is gone from `{}`",
                    dir.display()
                ))
                .hint("bring `log.key` back from a backup")
                .hint("or move the directory `audit` away: a new log with a new key is begun"));
            }
            let mut seed = [0u8; 32];
            getrandom::fill(&mut seed)
                .map_err(|_| Fail::failure("the system gives no randomness"))?;
            let origin = format!(
                "{}/kubestile/{}",
                host.replace(':', "-"),
                files::random_hex(4)?
            );
            Ok(LogKey::create(dir, &origin, &seed)?)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_a_lost_half_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let first = authority(dir.path()).unwrap().fingerprint();
        assert_eq!(authority(dir.path()).unwrap().fingerprint(), first);
        let origin = log_key(dir.path(), "127.0.0.1")
            .unwrap()
            .origin()
            .to_owned();
        assert!(origin.starts_with("127.0.0.1/kubestile/"), "{origin}");
        assert_eq!(log_key(dir.path(), "other").unwrap().origin(), origin);
        std::fs::remove_file(dir.path().join(AUTHORITY_KEY)).unwrap();
        assert!(
            authority(dir.path())
                .unwrap_err()
                .message()
                .contains("half")
        );
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        authority(dir.path()).unwrap();
        let key = dir.path().join(AUTHORITY_KEY);
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            authority(dir.path())
                .unwrap_err()
                .message()
                .contains("read by others")
        );
    }
}
