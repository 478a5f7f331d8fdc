//@ error: E0451
//! A receipt has no public fields: only the log's append path makes one.
use kubestile_core::{Receipt, RequestId};

pub fn forge(request: RequestId) -> Receipt {
    Receipt { request, index: 0 }
}
