//! Files that are ours alone: private directories, whole-file replacement, locks between processes,
//! and where the XDG base directory specification puts things.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::exit::{During as _, Fail, Kind, Outcome};

/// The largest file that is read whole (a kubeconfig, a configuration), in bytes.
const READ_LIMIT: u64 = 8 * 1024 * 1024;

/// Where the server keeps its state: `$XDG_STATE_HOME/kubestile`, or `~/.local/state/kubestile`.
pub(crate) fn default_state_dir() -> Outcome<PathBuf> {
    base("XDG_STATE_HOME", &[".local", "state"])
}

/// Where logins are kept: `$XDG_CONFIG_HOME/kubestile`, or `~/.config/kubestile`.
pub(crate) fn default_config_dir() -> Outcome<PathBuf> {
    base("XDG_CONFIG_HOME", &[".config"])
}

/// `$HOME`, or what the system says.
pub(crate) fn home() -> Outcome<PathBuf> {
    std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| Fail::failure("your home directory is unknown").hint("set HOME"))
}

/// The specification says that a relative path in such a variable is to be ignored.
fn base(variable: &str, below_home: &[&str]) -> Outcome<PathBuf> {
    let set = std::env::var_os(variable).map(PathBuf::from);
    let mut dir = match set.filter(|dir| dir.is_absolute()) {
        Some(dir) => dir,
        None => below_home.iter().fold(home()?, |dir, part| dir.join(part)),
    };
    dir.push("kubestile");
    Ok(dir)
}

/// Makes a directory with mode 0700, and refuses one that others own or have things in.
pub(crate) fn private_dir(dir: &Path) -> Outcome {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .during_with(|| format!("cannot make the directory `{}`", dir.display()))?;
    let meta = fs::metadata(dir).during_with(|| format!("cannot look at `{}`", dir.display()))?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Fail::failure(format!(
            "`{}` belongs to somebody else, and secrets would be kept in it",
            dir.display()
        ))
        .hint("name another directory, or run as its owner"));
    }
    if meta.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    // Only what is certainly ours is changed: `--dir /tmp` must not close /tmp to everybody.
    let empty = fs::read_dir(dir)?.next().is_none();
    if !empty {
        return Err(Fail::failure(format!(
            "`{}` can be entered by others, and secrets would be kept in it",
            dir.display()
        ))
        .hint(format!(
            "name another directory, or: chmod 700 {}",
            dir.display()
        )));
    }
    fs::set_permissions(dir, Permissions::from_mode(0o700))
        .during_with(|| format!("cannot close `{}` to others", dir.display()))
}

/// Replaces a file as a whole with mode 0600, durably: a reader sees the old content or the new one,
/// and so does whoever comes after a crash.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Outcome {
    replace_with_mode(path, content, 0o600)
}

/// As [`replace`], with another mode.
pub(crate) fn replace_with_mode(path: &Path, content: &[u8], mode: u32) -> Outcome {
    let cannot = || format!("cannot write `{}`", path.display());
    // A link is followed, so that a kubeconfig that is one stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let dir = target.parent().filter(|d| !d.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let partial = dir.join(format!(".{name}.{}", random_hex(8)?));
    let written = write_new(&partial, content, mode)
        .and_then(|()| fs::rename(&partial, &target))
        .and_then(|()| File::open(dir)?.sync_all());
    if written.is_err() {
        // The first error is the one to tell of.
        let _gone = fs::remove_file(&partial);
    }
    written.during_with(cannot)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The process's umask may have taken bits away; it never adds any.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Reads a file of bounded size; `None` if there is none.
pub(crate) fn read(path: &Path) -> Outcome<Option<String>> {
    let cannot = || format!("cannot read `{}`", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).during_with(cannot),
    };
    let mut text = String::new();
    let mut bounded = file.take(READ_LIMIT + 1);
    bounded.read_to_string(&mut text).during_with(cannot)?;
    if text.len() as u64 > READ_LIMIT {
        return Err(Fail::config(format!(
            "`{}` is larger than {} MiB",
            path.display(),
            READ_LIMIT / 1024 / 1024
        )));
    }
    Ok(Some(text))
}

/// As [`read`], for a file that must be there.
pub(crate) fn read_existing(path: &Path) -> Outcome<String> {
    read(path)?.ok_or_else(|| Fail::config(format!("there is no file `{}`", path.display())))
}

/// A lock between processes, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until the lock of `path` is ours, at most `patience`.
    pub(crate) fn wait(path: &Path, patience: Duration) -> Outcome<Self> {
        let deadline = Instant::now() + patience;
        let file = open_lock(path)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(fs::TryLockError::WouldBlock) => return Err(held(path)),
                Err(fs::TryLockError::Error(error)) => {
                    return Err(error).during_with(|| format!("cannot lock `{}`", path.display()));
                }
            }
        }
    }

    /// Takes the lock at once or not at all.
    #[cfg(test)]
    pub(crate) fn at_once(path: &Path) -> Outcome<Self> {
        Self::wait(path, Duration::ZERO)
    }
}

fn open_lock(path: &Path) -> Outcome<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .during_with(|| format!("cannot open the lock `{}`", path.display()))
}

fn held(path: &Path) -> Fail {
    Fail::new(
        Kind::Unavailable,
        format!("another process holds the lock `{}`", path.display()),
    )
}

/// Random bytes from the system, in hex.
pub(crate) fn random_hex(bytes: usize) -> Outcome<String> {
    let mut random = vec![0u8; bytes];
    getrandom::fill(&mut random).map_err(|_| Fail::failure("the system gives no randomness"))?;
    Ok(random.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_files_are_private_and_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        let link = dir.path().join("link");
        replace(&real, b"one").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&real).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "nothing is left behind"
        );
    }

    #[test]
    fn an_empty_directory_is_closed_and_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        private_dir(&open).unwrap();
        assert_eq!(
            fs::metadata(&open).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::at_once(&path).unwrap();
        assert_eq!(
            Lock::at_once(&path).unwrap_err().of_kind(),
            Kind::Unavailable
        );
        drop(first);
        Lock::at_once(&path).unwrap();
    }
}
