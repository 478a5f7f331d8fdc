//! Sends records to the gate on this machine, a call's worth at a time.

use http::Method;
use kubestile_assess::traffic::event::Event;
use kubestile_control::api::{
    BATCH_BYTES, BATCH_RECORDS, BeginImport, EndImport, ImportBegun, ImportEnded, ImportRecords,
    ImportWritten,
};
use kubestile_core::event::Imported;
use kubestile_core::{ClusterName, ImportId, Timestamp, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use super::pick::{Key, seen};
use crate::client::Door;
use crate::clock;
use crate::exit::{Fail, Outcome};

/// Of a call, for what stands around its records.
const AROUND: usize = 256;
/// After so long without a record the gate is told that more will come.
const QUIET: Ttl = Ttl::from_secs(20);

/// An import that is under way.
pub(super) struct Sender {
    runtime: Runtime,
    door: Door,
    cluster: ClusterName,
    import: Option<ImportId>,
    written: u64,
    batch: Vec<Imported>,
    bytes: usize,
    said: Timestamp,
}

impl Sender {
    pub(super) fn new(door: Door, cluster: ClusterName) -> Outcome<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            door,
            cluster,
            import: None,
            written: 0,
            batch: Vec::new(),
            bytes: 0,
            said: clock::now(),
        })
    }

    pub(super) fn begin(&mut self, begin: &BeginImport) -> Outcome<ImportBegun> {
        let path = format!("/v1/clusters/{}/imports", self.cluster);
        let begun: ImportBegun = self.call(&path, begin)?;
        self.import = Some(begun.import);
        Ok(begun)
    }

    /// Adds the record of an event.
    pub(super) fn add(&mut self, key: Key, event: &Event<'_>) -> Outcome {
        let (Some(import), Some(seen)) = (self.import, seen(event)) else {
            return Ok(());
        };
        let record = Imported::new(import, &self.cluster, key, &seen);
        let length = serde_json::to_vec(&record)?.len() + 1;
        if self.bytes + length > BATCH_BYTES - AROUND {
            self.flush()?;
        }
        self.bytes += length;
        self.batch.push(record);
        match self.batch.len() >= BATCH_RECORDS {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Says now and then that more will come.
    pub(super) fn stay(&mut self) -> Outcome {
        match clock::now().since(self.said) < QUIET {
            true => Ok(()),
            false => self.say(),
        }
    }

    /// Sends what there is.
    pub(super) fn flush(&mut self) -> Outcome {
        match self.batch.is_empty() {
            true => Ok(()),
            false => self.say(),
        }
    }

    pub(super) fn end(&self, failed: &str) -> Outcome<ImportEnded> {
        let failed = failed.to_owned();
        self.call(&self.path("end")?, &EndImport { failed })
    }

    fn say(&mut self) -> Outcome {
        let records = ImportRecords {
            offset: self.written,
            records: std::mem::take(&mut self.batch),
        };
        self.bytes = 0;
        let answer: ImportWritten = self.call(&self.path("records")?, &records)?;
        self.written = answer.written;
        self.said = clock::now();
        Ok(())
    }

    fn path(&self, what: &str) -> Outcome<String> {
        let import = self
            .import
            .ok_or_else(|| Fail::failure("no import has begun"))?;
        Ok(format!("/v1/imports/{import}/{what}"))
    }

    fn call<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Outcome<T> {
        self.runtime
            .block_on(self.door.send(Method::POST, path, body))
    }
}
