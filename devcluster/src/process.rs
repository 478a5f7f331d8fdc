//! Processes that outlive their starter, and are ended only if they are still the same.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext as _};

/// A process as it was when it was started.
///
/// A pid alone says nothing later on: it may have been given to another program.
/// With the start time and the boot it is unique.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) program: String,
    pid: i32,
    /// Clock ticks since boot, as the kernel counts them.
    started: u64,
    boot: String,
}

impl Recorded {
    /// Records a process that runs now; `None` if it is gone already.
    pub(crate) fn running(program: &str, pid: i32) -> Option<Self> {
        let seen = Stat::of(pid)?;
        Some(Self {
            program: program.to_owned(),
            pid,
            started: seen.started,
            boot: boot()?,
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        boot().is_some_and(|now| now == self.boot)
            && Stat::of(self.pid).is_some_and(|seen| seen.is_live(self.started))
    }

    /// Sends a signal to this very process, or to none.
    fn signal(&self, signal: Signal) {
        // The handle comes first: from here on it cannot name a later process, so the
        // comparison of start times that follows stays true.
        let Some(handle) =
            Pid::from_raw(self.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        else {
            return;
        };
        if self.is_running() {
            // Gone in between is as good as ended by us.
            let _gone = pidfd_send_signal(&handle, signal);
        }
    }
}

/// Asks all to end, then after `grace` makes those end that have not.
///
/// Returns the ones that are still there, which only happens to processes stuck in
/// the kernel.
pub(crate) fn stop<'a>(
    processes: impl IntoIterator<Item = &'a Recorded>,
    grace: Duration,
) -> Vec<&'a Recorded> {
    let mut left: Vec<&Recorded> = processes
        .into_iter()
        .filter(|one| one.is_running())
        .collect();
    for (signal, patience) in [
        (Signal::TERM, grace),
        (Signal::KILL, Duration::from_secs(5)),
    ] {
        for process in &left {
            process.signal(signal);
        }
        let deadline = Instant::now() + patience;
        while !left.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
            left.retain(|process| process.is_running());
        }
    }
    left
}

/// Finds processes of a cluster that were not written down: the shims that containerd
/// starts, and a program whose starter was killed before it could write.
pub(crate) fn strays(programs: &[PathBuf], dir: &Path) -> Vec<Recorded> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Recorded::running(&stray(&arguments, programs, dir)?, pid)
        })
        .collect()
}

/// The program's name if the command line is one that only this cluster can have: one
/// of its programs, told of a file in its directory. Clients are their users' own.
fn stray(arguments: &[u8], programs: &[PathBuf], dir: &Path) -> Option<String> {
    let mut arguments = arguments.split(|&byte| byte == 0).map(OsStr::from_bytes);
    let path = Path::new(arguments.next()?);
    let name = path.file_name()?.to_str()?;
    let dir = [dir.as_os_str().as_bytes(), b"/"].concat();
    let ours = programs
        .iter()
        .any(|programs| path.parent() == Some(programs))
        && !matches!(name, "kubectl" | "ctr")
        && arguments.any(|text| text.as_bytes().windows(dir.len()).any(|part| part == dir));
    ours.then(|| name.to_owned())
}

/// A program to start.
pub(crate) struct Launch<'a> {
    pub(crate) program: &'a str,
    pub(crate) path: &'a Path,
    pub(crate) args: Vec<OsString>,
    pub(crate) search_path: &'a OsString,
    pub(crate) dir: &'a Path,
    pub(crate) log: &'a Path,
}

/// Starts a program in a session of its own, with its output in a file.
///
/// Neither the end of the caller nor a Ctrl-C on its terminal reaches it.
pub(crate) fn start(launch: Launch<'_>) -> Result<Recorded, Error> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(launch.log)
        .on("open", launch.log)?;
    let errors = log.try_clone().on("open", launch.log)?;
    // `setsid` makes the session and then becomes the program, so the pid stays.
    let mut child = Command::new("setsid")
        .arg(launch.path)
        .args(launch.args)
        .env("PATH", launch.search_path)
        .current_dir(launch.dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|_| Error::Missing {
            program: "setsid".to_owned(),
            packages: "util-linux",
        })?;
    // It cannot be gone already: until waited for, a child keeps its pid.
    let recorded = i32::try_from(child.id())
        .ok()
        .and_then(|pid| Recorded::running(launch.program, pid))
        .ok_or_else(|| std::io::Error::other("no such process"))
        .on("start", launch.path)?;
    // While the caller lives it is the parent: without this, an ended program would
    // stay as a zombie.
    thread::spawn(move || child.wait());
    Ok(recorded)
}

/// The two facts of `/proc/PID/stat` that matter here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    started: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses and may itself hold
    /// spaces and parentheses: what counts starts after the last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // Field 22 of the line; the state was field 3.
        let started = fields.nth(22 - 3 - 1)?.parse().ok()?;
        Some(Self { state, started })
    }

    fn is_live(&self, started: u64) -> bool {
        self.started == started && !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "71 (a) b (c)) S 1 71 71 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";

    #[test]
    fn the_start_time_is_found_behind_an_odd_name() {
        assert_eq!(
            Stat::parse(LINE),
            Some(Stat {
                state: 'S',
                started: 4242
            })
        );
        assert_eq!(Stat::parse("71 (cut) S 1"), None);
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let recorded = Recorded::running("sleep", pid).unwrap();
        let reused = Recorded {
            started: recorded.started + 1,
            ..recorded.clone()
        };
        let rebooted = Recorded {
            boot: "another".to_owned(),
            ..recorded.clone()
        };

        assert!(!reused.is_running() && !rebooted.is_running());
        assert!(stop([&reused, &rebooted], Duration::ZERO).is_empty());
        assert!(recorded.is_running(), "a stranger was ended");

        assert!(stop([&recorded], Duration::from_secs(5)).is_empty());
        assert!(!recorded.is_running(), "a zombie does not count as running");
        child.wait().unwrap();
    }

    #[test]
    fn a_stray_is_one_of_our_programs_with_a_file_of_this_cluster() {
        let programs = [
            PathBuf::from("/cache/containerd-1"),
            PathBuf::from("/cache/plane-1"),
        ];
        let stray = |line: &str| {
            stray(
                line.replace(' ', "\0").as_bytes(),
                &programs,
                Path::new("/c/dev"),
            )
        };
        let shim = "/cache/containerd-1/containerd-shim-runc-v2 -address";
        assert!(stray(&format!("{shim} /c/dev/containerd.sock")).is_some());
        assert_eq!(stray(&format!("{shim} /c/dev2/containerd.sock")), None);
        assert!(stray("/cache/plane-1/etcd --data-dir=/c/dev/etcd").is_some());
        assert_eq!(stray("/usr/bin/etcd --data-dir=/c/dev/etcd"), None);
        assert_eq!(
            stray("/cache/plane-1/kubectl --kubeconfig=/c/dev/kubeconfig"),
            None
        );
        assert_eq!(stray(""), None);
    }

    #[test]
    fn one_that_ignores_the_request_is_made_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let process = start(Launch {
            program: "stubborn",
            path: Path::new("/bin/sh"),
            args: vec![
                "-c".into(),
                "trap '' TERM; echo up; while :; do sleep 0.05; done".into(),
            ],
            search_path: &std::env::var_os("PATH").unwrap(),
            dir: dir.path(),
            log: &log,
        })
        .unwrap();
        while fs::read_to_string(&log).unwrap() != "up\n" {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(stop([&process], Duration::from_millis(100)).is_empty());
        assert!(!process.is_running());
    }
}
