//! What the gate on this machine says of itself, if there is one.

use kubestile_assess::snapshot::{Gate, GateCluster, GateLog, Source, Why};
use kubestile_control::api::{ClusterDetailsList, Status};
use kubestile_store::audit::read;

use crate::args::StateDir;
use crate::client::Door;
use crate::exit::Outcome;
use crate::files;
use crate::serve::{ADMIN_SOCKET, AUDIT, Process};

/// Asks it, and verifies its log.
pub(super) async fn collect(state: &StateDir) -> Source<Gate> {
    let Ok(dir) = state.path() else {
        return Source::absent(
            Why::NotAsked,
            "there is no state directory to look for a gate in",
        );
    };
    let socket = dir.join(ADMIN_SOCKET);
    if !socket.exists() {
        return Source::absent(
            Why::Unsupported,
            "no gate runs on this machine: `kubestile up` puts one before this cluster",
        );
    }
    match ask(&Door::Admin(socket)).await {
        Ok(gate) => Source::Known(Gate {
            log: log(&dir.join(AUDIT)),
            ..gate
        }),
        Err(fail) => Source::absent(
            Why::Failed,
            format!("the gate on this machine does not answer: {fail}"),
        ),
    }
}

async fn ask(door: &Door) -> Outcome<Gate> {
    let status: Status = door.get("/v1/status").await?;
    let clusters: ClusterDetailsList = door.get("/v1/clusters").await?;
    let process: Process = serde_json::from_value(status.process)?;
    let served = |name: &str| {
        let mut all = process.clusters.iter();
        all.any(|c| c.name.as_str() == name && c.state.starts_with("serving"))
    };
    Ok(Gate {
        version: status.version,
        sessions: u64::try_from(status.live_sessions).unwrap_or(u64::MAX),
        clusters: clusters
            .clusters
            .iter()
            .map(|c| GateCluster {
                name: c.name.to_string(),
                server: c.server.clone(),
                served: served(c.name.as_str()),
                constrained: Some(c.mode == "constrained"),
            })
            .collect(),
        // Held by the gate's own tests: a stream lives no longer than its session.
        ends_streams: Some(true),
        ..Gate::default()
    })
}

/// The log as it verifies now; none if it cannot be looked at.
fn log(dir: &std::path::Path) -> Option<GateLog> {
    let places = [dir.join("log.vkey"), dir.join("..").join("log.vkey")];
    let key = places.iter().find_map(|p| files::read(p).ok().flatten())?;
    Some(match read::verify(dir, key.trim()) {
        Ok(report) => GateLog {
            size: report.size,
            verified: report.problem.is_none(),
            problem: report.problem.map(|p| p.to_string()),
        },
        Err(error) => GateLog {
            size: 0,
            verified: false,
            problem: Some(error.to_string()),
        },
    })
}
