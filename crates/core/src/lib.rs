//! The life of a request as types, in the order in which it is lived: who asks ([`identity`]), what is
//! asked ([`request_info`], [`action`]), under which conditions ([`context`]), what was decided
//! ([`decision`]), who else must agree ([`approval`], [`grant`]), as whom it goes upstream
//! ([`impersonate`]), and what is written down ([`event`]).
//!
//! This crate is pure: no IO, no clock, no randomness, no async. Time, ids and randomness are
//! parameters.

pub mod action;
pub mod approval;
pub mod context;
pub mod decision;
pub mod event;
pub mod grant;
pub mod identity;
pub mod ids;
pub mod impersonate;
pub mod kubectl_line;
pub mod request_info;
pub mod risk;
pub mod secret;
pub mod session;
pub mod short_id;
pub mod source;
pub mod time;

pub use action::{Action, ActionKind};
pub use approval::AccessRequest;
pub use context::{Absence, Context, Known};
pub use decision::{Decision, Denial, Hold, Obligation, Permit, PolicyRef, Receipt};
pub use grant::Grant;
pub use identity::{Assurance, Identity, JobFunction, VerifiedIdentity};
pub use ids::{ClusterName, ImportId, Namespace, PersonId, PolicyId, RequestId, SessionId};
pub use request_info::{RequestInfo, Target, Verb};
pub use risk::RiskClass;
pub use secret::Secret;
pub use short_id::{AccessId, GrantId};
pub use source::Source;
pub use time::{Timestamp, Ttl};
