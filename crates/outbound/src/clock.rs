//! The one place of this crate that reads a clock: signatures on outgoing messages carry the time.

use std::time::{SystemTime, UNIX_EPOCH};

use kubestile_core::Timestamp;

/// Now. A clock before 1970 is wrong, and gives the latest time there is: nothing holds then.
pub(crate) fn now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(_) => i64::MAX,
    };
    Timestamp::from_micros(micros)
}
