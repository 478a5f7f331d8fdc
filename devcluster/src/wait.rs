//! Waiting with a deadline, and with the right log at hand when it passes.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::layout::Layout;
use crate::process::Recorded;

/// Longer than anything takes that works at all, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

/// What is waited for, and who is to blame if it does not come.
pub(crate) struct Wait<'a> {
    pub(crate) layout: &'a Layout,
    /// All of these must keep running meanwhile.
    pub(crate) processes: &'a [Recorded],
    pub(crate) what: &'a str,
    /// The program that would bring it about.
    pub(crate) program: &'a str,
}

impl Wait<'_> {
    /// Asks again and again until the answer is yes. A failure to ask is a no.
    pub(crate) fn until(
        &self,
        mut check: impl FnMut() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = match check() {
                Ok(true) => return Ok(()),
                Ok(false) => String::new(),
                Err(error) => format!(": {error}"),
            };
            if let Some(ended) = self.processes.iter().find(|process| !process.is_running()) {
                return Err(Error::Ended {
                    program: ended.program.clone(),
                    what: self.what.to_owned(),
                    log: tail(&self.layout.log(&ended.program)),
                });
            }
            if Instant::now() >= deadline {
                return Err(Error::NotInTime {
                    what: self.what.to_owned(),
                    waited: PATIENCE,
                    last,
                    program: self.program.to_owned(),
                    log: tail(&self.layout.log(self.program)),
                });
            }
            thread::sleep(PAUSE);
        }
    }
}

/// The last lines of a log; empty if it cannot be read, since it only explains.
pub(crate) fn tail(log: &Path) -> String {
    const BYTES: u64 = 64 * 1024;
    const LINES: usize = 25;
    let mut bytes = Vec::new();
    let _unreadable = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().rev().take(LINES).collect();
    lines.reverse();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let shown = tail(&path);
        assert!(
            shown.starts_with("line 76\n") && shown.ends_with("line 100"),
            "{shown}"
        );
        assert_eq!(tail(&dir.path().join("none")), "");
    }
}
