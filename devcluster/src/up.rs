//! Starting a cluster: write, start, wait, in this order.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use time::OffsetDateTime;

use crate::cluster::{self, Cluster, Health};
use crate::config::{self, Ports};
use crate::down;
use crate::error::{Error, IoContext as _};
use crate::kubectl::Kubectl;
use crate::kubernetes::Kubernetes;
use crate::layout::{self, Layout};
use crate::machine::{self, NodeParts};
use crate::manifest;
use crate::name::Name;
use crate::network::{self, PodNetwork};
use crate::node;
use crate::pki::{self, write_secret};
use crate::process::{self, Launch};
use crate::programs::{self, Binaries, ensure_built};
use crate::progress::Progress;
use crate::state::State;
use crate::traces;
use crate::wait::Wait;

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Under which name to find it again.
    pub name: Name,
    /// Which line.
    pub kubernetes: Kubernetes,
    /// With a kubelet and containerd, so that pods run. Needs root.
    pub node: bool,
    /// More flags for the API server, as `--name=value`; they win over the usual ones.
    pub api_server_flags: Vec<String>,
}

impl Options {
    /// The newest line with a node.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            kubernetes: Kubernetes::default(),
            node: true,
            api_server_flags: Vec::new(),
        }
    }
}

/// Starts a cluster and returns when it is ready for use: the API server answers, the
/// default service account exists and the node is Ready.
///
/// A cluster that already runs with the same options is returned as it is; the rest
/// of one that does not run any more is cleared away first. A start that fails leaves
/// nothing behind.
///
/// # Errors
///
/// If something is missing on the machine, a program ends early or is not ready in
/// time (the end of its log is in the message), or a cluster of that name runs with
/// other options.
pub fn up(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Cluster, Error> {
    let layout = Layout::of(&options.name)?;
    let parts = if options.node {
        layout.check_length()?;
        Some(NodeParts::find()?)
    } else {
        None
    };
    let binaries = ensure_built(options.kubernetes, options.node, progress)?;

    let clusters = layout::clusters()?;
    create_private(&clusters)?;
    let _lock = programs::lock(layout.lock(), || {
        progress(Progress::Waiting {
            what: format!("another use of `{}`", options.name),
        });
    })?;
    if let Some(running) = existing(options, &layout)? {
        return Ok(running);
    }
    down::take_down(&options.name, &layout, progress)?;
    let result = start(options, &layout, &binaries, parts.as_ref(), progress);
    if result.is_err() && !layout.dir().exists() {
        let _stays = fs::remove_file(layout.lock());
    }
    result
}

/// A healthy cluster of that name, if its settings are the wanted ones.
fn existing(options: &Options, layout: &Layout) -> Result<Option<Cluster>, Error> {
    let Some(state) = State::read(layout)? else {
        return Ok(None);
    };
    if Health::of(&state) != Health::Ready {
        return Ok(None);
    }
    let same = state.kubernetes == options.kubernetes
        && state.node == options.node
        && state.api_server_flags == options.api_server_flags;
    if same {
        return Ok(Some(Cluster::new(layout, state)));
    }
    Err(Error::Differs {
        name: state.name.clone(),
        settings: state.settings(),
    })
}

/// Tries again with other ports where another program was faster to take one.
fn start(
    options: &Options,
    layout: &Layout,
    binaries: &Binaries,
    parts: Option<&NodeParts>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Cluster, Error> {
    let mut attempts = 3;
    loop {
        attempts -= 1;
        let result = Startup::prepare(options, layout, binaries, parts)
            .and_then(|startup| startup.run(progress));
        let error = match result {
            Ok(cluster) => return Ok(cluster),
            Err(error) => error,
        };
        // The first failure is the one to report.
        let _second = down::take_down(&options.name, layout, progress);
        let port_taken =
            matches!(&error, Error::Ended { log, .. } if log.contains("address already in use"));
        if !port_taken || attempts == 0 {
            return Err(error);
        }
        progress(Progress::step("a port was taken, trying again with others"));
    }
}

/// A start under way.
pub(crate) struct Startup<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) binaries: &'a Binaries,
    pub(crate) parts: Option<&'a NodeParts>,
    pub(crate) state: State,
    pub(crate) kubectl: Kubectl,
    search_path: OsString,
    ports: Ports,
}

