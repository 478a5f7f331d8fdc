//! The policy decision point: policies in Cedar, judged without IO, clock or randomness.
//!
//! In the order of the work: policy files ([`Source`]) are loaded as a whole or not at all
//! ([`PolicySet::load`]: parse, check, validate against the schema), indexed so that a decision looks
//! only at what could matter, and asked ([`PolicySet::decide`], [`PolicySet::evaluate`]).
//! [`PolicySet::explain`] shows how an answer came about; [`mdtest`] runs the tests that stand beside
//! the policies. No type of Cedar leaves this crate.

mod ask;
mod attributes;
#[cfg(test)]
mod base_tests;
mod check;
mod compile;
mod decide;
mod entities;
mod explain;
pub mod kubectl_words;
mod lint;
mod load;
pub mod mdtest;
mod remedy;
mod scope;
mod slice;
mod source;
mod trial;
mod vocabulary;

pub use ask::Asking;
pub use decide::{Outcome, Question};
pub use explain::{Considered, Explanation, Verdict};
pub use lint::Warning;
pub use load::{Effect, LoadError, PolicySet, PolicySummary, Problem};
pub use source::{SCHEMA, Source, base_sources, base_tests};
pub use trial::Tried;
