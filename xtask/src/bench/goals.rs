//! The goals, and whether the figures meet them.

use serde::Serialize;

use super::peer::Kind;
use super::rows::{Measured, Row};
use super::sample::{compared, middle_of};

/// One goal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Goal {
    /// What it is about.
    pub(super) what: String,
    /// What was asked for, in words.
    pub(super) wanted: &'static str,
    /// What was measured.
    pub(super) measured: f64,
    /// Whether that is enough.
    pub(super) met: bool,
}

/// All goals of which there are figures.
pub(super) fn judge(measured: &[Measured]) -> Vec<Goal> {
    measured.iter().flat_map(of_row).collect()
}

fn of_row(row: &Measured) -> Vec<Goal> {
    let Some(gate) = row.of(Kind::Gate) else {
        return Vec::new();
    };
    let added = |figure: &str| {
        compared(gate, row.of(Kind::Direct)?, figure, |our, their| {
            our - their
        })
    };
    let own = |figure: &str| Some(middle_of(gate, figure)?.median);
    let id = row.row.id();
    let goals = match row.row {
        Row::Get1 => vec![at_most(
            format!("{id}: added p50, µs"),
            added("p50 µs"),
            "≤ 200",
            200.0,
        )],
        Row::Get32 | Row::H2 => [Kind::Nginx, Kind::Haproxy]
            .into_iter()
            .flat_map(|peer| against(row, peer))
            .collect(),
        Row::List | Row::ListH2 => vec![
            at_least(
                format!("{id}: MB/s per core"),
                own("MB/s per core"),
                "≥ 350",
                350.0,
            ),
            at_most(
                format!("{id}: memory growth, MiB"),
                own("growth MiB"),
                "≤ 8",
                8.0,
            ),
        ],
        Row::Watches | Row::WatchesH2 => {
            vec![at_most(
                format!("{id}: KiB a watch"),
                own("KiB/watch"),
                "≤ 40",
                40.0,
            )]
        }
        Row::Kubectl => {
            vec![at_most(
                format!("{id}: added p50, ms"),
                added("ms"),
                "≤ 5",
                5.0,
            )]
        }
    };
    goals.into_iter().flatten().collect()
}

/// Requests a second, and requests a second of the proxy's own processor time: the first alone would
/// flatter a proxy that the load generator cannot keep busy.
fn against(row: &Measured, peer: Kind) -> [Option<Goal>; 2] {
    let (gate, theirs) = (row.of(Kind::Gate), row.of(peer));
    let ratio = |figure: &str, how: fn(f64, f64) -> f64| compared(gate?, theirs?, figure, how);
    let (id, name) = (row.row.id(), peer.name());
    [
        at_least(
            format!("{id}: req/s, × {name}"),
            ratio("req/s", |our, their| our / their),
            "≥ 0.7",
            0.7,
        ),
        at_least(
            format!("{id}: req per second of CPU, × {name}"),
            ratio("CPU µs/req", |our, their| their / our),
            "≥ 0.7",
            0.7,
        ),
    ]
}

fn at_most(what: String, measured: Option<f64>, wanted: &'static str, limit: f64) -> Option<Goal> {
    let measured = measured?;
    Some(Goal {
        what,
        wanted,
        measured,
        met: measured <= limit,
    })
}

fn at_least(what: String, measured: Option<f64>, wanted: &'static str, limit: f64) -> Option<Goal> {
    let measured = measured?;
    Some(Goal {
        what,
        wanted,
        measured,
        met: measured >= limit,
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn a_goal_is_judged_by_the_figures_of_the_same_run() {
        let rounds = |p50: f64| vec![Sample::from([("p50 µs", p50)])];
        let row = Measured {
            row: Row::Get1,
            peers: vec![(Kind::Direct, rounds(50.0)), (Kind::Gate, rounds(260.0))],
        };
        let goals = judge(&[row]);
        assert_eq!(goals.len(), 1);
        assert_eq!((goals[0].measured, goals[0].met), (210.0, false));
    }

    #[test]
    fn less_processor_time_is_better() {
        let rounds = |cpu: f64| vec![Sample::from([("CPU µs/req", cpu), ("req/s", 10.0)])];
        let row = Measured {
            row: Row::Get32,
            peers: vec![(Kind::Gate, rounds(100.0)), (Kind::Nginx, rounds(50.0))],
        };
        let met: Vec<bool> = judge(&[row]).iter().map(|g| g.met).collect();
        assert_eq!(met, [true, false]);
    }
}
