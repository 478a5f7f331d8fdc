//! The running gate: builds every part from a [`Config`], wires them together, and stops them in
//! order.

mod certificate;
mod clusters;
mod control;
mod keys;
mod logging;
mod reload;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;

use kubestile_authn::Authority;
use kubestile_control::{AdminSocket, ControlState, Outside, admin_router, serve_admin};
use kubestile_core::Ttl;
use kubestile_core::event::{Event, Record};
use kubestile_gateway::{Gate, Listener, accept, health};
use kubestile_store::Store;
use kubestile_store::audit::AuditLog;
use tokio::net::TcpListener;

use crate::client::GateUrl;
use crate::clock::now;
use crate::config::Config;
use crate::exit::{During as _, Fail, Kind, Outcome};
use crate::files;

pub(crate) use clusters::ClusterStatus;
pub(crate) use control::Process;
pub(crate) use logging::start as start_logging;

/// The administrator's socket, in the state directory.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";
/// The log, in the state directory.
pub(crate) const AUDIT: &str = "audit";

/// Runs a server's task to its end on all cores.
pub(crate) fn block_on<T>(task: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(task)
}

/// As many open files as the system allows us: a watch is two connections, and the usual soft limit of
/// 1024 is for programs that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

/// A gate whose every part stands, and whose sockets are bound, but which does not serve yet.
pub(crate) struct Server {
    gate: Arc<Gate>,
    state: ControlState,
    authority: Arc<Authority>,
    certificate: certificate::Renewing,
    clusters: Arc<clusters::Clusters>,
    policies: Arc<reload::Policies>,
    listener: Listener,
    health: Option<TcpListener>,
    admin: AdminSocket,
    url: GateUrl,
    signals: signals::Signals,
}

