//@ error: E0451
//! A permit has no public fields: nobody but `Permit::assertion` makes one.
use kubestile_core::{Permit, RequestId};

pub fn forge(request: RequestId) -> Permit {
    Permit { request, policies: Vec::new() }
}
