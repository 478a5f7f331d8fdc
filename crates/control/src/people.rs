//! Admin: people, their job functions and their login codes.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use kubestile_authn::code;
use kubestile_core::identity::{IdentityKind, check_person_name};
use kubestile_core::{Identity, JobFunction, PersonId};
use kubestile_store::StoreError;
use uuid::Uuid;

use crate::api::{AddPerson, CodeAnswer, Empty, PersonEntry, PersonList, SetFunctions};
use crate::error::ApiError;
use crate::journal::{random, words};
use crate::json::{Body, Segment};
use crate::state::App;

/// As many job functions, and groups, as one person may have.
const PER_PERSON: usize = 100;

/// `GET /v1/people`.
pub(crate) async fn list(State(app): State<App>) -> Json<PersonList> {
    let now = app.now();
    let mut live = std::collections::HashMap::new();
    for session in app.store.sessions() {
        if session.check(now).is_ok() {
            *live.entry(session.identity.id).or_insert(0) += 1;
        }
    }
    let people = app.store.people();
    let entry = |p: &Identity| entry(p, live.get(&p.id).copied().unwrap_or(0));
    Json(PersonList {
        people: people.iter().map(|p| entry(p)).collect(),
    })
}

/// `POST /v1/people`.
pub(crate) async fn add(
    State(app): State<App>,
    Body(request): Body<AddPerson>,
) -> Result<(StatusCode, Json<PersonEntry>), ApiError> {
    check_person_name(&request.name).map_err(StoreError::from)?;
    check_count(request.functions.len())?;
    check_count(request.groups.len())?;
    if app.store.person_by_name(&request.name).is_some() {
        return Err(StoreError::NameTaken { name: request.name }.into());
    }
    let identity = Identity {
        name: request.name,
        id: PersonId::from_uuid(Uuid::new_v4()),
        kind: IdentityKind::Person,
        groups: request.groups.iter().map(|g| words(g, 256)).collect(),
        functions: request.functions,
    };
    let detail = format!("id {}, {}", identity.id, listed(&identity.functions));
    app.record_change("person added", &identity.name, detail)
        .await?;
    let added = app.store.add_person(identity.clone()).await;
    app.changed("person added", &identity.name, added).await?;
    Ok((StatusCode::CREATED, Json(entry(&identity, 0))))
}

/// `PUT /v1/people/{name}/functions`.
pub(crate) async fn set_functions(
    State(app): State<App>,
    Segment(name): Segment,
    Body(request): Body<SetFunctions>,
) -> Result<Json<PersonEntry>, ApiError> {
    check_count(request.functions.len())?;
    let person = app.human_named(&name)?;
    let before = listed(&person.functions);
    let detail = format!("{}; before: {before}", listed(&request.functions));
    app.record_change("job functions set", &name, detail)
        .await?;
    let set = app.store.set_functions(&name, request.functions.clone());
    app.changed("job functions set", &name, set.await).await?;
    let person = Identity {
        functions: request.functions,
        ..Identity::clone(&person)
    };
    Ok(Json(entry(&person, app.live_sessions_of(person.id))))
}

/// `DELETE /v1/people/{name}`: also ends their sessions, even if that cannot be recorded.
pub(crate) async fn remove(
    State(app): State<App>,
    Segment(name): Segment,
) -> Result<Json<Empty>, ApiError> {
    let person = app.person_named(&name)?;
    let detail = format!("id {}", person.id);
    let recorded = app.record_change("person removed", &name, detail).await;
    let removed = app.store.remove_person(&name, app.now()).await;
    app.changed("person removed", &name, removed).await?;
    match recorded {
        Ok(()) => Ok(Json(Empty {})),
        Err(error) => Err(error.although("the person is removed, but the log does not say so")),
    }
}

/// `POST /v1/people/{name}/codes`.
pub(crate) async fn create_code(
    State(app): State<App>,
    Segment(name): Segment,
    Body(Empty {}): Body<Empty>,
) -> Result<(StatusCode, Json<CodeAnswer>), ApiError> {
    let person = app.human_named(&name)?;
    let expires = app.now().plus(app.settings.code_ttl);
    let (text, digest) = code::new(&random()?);
    app.record_change("login code created", &name, format!("until {expires}"))
        .await?;
    let added = app.store.add_code(digest, person.id, expires).await;
    app.changed("login code created", &name, added).await?;
    let answer = CodeAnswer {
        code: text,
        expires,
        url: app.settings.public_url.clone(),
        authority: app.authority.fingerprint(),
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

impl App {
    fn person_named(&self, name: &str) -> Result<std::sync::Arc<Identity>, ApiError> {
        let person = self.store.person_by_name(name);
        let name = || name.chars().take(128).collect();
        Ok(person.ok_or_else(|| StoreError::UnknownPerson { name: name() })?)
    }

    /// A person who is no pipeline: those log in with their own tokens, and have what their rules give.
    fn human_named(&self, name: &str) -> Result<std::sync::Arc<Identity>, ApiError> {
        let person = self.person_named(name)?;
        match person.kind {
            IdentityKind::Pipeline => Err(ApiError::bad_request("this is a pipeline")
                .hint("what it may do stands in the configuration: `pipelines.rules`")),
            IdentityKind::Person | IdentityKind::ServiceAccount => Ok(person),
        }
    }

    fn live_sessions_of(&self, person: PersonId) -> usize {
        let now = self.now();
        let sessions = self.store.sessions();
        let live = sessions.iter().filter(|s| s.identity.id == person);
        live.filter(|s| s.check(now).is_ok()).count()
    }
}

fn entry(person: &Identity, live_sessions: usize) -> PersonEntry {
    PersonEntry {
        name: person.name.clone(),
        id: person.id,
        kind: person.kind,
        functions: person.functions.clone(),
        groups: person.groups.clone(),
        live_sessions,
    }
}

fn check_count(count: usize) -> Result<(), ApiError> {
    if count > PER_PERSON {
        let text = format!("a person can have at most {PER_PERSON} job functions and groups");
        return Err(ApiError::bad_request(text));
    }
    Ok(())
}

fn listed(functions: &[JobFunction]) -> String {
    if functions.is_empty() {
        return "no job functions".to_owned();
    }
    let words: Vec<String> = functions.iter().map(ToString::to_string).collect();
    words.join(" ")
}
