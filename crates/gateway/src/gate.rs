//! What the eight steps share: the state of one running gate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kubestile_core::AccessId;
use kubestile_core::ids::{ClusterName, RequestId};
use kubestile_core::time::{Timestamp, Ttl};
use kubestile_policy::PolicySet;
use kubestile_store::Store;
use kubestile_store::audit::AuditLog;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clusters::Clusters;
use crate::hold::Waiters;
use crate::limits::Limits;
use crate::metrics::Metrics;

/// Tells the time; a parameter so that tests can hold it still.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Limits and switches of the data plane. Every value has a default that is safe.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest body of an API request, in bytes. The API server's own limit is 3 MiB.
    pub body_limit: u64,
    /// Open client connections, all together.
    pub max_connections: usize,
    /// Open client connections per source address (an IPv4 address, or an IPv6 /64).
    pub connections_per_source: usize,
    /// Short requests in flight per person.
    pub requests_per_person: usize,
    /// Open watches, logs and upgraded streams per person.
    pub streams_per_person: usize,
    /// Short requests in flight per cluster, to protect its API server.
    pub requests_per_cluster: usize,
    /// Open watches, logs and upgraded streams per cluster.
    pub streams_per_cluster: usize,
    /// How long open requests may go on after SIGTERM.
    pub drain: Duration,
    /// How long a TLS handshake, and the head of a request, may take.
    pub handshake: Duration,
    /// An HTTP/2 connection on which no request was open for so long is closed.
    pub idle: Duration,
    /// How long connecting to an API server may take.
    pub connect: Duration,
    /// How requests are held that need an approval.
    pub holds: Holds,
    /// The gate's URL as people reach it, without a slash at the end; for links.
    pub public_url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body_limit: 3 * 1024 * 1024,
            max_connections: 20_000,
            connections_per_source: 2_000,
            requests_per_person: 256,
            streams_per_person: 1_000,
            requests_per_cluster: 1_000,
            streams_per_cluster: 10_000,
            drain: Duration::from_secs(25),
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            connect: Duration::from_secs(10),
            holds: Holds::default(),
            public_url: "https://localhost:8443".to_owned(),
        }
    }
}

/// What becomes of a request that needs an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HoldMode {
    /// It waits, and goes on by itself once approved.
    #[default]
    Wait,
    /// It is refused at once with the id of the access request; the same request passes once approved. For
    /// clients and load balancers that cannot wait.
    Refuse,
    /// The same with 429 and `Retry-After`, for clients that come again by themselves.
    RetryAfter,
}

impl HoldMode {
    /// As the configuration words it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
            Self::RetryAfter => "retry-after",
        }
    }
}

/// How requests are held.
#[derive(Debug, Clone)]
pub struct Holds {
    /// How long one waits for an answer.
    pub patience: Ttl,
    /// Requests that wait at once, per person.
    pub per_person: usize,
    /// Requests that wait at once, per cluster.
    pub per_cluster: usize,
    /// What the bodies of all that wait may take together, in KiB.
    pub memory_kib: usize,
    /// What becomes of them.
    pub usual: HoldMode,
    /// Clusters where something else does.
    pub modes: HashMap<ClusterName, HoldMode>,
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            patience: Ttl::from_secs(600),
            per_person: 50,
            per_cluster: 1_000,
            memory_kib: 128 * 1024,
            usual: HoldMode::Wait,
            modes: HashMap::new(),
        }
    }
}

impl Holds {
    /// What becomes of requests to `cluster`.
    pub fn mode(&self, cluster: &ClusterName) -> HoldMode {
        self.modes.get(cluster).copied().unwrap_or(self.usual)
    }
}

/// One running gate.
pub struct Gate {
    /// People, sessions, tokens.
    pub store: Store,
    /// The log.
    pub audit: AuditLog,
    /// The policies in force; replaced as a whole.
    pub policies: ArcSwap<PolicySet>,
    /// Counts replacements of the policies: open streams are judged again then.
    pub replaced: watch::Sender<u64>,
    /// The clusters behind the gate.
    pub clusters: Clusters,
    /// Limits and switches.
    pub settings: Settings,
    /// The limits' counters.
    pub limits: Limits,
    /// Clients that wait for an approval.
    pub waiters: Waiters,
    /// Counters for Prometheus.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// Cancelled when no new connections are taken any more.
    pub draining: CancellationToken,
    /// Cancelled when open streams must end.
    pub closing: CancellationToken,
    /// Connections and upgraded streams that are open.
    pub open: TaskTracker,
}

impl Gate {
    /// A gate without clusters.
    pub fn new(
        store: Store,
        audit: AuditLog,
        policies: PolicySet,
        settings: Settings,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            audit,
            policies: ArcSwap::from_pointee(policies),
            replaced: watch::Sender::new(0),
            clusters: Clusters::default(),
            limits: Limits::new(&settings),
            settings,
            waiters: Waiters::default(),
            metrics: Metrics::new(),
            clock,
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            open: TaskTracker::new(),
        })
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Puts other policies in force, for new requests and for streams that are open.
    pub fn replace_policies(&self, policies: Arc<PolicySet>) {
        self.policies.store(policies);
        self.replaced.send_modify(|count| *count += 1);
    }

    /// A new id for an access request.
    pub fn new_access_id(&self) -> AccessId {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        // Version and variant bits are fixed: each half covers the other's.
        AccessId::from_random(high ^ low.rotate_left(32))
    }

    /// Where people look at an access request.
    pub fn link(&self, access: AccessId) -> String {
        format!("{}/r/{access}", self.settings.public_url)
    }

    /// A new request id: a version 7 UUID, which is also the `Audit-ID` upstream.
    pub fn new_request_id(&self) -> RequestId {
        RequestId::from_uuid(uuid::Uuid::now_v7())
    }
}
