//! Credentials in files. They are read each time they are used, so that rotating one is replacing the
//! file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use kubestile_core::Secret;
use zeroize::Zeroizing;

/// No credential is longer, in bytes.
const LIMIT: u64 = 64 * 1024;

/// Reads one secret: the file's text without the white space around it.
///
/// # Errors
/// [`FileError`] when the file cannot be read, is empty, is larger than 64 KiB, is not UTF-8, or has
/// a control character inside (which would break a header).
pub fn secret(path: &Path) -> Result<Secret<String>, FileError> {
    let text = text(path)?;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(FileError::unusable(path, "it is empty"));
    }
    if trimmed.chars().any(char::is_control) {
        return Err(FileError::unusable(
            path,
            "it holds more than one line or a control character",
        ));
    }
    Ok(Secret::new(trimmed.to_owned()))
}

/// Reads secrets, one a line, so that an old and a new one hold at the same time while they are
/// rotated. Empty lines are left out; at most four.
///
/// # Errors
/// As [`secret`], and when there are more than four.
pub fn secrets(path: &Path) -> Result<Vec<Secret<String>>, FileError> {
    let text = text(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let secrets: Vec<Secret<String>> = lines
        .take(SECRETS + 1)
        .map(|line| Secret::new(line.to_owned()))
        .collect();
    match secrets.len() {
        0 => Err(FileError::unusable(path, "it is empty")),
        1..=SECRETS => Ok(secrets),
        _ => Err(FileError::unusable(path, "it holds more than four secrets")),
    }
}

/// As many secrets of one purpose hold at the same time.
const SECRETS: usize = 4;

/// Reads a file of certificates in PEM, at most 1 MiB.
///
/// # Errors
/// [`FileError`] when it cannot be read or is larger.
pub(crate) fn certificates(path: &Path) -> Result<Vec<u8>, FileError> {
    bytes(path, 1 << 20).map(|bytes| bytes.to_vec())
}

fn text(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let bytes = bytes(path, LIMIT)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| FileError::unusable(path, "it is not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn bytes(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let read = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(read)?;
    // A pipe or a device could block or never end.
    if !file.metadata().map_err(read)?.is_file() {
        return Err(FileError::unusable(path, "it is not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    let size = file.take(limit + 1).read_to_end(&mut bytes).map_err(read)?;
    if size as u64 > limit {
        return Err(FileError::unusable(path, "it is too large"));
    }
    Ok(bytes)
}

/// Why a credential file cannot be used. What is in it is never part of the error.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the file `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in it cannot be used.
    #[error("the file `{path}` cannot be used: {reason}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why, in words.
        reason: &'static str,
    },
}

impl FileError {
    fn unusable(path: &Path, reason: &'static str) -> Self {
        Self::Unusable {
            path: path.to_owned(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_secret_is_the_text_without_white_space_around_it() {
        let kept = file(b"  hunter2\r\n");
        assert_eq!(secret(kept.path()).unwrap().expose(), "hunter2");
        std::fs::write(kept.path(), "hunter3").unwrap();
        assert_eq!(secret(kept.path()).unwrap().expose(), "hunter3", "rotated");
    }

    #[test]
    fn what_is_no_secret_is_refused_without_repeating_it() {
        let huge = vec![b'a'; 70_000];
        for content in [
            &b""[..],
            b" \n",
            b"hunter2\nX-Evil: 1",
            b"\xffhunter2",
            &huge,
        ] {
            let kept = file(content);
            let error = secret(kept.path()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(secret(Path::new("/dev/zero")).is_err());
        assert!(secret(Path::new("/nonexistent")).is_err());
    }

    #[test]
    fn several_secrets_hold_while_one_is_rotated() {
        let kept = file(b"old\n\n new \n");
        let secrets = secrets(kept.path()).unwrap();
        let texts: Vec<&str> = secrets.iter().map(|s| s.expose().as_str()).collect();
        assert_eq!(texts, ["old", "new"]);
        assert!(super::secrets(file(b"1\n2\n3\n4\n5").path()).is_err());
        assert!(super::secrets(file(b"\n").path()).is_err());
    }
}
