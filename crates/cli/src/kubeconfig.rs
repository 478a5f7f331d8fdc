//! Editing a kubeconfig: only our own entries are touched, all else is kept as it was, and the file is
//! replaced as a whole under the lock that kubectl itself uses.

mod document;
#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::exit::{During as _, Fail, Kind, Outcome};
use crate::files;

pub(crate) use document::{Document, Entry, Plugin};

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file that kubectl writes new entries to: the first of `$KUBECONFIG`, or `~/.kube/config`.
pub(crate) fn path() -> Outcome<PathBuf> {
    let set = std::env::var_os("KUBECONFIG");
    let first = set
        .as_deref()
        .and_then(|list| std::env::split_paths(list).find(|path| !path.as_os_str().is_empty()));
    match first {
        Some(path) => Ok(path),
        None => Ok(files::home()?.join(".kube").join("config")),
    }
}

/// All the files that kubectl would merge, in order.
pub(crate) fn paths() -> Outcome<Vec<PathBuf>> {
    let set = std::env::var_os("KUBECONFIG");
    let listed: Vec<PathBuf> = set
        .as_deref()
        .map(|list| {
            std::env::split_paths(list)
                .filter(|p| !p.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default();
    if listed.is_empty() {
        return Ok(vec![path()?]);
    }
    Ok(listed)
}

/// The current context as kubectl would see it, if there is one.
pub(crate) fn current_context() -> Outcome<Option<String>> {
    for path in paths()? {
        let Some(text) = files::read(&path)? else {
            continue;
        };
        let document = Document::parse(&text).map_err(|e| wrong(&path, &e))?;
        if let Some(context) = document.current_context() {
            return Ok(Some(context.to_owned()));
        }
    }
    Ok(None)
}

/// The directory of the login that a context uses, if the context leads through a gate.
pub(crate) fn login_directory(context: &str) -> Outcome<Option<PathBuf>> {
    for path in paths()? {
        let Some(text) = files::read(&path)? else {
            continue;
        };
        let document = Document::parse(&text).map_err(|e| wrong(&path, &e))?;
        if let Some(dir) = document.login_of(context) {
            return Ok(Some(PathBuf::from(dir)));
        }
    }
    Ok(None)
}

/// Changes the kubeconfig at `path` with `edit`; writes nothing when nothing changes.
pub(crate) fn edit<T>(path: &Path, edit: impl FnOnce(&mut Document) -> T) -> Outcome<T> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(dir).during_with(|| format!("cannot make `{}`", dir.display()))?;
    }
    let _lock = FileLock::take(path)?;
    let before = files::read(path)?;
    let text = before.as_deref().unwrap_or_default();
    let mut document = Document::parse(text).map_err(|e| wrong(path, &e))?;
    let untouched = document.clone();
    let result = edit(&mut document);
    if document == untouched {
        return Ok(result);
    }
    if before.is_some() && !untouched.has_ours() {
        back_up(path, text)?;
    }
    let mode = fs::metadata(path).map_or(0o600, |meta| {
        use std::os::unix::fs::PermissionsExt as _;
        // No wider than it was, and never open to others: other users of it may hold secrets.
        meta.permissions().mode() & 0o700 | 0o600
    });
    files::replace_with_mode(path, document.text()?.as_bytes(), mode)?;
    Ok(result)
}

fn wrong(path: &Path, error: &str) -> Fail {
    Fail::config(format!("`{}` is not a kubeconfig: {error}", path.display()))
        .hint("nothing was changed; mend the file, or set KUBECONFIG to another one")
}

/// Keeps the file as it was before we first touched it; an older such copy stays.
fn back_up(path: &Path, text: &str) -> Outcome {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".before-kubestile");
    let copy = path.with_file_name(name);
    if copy.exists() {
        return Ok(());
    }
    files::replace(&copy, text.as_bytes())
}

/// kubectl's own lock (`clientcmd/config.go`, `lockFile`): `<file>.lock`, made exclusively.
struct FileLock(PathBuf);

impl FileLock {
    fn take(path: &Path) -> Outcome<Self> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".lock");
        let lock = path.with_file_name(name);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if Instant::now() >= deadline {
                        return Err(stale(&lock));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    return Err(error).during_with(|| format!("cannot lock `{}`", path.display()));
                }
            }
        }
    }
}

fn stale(lock: &Path) -> Fail {
    Fail::new(
        Kind::Unavailable,
        format!(
            "another process is changing the kubeconfig: `{}` exists",
            lock.display()
        ),
    )
    .hint(format!(
        "if no kubectl runs, remove it: rm {}",
        lock.display()
    ))
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A lock that cannot be removed is reported by whoever meets it next.
        let _left = fs::remove_file(&self.0);
    }
}
