//! How many records a second become durable, and how long one waits for it.
//!
//! `cargo run --release -p kubestile-store --example append_rate -- [SECONDS] [APPENDERS] [DIR]`

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kubestile_core::event::{Actor, Decided, Event, Kube, Record};
use kubestile_core::identity::{Credential, IdentityKind};
use kubestile_core::{Assurance, ClusterName, PersonId, PolicyId, RequestId, SessionId, Timestamp};
use kubestile_store::audit::{AuditLog, LogKey, read};
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seconds = args.next().map_or(Ok(5), |text| text.parse())?;
    let appenders = args.next().map_or(Ok(256), |text| text.parse())?;
    let dir = args.next().map_or_else(
        || std::env::temp_dir().join(format!("append-rate-{}", std::process::id())),
        PathBuf::from,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let measured = runtime.block_on(measure(&dir, Duration::from_secs(seconds), appenders));
    let shown = measured.and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?));
    shown?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn measure(
    dir: &std::path::Path,
    time: Duration,
    appenders: u64,
) -> Result<String, Box<dyn Error>> {
    let key = LogKey::create(dir, "example.com/append-rate", &[1; 32])?;
    let vkey = key.vkey();
    let log = AuditLog::open(dir, key)?;
    let cluster: ClusterName = "prod".parse()?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|number| tokio::spawn(append(log.clone(), number, cluster.clone(), started + time)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let elapsed = started.elapsed();
    let closing = Instant::now();
    log.close().await?;
    let closed = closing.elapsed();

    waits.sort_unstable();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied();
    let count = waits.len();
    let verifying = Instant::now();
    let report = read::verify(dir, &vkey)?;
    if report.problem.is_some() || report.size != count as u64 {
        return Err(format!("the log does not verify: {report:?}").into());
    }
    Ok(format!(
        "{count} records by {appenders} appenders in {elapsed:.2?}: {:.0} durable appends/s\n\
         wait for durability: p50 {:.2?}, p99 {:.2?}, max {:.2?}\n\
         close (seal the rest): {closed:.2?}; verify: {:.2?}\n",
        count as f64 / elapsed.as_secs_f64(),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        waits.last().copied().unwrap_or_default(),
        verifying.elapsed(),
    ))
}

async fn append(
    log: AuditLog,
    number: u64,
    cluster: ClusterName,
    until: Instant,
) -> Result<Vec<Duration>, kubestile_store::audit::AuditError> {
    let mut waits = Vec::new();
    while Instant::now() < until {
        let id = (u128::from(number) << 64) | waits.len() as u128;
        let request = RequestId::from_uuid(Uuid::from_u128(id));
        let started = Instant::now();
        log.append(request, &record(request, &cluster))?
            .durable()
            .await?;
        waits.push(started.elapsed());
    }
    Ok(waits)
}

/// A decision as the gate writes it: about 900 bytes.
fn record(request: RequestId, cluster: &ClusterName) -> Record {
    let id = Uuid::from_u128(7);
    let actor = Actor {
        name: "ana@example.com".to_owned(),
        id: PersonId::from_uuid(id),
        kind: IdentityKind::Person,
        session: SessionId::from_uuid(id),
        assurance: Assurance::Code,
        credential: Credential::Certificate,
        source: "192.0.2.17".to_owned(),
        user_agent: "kubectl/v1.36.0 (linux/amd64) kubernetes/abcdef0".to_owned(),
    };
    let kube = Kube {
        cluster: cluster.clone(),
        action: "delete".to_owned(),
        method: "DELETE".to_owned(),
        verb: "delete".to_owned(),
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        resource: "deployments".to_owned(),
        subresource: String::new(),
        namespace: "shop".to_owned(),
        name: "frontend".to_owned(),
        path: String::new(),
        field_selector: String::new(),
        label_selector: String::new(),
        container: String::new(),
        command: Vec::new(),
        dry_run: false,
        impersonates: String::new(),
    };
    let decided = Decided {
        request,
        actor,
        kube,
        kubectl: "kubectl delete deployments.apps frontend -n shop".to_owned(),
        invocation: None,
        digest: "00".repeat(32),
        decision: "allow".to_owned(),
        policies: vec![PolicyId::new("base.operator")],
        policy_version: "11".repeat(16),
        obligations: Vec::new(),
        risk: "R0".to_owned(),
        approval: None,
        grants: Vec::new(),
        looked_up_for: None,
        upstream: None,
    };
    Record::new(
        Timestamp::from_secs(1_795_474_253),
        Event::Decision(Box::new(decided)),
    )
}
