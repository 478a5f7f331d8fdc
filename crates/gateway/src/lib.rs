//! The data plane (in NIST SP 800-207's words the policy enforcement point): what stands between a
//! client and a cluster's API server. [`pipeline`] is the product: eight steps, one file each.

pub mod accept;
pub mod authenticate;
pub mod body;
pub mod clusters;
pub mod decide;
pub mod forward;
pub mod gate;
pub mod gather;
pub mod health;
pub mod hold;
mod impact;
pub mod limits;
pub mod metrics;
pub mod parse;
pub mod pipeline;
pub mod pool;
pub mod record;
pub mod refusal;
mod sockets;
pub mod stream;

pub use accept::{Listener, serve};
pub use body::Body;
pub use clusters::{Cluster, ClusterState};
pub use gate::{Clock, Gate, HoldMode, Holds, Settings};
