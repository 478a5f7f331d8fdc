//! Where a cluster stands in the Kubectl Zero Trust Maturity Model, with evidence, and what would
//! change it.
//!
//! - [`snapshot`]: what was collected, and why what was not was not. One document.
//! - [`traffic`]: what was really done, counted from audit logs; a part of the snapshot.
//! - [`catalog`]: the controls, each a pure function from that document to a [`verdict::Verdict`].
//! - [`score`]: from verdicts to a stage, by the model's grading rule.
//! - [`rightsize`]: the least rights that each subject needs.
//! - [`paths`]: how somebody could come to own everything, and what closes the way.
//! - [`exception`]: what somebody has accepted, with a name, a reason and an end.
//! - [`plan`]: the changes that lead to the next stage, tried on the snapshot first.
//! - [`report`]: the same answer for people, programs and other tools.
//!
//! This crate is pure: no IO, no clock, no randomness, no async. What cannot be decided is unknown, and
//! unknown is never a pass.

pub mod catalog;
mod check;
pub mod exception;
pub mod facts;
pub mod gate_policies;
pub mod paths;
pub mod plan;
pub mod report;
pub mod rightsize;
pub mod score;
pub mod snapshot;
mod stock;
pub mod traffic;
pub mod verdict;

pub use catalog::{Control, Stage};
pub use score::{Assessment, assess};
pub use snapshot::Snapshot;
pub use verdict::{Evidence, Outcome, Severity, Verdict};