impl<'a> Startup<'a> {
    /// Writes everything that the programs will read.
    fn prepare(
        options: &Options,
        layout: &'a Layout,
        binaries: &'a Binaries,
        parts: Option<&'a NodeParts>,
    ) -> Result<Self, Error> {
        let [api_server, etcd, etcd_peer] =
            network::free_ports().on("bind", Path::new("127.0.0.1"))?;
        let ports = Ports {
            api_server,
            etcd,
            etcd_peer,
        };
        for dir in ["log", "pki", "config", "manifests", "cni", "images", "etcd"] {
            create_private(&layout.dir().join(dir))?;
        }
        let state = claim(options, layout, binaries, ports)?;
        pki::write(layout, &options.name.node(), OffsetDateTime::now_utc())?;
        write_kubeconfigs(layout, &ports.server(), &options.name)?;
        let policy = layout.config("audit-policy.json");
        write_secret(&policy, &config::audit_policy().to_string())?;
        let kubectl = Kubectl::new(binaries.kubectl(), layout);
        let search_path = machine::search_path(&state.programs);
        Ok(Self {
            layout,
            binaries,
            parts,
            state,
            kubectl,
            search_path,
            ports,
        })
    }

    fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Cluster, Error> {
        progress(Progress::step("starting etcd and the API server"));
        let layout = self.layout;
        self.launch("etcd", config::etcd_flags(layout, self.ports))?;
        let flags = config::api_server_flags(layout, self.ports, &self.state.api_server_flags);
        manifest::write(layout, &flags)?;
        self.launch("kube-apiserver", flags)?;
        if let Some(parts) = self.parts {
            node::start_containerd(&mut self, parts)?;
        }
        self.wait("answer from the API server", "kube-apiserver", |kubectl| {
            kubectl.run(&["get", "--raw=/readyz"]).map(|_| true)
        })?;

        progress(Progress::step(
            "starting the controller manager and the scheduler",
        ));
        self.launch(
            "kube-controller-manager",
            config::controller_manager_flags(layout),
        )?;
        self.launch("kube-scheduler", config::scheduler_flags(layout))?;
        if self.parts.is_some() {
            progress(Progress::step("starting the node"));
            node::start_kubelet(&mut self)?;
        }
        self.wait(
            "default service account",
            "kube-controller-manager",
            |kubectl| {
                kubectl
                    .run(&["get", "serviceaccount", "default"])
                    .map(|_| true)
            },
        )?;
        self.state.ready = true;
        self.state.write(layout)?;
        Ok(Cluster::new(layout, self.state))
    }

    /// Starts a program and writes it down at once, so that `down` knows of it
    /// whatever happens next.
    pub(crate) fn launch(&mut self, program: &str, args: Vec<OsString>) -> Result<(), Error> {
        let path = self
            .binaries
            .node(program)
            .filter(|path| path.is_file())
            .unwrap_or_else(|| self.binaries.control_plane(program));
        let process = process::start(Launch {
            program,
            path: &path,
            args,
            search_path: &self.search_path,
            dir: self.layout.dir(),
            log: &self.layout.log(program),
        })?;
        self.state.processes.push(process);
        self.state.write(self.layout)
    }

    /// Waits until `check` says yes while everything started so far keeps running.
    pub(crate) fn wait(
        &self,
        what: &str,
        program: &str,
        mut check: impl FnMut(&Kubectl) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let wait = Wait {
            layout: self.layout,
            processes: &self.state.processes,
            what,
            program,
        };
        wait.until(|| check(&self.kubectl))
    }
}

/// Writes the first state, and with it takes a pod network that no other has.
fn claim(
    options: &Options,
    layout: &Layout,
    binaries: &Binaries,
    ports: Ports,
) -> Result<State, Error> {
    // Held while choosing and writing: two starts must not choose the same.
    let _lock = programs::lock(&layout::shared_lock()?, || {})?;
    let others = cluster::states()?;
    let (pods, settings_before) = if options.node {
        let taken: Vec<_> = others.iter().filter_map(|state| state.pods).collect();
        (
            Some(PodNetwork::choose(&options.name, &taken)?),
            traces::settings_before(&others),
        )
    } else {
        (None, Vec::new())
    };
    let state = State {
        name: options.name.clone(),
        kubernetes: options.kubernetes,
        node: options.node,
        api_server_flags: options.api_server_flags.clone(),
        server: ports.server(),
        pods,
        settings_before,
        programs: binaries.directories(),
        ready: false,
        processes: Vec::new(),
    };
    state.write(layout)?;
    Ok(state)
}

fn write_kubeconfigs(layout: &Layout, server: &str, name: &Name) -> Result<(), Error> {
    let read = |file: &str| {
        let path = layout.pki(file);
        fs::read_to_string(&path).on("read", &path)
    };
    let ca = read("ca.crt")?;
    let context = config::machine_wide_name(name);
    for user in ["admin", "controller-manager", "scheduler", "kubelet"] {
        let (cert, key) = (read(&format!("{user}.crt"))?, read(&format!("{user}.key"))?);
        let content = config::kubeconfig(server, &ca, &cert, &key, &context).to_string();
        let path = match user {
            "admin" => layout.kubeconfig(),
            program => layout.config(&format!("{program}.kubeconfig")),
        };
        write_secret(&path, &content)?;
    }
    Ok(())
}

/// Keys lie below: nobody else is let in.
fn create_private(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .on("create", dir)
}

/// How long a program may take to end by itself.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
