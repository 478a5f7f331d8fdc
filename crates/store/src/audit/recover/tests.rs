use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use kubestile_core::event::Record;
use kubestile_tlog::{Hash, TreeReader};
use proptest::prelude::*;

use super::*;
use crate::audit::disk::RealDisk;
use crate::audit::disk::faulty::FaultyDisk;
use crate::audit::read;
use crate::audit::testing::{Dir, numbered, request};

fn entry(number: u64) -> Entry {
    Entry::new(numbered(number).canonical_bytes().unwrap())
}

/// A log with `sealed` entries and then, in the write-ahead file, batches of these sizes.
async fn crashed(sealed: u64, batches: &[u64]) -> Dir {
    let dir = Dir::new();
    dir.append_all((0..sealed).map(numbered)).await;
    let mut wal = Wal::start(Arc::new(RealDisk), &dir.log(), &dir.key().vkey(), sealed).unwrap();
    let mut next = sealed;
    for size in batches {
        let batch: Vec<_> = (next..next + size).map(entry).collect();
        wal.append(&batch).unwrap();
        next += size;
    }
    dir
}

/// The only write-ahead file.
fn wal_file(dir: &Dir) -> std::path::PathBuf {
    let segments = wal::segments(&dir.log().join("wal")).unwrap();
    assert_eq!(segments.len(), 1);
    segments[0].1.clone()
}

async fn reopened(dir: &Dir) -> u64 {
    let log = dir.open().unwrap();
    let size = log.size();
    log.close().await.unwrap();
    for (number, found) in (0..).zip(dir.entries()) {
        assert_eq!(found, entry(number).bytes);
    }
    assert_eq!(dir.problem(), None);
    size
}

#[tokio::test]
async fn a_write_ahead_file_cut_anywhere_loses_only_whole_batches_from_its_end() {
    let ends = {
        // Where each batch ends.
        let mut ends = BTreeMap::new();
        for count in 0..=3 {
            let dir = crashed(3, &[2, 1, 3][..count]).await;
            let size = 3 + [2, 1, 3][..count].iter().sum::<u64>();
            ends.insert(fs::metadata(wal_file(&dir)).unwrap().len(), size);
        }
        ends
    };
    let (header, all) = (*ends.keys().next().unwrap(), *ends.keys().last().unwrap());
    for len in (header..=all).step_by(7).chain(ends.keys().copied()) {
        let dir = crashed(3, &[2, 1, 3]).await;
        let file = OpenOptions::new().write(true).open(wal_file(&dir)).unwrap();
        file.set_len(len).unwrap();
        let expected = *ends.range(..=len).next_back().unwrap().1;
        assert_eq!(reopened(&dir).await, expected, "cut at byte {len}");
    }
}

