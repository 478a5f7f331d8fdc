//! Keys.

pub(crate) struct Key;
