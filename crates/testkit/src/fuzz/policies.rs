//! Policy files. Whoever runs the gate writes them, but a gate must not fall over a bad one.

use kubestile_policy::{PolicySet, Source};

/// A policy file beside none of the built-in ones: it loads as a whole or not at all.
pub(super) fn policy(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    match PolicySet::load(&[Source::new("fuzz.cedar", text)]) {
        Ok(set) => {
            for policy in set.policies() {
                assert!(!policy.id.as_str().is_empty(), "a policy without an id");
            }
            true
        }
        Err(error) => {
            assert!(!error.problems().is_empty(), "refused without a reason");
            false
        }
    }
}
