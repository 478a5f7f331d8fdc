//! Asking for a job function, for a while.

use axum::Json;
use axum::extract::State;
use kubestile_core::approval::{AccessRequest, Requester, State as Stands, Subject};
use kubestile_core::event::{Accessed, Event};
use kubestile_core::grant::{Origin, Terms};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{AccessId, ClusterName, Obligation, PolicyId, Ttl};
use kubestile_policy::Outcome;

use super::about::{abouts_of_terms, risk};
use super::{Answering, entry, may_ask};
use crate::api::{AskAnswer, AskRequest, Askable, GrantEntry, Rights};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::grants::{self, New};
use crate::journal::{random, words};
use crate::json::Body;
use crate::state::App;
use crate::tickets;

/// `POST /v1/access`.
pub(crate) async fn ask(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<AskRequest>,
) -> Result<Json<AskAnswer>, ApiError> {
    ask_for(&app, &caller, &request).await.map(Json)
}

/// Gives a grant at once where policy needs nobody else, or opens an access request.
pub(crate) async fn ask_for(
    app: &App,
    caller: &Caller,
    request: &AskRequest,
) -> Result<AskAnswer, ApiError> {
    let asked = Asked::read(app, caller, request).await?;
    let abouts = asked.abouts("grant", caller);
    match may_ask(app, &caller.into(), &abouts, 0) {
        Outcome::Allow(_) => {
            let new = asked.new_grant(Origin::Request, caller);
            let grant = grants::start(app, caller.who.identity(), new).await?;
            Ok(AskAnswer {
                grant: Some(grants::entry(app, caller, &grant)),
                request: None,
            })
        }
        Outcome::Hold(hold) if hold.obligations == [Obligation::Approval] => {
            let policies = hold.policies.iter().map(|p| p.id.clone()).collect();
            let quorum = hold.approvals.max(1);
            let opened = open_grant_request(app, caller, &asked, policies, quorum).await?;
            Ok(AskAnswer {
                grant: None,
                request: Some(entry(app, caller, &opened)),
            })
        }
        outcome => Err(caller.refused(app, refusal(&asked.terms, &outcome)).await),
    }
}

/// `POST /v1/break-glass`.
pub(crate) async fn break_glass(
    State(app): State<App>,
    caller: Caller,
    Body(request): Body<AskRequest>,
) -> Result<Json<GrantEntry>, ApiError> {
    let asked = Asked::read(&app, &caller, &request).await?;
    let abouts = asked.abouts("break-glass", &caller);
    match may_ask(&app, &Answering::from(&caller), &abouts, 0) {
        Outcome::Allow(_) => {
            let new = asked.new_grant(Origin::BreakGlass, &caller);
            let grant = grants::start(&app, caller.who.identity(), new).await?;
            tracing::warn!(grant = %grant.id, holder = %grant.holder_name, "break-glass was used");
            Ok(Json(grants::entry(&app, &caller, &grant)))
        }
        outcome => Err(caller.refused(&app, refusal(&asked.terms, &outcome)).await),
    }
}

/// What somebody asks for, read and checked.
struct Asked {
    terms: Terms,
    cluster: ClusterName,
    reason: String,
    ticket: Option<String>,
    /// Whether the ticket was found to be open and to name the person.
    ticket_holds: bool,
}

impl Asked {
    async fn read(app: &App, caller: &Caller, request: &AskRequest) -> Result<Self, ApiError> {
        let cluster = cluster(app, request.cluster.as_ref())?;
        let terms = Terms {
            role: request.role.clone(),
            cluster: Some(cluster.clone()),
            namespaces: request.namespaces.clone(),
            objects: request.objects.clone(),
            duration: Ttl::from_secs(request.seconds),
        };
        terms
            .check()
            .map_err(|e| ApiError::bad_request(e.to_string()))?;
        let ticket = request.ticket.as_deref().map(|t| words(t, 100));
        let ticket = ticket.filter(|t| !t.is_empty());
        let who = &caller.who.identity().name;
        let vouched = match &ticket {
            None => None,
            Some(ticket) => tickets::vouch(app, ticket, who, &terms).await?,
        };
        Ok(Self {
            terms,
            cluster,
            reason: words(&request.reason, 500),
            ticket_holds: vouched.is_some(),
            ticket: vouched.map(|id| id.to_string()).or(ticket),
        })
    }

    fn abouts(&self, kind: &'static str, caller: &Caller) -> Vec<kubestile_core::approval::About> {
        let facts = (self.ticket_holds, !self.reason.is_empty());
        let name = &caller.who.identity().name;
        abouts_of_terms(kind, &self.cluster, &self.terms, facts, name)
    }

    fn new_grant(self, origin: Origin, caller: &Caller) -> New {
        // What a pipeline may do is for the one run.
        let session = caller.session.session();
        let run = (session.identity.kind == IdentityKind::Pipeline).then_some(session);
        New {
            terms: self.terms,
            origin,
            reason: self.reason,
            ticket: self.ticket,
            approvers: Vec::new(),
            access: None,
            session: run.map(|session| session.id),
            until: run.map(|session| session.expires),
        }
    }
}

