//! A process that appends is killed (SIGKILL) at fifty points: every record that it had said to be
//! durable is in the log afterwards, at the index it had named, and the log verifies.
//!
//! The test starts itself again as the process to be killed. `KUBESTILE_SEED` chooses other points.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kubestile_core::event::{Event, Record};
use kubestile_core::{RequestId, Timestamp};
use kubestile_store::audit::read::{self, Entries};
use kubestile_store::audit::{AuditLog, LogKey};
use uuid::Uuid;

const KILLS: u64 = 50;
const CHILD_DIR: &str = "KUBESTILE_KILL_TEST_DIR";

#[test]
fn acknowledged_records_survive_kill_9() {
    if let Some(dir) = env::var_os(CHILD_DIR) {
        append_until_killed(Path::new(&dir));
        return;
    }
    let seed = env::var("KUBESTILE_SEED").map_or(1, |text| text.parse().unwrap());
    println!("KUBESTILE_SEED={seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let vkey = LogKey::create(dir.path(), "gate.example.com/audit", &[7; 32])
        .unwrap()
        .vkey();
    let log = dir.path().join("log");
    let mut acknowledged = BTreeMap::new();
    for kill in 0..KILLS {
        // Now and then while it opens, otherwise after some records.
        let after = random.below(300);
        let before = acknowledged.len();
        kill_after(dir.path(), after, &mut acknowledged);
        println!(
            "kill {kill}: after {after}, {} acknowledged",
            acknowledged.len() - before
        );
        check(&log, &vkey, &acknowledged);
    }
    assert!(acknowledged.len() > 1000, "{}", acknowledged.len());
}

/// Lets the child acknowledge some records, kills it, and takes down all that it acknowledged.
fn kill_after(dir: &Path, count: u64, acknowledged: &mut BTreeMap<u64, String>) {
    let mut child = start(dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut take = |line: String| {
        // The harness prints lines of its own; the last line may be cut.
        let Some(rest) = line.strip_prefix("durable ") else {
            return false;
        };
        let Some((index, name)) = rest.strip_suffix('.').and_then(|l| l.split_once(' ')) else {
            return false;
        };
        let before = acknowledged.insert(index.parse().unwrap(), name.to_owned());
        assert_eq!(before, None, "index {index} was given out twice");
        true
    };
    let mut left = count;
    while left > 0 {
        match lines.next() {
            Some(line) => left -= u64::from(take(line.unwrap())),
            None => panic!("the child ended by itself: {:?}", child.wait()),
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        take(line.unwrap());
    }
}

fn start(dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "acknowledged_records_survive_kill_9"])
        .arg("--nocapture")
        .env(CHILD_DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Recovers the log and compares it with what was acknowledged. Before the first checkpoint there
/// may be none: recovering makes it.
fn check(log: &Path, vkey: &str, acknowledged: &BTreeMap<u64, String>) {
    let dir = log.parent().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let opened = AuditLog::open(log, LogKey::load(dir).unwrap()).unwrap();
    runtime.block_on(opened.close()).unwrap();
    let report = read::verify(log, vkey).unwrap();
    assert_eq!(report.problem, None);
    let mut found = BTreeMap::new();
    for entry in Entries::open(log, 0).unwrap() {
        let (index, bytes) = entry.unwrap();
        let Event::Change { name, .. } = Record::from_bytes(&bytes).unwrap().event else {
            panic!("entry {index} is not one of ours");
        };
        found.insert(index, name);
    }
    for (index, name) in acknowledged {
        assert_eq!(found.get(index), Some(name), "entry {index}");
    }
}

/// Appends from eight tasks at once, and prints each record's index once it is durable.
fn append_until_killed(dir: &Path) {
    let log = AuditLog::open(&dir.join("log"), LogKey::load(dir).unwrap()).unwrap();
    let next = Arc::new(AtomicU64::new(log.size() * 1_000_000));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| runtime.spawn(append_for_ever(log.clone(), Arc::clone(&next))))
        .collect();
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}

async fn append_for_ever(log: AuditLog, next: Arc<AtomicU64>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let event = Event::Change {
            by: "test".to_owned(),
            what: "counted".to_owned(),
            name: number.to_string(),
            detail: "x".repeat(usize::try_from(number % 700).unwrap()),
        };
        let request = RequestId::from_uuid(Uuid::from_u128(u128::from(number)));
        let record = Record::new(Timestamp::from_micros(0), event);
        let receipt = log.append(request, &record).unwrap().durable().await;
        let line = format!("durable {} {number}.\n", receipt.unwrap().index());
        // One write for one line; an end of the pipe is the end of the test.
        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
