//! The rows: what is asked of every peer, in rounds in which the peers take turns.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::load::{Protocol, Shape};
use super::peer::{Kind, Peer, Stage};
use super::progress::Progress;
use super::sample::{Sample, quantile};
use super::{commands, machine, origin};

/// Everything that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Row {
    /// GET of 1 KiB, HTTP/1.1, 1 connection
    Get1,
    /// GET of 1 KiB, HTTP/1.1, 32 connections
    Get32,
    /// GET of 1 KiB, HTTP/2, 8 connections with 16 streams each
    H2,
    /// LIST of 100 MiB over HTTP/1.1
    List,
    /// LIST of 100 MiB over HTTP/2
    ListH2,
    /// Idle watches, each on an HTTP/1.1 connection of its own
    Watches,
    /// Idle watches, 100 on each HTTP/2 connection
    WatchesH2,
    /// A whole `kubectl get pods` on a real Kubernetes
    Kubectl,
}

impl Row {
    /// All of them, in the order in which they run.
    pub(super) const ALL: [Self; 8] = [
        Self::Get1,
        Self::Get32,
        Self::H2,
        Self::List,
        Self::ListH2,
        Self::Watches,
        Self::WatchesH2,
        Self::Kubectl,
    ];

    /// As `--only` takes it, and as results name it.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Get1 => "get1",
            Self::Get32 => "get32",
            Self::H2 => "h2",
            Self::List => "list",
            Self::ListH2 => "list-h2",
            Self::Watches => "watches",
            Self::WatchesH2 => "watches-h2",
            Self::Kubectl => "kubectl",
        }
    }

    /// In words.
    pub(super) fn title(self, plan: &Plan) -> String {
        match self {
            Self::Get1 => "GET 1 KiB, HTTP/1.1, 1 connection".to_owned(),
            Self::Get32 => "GET 1 KiB, HTTP/1.1, 32 connections".to_owned(),
            Self::H2 => "GET 1 KiB, HTTP/2, 8 connections × 16 streams".to_owned(),
            Self::List => "LIST 100 MiB, HTTP/1.1, one after the other".to_owned(),
            Self::ListH2 => "LIST 100 MiB, HTTP/2, one after the other".to_owned(),
            Self::Watches => format!("{} idle watches, HTTP/1.1, a connection each", plan.watches),
            Self::WatchesH2 => format!("{} idle watches, HTTP/2, 100 a connection", plan.watches),
            Self::Kubectl => "kubectl get pods, whole command, real Kubernetes".to_owned(),
        }
    }

    fn peers(self) -> Vec<Kind> {
        use Kind::{Direct, Gate, Haproxy, KubectlProxy, Nginx};
        match self {
            Self::Get1 | Self::Get32 | Self::List => {
                vec![Direct, Gate, Nginx, Haproxy, KubectlProxy]
            }
            Self::H2 | Self::ListH2 => vec![Direct, Gate, Nginx, Haproxy],
            Self::Watches => vec![Gate, Nginx, Haproxy, KubectlProxy],
            Self::WatchesH2 => vec![Gate, Nginx, Haproxy],
            Self::Kubectl => vec![Direct, Gate, KubectlProxy],
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::H2 | Self::ListH2 | Self::WatchesH2 => Protocol::H2,
            Self::Get1 | Self::Get32 | Self::List | Self::Watches | Self::Kubectl => Protocol::H1,
        }
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Plan {
    /// Rounds of the rows that measure time.
    pub(super) rounds: usize,
    /// Rounds of the rows that start every peer anew, to see its memory.
    pub(super) memory_rounds: usize,
    /// Seconds of each measurement of a closed loop.
    pub(super) seconds: u64,
    /// Lists that are read one after the other in a measurement.
    pub(super) lists: u32,
    /// Watches.
    pub(super) watches: usize,
    /// Runs of each kubectl command.
    pub(super) commands: usize,
}

/// What a row has measured.
pub(super) struct Measured {
    /// Which.
    pub(super) row: Row,
    /// All rounds of each peer.
    pub(super) peers: Vec<(Kind, Vec<Sample>)>,
}

impl Measured {
    /// The rounds of one peer.
    pub(super) fn of(&self, kind: Kind) -> Option<&[Sample]> {
        let found = self.peers.iter().find(|(k, _)| *k == kind);
        found.map(|(_, rounds)| rounds.as_slice())
    }
}

/// Runs a row. The calling thread is kept on the core that the row has for the load generator.
pub(super) fn run(
    row: Row,
    stage: &mut Stage,
    plan: &Plan,
    without: &[Kind],
    progress: &Progress,
) -> Result<Measured> {
    let kinds: Vec<Kind> = row
        .peers()
        .into_iter()
        .filter(|kind| !without.contains(kind) && kind.speaks(row.protocol()))
        .collect();
    machine::stay_on(stage.cores.load)?;
    let peers = match row {
        Row::Kubectl => commands::run(stage, plan, &kinds, progress)?,
        Row::Get1 => in_turn(stage, plan, &kinds, shape(row, plan, 1, 1), progress)?,
        Row::Get32 => in_turn(stage, plan, &kinds, shape(row, plan, 32, 1), progress)?,
        Row::H2 => in_turn(stage, plan, &kinds, shape(row, plan, 8, 16), progress)?,
        Row::List | Row::ListH2 | Row::Watches | Row::WatchesH2 => {
            anew(row, stage, plan, &kinds, progress)?
        }
    };
    Ok(Measured { row, peers })
}

fn shape(row: Row, plan: &Plan, connections: usize, streams: usize) -> Shape {
    let measured = Duration::from_secs(plan.seconds);
    Shape {
        protocol: row.protocol(),
        connections,
        streams,
        warm_up: (measured / 4).max(Duration::from_millis(500)),
        measured,
    }
}

/// All peers run; each round asks one after the other, beginning with another one each time.
fn in_turn(
    stage: &mut Stage,
    plan: &Plan,
    kinds: &[Kind],
    shape: Shape,
    progress: &Progress,
) -> Result<Vec<(Kind, Vec<Sample>)>> {
    let runtime = runtime()?;
    let mut peers = Vec::new();
    for kind in kinds {
        peers.push((*kind, stage.start(*kind, &runtime)?, Vec::new()));
    }
    for round in 0..plan.rounds {
        for at in 0..peers.len() {
            let turn = (at + round) % peers.len();
            let Some((kind, peer, samples)) = peers.get_mut(turn) else {
                continue;
            };
            progress.step(&format!(
                "round {} of {}: {}",
                round + 1,
                plan.rounds,
                kind.name()
            ));
            samples.push(closed_loop(peer, shape, &runtime).context(kind.name())?);
        }
    }
    Ok(peers
        .into_iter()
        .map(|(kind, _, samples)| (kind, samples))
        .collect())
}

fn closed_loop(peer: &Peer, shape: Shape, runtime: &tokio::runtime::Runtime) -> Result<Sample> {
    let pid = peer.pid();
    let cpu = || pid.map(machine::cpu_time).unwrap_or_default();
    let done = runtime.block_on(peer.target.closed_loop(origin::ONE, shape, cpu))?;
    let micros: Vec<f64> = done
        .latencies
        .iter()
        .map(|l| l.as_secs_f64() * 1e6)
        .collect();
    let count = micros.len() as f64;
    let mut sample = Sample::from([("req/s", count / done.took.as_secs_f64())]);
    let points = [("p50 µs", 0.5), ("p99 µs", 0.99)];
    for (name, at) in points {
        sample.insert(name, quantile(&micros, at).unwrap_or_default());
    }
    let used = done
        .readings
        .1
        .saturating_sub(done.readings.0)
        .as_secs_f64();
    if used > 0.0 {
        sample.insert("CPU µs/req", used * 1e6 / count);
        sample.insert("core used", used / done.took.as_secs_f64());
    }
    Ok(sample)
}

/// Each measurement has a peer that was started for it, so that memory is its own.
fn anew(
    row: Row,
    stage: &mut Stage,
    plan: &Plan,
    kinds: &[Kind],
    progress: &Progress,
) -> Result<Vec<(Kind, Vec<Sample>)>> {
    let mut all: Vec<(Kind, Vec<Sample>)> = kinds.iter().map(|k| (*k, Vec::new())).collect();
    for round in 0..plan.memory_rounds {
        for at in 0..all.len() {
            let turn = (at + round) % all.len();
            let Some((kind, samples)) = all.get_mut(turn) else {
                continue;
            };
            let rounds = plan.memory_rounds;
            progress.step(&format!("round {} of {rounds}: {}", round + 1, kind.name()));
            // A runtime of its own: what the last one left open is closed by now.
            let runtime = runtime()?;
            let peer = stage.start(*kind, &runtime)?;
            let sample = match row {
                Row::Watches => watches(&peer, row.protocol(), plan.watches, 1, &runtime),
                Row::WatchesH2 => watches(&peer, row.protocol(), plan.watches, 100, &runtime),
                _ => lists(&peer, row.protocol(), plan.lists, &runtime),
            };
            samples.push(sample.context(kind.name())?);
        }
    }
    Ok(all)
}

fn lists(
    peer: &Peer,
    protocol: Protocol,
    times: u32,
    runtime: &tokio::runtime::Runtime,
) -> Result<Sample> {
    let mut before = (0, Duration::ZERO);
    if let Some(pid) = peer.pid() {
        machine::forget_peak(pid)?;
        before = (machine::resident_kib(pid), machine::cpu_time(pid));
    }
    let began = Instant::now();
    let bytes = runtime.block_on(peer.target.get_times(origin::LIST, protocol, times))?;
    let megabytes = bytes as f64 / 1e6;
    let mut sample = Sample::from([("MB/s", megabytes / began.elapsed().as_secs_f64())]);
    if let Some(pid) = peer.pid() {
        let used = machine::cpu_time(pid)
            .saturating_sub(before.1)
            .as_secs_f64();
        let grown = machine::peak_kib(pid).saturating_sub(before.0);
        sample.insert("MB/s per core", megabytes / used.max(0.01));
        sample.insert("growth MiB", grown as f64 / 1024.0);
    }
    Ok(sample)
}

fn watches(
    peer: &Peer,
    protocol: Protocol,
    count: usize,
    per_connection: usize,
    runtime: &tokio::runtime::Runtime,
) -> Result<Sample> {
    let pid = peer.pid().context("there is nothing between")?;
    let open = |count, per| peer.target.watches(origin::WATCH, protocol, count, per);
    // What the first ones cost is not of the many.
    drop(runtime.block_on(open(per_connection.max(10), per_connection))?);
    let before = machine::resident_kib(pid);
    let (began, cpu) = (Instant::now(), machine::cpu_time(pid));
    let held = runtime.block_on(open(count, per_connection))?;
    let took = began.elapsed().as_secs_f64();
    let used = machine::cpu_time(pid).saturating_sub(cpu).as_secs_f64();
    runtime.block_on(settled(pid));
    let grown = machine::resident_kib(pid).saturating_sub(before);
    let count = held.count() as f64;
    Ok(Sample::from([
        ("KiB/watch", grown as f64 / count),
        ("opened/s", count / took),
        ("CPU µs to open", used * 1e6 / count),
    ]))
}

/// Waits until the memory has not changed for a while; a few seconds at most.
async fn settled(pid: u32) {
    let mut last = 0;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = machine::resident_kib(pid);
        if now == last {
            return;
        }
        last = now;
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("a runtime")
}
