//! The clusters behind the gate: reached, their credentials kept fresh, and served only while the
//! gate's own account there holds no more than it should.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kubestile_cluster::account::DEFAULT_TOKEN_LIFETIME;
use kubestile_cluster::review::{self, Review};
use kubestile_cluster::{AccountCredential, ClusterError, Upstream};
use kubestile_control::{ClusterChange, ClusterHook};
use kubestile_core::{ClusterName, Timestamp, Ttl};
use kubestile_gateway::{Cluster, ClusterState, Gate};
use kubestile_store::ClusterRecord;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::config::{ClusterSource, Config, StaticCluster};
use crate::exit::chain;

/// How long a cluster whose check does not succeed is served on the word of the last one that did.
const PATIENCE: Ttl = Ttl::from_secs(600);
/// How soon a check that did not succeed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon a cluster that cannot be reached is tried again.
const UNREACHED: Duration = Duration::from_secs(15);
/// How long one check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

/// All clusters and the tasks that look after them.
pub(super) struct Clusters {
    gate: Arc<Gate>,
    fixed: Vec<StaticCluster>,
    despite: HashSet<ClusterName>,
    every: Duration,
    kept: Mutex<HashMap<ClusterName, Kept>>,
}

/// One cluster that is looked after.
struct Kept {
    tasks: Vec<AbortHandle>,
    again: Arc<Notify>,
    checked: Option<Timestamp>,
    /// Why it cannot be reached, until it is.
    failure: Option<String>,
}

/// Where a cluster was named, and so how it is reached.
#[derive(Clone)]
enum Origin {
    Fixed(ClusterSource),
    Stored(Box<ClusterRecord>),
}

impl Origin {
    async fn upstream(&self) -> Result<Upstream, ClusterError> {
        match self {
            Self::Fixed(source) => of_config(source).await,
            Self::Stored(record) => of_record(record).await,
        }
    }
}

/// A cluster, as `cluster list` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterStatus {
    /// Its name.
    pub(crate) name: ClusterName,
    /// `unreachable`, `unchecked`, `serving`, `serving-despite-excess`, `refused`.
    pub(crate) state: String,
    /// Why it is refused, or what it is served despite of.
    pub(crate) why: String,
    /// When its account was last checked.
    pub(crate) checked: Option<Timestamp>,
}