#[tokio::test]
async fn a_changed_byte_is_dropped_with_the_last_batch_and_refused_before_it() {
    let header = {
        let dir = crashed(3, &[]).await;
        fs::metadata(wal_file(&dir)).unwrap().len()
    };
    let first = {
        let dir = crashed(3, &[2]).await;
        fs::metadata(wal_file(&dir)).unwrap().len()
    };
    let all = {
        let dir = crashed(3, &[2, 3]).await;
        fs::metadata(wal_file(&dir)).unwrap().len()
    };
    for at in (0..all).step_by(5) {
        let dir = crashed(3, &[2, 3]).await;
        let path = wal_file(&dir);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        if at < first {
            let error = dir.open().unwrap_err();
            let offset = if at < header { 0 } else { header };
            assert!(
                matches!(&error, OpenError::WalDamaged { offset: o, .. } if *o == offset),
                "byte {at}: {error}"
            );
        } else {
            assert_eq!(reopened(&dir).await, 5, "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_missing_write_ahead_file_is_refused() {
    let dir = crashed(3, &[2]).await;
    fs::remove_file(wal_file(&dir)).unwrap();
    let error = dir.open().unwrap_err();
    assert!(matches!(error, OpenError::WalMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_gap_is_refused() {
    let dir = crashed(3, &[2]).await;
    let vkey = dir.key().vkey();
    let mut second = Wal::start(Arc::new(RealDisk), &dir.log(), &vkey, 6).unwrap();
    second.append(&[entry(6)]).unwrap();
    let error = dir.open().unwrap_err();
    assert!(
        matches!(error, OpenError::Gap { from: 5, to: 5, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn entries_given_out_twice_are_refused() {
    let dir = crashed(3, &[2]).await;
    let vkey = dir.key().vkey();
    let mut second = Wal::start(Arc::new(RealDisk), &dir.log(), &vkey, 4).unwrap();
    second.append(&[entry(9)]).unwrap();
    let error = dir.open().unwrap_err();
    assert!(matches!(error, OpenError::WalDamaged { .. }), "{error}");
}

#[tokio::test]
async fn a_write_ahead_file_that_ends_before_the_checkpoint_is_refused() {
    let dir = crashed(3, &[]).await;
    fs::remove_file(wal_file(&dir)).unwrap();
    let vkey = dir.key().vkey();
    let mut old = Wal::start(Arc::new(RealDisk), &dir.log(), &vkey, 0).unwrap();
    old.append(&[entry(0), entry(1)]).unwrap();
    let error = dir.open().unwrap_err();
    assert!(
        matches!(error, OpenError::Gap { from: 2, to: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_write_ahead_file_that_contradicts_the_checkpoint_is_refused() {
    let dir = crashed(3, &[]).await;
    fs::remove_file(wal_file(&dir)).unwrap();
    let vkey = dir.key().vkey();
    let mut other = Wal::start(Arc::new(RealDisk), &dir.log(), &vkey, 0).unwrap();
    let batch = [entry(0), entry(7), entry(2), entry(3)];
    other.append(&batch).unwrap();
    let error = dir.open().unwrap_err();
    assert!(
        matches!(error, OpenError::Conflict { index: 1, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn tiles_and_entries_that_do_not_lead_to_the_checkpoint_are_refused() {
    for victim in ["tile/0/000.p/3", "tile/entries/000.p/3"] {
        let dir = crashed(3, &[1]).await;
        let path = dir.log().join(victim);
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let error = dir.open().unwrap_err();
        assert!(matches!(error, OpenError::Tiles(_)), "{victim}: {error}");
    }
    let dir = crashed(3, &[1]).await;
    fs::remove_file(dir.log().join("checkpoint")).unwrap();
    let error = dir.open().unwrap_err();
    assert!(
        matches!(error, OpenError::CheckpointMissing { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn another_key_is_refused() {
    let (dir, other) = (crashed(3, &[1]).await, tempfile::tempdir().unwrap());
    let key = LogKey::create(other.path(), "gate.example.com/audit", &[8; 32]).unwrap();
    let error = crate::audit::AuditLog::open(&dir.log(), key).unwrap_err();
    assert!(matches!(error, OpenError::Checkpoint { .. }), "{error}");
}

#[tokio::test]
async fn a_sealed_file_is_never_overwritten_with_other_bytes() {
    let dir = crashed(3, &[1]).await;
    // The fourth entry's bundle is there already, with something else in it.
    fs::write(dir.log().join("tile/entries/000.p/4"), b"other").unwrap();
    let error = dir.open().unwrap_err();
    let conflict = matches!(error, OpenError::Disk(DiskError::Conflict { .. }));
    assert!(conflict, "{error}");
}

/// One life of the log: appends in batches until the disk fails, and says what was acknowledged.
async fn live(
    dir: &Dir,
    disk: Arc<FaultyDisk>,
    batches: &[u8],
    acknowledged: &mut BTreeMap<u64, Record>,
) {
    let Ok(log) = dir.open_on(disk) else { return };
    let mut number = log.size();
    for size in batches {
        let mut pending = Vec::new();
        for _ in 0..*size {
            let record = numbered(number);
            let Ok(appended) = log.append(request(number), &record) else {
                break;
            };
            number += 1;
            pending.push((appended, record));
        }
        for (appended, record) in pending {
            if let Ok(receipt) = appended.durable().await {
                acknowledged.insert(receipt.index(), record);
            }
        }
    }
    // It may have failed by now; what matters is that nothing writes any more.
    drop(log.close().await);
}

/// The size and root of the published checkpoint, if there is one.
fn published(dir: &Dir) -> Option<(u64, Hash)> {
    let head = read::head(&dir.log()).ok()?;
    Some((head.size(), head.root()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    /// Whatever operation fails, and whatever un-synced bytes and names a crash then forgets: every
    /// acknowledged record is there afterwards, at its index, and every checkpoint ever published is
    /// the head of a prefix.
    #[test]
    fn no_crash_loses_an_acknowledged_record(
        lives in prop::collection::vec(
            (0_u64..160, any::<u64>(), prop::collection::vec(1_u8..90, 1..12)),
            1..4,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = Dir::new();
            let mut acknowledged = BTreeMap::new();
            let mut heads = Vec::new();
            for (left, seed, batches) in lives {
                let disk = Arc::new(FaultyDisk::new(left, seed));
                live(&dir, Arc::clone(&disk), &batches, &mut acknowledged).await;
                heads.extend(published(&dir));
                disk.crash();
            }
            let log = dir.open().unwrap();
            let size = log.size();
            let pending = log.append(request(size), &numbered(size)).unwrap();
            assert_eq!(pending.durable().await.unwrap().index(), size);
            log.close().await.unwrap();

            assert_eq!(dir.problem(), None);
            let entries = dir.entries();
            assert_eq!(entries.len() as u64, size + 1);
            for (index, record) in acknowledged {
                let found = entries.get(usize::try_from(index).unwrap());
                assert_eq!(found, Some(&record.canonical_bytes().unwrap()), "entry {index}");
            }
            let root = dir.log();
            let mut tree = TreeReader::new(size + 1, |tile| layout::read_tile(&root, tile));
            for (size, root) in heads {
                assert_eq!(tree.root_at(size).unwrap(), root, "checkpoint of size {size}");
            }
        });
    }
}
