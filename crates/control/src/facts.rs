//! What the gate can prove of itself, for an assessment: read-only, bounded, without secrets. For the
//! local administrator, and for whoever has the job function `security`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use kubestile_core::grant::Origin;
use kubestile_core::identity::{Assurance, IdentityKind};
use kubestile_core::{Grant, Obligation, Timestamp, Ttl};

use crate::api::{
    ClusterFacts, GateFacts, GrantFacts, GrantFault, LogFacts, PolicyFacts, SessionFacts,
    StandingFacts,
};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::state::App;

/// As many entries as each list has at most; what is beyond is counted.
const LIST_LIMIT: usize = 50;
/// The longest life of a person's grant that needs no explanation.
const LONG: Ttl = Ttl::from_secs(8 * 3600);
/// The same, of a pipeline's.
const LONG_RUN: Ttl = Ttl::from_secs(3600);
/// How soon somebody looks back at an emergency.
const REVIEWED_WITHIN: Ttl = Ttl::from_secs(24 * 3600);

/// Admin: `GET /v1/facts`.
pub(crate) async fn of_gate(State(app): State<App>) -> Result<Json<GateFacts>, ApiError> {
    gather(app).await
}

/// `GET /v1/facts`, for the job function `security`: it names people and what they hold.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
) -> Result<Json<GateFacts>, ApiError> {
    if !caller.is_security() {
        let text = "the gate's facts are shown only to the job function `security`";
        let hint = "on the gate's machine, its administrator needs no job function: kubestile assess --gate DIR";
        return Err(caller
            .refused(&app, ApiError::forbidden(text).hint(hint))
            .await);
    }
    gather(app).await
}

/// Gathers the facts beside the requests of everybody else: policies are tried some thousand times for each
/// cluster. For one caller at a time, so that no more than one core is busy with it.
async fn gather(app: App) -> Result<Json<GateFacts>, ApiError> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    // It stays with the work if whoever asked has gone.
    let turn = TURN.lock().await;
    let gathered = tokio::task::spawn_blocking(move || {
        let facts = facts(&app);
        drop(turn);
        facts
    });
    gathered.await.map(Json).map_err(|_| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the facts could not be gathered",
        )
    })
}

fn facts(app: &App) -> GateFacts {
    let now = app.now();
    let outside = app.outside.status();
    let sent = |sum: u64, channel: &crate::api::ChannelStatus| sum.saturating_add(channel.sent);
    let (clusters, clusters_more) = clusters(app, now);
    GateFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        clusters,
        clusters_more,
        policies: policies(app),
        sessions: sessions(app, now),
        standing: standing(app),
        grants: grants(app, now),
        ticket_systems: !app.outside.tickets.is_empty(),
        channels: outside.notifications.len(),
        messages_sent: outside.notifications.iter().fold(0, sent),
        pipelines: !app.outside.issuers.is_empty(),
        streams_judged_every: app.settings.streams_judged_every.as_secs(),
        records_streams: app.settings.records_streams,
        scores_risk: app.settings.scores_risk,
        log: LogFacts {
            size: app.audit.size(),
            sealed: app.audit.sealed(),
            // Why not is for the administrator: it names places on the machine.
            writable: app.audit.failed().is_none(),
            vkey: app.audit.vkey(),
        },
    }
}

/// What is known of each cluster, and how many are left out. Of one that only the configuration names, the address of
/// its API server is not known here.
fn clusters(app: &App, now: Timestamp) -> (Vec<ClusterFacts>, u64) {
    let (kept, set, status) = (app.store.clusters(), (app.policies)(), (app.status)());
    let configured = app.settings.configured_clusters.iter();
    let all: Vec<_> = kept
        .iter()
        .map(|c| (&c.name, c.server.as_str(), c.mode.as_str()))
        .chain(configured.map(|name| (name, "", "")))
        .collect();
    let facts = all.iter().take(LIST_LIMIT).map(|(name, server, mode)| {
        let tried = set.trial(name, now);
        ClusterFacts {
            name: (*name).clone(),
            url: app.cluster_url(name),
            server: (*server).to_owned(),
            mode: (*mode).to_owned(),
            served: served(&status, name.as_str()),
            hold: app.settings.holds.mode(name).to_owned(),
            trials: tried.dangerous,
            unheld: tried.unheld,
            weakest_login: tried.weakest_login,
            standing: tried.standing,
            loose: tried.loose,
        }
    });
    (facts.collect(), count(all.len().saturating_sub(LIST_LIMIT)))
}

