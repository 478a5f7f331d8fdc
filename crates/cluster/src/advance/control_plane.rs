//! Changes of the API server's own files on this machine: its manifest and configuration files of the
//! plan's own. They are written with what was there kept, the API server is seen to come back with
//! them, and else they are taken back.

use std::future::Future;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use kubestile_assess::plan::diff;
use kubestile_assess::plan::manifest::{self, ManifestError};
use kubestile_assess::snapshot::{Distribution, Source};
use kubestile_assess::verdict::Change;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Call;
use crate::collect::{flags, uses_file};
use crate::upstream::Upstream;

/// How long an API server may take to come back; the kubelet looks every 20 s.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// No manifest is larger.
const LIMIT: u64 = 4 << 20;

/// Why the control plane's files were not changed, or were taken back.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// There is no manifest.
    #[error("`{0}` has no manifests/kube-apiserver.yaml that can be read")]
    NoManifest(String),
    /// The directory is a copy.
    #[error("`{0}` is a copy of the control plane's files: change them on its own machine")]
    Copy(String),
    /// The manifest's form is not known.
    #[error("the manifest is not changed")]
    Manifest(#[from] ManifestError),
    /// A file is not below the directory.
    #[error("`{0}` is not a file of the plan's own")]
    Elsewhere(String),
    /// A file cannot be written.
    #[error("`{path}` cannot be written")]
    Write {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not as it was when the change was planned.
    #[error("`{0}` has changed meanwhile: plan again")]
    Changed(String),
    /// The restart failed.
    #[error("the API server was not restarted: {0}")]
    Restart(String),
    /// It did not come back with the change; it was taken back.
    #[error("the API server did not come back within {seconds} s with the change: {last}; {after}")]
    NotBack {
        /// How long it was waited for.
        seconds: u64,
        /// What was seen last.
        last: String,
        /// What became of the change.
        after: &'static str,
    },
}

/// What starts the API server anew; nothing where the kubelet does it.
pub type Restart<'a> =
    &'a (dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync);

/// The control plane's files on this machine.
#[derive(Debug, Clone)]
pub struct Plane {
    dir: PathBuf,
    manifest: PathBuf,
}

/// Files as they are and as they are to be; the manifest is the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The files, in the order in which they are written.
    pub files: Vec<FileEdit>,
    /// Flags that the API server must show when it is back, `None` for one that it must not.
    pub flags: Vec<(String, Option<String>)>,
}

/// A file as it is and as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEdit {
    /// Its path.
    pub path: PathBuf,
    /// Its content now; none if it is not there.
    pub before: Option<String>,
    /// Its content to be; none if it goes.
    pub after: Option<String>,
}

