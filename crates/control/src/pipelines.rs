//! Pipelines log in with the identity token of their job (RFC 8693). What one may do is a grant for the
//! one session that the token starts, and neither outlives the token.

mod approval;
mod run;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use kubestile_authn::{CertificateRequest, token};
use kubestile_core::event::Event;
use kubestile_core::grant::Origin;
use kubestile_core::session::{EndReason, Session};
use kubestile_core::{AccessId, Assurance, GrantId, Identity, PersonId, Secret, Source, Timestamp};
use kubestile_outbound::oidc::{Claims, OidcError};
use kubestile_store::StoreError;
use uuid::Uuid;

use crate::api::{EXCHANGE, ExchangeAnswer, ExchangeRequest, TOKEN_TYPE};
use crate::caller::Address;
use crate::error::ApiError;
use crate::grants::{self, New};
use crate::journal::random;
use crate::state::App;

pub(crate) use approval::comes_again;
pub(crate) use run::check_rules;

use run::Run;

/// How long a client may take to send its form.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(10);
/// The other name under which an identity token comes.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// `POST /v1/token-exchange`.
pub(crate) async fn exchange(
    State(app): State<App>,
    Address(from): Address,
    request: Request,
) -> Result<Response, ApiError> {
    let source = Source::of(from);
    app.limits()
        .exchanges
        .take(source, app.now())
        .map_err(|wait| ApiError::too_many("too many exchanges have failed", wait))?;
    let result = match read(request).await {
        Ok(form) => attempt(&app, from, &form).await,
        Err(error) => Err(error),
    };
    match &result {
        Ok(_) => app.limits().exchanges.give_back(source),
        Err(refusal) if refusal.status().is_client_error() => {
            app.record_refusal(from, None, refusal).await;
        }
        Err(_) => {}
    }
    result
}

async fn read(request: Request) -> Result<ExchangeRequest, ApiError> {
    let read = Form::<ExchangeRequest>::from_request(request, &());
    match tokio::time::timeout(BODY_TIME, read).await {
        Ok(Ok(Form(form))) => Ok(form),
        Ok(Err(rejection)) => Err(unreadable(&rejection)),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )),
    }
}

/// The rejection's own text can hold a part of the token: it is not passed on.
fn unreadable(rejection: &FormRejection) -> ApiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is longer than 64 KiB",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the request needs `content-type: application/x-www-form-urlencoded`",
        ),
        _ => ApiError::bad_request("the body is not the form that this path takes")
            .hint("it needs grant_type, subject_token and subject_token_type, each once"),
    }
}

async fn attempt(app: &App, from: IpAddr, form: &ExchangeRequest) -> Result<Response, ApiError> {
    if form.grant_type != EXCHANGE {
        return Err(ApiError::bad_request(format!(
            "`grant_type` must be `{EXCHANGE}`"
        )));
    }
    if ![TOKEN_TYPE, JWT].contains(&form.subject_token_type.as_str()) {
        return Err(ApiError::bad_request(format!(
            "`subject_token_type` must be `{TOKEN_TYPE}`"
        )));
    }
    let key = form.csr.as_deref().map(CertificateRequest::read);
    let key = key.transpose()?;
    let claims = verify(app, &form.subject_token).await?;
    let run = Run::new(&app.outside, &claims, app.now())?;
    if app.store.session(run.session).is_some() {
        return Err(used());
    }
    let pipeline = pipeline(app, &run.name).await?;
    if run.approval
        && let Some(pending) = approval::pending(app, from, &pipeline, &run, key.as_ref()).await?
    {
        return Ok((StatusCode::ACCEPTED, Json(pending)).into_response());
    }
    let answer = start(app, from, &pipeline, &run, key.as_ref()).await?;
    Ok(Json(answer).into_response())
}

async fn verify(app: &App, token: &Secret<String>) -> Result<Claims, ApiError> {
    let issuers = &app.outside.issuers;
    if issuers.is_empty() {
        return Err(ApiError::not_found("no pipelines are set up here")
            .hint("the gate's configuration names issuers under `pipelines`"));
    }
    issuers.verify(token, app.now()).await.map_err(|error| {
        tracing::warn!(%error, "the token of a pipeline");
        let status = match error.is_temporary() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::UNAUTHORIZED,
        };
        let refusal = ApiError::new(status, error.to_string());
        match error {
            OidcError::Audience => {
                refusal.hint("ask for the token with the audience that the gate is set up for")
            }
            _ => refusal,
        }
    })
}

fn used() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "the token was used before")
        .hint("a token starts one session: let the job ask for another token")
}

/// The pipeline of this name; a new one is written down first.
async fn pipeline(app: &App, name: &str) -> Result<Arc<Identity>, ApiError> {
    let id = PersonId::from_uuid(Uuid::new_v4());
    if app.store.person_by_name(name).is_none() {
        app.record(Event::Change {
            by: "the gate".to_owned(),
            what: "pipeline added".to_owned(),
            name: name.to_owned(),
            detail: "it came with a token that a rule permits".to_owned(),
        })
        .await?;
    }
    app.store
        .put_pipeline(name, id)
        .await
        .map_err(|error| match error {
            StoreError::NameTaken { .. } => {
                tracing::error!(name, "a pipeline rule gives a name that a person has");
                ApiError::new(
                    StatusCode::CONFLICT,
                    "a person has the name of this pipeline",
                )
                .hint("let `name` of the pipeline rule begin otherwise")
            }
            error => error.into(),
        })
}