impl Clusters {
    /// None yet.
    pub(super) fn new(gate: Arc<Gate>, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            gate,
            fixed: config.clusters.clone(),
            despite: config.despite_excess.iter().cloned().collect(),
            every: config.check_every,
            kept: Mutex::default(),
        })
    }

    /// Takes up every cluster of the configuration and of the store. One that cannot be reached is tried
    /// again and again, and keeps nobody waiting.
    pub(super) fn start(self: &Arc<Self>) {
        for fixed in &self.fixed {
            self.reach(fixed.name.clone(), Origin::Fixed(fixed.source.clone()));
        }
        self.take_up_stored();
    }

    /// Takes up clusters that are new, and checks all of them now.
    pub(super) fn reload(self: &Arc<Self>) {
        self.take_up_stored();
        for kept in self.lock().values() {
            kept.again.notify_one();
        }
    }

    fn take_up_stored(self: &Arc<Self>) {
        for record in self.gate.store.clusters() {
            if self.fixed.iter().any(|f| f.name == record.name) {
                tracing::warn!(cluster = %record.name, "the configuration's cluster of this name is served, not the added one");
            } else if !self.lock().contains_key(&record.name) {
                self.reach(record.name.clone(), Origin::Stored(Box::new(record)));
            }
        }
    }

    /// Tries to reach a cluster until it is.
    fn reach(self: &Arc<Self>, name: ClusterName, origin: Origin) {
        let clusters = self.clone();
        let kept = Kept {
            tasks: Vec::new(),
            again: Arc::default(),
            checked: None,
            failure: Some("not reached yet".to_owned()),
        };
        let again = kept.again.clone();
        self.lock().insert(name.clone(), kept);
        let task = tokio::spawn({
            let name = name.clone();
            async move {
                loop {
                    let error = match origin.upstream().await {
                        Ok(upstream) => {
                            clusters.take_up(&name, upstream, &origin);
                            return;
                        }
                        Err(error) => chain(&error),
                    };
                    clusters.failed(&name, error);
                    let _either = tokio::time::timeout(UNREACHED, again.notified()).await;
                }
            }
        });
        if let Some(kept) = self.lock().get_mut(&name)
            && kept.failure.is_some()
        {
            kept.tasks.push(task.abort_handle());
        }
    }

    fn failed(&self, name: &ClusterName, error: String) {
        let mut kept = self.lock();
        let Some(kept) = kept.get_mut(name) else {
            return;
        };
        if kept.failure.as_ref() != Some(&error) {
            tracing::error!(cluster = %name, error, "a cluster cannot be reached and is not served");
        }
        kept.failure = Some(error);
    }

    /// Stops looking after them.
    pub(super) fn stop(&self) {
        for (_, kept) in self.lock().drain() {
            kept.tasks.iter().for_each(AbortHandle::abort);
        }
    }

    /// Told of changes by the control plane.
    pub(super) fn hook(self: &Arc<Self>) -> ClusterHook {
        let clusters = self.clone();
        Arc::new(move |change| {
            let clusters = clusters.clone();
            Box::pin(async move { clusters.changed(change).await })
        })
    }

    /// How each stands.
    pub(super) fn status(&self) -> Vec<ClusterStatus> {
        let kept = self.lock();
        let status = |(name, kept): (&ClusterName, &Kept)| {
            let (state, why) = match (&kept.failure, self.gate.clusters.get(name)) {
                (None, Some(cluster)) => words(&cluster.state()),
                (failure, _) => ("unreachable", failure.clone().unwrap_or_default()),
            };
            ClusterStatus {
                name: name.clone(),
                state: state.to_owned(),
                why,
                checked: kept.checked,
            }
        };
        let mut all: Vec<ClusterStatus> = kept.iter().map(status).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    async fn changed(self: &Arc<Self>, change: ClusterChange) -> Result<(), String> {
        match change {
            ClusterChange::Removed(name) => {
                self.forget(&name);
                // A token renewed at this very moment may have been written after the removal.
                if self.gate.store.cluster(&name).is_some() {
                    self.gate
                        .store
                        .remove_cluster(&name)
                        .await
                        .map_err(|e| chain(&e))?;
                }
                Ok(())
            }
            ClusterChange::Put(name) => {
                let record = self
                    .gate
                    .store
                    .cluster(&name)
                    .ok_or("it is not in the store")?;
                let origin = Origin::Stored(Box::new(record));
                let upstream = origin.upstream().await.map_err(|e| chain(&e))?;
                self.forget(&name);
                let upstream = self.take_up(&name, upstream, &origin);
                // The answer to whoever added it says whether it is served.
                let state = self.check(&name, &upstream, None).await;
                match state {
                    ClusterState::Refused(why) => Err(why),
                    _ => Ok(()),
                }
            }
        }
    }

    fn forget(&self, name: &ClusterName) {
        if let Some(kept) = self.lock().remove(name) {
            kept.tasks.iter().for_each(AbortHandle::abort);
        }
        self.gate.clusters.remove(name);
    }

    fn take_up(
        self: &Arc<Self>,
        name: &ClusterName,
        upstream: Upstream,
        origin: &Origin,
    ) -> Arc<Upstream> {
        let upstream = Arc::new(upstream);
        let connect = self.gate.settings.connect;
        let cluster = Cluster::new(name.clone(), upstream.clone(), connect);
        self.gate.clusters.put(Arc::new(cluster));
        let again: Arc<Notify> = Arc::default();
        let checks = self
            .clone()
            .keep_checking(name.clone(), upstream.clone(), again.clone());
        let fresh = upstream.clone();
        let mut tasks = vec![
            tokio::spawn(checks).abort_handle(),
            tokio::spawn(async move { fresh.keep_fresh().await }).abort_handle(),
        ];
        if let Origin::Stored(record) = origin {
            let stored = store_renewals(
                self.gate.clone(),
                ClusterRecord::clone(record),
                upstream.clone(),
            );
            tasks.push(tokio::spawn(stored).abort_handle());
        }
        let kept = Kept {
            tasks,
            again,
            checked: None,
            failure: None,
        };
        self.lock().insert(name.clone(), kept);
        upstream
    }

    /// Checks the account at once and then again and again.
    async fn keep_checking(
        self: Arc<Self>,
        name: ClusterName,
        upstream: Arc<Upstream>,
        again: Arc<Notify>,
    ) {
        let mut good: Option<Timestamp> = None;
        loop {
            let state = self.check(&name, &upstream, good).await;
            let pause = match state {
                ClusterState::Serving | ClusterState::ServingDespite(_) => {
                    good = self.lock().get(&name).and_then(|k| k.checked).or(good);
                    self.every
                }
                ClusterState::Refused(_) | ClusterState::Unchecked => self.every.min(AGAIN),
            };
            // A timer that is off by sleep of the machine is made up for by the next request's own checks.
            let _either = tokio::time::timeout(pause, again.notified()).await;
        }
    }

    /// One check, and what follows from it.
    async fn check(
        &self,
        name: &ClusterName,
        upstream: &Upstream,
        good: Option<Timestamp>,
    ) -> ClusterState {
        let found = match tokio::time::timeout(CHECK_LIMIT, review::check(upstream)).await {
            Ok(Ok(review)) => Ok(review),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        };
        let Some(cluster) = self.gate.clusters.get(name) else {
            return ClusterState::Unchecked;
        };
        let now = self.gate.now();
        let before = cluster.state();
        let state = match found {
            Ok(review) => {
                if let Some(kept) = self.lock().get_mut(name) {
                    kept.checked = Some(now);
                }
                self.judge(name, &review)
            }
            Err(why) if good.is_some_and(|at| now.since(at) < PATIENCE) => {
                tracing::warn!(cluster = %name, why, "the account could not be checked; the last check still counts");
                ClusterState::clone(&before)
            }
            Err(why) => {
                ClusterState::Refused(format!("the gate's account cannot be checked: {why}"))
            }
        };
        if *before != state {
            tell(name, &state);
        }
        cluster.set_state(state.clone());
        state
    }

    fn judge(&self, name: &ClusterName, review: &Review) -> ClusterState {
        if !review.missing.is_empty() {
            return ClusterState::Refused(format!(
                "the gate's account cannot {}. Next: run `kubestile cluster add {name} --context CONTEXT` again",
                review.missing.join(", ")
            ));
        }
        if review.excess.is_empty() {
            return ClusterState::Serving;
        }
        let excess = review.excess.join(", ");
        if self.despite.contains(name) {
            self.gate.metrics.failed_open();
            return ClusterState::ServingDespite(excess);
        }
        ClusterState::Refused(format!(
            "the gate's account can do more than it should: {excess}. Next: take these rights away, or name \
             the cluster in accounts.serveDespiteExcessRights"
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClusterName, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(name: &ClusterName, state: &ClusterState) {
    match state {
        ClusterState::Unchecked => {}
        ClusterState::Serving => tracing::info!(cluster = %name, "serving"),
        ClusterState::ServingDespite(excess) => {
            tracing::warn!(cluster = %name, excess, "serving ALTHOUGH the gate's account can do more than it should");
        }
        ClusterState::Refused(why) => tracing::error!(cluster = %name, why, "not served"),
    }
}

fn words(state: &ClusterState) -> (&'static str, String) {
    match state {
        ClusterState::Unchecked => ("unchecked", String::new()),
        ClusterState::Serving => ("serving", String::new()),
        ClusterState::ServingDespite(excess) => ("serving-despite-excess", excess.clone()),
        ClusterState::Refused(why) => ("refused", why.clone()),
    }
}

/// Stores tokens as they are renewed, so that the next start has one.
async fn store_renewals(gate: Arc<Gate>, record: ClusterRecord, upstream: Arc<Upstream>) {
    let mut renewals = upstream.renewals();
    while renewals.changed().await.is_ok() {
        let Some(renewed) = renewals.borrow_and_update().clone() else {
            continue;
        };
        // Only into the record that this upstream was made from: it may have been replaced.
        let same = |r: &ClusterRecord| r.server == record.server && r.added == record.added;
        let Some(current) = gate.store.cluster(&record.name).filter(same) else {
            return;
        };
        let next = ClusterRecord {
            token: Some(renewed.token),
            token_expires: Some(renewed.expires),
            ..current
        };
        match gate.store.put_cluster(next).await {
            Ok(()) => {
                tracing::info!(cluster = %record.name, until = %renewed.expires, "token renewed")
            }
            Err(error) => {
                tracing::error!(cluster = %record.name, error = chain(&error), "a renewed token was not stored");
            }
        }
    }
}

async fn of_config(source: &ClusterSource) -> Result<Upstream, ClusterError> {
    match source {
        ClusterSource::InCluster => Upstream::in_cluster().await,
        ClusterSource::Context {
            kubeconfig,
            context,
        } => Upstream::from_kubeconfig(Some(kubeconfig), context.as_deref()).await,
    }
}

async fn of_record(record: &ClusterRecord) -> Result<Upstream, ClusterError> {
    if let Some(token) = &record.token {
        let account = AccountCredential {
            server: record.server.clone(),
            ca_pem: record.ca_pem.clone(),
            tls_server_name: record.tls_server_name.clone(),
            token: token.clone(),
            expires: record.token_expires,
        };
        return Upstream::from_account(&account, DEFAULT_TOKEN_LIFETIME);
    }
    match &record.kubeconfig {
        Some(path) => {
            Upstream::from_kubeconfig(Some(Path::new(path)), record.context.as_deref()).await
        }
        None => Upstream::in_cluster().await,
    }
}
