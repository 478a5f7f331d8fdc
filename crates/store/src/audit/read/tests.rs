use std::fs;

use super::*;
use crate::audit::testing::{Dir, decision, numbered, request};

#[tokio::test]
async fn an_empty_log_verifies() {
    let dir = Dir::new();
    dir.append_all([]).await;
    let report = verify(&dir.log(), &dir.key().vkey()).unwrap();
    assert_eq!((report.size, report.problem), (0, None));
    assert_eq!(report.origin, "gate.example.com/audit");
    assert_eq!(dir.entries().len(), 0);
}

#[tokio::test]
async fn no_changed_bit_passes() {
    let dir = Dir::new();
    dir.append_all((0..300).map(numbered)).await;
    assert_eq!(dir.problem(), None);
    let mut flips = 0;
    for name in [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/44",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/44",
    ] {
        let path = dir.log().join(name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for at in (0..good.len()).step_by(1 + good.len() / 97) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert!(dir.problem().is_some(), "bit in byte {at} of {name}");
            flips += 1;
        }
        fs::write(&path, &good).unwrap();
        for bad in [&good[..good.len() - 1], &[&good[..], b"x"].concat()] {
            fs::write(&path, bad).unwrap();
            assert!(dir.problem().is_some(), "length of {name}");
        }
        fs::remove_file(&path).unwrap();
        assert!(dir.problem().is_some(), "{name} is missing");
        fs::write(&path, good).unwrap();
    }
    assert!(flips > 400);
    assert_eq!(dir.problem(), None);
}

#[tokio::test]
async fn the_first_bad_entry_is_named() {
    let dir = Dir::new();
    dir.append_all((0..300).map(numbered)).await;
    let path = dir.log().join("tile/entries/001.p/44");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let at = text.find("\"name\":\"270\"").unwrap();
    let mut bad = bytes.clone();
    bad[at + 8] = b'9';
    fs::write(&path, bad).unwrap();
    let report = verify(&dir.log(), &dir.key().vkey()).unwrap();
    assert_eq!(report.problem.unwrap().first_bad, Some(270));
}

#[tokio::test]
async fn a_proof_holds_without_the_log() {
    let dir = Dir::new();
    let record = decision(5, "ana", "delete", "shop", "allow");
    let before = (0..290).map(numbered);
    let after = (290..600).map(numbered);
    dir.append_all(before.chain([record.clone()]).chain(after))
        .await;
    let (log, vkey) = (dir.log(), dir.key().vkey());
    let by_request = prove(&log, &vkey, Which::Request(request(5))).unwrap();
    assert_eq!(prove(&log, &vkey, Which::Index(290)).unwrap(), by_request);
    drop(dir);

    let bytes = record.canonical_bytes().unwrap();
    let checked = check(by_request.as_bytes(), None, &vkey).unwrap();
    assert_eq!((checked.index, checked.size), (290, 601));
    assert_eq!(checked.entry, bytes);
    check(by_request.as_bytes(), Some(&bytes), &vkey).unwrap();
    let other = numbered(1).canonical_bytes().unwrap();
    assert!(check(by_request.as_bytes(), Some(&other), &vkey).is_err());
    let moved = by_request.replace("index 290", "index 291");
    assert!(check(moved.as_bytes(), None, &vkey).is_err());
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let dir = Dir::new();
    let (log, vkey) = (dir.log(), dir.key().vkey());
    assert!(matches!(verify(&log, &vkey), Err(ReadError::NoLog { .. })));
    dir.append_all((0..3).map(numbered)).await;
    let error = prove(&log, &vkey, Which::Index(3)).unwrap_err();
    assert!(matches!(error, ReadError::NoEntry { index: 3, size: 3 }));
    let error = prove(&log, &vkey, Which::Request(request(9))).unwrap_err();
    assert!(matches!(error, ReadError::NoRequest(_)), "{error}");
    assert!(matches!(verify(&log, "x"), Err(ReadError::Vkey(_))));
    let other = tempfile::tempdir().unwrap();
    let key = crate::audit::LogKey::create(other.path(), "gate.example.com/audit", &[8; 32]);
    let error = verify(&log, &key.unwrap().vkey()).unwrap_err();
    assert!(matches!(error, ReadError::Checkpoint { .. }), "{error}");
}

#[tokio::test]
async fn a_growing_log_is_followed_and_a_changed_one_is_not() {
    let dir = Dir::new();
    dir.append_all((0..250).map(numbered)).await;
    let (path, vkey) = (dir.log(), dir.key().vkey());
    let mut plain = Tail::new(&path, 248);
    let mut verifying = Tail::verifying(&path, &vkey).unwrap();
    let indices = |entries: Entries| entries.map(|e| e.unwrap().0).collect::<Vec<_>>();
    assert_eq!(indices(plain.poll().unwrap()), [248, 249]);
    assert_eq!(indices(verifying.poll().unwrap()), Vec::<u64>::new());

    let log = dir.open().unwrap();
    for number in 250..260 {
        let pending = log.append(request(number), &numbered(number)).unwrap();
        pending.durable().await.unwrap();
    }
    log.sealed_to(260).await.unwrap();
    let new: Vec<u64> = (250..260).collect();
    assert_eq!(indices(plain.poll().unwrap()), new);
    assert_eq!(indices(verifying.poll().unwrap()), new);
    log.close().await.unwrap();

    // The same log from an older copy, then continued otherwise: a fork under the same key.
    let fork = Dir::new();
    fork.append_all((0..255).map(numbered)).await;
    fs::remove_dir_all(&path).unwrap();
    fs::rename(fork.log(), &path).unwrap();
    assert!(matches!(plain.poll(), Err(ReadError::Cut { had: 260, .. })));
    assert!(matches!(verifying.poll(), Err(ReadError::Cut { .. })));
    dir.append_all((1000..1010).map(numbered)).await;
    assert!(plain.poll().is_ok(), "it cannot know");
    assert!(matches!(verifying.poll(), Err(ReadError::Tree(_))));
}
