//! A real Kubernetes on one machine, for tests and the quick start.
//!
//! Nothing is imitated: etcd, the API server, the controller manager, the
//! scheduler, the kubelet and containerd are built from source through Go's module
//! proxy and run as plain processes on the loopback interface. What passes here
//! passes on a user's cluster.
//!
//! The files follow the steps of the work: `programs` builds, `pki` and `config`
//! write, `up` starts, `down` stops. Everything a cluster has on disk is below one
//! directory; `layout` names each file.
//!
//! The code blocks (threads and processes, no async): its callers are test
//! harnesses and `cargo xtask`.

mod cluster;
mod config;
mod containerd;
mod down;
mod error;
mod image;
mod kubectl;
mod kubernetes;
mod layout;
mod machine;
mod manifest;
mod mounts;
mod name;
mod network;
mod node;
mod pki;
mod process;
mod programs;
mod progress;
mod state;
mod traces;
mod up;
mod wait;

pub use cluster::{Cluster, DownOnDrop, Health, Summary, attach, list};
pub use down::down;
pub use error::Error;
pub use kubernetes::{Kubernetes, UnknownKubernetes};
pub use manifest::restart_api_server;
pub use name::{InvalidName, Name};
pub use programs::{Binaries, ensure_built, helm};
pub use progress::Progress;
pub use up::{Options, up};
