//! What the handlers work with.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use kubestile_authn::Authority;
use kubestile_core::{ClusterName, SessionId, Source, Timestamp, Ttl};
use kubestile_policy::PolicySet;
use kubestile_store::Store;
use kubestile_store::audit::AuditLog;

use crate::limiter::Limiter;
use crate::outside::Outside;
use crate::web::Browsers;

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Called when a cluster was put or removed, after the store has it; the error is shown to whoever
/// changed it.
pub type ClusterHook = Arc<
    dyn Fn(ClusterChange) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync,
>;

/// Called for what the running process has to say of itself in `status`; no secrets.
pub type StatusHook = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Gives the policies in force.
pub type PolicyHook = Arc<dyn Fn() -> Arc<PolicySet> + Send + Sync>;

/// What happened to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterChange {
    /// It was added, or replaced.
    Put(ClusterName),
    /// It was removed.
    Removed(ClusterName),
}

/// All that the control plane works with. Clones share everything.
#[derive(Clone)]
pub struct ControlState {
    /// People, codes, sessions, tokens, clusters.
    pub store: Store,
    /// Where every change is written first.
    pub audit: AuditLog,
    /// Issues client certificates.
    pub authority: Arc<Authority>,
    /// The time.
    pub clock: Clock,
    /// Lifetimes and limits.
    pub settings: Settings,
    /// Told of changed clusters.
    pub cluster_changed: ClusterHook,
    /// Asked for the process's own part of `status`.
    pub status: StatusHook,
    /// Asked for the policies in force.
    pub policies: PolicyHook,
    /// Other people's services: tickets, notifications, issuers of pipeline tokens.
    pub outside: Arc<Outside>,
}

/// Lifetimes and limits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a login lasts.
    pub session_ttl: Ttl,
    /// How long a client certificate lasts before it is renewed silently.
    pub certificate_ttl: Ttl,
    /// How long a bearer token lasts; never longer than a certificate.
    pub token_ttl: Ttl,
    /// How often the data plane judges an open stream again at least.
    pub streams_judged_every: Ttl,
    /// Whether the data plane keeps what passes in a stream.
    pub records_streams: bool,
    /// Whether the data plane's decisions carry a score of their session's risk.
    pub scores_risk: bool,
    /// What becomes of requests that need an approval.
    pub holds: HoldWords,
    /// How long somebody who asks for a grant waits for an answer.
    pub ask_ttl: Ttl,
    /// How long a login code can be used.
    pub code_ttl: Ttl,
    /// Live sessions of one person; with one more, the oldest ends.
    pub sessions_per_person: usize,
    /// The gate's URL as clients reach it, without a slash at the end: `https://gate.example:8443`.
    pub public_url: String,
    /// Clusters that the gate's configuration names, beside those in the store: people see them too.
    pub configured_clusters: Vec<ClusterName>,
    /// Failed logins per minute from one address (IPv6: one /64) before it has to wait.
    pub failed_logins_per_source: u32,
    /// Failed logins per minute from everywhere before everybody has to wait.
    pub failed_logins: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_ttl: Ttl::from_secs(8 * 3600),
            certificate_ttl: Ttl::from_secs(3600),
            token_ttl: Ttl::from_secs(3600),
            streams_judged_every: Ttl::from_secs(30),
            records_streams: false,
            scores_risk: false,
            holds: HoldWords::default(),
            ask_ttl: Ttl::from_secs(3600),
            code_ttl: Ttl::from_secs(600),
            sessions_per_person: 50,
            public_url: "https://localhost:8443".to_owned(),
            configured_clusters: Vec::new(),
            failed_logins_per_source: 10,
            failed_logins: 600,
        }
    }
}

/// What becomes of requests that need an approval, as the configuration words it: `wait`, `refuse`, `retry-after`.
#[derive(Debug, Clone)]
pub struct HoldWords {
    /// Where nothing else is said.
    pub usual: &'static str,
    /// Clusters where it is another one.
    pub clusters: BTreeMap<ClusterName, &'static str>,
}

impl Default for HoldWords {
    fn default() -> Self {
        Self {
            usual: "wait",
            clusters: BTreeMap::new(),
        }
    }
}

impl HoldWords {
    /// For one cluster.
    pub fn mode(&self, cluster: &ClusterName) -> &'static str {
        self.clusters.get(cluster).copied().unwrap_or(self.usual)
    }
}

/// The state of one router: what it was given, and the counters of its limits.
#[derive(Clone)]
pub(crate) struct App {
    state: Arc<ControlState>,
    limits: Arc<Limits>,
    browsers: Arc<Browsers>,
}

/// What is counted, each in a table of bounded size.
pub(crate) struct Limits {
    pub(crate) logins: Limiter<Source>,
    pub(crate) renewals: Limiter<Source>,
    pub(crate) tokens: Limiter<SessionId>,
    pub(crate) browsers: Limiter<SessionId>,
    pub(crate) exchanges: Limiter<Source>,
    pub(crate) webhooks: Limiter<Source>,
}

impl App {
    pub(crate) fn new(state: ControlState) -> Self {
        let settings = &state.settings;
        let limits = Limits {
            logins: Limiter::new(settings.failed_logins_per_source, settings.failed_logins),
            renewals: Limiter::new(
                settings.failed_logins_per_source.saturating_mul(6),
                settings.failed_logins.saturating_mul(6),
            ),
            tokens: Limiter::new(10, u32::MAX),
            browsers: Limiter::new(10, u32::MAX),
            exchanges: Limiter::new(settings.failed_logins_per_source, settings.failed_logins),
            webhooks: Limiter::new(
                settings.failed_logins_per_source.saturating_mul(6),
                settings.failed_logins,
            ),
        };
        Self {
            state: Arc::new(state),
            limits: Arc::new(limits),
            browsers: Arc::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn browsers(&self) -> &Browsers {
        &self.browsers
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The URL that kubectl is given for a cluster.
    pub(crate) fn cluster_url(&self, name: &ClusterName) -> String {
        let base = self.settings.public_url.trim_end_matches('/');
        format!("{base}/clusters/{name}")
    }
}

impl std::ops::Deref for App {
    type Target = ControlState;

    fn deref(&self) -> &ControlState {
        &self.state
    }
}