/// Starts the session, and in it the grants.
async fn start(
    app: &App,
    from: IpAddr,
    pipeline: &Identity,
    run: &Run,
    key: Option<&CertificateRequest>,
) -> Result<ExchangeAnswer, ApiError> {
    let approved = match run.approval {
        true => Some(approval::approved(app, pipeline, run, key)?),
        false => None,
    };
    let most = app.settings.sessions_per_person;
    if live_sessions(app, pipeline.id) >= most {
        // The oldest is not ended, as a person's would be: a deployment that runs is not cut off.
        let text = "as many runs of this pipeline are logged in as may be";
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, text)
            .hint("let jobs that are done run `kubestile logout`"));
    }
    let session = session(app, pipeline, run, key);
    let detail = format!("with the token of {}, from {from}", run.words);
    app.record_session(&session, "started", detail).await?;
    let started = fill(app, &session, run, key, approved).await;
    if let Err(error) = &started {
        // The log says that it started: it must not stay that way, nor must half of it.
        let why = format!("not started: {error}");
        let reason = EndReason::EndedBy(format!("the gate: {why}"));
        let _known = app.store.end_session(session.id, reason, app.now()).await;
        app.record_session(&session, "ended", why).await?;
    }
    started
}

fn live_sessions(app: &App, pipeline: PersonId) -> usize {
    let now = app.now();
    let sessions = app.store.sessions();
    let live = sessions.iter().filter(|s| s.identity.id == pipeline);
    live.filter(|s| s.check(now).is_ok()).count()
}

fn session(app: &App, pipeline: &Identity, run: &Run, key: Option<&CertificateRequest>) -> Session {
    Session {
        id: run.session,
        identity: pipeline.clone(),
        assurance: Assurance::Single,
        key_digest: key_digest(key),
        client: run.words.clone(),
        created: app.now(),
        expires: run.ends,
        ended: None,
    }
}

/// Of no key where there is none: no certificate and no renewal proof is of that.
fn key_digest(key: Option<&CertificateRequest>) -> String {
    key.map_or_else(String::new, |key| key.key_digest().to_owned())
}

/// The session in the store, its credential, and its grants.
async fn fill(
    app: &App,
    session: &Session,
    run: &Run,
    key: Option<&CertificateRequest>,
    approved: Option<(AccessId, Vec<String>)>,
) -> Result<ExchangeAnswer, ApiError> {
    // A second use of the token at this very moment ends here: its session is there.
    app.store
        .create_session(session.clone())
        .await
        .map_err(|error| match error {
            StoreError::IdTaken { .. } => used(),
            error => error.into(),
        })?;
    let issued = issue(app, session, key).await?;
    let mut started: Vec<GrantId> = Vec::with_capacity(run.terms.len());
    for terms in &run.terms {
        let (access, approvers) = approved.clone().unzip();
        let new = New {
            terms: terms.clone(),
            origin: Origin::Pipeline,
            reason: run.words.clone(),
            ticket: None,
            approvers: approvers.unwrap_or_default(),
            access,
            session: Some(session.id),
            until: Some(session.expires),
        };
        started.push(grants::start(app, &session.identity, new).await?.id);
    }
    let (kind, token_type) = match key {
        Some(_) => ("urn:kubestile:token-type:certificate", "N_A"),
        None => ("urn:ietf:params:oauth:token-type:access_token", "Bearer"),
    };
    Ok(ExchangeAnswer {
        access_token: issued.text,
        issued_token_type: kind.to_owned(),
        token_type: token_type.to_owned(),
        expires_in: issued.not_after.since(app.now()).as_secs(),
        session: session.id,
        person: session.identity.name.clone(),
        not_after: issued.not_after,
        session_expires: session.expires,
        grants: started,
        clusters: app.cluster_entries(),
        ca: app.authority.pem(),
    })
}

/// A certificate, or a bearer token.
struct Issued {
    text: Secret<String>,
    not_after: Timestamp,
}

async fn issue(
    app: &App,
    session: &Session,
    key: Option<&CertificateRequest>,
) -> Result<Issued, ApiError> {
    let name = &session.identity.name;
    let ends = |ttl| session.expires.min(session.created.plus(ttl));
    if let Some(key) = key {
        let not_after = ends(app.settings.certificate_ttl);
        let issued =
            app.authority
                .issue_client(key, name, session.id, session.created, not_after)?;
        return Ok(Issued {
            text: Secret::new(issued.certificate_pem),
            not_after: issued.not_after,
        });
    }
    // There is no certificate with which to ask for another one.
    let not_after = session.expires;
    let (text, digest) = token::new(&random()?);
    let detail = format!("until {not_after}");
    app.record_session(session, "token-issued", detail).await?;
    let added = app.store.add_token(digest, session.id, not_after).await;
    app.session_changed(session, "token-issued", added).await?;
    Ok(Issued { text, not_after })
}
