//! Processes that the bench starts: each ends when its value is dropped, by its own id.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::machine;

/// A running program. What it says is in a file.
pub(super) struct Running {
    child: Child,
    name: &'static str,
    log: PathBuf,
    /// What it ended with on its own is told only once.
    input: Option<std::process::ChildStdin>,
}

impl Running {
    /// Starts it; its standard output and error go to `log`.
    pub(super) fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        let input = child.stdin.take();
        Ok(Self {
            child,
            name,
            log: log.to_owned(),
            input,
        })
    }

    /// Its id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last that it has said.
    pub(super) fn last_words(&self) -> String {
        const LINES: usize = 4;
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines
            .get(lines.len().saturating_sub(LINES)..)
            .unwrap_or_default()
            .join("\n")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The first word that it says after `before`.
    pub(super) fn word_after(&mut self, before: &str) -> Result<String> {
        self.until(|said| {
            let (_, rest) = said.split_once(before)?;
            let (line, _) = rest.split_once('\n')?;
            line.split_whitespace().next().map(str::to_owned)
        })
    }

    /// Waits until `found` finds something in what it says.
    fn until<T>(&mut self, found: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(found) = found(&self.said()) {
                return Ok(found);
            }
            self.check()?;
            if Instant::now() > deadline {
                bail!("{} does not start:\n{}", self.name, self.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An error if it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.last_words()),
        }
    }
}

/// How long a program may take to start.
pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to end before it is killed.
const END_LIMIT: Duration = Duration::from_secs(3);

impl Drop for Running {
    fn drop(&mut self) {
        let family = machine::family(self.pid());
        drop(self.input.take());
        machine::signal(self.pid(), Signal::TERM);
        let deadline = Instant::now() + END_LIMIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                // Workers whose master was killed are told as well; nginx' end by themselves else.
                for child in family.into_iter().skip(1) {
                    machine::signal(child, Signal::KILL);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
