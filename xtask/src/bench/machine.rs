//! The machine: what it is, which core is whose, and what a process costs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// Which core is whose. Proxies have one to themselves; the load generator and the origin share
/// another, so that a proxy is never slowed by who measures it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cores {
    /// The proxies'.
    pub(super) proxy: usize,
    /// Everything else's.
    pub(super) load: usize,
}

/// The first two cores that this process may use; the same one twice if there is only one.
pub(super) fn cores() -> Result<Cores> {
    let allowed = sched_getaffinity(None).context("sched_getaffinity")?;
    let mut free = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let proxy = free.next().context("no core")?;
    let load = free.next().unwrap_or(proxy);
    Ok(Cores { proxy, load })
}

/// Keeps the calling thread, and those that it starts, on one core.
pub(super) fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).context("sched_setaffinity")
}

/// Lets the calling thread, and those that it starts, use both cores again.
pub(super) fn use_both(cores: Cores) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cores.proxy);
    set.set(cores.load);
    sched_setaffinity(None, &set).context("sched_setaffinity")
}

/// As many open files as this process may have; children inherit it.
pub(super) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => most,
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}

/// A command that runs on one core and is told to end when the thread that starts it does, however
/// that happens.
pub(super) fn on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "taskset", "-c"])
        .arg(core.to_string())
        .arg(program);
    command
}

/// The processor time that a process and its children have used so far.
pub(super) fn cpu_time(pid: u32) -> Duration {
    let ticks: u64 = family(pid).into_iter().map(ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second)
}

/// The memory that a process and its children hold now, in KiB.
pub(super) fn resident_kib(pid: u32) -> u64 {
    sum_of_status(pid, "VmRSS:")
}

/// The most that they have held since [`forget_peak`], in KiB.
pub(super) fn peak_kib(pid: u32) -> u64 {
    sum_of_status(pid, "VmHWM:")
}

/// Makes the peak start from what is held now (proc(5), `clear_refs`).
pub(super) fn forget_peak(pid: u32) -> Result<()> {
    for pid in family(pid) {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")?;
    }
    Ok(())
}

/// A process and all that descend from it.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        let list = format!("/proc/{parent}/task/{parent}/children");
        let text = std::fs::read_to_string(list).unwrap_or_default();
        all.extend(
            text.split_whitespace()
                .filter_map(|w| w.parse::<u32>().ok()),
        );
        at += 1;
    }
    all
}

/// Sends a signal; a process that is gone is no error.
pub(super) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`; the name before them may hold anything.
fn ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let numbers = after.split_whitespace().skip(11).take(2);
    numbers.filter_map(|word| word.parse::<u64>().ok()).sum()
}

fn sum_of_status(pid: u32, key: &str) -> u64 {
    family(pid).into_iter().map(|pid| of_status(pid, key)).sum()
}

fn of_status(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// What the figures were taken on, and with what.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts {
    /// UTC, to the second.
    pub(super) date: String,
    /// Of this repository; `+` if there were changes that are not in it.
    pub(super) commit: String,
    cpu: String,
    online_cores: usize,
    cores: Cores,
    memory_mib: u64,
    kernel: String,
    /// Of the directory that the gate's log is in: its sync is part of what is measured.
    filesystem: String,
    open_files: u64,
    /// Before the first row: 1, 5 and 15 minutes.
    load_average: String,
    versions: Vec<(String, String)>,
}

impl Facts {
    /// Looks at the machine; `dir` is where the gate keeps its log.
    pub(super) fn gather(root: &Path, dir: &Path, cores: Cores, open_files: u64) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = read("/proc/cpuinfo");
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name"));
        let memory = read("/proc/meminfo");
        let memory = memory
            .split_whitespace()
            .nth(1)
            .and_then(|n| n.parse::<u64>().ok());
        let git = |args: &[&str]| {
            let mut command = Command::new("git");
            first_line(command.args(args).current_dir(root))
        };
        let dirty = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = git(&["rev-parse", "--short=9", "HEAD"]);
        Self {
            date: first_line(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
            commit: format!("{commit}{}", if dirty { "+" } else { "" }),
            cpu: cpu
                .unwrap_or_default()
                .trim_start_matches([' ', '\t', ':'])
                .to_owned(),
            online_cores: std::thread::available_parallelism().map_or(1, usize::from),
            cores,
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: last_word(Command::new("stat").args(["-f", "-c", "%T"]).arg(dir)),
            open_files,
            load_average: read("/proc/loadavg")
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
            versions: versions(),
        }
    }

    /// As lines of a list.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "{} ({} cores online), {} MiB, Linux {}",
                self.cpu, self.online_cores, self.memory_mib, self.kernel
            ),
            format!(
                "core {} is the proxies', core {} the origin's and the load generator's",
                self.cores.proxy, self.cores.load
            ),
            format!("load average before the first row: {}", self.load_average),
            format!("the gate's log is on {}, synced", self.filesystem),
            format!("open files: {}", self.open_files),
        ];
        let versions = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name}: {version}"));
        lines.extend(versions);
        lines
    }
}

fn versions() -> Vec<(String, String)> {
    let ask = |name: &str, program: &str, args: &[&str]| {
        (
            name.to_owned(),
            first_line(Command::new(program).args(args)),
        )
    };
    vec![
        ask("rustc", "rustc", &["-V"]),
        ask("nginx", "nginx", &["-v"]),
        ask("haproxy", "haproxy", &["-v"]),
        ask("kubectl", "kubectl", &["version", "--client"]),
    ]
}

/// Of stdout, or of stderr where nothing came on stdout (`nginx -v`).
fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else {
        return "not there".to_owned();
    };
    let bytes = match output.stdout.is_empty() {
        true => output.stderr,
        false => output.stdout,
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn last_word(command: &mut Command) -> String {
    let line = first_line(command);
    line.split_whitespace()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_costs_is_seen() {
        let pid = std::process::id();
        let before = cpu_time(pid);
        let mut sum = 0_u64;
        while cpu_time(pid) == before {
            sum = (0..100_000_u64).fold(sum, |sum, n| sum ^ n.wrapping_mul(31));
        }
        assert!(cpu_time(pid) > before, "{sum}");
        assert!(resident_kib(pid) > 1000);
        assert!(peak_kib(pid) >= resident_kib(pid) / 2);
    }
}
