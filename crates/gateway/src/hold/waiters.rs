//! How many clients wait for each access request. A client library that tries again joins what its last try has
//! asked for; that the last try is given up must not take it back from the new one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kubestile_core::AccessId;

/// The clients that wait, counted.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<HashMap<AccessId, usize>>);

impl Waiters {
    /// One more waits.
    pub(super) fn join(&self, id: AccessId) {
        *self.all().entry(id).or_default() += 1;
    }

    /// One waits no more. Whether nobody does now.
    pub(super) fn leave(&self, id: AccessId) -> bool {
        let mut all = self.all();
        let Some(count) = all.get_mut(&id) else {
            return true;
        };
        *count = count.saturating_sub(1);
        let none = *count == 0;
        if none {
            all.remove(&id);
        }
        none
    }

    /// Whether nobody waits.
    pub(super) fn none(&self, id: AccessId) -> bool {
        !self.all().contains_key(&id)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<AccessId, usize>> {
        // A count is never left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_who_leaves_is_told_so() {
        let waiters = Waiters::default();
        let (one, other) = (AccessId::from_random(1), AccessId::from_random(2));
        waiters.join(one);
        waiters.join(one);
        waiters.join(other);
        assert!(!waiters.leave(one));
        assert!(!waiters.none(one));
        assert!(waiters.leave(one));
        assert!(waiters.none(one) && !waiters.none(other));
        // What nobody waits for keeps no place.
        assert!(waiters.leave(other) && waiters.all().is_empty());
    }
}
