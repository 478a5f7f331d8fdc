//! What the tests of the log share.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use kubestile_core::event::{Completion, Decided, Event, Kube, Record};
use kubestile_core::identity::{Assurance, Credential, IdentityKind};
use kubestile_core::{PersonId, RequestId, SessionId, Timestamp};
use uuid::Uuid;

use super::disk::{Disk, RealDisk};
use super::read::{self, Entries};
use super::{AuditLog, LogKey, OpenError};

/// A log in a directory of its own.
pub(super) struct Dir {
    temp: tempfile::TempDir,
}

impl Dir {
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        LogKey::create(temp.path(), "gate.example.com/audit", &[7; 32]).unwrap();
        Self { temp }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.temp.path().join("log")
    }

    pub(super) fn key(&self) -> LogKey {
        LogKey::load(self.temp.path()).unwrap()
    }

    pub(super) fn open(&self) -> Result<AuditLog, OpenError> {
        self.open_on(Arc::new(RealDisk))
    }

    pub(super) fn open_on(&self, disk: Arc<dyn Disk>) -> Result<AuditLog, OpenError> {
        AuditLog::open_on(disk, &self.log(), self.key(), Duration::from_millis(1))
    }

    /// Opens the log, appends the records and closes it.
    pub(super) async fn append_all(&self, records: impl IntoIterator<Item = Record>) {
        let log = self.open().unwrap();
        for record in records {
            let _ = log.append(request(0), &record).unwrap();
        }
        log.close().await.unwrap();
    }

    pub(super) fn entries(&self) -> Vec<Vec<u8>> {
        let entries = Entries::open(&self.log(), 0).unwrap();
        entries.map(|entry| entry.unwrap().1).collect()
    }

    /// What is wrong with the log, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        match read::verify(&self.log(), &self.key().vkey()) {
            Ok(report) => report.problem.map(|problem| problem.what),
            Err(error) => Some(error.to_string()),
        }
    }
}

pub(super) fn request(number: u64) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

/// A record that says its number.
pub(super) fn numbered(number: u64) -> Record {
    let event = Event::Change {
        by: "test".to_owned(),
        what: "counted".to_owned(),
        name: number.to_string(),
        detail: String::new(),
    };
    Record::new(Timestamp::from_micros(0), event)
}

/// `person` asks to `action` something in `namespace` at second `number`.
pub(super) fn decision(
    number: u64,
    person: &str,
    action: &str,
    namespace: &str,
    answer: &str,
) -> Record {
    let id = Uuid::from_u128(7);
    let actor = kubestile_core::event::Actor {
        name: person.to_owned(),
        id: PersonId::from_uuid(id),
        kind: IdentityKind::Person,
        session: SessionId::from_uuid(id),
        assurance: Assurance::Code,
        credential: Credential::Certificate,
        source: "192.0.2.17".to_owned(),
        user_agent: String::new(),
    };
    let kube = Kube {
        cluster: "prod".parse().unwrap(),
        action: action.to_owned(),
        method: "GET".to_owned(),
        verb: action.to_owned(),
        group: String::new(),
        version: "v1".to_owned(),
        resource: "pods".to_owned(),
        subresource: String::new(),
        namespace: namespace.to_owned(),
        name: "web".to_owned(),
        path: String::new(),
        field_selector: String::new(),
        label_selector: String::new(),
        container: String::new(),
        command: Vec::new(),
        dry_run: false,
        impersonates: String::new(),
    };
    let decided = Decided {
        request: request(number),
        actor,
        kube,
        kubectl: format!("kubectl {action} pod web -n {namespace}"),
        invocation: None,
        digest: String::new(),
        decision: answer.to_owned(),
        policies: Vec::new(),
        policy_version: String::new(),
        obligations: Vec::new(),
        risk: String::new(),
        approval: None,
        grants: Vec::new(),
        looked_up_for: None,
        upstream: None,
    };
    let time = Timestamp::from_secs(i64::try_from(number).unwrap());
    Record::new(time, Event::Decision(Box::new(decided)))
}

pub(super) fn completion(number: u64, status: u16) -> Record {
    let completion = Completion {
        request: request(number),
        status,
        bytes_in: 0,
        bytes_out: 0,
        duration_micros: 1,
        end: "complete".to_owned(),
        detail: String::new(),
    };
    Record::new(Timestamp::from_secs(0), Event::Completion(completion))
}

/// A disk on which syncing a write-ahead file takes until it is let go on.
pub(super) struct StalledDisk {
    stalled: Mutex<bool>,
    changed: Condvar,
}

impl StalledDisk {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            stalled: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    pub(super) fn stall(&self, stalled: bool) {
        *self.stalled.lock().unwrap() = stalled;
        self.changed.notify_all();
    }
}

impl Disk for StalledDisk {
    fn sync(&self, path: &Path, file: &File) -> io::Result<()> {
        if path.extension().is_some_and(|extension| extension == "wal") {
            let mut stalled = self.stalled.lock().unwrap();
            while *stalled {
                stalled = self.changed.wait(stalled).unwrap();
            }
        }
        RealDisk.sync(path, file)
    }
}
