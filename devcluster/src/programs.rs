//! The programs: built from source once, then kept in the cache by what they are made of.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::digest;

use crate::error::{Error, IoContext as _};
use crate::kubernetes::Kubernetes;
use crate::layout;
use crate::progress::Progress;

/// Where the built programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    control_plane: PathBuf,
    node: Option<NodeBinaries>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct NodeBinaries {
    kubelet: PathBuf,
    containerd: PathBuf,
}

impl Binaries {
    /// The command line client of the same version.
    pub fn kubectl(&self) -> PathBuf {
        self.control_plane.join("kubectl")
    }

    pub(crate) fn control_plane(&self, program: &str) -> PathBuf {
        self.control_plane.join(program)
    }

    /// Kubelet and containerd with its helpers, if built for a node.
    pub(crate) fn node(&self, program: &str) -> Option<PathBuf> {
        let node = self.node.as_ref()?;
        Some(
            if program == "kubelet" {
                &node.kubelet
            } else {
                &node.containerd
            }
            .join(program),
        )
    }

    /// For PATH: containerd finds its shim there.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let node = self
            .node
            .iter()
            .flat_map(|node| [&node.kubelet, &node.containerd]);
        [&self.control_plane]
            .into_iter()
            .chain(node)
            .cloned()
            .collect()
    }
}

/// Builds what is not in the cache yet and says where everything is.
///
/// The first time takes minutes and fetches Go modules; later calls return at once.
/// Two callers at the same time do the work once.
///
/// # Errors
///
/// If Go is missing or too old, or a build fails.
pub fn ensure_built(
    kubernetes: Kubernetes,
    node: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Binaries, Error> {
    let control_plane = Component::control_plane(kubernetes).ensure(progress)?;
    let node = if node {
        let kubelet = Component::kubelet(kubernetes).ensure(progress)?;
        let containerd = Component::containerd().ensure(progress)?;
        Some(NodeBinaries {
            kubelet,
            containerd,
        })
    } else {
        None
    };
    Ok(Binaries {
        control_plane,
        node,
    })
}

/// The real helm: built if it is not in the cache yet. Most of it is what kubectl is made of, so that it takes
/// a minute once a Kubernetes was built.
///
/// # Errors
///
/// If Go is missing or too old, or the build fails.
pub fn helm(progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, Error> {
    Ok(Component::helm().ensure(progress)?.join("helm"))
}

/// A Go module of this crate, compiled in so that no checkout is needed at run time.
struct Module {
    go_mod: &'static str,
    go_sum: &'static str,
}

impl Module {
    const KUBERNETES_1_36: Self = Self {
        go_mod: include_str!("../kubernetes-1.36/go.mod"),
        go_sum: include_str!("../kubernetes-1.36/go.sum"),
    };
    const KUBERNETES_1_34: Self = Self {
        go_mod: include_str!("../kubernetes-1.34/go.mod"),
        go_sum: include_str!("../kubernetes-1.34/go.sum"),
    };
    const CONTAINERD: Self = Self {
        go_mod: include_str!("../containerd/go.mod"),
        go_sum: include_str!("../containerd/go.sum"),
    };
    const HELM: Self = Self {
        go_mod: include_str!("../helm/go.mod"),
        go_sum: include_str!("../helm/go.sum"),
    };

    fn of(kubernetes: Kubernetes) -> Self {
        match kubernetes {
            Kubernetes::V1_36 => Self::KUBERNETES_1_36,
            Kubernetes::V1_34 => Self::KUBERNETES_1_34,
        }
    }

    /// The version that go.mod requires of a module: `v1.36.3`.
    fn version_of(&self, path: &str) -> Option<&'static str> {
        self.go_mod.lines().find_map(|line| {
            let mut words = line
                .split_ascii_whitespace()
                .skip_while(|&word| word == "require");
            (words.next() == Some(path)).then(|| words.next()).flatten()
        })
    }

    /// Linker flags that make programs know their version: without them `/version`
    /// says v0.0.0 and kubectl warns of skew.
    fn version_flags(&self) -> String {
        const PACKAGES: [&str; 2] = [
            "k8s.io/component-base/version",
            "k8s.io/client-go/pkg/version",
        ];
        let version = self.version_of("k8s.io/kubernetes").unwrap_or("v0.0.0");
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
        PACKAGES
            .iter()
            .map(|package| {
                format!(
                    " -X {package}.gitVersion={version} -X {package}.gitMajor={major} \
                     -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean \
                     -X {package}.gitCommit="
                )
            })
            .collect()
    }
}

/// Programs that are built together and cached together.
struct Component {
    /// For directories and messages.
    label: String,
    module: Module,
    tags: &'static str,
    link: String,
    /// One `go build` each: the output below the directory, and the packages. A `/`
    /// at the end means that each program is named after its package.
    builds: &'static [(&'static str, &'static [&'static str])],
}

