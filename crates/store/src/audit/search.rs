//! Searching a log: who did what, where, when, and how it ended.

mod filter;

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use kubestile_core::RequestId;
use kubestile_core::event::{Completion, Event, Record};

use super::read::{Entries, ReadError};

pub use filter::Filter;

/// As many found requests may wait for their completions to come by.
const WINDOW: usize = 4096;

/// A record that was looked for, with what became of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its index in the log.
    pub index: u64,
    /// The record: a decision, a refusal, a session's change or a change of state.
    pub record: Record,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was forwarded, so there is nothing to complete.
    NotForwarded,
    /// It was forwarded and has ended.
    Completed {
        /// Index of the record that says so.
        index: u64,
        /// How it ended.
        completion: Completion,
    },
    /// It was forwarded, and the log does not say that it ended: it goes on, or the gate died.
    Open,
    /// It was forwarded, and its end, if any, is too far away to be looked for on the way: search
    /// for the request's own id.
    FarAway,
}

/// What matches `filter` in the log below `dir`, in the order of the log. Memory is bounded: the log
/// is read once, front to back.
///
/// # Errors
/// If there is no log. The iterator yields an error for an entry that is no record, and goes on.
pub fn search(dir: &Path, filter: &Filter) -> Result<Search, ReadError> {
    Ok(Search {
        entries: Entries::open(dir, 0)?,
        matcher: filter.matcher(),
        window: VecDeque::new(),
        open: HashMap::new(),
        emitted: 0,
        ended: false,
    })
}

/// An iterator over what was found.
#[derive(Debug)]
pub struct Search {
    entries: Entries,
    matcher: filter::Matcher,
    /// Found, and not handed out: the first waits for its completion.
    window: VecDeque<Found>,
    /// Position of requests in `window` that wait, counted from the first ever found.
    open: HashMap<RequestId, u64>,
    emitted: u64,
    ended: bool,
}

impl Iterator for Search {
    type Item = Result<Found, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.ready() {
                return Some(Ok(found));
            }
            match self.entries.next() {
                Some(Ok((index, bytes))) => {
                    if let Err(error) = self.take_in(index, &bytes) {
                        return Some(Err(error));
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None if self.ended => return None,
                None => self.ended = true,
            }
        }
    }
}

impl Search {
    /// The first found, if nothing more is to be learned of it.
    fn ready(&mut self) -> Option<Found> {
        let first = self.window.front()?;
        let waits = first.outcome == Outcome::Open;
        if waits && !self.ended && self.window.len() < WINDOW {
            return None;
        }
        let mut found = self.window.pop_front()?;
        self.emitted += 1;
        if waits {
            if let Some(request) = request_of(&found.record.event) {
                self.open.remove(&request);
            }
            if !self.ended {
                found.outcome = Outcome::FarAway;
            }
        }
        Some(found)
    }

    fn take_in(&mut self, index: u64, bytes: &[u8]) -> Result<(), ReadError> {
        let completes = !self.open.is_empty() && filter::is_completion(bytes);
        if !completes && !self.matcher.may_match(bytes) {
            return Ok(());
        }
        let record =
            Record::from_bytes(bytes).map_err(|source| ReadError::Record { index, source })?;
        if let Event::Completion(completion) = record.event {
            self.complete(index, completion);
        } else if self.matcher.matches(&record) {
            self.found(index, record);
        }
        Ok(())
    }

    fn complete(&mut self, index: u64, completion: Completion) {
        let position = self.open.remove(&completion.request);
        let position = position.and_then(|p| usize::try_from(p - self.emitted).ok());
        if let Some(found) = position.and_then(|p| self.window.get_mut(p)) {
            found.outcome = Outcome::Completed { index, completion };
        }
    }

    fn found(&mut self, index: u64, record: Record) {
        let mut outcome = Outcome::NotForwarded;
        if let Event::Decision(decided) = &record.event
            && decided.decision == "allow"
        {
            outcome = Outcome::Open;
            let position = self.emitted + self.window.len() as u64;
            self.open.insert(decided.request, position);
        }
        self.window.push_back(Found {
            index,
            record,
            outcome,
        });
    }
}

/// The request that an event is about.
pub(super) fn request_of(event: &Event) -> Option<RequestId> {
    match event {
        Event::Decision(decided) => Some(decided.request),
        Event::Completion(completion) => Some(completion.request),
        Event::Refusal { request, .. } => Some(*request),
        Event::Access(accessed) => accessed.request,
        Event::Session { .. }
        | Event::Grant(_)
        | Event::Change { .. }
        | Event::Gap(_)
        | Event::Imported(_) => None,
    }
}

#[cfg(test)]
mod tests;
