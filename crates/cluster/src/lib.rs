//! The upstream API server: how to reach it, with which credential, as which account, and proof that
//! the account can do no more than it should.
//!
//! - [`Upstream`]: where the API server is, its TLS configuration and the current credential, from a
//!   kubeconfig context, from the pod that the gate runs in, or from the gate's own account.
//! - [`account`]: that account, the starter job functions and their bindings: plan, install, follow new
//!   namespaces, remove, or render for GitOps.
//! - [`advance`]: the changes of an assessor's plan, made and taken back.
//! - [`audit_log`]: audit logs of any size, counted.
//! - [`collect`]: what the assessor judges, read within the caller's own rights.
//! - [`review`]: what the account can do, asked of the API server itself.
//!
//! What is absent on purpose: no redirect is ever followed, no proxy is used, nothing of kube's types
//! or of the kubeconfig leaves this crate, and no credential appears in an error.

pub mod account;
pub mod advance;
pub mod audit_log;
pub mod break_glass;
mod call;
pub mod collect;
mod endpoint;
mod error;
mod exec;
mod kubeconfig;
pub mod review;
mod source;
mod tls;
mod upstream;

pub use call::{Answer, Call};
pub use error::{CallError, ClusterError, CredentialError};
pub use kubeconfig::{Contexts, contexts, namespace};
pub use upstream::{AccountCredential, RenewedToken, Upstream};
