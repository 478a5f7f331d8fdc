//! What a gate proves of itself: one on this machine by its admin socket and its log, another one by a
//! login.

use std::path::Path;
use std::time::{Duration, SystemTime};

use kubestile_assess::snapshot::{
    Gate, GateCluster, GateFacts, GateLog, GateRequests, Source, Why,
};
use kubestile_control::api::Status;
use kubestile_core::event::{Event, Record};
use kubestile_store::audit::read;

use crate::args::StateDir;
use crate::client::{Door, GateUrl};
use crate::exit::{Fail, Kind, Outcome};
use crate::files;
use crate::login::Login;
use crate::serve::{ADMIN_SOCKET, AUDIT, Process};

/// Records of the log that are counted, at most: the latest.
const COUNTED: u64 = 200_000;
/// How long a gate may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the gate that was named, else the one on this machine, else the one of a login.
pub(super) async fn collect(named: Option<&str>, state: &StateDir) -> Source<Gate> {
    if let Some(url) = named.filter(|n| n.starts_with("https://")) {
        return found(of_login(url).await);
    }
    let dir = match named {
        Some(dir) => std::path::absolute(dir).map_err(Fail::from),
        None => state.path(),
    };
    let Ok(dir) = dir else {
        return Source::absent(
            Why::NotAsked,
            "there is no state directory to look for a gate in",
        );
    };
    if dir.join(ADMIN_SOCKET).exists() {
        return found(of_machine(&dir).await);
    }
    if named.is_none()
        && let Ok(login) = Login::find(None)
    {
        return found(asked(login).await);
    }
    Source::absent(
        Why::Unsupported,
        format!(
            "no gate runs in `{}`, and you are logged in at none: `kubestile up` puts one before this cluster, `--gate DIR|URL` names another",
            dir.display()
        ),
    )
}

fn found(gate: Outcome<Gate>) -> Source<Gate> {
    match gate {
        Ok(gate) => Source::Known(gate),
        Err(fail) => Source::absent(Why::Failed, format!("the gate does not tell: {fail}")),
    }
}

/// By the admin socket, and by reading the log.
async fn of_machine(dir: &Path) -> Outcome<Gate> {
    let door = Door::Admin(dir.join(ADMIN_SOCKET));
    let status: Status = door.get("/v1/status").await?;
    let process: Process = serde_json::from_value(status.process)?;
    let facts = shown(&door).await?;
    let served = |name: &str| {
        let mut all = process.clusters.iter();
        all.any(|c| c.name.as_str() == name && c.state.starts_with("serving"))
    };
    let policies = process.policy_directories.first();
    Ok(Gate {
        policies: policies.map(|d| d.display().to_string()),
        log: log(&dir.join(AUDIT)),
        place: dir.display().to_string(),
        ..gate(facts, served)
    })
}

/// By the login at `url`.
async fn of_login(url: &str) -> Outcome<Gate> {
    let url: GateUrl = url
        .parse()
        .map_err(|e| Fail::usage(format!("--gate: {e}")))?;
    asked(Login::find(Some(&url))?).await
}

async fn asked(login: Login) -> Outcome<Gate> {
    let certificate = crate::credential::current(&login).await?;
    let door = login.door(Some(&certificate))?;
    let facts = shown(&door).await?;
    let says: Vec<String> = facts
        .clusters
        .iter()
        .filter(|c| c.served == Some(true))
        .map(|c| c.name.clone())
        .collect();
    Ok(Gate {
        place: login.record().url.clone(),
        remote: true,
        ..gate(facts, |name| says.iter().any(|s| s == name))
    })
}

/// What the gate at the door says of itself: in time, and within bounds.
async fn shown(door: &Door) -> Outcome<GateFacts> {
    let facts: GateFacts = tokio::time::timeout(PATIENCE, door.get("/v1/facts"))
        .await
        .map_err(|_| Fail::new(Kind::Unavailable, "no answer in time"))??;
    Ok(facts.bounded())
}

fn gate(facts: GateFacts, served: impl Fn(&str) -> bool) -> Gate {
    let clusters = facts.clusters.iter();
    Gate {
        version: facts.version.clone(),
        clusters: clusters
            .map(|c| GateCluster {
                name: c.name.clone(),
                url: c.url.clone(),
                server: c.server.clone(),
                served: served(&c.name),
                constrained: (!c.mode.is_empty()).then(|| c.mode == "constrained"),
            })
            .collect(),
        clusters_more: facts.clusters_more,
        facts: Some(facts),
        ..Gate::default()
    }
}

/// The log as it verifies now; none if it cannot be looked at.
fn log(dir: &Path) -> Option<GateLog> {
    let places = [dir.join("log.vkey"), dir.join("..").join("log.vkey")];
    let key = places.iter().find_map(|p| files::read(p).ok().flatten())?;
    Some(match read::verify(dir, key.trim()) {
        Ok(report) => GateLog {
            size: report.size,
            verified: report.problem.is_none(),
            problem: report.problem.map(|p| p.to_string()),
            checkpoint_age: checkpoint_age(dir),
            requests: requests(dir, report.size),
        },
        Err(error) => GateLog {
            problem: Some(error.to_string()),
            ..GateLog::default()
        },
    })
}