/// The cluster that is meant: the one named, or the only one.
fn cluster(app: &App, named: Option<&ClusterName>) -> Result<ClusterName, ApiError> {
    let mut all: Vec<ClusterName> = app.settings.configured_clusters.clone();
    all.extend(app.store.clusters().into_iter().map(|c| c.name));
    all.sort();
    all.dedup();
    match (named, all.as_slice()) {
        (Some(name), _) if all.contains(name) => Ok(name.clone()),
        (Some(name), _) => Err(ApiError::not_found(format!("there is no cluster `{name}`"))
            .hint("`kubestile whoami` lists yours")),
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            Err(ApiError::bad_request("say for which cluster").hint("name it with --cluster"))
        }
    }
}

fn refusal(terms: &Terms, outcome: &Outcome) -> ApiError {
    let what = terms.words();
    match outcome {
        Outcome::Hold(hold) => {
            let needs: Vec<&str> = hold.obligations.iter().map(|o| o.as_str()).collect();
            let hint = needs
                .iter()
                .map(|need| match *need {
                    "reason" => "say what for with --reason",
                    "ticket" => "name an open ticket of yours with --ticket",
                    "mfa" => "log in again with a second factor",
                    _ => "an approval comes after that",
                })
                .collect::<Vec<_>>()
                .join("; ");
            ApiError::forbidden(format!("`{what}` needs {}", needs.join(" and "))).hint(hint)
        }
        Outcome::Allow(_) | Outcome::Deny(_) => {
            let why = outcome.policies().first().map_or_else(
                || "no policy permits you to ask for it".to_owned(),
                |p| format!("{} (policy {})", p.reason, p.id),
            );
            ApiError::forbidden(format!("`{what}`: {why}"))
                .hint("`kubestile access` says what you may ask for")
        }
    }
}

/// Opens an access request for a grant.
async fn open_grant_request(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    policies: Vec<PolicyId>,
    quorum: u8,
) -> Result<std::sync::Arc<AccessRequest>, ApiError> {
    let now = app.now();
    let identity = caller.who.identity();
    let set = (app.policies)();
    let abouts = asked.abouts("grant", caller);
    let approvers = abouts
        .first()
        .map(|about| set.approvers(about, now, caller.from))
        .unwrap_or_default();
    let request = AccessRequest {
        id: AccessId::from_random(u64::from_be_bytes(random()?)),
        requester: Requester {
            id: identity.id,
            name: identity.name.clone(),
            session: caller.who.session(),
            key_digest: caller.session.session().key_digest.clone(),
            behind: None,
            source: caller.from.to_string(),
        },
        risk: risk(&asked.terms),
        subject: Subject::Grant(asked.terms.clone()),
        ticket: asked.ticket.clone().filter(|_| asked.ticket_holds),
        reason: Some(asked.reason.clone()).filter(|r| !r.is_empty()),
        policies,
        quorum,
        approvers,
        created: now,
        expires: now.plus(app.settings.ask_ttl),
        approvals: Vec::new(),
        state: Stands::Waiting,
    };
    let mut written = Accessed::new("requested", &identity.name, &request);
    written.session = Some(caller.who.session());
    app.record(Event::Access(Box::new(written))).await?;
    Ok(app.store.open_request(request).await?.current())
}

/// `GET /v1/rights`.
pub(crate) async fn rights(State(app): State<App>, caller: Caller) -> Json<Rights> {
    let now = app.now();
    let identity = caller.who.identity();
    let live = app
        .store
        .live_grants_of(identity.id, caller.who.session(), now);
    let review = app.store.grants();
    let may_review = |g: &kubestile_core::Grant| {
        g.needs_review() && g.holder != identity.id && grants::may_review(&app, &caller, g)
    };
    Json(Rights {
        person: identity.name.clone(),
        functions: identity.functions.clone(),
        grants: live
            .iter()
            .map(|g| grants::entry(&app, &caller, g))
            .collect(),
        may_ask: askable(&app, &caller),
        to_review: review
            .iter()
            .filter(|g| may_review(g))
            .take(100)
            .map(|g| grants::entry(&app, &caller, g))
            .collect(),
    })
}

/// Roles that somebody may ask for by the policies of the base pack or their own.
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

fn askable(app: &App, caller: &Caller) -> Vec<Askable> {
    let mut clusters: Vec<ClusterName> = app.settings.configured_clusters.clone();
    clusters.extend(app.store.clusters().into_iter().map(|c| c.name));
    let mut found = Vec::new();
    for cluster in &clusters {
        for kind in ["grant", "break-glass"] {
            for role in ROLES {
                // Some namespace of people stands for all: policies may know exceptions.
                for namespace in [None, "default".parse().ok()] {
                    let scope = match namespace {
                        None => "the whole cluster",
                        Some(_) => "a namespace",
                    };
                    let terms = Terms {
                        role: role.to_owned(),
                        cluster: Some(cluster.clone()),
                        namespaces: namespace.into_iter().collect(),
                        objects: Vec::new(),
                        duration: Ttl::from_secs(3600),
                    };
                    let name = &caller.who.identity().name;
                    let abouts = abouts_of_terms(kind, cluster, &terms, (true, true), name);
                    let needs = match may_ask(app, &caller.into(), &abouts, 0) {
                        Outcome::Allow(_) => "nothing".to_owned(),
                        Outcome::Hold(hold) => {
                            let needs: Vec<&str> =
                                hold.obligations.iter().map(|o| o.as_str()).collect();
                            needs.join(", ")
                        }
                        Outcome::Deny(_) => continue,
                    };
                    found.push(Askable {
                        role: role.to_owned(),
                        cluster: cluster.clone(),
                        scope: scope.to_owned(),
                        needs,
                        kind: kind.to_owned(),
                    });
                }
            }
        }
    }
    found
}
