use super::*;

fn end(client: &Client, reason: &str) -> Builder {
    let path = format!("/v1/sessions/{}/end", client.session);
    post(&path, &json!({ "reason": reason }))
}

fn ids(answer: &Answer) -> Vec<String> {
    let sessions = answer.body["sessions"].as_array().unwrap().iter();
    let mut ids: Vec<_> = sessions
        .map(|s| s["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn sorted(clients: &[&Client]) -> Vec<String> {
    let mut ids: Vec<_> = clients.iter().map(|c| c.session.to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn people_see_their_own_sessions() {
    let gate = Gate::new().await;
    let (ana, bo) = (
        gate.client("ana", &["admin"]).await,
        gate.client("bo", &[]).await,
    );
    let laptop = gate.login("ana").await;
    let answer = gate.public(get("/v1/sessions").by(&ana)).await;
    assert_eq!(ids(&answer), sorted(&[&ana, &laptop]));
    let current = answer.body["sessions"].as_array().unwrap().iter();
    let current: Vec<_> = current.filter(|s| s["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], ana.session.to_string());
    let all = gate.public(get("/v1/sessions?all").by(&bo)).await;
    assert_eq!(all.status, StatusCode::FORBIDDEN);
    let log = gate.log();
    assert!(log.contains("\"kind\":\"refusal\"") && log.contains("\"name\":\"bo\""));
}

#[tokio::test]
async fn security_sees_and_ends_everybodys() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let sam = gate.client("sam", &["security"]).await;
    let all = gate.public(get("/v1/sessions?all").by(&sam)).await;
    assert_eq!(ids(&all), sorted(&[&ana, &sam]));
    assert_eq!(
        ids(&gate.public(get("/v1/sessions").by(&sam)).await),
        sorted(&[&sam])
    );
    let ended = gate.public(end(&ana, "laptop stolen").by(&sam)).await;
    assert_eq!(ended.body, json!({ "ended": true }));
    let again = gate.public(end(&ana, "x").by(&sam)).await;
    assert_eq!(again.body, json!({ "ended": false }));
    let told = gate.public(get("/v1/whoami").by(&ana)).await;
    assert_eq!(told.error(), "the session was ended by sam: laptop stolen");
    let log = gate.log();
    assert!(log.contains("\"change\":\"ended\"") && log.contains("sam: laptop stolen"));
}

#[tokio::test]
async fn security_of_one_namespace_or_cluster_is_not_security_of_the_gate() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let functions = ["security:shop", "security@prod", "admin"];
    let sam = gate.client("sam", &functions).await;
    let all = gate.public(get("/v1/sessions?all").by(&sam)).await;
    assert_eq!(all.status, StatusCode::FORBIDDEN);
    let other = gate.public(end(&ana, "").by(&sam)).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert_eq!(
        gate.public(get("/v1/whoami").by(&ana)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_function_that_was_taken_away_is_gone_at_once() {
    let gate = Gate::new().await;
    let sam = gate.client("sam", &["security"]).await;
    assert_eq!(
        gate.public(get("/v1/sessions?all").by(&sam)).await.status,
        StatusCode::OK
    );
    let none = json!({ "functions": [] });
    gate.admin(put("/v1/people/sam/functions", &none)).await;
    let answer = gate.public(get("/v1/sessions?all").by(&sam)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn other_peoples_sessions_are_as_if_they_were_not_there() {
    let gate = Gate::new().await;
    let (ana, bo) = (gate.client("ana", &[]).await, gate.client("bo", &[]).await);
    let existing = gate.public(end(&ana, "").by(&bo)).await;
    let unknown = format!("/v1/sessions/{}/end", Uuid::new_v4());
    let unknown = gate.public(post(&unknown, &json!({})).by(&bo)).await;
    let malformed = gate
        .public(post("/v1/sessions/%ff/end", &json!({})).by(&bo))
        .await;
    assert_eq!(existing.status, StatusCode::NOT_FOUND);
    assert_eq!(existing.body, unknown.body);
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    let mine = gate.public(end(&bo, "").by(&bo)).await;
    assert_eq!(mine.body["ended"], true);
}

#[tokio::test]
async fn the_holder_of_a_session_learns_of_its_end() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let mut handle = gate.store.session(ana.session).unwrap();
    gate.public(post("/v1/logout", &json!({})).by(&ana)).await;
    assert_eq!(handle.ended().await.to_string(), "the person logged out");
}

/// Whoever can fill a disk must not be able to keep a stolen session alive.
#[tokio::test]
async fn trust_is_taken_away_even_if_that_cannot_be_recorded() {
    let gate = Gate::new().await;
    let (ana, bo) = (gate.client("ana", &[]).await, gate.client("bo", &[]).await);
    let sam = gate.client("sam", &["security"]).await;
    gate.break_log().await;
    let answer = gate.public(end(&ana, "stolen").by(&sam)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer.error(),
        "the session has ended, but the log does not say so"
    );
    assert_eq!(
        gate.public(get("/v1/whoami").by(&ana)).await.status,
        StatusCode::UNAUTHORIZED
    );
    let answer = gate.admin(delete("/v1/people/bo")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        gate.public(get("/v1/whoami").by(&bo)).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn reasons_are_made_harmless() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let sam = gate.client("sam", &["security"]).await;
    let reason = format!("\u{1b}]0;x\u{7}\r\n{}", "y".repeat(5000));
    gate.public(end(&ana, &reason).by(&sam)).await;
    let told = gate.public(get("/v1/whoami").by(&ana)).await;
    assert!(told.error().len() < 300 && !told.error().chars().any(char::is_control));
}

#[tokio::test]
async fn with_one_login_too_many_the_oldest_session_ends() {
    let gate = Gate::new().await;
    let first = gate.client("ana", &[]).await;
    let other = gate.client("bo", &[]).await;
    let most = Settings::default().sessions_per_person;
    for _ in 1..most {
        gate.pass(1);
        gate.login("ana").await;
    }
    let ended = |session| gate.store.session(session).unwrap().end();
    assert_eq!(ended(first.session), None);
    gate.pass(1);
    let last = gate.login("ana").await;
    let why = ended(first.session).unwrap().to_string();
    assert!(why.contains("more than 50 sessions"), "{why}");
    assert_eq!(ended(last.session), None);
    assert_eq!(ended(other.session), None);
    assert!(gate.log().contains(&why));
}