/// How long ago the checkpoint was written, in seconds.
fn checkpoint_age(dir: &Path) -> Option<u64> {
    let written = std::fs::metadata(dir.join("checkpoint"))
        .ok()?
        .modified()
        .ok()?;
    let age = SystemTime::now().duration_since(written);
    Some(age.map_or(0, |age| age.as_secs()))
}

/// Counts the latest requests; none if one of them cannot be read.
fn requests(dir: &Path, size: u64) -> Option<GateRequests> {
    let mut counts = GateRequests::default();
    for entry in read::Entries::open(dir, size.saturating_sub(COUNTED)).ok()? {
        let (_, bytes) = entry.ok()?;
        if let Event::Decision(decided) = Record::from_bytes(&bytes).ok()?.event
            // What the gate looks up for an approver is nobody's request.
            && decided.looked_up_for.is_none()
        {
            let kubectl = decided.actor.user_agent.starts_with("kubectl/");
            let dangerous =
                decided.decision == "allow" && matches!(decided.risk.as_str(), "R4" | "R5");
            counts.decisions += 1;
            counts.kubectl += u64::from(kubectl);
            counts.kubectl_named += u64::from(kubectl && decided.invocation.is_some());
            counts.dangerous += u64::from(dangerous);
            counts.dangerous_approved += u64::from(dangerous && decided.approval.is_some());
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use kubestile_control::api;

    use super::*;

    #[test]
    fn what_the_gate_says_is_what_the_assessor_reads() {
        let fault = api::GrantFault {
            grant: "g-1".to_owned(),
            holder: "ana".to_owned(),
            fault: "nobody approved it".to_owned(),
        };
        let said = api::GateFacts {
            version: "1".to_owned(),
            now: kubestile_core::Timestamp::from_secs(1),
            clusters: vec![api::ClusterFacts {
                name: "prod".parse().unwrap(),
                url: "https://gate/clusters/prod".to_owned(),
                server: "https://10.0.0.10:6443".to_owned(),
                mode: "constrained".to_owned(),
                served: Some(true),
                hold: "wait".to_owned(),
                trials: 15,
                unheld: vec!["change a node (R4)".to_owned()],
                weakest_login: Some(kubestile_core::identity::Assurance::Code),
                standing: vec!["enter a pod".to_owned()],
                loose: vec!["a grant of `admin` that names no ticket".to_owned()],
            }],
            clusters_more: 8,
            policies: api::PolicyFacts {
                version: "ab".to_owned(),
                count: 7,
                own: 1,
                context: vec!["risk".to_owned()],
                holds: vec![kubestile_core::PolicyId::new("delete-needs-approval")],
                holds_more: 7,
            },
            sessions: api::SessionFacts {
                live: 3,
                people: vec![(kubestile_core::identity::Assurance::PhishingResistant, 2)],
                session_seconds: 28_800,
                certificate_seconds: 3600,
                token_seconds: 3600,
            },
            standing: api::StandingFacts {
                people: 1,
                functions: vec![("ana".to_owned(), "operator:shop".parse().unwrap())],
                more: 9,
            },
            grants: api::GrantFacts {
                total: 9,
                live: 1,
                pipelines: 2,
                break_glass: 3,
                last_break_glass: Some(kubestile_core::Timestamp::from_secs(5)),
                expired: 4,
                lacking: vec![fault.clone()],
                unbound: vec![fault.clone()],
                unreviewed: vec![fault],
                to_review: 5,
                more: 6,
            },
            ticket_systems: true,
            channels: 2,
            messages_sent: 11,
            pipelines: true,
            streams_judged_every: 30,
            records_streams: false,
            scores_risk: false,
            log: api::LogFacts {
                size: 1,
                sealed: 1,
                writable: true,
                vkey: "k".to_owned(),
            },
        };
        let said = serde_json::to_value(&said).unwrap();
        let read: GateFacts = serde_json::from_value(said.clone()).unwrap();
        // Nothing of what it reads fell back to a default.
        fn is_within(part: &serde_json::Value, whole: &serde_json::Value) {
            match (part, whole) {
                (serde_json::Value::Object(part), serde_json::Value::Object(whole)) => {
                    for (key, value) in part {
                        is_within(value, whole.get(key).unwrap_or_else(|| panic!("{key}")));
                    }
                }
                (serde_json::Value::Array(part), serde_json::Value::Array(whole)) => {
                    assert_eq!(part.len(), whole.len());
                    part.iter().zip(whole).for_each(|(p, w)| is_within(p, w));
                }
                _ => assert_eq!(part, whole),
            }
        }
        is_within(&serde_json::to_value(&read).unwrap(), &said);
        assert!(
            gate(read, |name| name == "prod")
                .clusters
                .iter()
                .all(|c| c.served)
        );
    }
}