impl Server {
    /// Builds all of it. The first start of a state directory makes the keys.
    pub(crate) async fn build(config: &Config) -> Outcome<Self> {
        files::private_dir(&config.state_dir)?;
        // The store comes first: it holds the directory's lock.
        let store = open_store(config).await?;
        let authority = Arc::new(keys::authority(&config.state_dir)?);
        let tcp = bind(config.listen).await?;
        let address = tcp.local_addr()?;
        let url = certificate::url(config, address)?;
        let log_key = keys::log_key(&config.state_dir, url.host())?;
        let audit = AuditLog::open(&config.state_dir.join(AUDIT), log_key).during("the log")?;
        let files = config.policies.clone();
        let sources = files.policies()?;
        let set = crate::policies::load(&sources)?;
        let gate = Gate::new(
            store.clone(),
            audit.clone(),
            set,
            kubestile_gateway::Settings {
                public_url: url.to_string(),
                ..config.settings.clone()
            },
            Arc::new(now),
        );
        let policies = Arc::new(reload::Policies::new(gate.clone(), files, sources));
        let clusters = clusters::Clusters::new(gate.clone(), config);
        let certificate = certificate::Renewing::new(authority.clone(), config, &url, address)?;
        let tls =
            kubestile_authn::server_tls(&authority, certificate.keys(), config.tls, Arc::new(now))?;
        let health = match config.health {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let state = ControlState {
            store,
            audit,
            authority: authority.clone(),
            clock: Arc::new(now),
            settings: settings(config, &url),
            cluster_changed: clusters.hook(),
            policies: {
                let gate = gate.clone();
                Arc::new(move || gate.policies.load_full())
            },
            outside: Arc::new(Outside::new(config.outside.clone())?),
            status: control::status(clusters.clone(), policies.clone(), address),
        };
        let admin = admin_socket(config)?;
        Ok(Self {
            // Before anybody is told that it serves: a signal without its handler ends the process.
            signals: signals::Signals::new()?,
            gate,
            state,
            authority,
            certificate,
            clusters,
            policies,
            listener: Listener { tcp, tls },
            health,
            admin,
            url,
        })
    }

    /// Where people reach it.
    pub(crate) fn url(&self) -> &GateUrl {
        &self.url
    }

    /// Its people and clusters.
    pub(crate) fn store(&self) -> &Store {
        &self.state.store
    }

    /// Where probes reach it.
    pub(crate) fn health(&self) -> Option<SocketAddr> {
        self.health.as_ref().and_then(|l| l.local_addr().ok())
    }

    /// Cancelled, it stops the gate as a signal would.
    pub(crate) fn stopper(&self) -> tokio_util::sync::CancellationToken {
        self.gate.draining.clone()
    }

    /// Serves until a signal, drains, and closes the log.
    pub(crate) async fn run(self) -> Outcome {
        let Self {
            gate,
            state,
            certificate,
            clusters,
            policies,
            listener,
            health,
            admin,
            signals,
            ..
        } = self;
        record_start(&gate, &state, &self.authority).await?;
        let mut beside = tokio::task::JoinSet::new();
        clusters.start();
        beside.spawn(certificate.keep());
        beside.spawn(policies.clone().watch());
        beside.spawn(kubestile_control::keep(state.clone()));
        if let Some(listener) = health {
            beside.spawn(health::serve(gate.clone(), listener));
        }
        let closing = gate.closing.clone();
        let administered = tokio::spawn(serve_admin(
            admin,
            admin_router(state.clone()),
            async move {
                closing.cancelled().await;
            },
        ));
        beside.spawn(signals.obey(gate.clone(), policies, clusters.clone()));
        accept::serve(gate.clone(), listener, control::plane(state.clone())).await;
        clusters.stop();
        beside.shutdown().await;
        administered.await?.during("the admin socket")?;
        state.audit.close().await.during("closing the log")?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// A socket's path has 107 bytes at most (`unix(7)`).
fn admin_socket(config: &Config) -> Outcome<AdminSocket> {
    let path = config.state_dir.join(ADMIN_SOCKET);
    if path.as_os_str().len() > 107 {
        return Err(Fail::config(format!(
            "the path of the admin socket is too long for a socket: `{}`",
            path.display()
        ))
        .hint("choose a state directory with a shorter path"));
    }
    AdminSocket::bind(&path).during("the admin socket")
}

async fn open_store(config: &Config) -> Outcome<Store> {
    use kubestile_store::StoreError;
    match Store::open(&config.state_dir).await {
        Ok(store) => Ok(store),
        Err(error @ StoreError::Locked(_)) => {
            let fail = Fail::from(error).kind(Kind::Unavailable);
            Err(fail
                .hint("is a gate running on it already? name another state directory with --dir"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn bind(address: SocketAddr) -> Outcome<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let fail = Fail::new(
            Kind::Unavailable,
            format!("cannot listen on {address}: {error}"),
        );
        match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                fail.hint("port 0 takes a free one: --listen 127.0.0.1:0")
            }
            _ => fail,
        }
    })
}

fn settings(config: &Config, url: &GateUrl) -> kubestile_control::Settings {
    let lifetimes = &config.lifetimes;
    // The configuration bounds them to days.
    let ttl =
        |d: std::time::Duration| Ttl::from_secs(u32::try_from(d.as_secs()).unwrap_or(u32::MAX));
    kubestile_control::Settings {
        session_ttl: ttl(lifetimes.session),
        certificate_ttl: ttl(lifetimes.certificate),
        token_ttl: ttl(lifetimes.certificate),
        code_ttl: ttl(lifetimes.code),
        streams_judged_every: ttl(kubestile_gateway::stream::JUDGED_AGAIN),
        records_streams: kubestile_gateway::stream::RECORDED,
        scores_risk: kubestile_gateway::decide::SCORED,
        holds: kubestile_control::HoldWords {
            usual: config.settings.holds.usual.as_str(),
            clusters: config
                .settings
                .holds
                .modes
                .iter()
                .map(|(name, mode)| (name.clone(), mode.as_str()))
                .collect(),
        },
        sessions_per_person: config.sessions_per_person,
        public_url: url.to_string(),
        configured_clusters: config.clusters.iter().map(|c| c.name.clone()).collect(),
        ..kubestile_control::Settings::default()
    }
}

/// Which program, authority and policies the records that follow are of.
async fn record_start(gate: &Gate, state: &ControlState, authority: &Authority) -> Outcome {
    let mut detail = format!(
        "version {}, authority sha256:{}, policies {}",
        env!("CARGO_PKG_VERSION"),
        authority.fingerprint(),
        gate.policies.load().version()
    );
    for cluster in &state.settings.configured_clusters {
        detail.push_str(&format!(", configured cluster {cluster}"));
    }
    change(gate, "gate started", &state.settings.public_url, detail).await
}

/// Records a change that the gate itself makes, durably.
async fn change(gate: &Gate, what: &str, name: &str, detail: String) -> Outcome {
    let event = Event::Change {
        by: "the gate".to_owned(),
        what: what.to_owned(),
        name: name.to_owned(),
        detail: kubestile_core::event::clip(&detail),
    };
    let record = Record::new(gate.now(), event);
    gate.audit.append_change(&record)?.wait().await?;
    Ok(())
}
