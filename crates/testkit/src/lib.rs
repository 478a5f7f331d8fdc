//! What tests share. Never part of the binary.
//!
//! [`fuzz`] has one body per parser of foreign bytes: the fuzz targets call them, and `cargo test`
//! replays the committed corpus and its mutations through them. [`requests`] makes requests to a
//! Kubernetes API, honest and hostile.

pub mod fuzz;
pub mod random;
pub mod rbac;
pub mod requests;
