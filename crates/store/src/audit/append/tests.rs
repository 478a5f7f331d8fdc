use std::collections::BTreeSet;

use super::*;
use crate::audit::disk::faulty::FaultyDisk;
use crate::audit::testing::{Dir, StalledDisk, numbered, request};

#[tokio::test]
async fn records_are_durable_then_sealed_and_survive_a_restart() {
    let dir = Dir::new();
    let log = dir.open().unwrap();
    for number in 0..300 {
        let pending = log.append(request(number), &numbered(number)).unwrap();
        let receipt = pending.durable().await.unwrap();
        assert_eq!(receipt.request(), request(number));
        assert_eq!(receipt.index(), number);
    }
    assert_eq!((log.durable(), log.backlog()), (300, 0));
    log.sealed_to(300).await.unwrap();
    assert_eq!(log.sealed(), 300);
    log.close().await.unwrap();

    let log = dir.open().unwrap();
    assert_eq!(log.size(), 300);
    let pending = log.append(request(300), &numbered(300)).unwrap();
    let (receipt, durability) = pending.early();
    assert_eq!(receipt.index(), 300);
    durability.wait().await.unwrap();
    log.close().await.unwrap();
    assert_eq!(dir.entries().len(), 301);
    assert_eq!(dir.problem(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appenders_at_the_same_time_get_each_index_once() {
    let dir = Dir::new();
    let log = dir.open().unwrap();
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut got = Vec::new();
                for i in 0..100 {
                    let number = task * 100 + i;
                    let pending = log.append(request(number), &numbered(number)).unwrap();
                    got.push((pending.durable().await.unwrap().index(), number));
                }
                got
            })
        })
        .collect();
    let mut all = BTreeSet::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    log.close().await.unwrap();
    let entries = dir.entries();
    assert_eq!((all.len(), entries.len()), (1600, 1600));
    for (index, number) in all {
        let expected = numbered(number).canonical_bytes().unwrap();
        assert_eq!(entries[usize::try_from(index).unwrap()], expected);
    }
    assert_eq!(dir.problem(), None);
}

#[tokio::test]
async fn a_receipt_may_be_early_but_durability_may_not() {
    let (dir, disk) = (Dir::new(), StalledDisk::new());
    let log = dir.open_on(disk.clone()).unwrap();
    disk.stall(true);
    let (receipt, durability) = log.append(request(0), &numbered(0)).unwrap().early();
    assert_eq!(receipt.index(), 0);
    let waiting = tokio::spawn(durability.wait());
    let change = log.append_change(&numbered(1)).unwrap().wait();
    let change = tokio::spawn(change);
    let durable = log.append(request(2), &numbered(2)).unwrap().durable();
    let waiting_too = tokio::spawn(durable);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let finished = [waiting.is_finished(), change.is_finished()];
    assert_eq!(finished, [false, false]);
    assert!(!waiting_too.is_finished());
    assert_eq!((log.durable(), log.backlog()), (0, 3));
    disk.stall(false);
    waiting.await.unwrap().unwrap();
    change.await.unwrap().unwrap();
    assert_eq!(waiting_too.await.unwrap().unwrap().index(), 2);
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_does_not_keep_up_is_backlog_not_memory() {
    let (dir, disk) = (Dir::new(), StalledDisk::new());
    let log = dir.open_on(disk.clone()).unwrap();
    disk.stall(true);
    let mut accepted = 0;
    let refused = loop {
        match log.append(request(accepted), &numbered(accepted)) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AuditError::Backlog), "{refused}");
    assert_eq!(accepted, log.backlog());
    disk.stall(false);
    log.close().await.unwrap();
    let entries = dir.entries();
    assert_eq!(entries.len() as u64, accepted);
    assert_eq!(dir.problem(), None);
}

#[tokio::test]
async fn after_a_failed_sync_the_log_takes_nothing_more() {
    let dir = Dir::new();
    dir.open().unwrap().close().await.unwrap();
    // How many operations opening takes.
    let disk = Arc::new(FaultyDisk::new(u64::MAX, 0));
    dir.open_on(disk.clone()).unwrap().close().await.unwrap();
    let to_open = disk.operations();

    // One more succeeds: the write; its sync fails.
    let log = dir
        .open_on(Arc::new(FaultyDisk::new(to_open + 1, 0)))
        .unwrap();
    let pending = log.append(request(0), &numbered(0)).unwrap();
    let error = pending.durable().await.unwrap_err();
    assert!(matches!(error, AuditError::Failed(_)), "{error}");
    let why = log.failed().unwrap().to_string();
    assert!(why.contains("cannot sync") && why.contains(".wal"), "{why}");
    let later = log.append(request(1), &numbered(1)).unwrap_err();
    assert!(matches!(later, AuditError::Failed(_)), "{later}");
    assert!(log.sealed_to(1).await.is_err());
    assert!(log.close().await.is_err());

    // The record was never acknowledged; it may or may not be there.
    let log = dir.open().unwrap();
    assert!(log.size() <= 1);
    log.close().await.unwrap();
    assert_eq!(dir.problem(), None);
}

#[tokio::test]
async fn a_closed_log_takes_nothing_more() {
    let dir = Dir::new();
    let log = dir.open().unwrap();
    let other = log.clone();
    log.close().await.unwrap();
    let error = other.append(request(0), &numbered(0)).unwrap_err();
    assert!(matches!(error, AuditError::Closed), "{error}");
    assert!(matches!(other.sealed_to(1).await, Err(AuditError::Closed)));
}

#[tokio::test]
async fn an_open_log_belongs_to_one() {
    let dir = Dir::new();
    let log = dir.open().unwrap();
    let error = dir.open().unwrap_err();
    let pid = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&pid), "{error}");
    log.close().await.unwrap();
    dir.open().unwrap().close().await.unwrap();
}
