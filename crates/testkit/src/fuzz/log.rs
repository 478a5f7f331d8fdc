//! What is read back from logs: the gate's own, and those of API servers.

use kubestile_assess::traffic::fold::Fold;
use kubestile_assess::traffic::{Traffic, line};
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

/// A line of an API server's audit log, in whatever wrapper. What is counted can be saved, and reads back as the same.
pub(super) fn audit_event(data: &[u8]) -> bool {
    let mut fold = Fold::default();
    let mut seen = 0_u64;
    let read = line::read(data, &mut |event| {
        seen += 1;
        fold.add(event, &mut |_| true);
    });
    let traffic = fold.finish(Vec::new());
    assert!(traffic.requests == seen, "an event was not counted");
    let saved = serde_json::to_vec(&traffic);
    let again = saved.and_then(|text| serde_json::from_slice::<Traffic>(&text));
    assert!(
        again.is_ok_and(|again| again == traffic),
        "what was counted does not read back"
    );
    read.is_ok_and(|line| line.events > 0)
}