/// Whether the process says that it serves a cluster.
fn served(status: &serde_json::Value, name: &str) -> Option<bool> {
    let clusters = status.get("clusters")?.as_array()?;
    let text = |cluster: &serde_json::Value, key: &str| {
        cluster.get(key).and_then(|v| v.as_str()).map(str::to_owned)
    };
    let this = clusters
        .iter()
        .find(|c| text(c, "name").as_deref() == Some(name))?;
    Some(text(this, "state")?.starts_with("serving"))
}

fn policies(app: &App) -> PolicyFacts {
    let set = (app.policies)();
    let base: Vec<String> = kubestile_policy::base_sources()
        .into_iter()
        .map(|s| s.name)
        .collect();
    let all: Vec<_> = set.policies().collect();
    let mut holds = all
        .iter()
        .filter(|p| p.satisfy.contains(&Obligation::Approval))
        .map(|p| p.id.clone());
    PolicyFacts {
        version: set.version().to_owned(),
        count: all.len(),
        own: all.iter().filter(|p| !base.contains(&p.file)).count(),
        context: set.context().map(str::to_owned).collect(),
        holds: holds.by_ref().take(LIST_LIMIT).collect(),
        holds_more: count(holds.count()),
    }
}

fn sessions(app: &App, now: Timestamp) -> SessionFacts {
    let all = app.store.sessions();
    let live: Vec<_> = all.iter().filter(|s| s.check(now).is_ok()).collect();
    let mut people: BTreeMap<i64, (Assurance, u64)> = BTreeMap::new();
    for session in &live {
        if session.identity.kind == IdentityKind::Person {
            let strength = session.assurance;
            people.entry(strength.level()).or_insert((strength, 0)).1 += 1;
        }
    }
    let settings = &app.settings;
    SessionFacts {
        live: count(live.len()),
        people: people.into_values().collect(),
        session_seconds: settings.session_ttl.as_secs(),
        certificate_seconds: settings.certificate_ttl.as_secs(),
        token_seconds: settings.token_ttl.as_secs(),
    }
}

fn standing(app: &App) -> StandingFacts {
    let people = app.store.people();
    let mut pairs = people.iter().flat_map(|p| {
        let name = &p.name;
        p.functions.iter().map(move |f| (name.clone(), f.clone()))
    });
    let functions = pairs.by_ref().take(LIST_LIMIT).collect();
    StandingFacts {
        people: count(people.len()),
        functions,
        more: count(pairs.count()),
    }
}

fn grants(app: &App, now: Timestamp) -> GrantFacts {
    let mut facts = GrantFacts::default();
    for grant in app.store.grants().iter() {
        facts.total += 1;
        let lives = grant.check(now).is_ok();
        facts.live += u64::from(lives);
        facts.expired += u64::from(now >= grant.expires);
        let run = grant.origin == Origin::Pipeline || grant.session.is_some();
        facts.pipelines += u64::from(run);
        if run && grant.session.is_none() {
            let text = "any run of the pipeline can use it";
            put(&mut facts.unbound, &mut facts.more, grant, text);
        }
        if grant.origin == Origin::BreakGlass {
            facts.break_glass += 1;
            facts.last_break_glass = facts.last_break_glass.max(Some(grant.starts));
            let due = grant.starts.plus(REVIEWED_WITHIN);
            let late = grant.reviewed.as_ref().map_or(now, |r| r.at) > due;
            facts.to_review += u64::from(grant.needs_review() && !late);
            if late {
                let text = "nobody reviewed it within a day";
                put(&mut facts.unreviewed, &mut facts.more, grant, text);
            }
        } else if let Some(text) = lacks(grant, run) {
            put(&mut facts.lacking, &mut facts.more, grant, &text);
        }
    }
    facts
}

/// What a grant lacks of a reason, an approver and an end.
fn lacks(grant: &Grant, run: bool) -> Option<String> {
    let mut missing = Vec::new();
    if grant.ticket.is_none() && !run {
        missing.push("names no ticket");
    }
    let somebody_else = |name: &String| *name != grant.holder_name;
    if !grant.approvers.iter().any(somebody_else) && grant.origin != Origin::Pipeline {
        missing.push("nobody approved it");
    }
    let most = if run { LONG_RUN } else { LONG };
    if grant.expires > grant.starts.plus(most) {
        missing.push(if run {
            "lives longer than 1 h"
        } else {
            "lives longer than 8 h"
        });
    }
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn put(list: &mut Vec<GrantFault>, more: &mut u64, grant: &Grant, fault: &str) {
    if list.len() >= LIST_LIMIT {
        *more += 1;
        return;
    }
    list.push(GrantFault {
        grant: grant.id.to_string(),
        holder: grant.holder_name.clone(),
        fault: fault.to_owned(),
    });
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
