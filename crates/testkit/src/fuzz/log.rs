//! What is read back from the log's files.

use kubestile_core::event::Record;

/// A record of the log. What is read has one canonical form, which reads back as the same.
pub(super) fn record(data: &[u8]) -> bool {
    let Ok(record) = Record::from_bytes(data) else {
        return false;
    };
    let Ok(bytes) = record.canonical_bytes() else {
        assert!(
            data.len() > 8 * 1024,
            "a short record has no canonical form"
        );
        return true;
    };
    let again = Record::from_bytes(&bytes);
    assert!(
        again.is_ok_and(|again| again == record && again.canonical_bytes().as_ref() == Ok(&bytes)),
        "a record does not read back from its canonical form"
    );
    true
}
