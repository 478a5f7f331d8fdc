//! What must hold of any input, not only of the examples: the request parser, the identity headers and
//! the bytes of records.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test binary may panic"
)]

mod prop {
    mod approvals;
    mod impersonation;
    mod records;
    mod requests;
}
