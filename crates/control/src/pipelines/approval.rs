//! Pipelines that somebody must approve first: an access request for the session that the token will
//! start, and the same exchange again. A job's token may live for five minutes (GitHub Actions), which is
//! less than people take: the same run may come again with a newer token, if it shows the same key.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use kubestile_authn::CertificateRequest;
use kubestile_core::approval::{AccessRequest, Requester, State, Subject};
use kubestile_core::event::{Accessed, Event};
use kubestile_core::grant::Terms;
use kubestile_core::identity::IdentityKind;
use kubestile_core::{AccessId, GrantId, Identity};

use super::key_digest;
use super::run::Run;
use crate::access;
use crate::api::ExchangePending;
use crate::error::ApiError;
use crate::journal::random;
use crate::state::App;

/// Whether a request is of a pipeline that has no session yet: then nobody is there to hold a grant, and
/// the pipeline comes again for it.
pub(crate) fn comes_again(app: &App, request: &AccessRequest) -> bool {
    let requester = app.store.person(request.requester.id);
    requester.is_some_and(|r| r.kind == IdentityKind::Pipeline)
        && app.store.session(request.requester.session).is_none()
}

/// The access request that still waits, a new one if there is none; `None` once it is approved.
pub(super) async fn pending(
    app: &App,
    from: IpAddr,
    pipeline: &Identity,
    run: &Run,
    key: Option<&CertificateRequest>,
) -> Result<Option<ExchangePending>, ApiError> {
    let request = match of_run(app, pipeline, run, key) {
        Some(request) => request,
        None => open(app, from, pipeline, run, key).await?,
    };
    check_same(&request, pipeline, run, key)?;
    match request.state_at(app.now()) {
        State::Waiting => Ok(Some(answer(app, &request))),
        State::Approved { .. } => Ok(None),
        State::Denied { by, reason, .. } => {
            Err(ApiError::forbidden(format!("denied by {by}: {reason}")))
        }
        State::Expired => Err(ApiError::forbidden("nobody approved it in time")),
        State::Withdrawn { why, .. } => Err(ApiError::forbidden(format!(
            "the request was withdrawn: {why}"
        ))),
    }
}

/// The request that approves a run now, and who approved it.
pub(super) fn approved(
    app: &App,
    pipeline: &Identity,
    run: &Run,
    key: Option<&CertificateRequest>,
) -> Result<(AccessId, Vec<String>), ApiError> {
    let none = || ApiError::forbidden("the run is not approved");
    let request = of_run(app, pipeline, run, key).ok_or_else(none)?;
    check_same(&request, pipeline, run, key)?;
    let State::Approved { until, .. } = request.state else {
        return Err(none());
    };
    if app.now() >= until {
        let text = "the approval was not used in time";
        return Err(ApiError::forbidden(text).hint("run the job again"));
    }
    let approvals = request.approvals.iter();
    Ok((request.id, approvals.map(|a| a.by.name.clone()).collect()))
}

/// The access request of this very token, whatever its state; else the one that the same run opened with
/// an older token. That it is the same job shows the key, which never leaves it. Once its grant has
/// started it is used up, and a further token asks anew.
fn of_run(
    app: &App,
    pipeline: &Identity,
    run: &Run,
    key: Option<&CertificateRequest>,
) -> Option<Arc<AccessRequest>> {
    let mut all = app.store.requests();
    let exact = all.iter().find(|r| r.requester.session == run.session);
    if let Some(exact) = exact {
        return Some(Arc::clone(exact));
    }
    let key = key?.key_digest();
    let now = app.now();
    all.retain(|r| {
        r.requester.id == pipeline.id
            && r.requester.key_digest == key
            && r.reason.as_deref() == Some(run.words.as_str())
            && matches!(r.subject, Subject::Grant(_))
            && matches!(r.state_at(now), State::Waiting | State::Approved { .. })
            && app.store.grant(GrantId::of(r.id)).is_none()
    });
    all.into_iter().next()
}

/// What was asked for must be what would be given: the same pipeline and key, and the same place under the
/// rules as they are now.
fn check_same(
    request: &AccessRequest,
    pipeline: &Identity,
    run: &Run,
    key: Option<&CertificateRequest>,
) -> Result<(), ApiError> {
    let conflict = |why: &str| Err(ApiError::new(StatusCode::CONFLICT, why.to_owned()));
    if request.requester.id != pipeline.id || request.requester.key_digest != key_digest(key) {
        return conflict("the token came with another key before")
            .map_err(|error: ApiError| error.hint("come again with the key that asked"));
    }
    let place = |terms: &Terms| {
        let Terms {
            role,
            cluster,
            namespaces,
            objects,
            duration: _,
        } = terms.clone();
        (role, cluster, namespaces, objects)
    };
    match (&request.subject, run.terms.as_slice()) {
        (Subject::Grant(asked), [now]) if place(asked) == place(now) => Ok(()),
        _ => conflict("the rules have changed since it was asked for"),
    }
}

async fn open(
    app: &App,
    from: IpAddr,
    pipeline: &Identity,
    run: &Run,
    key: Option<&CertificateRequest>,
) -> Result<Arc<AccessRequest>, ApiError> {
    let [terms] = run.terms.as_slice() else {
        return Err(ApiError::forbidden(
            "the rule gives more than one thing to approve",
        ));
    };
    let now = app.now();
    let mut request = AccessRequest {
        id: AccessId::from_random(u64::from_be_bytes(random()?)),
        requester: Requester {
            id: pipeline.id,
            name: pipeline.name.clone(),
            session: run.session,
            key_digest: key_digest(key),
            behind: run.behind.clone(),
            source: from.to_string(),
        },
        risk: access::risk(terms),
        subject: Subject::Grant(terms.clone()),
        ticket: None,
        reason: Some(run.words.clone()),
        policies: Vec::new(),
        quorum: 1,
        approvers: Vec::new(),
        created: now,
        // Without a key, an approval after the token's end would be of no use.
        expires: match key {
            Some(_) => now.plus(app.settings.ask_ttl),
            None => now.plus(app.settings.ask_ttl).min(run.ends),
        },
        approvals: Vec::new(),
        state: State::Waiting,
    };
    if let Some(about) = access::abouts(&request).first() {
        request.approvers = (app.policies)().approvers(about, now, from);
    }
    let mut written = Accessed::new("requested", &pipeline.name, &request);
    written.detail = run.behind.as_ref().map_or_else(String::new, |who| {
        format!("set off by {}", crate::journal::words(who, 128))
    });
    app.record(Event::Access(Box::new(written))).await?;
    Ok(app.store.open_request(request).await?.current())
}

fn answer(app: &App, request: &AccessRequest) -> ExchangePending {
    let base = app.settings.public_url.trim_end_matches('/');
    ExchangePending {
        request: request.id,
        url: format!("{base}/r/{}", request.id),
        approvers: request.approvers.clone(),
        missing: request.missing(),
        expires: request.expires,
    }
}
