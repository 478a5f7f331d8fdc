use std::path::PathBuf;

use kubestile_core::Timestamp;
use kubestile_core::event::Event;

use super::*;

/// A log in a directory of its own.
struct Dir {
    temp: tempfile::TempDir,
}

impl Dir {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        LogKey::create(temp.path(), "gate.example.com/audit", &[7; 32]).unwrap();
        Self { temp }
    }

    fn log(&self) -> PathBuf {
        self.temp.path().join("log")
    }

    fn key(&self) -> LogKey {
        LogKey::load(self.temp.path()).unwrap()
    }

    fn open(&self) -> Result<AuditLog, OpenError> {
        self.open_on(Arc::new(RealDisk))
    }

    fn open_on(&self, disk: Arc<dyn Disk>) -> Result<AuditLog, OpenError> {
        AuditLog::open_on(disk, &self.log(), self.key(), Duration::from_millis(1))
    }
}

fn record(number: u64) -> (RequestId, Record) {
    let event = Event::Change {
        by: "test".to_owned(),
        what: "counted".to_owned(),
        name: number.to_string(),
        detail: String::new(),
    };
    let id = format!("018f3f5e-7c1a-7000-8000-{number:012x}");
    (
        id.parse().unwrap(),
        Record::new(Timestamp::from_micros(0), event),
    )
}

#[tokio::test]
async fn records_are_durable_then_sealed_and_survive_a_restart() {
    let dir = Dir::new();
    let log = dir.open().unwrap();
    for number in 0..300 {
        let (id, record) = record(number);
        let receipt = log.append(id, &record).unwrap().durable().await.unwrap();
        assert_eq!((receipt.request(), receipt.index()), (id, number));
    }
    assert_eq!((log.durable(), log.backlog()), (300, 0));
    log.sealed_to(300).await.unwrap();
    log.close().await.unwrap();

    let log = dir.open().unwrap();
    assert_eq!(log.size(), 300);
    let (id, record) = record(300);
    let (receipt, durability) = log.append(id, &record).unwrap().early();
    assert_eq!(receipt.index(), 300);
    durability.wait().await.unwrap();
    log.close().await.unwrap();
}