impl Component {
    fn control_plane(kubernetes: Kubernetes) -> Self {
        let builds: &[(&str, &[&str])] = &[
            (
                "./",
                &[
                    "k8s.io/kubernetes/cmd/kube-apiserver",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-scheduler",
                    "k8s.io/kubernetes/cmd/kubectl",
                ],
            ),
            // Its package is called `server`.
            ("etcd", &["go.etcd.io/etcd/server/v3"]),
        ];
        Self::of_kubernetes("control plane", kubernetes, builds)
    }

    fn kubelet(kubernetes: Kubernetes) -> Self {
        let builds: &[(&str, &[&str])] = &[("./", &["k8s.io/kubernetes/cmd/kubelet"])];
        Self::of_kubernetes("kubelet", kubernetes, builds)
    }

    fn of_kubernetes(
        what: &str,
        kubernetes: Kubernetes,
        builds: &'static [(&'static str, &'static [&'static str])],
    ) -> Self {
        let module = Module::of(kubernetes);
        let link = format!("-s -w{}", module.version_flags());
        Self {
            label: format!("{what} {kubernetes}"),
            module,
            tags: "",
            link,
            builds,
        }
    }

    fn containerd() -> Self {
        Self {
            label: "containerd".to_owned(),
            module: Module::CONTAINERD,
            // Snapshotters that need C libraries or that nobody asked for.
            tags: "no_btrfs,no_zfs,no_devmapper,no_aufs",
            link: "-s -w".to_owned(),
            builds: &[(
                "./",
                &[
                    "github.com/containerd/containerd/v2/cmd/containerd",
                    "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                    "github.com/containerd/containerd/v2/cmd/ctr",
                ],
            )],
        }
    }

    fn helm() -> Self {
        Self {
            label: "helm".to_owned(),
            module: Module::HELM,
            tags: "",
            link: "-s -w".to_owned(),
            builds: &[("./", &["helm.sh/helm/v3/cmd/helm"])],
        }
    }

    /// The directory with the programs, built if need be.
    fn ensure(&self, progress: &mut dyn FnMut(Progress)) -> Result<PathBuf, Error> {
        let cache = layout::builds()?;
        let done = cache.join(self.key());
        if done.is_dir() {
            return Ok(done);
        }
        fs::create_dir_all(&cache).on("create", &cache)?;
        let _lock = lock(&done.with_extension("lock"), || {
            progress(Progress::Waiting {
                what: format!("another build of {}", self.label),
            });
        })?;
        // The one who held the lock may have built it.
        if !done.is_dir() {
            self.build(&done, progress)?;
        }
        Ok(done)
    }

    /// Everything that goes into the programs, in a name.
    fn key(&self) -> String {
        let builds = format!("{:?}", self.builds);
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [
            self.module.go_mod,
            self.module.go_sum,
            self.tags,
            &self.link,
            &builds,
        ] {
            hash.update(&part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
        let short: String = hash
            .finish()
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{}-{short}", self.label.replace([' ', '.'], "-"))
    }

    /// Builds beside the final place and moves it there as a whole, so that a
    /// directory which is there is complete.
    fn build(&self, done: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        let partial = done.with_extension("partial");
        remove_all(&partial)?;
        let (source, programs) = (partial.join("module"), partial.join("programs"));
        for dir in [&source, &programs] {
            fs::create_dir_all(dir).on("create", dir)?;
        }
        for (file, text) in [
            ("go.mod", self.module.go_mod),
            ("go.sum", self.module.go_sum),
        ] {
            let path = source.join(file);
            fs::write(&path, text).on("write", &path)?;
        }
        check_go(&source)?;
        progress(Progress::step(format!(
            "building {} from source (minutes, the first time only)",
            self.label
        )));
        let mut packages_done = 0;
        for &(output, packages) in self.builds {
            self.go_build(
                &source,
                &programs.join(output),
                packages,
                &mut packages_done,
                progress,
            )?;
        }
        fs::rename(&programs, done).on("move to", done)?;
        remove_all(&partial)
    }

    fn go_build(
        &self,
        source: &Path,
        output: &Path,
        packages: &[&str],
        packages_done: &mut u32,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        const KEPT: usize = 30;
        let mut child = go(source)
            .args([
                "build",
                "-v",
                "-trimpath",
                "-buildvcs=false",
                "-tags",
                self.tags,
                "-ldflags",
            ])
            .arg(&self.link)
            .arg("-o")
            .arg(output)
            .args(packages)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|_| Error::GoMissing)?;
        // With -v, go prints each package as it has been compiled.
        let mut last_lines = VecDeque::with_capacity(KEPT);
        for line in child
            .stderr
            .take()
            .into_iter()
            .flat_map(|errors| BufReader::new(errors).lines())
        {
            let line = line.on("read the output of", Path::new("go"))?;
            if !line.contains(' ') {
                *packages_done += 1;
                let (component, packages) = (self.label.clone(), *packages_done);
                progress(Progress::Compiled {
                    component,
                    packages,
                });
            }
            if last_lines.len() == KEPT {
                last_lines.pop_front();
            }
            last_lines.push_back(line);
        }
        let status = child.wait().on("wait for", Path::new("go"))?;
        if status.success() {
            return Ok(());
        }
        let output = Vec::from(last_lines).join("\n");
        Err(Error::Build {
            component: self.label.clone(),
            output,
        })
    }
}

