//! Kubernetes RBAC as a pure evaluator.
//!
//! Read in this order:
//! - [`model`]: roles and bindings as they stand in API objects.
//! - [`policy`]: many of them, indexed: [`Policy`].
//! - [`aggregate`]: the rules of aggregated ClusterRoles, where no controller has filled them in.
//! - [`evaluate`]: one request, judged exactly as kube-apiserver's RBAC authorizer judges it, with every
//!   grant that allows it.
//! - [`covers`]: whether rules include other rules, as kube-apiserver decides whether to let somebody
//!   grant them.
//! - [`effective`]: what somebody holds, who can do something, and which rules do nothing.
//! - [`escalation`]: who can become whom, by which steps, and what to cut.
//! - [`least`]: the least rights that somebody needs, from what they did, and the proof of it.
//! - [`mine`]: job functions that fit what many people do.
//! - [`privilege`]: how much more somebody holds than they use.
//! - [`discovery`]: which resources there are, which only some of the answers need.
//!
//! Only RBAC is judged. A cluster may have other authorizers (Node, webhooks), whose answers are united
//! with RBAC's: a "no" of this crate is RBAC's "no opinion".

pub mod aggregate;
pub mod covers;
pub mod discovery;
pub mod effective;
pub mod escalation;
pub mod evaluate;
pub mod least;
pub mod mine;
pub mod model;
pub mod policy;
pub mod privilege;

pub use evaluate::{Answer, Attributes, Grant, ResourceTarget, Target, User, authorize};
pub use model::{
    ClusterRole, ClusterRoleBinding, Identity, Role, RoleBinding, RoleRef, Rule, Subject,
};
pub use policy::{BindingId, Objects, Policy, RoleId, Scope};