impl Plane {
    /// The directory with `manifests/kube-apiserver.yaml`.
    ///
    /// # Errors
    /// [`PlaneError::NoManifest`].
    pub fn open(dir: &Path) -> Result<Self, PlaneError> {
        let none = || PlaneError::NoManifest(dir.display().to_string());
        let dir = std::fs::canonicalize(dir).map_err(|_| none())?;
        let manifest = dir.join("manifests/kube-apiserver.yaml");
        match manifest.is_file() {
            true => Ok(Self { dir, manifest }),
            false => Err(none()),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What changes would make of the files. Nothing is written.
    ///
    /// # Errors
    /// [`PlaneError`].
    pub fn edit(&self, changes: &[Change]) -> Result<Edit, PlaneError> {
        let before = read(&self.manifest)?
            .ok_or_else(|| PlaneError::NoManifest(self.dir.display().to_string()))?;
        let mut text = before.clone();
        let mut files = Vec::new();
        let mut flags = Vec::new();
        for change in changes {
            match change {
                Change::Flag { name, value } => {
                    text = manifest::set_flag(&text, name, value.as_deref())?;
                    if name == "audit-log-path"
                        && let Some(value) = value
                    {
                        text = self.mounted(&text, Path::new(value))?;
                    }
                    flags.push((name.clone(), value.clone()));
                }
                Change::File {
                    flag,
                    path,
                    content,
                } => {
                    files.push(self.file(path, content)?);
                    text = self.mounted(&text, Path::new(path))?;
                    text = manifest::set_flag(&text, flag, Some(path))?;
                    flags.push((flag.clone(), Some(path.clone())));
                }
                _ => {}
            }
        }
        files.push(FileEdit {
            path: self.manifest.clone(),
            before: Some(before),
            after: Some(text),
        });
        Ok(Edit { files, flags })
    }

    /// Makes an edit and waits until the API server is seen to run with it. Gives what takes it back.
    ///
    /// # Errors
    /// [`PlaneError`]; the files are then as before, and so is the API server, unless the error says that
    /// it did not come back either.
    pub async fn make(
        &self,
        upstream: &Upstream,
        edit: &Edit,
        restart: Option<Restart<'_>>,
    ) -> Result<Edit, PlaneError> {
        for file in &edit.files {
            let own = file.path.starts_with(self.dir.join("kubestile"))
                && !file.path.components().any(|c| c == Component::ParentDir);
            if !own && file.path != self.manifest {
                return Err(PlaneError::Copy(self.dir.display().to_string()));
            }
            if read(&file.path)? != file.before {
                return Err(PlaneError::Changed(file.path.display().to_string()));
            }
        }
        make(upstream, edit, restart).await
    }

    fn mounted(&self, text: &str, path: &Path) -> Result<String, PlaneError> {
        let own = path.parent().filter(|p| p.ends_with("kubestile"));
        let (true, Some(dir)) = (manifest::is_container(text), own.and_then(Path::to_str)) else {
            return Ok(text.to_owned());
        };
        Ok(manifest::mount(text, "kubestile", dir)?)
    }

    /// A file of the plan's own: in `kubestile/` below the directory, and nowhere else.
    fn file(&self, path: &str, content: &Value) -> Result<FileEdit, PlaneError> {
        let elsewhere = || PlaneError::Elsewhere(path.to_owned());
        let place = Path::new(path);
        let own = self.dir.join("kubestile");
        if place.components().any(|c| c == Component::ParentDir) {
            return Err(elsewhere());
        }
        // Of a copy the files are shown as on their own machine; they are never written.
        if !place.starts_with(&own) && !place.starts_with("/etc/kubernetes/kubestile") {
            return Err(elsewhere());
        }
        let text =
            serde_saphyr::to_string(&crate::account::sorted(content)).map_err(|_| elsewhere())?;
        Ok(FileEdit {
            path: place.to_owned(),
            before: read(place)?,
            after: Some(text),
        })
    }
}

impl Edit {
    /// As unified diffs.
    pub fn diff(&self) -> String {
        let one = |f: &FileEdit| {
            let path = f.path.display().to_string();
            diff::unified(&path, f.before.as_deref(), f.after.as_deref())
        };
        self.files.iter().map(one).collect()
    }

    /// Whether every file is as it was before.
    pub fn is_undone(&self) -> bool {
        let same = |f: &FileEdit| read(&f.path).is_ok_and(|now| now == f.before);
        self.files.iter().all(same)
    }

    /// What takes it back. `flags` are those that the API server had before.
    #[must_use]
    pub fn reverse(&self, flags: Vec<(String, Option<String>)>) -> Self {
        let swap = |f: &FileEdit| FileEdit {
            path: f.path.clone(),
            before: f.after.clone(),
            after: f.before.clone(),
        };
        let mut files: Vec<FileEdit> = self.files.iter().rev().map(swap).collect();
        // The flag goes before the file that it names.
        files.sort_by_key(|f| f.after.is_none());
        Self { files, flags }
    }
}

async fn make(
    upstream: &Upstream,
    edit: &Edit,
    restart: Option<Restart<'_>>,
) -> Result<Edit, PlaneError> {
    let was = before(upstream, edit).await;
    let back = edit.reverse(was);
    let result = match write_all(edit) {
        Ok(()) => come_back(upstream, edit, restart).await,
        Err(error) => Err(error),
    };
    let Err(error) = result else {
        return Ok(back);
    };
    write_all(&back)?;
    let again = come_back(upstream, &back, restart).await;
    Err(match error {
        PlaneError::NotBack { seconds, last, .. } => PlaneError::NotBack {
            seconds,
            last,
            after: match again {
                Ok(()) => "it was taken back, and the API server runs as before",
                Err(_) => "it was taken back, but the API server does not run: look at its log",
            },
        },
        error => error,
    })
}

/// The flags that an edit touches, as they are.
async fn before(upstream: &Upstream, edit: &Edit) -> Vec<(String, Option<String>)> {
    let server = flags(upstream, Distribution::Kubeadm).await;
    let value = |name: &str| {
        server
            .known()
            .and_then(|s| s.value(name))
            .map(str::to_owned)
    };
    edit.flags
        .iter()
        .map(|(name, _)| (name.clone(), value(name)))
        .collect()
}

async fn come_back(
    upstream: &Upstream,
    edit: &Edit,
    restart: Option<Restart<'_>>,
) -> Result<(), PlaneError> {
    if let Some(restart) = restart {
        restart().await.map_err(PlaneError::Restart)?;
    }
    let mut waited = Duration::ZERO;
    loop {
        let last = match seen(upstream, edit).await {
            Ok(()) => return Ok(()),
            Err(last) => last,
        };
        if waited >= PATIENCE {
            return Err(PlaneError::NotBack {
                seconds: PATIENCE.as_secs(),
                last,
                after: "it is being taken back",
            });
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

/// Whether the API server is alive, shows the flags, and has proved to use the files.
async fn seen(upstream: &Upstream, edit: &Edit) -> Result<(), String> {
    let alive = upstream.call(&Call::get("/readyz")).await;
    match alive {
        Ok(answer) if answer.status.is_success() => {}
        Ok(answer) => return Err(format!("/readyz says {}", answer.status)),
        Err(error) => return Err(crate::error::chain(&error)),
    }
    let Source::Known(server) = flags(upstream, Distribution::Kubeadm).await else {
        return Err("its command line cannot be seen".to_owned());
    };
    for (name, value) in &edit.flags {
        if server.value(name) != value.as_deref() {
            return Err(format!("--{name} is not as it was set"));
        }
    }
    for file in &edit.files {
        let names = edit.flags.iter().find(|(name, value)| {
            name == "authentication-config" && value.as_deref() == file.path.to_str()
        });
        if let (Some((name, _)), Some(text)) = (names, &file.after)
            && uses_file(upstream, name, text).await == Some(false)
        {
            return Err(format!(
                "it has not proved to use `{}`",
                file.path.display()
            ));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<String>, PlaneError> {
    use std::io::Read as _;
    let failed = |source| PlaneError::Write {
        path: path.display().to_string(),
        source,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

fn write_all(edit: &Edit) -> Result<(), PlaneError> {
    for file in &edit.files {
        write(file).map_err(|source| PlaneError::Write {
            path: file.path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

/// Whole or not at all. The kubelet passes over names that begin with a dot.
fn write(file: &FileEdit) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let Some(text) = &file.after else {
        return match std::fs::remove_file(&file.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
    };
    let (Some(dir), Some(name)) = (file.path.parent(), file.path.file_name()) else {
        return Err(std::io::Error::other("it is no file"));
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    let partial = dir.join(format!(".{}.kubestile", name.to_string_lossy()));
    let _left_over = std::fs::remove_file(&partial);
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    if let Ok(there) = std::fs::metadata(&file.path) {
        out.set_permissions(there.permissions())?;
    }
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&partial, &file.path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MANIFEST: &str = "\
spec:
  containers:
  - command:
    - kube-apiserver
    - --secure-port=6443
    image: x
    volumeMounts:
    - mountPath: /x
      name: x
  volumes:
  - hostPath:
      path: /x
    name: x
";

    fn plane() -> (tempfile::TempDir, Plane) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("manifests")).unwrap();
        std::fs::write(dir.path().join("manifests/kube-apiserver.yaml"), MANIFEST).unwrap();
        let plane = Plane::open(dir.path()).unwrap();
        (dir, plane)
    }

    fn file(path: &Path) -> Change {
        Change::File {
            flag: "audit-policy-file".to_owned(),
            path: path.to_str().unwrap().to_owned(),
            content: json!({ "kind": "Policy", "rules": [{ "level": "Metadata" }] }),
        }
    }

    #[test]
    fn an_edit_is_written_and_taken_back_whole() {
        let (_dir, plane) = plane();
        let path = plane.dir.join("kubestile/audit-policy.yaml");
        let edit = plane.edit(&[file(&path)]).unwrap();
        let text = edit.diff();
        assert!(
            text.contains("+++ b/") && text.contains("+    - --audit-policy-file="),
            "{text}"
        );
        assert!(text.contains("mountPath"), "{text}");
        assert!(edit.is_undone());
        write_all(&edit).unwrap();
        assert!(!edit.is_undone());
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains("level: Metadata")
        );
        write_all(&edit.reverse(Vec::new())).unwrap();
        assert!(edit.is_undone());
        assert!(!path.exists());
        assert_eq!(std::fs::read_to_string(&plane.manifest).unwrap(), MANIFEST);
    }

    #[test]
    fn no_file_of_somebody_else_is_written() {
        let (dir, plane) = plane();
        for path in [
            dir.path().join("other.yaml"),
            dir.path().join("kubestile/../pki/ca.crt"),
            PathBuf::from("/etc/passwd"),
        ] {
            assert!(plane.edit(&[file(&path)]).is_err(), "{path:?}");
        }
        assert!(
            plane
                .edit(&[file(Path::new("/etc/kubernetes/kubestile/a.yaml"))])
                .is_ok()
        );
    }
}