fn go(dir: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .env("CGO_ENABLED", "0")
        // What the user has set for own work must not get into this build.
        .env("GOWORK", "off")
        .env_remove("GOFLAGS");
    command
}

/// Asks in the module's directory, where Go compares itself with the module's version.
fn check_go(module: &Path) -> Result<(), Error> {
    let output = match go(module).arg("version").output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::GoMissing),
        Err(error) => return Err(error).on("run", Path::new("go")),
    };
    if output.status.success() {
        return Ok(());
    }
    Err(Error::GoUnfit {
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Takes a lock among processes, calling `wait` if another has it. The lock is free
/// again when the file is dropped, however its owner ends. The owner may remove the
/// file: whoever waited for it then starts over with a new one.
pub(crate) fn lock(path: &Path, mut wait: impl FnMut()) -> Result<File, Error> {
    loop {
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .on("open", path)?;
        if file.try_lock().is_err() {
            wait();
            file.lock().on("lock", path)?;
        }
        let held = file.metadata().on("read", path)?;
        let current = fs::metadata(path);
        if current.is_ok_and(|current| (current.dev(), current.ino()) == (held.dev(), held.ino())) {
            return Ok(file);
        }
    }
}

fn remove_all(dir: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).on("remove", dir),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_mod_is_the_only_place_of_a_version() {
        for kubernetes in Kubernetes::ALL {
            let module = Module::of(kubernetes);
            let version = module.version_of("k8s.io/kubernetes").unwrap();
            assert!(version.starts_with(&format!("v{kubernetes}.")), "{version}");
            assert!(
                module
                    .version_flags()
                    .contains(&format!("gitVersion={version} "))
            );
        }
        assert!(
            Module::CONTAINERD
                .version_of("github.com/containerd/containerd/v2")
                .is_some()
        );
    }

    #[test]
    fn every_staging_module_is_replaced_by_the_same_version() {
        for kubernetes in Kubernetes::ALL {
            let module = Module::of(kubernetes);
            let version = module.version_of("k8s.io/kubernetes").unwrap();
            let staging = version.replacen("v1", "v0", 1);
            let replaced: Vec<_> = module
                .go_mod
                .lines()
                .filter_map(|line| line.split_once(" => "))
                .collect();
            assert!(replaced.len() >= 31, "{kubernetes}");
            for (from, to) in replaced {
                assert_eq!(to, format!("{} {staging}", from.trim()));
            }
        }
    }

    #[test]
    fn what_goes_in_is_in_the_key() {
        let component = Component::containerd();
        let other = Component {
            tags: "",
            ..Component::containerd()
        };
        assert_ne!(component.key(), other.key());
        assert_eq!(component.key(), Component::containerd().key());
    }

    #[test]
    fn a_second_caller_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path, || panic!("nobody has it")).unwrap();
        let waited_for = path.clone();
        let (told, hears) = std::sync::mpsc::channel();
        let second =
            std::thread::spawn(move || lock(&waited_for, || told.send(()).unwrap()).is_ok());
        hears.recv().unwrap();
        fs::remove_file(&path).unwrap();
        drop(first);
        assert!(second.join().unwrap());
        assert!(path.exists(), "a removed lock protects nobody");
    }
}
