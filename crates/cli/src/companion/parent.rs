//! The kubectl that the companion belongs to: whether it still runs, and what it is called.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use kubestile_core::Timestamp;
use rustix::process::{Pid, geteuid, getpid};

use crate::clock::now;

/// How often it is looked for where the kernel cannot tell its end.
const LOOK: Duration = Duration::from_millis(200);

/// A process that runs, whatever other process gets its number later.
pub(super) struct Parent {
    pid: Pid,
    started: Option<u64>,
    #[cfg(target_os = "linux")]
    handle: Option<std::os::fd::OwnedFd>,
}

impl Parent {
    /// If the process of that number is still the one that was started then.
    pub(super) fn find(pid: Pid, started: Option<u64>) -> Option<Self> {
        let parent = Self {
            pid,
            started,
            // First the handle, then the look at whose it is.
            #[cfg(target_os = "linux")]
            handle: rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok(),
        };
        parent.runs().then_some(parent)
    }

    /// Its number.
    pub(super) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end, and not longer than `until`.
    pub(super) fn wait(&self, until: Timestamp) {
        while now() < until && !self.ended_within(until) {}
    }

    #[cfg(target_os = "linux")]
    fn ended_within(&self, until: Timestamp) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(handle) = &self.handle else {
            return self.look();
        };
        // Not all at once: the clock may be set meanwhile.
        let secs = until.since(now()).as_secs().clamp(1, 60);
        let timeout = Timespec {
            tv_sec: secs,
            tv_nsec: 0,
        };
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => false,
            Ok(_) => true,
            Err(_) => self.look(),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn ended_within(&self, _until: Timestamp) -> bool {
        self.look()
    }

    fn look(&self) -> bool {
        std::thread::sleep(LOOK);
        !self.runs()
    }

    fn runs(&self) -> bool {
        match (self.started, stat(self.pid)) {
            (Some(started), stat) => stat.is_some_and(|s| s.started == started && s.lives),
            (None, _) => rustix::process::test_kill_process(self.pid).is_ok(),
        }
    }

    /// Whether another companion, started before this one, tells it already: kubectl runs its plugin anew
    /// when a certificate ends.
    pub(super) fn has_companion(&self) -> bool {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return false;
        };
        let Some(me) = Seat::of(getpid()) else {
            return false;
        };
        let words = [
            "companion".to_owned(),
            format!("--parent={}", self.pid.as_raw_nonzero()),
        ];
        processes
            .filter_map(Result::ok)
            .filter(|entry| {
                entry
                    .metadata()
                    .is_ok_and(|m| m.uid() == geteuid().as_raw())
            })
            .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .filter(|pid| {
                std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()))
                    .is_ok_and(|line| has_words(&line, &words))
            })
            .any(|pid| Seat::of(pid).is_some_and(|other| other < me))
    }
}

/// Of two companions the earlier one stays; of two of the same moment the one with the smaller number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Seat(u64, i32);

impl Seat {
    fn of(pid: Pid) -> Option<Self> {
        let stat = stat(pid).filter(|s| s.lives)?;
        Some(Self(stat.started, pid.as_raw_nonzero().get()))
    }
}

/// Whether a command line of `/proc` is of a program of ours with these words among its arguments.
fn has_words(line: &[u8], words: &[String]) -> bool {
    let all: Vec<OsString> = line
        .split(|b| *b == 0)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    words
        .iter()
        .all(|word| all.iter().any(|a| a == word.as_str()))
}

/// When a process was started, in clock ticks since the machine was; `None` where there is no `/proc`.
pub(super) fn started(pid: Pid) -> Option<u64> {
    stat(pid).map(|s| s.started)
}

/// The process group of a process, to be compared only. It is 0 if its leader is outside of our PID
/// namespace (pid_namespaces(7)), which `rustix::process::getpgid` does not expect.
#[cfg(target_os = "linux")]
pub(super) fn group(pid: Pid) -> Option<i32> {
    stat(pid).map(|s| s.group)
}

/// The process group of a process, to be compared only.
#[cfg(not(target_os = "linux"))]
pub(super) fn group(pid: Pid) -> Option<i32> {
    let group = rustix::process::getpgid(Some(pid)).ok()?;
    Some(group.as_raw_nonzero().get())
}

/// Whether a program is kubectl by its name, or cannot be asked for it.
pub(super) fn is_kubectl(pid: Pid) -> bool {
    stat(pid).is_none_or(|s| s.name == "oc" || s.name.starts_with("kubectl"))
}

fn stat(pid: Pid) -> Option<Stat> {
    let text = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Stat::parse(&String::from_utf8_lossy(&text))
}

/// What is of interest of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    /// It is no zombie.
    lives: bool,
    group: i32,
    started: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // A name may hold parentheses and spaces.
        let (head, rest) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        // The fifth field of all and the 22nd, of which the state was the third.
        let group = fields.nth(1)?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self {
            name: name.to_owned(),
            lives: !matches!(state, "Z" | "X" | "x"),
            group,
            started,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_shift_the_fields() {
        let text = "71 (a) S (b c) S 1 70 0 34816 71 4194304 1 0 0 0 5 6 0 0 20 0 9 0 4711 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.name, "a) S (b c");
        assert_eq!((stat.lives, stat.group, stat.started), (true, 70, 4711));
        let zombie = text.replace(") S 1", ") Z 1");
        assert!(!Stat::parse(&zombie).unwrap().lives);
        for bad in ["", "71", "71 (a", "71 (a) S", "71 (a) S 1 2 3"] {
            assert_eq!(Stat::parse(bad), None, "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_found_by_number_and_start_and_its_end_is_seen() {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let began = started(pid).unwrap();
        assert!(Parent::find(pid, Some(began + 1)).is_none(), "another one");
        let parent = Parent::find(pid, Some(began)).unwrap();
        assert!(!is_kubectl(pid));
        child.kill().unwrap();
        parent.wait(Timestamp::from_micros(i64::MAX));
        child.wait().unwrap();
        assert!(Parent::find(pid, Some(began)).is_none());
    }

    #[test]
    fn words_are_whole_arguments() {
        let words = ["companion".to_owned(), "--parent=71".to_owned()];
        let of = |line: &str| has_words(line.replace(' ', "\0").as_bytes(), &words);
        assert!(of("kubestile companion --login /d --parent=71 --since=1"));
        assert!(!of("kubestile companion --login /d --parent=712"));
        assert!(!of("grep companion"));
    }
}
