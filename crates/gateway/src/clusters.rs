//! The clusters behind the gate, and whether each may be served.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kubestile_cluster::Upstream;
use kubestile_core::ids::ClusterName;

use crate::pool::Pool;

/// One cluster.
pub struct Cluster {
    name: ClusterName,
    upstream: Arc<Upstream>,
    pool: Pool,
    state: ArcSwap<ClusterState>,
}

/// Whether a cluster may be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterState {
    /// Not checked yet: nothing is forwarded.
    Unchecked,
    /// The gate's account was checked and holds no more than it should.
    Serving,
    /// It is served although its account holds more than it should, by a named setting.
    ServingDespite(String),
    /// It is not served; the text says why and what to do.
    Refused(String),
}

impl Cluster {
    /// A cluster that is not served until it has been checked.
    pub fn new(name: ClusterName, upstream: Arc<Upstream>, connect: std::time::Duration) -> Self {
        Self {
            pool: Pool::new(upstream.clone(), connect),
            name,
            upstream,
            state: ArcSwap::from_pointee(ClusterState::Unchecked),
        }
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Its API server.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Connections to its API server.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether it is served.
    pub fn state(&self) -> Arc<ClusterState> {
        self.state.load_full()
    }

    /// Sets whether it is served.
    pub fn set_state(&self, state: ClusterState) {
        self.state.store(Arc::new(state));
    }
}

/// All clusters; read on every request, replaced as a whole.
#[derive(Default)]
pub struct Clusters(ArcSwap<HashMap<ClusterName, Arc<Cluster>>>);

impl Clusters {
    /// The cluster of that name.
    pub fn get(&self, name: &ClusterName) -> Option<Arc<Cluster>> {
        self.0.load().get(name).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Cluster>> {
        self.0.load().values().cloned().collect()
    }

    /// Adds or replaces one.
    pub fn put(&self, cluster: Arc<Cluster>) {
        self.0.rcu(|now| {
            let mut next = HashMap::clone(now);
            next.insert(cluster.name.clone(), cluster.clone());
            next
        });
    }

    /// Takes one away. Its open streams end with their own connections.
    pub fn remove(&self, name: &ClusterName) {
        self.0.rcu(|now| {
            let mut next = HashMap::clone(now);
            next.remove(name);
            next
        });
    }
}
